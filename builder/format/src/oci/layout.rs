//! An OCI image layout as a map of small files: writing one, and reading the image back.
//!
//! The layer's blob is not in the map: it is the caller's file, named here by its digest only.
//! The JSON types are `schema`'s, what an image is made of is `compose::pod_image`'s. Every blob
//! is checked against its digest when it is read, so an altered layout is an error and never an
//! image.

use std::collections::BTreeMap;

use serde::Serialize;
use serde::de::DeserializeOwned;

use super::schema::{self, Config, Descriptor, ImageManifest, Index, LayoutFile, Platform, RootFs};
use super::{Image, Layer};
use crate::Digest;

/// The files of a layout by their path in it, without the layer's blob.
pub type Layout = BTreeMap<String, Vec<u8>>;

/// Why a layout holds no image of ours.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum OciError {
    /// A file is missing.
    #[error("the layout has no {0}")]
    Missing(String),
    /// A file is not the JSON that it should be.
    #[error("parsing {path}: {message}")]
    Json {
        /// Which file.
        path: String,
        /// What is wrong.
        message: String,
    },
    /// A blob that is not what its name says.
    #[error("{path} does not hold what its name says")]
    Altered {
        /// Which file.
        path: String,
    },
    /// More or less than one image of one layer.
    #[error("{0}")]
    Shape(String),
}

/// The layout of `image`: the same files for the same image.
///
/// # Errors
/// [`OciError::Json`] when something cannot be written as JSON, which no text does.
pub fn write(image: &Image) -> Result<Layout, OciError> {
    let platform = Platform { architecture: "amd64".to_owned(), os: "linux".to_owned() };
    let config = json(
        "the config",
        &Config {
            // Images have no time of their own: it would make them differ without difference.
            created: "1970-01-01T00:00:00Z".to_owned(),
            architecture: platform.architecture.clone(),
            os: platform.os.clone(),
            config: image.process.clone(),
            rootfs: RootFs { kind: "layers".to_owned(), diff_ids: vec![name_of(&image.layer.digest)] },
        },
    )?;
    let manifest = json(
        "the manifest",
        &ImageManifest {
            schema_version: 2,
            media_type: schema::MANIFEST.to_owned(),
            config: descriptor(schema::CONFIG, &config),
            layers: vec![Descriptor {
                media_type: schema::LAYER.to_owned(),
                digest: name_of(&image.layer.digest),
                size: image.layer.size,
                platform: None,
                annotations: BTreeMap::new(),
            }],
        },
    )?;
    let index = json(
        "the index",
        &Index {
            schema_version: 2,
            media_type: schema::INDEX.to_owned(),
            manifests: vec![Descriptor {
                platform: Some(platform),
                annotations: BTreeMap::from([(schema::NAME.to_owned(), image.name.clone())]),
                ..descriptor(schema::MANIFEST, &manifest)
            }],
        },
    )?;
    let version = LayoutFile { image_layout_version: schema::LAYOUT_VERSION.to_owned() };
    Ok(BTreeMap::from([
        ("oci-layout".to_owned(), json("oci-layout", &version)?),
        ("index.json".to_owned(), index),
        (blob_path(&Digest::of(&manifest)), manifest),
        (blob_path(&Digest::of(&config)), config),
    ]))
}

/// Reads the one image of a layout, checking each blob against its name.
///
/// # Errors
/// [`OciError`] says what does not hang together.
pub fn read(layout: &Layout) -> Result<Image, OciError> {
    let version: LayoutFile = parse("oci-layout", file(layout, "oci-layout")?)?;
    if version.image_layout_version != schema::LAYOUT_VERSION {
        return Err(OciError::Shape(format!("layout version {:?}", version.image_layout_version)));
    }
    let index: Index = parse("index.json", file(layout, "index.json")?)?;
    let [manifest] = &index.manifests[..] else {
        return Err(OciError::Shape(format!("the index lists {} images, not one", index.manifests.len())));
    };
    let Some(name) = manifest.annotations.get(schema::NAME) else {
        return Err(OciError::Shape(format!("the index does not name its image with {}", schema::NAME)));
    };
    let manifest: ImageManifest = blob(layout, manifest)?;
    let config: Config = blob(layout, &manifest.config)?;
    let ([layer], [diff_id]) = (&manifest.layers[..], &config.rootfs.diff_ids[..]) else {
        return Err(OciError::Shape(format!("the image has {} layers, not one", manifest.layers.len())));
    };
    if layer.media_type != schema::LAYER || layer.digest != *diff_id {
        return Err(OciError::Shape("the layer is not a plain tar stream".to_owned()));
    }
    let layer = Layer { digest: digest_of(&layer.digest)?, size: layer.size };
    Ok(Image { name: name.clone(), process: config.config, layer })
}

fn name_of(digest: &Digest) -> String {
    format!("sha256:{digest}")
}

fn digest_of(name: &str) -> Result<Digest, OciError> {
    name.strip_prefix("sha256:")
        .and_then(|hex| hex.parse().ok())
        .ok_or_else(|| OciError::Shape(format!("{name:?} is no sha256 digest")))
}

fn blob_path(digest: &Digest) -> String {
    format!("blobs/sha256/{digest}")
}

fn descriptor(media_type: &str, bytes: &[u8]) -> Descriptor {
    Descriptor {
        media_type: media_type.to_owned(),
        digest: name_of(&Digest::of(bytes)),
        size: bytes.len() as u64,
        platform: None,
        annotations: BTreeMap::new(),
    }
}

fn json(what: &str, value: &impl Serialize) -> Result<Vec<u8>, OciError> {
    serde_json::to_vec(value)
        .map_err(|error| OciError::Json { path: what.to_owned(), message: error.to_string() })
}

fn file<'a>(layout: &'a Layout, path: &str) -> Result<&'a [u8], OciError> {
    layout.get(path).map(Vec::as_slice).ok_or_else(|| OciError::Missing(path.to_owned()))
}

fn parse<T: DeserializeOwned>(path: &str, bytes: &[u8]) -> Result<T, OciError> {
    serde_json::from_slice(bytes)
        .map_err(|error| OciError::Json { path: path.to_owned(), message: error.to_string() })
}

fn blob<T: DeserializeOwned>(layout: &Layout, descriptor: &Descriptor) -> Result<T, OciError> {
    let digest = digest_of(&descriptor.digest)?;
    let path = blob_path(&digest);
    let bytes = file(layout, &path)?;
    if Digest::of(bytes) != digest || bytes.len() as u64 != descriptor.size {
        return Err(OciError::Altered { path });
    }
    parse(&path, bytes)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::manifest::{Manifest, Node};
    use crate::oci::Process;

    fn image() -> Image {
        let mut manifest = Manifest::new();
        let pause = b"pause".to_vec();
        let sha256 = Digest::of(&pause);
        manifest.insert("/pause".parse().unwrap(), Node::file(sha256, 5, 0o755)).unwrap();
        Image {
            name: "registry.k8s.io/pause:3.10.2".to_owned(),
            process: Process {
                entrypoint: vec!["/pause".to_owned()],
                user: "65535:65535".to_owned(),
                ..Process::default()
            },
            layer: Layer::of(&manifest, &BTreeMap::from([(sha256, pause)])).unwrap(),
        }
    }

    #[test]
    fn an_image_reads_back_from_its_layout() {
        let layout = write(&image()).unwrap();
        assert_eq!(layout.len(), 4);
        assert_eq!(read(&layout).unwrap(), image());
    }

    #[test]
    fn an_altered_blob_is_refused() {
        let mut layout = write(&image()).unwrap();
        let (path, bytes) = layout.iter_mut().next().unwrap();
        let path = path.clone();
        bytes.push(b' ');
        assert_eq!(read(&layout), Err(OciError::Altered { path }));
    }

    #[test]
    fn a_layer_is_named_by_its_stream() {
        let mut stream = Vec::new();
        crate::tar::write(&Manifest::new(), &BTreeMap::new(), 0, &mut stream).unwrap();
        let layer = Layer::of(&Manifest::new(), &BTreeMap::new()).unwrap();
        assert_eq!(layer, Layer { digest: Digest::of(&stream), size: stream.len() as u64 });
    }

    proptest! {
        #[test]
        fn any_index_is_read_or_refused(text in ".{0,200}") {
            let mut layout = write(&image()).unwrap();
            layout.insert("index.json".to_owned(), text.into_bytes());
            prop_assert!(read(&layout).is_err());
        }
    }
}
