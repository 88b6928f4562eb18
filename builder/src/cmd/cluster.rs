//! `slipway cluster`: a cluster's secrets and its machines' signed configs.
//!
//! `new` reads the operator's TOML and fills a directory: one signed config per machine,
//! the secrets that later changes need, and the operator's kubeconfig. It replaces
//! nothing: a directory that holds a cluster already is refused.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, anyhow, bail};
use jiff::Timestamp;

use crate::cluster::private_file::{self, Readers};
use crate::cluster::{Plan, Secrets, admin, issue, keys};
use crate::cmd::Context;

/// The serial of a new cluster's configs; every later change counts up from here.
const FIRST_SERIAL: u64 = 1;

/// A cluster's secrets and configs.
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, clap::Subcommand)]
enum Verb {
    /// Make secrets, an admin kubeconfig and one signed config per machine
    New(New),
}

#[derive(Debug, clap::Args)]
struct New {
    /// The cluster's description
    plan: PathBuf,
    /// The directory to fill; named after the cluster without it
    #[arg(short, long, value_name = "DIR")]
    output: Option<PathBuf>,
    /// The signing key; ~/.config/slipway/keys/config.key without it
    #[arg(long, value_name = "FILE")]
    key: Option<PathBuf>,
}

/// Runs the verb.
///
/// # Errors
/// The description is refused, the directory holds a cluster, or a file can't be written.
pub fn run(args: Args, context: &Context) -> Result<()> {
    let Verb::New(args) = args.verb;
    let text = fs::read_to_string(&args.plan).with_context(|| format!("reading {}", args.plan.display()))?;
    let plan = Plan::parse(&text)
        .map_err(|error| anyhow!("{}", prefixed(&args.plan, &error)))
        .context("checking the cluster's description")?;
    let directory = args.output.unwrap_or_else(|| PathBuf::from(plan.name.as_str()));
    let made = create(&plan, &text, &directory, args.key.as_deref(), Timestamp::now())?;
    if context.json {
        println!("{}", serde_json::json!({ "directory": directory, "machines": made }));
        return Ok(());
    }
    for (machine, path) in plan.machines.iter().zip(&made) {
        println!(
            "{:<16} {:<14} {:<15} {}",
            machine.name.as_str(),
            machine.role.as_str(),
            machine.address,
            path.display()
        );
    }
    println!("secrets:    {} (keep it: later changes need it)", directory.join("secrets.toml").display());
    println!("kubeconfig: {}", directory.join("admin.kubeconfig").display());
    println!("next: slipway lab up --cluster {}", directory.display());
    Ok(())
}

/// `FILE:LINE:COLUMN: message`, a line per complaint.
fn prefixed(path: &Path, error: &crate::cluster::plan::PlanError) -> String {
    error
        .issues()
        .iter()
        .map(|issue| format!("\n  {}:{}:{}: {}", path.display(), issue.line, issue.column, issue.message))
        .collect()
}

/// Fills `directory` with a new cluster; gives the paths of the machines' configs in the plan's order.
///
/// # Errors
/// The directory holds a cluster, the key can't be used, or a file can't be written.
pub fn create(
    plan: &Plan,
    text: &str,
    directory: &Path,
    key: Option<&Path>,
    now: Timestamp,
) -> Result<Vec<PathBuf>> {
    let secrets_path = directory.join("secrets.toml");
    if secrets_path.exists() {
        bail!(
            "{} holds a cluster already, and its machines trust only its CAs; name another directory with --output",
            directory.display()
        );
    }
    let key_path = match key {
        Some(path) => path.to_owned(),
        None => keys::secret_path(&keys::default_directory()?),
    };
    let signing_key = keys::load_signing_key(&key_path)?;
    let secrets = Secrets::generate(plan, now).context("making the cluster's secrets")?;
    let configs = issue::configs(plan, &secrets, FIRST_SERIAL, now).context("dating the configs")?;
    let mut paths = Vec::new();
    for config in &configs {
        let name = &config.header.machine;
        let payload =
            toml::to_string(config).with_context(|| format!("writing down the config of {name}"))?;
        let comment = format!("cluster {} machine {name} serial {}", plan.name, config.header.serial);
        let sealed = signing_key.seal(payload.as_bytes(), &comment)?;
        let path = directory.join("machines").join(format!("{name}.slipway"));
        // Only a load balancer's config holds no secret, but one rule for all is easier to keep.
        private_file::write(&path, &sealed, Readers::Owner)?;
        paths.push(path);
    }
    let kubeconfig = admin::kubeconfig(plan, &secrets, now).context("making the admin's certificate")?;
    private_file::write(&directory.join("admin.kubeconfig"), kubeconfig.as_bytes(), Readers::Owner)?;
    private_file::write(&directory.join("cluster.toml"), text.as_bytes(), Readers::Everybody)?;
    // Most people make their cluster in a checkout, and nobody wants its secrets in a repository.
    private_file::write(&directory.join(".gitignore"), b"*\n", Readers::Everybody)?;
    let secrets = toml::to_string(&secrets).context("writing down the cluster's secrets")?;
    // Last: the directory counts as a cluster only once everything else is in it.
    private_file::write(&secrets_path, secrets.as_bytes(), Readers::Owner)?;
    Ok(paths)
}
