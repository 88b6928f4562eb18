//! A component: one thing to build, and where it comes from.
//!
//! `profiles/components/NAME/component.toml` holds a description, a licence and exactly one table
//! that says the kind of source. How a kind is built is `recipe`'s business; what the
//! inputs' digests are stands in the lock.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use toml::Spanned;

use super::{ComponentName, ProfileError, Suite, at, parse, read};

/// One component.
#[derive(Debug, Clone, PartialEq)]
pub struct Component {
    /// The name of its directory.
    pub name: ComponentName,
    /// Its directory.
    pub directory: PathBuf,
    /// One line for people.
    pub description: String,
    /// Its version; none where the lock knows it (Debian's packages, kernels) or the workspace does.
    pub version: Option<String>,
    /// Its licence, an SPDX expression.
    pub license: String,
    /// Where it comes from.
    pub source: Source,
}

/// Where a component comes from.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Source {
    /// Go packages out of a wrapper module.
    Go(GoSource),
    /// Files out of Debian's packages.
    Deb(DebSource),
    /// A kernel.
    Kernel(KernelSource),
    /// A program of this repository.
    Cargo(CargoSource),
    /// Directories, links and small files written down in the profile.
    Files(FilesSource),
    /// An OCI image for pods, made from another component.
    Image(ImageSource),
}

/// `[go]`: binaries built out of a wrapper module.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct GoSource {
    /// The directory of go.mod and go.sum, relative to the component's.
    #[serde(default = "here")]
    pub module: PathBuf,
    /// Build tags.
    #[serde(default)]
    pub tags: Vec<String>,
    /// Words for `-ldflags`, beside those every binary gets.
    #[serde(default)]
    pub ldflags: Vec<String>,
    /// Whether C code is compiled in.
    #[serde(default)]
    pub cgo: bool,
    /// `-buildmode`.
    pub buildmode: Option<String>,
    /// `-linkmode` of the linker.
    pub linkmode: Option<String>,
    /// `-extldflags` of the linker.
    pub extldflags: Option<String>,
    /// What is built.
    #[serde(rename = "binary")]
    pub binaries: Vec<GoBinary>,
}

fn here() -> PathBuf {
    PathBuf::from(".")
}

/// One Go binary.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct GoBinary {
    /// An import path, or `./directory` in the module.
    pub package: String,
    /// Its place in the image.
    pub output: PathBuf,
    /// Further names for it: symbolic links to `output`.
    #[serde(default)]
    pub links: Vec<PathBuf>,
}

/// `[deb]`: files out of Debian's packages.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct DebSource {
    /// The packages that hold the files; what they depend on is locked with them.
    pub packages: Vec<String>,
    /// The suite they come from.
    #[serde(default)]
    pub suite: Suite,
    /// Files to take, each with the shared libraries that it needs.
    pub include: Vec<PathBuf>,
}

/// `[kernel]`: a kernel built from Debian's source package.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct KernelSource {
    /// The package with the source, such as `linux-source-6.12`.
    pub source_package: String,
    /// The suite it comes from.
    #[serde(default)]
    pub suite: Suite,
    /// What it is built for.
    pub arch: KernelArch,
    /// Fragments of `kernel-config/`, in order.
    pub fragments: Vec<String>,
    /// Patches of `kernel-config/patches/`, in order.
    #[serde(default)]
    pub patches: Vec<String>,
    /// The name of the kernel's file among the artifacts.
    pub output: String,
}

/// What a kernel runs on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum KernelArch {
    /// A PC, real or virtual.
    #[serde(rename = "x86_64")]
    X86_64,
    /// A process of the host.
    #[serde(rename = "um")]
    Um,
}

impl KernelArch {
    /// The kernel's own word for it (`ARCH=`).
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            KernelArch::X86_64 => "x86_64",
            KernelArch::Um => "um",
        }
    }
}

/// `[cargo]`: a program of this repository.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct CargoSource {
    /// Its package in the workspace.
    pub package: String,
    /// The binary in it.
    pub binary: String,
    /// The profile it is built with.
    pub profile: String,
    /// Features beyond the default ones.
    #[serde(default)]
    pub features: Vec<String>,
    /// Its place in the image.
    pub output: PathBuf,
    /// Further names for it: symbolic links to `output`.
    #[serde(default)]
    pub links: Vec<PathBuf>,
}

/// `[files]`: entries written down in the profile.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case", default)]
pub struct FilesSource {
    /// Directories.
    #[serde(rename = "directory")]
    pub directories: Vec<DirectoryEntry>,
    /// Symbolic links.
    #[serde(rename = "symlink")]
    pub symlinks: Vec<SymlinkEntry>,
    /// Files with their text in the profile.
    #[serde(rename = "text")]
    pub texts: Vec<TextEntry>,
    /// Files copied from the component's directory.
    #[serde(rename = "file")]
    pub files: Vec<FileEntry>,
}

/// A directory.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct DirectoryEntry {
    /// Where.
    pub path: PathBuf,
    /// Its permissions.
    #[serde(default = "Mode::directory")]
    pub mode: Mode,
}

/// A symbolic link.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct SymlinkEntry {
    /// Where.
    pub path: PathBuf,
    /// What it says.
    pub target: PathBuf,
}

/// A file whose text stands in the profile.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct TextEntry {
    /// Where.
    pub path: PathBuf,
    /// Its permissions.
    #[serde(default = "Mode::file")]
    pub mode: Mode,
    /// What it says.
    pub text: String,
}

/// A file copied from the component's directory.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct FileEntry {
    /// Where.
    pub path: PathBuf,
    /// Its permissions.
    #[serde(default = "Mode::file")]
    pub mode: Mode,
    /// The file in the component's directory.
    pub source: PathBuf,
}

/// Permission bits, written as octal text such as `"0755"`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Mode(u32);

impl Mode {
    fn directory() -> Self {
        Self(0o755)
    }

    fn file() -> Self {
        Self(0o644)
    }

    /// The bits.
    #[must_use]
    pub fn bits(self) -> u32 {
        self.0
    }
}

impl TryFrom<String> for Mode {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        match u32::from_str_radix(&text, 8) {
            Ok(bits) if text.len() == 4 && bits <= 0o7777 => Ok(Self(bits)),
            _ => Err(format!("{text:?} is no mode: four octal digits, such as \"0755\"")),
        }
    }
}

impl From<Mode> for String {
    fn from(mode: Mode) -> Self {
        format!("{:04o}", mode.0)
    }
}

/// `[image]`: an OCI image for pods.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct ImageSource {
    /// The reference that pods use.
    pub name: String,
    /// The component whose files are its root file system.
    pub component: ComponentName,
    /// What runs.
    pub entrypoint: Vec<String>,
    /// Its default arguments.
    #[serde(default)]
    pub arguments: Vec<String>,
    /// User, or `user:group`, as numbers; root without it.
    pub user: Option<String>,
    /// Environment of what runs.
    #[serde(default)]
    pub environment: BTreeMap<String, String>,
    /// Working directory of what runs.
    pub working_directory: Option<PathBuf>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
struct RawComponent {
    description: String,
    version: Option<String>,
    license: String,
    go: Option<Spanned<GoSource>>,
    deb: Option<Spanned<DebSource>>,
    kernel: Option<Spanned<KernelSource>>,
    cargo: Option<Spanned<CargoSource>>,
    files: Option<Spanned<FilesSource>>,
    image: Option<Spanned<ImageSource>>,
}

const KINDS: &str = "[go], [deb], [kernel], [cargo], [files] or [image]";

impl Component {
    /// Reads `directory/component.toml`.
    ///
    /// # Errors
    /// It cannot be read or parsed.
    pub fn load(directory: &Path) -> Result<Self, ProfileError> {
        let path = directory.join("component.toml");
        Self::parse(directory, &read(&path)?)
    }

    /// Parses a component's text; `directory` gives the name.
    ///
    /// # Errors
    /// The text is no component.
    pub fn parse(directory: &Path, text: &str) -> Result<Self, ProfileError> {
        let path = directory.join("component.toml");
        let raw: RawComponent = parse(&path, text)?;
        let name = directory.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let name = ComponentName::try_from(name)
            .map_err(|error| ProfileError::Reference { path: path.clone(), message: error.to_string() })?;
        let mut sources: Vec<(usize, Source)> = Vec::new();
        fn take<T>(found: &mut Vec<(usize, Source)>, table: Option<Spanned<T>>, kind: fn(T) -> Source) {
            if let Some(table) = table {
                found.push((table.span().start, kind(table.into_inner())));
            }
        }
        take(&mut sources, raw.go, Source::Go);
        take(&mut sources, raw.deb, Source::Deb);
        take(&mut sources, raw.kernel, Source::Kernel);
        take(&mut sources, raw.cargo, Source::Cargo);
        take(&mut sources, raw.files, Source::Files);
        take(&mut sources, raw.image, Source::Image);
        sources.sort_by_key(|(offset, _)| *offset);
        let mut sources = sources.into_iter();
        let Some((offset, source)) = sources.next() else {
            return Err(at(&path, text, 0, format!("it has no source: one of {KINDS}")));
        };
        if let Some((second, _)) = sources.next() {
            return Err(at(&path, text, second, format!("a second source: exactly one of {KINDS}")));
        }
        match (&source, &raw.version) {
            (Source::Go(_), None) => {
                return Err(at(&path, text, offset, "a [go] component needs a version".to_owned()));
            }
            (Source::Deb(_) | Source::Kernel(_), Some(_)) => {
                let message = "its version is in the lock: leave `version` out".to_owned();
                return Err(at(&path, text, 0, message));
            }
            _ => {}
        }
        Ok(Self {
            name,
            directory: directory.to_path_buf(),
            description: raw.description,
            version: raw.version,
            license: raw.license,
            source,
        })
    }

    /// The directory of its go.mod, for a Go component.
    #[must_use]
    pub fn go_module(&self) -> Option<PathBuf> {
        let Source::Go(go) = &self.source else { return None };
        Some(self.directory.join(&go.module))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HEAD: &str = "description = 'd'\nlicense = 'MIT'\n";

    fn parsed(text: &str) -> Result<Component, ProfileError> {
        Component::parse(Path::new("profiles/components/thing"), &format!("{HEAD}{text}"))
    }

    #[test]
    fn a_component_has_exactly_one_source() {
        assert!(parsed("").is_err());
        let two = parsed("[deb]\npackages = []\ninclude = []\n[files]\n").unwrap_err();
        let ProfileError::Parse { line, .. } = two else { panic!("{two}") };
        assert_eq!(line, 6, "the second table is pointed at");
    }

    #[test]
    fn a_debian_component_s_version_is_the_lock_s() {
        assert!(parsed("version = '1'\n[deb]\npackages = []\ninclude = []\n").is_err());
        assert!(parsed("[deb]\npackages = ['haproxy']\ninclude = ['/usr/sbin/haproxy']\n").is_ok());
    }

    #[test]
    fn a_mode_is_four_octal_digits() {
        let text = |mode: &str| format!("[[files.directory]]\npath = '/var'\nmode = '{mode}'\n");
        assert!(parsed(&text("0755")).is_ok());
        assert!(parsed(&text("755")).is_err());
        assert!(parsed(&text("0855")).is_err());
    }

    #[test]
    fn every_kind_refuses_what_it_does_not_know() {
        for table in ["go", "deb", "kernel", "cargo", "files", "image"] {
            let error = parsed(&format!("[{table}]\nsurprise = 1\n")).unwrap_err();
            assert!(error.to_string().contains("surprise"), "{table}: {error}");
        }
    }
}
