//! `[kernel]`: a kernel out of Debian's source package and our fragments.
//!
//! The fragments are the whole configuration: `allnoconfig` with all of them as preset, then every
//! option of theirs must be so in the final `.config` ([`config`]), else nothing is built. Time,
//! user, host and build number, which a kernel says of itself, are constants.

use std::fs;
use std::path::PathBuf;

use anyhow::{Context as _, Result, bail};

use super::{CC, Job, image_path};
use crate::build::Workshop;
use crate::build::inputs::Inputs;
use crate::build::output::{Content, Output};
use crate::lock::LockedPackage;
use crate::profile::component::{KernelArch, KernelSource};
use crate::profile::{Component, Source};
use crate::sandbox::Sandbox;

pub mod config;

/// What the kernel says of its own making. The time is [`crate::sandbox::SOURCE_DATE_EPOCH`].
const SAYS: [(&str, &str); 4] = [
    ("KBUILD_BUILD_TIMESTAMP", "Tue Nov 14 22:13:20 UTC 2023"),
    ("KBUILD_BUILD_USER", "slipway"),
    ("KBUILD_BUILD_HOST", "slipway"),
    ("KBUILD_BUILD_VERSION", "1"),
];

/// What of the source no kernel of ours is made from, as tar's patterns: a third of its files and half
/// of its bytes, whose unpacking and removal would take longer than some compilations. Kconfig
/// reads the files of that name everywhere, so those stay; the first pattern is every
/// architecture but um and x86.
const NOT_UNPACKED: [&str; 8] = [
    "*/arch/[abchlmnoprs]*/*.[chS]",
    "*/arch/*/boot/dts/*",
    "*/Documentation/?*/*",
    "*/drivers/gpu/drm/amd/*.[ch]",
    "*/drivers/gpu/drm/nouveau/*.[ch]",
    "*/sound/soc/*.[ch]",
    "*/tools/perf/*",
    "*/tools/testing/*",
];

pub(super) fn inputs(workshop: &Workshop, component: &Component, source: &KernelSource) -> Result<Inputs> {
    let mut inputs = Inputs::new("kernel 1");
    inputs.add("component.toml", super::described(&Source::Kernel(source.clone()))?);
    let package = source_package(workshop, component, source)?;
    inputs.add_digest(format!("source package {}", package.name), package.sha256);
    for (name, text) in fragments(workshop, source)? {
        inputs.add(format!("kernel-config/{name}.config"), text);
    }
    for (name, text) in patches(workshop, source)? {
        inputs.add(format!("kernel-config/patches/{name}.patch"), text);
    }
    workshop.add_tools(&mut inputs, CC)?;
    Ok(inputs)
}

pub(super) fn build(
    workshop: &Workshop,
    component: &Component,
    source: &KernelSource,
    job: &Job,
) -> Result<Vec<Output>> {
    let package = source_package(workshop, component, source)?;
    let unpacked = crate::deb::unpack_packages(
        &workshop.store,
        &source.source_package,
        &[package],
        &[],
        &["/usr/share".into()],
        &workshop.progress,
    )?;
    let mut sandbox = Sandbox::new(&job.work)?;
    sandbox.tools(&workshop.tools(CC)?).readable(&unpacked.join("usr/src"), "/source");
    for (name, value) in SAYS {
        sandbox.set(name, value);
    }
    let kernel = Kernel { sandbox, source, job };
    kernel.unpack(&patches(workshop, source)?)?;
    kernel.configure(&fragments(workshop, source)?)?;
    kernel.compile()
}

/// One kernel being built.
struct Kernel<'a> {
    sandbox: Sandbox,
    source: &'a KernelSource,
    job: &'a Job,
}

impl Kernel<'_> {
    fn step(&self, command: &[&str]) -> Result<()> {
        Ok(self.sandbox.run(command, "/build", &self.job.log)?)
    }

    /// The host's side of a path in `/build`.
    fn at(&self, path: &str) -> PathBuf {
        self.sandbox.build_dir().join(path)
    }

    fn write(&self, path: &str, text: &str) -> Result<()> {
        let at = self.at(path);
        fs::write(&at, text).with_context(|| format!("writing {}", at.display()))
    }

    fn unpack(&self, patches: &[(String, String)]) -> Result<()> {
        for directory in ["src", "obj", "patches"] {
            let at = self.at(directory);
            fs::create_dir_all(&at).with_context(|| format!("making {}", at.display()))?;
        }
        let archive = format!("/source/{}.tar.xz", self.source.source_package);
        let left_out = NOT_UNPACKED.map(|pattern| format!("--exclude={pattern}"));
        let mut unpack = vec!["tar", "-xf", &archive, "--no-same-owner", "--strip-components=1"];
        unpack.extend(left_out.iter().map(String::as_str));
        unpack.extend(["-C", "/build/src"]);
        self.step(&unpack).context("unpacking the kernel's source")?;
        for (name, text) in patches {
            self.write(&format!("patches/{name}.patch"), text)?;
            let file = format!("/build/patches/{name}.patch");
            self.step(&["patch", "-p1", "--forward", "--fuzz=0", "-d", "/build/src", "-i", &file])
                .with_context(|| format!("applying {name}"))?;
        }
        Ok(())
    }

    /// Arguments of every `make` here.
    fn make(&self, more: &[&str]) -> Result<()> {
        let processors = std::thread::available_parallelism().map_or(1, usize::from);
        let (arch, jobs) = (format!("ARCH={}", self.source.arch.as_str()), format!("-j{processors}"));
        let mut command =
            vec!["make", "-C", "/build/src", "O=/build/obj", &arch, &jobs, "HOSTCC=gcc", "CC=gcc"];
        command.extend(more);
        self.step(&command)
    }

    fn configure(&self, fragments: &[(String, String)]) -> Result<()> {
        let all: Vec<&str> = fragments.iter().map(|(_, text)| text.as_str()).collect();
        self.write("fragments.config", &all.join("\n"))?;
        self.make(&["KCONFIG_ALLCONFIG=/build/fragments.config", "allnoconfig"])
            .context("configuring the kernel")?;
        let path = self.at("obj/.config");
        let config = fs::read_to_string(&path).with_context(|| format!("reading {}", path.display()))?;
        let unmet = config::unmet(fragments, &config);
        if !unmet.is_empty() {
            let lines: Vec<String> = unmet.iter().map(ToString::to_string).collect();
            bail!(
                "options that the kernel's own rules did not let through (an option that they depend on is \
                 missing, or the option is gone from this kernel):\n{}",
                lines.join("\n")
            );
        }
        Ok(())
    }

    fn compile(&self) -> Result<Vec<Output>> {
        let (target, made, mode) = match self.source.arch {
            KernelArch::X86_64 => ("bzImage", "obj/arch/x86/boot/bzImage", 0o644),
            KernelArch::Um => ("linux", "obj/linux", 0o755),
        };
        self.make(&[target]).context("compiling the kernel")?;
        if self.source.arch == KernelArch::Um {
            self.step(&["strip", "--strip-all", "/build/obj/linux"]).context("stripping the kernel")?;
        }
        let path = |suffix: &str| image_path(format!("/{}{suffix}", self.source.output).as_ref());
        let output = |path, mode, made: &str| Output {
            path,
            mode,
            content: Content::Made(self.at(made)),
            package: None,
        };
        Ok(vec![output(path("")?, mode, made), output(path(".config")?, 0o644, "obj/.config")])
    }
}

/// The package with the source; what it depends on is not needed to read it.
fn source_package<'a>(
    workshop: &'a Workshop,
    component: &Component,
    source: &KernelSource,
) -> Result<&'a LockedPackage> {
    workshop
        .lock
        .component_packages(component)?
        .into_iter()
        .find(|package| package.name == source.source_package)
        .with_context(|| format!("the lock does not hold {}: run `slipway lock`", source.source_package))
}

/// The fragments by name, in the profile's order.
fn fragments(workshop: &Workshop, source: &KernelSource) -> Result<Vec<(String, String)>> {
    let directory = workshop.profiles.kernel_config_directory();
    texts(&source.fragments, |name| directory.join(format!("{name}.config")))
}

/// The patches by name, in the profile's order.
fn patches(workshop: &Workshop, source: &KernelSource) -> Result<Vec<(String, String)>> {
    let directory = workshop.profiles.kernel_config_directory().join("patches");
    texts(&source.patches, |name| directory.join(format!("{name}.patch")))
}

fn texts(names: &[String], path: impl Fn(&str) -> PathBuf) -> Result<Vec<(String, String)>> {
    let read = |name: &String| {
        let path = path(name);
        let text = fs::read_to_string(&path).with_context(|| format!("reading {}", path.display()))?;
        Ok((name.clone(), text))
    };
    names.iter().map(read).collect()
}
