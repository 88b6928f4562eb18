package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/containerd/containerd/v2/core/content"
	"github.com/containerd/containerd/v2/core/images"
	"github.com/containerd/containerd/v2/core/metadata"
	"github.com/containerd/containerd/v2/core/snapshots"
	"github.com/containerd/containerd/v2/core/snapshots/storage"
	"github.com/containerd/containerd/v2/pkg/namespaces"
	"github.com/containerd/containerd/v2/plugins/content/local"
	"github.com/containerd/containerd/v2/plugins/snapshots/overlay"
	"github.com/containerd/errdefs"
	bolt "go.etcd.io/bbolt"
)

// The snapshotter that CRI is configured to use.
const snapshotter = "overlayfs"

// stores are containerd's databases below its root directory, opened as containerd's
// plugins open them (content/local, snapshots/overlay and metadata of the same version).
type stores struct {
	bolt *bolt.DB
	db   *metadata.DB
	// Where the content store keeps its blobs, and the snapshotter its directories.
	blobs    string
	overlays string
	// The snapshotter's own database, below the one with namespaces.
	backend *storage.MetaStore
}

func openStores(root string) (*stores, error) {
	at := func(plugin string) string { return filepath.Join(root, plugin) }
	s := &stores{
		blobs:    filepath.Join(at("io.containerd.content.v1.content"), "blobs", "sha256"),
		overlays: at("io.containerd.snapshotter.v1." + snapshotter),
	}
	metaDir := at("io.containerd.metadata.v1.bolt")
	if err := os.MkdirAll(root, 0o700); err != nil {
		return nil, err
	}
	if err := os.MkdirAll(metaDir, 0o711); err != nil {
		return nil, err
	}
	blobs, err := local.NewStore(at("io.containerd.content.v1.content"))
	if err != nil {
		return nil, fmt.Errorf("opening the content store: %w", err)
	}
	if err := os.MkdirAll(s.overlays, 0o700); err != nil {
		return nil, err
	}
	if s.backend, err = storage.NewMetaStore(filepath.Join(s.overlays, "metadata.db")); err != nil {
		return nil, fmt.Errorf("opening the snapshotter: %w", err)
	}
	overlayfs, err := overlay.NewSnapshotter(s.overlays, overlay.WithMetaStore(s.backend))
	if err != nil {
		return nil, fmt.Errorf("opening the snapshotter: %w", err)
	}

	options := *bolt.DefaultOptions
	options.NoFreelistSync = true
	// A running containerd holds the lock for good.
	options.Timeout = 5 * time.Second
	path := filepath.Join(metaDir, "meta.db")
	if s.bolt, err = bolt.Open(path, 0o644, &options); err != nil {
		return nil, fmt.Errorf("opening %s (is containerd running?): %w", path, err)
	}
	s.db = metadata.NewDB(s.bolt, blobs, map[string]snapshots.Snapshotter{snapshotter: overlayfs})
	if err := s.db.Init(context.Background()); err != nil {
		return nil, errors.Join(fmt.Errorf("preparing %s: %w", path, err), s.Close())
	}
	return s, nil
}

func (s *stores) Close() error {
	return errors.Join(s.db.Close(), s.backend.Close())
}

func (s *stores) content() content.Store           { return s.db.ContentStore() }
func (s *stores) images() images.Store             { return metadata.NewImageStore(s.db) }
func (s *stores) snapshots() snapshots.Snapshotter { return s.db.Snapshotter(snapshotter) }
func (s *stores) snapshotFiles(backendID string) string {
	return filepath.Join(s.overlays, "snapshots", backendID, "fs")
}

// committed maps the names of committed snapshots to their numbers in the snapshotter,
// which are the names of their directories. The snapshotter's own database knows them
// as NAMESPACE/SEQUENCE/NAME.
func (s *stores) committed(ctx context.Context) (map[string]string, error) {
	namespace, err := namespaces.NamespaceRequired(ctx)
	if err != nil {
		return nil, err
	}
	ids := map[string]string{}
	err = s.backend.WithTransaction(ctx, false, func(ctx context.Context) error {
		return storage.WalkInfo(ctx, func(ctx context.Context, info snapshots.Info) error {
			parts := strings.SplitN(info.Name, "/", 3)
			if info.Kind != snapshots.KindCommitted || len(parts) != 3 || parts[0] != namespace {
				return nil
			}
			id, _, _, err := storage.GetInfo(ctx, info.Name)
			ids[parts[2]] = id
			return err
		})
	})
	if errdefs.IsNotFound(err) {
		// Nobody has made a snapshot yet.
		return ids, nil
	}
	return ids, err
}
