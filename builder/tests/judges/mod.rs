//! The outside judges of our images: erofs-utils and veritysetup out of the locked tool set.
//!
//! They need that tool set in the store (`slipway fetch` brings it); without it each test says so
//! and counts as skipped.

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use slipway::deb::unpack_closure;
use slipway::lock::Lock;
use slipway::profile::Profiles;
use slipway::progress::Progress;
use slipway::store::Store;

/// The unpacked tool set, or nothing and a line that says why.
pub fn tools() -> Option<PathBuf> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let found = || -> anyhow::Result<PathBuf> {
        let profiles = Profiles::load(&root)?;
        let lock = Lock::load(&profiles.lock_path())?;
        let directory = match std::env::var_os("SLIPWAY_STORE") {
            Some(directory) => PathBuf::from(directory),
            None => Store::default_directory()?,
        };
        let store = Store::open(&directory)?;
        let set = profiles
            .tools
            .iter()
            .find(|(name, _)| name.as_str() == "erofs")
            .map(|(_, set)| set)
            .ok_or_else(|| anyhow::anyhow!("there is no tool set erofs"))?;
        Ok(unpack_closure(&store, &lock, set, &Progress::silent())?)
    };
    match found() {
        Ok(tree) => Some(tree),
        Err(error) => {
            let _ = writeln!(std::io::stdout(), "\nSKIPPED: no tool set erofs: {error:#}");
            None
        }
    }
}

pub fn run(tree: &Path, program: &str, arguments: &[&str]) -> Output {
    let libraries = tree.join("usr/lib/x86_64-linux-gnu");
    Command::new(libraries.join("ld-linux-x86-64.so.2"))
        .arg("--library-path")
        .arg(&libraries)
        .arg(tree.join(program))
        .args(arguments)
        .output()
        .unwrap()
}

pub fn assert_success(output: &Output) {
    assert!(
        output.status.success(),
        "{}{}",
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    );
}
