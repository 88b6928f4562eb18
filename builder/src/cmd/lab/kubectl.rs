//! `slipway lab kubectl`: the `kubectl` that was built with the images, with the lab's own kubeconfig.
//!
//! This process becomes kubectl, so that signals, exit status and a terminal reach it as if it had been started by
//! hand.

use std::ffi::OsString;
use std::os::unix::process::CommandExt;
use std::process::Command;

use anyhow::{Context as _, Result, bail};

use super::note::{Note, kubeconfig_path};
use super::{choose, labs};

/// Arguments.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The lab; the only one without it
    name: Option<String>,
    /// What kubectl is given
    #[arg(last = true, value_name = "ARGS")]
    args: Vec<OsString>,
}

/// Becomes kubectl; returns only if that fails.
///
/// # Errors
/// There is no such lab, or no kubectl.
pub fn run(args: &Args) -> Result<()> {
    let labs = labs()?;
    let name = choose(&labs, args.name.as_deref())?;
    let dir = labs.dir(&name);
    let note = Note::read(&dir)?;
    let (kubectl, kubeconfig) = (note.kubectl(), kubeconfig_path(&dir));
    if !kubectl.exists() {
        bail!(
            "{} is not there (make it with: slipway build --component kubectl --out {})",
            kubectl.display(),
            note.images.display()
        );
    }
    let mut command = Command::new(&kubectl);
    command.args(&args.args).env("KUBECONFIG", kubeconfig);
    // What kubectl remembers about a server belongs to this lab, not to whichever gets the same port next.
    command.env("KUBECACHEDIR", dir.path().join("kube.cache"));
    let error = command.exec();
    Err(error).with_context(|| format!("starting {}", kubectl.display()))
}
