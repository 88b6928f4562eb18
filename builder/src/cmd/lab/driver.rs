//! Which kind of machine to boot: found out by trying, never assumed.

use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, bail};
use lab::{Accelerator, DriverSpec, QemuProgram, kvm_works};

use crate::cmd::Context;

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

/// The named program, or the host's.
fn find(named: Option<&Path>, _context: &Context) -> Result<QemuProgram> {
    if let Some(path) = named {
        return if path.is_dir() {
            Ok(QemuProgram::in_tree(path)?)
        } else {
            Ok(QemuProgram::installed(path.to_owned()))
        };
    }
    match on_path("qemu-system-x86_64") {
        Some(path) => Ok(QemuProgram::installed(path)),
        None => bail!("there is no qemu-system-x86_64 here; name one with --qemu, or use --driver uml"),
    }
}

fn on_path(program: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH").context("no PATH").ok()?;
    std::env::split_paths(&path).map(|directory| directory.join(program)).find(|path| path.is_file())
}
