//! The verbs of the command line: one file each, with its `Args` and `run`.
//!
//! `Context` carries what every verb shares: where the profiles and the store are, how to talk
//! (terminal, plain lines, JSON), and how much to log. Data goes to stdout, talk to stderr.

use std::path::{Path, PathBuf};

use anyhow::Context as _;
use clap::{Parser, Subcommand};

use crate::lock::Lock;
use crate::profile::Profiles;
use crate::progress::Progress;
use crate::store::Store;

pub mod build;
pub mod cluster;
pub mod completion;
pub mod config;
pub mod fetch;
pub mod inspect;
pub mod keys;
pub mod lab;
pub mod lock;
pub mod man;
pub mod mirror;
pub mod node;
mod roles;

/// Builds images for Kubernetes machines, boots them as a cluster, and operates the machines.
#[derive(Debug, Parser)]
#[command(name = "slipway", version, propagate_version = true)]
pub struct Cli {
    #[command(flatten)]
    global: Global,
    #[command(subcommand)]
    verb: Verb,
}

/// Options of every verb.
#[derive(Debug, clap::Args)]
struct Global {
    /// Print machine-readable JSON: results on stdout, progress as one object per line.
    #[arg(long, global = true)]
    json: bool,
    /// Log more on stderr; twice for everything.
    #[arg(short, long, action = clap::ArgAction::Count, global = true)]
    verbose: u8,
    /// The directory that holds `profiles/`; found from the working directory upwards without it.
    #[arg(long, value_name = "DIR", env = "SLIPWAY_ROOT", global = true)]
    root: Option<PathBuf>,
    /// The store of downloads and builds; `~/.cache/slipway` without it.
    #[arg(long, value_name = "DIR", env = "SLIPWAY_STORE", global = true)]
    store: Option<PathBuf>,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// Resolve the profiles' inputs and pin each by digest in `profiles/slipway.lock`.
    Lock(lock::Args),
    /// Fetch what the lock names into the store; everything after it works offline.
    Fetch(fetch::Args),
    /// Build the images of roles.
    Build(build::Args),
    /// Look into what was built.
    Inspect(inspect::Args),
    /// Make the keys that sign machine configs.
    Keys(keys::Args),
    /// Make a cluster's secrets and its machines' signed configs.
    Cluster(cluster::Args),
    /// Sign, verify and show machine configs.
    Config(config::Args),
    /// Boot a cluster on this host, without root and without KVM.
    Lab(lab::Args),
    #[command(flatten)]
    Node(node::Verb),
    /// Print what a shell needs to complete this command.
    Completion(completion::Args),
    /// Write the manual pages of this command.
    Man(man::Args),
}

impl Cli {
    /// What the verb needs besides its own arguments.
    #[must_use]
    pub fn context(&self) -> Context {
        Context {
            json: self.global.json,
            verbose: self.global.verbose,
            root: self.global.root.clone(),
            store: self.global.store.clone(),
            progress: Progress::for_this_terminal(self.global.json),
        }
    }

    /// Whether all that the verb does is to print: it may then end when nobody reads any more.
    /// The others have children and connections whose pipes may break, and want to say why.
    #[must_use]
    pub fn only_prints(&self) -> bool {
        match &self.verb {
            Verb::Inspect(_) => true,
            Verb::Lab(args) => args.only_prints(),
            Verb::Completion(_) => true,
            _ => false,
        }
    }

    /// Runs the verb.
    ///
    /// # Errors
    /// Whatever the verb refuses; the chain names what was being done.
    pub fn run(self, context: &Context) -> anyhow::Result<()> {
        match self.verb {
            Verb::Lock(args) => lock::run(args, context),
            Verb::Fetch(args) => fetch::run(args, context),
            Verb::Build(args) => build::run(args, context),
            Verb::Inspect(args) => inspect::run(args, context),
            Verb::Keys(args) => keys::run(args, context),
            Verb::Cluster(args) => cluster::run(args, context),
            Verb::Config(args) => config::run(args, context),
            Verb::Lab(args) => lab::run(args, context),
            Verb::Node(verb) => node::run(verb, context),
            Verb::Completion(args) => completion::run(&args),
            Verb::Man(args) => man::run(&args, context),
        }
    }
}

/// What every verb shares.
#[derive(Debug)]
pub struct Context {
    /// Whether to print JSON instead of tables.
    pub json: bool,
    /// How often `-v` was given.
    pub verbose: u8,
    /// Where progress goes.
    pub progress: Progress,
    root: Option<PathBuf>,
    store: Option<PathBuf>,
}

impl Context {
    /// The directory that holds `profiles/`.
    ///
    /// # Errors
    /// There is none here or above.
    pub fn root(&self) -> anyhow::Result<PathBuf> {
        if let Some(root) = &self.root {
            return std::path::absolute(root)
                .with_context(|| format!("finding the directory {}", root.display()));
        }
        let here = std::env::current_dir().context("finding the working directory")?;
        here.ancestors()
            .find(|directory| directory.join("profiles/components").is_dir())
            .map(Path::to_path_buf)
            .with_context(|| {
                format!(
                    "no profiles/ in {} or above: change to the repository, or name it with --root DIR",
                    here.display()
                )
            })
    }

    /// All profiles, parsed.
    ///
    /// # Errors
    /// A profile does not parse; the message names file, line and column.
    pub fn profiles(&self) -> anyhow::Result<Profiles> {
        Ok(Profiles::load(&self.root()?)?)
    }

    /// The lock. Whether it is as new as a component shows when it is asked about it.
    ///
    /// # Errors
    /// There is none, or it does not parse.
    pub fn lock(&self, profiles: &Profiles) -> anyhow::Result<Lock> {
        Ok(Lock::load(&profiles.lock_path())?)
    }

    /// The store.
    ///
    /// # Errors
    /// Its directory cannot be made.
    pub fn store(&self) -> anyhow::Result<Store> {
        Ok(match &self.store {
            Some(directory) => Store::open(directory)?,
            None => Store::open(&Store::default_directory()?)?,
        })
    }

    /// Sends `tracing` to stderr, warnings only without `-v`.
    pub fn start_logging(&self) {
        let level = match self.verbose {
            0 => tracing::Level::WARN,
            1 => tracing::Level::DEBUG,
            _ => tracing::Level::TRACE,
        };
        tracing_subscriber::fmt()
            .with_writer(self.progress.log_writer())
            .with_max_level(level)
            .with_target(self.verbose > 1)
            .without_time()
            .init();
    }

    /// Prints the error that ended the command.
    pub fn report(&self, error: &anyhow::Error) {
        let text = format!("{error:#}");
        // What was printed for programs has each machine's own error in it, and is a document that has ended.
        if error.is::<node::Unanswered>() {
            self.progress.complain(&text)
        } else {
            self.progress.error(&text)
        }
    }
}
