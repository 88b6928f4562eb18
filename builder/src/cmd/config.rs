//! `slipway config`: sign, verify and show machine configs.
//!
//! `verify` asks the very functions that a machine asks, so it refuses what a machine
//! would refuse, in the same words, before anybody walks to the machine.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, bail};
use jiff::Timestamp;
use machine_config::admission::{Binding, Situation};
use machine_config::{ClusterName, MachineConfig, MachineName, Role, admit, redact};
use trust::envelope::{self, PublicKey, Verified};

use crate::cluster::keys;
use crate::cluster::private_file::{self, Readers};
use crate::cmd::{Context, node};

/// Longest envelope that a machine reads.
const LONGEST_ENVELOPE_BYTES: u64 = 256 * 1024;

/// Machine configs.
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, clap::Subcommand)]
enum Verb {
    /// Sign a payload (TOML) for a machine
    Sign(Sign),
    /// Say whether a machine would take a signed config, and why not
    Verify(Verify),
    /// Show a signed config, secrets left out
    Show(Show),
    /// Show the config that machines run with, secrets left out
    Running(node::RunningArgs),
}

#[derive(Debug, clap::Args)]
struct Sign {
    /// The payload: what `slipway config show --payload` prints, changed
    payload: PathBuf,
    /// Where to write the signed config
    #[arg(short, long, value_name = "FILE")]
    output: PathBuf,
    /// The signing key; ~/.config/slipway/keys/config.key without it
    #[arg(long, value_name = "FILE")]
    key: Option<PathBuf>,
    /// Sign the bytes as they are, even if this version would not read them
    #[arg(long)]
    unchecked: bool,
}

#[derive(Debug, clap::Args)]
struct Verify {
    /// The signed config
    config: PathBuf,
    #[command(flatten)]
    trusted: Trusted,
    /// The role of the machine's image
    #[arg(long)]
    role: Option<Role>,
    /// The cluster that the machine belongs to already
    #[arg(long, requires = "machine")]
    cluster: Option<ClusterName>,
    /// The name that the machine has already
    #[arg(long, requires = "cluster")]
    machine: Option<MachineName>,
    /// The serial of the config that the machine has stored
    #[arg(long, requires = "cluster", default_value_t = 0)]
    stored_serial: u64,
    /// A MAC address of the machine; repeatable
    #[arg(long)]
    mac: Vec<String>,
    /// The machine's clock; now without it
    #[arg(long)]
    at: Option<Timestamp>,
}

#[derive(Debug, clap::Args)]
struct Show {
    /// The signed config
    config: PathBuf,
    #[command(flatten)]
    trusted: Trusted,
    /// Print the payload as it was signed, secrets and all
    #[arg(long)]
    payload: bool,
}

#[derive(Debug, clap::Args)]
struct Trusted {
    /// A public key that may have signed; repeatable; ~/.config/slipway/keys/config.pub without it
    #[arg(long = "key", value_name = "FILE")]
    keys: Vec<PathBuf>,
}

impl Trusted {
    fn load(&self) -> Result<Vec<PublicKey>> {
        if self.keys.is_empty() {
            return Ok(vec![keys::load_public_key(&keys::public_path(&keys::default_directory()?))?]);
        }
        self.keys.iter().map(|path| keys::load_public_key(path)).collect()
    }
}

/// Runs the verb.
///
/// # Errors
/// The config is refused, or a file can't be read or written.
pub fn run(args: Args, context: &Context) -> Result<()> {
    match args.verb {
        Verb::Sign(args) => sign(&args),
        Verb::Verify(args) => verify(&args, context),
        Verb::Show(args) => show(&args, context),
        Verb::Running(args) => node::running(&args, context),
    }
}

fn sign(args: &Sign) -> Result<()> {
    let payload = fs::read(&args.payload).with_context(|| format!("reading {}", args.payload.display()))?;
    let comment = if args.unchecked {
        "unchecked".to_owned()
    } else {
        let config = parse(&payload, &args.payload)?;
        let header = config.header;
        format!("cluster {} machine {} serial {}", header.cluster, header.machine, header.serial)
    };
    let key = match &args.key {
        Some(path) => path.clone(),
        None => keys::secret_path(&keys::default_directory()?),
    };
    let sealed = keys::load_signing_key(&key)?.seal(&payload, &comment)?;
    private_file::write(&args.output, &sealed, Readers::Owner)?;
    eprintln!("signed: {} (check it with: slipway config verify)", args.output.display());
    Ok(())
}

fn verify(args: &Verify, context: &Context) -> Result<()> {
    let verified = open(&args.config, &args.trusted)?;
    let config = parse(verified.payload(), &args.config)?;
    let header = &config.header;
    let situation = Situation {
        role: args.role.unwrap_or_else(|| config.role()),
        macs: if args.mac.is_empty() { header.mac.iter().cloned().collect() } else { args.mac.clone() },
        bound_to: args.cluster.clone().zip(args.machine.clone()).map(|(cluster, machine)| Binding {
            cluster,
            machine,
            serial: args.stored_serial,
        }),
        now: args.at.unwrap_or_else(Timestamp::now),
    };
    if let Err(refusal) = admit(&config, &situation) {
        bail!("{}: refused: {refusal}", args.config.display());
    }
    let (cluster, machine, role, serial) = (&header.cluster, &header.machine, config.role(), header.serial);
    if context.json {
        let expires = header.expires.to_string();
        println!(
            "{}",
            serde_json::json!({ "cluster": cluster, "machine": machine, "role": role, "serial": serial,
                "expires": expires, "signer": verified.signer().to_string() })
        );
    } else {
        println!(
            "good: {machine} of cluster {cluster}, role {role}, serial {serial}, until {}, signed by {}",
            header.expires,
            verified.signer()
        );
    }
    Ok(())
}

fn show(args: &Show, context: &Context) -> Result<()> {
    let verified = open(&args.config, &args.trusted)?;
    if args.payload {
        let text = String::from_utf8_lossy(verified.payload());
        print!("{text}");
        return Ok(());
    }
    let config = parse(verified.payload(), &args.config)?;
    let mut value = toml::Table::try_from(&config).context("writing down the config")?;
    redact::redact(&mut value);
    if context.json {
        println!("{}", serde_json::to_string_pretty(&value).context("writing down the config")?);
    } else {
        println!("# signed by {}; secrets left out", verified.signer());
        print!("{value}");
    }
    Ok(())
}

fn open(path: &Path, trusted: &Trusted) -> Result<Verified> {
    let size = fs::metadata(path).with_context(|| format!("reading {}", path.display()))?.len();
    if size > LONGEST_ENVELOPE_BYTES {
        bail!("{}: {size} bytes: a machine reads no more than {LONGEST_ENVELOPE_BYTES}", path.display());
    }
    let bytes = fs::read(path).with_context(|| format!("reading {}", path.display()))?;
    envelope::verify(&bytes, &trusted.load()?).with_context(|| format!("{}: refused", path.display()))
}

fn parse(payload: &[u8], path: &Path) -> Result<MachineConfig> {
    let text =
        std::str::from_utf8(payload).with_context(|| format!("{}: refused: not UTF-8", path.display()))?;
    MachineConfig::parse(text).with_context(|| format!("{}: refused", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cluster::{Plan, Secrets, issue};

    fn demo() -> (Plan, Secrets, Vec<MachineConfig>) {
        let now: Timestamp = "2026-01-01T00:00:00Z".parse().unwrap();
        let plan = Plan::parse(include_str!("../cluster/demo.toml")).unwrap();
        let secrets = Secrets::generate(&plan, now).unwrap();
        let configs = issue::configs(&plan, &secrets, 1, now).unwrap();
        (plan, secrets, configs)
    }

    fn config_of(role: Role) -> (Secrets, String) {
        let (_, secrets, configs) = demo();
        let config = configs.iter().find(|config| config.role() == role).unwrap();
        (secrets, toml::to_string(config).unwrap())
    }

    /// Every secret of a cluster by name.
    fn secrets_of(secrets: &Secrets) -> Vec<(&'static str, &str)> {
        vec![
            ("kubernetes CA key", secrets.kubernetes_ca.key.as_pem()),
            ("front-proxy CA key", secrets.front_proxy_ca.key.as_pem()),
            ("etcd CA key", secrets.etcd_ca.key.as_pem()),
            ("etcd-client CA key", secrets.etcd_client_ca.key.as_pem()),
            ("node-API CA key", secrets.node_api_ca.key.as_pem()),
            ("service account key", secrets.service_account_key.as_pem()),
            ("encryption key", secrets.encryption_key.expose()),
            ("bootstrap token", secrets.bootstrap_token_secret.expose()),
        ]
    }

    /// The names of the secrets that a role's config holds.
    fn held_by(role: Role) -> Vec<&'static str> {
        let (secrets, text) = config_of(role);
        // Keys span lines in TOML's multi-line strings as they do in PEM: compare without white space.
        let flat = |text: &str| text.replace("\\n", "").split_whitespace().collect::<String>();
        let text = flat(&text);
        secrets_of(&secrets)
            .into_iter()
            .filter(|(_, secret)| text.contains(&flat(secret)))
            .map(|(name, _)| name)
            .collect()
    }

    /// How many private keys a role's config holds.
    fn private_keys(role: Role) -> usize {
        config_of(role).1.matches("BEGIN PRIVATE KEY").count()
    }

    #[test]
    fn a_load_balancer_is_given_no_secret_but_the_key_of_its_own_api() {
        assert!(held_by(Role::Lb).is_empty());
        assert_eq!(private_keys(Role::Lb), 1);
    }

    #[test]
    fn a_worker_is_given_a_token_and_no_key_but_that_of_its_own_api() {
        assert_eq!(held_by(Role::Worker), ["bootstrap token"]);
        assert_eq!(private_keys(Role::Worker), 1);
    }

    #[test]
    fn nobody_is_given_the_key_that_makes_operators() {
        let (_, secrets, configs) = demo();
        let key = secrets.node_api_ca.key.as_pem();
        for config in configs {
            assert_ne!(config.api.key.as_pem(), key, "{}", config.header.machine);
            assert!(!held_by(config.role()).contains(&"node-API CA key"), "{}", config.header.machine);
        }
    }

    #[test]
    fn a_machines_api_certificate_is_for_it_alone_and_as_old_as_its_config() {
        for config in demo().2 {
            let facts = trust::pki::Facts::from_pem(config.api.certificate.as_pem()).unwrap();
            assert_eq!(facts.dns_names, [config.header.machine.as_str()]);
            assert_eq!(facts.addresses, [std::net::IpAddr::from(config.network.address)]);
            assert!(facts.for_servers && !facts.for_clients && !facts.is_authority);
            assert!(facts.organizations.is_empty(), "a server has no role");
            assert_eq!(facts.not_after, config.header.expires);
        }
    }

    #[test]
    fn an_etcd_member_is_given_only_etcds_own_ca_key() {
        assert_eq!(held_by(Role::Etcd), ["etcd CA key"]);
    }

    #[test]
    fn a_control_plane_is_given_everything_but_etcds_ca_key() {
        assert_eq!(
            held_by(Role::ControlPlane),
            [
                "kubernetes CA key",
                "front-proxy CA key",
                "etcd-client CA key",
                "service account key",
                "encryption key",
                "bootstrap token"
            ]
        );
    }

    #[test]
    fn what_is_issued_is_what_a_machine_reads() {
        for config in demo().2 {
            let text = toml::to_string(&config).unwrap();
            assert_eq!(MachineConfig::parse(&text).unwrap(), config);
        }
    }

    #[test]
    fn a_shown_config_holds_no_secret() {
        let (secrets, text) = config_of(Role::ControlPlane);
        let mut table: toml::Table = text.parse().unwrap();
        redact::redact(&mut table);
        let shown = table.to_string();
        assert!(!shown.contains("PRIVATE KEY"));
        for (name, secret) in secrets_of(&secrets) {
            assert!(!shown.contains(secret), "{name}");
        }
    }

    #[test]
    fn an_unknown_field_and_a_newer_schema_are_refused_by_name() {
        let (_, text) = config_of(Role::Lb);
        let unknown = text.replacen("[header]", "[header]\ncolour = \"red\"", 1);
        assert!(MachineConfig::parse(&unknown).unwrap_err().to_string().contains("unknown field `colour`"));
        let newer = text.replacen("schema = 1", "schema = 2\nsomething-new = true", 1);
        assert!(MachineConfig::parse(&newer).unwrap_err().to_string().contains("schema 2 is too new"));
    }
}
