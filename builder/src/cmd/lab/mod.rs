//! `slipway lab`: a cluster on this host, without root and without KVM.
//!
//! The `lab` crate knows machines and wires; here is what it does not know: which image a machine of the cluster boots,
//! what its console says, and how to ask the cluster itself. A file per verb; `setup` turns a cluster and images into a
//! lab, `story` reads consoles, `watch` waits until everything is up.

mod artifacts;
mod config_disk;
mod console;
mod cpus;
mod down;
mod driver;
mod failure;
mod kubeconfig;
mod kubectl;
mod list;
mod machine;
mod note;
mod qemu;
pub mod reach;
mod setup;
mod status;
mod story;
mod timeline;
mod up;
mod watch;

use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, bail};
use lab::Labs;

use crate::cmd::Context;

/// A cluster on this host.
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(subcommand)]
    verb: Verb,
}

impl Args {
    /// Whether all that the verb does is to print.
    pub(super) fn only_prints(&self) -> bool {
        matches!(&self.verb, Verb::Status(_) | Verb::Console(_) | Verb::Timeline(_) | Verb::List)
    }
}

#[derive(Debug, clap::Subcommand)]
enum Verb {
    /// Boot a cluster and wait until its nodes are Ready
    Up(up::Args),
    /// Show each machine's stage, services and last problem
    Status(Which),
    /// Print a machine's console since power-on
    Console(console::Args),
    /// Run kubectl against a lab's cluster
    Kubectl(kubectl::Args),
    /// Run the QEMU that labs use, with arguments of your own
    Qemu(qemu::Args),
    /// Switch single machines on and off
    Machine(machine::Args),
    /// Show when each machine reached what in its last boot
    Timeline(Which),
    /// List the labs of this user
    List,
    /// Take a lab down and remove it
    Down(Which),
    /// The process that a lab is
    #[command(hide = true)]
    Supervise {
        /// The lab's directory
        directory: PathBuf,
    },
}

/// Runs the verb.
///
/// # Errors
/// Whatever the verb refuses; the chain names what was being done.
pub fn run(args: Args, context: &Context) -> Result<()> {
    match args.verb {
        Verb::Up(args) => up::run(args, context),
        Verb::Status(args) => status::run(&args, context),
        Verb::Console(args) => console::run(&args),
        Verb::Kubectl(args) => kubectl::run(&args),
        Verb::Qemu(args) => qemu::run(&args, context),
        Verb::Machine(args) => machine::run(args, context),
        Verb::Timeline(args) => timeline::run(&args, context),
        Verb::List => list::run(context),
        Verb::Down(args) => down::run(&args, context),
        Verb::Supervise { directory } => supervise(&directory),
    }
}

fn supervise(directory: &Path) -> Result<()> {
    lab::supervise(directory).with_context(|| format!("running the lab in {}", directory.display()))
}

/// `~/.local/state/slipway`, or below `XDG_STATE_HOME`.
fn state_directory() -> Result<PathBuf> {
    let state = std::env::var_os("XDG_STATE_HOME")
        .map(PathBuf::from)
        .filter(|path| path.is_absolute())
        .or_else(|| std::env::var_os("HOME").map(|home| PathBuf::from(home).join(".local/state")));
    state
        .map(|state| state.join("slipway"))
        .context("finding the directory of labs: neither XDG_STATE_HOME nor HOME is set")
}

/// The labs of this user.
fn labs() -> Result<Labs> {
    Ok(Labs::in_directory(state_directory()?.join("labs")))
}

/// Which lab a verb is about.
#[derive(Debug, clap::Args)]
pub struct Which {
    /// The lab; the only one without it
    name: Option<String>,
}

impl Which {
    fn choose(&self, labs: &Labs) -> Result<String> {
        choose(labs, self.name.as_deref())
    }
}

/// The lab that is meant: the named one, or the only one there is.
fn choose(labs: &Labs, name: Option<&str>) -> Result<String> {
    if let Some(name) = name {
        if !labs.dir(name).path().join("lab.json").is_file() {
            bail!("there is no lab named {name} (see: slipway lab list)");
        }
        return Ok(name.to_owned());
    }
    let listed = labs.list()?;
    match listed.as_slice() {
        [] => bail!("there is no lab; boot one with: slipway lab up"),
        [only] => Ok(only.name.clone()),
        several => {
            let names: Vec<&str> = several.iter().map(|lab| lab.name.as_str()).collect();
            bail!("there are several labs ({}): name one", names.join(", "))
        }
    }
}
