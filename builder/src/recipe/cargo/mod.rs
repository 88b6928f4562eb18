//! `[cargo]`: a program of this repository, linked statically.
//!
//! The host's Rust toolchain is the one input that no digest pins: its version string is in the key and
//! rust-toolchain.toml names it. Sources are exactly the package, its siblings in the
//! workspace that it depends on, and the crates that Cargo.lock pins ([`workspace`], [`crates`]);
//! linker and C compiler are the tool set's. Cargo's work is kept between builds, so that one
//! changed file costs one crate and a link.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};
use image_format::Digest;

use self::workspace::Workspace;
use super::{CC, Job, image_path, sources};
use crate::build::Workshop;
use crate::build::inputs::Inputs;
use crate::build::output::{Content, Output};
use crate::profile::Source;
use crate::profile::component::CargoSource;
use crate::sandbox::Sandbox;
use crate::store::KeyHasher;

pub mod crates;
pub mod toolchain;
pub mod workspace;

/// The only target there is.
const TARGET: &str = "x86_64-unknown-linux-gnu";

/// Statically linked: a binary that needs no file besides itself.
const RUSTFLAGS: &str = "-C target-feature=+crt-static";

/// Where cargo finds the locked crates, and that it asks nobody else.
const CARGO_CONFIG: &str = "[source.crates-io]\nreplace-with = \"locked\"\n\n[source.locked]\ndirectory = \"/crates\"\n\n[net]\noffline = true\n";

/// The crates that a package of the workspace at `root` is made from.
///
/// # Errors
/// A manifest or the lock is malformed.
pub fn locked_crates(root: &Path, package: &str) -> Result<Vec<crates::LockedCrate>> {
    let workspace = Workspace::load(root)?;
    crates::closure(&workspace.lock, &workspace.closure(package)?)
}

/// What a cargo build is made from, before anything is hashed or laid out.
struct Parts {
    sources: sources::Sources,
    crates: Vec<crates::LockedCrate>,
}

impl Parts {
    fn of(workshop: &Workshop, source: &CargoSource) -> Result<Self> {
        let workspace = Workspace::load(&workshop.profiles.root)?;
        let members = workspace.closure(&source.package)?;
        let crates = crates::closure(&workspace.lock, &members)?;
        Ok(Self { sources: workspace.sources(&members)?, crates })
    }

    /// The key of cargo's kept work: another compiler or other crates start anew.
    fn work_key(&self, workshop: &Workshop, source: &CargoSource) -> Result<Digest> {
        let mut tools = Inputs::new("cargo work 1");
        workshop.add_tools(&mut tools, CC)?;
        Ok(KeyHasher::new("cargo work 1")
            .field("tools", tools.key().as_bytes())
            .field("crates", crates::key(&self.crates).as_bytes())
            .field("rustc", &workshop.rust()?.version)
            .field("component", super::described(&Source::Cargo(source.clone()))?)
            .finish())
    }
}

pub(super) fn inputs(workshop: &Workshop, source: &CargoSource) -> Result<Inputs> {
    let parts = Parts::of(workshop, source)?;
    let mut inputs = Inputs::new("cargo 1");
    inputs.add("component.toml", super::described(&Source::Cargo(source.clone()))?);
    inputs.add("the Rust toolchain", &workshop.rust()?.version);
    for (path, text) in &parts.sources {
        // The lock's own text is no input: what it says of these packages is, crate by crate.
        if path != Path::new("Cargo.lock") {
            inputs.add(path.display().to_string(), text);
        }
    }
    for locked in &parts.crates {
        inputs.add_digest(format!("crate {} {}", locked.name, locked.version), locked.checksum);
    }
    workshop.add_tools(&mut inputs, CC)?;
    Ok(inputs)
}

pub(super) fn build(workshop: &Workshop, source: &CargoSource, job: &Job) -> Result<Vec<Output>> {
    let parts = Parts::of(workshop, source)?;
    let vendored = crates::unpack(workshop, &parts.crates)?;
    let key = parts.work_key(workshop, source)?;
    let (kept, _lock) = if workshop.options.cold {
        (job.work.join("build"), None)
    } else {
        let lock = workshop.store.lock_exclusively(&format!("cargo-{key}"), || ())?;
        (workshop.store.root().join("cargo").join(key.to_string()), Some(lock))
    };
    sources::mirror(&parts.sources, &kept.join("src"))?;
    write(&kept.join("home/config.toml"), CARGO_CONFIG)?;

    let sandbox = sandbox(workshop, job, &kept, &vendored)?;
    let mut command =
        vec!["/rust/bin/cargo", "build", "--offline", "--target", TARGET, "--profile", &source.profile];
    command.extend(["--package", &source.package, "--bin", &source.binary]);
    let features = source.features.join(",");
    if !features.is_empty() {
        command.extend(["--features", &features]);
    }
    sandbox.run(&command, "/build/src", &job.log).with_context(|| format!("building {}", source.package))?;

    let directory = if source.profile == "dev" { "debug" } else { source.profile.as_str() };
    let made = kept.join("target").join(TARGET).join(directory).join(&source.binary);
    let path = image_path(&source.output)?;
    let mut outputs = super::links(&path, &source.links)?;
    // Copied: cargo looks at its own file again next time.
    outputs.push(Output { path, mode: 0o755, content: Content::Copied(made), package: None });
    Ok(outputs)
}

fn sandbox(workshop: &Workshop, job: &Job, kept: &Path, vendored: &Path) -> Result<Sandbox> {
    let mut sandbox = Sandbox::new(&job.work)?;
    sandbox.tools(&workshop.tools(CC)?).writable(kept, "/build").readable(vendored, "/crates");
    for (part, at) in workshop.rust()?.parts()? {
        sandbox.readable(&part, &at);
    }
    let variables = [
        ("PATH", "/rust/bin:/shims:/usr/bin"),
        ("CARGO_HOME", "/build/home"),
        ("CARGO_TARGET_DIR", "/build/target"),
        ("CARGO_INCREMENTAL", "0"),
        ("RUSTFLAGS", RUSTFLAGS),
        ("CC", "gcc"),
        ("AR", "ar"),
    ];
    for (name, value) in variables {
        sandbox.set(name, value);
    }
    // What rustc calls for a linker.
    sandbox.shim("cc", "/usr/bin/gcc");
    Ok(sandbox)
}

fn write(path: &PathBuf, text: &str) -> Result<()> {
    if let Some(parent) = path.parent() {
        fs::create_dir_all(parent).with_context(|| format!("making {}", parent.display()))?;
    }
    fs::write(path, text).with_context(|| format!("writing {}", path.display()))
}
