// Command image-seed makes the pod images that lie unpacked in the read-only root file
// system known to containerd, without copying or unpacking them. It runs once, before
// containerd starts, and works on containerd's own databases with containerd's own
// libraries, so what it leaves behind is what a pull would have left behind, except
// that the snapshot is a symbolic link into the root file system.
//
// An image is a directory DIR/NAME/ with an OCI layout (index.json, blobs/sha256/*) of
// exactly one layer, and that layer unpacked in rootfs/. The layer's blob may be left
// out of the layout: nothing that runs a pod reads it.
//
// A second run changes nothing. After an update of the root file system a run follows
// the changed images, and forgets those that are gone.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"time"

	"github.com/containerd/containerd/v2/pkg/namespaces"
	"github.com/containerd/log"
)

func main() {
	root := flag.String("root", "/var/lib/containerd", "containerd's root directory")
	dir := flag.String("images", "/usr/share/slipway/images", "directory with one directory per image")
	flag.Parse()
	if flag.NArg() > 0 {
		fmt.Fprintf(os.Stderr, "image-seed: unexpected argument %q\n", flag.Arg(0))
		os.Exit(2)
	}
	// The libraries' own remarks are containerd's business; errors come back to us.
	_ = log.SetLevel("error")
	if err := run(*root, *dir); err != nil {
		fmt.Fprintln(os.Stderr, "image-seed:", err)
		os.Exit(1)
	}
}

func run(root, dir string) (err error) {
	started := time.Now()
	images, err := readImages(dir)
	if err != nil {
		return err
	}
	stores, err := openStores(root)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, stores.Close()) }()

	// The namespace in which the kubelet's requests arrive.
	ctx := namespaces.WithNamespace(context.Background(), "k8s.io")
	done, err := seed(ctx, stores, images)
	if err != nil {
		return err
	}
	fmt.Printf("image-seed: %d images, %d new or changed, %d forgotten, in %s\n",
		len(images), done.seeded, done.forgotten, time.Since(started).Round(time.Millisecond))
	return nil
}
