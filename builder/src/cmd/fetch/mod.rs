//! `slipway fetch`: everything that the lock names, brought into the store.
//!
//! Debian's packages, the Go toolchain and every Go component's modules, and the crates of
//! Cargo.lock. What is there already is not asked for. After it, builds need no network.
//! `--verify` hashes the store anew first and fetches again what is damaged.

use std::collections::BTreeSet;
use std::path::PathBuf;

use anyhow::{Context as _, bail};
use indicatif::HumanBytes;
use serde_json::json;

use crate::cmd::Context;
use crate::cmd::mirror::MirrorArgs;
use crate::lock::Lock;
use crate::profile::{Component, ComponentName, Profiles, Role, Source};
use crate::progress::{Amount, Outcome, Progress};
use crate::recipe::cargo::{self, crates::Ask};
use crate::store::{Downloader, Store};

mod golang;
mod packages;
mod verify;

pub(super) use packages::{Errand, Tally, fetch_packages};

/// Arguments.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Roles whose components are fetched; without any, all but what Debian has for tests alone. Tools are in any case.
    roles: Vec<String>,
    /// Hash everything in the store anew; what is damaged is moved aside, named, and fetched again.
    #[arg(long)]
    verify: bool,
    #[command(flatten)]
    mirror: MirrorArgs,
}

/// How much of the store is hashed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Verify {
    /// What comes in.
    New,
    /// That, and all that is there.
    Everything,
}

/// Runs the verb.
///
/// # Errors
/// The lock is older than a profile, or something cannot be had.
pub fn run(args: Args, context: &Context) -> anyhow::Result<()> {
    let profiles = context.profiles()?;
    let lock = context.lock(&profiles)?;
    let store = context.store()?;
    let progress = &context.progress;
    let components = wanted_components(&profiles, &args.roles)?;
    let verify = if args.verify { Verify::Everything } else { Verify::New };
    let tally = bring(&profiles, &lock, &store, &components, &args.mirror, verify, progress)?;

    let Tally { fetched, fetched_bytes, from_store } = tally;
    if context.json {
        let result = json!({
            "event": "result", "fetched": fetched, "fetched-bytes": fetched_bytes, "from-store": from_store,
        });
        println!("{result}");
    } else {
        let bytes = HumanBytes(fetched_bytes);
        println!(
            "{fetched} packages fetched ({bytes}), {from_store} from the store {}",
            store.root().display()
        );
    }
    Ok(())
}

/// Brings everything that these components and the tools are made of into the store.
///
/// # Errors
/// The lock is older than a profile, or something cannot be had.
pub(super) fn bring(
    profiles: &Profiles,
    lock: &Lock,
    store: &Store,
    components: &[&Component],
    mirror: &MirrorArgs,
    verify: Verify,
    progress: &Progress,
) -> anyhow::Result<Tally> {
    let errands = packages::errands(profiles, lock, components)?;
    if verify == Verify::Everything {
        verify::verify_blobs(store, &errands, progress)?;
        verify::verify_trees(store, progress)?;
        verify::verify_packs(store, progress)?;
    }
    let downloader = Downloader::new(store);
    let missing = errands.iter().any(|errand| !store.has_blob(errand.digest()));
    let tally = if missing {
        let mirror = mirror.find()?;
        progress.note(&format!("Debian's packages from {} ({})", mirror.base(), mirror.named_by()));
        fetch_packages(errands, &mirror, &downloader, progress)?
    } else {
        progress.task("fetch", "packages", Amount::Unknown).finish(Outcome::FromStore);
        Tally { from_store: errands.len(), ..Tally::default() }
    };
    golang::fetch_go(profiles, lock, store, components, verify, progress)?;
    fetch_crates(profiles, store, components, progress)?;
    Ok(tally)
}

/// The components of roles, and those that every build needs: kernels, and what images hold.
fn wanted_components<'a>(profiles: &'a Profiles, roles: &[String]) -> anyhow::Result<Vec<&'a Component>> {
    if roles.is_empty() {
        return Ok(profiles
            .components
            .values()
            .filter(|component| !is_for_tests(profiles, component))
            .collect());
    }
    let mut names: BTreeSet<&ComponentName> = BTreeSet::new();
    for role in roles {
        let Some(role) = profiles.roles.get(role) else {
            let known: Vec<&str> = profiles.roles.keys().map(String::as_str).collect();
            bail!("there is no role {role}: the roles are {}", known.join(", "));
        };
        names.extend(role.components.iter().chain(&role.images));
    }
    let image_of = |name: &ComponentName| match profiles.components.get(name).map(|found| &found.source) {
        Some(Source::Image(image)) => {
            profiles.components.get_key_value(&image.component).map(|(name, _)| name)
        }
        _ => None,
    };
    let inside: Vec<&ComponentName> = names.iter().filter_map(|name| image_of(name)).collect();
    names.extend(inside);
    let kept = |component: &&Component| {
        names.contains(&component.name) || matches!(component.source, Source::Kernel(_))
    };
    Ok(profiles.components.values().filter(kept).collect())
}

/// Programs of others beside whom ours are measured or by whom they are judged are large, and nobody's but who builds
/// them: they are fetched then.
fn is_for_tests(profiles: &Profiles, component: &Component) -> bool {
    let held = |role: &Role| role.components.contains(&component.name);
    matches!(component.source, Source::Deb(_)) && !profiles.roles.values().any(held)
}

/// The crates that our own programs are made of, by cargo and so by its own configuration.
fn fetch_crates(
    profiles: &Profiles,
    store: &Store,
    components: &[&Component],
    progress: &Progress,
) -> anyhow::Result<()> {
    let mut crates = BTreeSet::new();
    for component in components {
        if let Source::Cargo(source) = &component.source {
            crates.extend(cargo::locked_crates(&profiles.root, &source.package)?);
        }
    }
    if crates.is_empty() {
        return Ok(());
    }
    let task = progress.task("fetch", "crates", Amount::Unknown);
    let crates: Vec<_> = crates.into_iter().collect();
    let fetched = cargo::crates::fetch(store, &cargo_home()?, &profiles.root, &crates, Ask::Cargo)?;
    task.finish(if fetched { Outcome::Done(String::new()) } else { Outcome::FromStore });
    Ok(())
}

/// Where cargo keeps what it has fetched.
///
/// # Errors
/// Neither CARGO_HOME nor HOME is set.
pub(super) fn cargo_home() -> anyhow::Result<PathBuf> {
    let set = |name| std::env::var_os(name).map(PathBuf::from).filter(|path| path.is_absolute());
    set("CARGO_HOME")
        .or_else(|| set("HOME").map(|home| home.join(".cargo")))
        .context("finding cargo's directory: neither CARGO_HOME nor HOME is set")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_debian_has_for_tests_alone_is_not_fetched_with_the_rest() {
        let root = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
        let profiles = Profiles::load(&root).unwrap();
        let wanted = wanted_components(&profiles, &[]).unwrap();
        let is_wanted = |name: &str| wanted.iter().any(|component| component.name.as_str() == name);
        assert!(["haproxy", "e2fsprogs", "kubectl", "kernel", "init"].into_iter().all(is_wanted));
        assert!(!["promtool", "rivals"].into_iter().any(is_wanted));
    }
}
