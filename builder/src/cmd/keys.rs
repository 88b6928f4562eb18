//! `slipway keys`: the keys that sign machine configs.
//!
//! The private half stays with the operator (0600, outside any repository, with a
//! passphrase if asked for); the public half is what images trust.

use std::path::PathBuf;

use anyhow::{Context as _, Result, bail};

use crate::cluster::keys::{self, PASSPHRASE_VARIABLE};
use crate::cluster::private_file::{self, Readers};
use crate::cmd::Context;

/// Keys that sign machine configs.
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, clap::Subcommand)]
enum Verb {
    /// Make a key pair
    New(New),
}

#[derive(Debug, clap::Args)]
struct New {
    /// Where to put config.key and config.pub; ~/.config/slipway/keys without it
    directory: Option<PathBuf>,
    /// Encrypt the private key with the passphrase in SLIPWAY_PASSPHRASE
    #[arg(long)]
    passphrase: bool,
    /// Leave a pair that is there already as it is, instead of refusing
    #[arg(long)]
    if_absent: bool,
}

/// Runs the verb.
///
/// # Errors
/// A pair is there already, or the files can't be written.
pub fn run(args: Args, context: &Context) -> Result<()> {
    let Verb::New(args) = args.verb;
    let directory = args.directory.map_or_else(keys::default_directory, Ok)?;
    let (secret, public) = (keys::secret_path(&directory), keys::public_path(&directory));
    if secret.exists() {
        if !args.if_absent {
            bail!(
                "{} exists: machines trust its public half, so it is not replaced; name another directory or delete it yourself",
                secret.display()
            );
        }
        keys::load_public_key(&public)?;
        return report(&secret, &public, context);
    }
    let passphrase = if args.passphrase {
        let text =
            std::env::var(PASSPHRASE_VARIABLE).ok().filter(|text| !text.is_empty()).with_context(|| {
                format!("--passphrase takes it from the environment: set {PASSPHRASE_VARIABLE}")
            })?;
        Some(text)
    } else {
        None
    };
    let pair = trust::signing::new_keys(passphrase)?;
    // The public half first: a pair is there only once its private half is.
    private_file::write(&public, pair.public.as_bytes(), Readers::Everybody)?;
    private_file::write(&secret, pair.secret.as_bytes(), Readers::Owner)?;
    report(&secret, &public, context)
}

fn report(secret: &std::path::Path, public: &std::path::Path, context: &Context) -> Result<()> {
    if context.json {
        println!("{}", serde_json::json!({ "secret": secret, "public": public }));
    } else {
        println!("private key: {} (keep it; it signs for every machine)", secret.display());
        println!("public key:  {} (slipway build puts it into images)", public.display());
    }
    Ok(())
}
