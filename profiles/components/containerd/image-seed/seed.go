package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"time"

	"github.com/containerd/containerd/v2/core/content"
	"github.com/containerd/containerd/v2/core/images"
	"github.com/containerd/containerd/v2/core/metadata/boltutil"
	"github.com/containerd/containerd/v2/core/snapshots"
	"github.com/containerd/errdefs"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
	bolt "go.etcd.io/bbolt"
)

// labelSeed marks what this program made. Only what carries it is ever redirected or
// removed.
const labelSeed = "slipway.image-seed"

type tally struct{ seeded, forgotten int }

// seed brings the stores in line with the images: first what an image refers to, then
// its names, then what no image has any more.
func seed(ctx context.Context, s *stores, imgs []image) (tally, error) {
	var done tally
	if err := seedSnapshots(ctx, s, imgs); err != nil {
		return done, err
	}
	for _, img := range imgs {
		settled, err := isSettled(ctx, s, img)
		if err != nil {
			return done, fmt.Errorf("looking up image %s: %w", img.names[0], err)
		}
		if settled {
			continue
		}
		// One transaction: a machine that loses power has all of an image or nothing.
		err = s.db.Update(func(tx *bolt.Tx) error {
			return seedImage(boltutil.WithTransaction(ctx, tx), s, img)
		})
		if err != nil {
			return done, fmt.Errorf("recording image %s: %w", img.names[0], err)
		}
		done.seeded++
	}
	forgotten, err := forget(ctx, s, imgs)
	done.forgotten = forgotten
	return done, err
}

// manifestLabels and configLabels are what keeps an unpacked image from containerd's
// garbage collector: name -> manifest -> config -> snapshot.
func manifestLabels(img image) map[string]string {
	labels := map[string]string{
		labelSeed:                             "true",
		"containerd.io/gc.ref.content.config": img.config.desc.Digest.String(),
	}
	if img.layerPath != "" {
		labels["containerd.io/gc.ref.content.l.0"] = img.layer.Digest.String()
	}
	return labels
}

func configLabels(img image) map[string]string {
	return map[string]string{
		labelSeed: "true",
		"containerd.io/gc.ref.snapshot." + snapshotter: img.chainID,
	}
}

func layerLabels(img image) map[string]string {
	return map[string]string{labelSeed: "true", "containerd.io/uncompressed": img.chainID}
}

// nameLabels make CRI list the image, and keep the kubelet from deleting it.
func nameLabels(img image) map[string]string {
	return map[string]string{
		labelSeed:                  "true",
		"io.cri-containerd.image":  "managed",
		"io.cri-containerd.pinned": "pinned",
	}
}

// seedSnapshots gives each image's unpacked layer its snapshot, and takes the files
// away from snapshots whose image is gone: their links would show another image's.
func seedSnapshots(ctx context.Context, s *stores, imgs []image) error {
	rootfs := map[string]string{}
	for _, img := range imgs {
		rootfs[img.chainID] = img.rootfs
	}
	ours := map[string]bool{}
	err := s.snapshots().Walk(ctx, func(_ context.Context, info snapshots.Info) error {
		ours[info.Name] = true
		return nil
	}, fmt.Sprintf("labels.%q,kind==committed", labelSeed))
	if err != nil {
		return fmt.Errorf("listing snapshots: %w", err)
	}
	ids, err := s.committed(ctx)
	if err != nil {
		return fmt.Errorf("listing snapshots: %w", err)
	}
	for name := range ours {
		id, known := ids[name]
		if !known {
			return fmt.Errorf("snapshot %s is recorded but not there", name)
		}
		if err := pointTo(s.snapshotFiles(id), rootfs[name]); err != nil {
			return fmt.Errorf("redirecting snapshot %s: %w", name, err)
		}
	}
	for _, img := range imgs {
		if ours[img.chainID] {
			continue
		}
		if err := createSnapshot(ctx, s, img); err != nil {
			return fmt.Errorf("creating the snapshot of image %s: %w", img.names[0], err)
		}
		ours[img.chainID] = true
	}
	return nil
}

// createSnapshot makes the snapshot that unpacking the layer would make, with a link
// in the place of its files. A snapshot of that name that is not ours holds the very
// same files already, because its name is their digest.
func createSnapshot(ctx context.Context, s *stores, img image) error {
	if _, err := s.snapshots().Stat(ctx, img.chainID); err == nil || !errdefs.IsNotFound(err) {
		return err
	}
	// Left behind by a crash it belongs to no image, and the garbage collector takes it.
	key := fmt.Sprintf("image-seed-%d-%s", time.Now().UnixNano(), img.chainID)
	mounts, err := s.snapshots().Prepare(ctx, key, "")
	if err != nil {
		return err
	}
	// Without a parent the one mount is a bind of the snapshot's own directory.
	if err := pointTo(mounts[0].Source, img.rootfs); err != nil {
		return err
	}
	return s.snapshots().Commit(ctx, img.chainID, key, snapshots.WithLabels(map[string]string{labelSeed: "true"}))
}

// pointTo makes path a link to target, or an empty directory without one.
func pointTo(path, target string) error {
	if now, err := os.Readlink(path); err == nil && now == target {
		return nil
	} else if info, err := os.Lstat(path); err == nil && info.IsDir() && target == "" {
		return nil
	}
	// Removes a link or an empty directory, and nothing else.
	if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	if target == "" {
		return os.Mkdir(path, 0o755)
	}
	return os.Symlink(target, path)
}

// isSettled says whether everything seedImage would write is there already, so that
// an ordinary boot writes nothing.
func isSettled(ctx context.Context, s *stores, img image) (bool, error) {
	for _, part := range parts(img) {
		info, err := s.content().Info(ctx, part.desc.Digest)
		if errdefs.IsNotFound(err) || err == nil && !covers(info.Labels, part.labels) {
			return false, nil
		}
		if err != nil {
			return false, err
		}
	}
	for _, name := range img.names {
		record, err := s.images().Get(ctx, name)
		if errdefs.IsNotFound(err) || err == nil && (record.Target.Digest != img.manifest.desc.Digest || !covers(record.Labels, nameLabels(img))) {
			return false, nil
		}
		if err != nil {
			return false, err
		}
	}
	return linked(s, img), nil
}

// part is a blob of the image with what is recorded about it. Without data it lies in
// the layout and is linked.
type part struct {
	desc   ocispec.Descriptor
	data   []byte
	labels map[string]string
}

func parts(img image) []part {
	list := []part{
		{img.manifest.desc, img.manifest.data, manifestLabels(img)},
		{img.config.desc, img.config.data, configLabels(img)},
	}
	if img.layerPath != "" {
		list = append(list, part{img.layer, nil, layerLabels(img)})
	}
	return list
}

func covers(have, want map[string]string) bool {
	for key, value := range want {
		if have[key] != value {
			return false
		}
	}
	return true
}

func seedImage(ctx context.Context, s *stores, img image) error {
	if err := linkLayer(s, img); err != nil {
		return err
	}
	for _, part := range parts(img) {
		if err := seedContent(ctx, s, part); err != nil {
			return fmt.Errorf("recording %s: %w", part.desc.Digest, err)
		}
	}
	for _, name := range img.names {
		if err := seedName(ctx, s, name, img); err != nil {
			return fmt.Errorf("recording the name %s: %w", name, err)
		}
	}
	return nil
}

// linked says whether the layer's blob is reachable, and needs nothing.
func linked(s *stores, img image) bool {
	if img.layerPath == "" {
		return true
	}
	_, err := os.Stat(filepath.Join(s.blobs, img.layer.Digest.Encoded()))
	return err == nil
}

// linkLayer puts a link to the layer's blob where the content store looks for it,
// unless the blob itself is there.
func linkLayer(s *stores, img image) error {
	if linked(s, img) {
		return nil
	}
	if err := os.MkdirAll(s.blobs, 0o755); err != nil {
		return err
	}
	return pointTo(filepath.Join(s.blobs, img.layer.Digest.Encoded()), img.layerPath)
}

// seedContent records a blob. The store finds a linked one by itself and records it
// without reading it; a small one is copied, so that it outlives a change of slots.
func seedContent(ctx context.Context, s *stores, p part) error {
	info, err := s.content().Info(ctx, p.desc.Digest)
	if errdefs.IsNotFound(err) {
		writer, err := s.content().Writer(ctx, content.WithRef("image-seed-"+p.desc.Digest.String()), content.WithDescriptor(p.desc))
		if err != nil {
			return err
		}
		defer writer.Close()
		if p.data == nil {
			return writer.Commit(ctx, p.desc.Size, p.desc.Digest, content.WithLabels(p.labels))
		}
		return content.Copy(ctx, writer, bytes.NewReader(p.data), p.desc.Size, p.desc.Digest, content.WithLabels(p.labels))
	}
	if err != nil || covers(info.Labels, p.labels) {
		return err
	}
	if info.Labels == nil {
		info.Labels = map[string]string{}
	}
	maps.Copy(info.Labels, p.labels)
	_, err = s.content().Update(ctx, info, "labels")
	return err
}

func seedName(ctx context.Context, s *stores, name string, img image) error {
	record := images.Image{Name: name, Target: img.manifest.desc, Labels: nameLabels(img)}
	_, err := s.images().Create(ctx, record)
	if errdefs.IsAlreadyExists(err) {
		_, err = s.images().Update(ctx, record, "target", "labels")
	}
	return err
}

// forget removes the names that we recorded and no image has any more. What only they
// referred to is left to containerd's garbage collector.
func forget(ctx context.Context, s *stores, imgs []image) (int, error) {
	wanted := map[string]bool{}
	for _, img := range imgs {
		for _, name := range img.names {
			wanted[name] = true
		}
	}
	records, err := s.images().List(ctx, fmt.Sprintf("labels.%q", labelSeed))
	if err != nil {
		return 0, fmt.Errorf("listing images: %w", err)
	}
	forgotten := 0
	for _, record := range records {
		if wanted[record.Name] {
			continue
		}
		if err := s.images().Delete(ctx, record.Name); err != nil {
			return forgotten, fmt.Errorf("forgetting image %s: %w", record.Name, err)
		}
		forgotten++
	}
	return forgotten, nil
}
