//! Which kind of machine to boot: found out by trying, never assumed.
//!
//! KVM is probed by running a guest. Without it User-mode Linux is the default, since it needs an eighth of the CPU that
//! QEMU's translator does; QEMU is the one that the lock pins, if it was fetched.

use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};
use lab::{Accelerator, DriverSpec, QemuProgram, kvm_works};

use crate::cmd::Context;
use crate::deb::unpack_closure;

/// The word on the command line.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Kind {
    /// User-mode Linux: fast everywhere, shares the host's CPU but not its devices
    Uml,
    /// QEMU: a whole machine; KVM if it works here, software otherwise
    Qemu,
}

/// Chooses and probes. Without a word: QEMU where KVM works and QEMU is at hand, User-mode Linux elsewhere.
///
/// # Errors
/// QEMU is asked for and not at hand.
pub fn choose(kind: Option<Kind>, qemu: Option<&Path>, context: &Context) -> Result<DriverSpec> {
    match kind {
        Some(Kind::Uml) => Ok(DriverSpec::Uml {}),
        Some(Kind::Qemu) => Ok(with_program(find(qemu, context)?)),
        None if !Path::new("/dev/kvm").exists() => Ok(DriverSpec::Uml {}),
        None => match find(qemu, context).map(with_program) {
            Ok(spec @ DriverSpec::Qemu { accelerator: Accelerator::Kvm, .. }) => Ok(spec),
            _ => Ok(DriverSpec::Uml {}),
        },
    }
}

fn with_program(program: QemuProgram) -> DriverSpec {
    let accelerator = if kvm_works(&program) { Accelerator::Kvm } else { Accelerator::Tcg };
    DriverSpec::Qemu { program, accelerator }
}

/// The named program, or the one that the lock pins, or the host's.
///
/// # Errors
/// None of them is there.
pub fn find(named: Option<&Path>, context: &Context) -> Result<QemuProgram> {
    match named {
        Some(path) if path.is_dir() => Ok(QemuProgram::in_tree(path)?),
        Some(path) => Ok(QemuProgram::installed(path.to_owned())),
        None => match locked(context) {
            Ok(program) => Ok(program),
            Err(why) => match on_path(INSTALLED) {
                Some(path) => Ok(QemuProgram::installed(path)),
                None => Err(why.context(format!(
                    "there is no {INSTALLED} here; fetch the locked one with slipway fetch, name one with --qemu, or use --driver uml"
                ))),
            },
        },
    }
}

/// What the program is called where somebody installed it.
const INSTALLED: &str = "qemu-system-x86_64";
/// The tool set that holds it.
const TOOLS: &str = "qemu";

/// The tool set from the store, unpacked.
fn locked(context: &Context) -> Result<QemuProgram> {
    let profiles = context.profiles()?;
    let set = profiles
        .tools
        .get(TOOLS)
        .with_context(|| format!("there is no tool set {TOOLS} in profiles/tools"))?;
    let root = unpack_closure(&context.store()?, &context.lock(&profiles)?, set, &context.progress)?;
    Ok(QemuProgram::in_tree(&root)?)
}

fn on_path(program: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH")?;
    std::env::split_paths(&path).map(|directory| directory.join(program)).find(|path| path.is_file())
}
