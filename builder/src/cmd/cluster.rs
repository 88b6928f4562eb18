//! `slipway cluster`: a cluster's secrets and its machines' signed configs.
//!
//! `new` reads the operator's TOML and fills a directory: one signed config per machine,
//! the secrets that later changes need, the operator's kubeconfig, and the client files of the
//! machines' own API. It replaces nothing: a directory that holds a cluster already is refused.
//! `client` makes further certificates for that API, each with the role that it is to have.

use std::fs;
use std::path::{Path, PathBuf};

use ::node_api::Role;
use anyhow::{Context as _, Result, anyhow, bail};
use jiff::Timestamp;
use machine_config::MachineName;
use trust::pki::Minted;

use crate::cluster::node_api::{self, Inventory, NodeApi};
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
    /// Make a client certificate of the machines' own API
    Client(Client),
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

#[derive(Debug, clap::Args)]
struct Client {
    /// Whom or what it is for; the certificate's common name, and the name of its files
    name: String,
    /// The cluster's directory
    #[arg(long, value_name = "DIR", env = "SLIPWAY_CLUSTER")]
    cluster: PathBuf,
    /// What it may do
    #[arg(long)]
    role: Role,
    /// How long it counts; as the admin's without it
    #[arg(long)]
    days: Option<u32>,
    /// The directory to write `node-api/` into, to be handed over; the cluster's own without it
    #[arg(short, long, value_name = "DIR")]
    output: Option<PathBuf>,
}

/// Runs the verb.
///
/// # Errors
/// The description is refused, the directory holds a cluster, or a file can't be written.
pub fn run(args: Args, context: &Context) -> Result<()> {
    match args.verb {
        Verb::New(args) => new(args, context),
        Verb::Client(args) => client(&args, context),
    }
}

fn new(args: New, context: &Context) -> Result<()> {
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
    println!("node API:   {} (its admin's)", directory.join(node_api::DIRECTORY).display());
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
    let configs = issue::configs(plan, &secrets, FIRST_SERIAL, now).context("making the configs")?;
    let mut paths = Vec::new();
    for config in &configs {
        let name = &config.header.machine;
        let payload =
            toml::to_string(config).with_context(|| format!("writing down the config of {name}"))?;
        let comment = format!("cluster {} machine {name} serial {}", plan.name, config.header.serial);
        let sealed = signing_key.seal(payload.as_bytes(), &comment)?;
        let path = directory.join("machines").join(format!("{name}.slipway"));
        private_file::write(&path, &sealed, Readers::Owner)?;
        paths.push(path);
    }
    let kubeconfig = admin::kubeconfig(plan, &secrets, now).context("making the admin's certificate")?;
    private_file::write(&directory.join("admin.kubeconfig"), kubeconfig.as_bytes(), Readers::Owner)?;
    let days = plan.lifetimes.admin_days;
    let admin = NodeApi::of(&secrets)?.client(node_api::ADMIN, Role::Admin, days, now)?;
    write_client(directory, plan, &secrets, node_api::ADMIN, &admin)?;
    private_file::write(&directory.join("cluster.toml"), text.as_bytes(), Readers::Everybody)?;
    // Most people make their cluster in a checkout, and nobody wants its secrets in a repository.
    private_file::write(&directory.join(".gitignore"), b"*\n", Readers::Everybody)?;
    let secrets = toml::to_string(&secrets).context("writing down the cluster's secrets")?;
    // Last: the directory counts as a cluster only once everything else is in it.
    private_file::write(&secrets_path, secrets.as_bytes(), Readers::Owner)?;
    Ok(paths)
}

/// Makes one more client certificate of the machines' own API.
fn client(args: &Client, context: &Context) -> Result<()> {
    // It becomes a file's name, and the rules for machines' names suit that.
    let name: MachineName =
        args.name.parse().map_err(|error| anyhow!("{error}")).context("reading the name")?;
    let read = |file: &str| {
        let path = args.cluster.join(file);
        fs::read_to_string(&path).with_context(|| format!("reading {}", path.display()))
    };
    let plan = Plan::parse(&read("cluster.toml")?).map_err(|error| anyhow!("{error}"))?;
    let secrets: Secrets = toml::from_str(&read("secrets.toml")?)
        .map_err(|error| anyhow!("{}", error.message()))
        .with_context(|| format!("reading {}", args.cluster.join("secrets.toml").display()))?;
    let directory = args.output.as_ref().unwrap_or(&args.cluster);
    if certificate_path(directory, name.as_str()).exists() {
        bail!("{} holds an identity {name} already", directory.join(node_api::DIRECTORY).display());
    }
    let days = args.days.unwrap_or(plan.lifetimes.admin_days);
    let minted = NodeApi::of(&secrets)?.client(name.as_str(), args.role, days, Timestamp::now())?;
    write_client(directory, &plan, &secrets, name.as_str(), &minted)?;
    let files = directory.join(node_api::DIRECTORY);
    if context.json {
        println!(
            "{}",
            serde_json::json!({ "directory": files, "identity": name, "role": args.role, "days": days })
        );
    } else {
        println!(
            "{name} is {} for {days} days: slipway --cluster {} --identity {name}",
            args.role,
            directory.display()
        );
    }
    Ok(())
}

fn certificate_path(directory: &Path, identity: &str) -> PathBuf {
    directory.join(node_api::DIRECTORY).join(format!("{identity}.crt"))
}

/// Writes all that a client of the machines' own API needs.
fn write_client(directory: &Path, plan: &Plan, secrets: &Secrets, name: &str, minted: &Minted) -> Result<()> {
    let files = directory.join(node_api::DIRECTORY);
    private_file::make_directory(&files)?;
    let inventory = toml::to_string(&Inventory::of(plan)).context("writing down the machines")?;
    let ca = secrets.node_api_ca.certificate.as_pem();
    let certificate = certificate_path(directory, name);
    for (path, text) in [
        (files.join(node_api::CA_FILE), ca),
        (files.join(node_api::MACHINES_FILE), inventory.as_str()),
        (certificate.with_extension("key"), minted.key.as_str()),
        (certificate, minted.certificate.as_str()),
    ] {
        private_file::write(&path, text.as_bytes(), Readers::Owner)?;
    }
    Ok(())
}
