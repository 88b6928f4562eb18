package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/distribution/reference"
	"github.com/opencontainers/go-digest"
	"github.com/opencontainers/image-spec/identity"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

// The annotation by which the layout's index says what the image is called.
const annotationName = "io.containerd.image.name"

// blob is a small object of the layout, read and checked against its digest.
type blob struct {
	desc ocispec.Descriptor
	data []byte
}

// image is one directory of images, read and checked. The files of its rootfs are not.
type image struct {
	// Every name the image is known by: tag, digest and identifier, as CRI has them.
	names    []string
	manifest blob
	config   blob
	layer    ocispec.Descriptor
	// The layer's blob, empty if the layout does not carry it.
	layerPath string
	// What the snapshot of the unpacked layer is called.
	chainID string
	// The unpacked layer.
	rootfs string
}

// readImages reads every image below dir, in the order of their names. No directory is
// no images: a role may have none.
func readImages(dir string) ([]image, error) {
	entries, err := os.ReadDir(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	var images []image
	for _, entry := range entries {
		img, err := readImage(filepath.Join(dir, entry.Name()))
		if err != nil {
			return nil, fmt.Errorf("reading image %s: %w", entry.Name(), err)
		}
		images = append(images, img)
	}
	return images, nil
}

func readImage(path string) (image, error) {
	img := image{rootfs: filepath.Join(path, "rootfs")}
	var index ocispec.Index
	data, err := os.ReadFile(filepath.Join(path, ocispec.ImageIndexFile))
	if err != nil {
		return img, err
	}
	if err := json.Unmarshal(data, &index); err != nil {
		return img, fmt.Errorf("parsing index.json: %w", err)
	}
	if len(index.Manifests) != 1 {
		return img, fmt.Errorf("index.json lists %d manifests, want one", len(index.Manifests))
	}
	name, err := reference.ParseNormalizedNamed(index.Manifests[0].Annotations[annotationName])
	if err != nil {
		return img, fmt.Errorf("the index's annotation %s: %w", annotationName, err)
	}

	var manifest ocispec.Manifest
	if img.manifest, err = readBlob(path, index.Manifests[0], &manifest); err != nil {
		return img, fmt.Errorf("reading the manifest: %w", err)
	}
	var config ocispec.Image
	if img.config, err = readBlob(path, manifest.Config, &config); err != nil {
		return img, fmt.Errorf("reading the config: %w", err)
	}
	if len(manifest.Layers) != 1 || len(config.RootFS.DiffIDs) != 1 {
		return img, fmt.Errorf("%d layers with %d diff ids, want one: rootfs/ is one layer", len(manifest.Layers), len(config.RootFS.DiffIDs))
	}
	img.layer = manifest.Layers[0]
	if img.layerPath, err = layerPath(path, img.layer); err != nil {
		return img, err
	}
	img.chainID = identity.ChainID(config.RootFS.DiffIDs).String()
	if info, err := os.Stat(img.rootfs); err != nil {
		return img, err
	} else if !info.IsDir() {
		return img, fmt.Errorf("%s is not a directory", img.rootfs)
	}
	img.names = []string{
		name.String(),
		name.Name() + "@" + img.manifest.desc.Digest.String(),
		img.config.desc.Digest.String(),
	}
	return img, nil
}

func blobPath(layout string, d digest.Digest) (string, error) {
	// Everything below joins the digest to a path.
	if err := d.Validate(); err != nil {
		return "", err
	}
	return filepath.Join(layout, ocispec.ImageBlobsDir, d.Algorithm().String(), d.Encoded()), nil
}

// readBlob reads and parses a JSON object of the layout. The descriptor it returns has
// nothing but what identifies the object: the name's annotation belongs to the index.
func readBlob(layout string, desc ocispec.Descriptor, into any) (blob, error) {
	path, err := blobPath(layout, desc.Digest)
	if err != nil {
		return blob{}, err
	}
	data, err := os.ReadFile(path)
	if err != nil {
		return blob{}, err
	}
	if int64(len(data)) != desc.Size || digest.FromBytes(data) != desc.Digest {
		return blob{}, fmt.Errorf("%s does not hold what its name says", path)
	}
	if err := json.Unmarshal(data, into); err != nil {
		return blob{}, fmt.Errorf("parsing %s: %w", path, err)
	}
	return blob{ocispec.Descriptor{MediaType: desc.MediaType, Digest: desc.Digest, Size: desc.Size}, data}, nil
}

func layerPath(layout string, desc ocispec.Descriptor) (string, error) {
	path, err := blobPath(layout, desc.Digest)
	if err != nil {
		return "", err
	}
	info, err := os.Stat(path)
	if errors.Is(err, fs.ErrNotExist) {
		return "", nil
	}
	if err != nil {
		return "", err
	}
	if info.Size() != desc.Size {
		return "", fmt.Errorf("%s has %d bytes, want %d", path, info.Size(), desc.Size)
	}
	return path, nil
}
