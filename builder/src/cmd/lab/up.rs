//! `slipway lab up`: boots a cluster and waits until its nodes are Ready.
//!
//! Until then the lab hangs on this command: Ctrl-C or a kill takes it down. Afterwards it lives on by itself.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, anyhow, bail};
use jiff::Timestamp;
use lab::{DriverSpec, LabDir, Labs};
use machine_config::Role;

use super::artifacts::Artifacts;
use super::note::{Note, kubeconfig_path};
use super::setup::{self, Wish};
use super::watch::{self, Interrupt};
use super::{config_disk, down, driver, kubeconfig, labs, status};
use crate::cluster::Plan;
use crate::cluster::private_file::{self, Readers};
use crate::cmd::{Context, cluster};

/// The cluster that is made when none is given.
const DEMO: &str = include_str!("../../cluster/demo.toml");

/// Arguments.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// What to call the lab; the cluster's name without it
    name: Option<String>,
    /// What `slipway cluster new` made; a cluster of four machines is made without it
    #[arg(long, value_name = "DIR")]
    cluster: Option<PathBuf>,
    /// Where the images are
    #[arg(long, value_name = "DIR", default_value = "out")]
    images: PathBuf,
    /// What boots the machines; tried out without it
    #[arg(long, value_enum)]
    driver: Option<driver::Kind>,
    /// The QEMU to use, or the root of a tree that it is installed in
    #[arg(long, value_name = "PATH")]
    qemu: Option<PathBuf>,
    /// The key that signs a cluster made here; ~/.config/slipway/keys/config.key without it
    #[arg(long, value_name = "FILE")]
    key: Option<PathBuf>,
    /// Give up after so many seconds; without it 300 under UML and KVM, 1200 under TCG
    #[arg(long, value_name = "SECONDS")]
    timeout: Option<u64>,
    /// Boot only this machine (more than once for several)
    #[arg(long, value_name = "MACHINE")]
    only: Vec<String>,
    /// Return as soon as the machines are switched on
    #[arg(long)]
    no_wait: bool,
    /// Give a machine this disk instead of a blank one
    #[arg(long, value_name = "MACHINE=FILE", value_parser = assignment)]
    data_disk: Vec<(String, PathBuf)>,
    /// Keep what crosses the switch in network.pcap
    #[arg(long)]
    capture: bool,
}

fn assignment(text: &str) -> Result<(String, PathBuf), String> {
    let (machine, path) = text.split_once('=').ok_or("MACHINE=FILE is wanted")?;
    let path = std::path::absolute(path).map_err(|error| error.to_string())?;
    Ok((machine.to_owned(), path))
}

/// Runs the verb.
///
/// # Errors
/// Something is missing, or the cluster does not come up; its consoles are kept then.
pub fn run(args: Args, context: &Context) -> Result<()> {
    let images = std::path::absolute(&args.images)
        .with_context(|| format!("finding the directory {}", args.images.display()))?;
    let text = description(args.cluster.as_deref())?;
    let plan = Plan::parse(&text)
        .map_err(|error| anyhow!("{error}"))
        .context("checking the cluster's description")?;
    let name = args.name.clone().unwrap_or_else(|| plan.name.to_string());

    let labs = labs()?;
    if labs.list()?.iter().any(|lab| lab.name == name && lab.running) {
        bail!(
            "lab {name} is running already: see it with slipway lab status {name}, or take it down first with slipway lab down {name}"
        );
    }
    if labs.dir(&name).path().exists() {
        down::discard(&labs, &name, context)?;
    }
    let wish = Wish {
        name: &name,
        driver: driver::choose(args.driver, args.qemu.as_deref(), context)?,
        only: &args.only,
        data_disks: args.data_disk.iter().cloned().collect::<BTreeMap<_, _>>(),
        capture: args.capture,
    };
    let timeout = Duration::from_secs(args.timeout.unwrap_or(match wish.driver {
        DriverSpec::Qemu { accelerator: lab::Accelerator::Tcg, .. } => 1200,
        _ => 300,
    }));
    let spec = setup::describe(&plan, wish, |role| Artifacts::read(&images, role))?;
    let dir = labs.create(&spec)?;
    let made = match &args.cluster {
        Some(made) => {
            std::path::absolute(made).with_context(|| format!("finding the directory {}", made.display()))?
        }
        None => {
            let made = dir.path().join("cluster.made");
            cluster::create(&plan, &text, &made, args.key.as_deref(), Timestamp::now())?;
            made
        }
    };
    for machine in &spec.machines {
        let envelope = made.join("machines").join(format!("{}.slipway", machine.name));
        let envelope = std::fs::read(&envelope).with_context(|| format!("reading {}", envelope.display()))?;
        config_disk::write(&dir.machine(&machine.name).join(setup::CONFIG_DISK), &envelope)?;
    }
    let here = |name: &str| spec.machines.iter().any(|machine| machine.name == name);
    let workers = plan.of_role(Role::Worker).map(|machine| machine.name.to_string());
    let mut note = Note {
        images,
        cluster: made,
        nodes: if args.only.is_empty() { workers.filter(|name| here(name)).collect() } else { Vec::new() },
        ready: BTreeMap::new(),
        failure: None,
    };
    note.write(&dir)?;

    let interrupt = Interrupt::listen()?;
    let power_on = Instant::now();
    let tether = labs.launch(&name, supervisor(context)?)?;
    write_kubeconfig(&labs, &name, &dir, &note)?;
    if !args.no_wait {
        let outcome =
            watch::until_ready(&labs, &dir, &mut note, power_on + timeout, power_on, &interrupt, context);
        if let Err(error) = outcome {
            note.failure = Some(format!("{error:#}"));
            note.write(&dir)?;
            drop(tether);
            labs.down(&name)?;
            return Err(error.context(format!(
                "lab {name} did not come up; its consoles and logs are in {}",
                dir.path().display()
            )));
        }
        note.write(&dir)?;
    }
    tether.detach()?;
    say_what_next(&labs, &name, &dir, &note, power_on.elapsed(), &args, context)
}

fn description(made: Option<&Path>) -> Result<String> {
    match made {
        None => Ok(DEMO.to_owned()),
        Some(directory) => {
            let path = directory.join("cluster.toml");
            std::fs::read_to_string(&path)
                .with_context(|| format!("reading {} (make it with: slipway cluster new)", path.display()))
        }
    }
}

/// This program again, as the lab's own process.
fn supervisor(context: &Context) -> Result<Command> {
    let program = std::env::current_exe().context("finding this program")?;
    let mut command = Command::new(program);
    let verbose = (0..context.verbose.max(1)).map(|_| OsString::from("-v"));
    command.args(verbose).args(["lab", "supervise"]);
    Ok(command)
}

fn write_kubeconfig(labs: &Labs, name: &str, dir: &LabDir, note: &Note) -> Result<()> {
    let status = labs.open(name)?.status()?;
    let Some(api) = status.forwards.iter().find(|forward| forward.name == setup::API) else { return Ok(()) };
    let path = note.cluster.join("admin.kubeconfig");
    let text = std::fs::read_to_string(&path).with_context(|| format!("reading {}", path.display()))?;
    let text = kubeconfig::through(&text, api.host)?;
    private_file::write(&kubeconfig_path(dir), text.as_bytes(), Readers::Owner)
}

fn say_what_next(
    labs: &Labs,
    name: &str,
    dir: &LabDir,
    note: &Note,
    took: Duration,
    args: &Args,
    context: &Context,
) -> Result<()> {
    if context.json {
        let status = labs.open(name)?.status()?;
        println!("{}", status::report(name, dir, Some(&status), &status::stories(dir)?, Some(note))?);
        return Ok(());
    }
    if args.no_wait {
        println!("lab {name}: machines are switched on");
    } else {
        println!("lab {name}: up {:.1} s after power-on", took.as_secs_f64());
    }
    println!("next: slipway lab status {name}");
    if !note.nodes.is_empty() {
        if !note.kubectl().exists() {
            println!("      slipway build --component kubectl --out {}", note.images.display());
        }
        println!("      slipway lab kubectl {name} -- get nodes");
    }
    println!("      slipway lab down {name}");
    Ok(())
}
