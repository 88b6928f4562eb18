//! `slipway lock`: what the profiles ask for, resolved and pinned by digest.
//!
//! The only verb that asks the network what there is. It verifies each suite's signature, resolves
//! every component's and tool set's packages, pins the Go toolchain, and writes the lock.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::Context as _;
use serde_json::json;

use crate::cmd::Context;
use crate::cmd::fetch::{Errand, fetch_packages};
use crate::cmd::mirror::MirrorArgs;
use crate::deb::release::{self, Release};
use crate::deb::resolve::Universe;
use crate::deb::{index, unpack_packages};
use crate::gomod;
use crate::lock::{Lock, LockedGo, LockedPackage, LockedSuite, Resolution, component_inputs, tool_inputs};
use crate::mirror::Mirror;
use crate::profile::{Profiles, Source, Suite, ToolSet};
use crate::progress::{Amount, Outcome};
use crate::store::{Downloader, Store, Wanted};

/// The most that an InRelease file may be.
const RELEASE_LIMIT: u64 = 8 << 20;

/// Arguments.
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(flatten)]
    mirror: MirrorArgs,
}

/// Runs the verb.
///
/// # Errors
/// An input cannot be had, is not signed, or has needs that cannot be met.
pub fn run(args: Args, context: &Context) -> anyhow::Result<()> {
    let profiles = context.profiles()?;
    let store = context.store()?;
    let mirror = args.mirror.find()?;
    context.progress.note(&format!("Debian's packages from {} ({})", mirror.base(), mirror.named_by()));
    let previous = Lock::load(&profiles.lock_path()).ok();
    let downloader = Downloader::new(&store);

    let mut universe = Universe::default();
    let mut suites = BTreeMap::new();
    for suite in suites_of(&profiles) {
        let locked = add_suite(&mut universe, &suite, &profiles, &mirror, &downloader, &store, context)
            .with_context(|| format!("reading the suite {suite}"))?;
        suites.insert(suite, locked);
    }
    let mut tools = BTreeMap::new();
    for set in profiles.tools.values() {
        let packages = universe
            .closure(&set.suite, &set.packages)
            .with_context(|| format!("resolving the tool set {}", set.name))?;
        tools.insert(set.name.clone(), Resolution { inputs: tool_inputs(set), packages });
    }
    let mut components = BTreeMap::new();
    for component in profiles.components.values() {
        let Some(inputs) = component_inputs(component)? else { continue };
        let packages = match &component.source {
            Source::Deb(deb) => universe.closure(&deb.suite, &deb.packages),
            // A kernel's build needs the tool set's compiler, not what its source package names.
            Source::Kernel(kernel) => universe
                .package(&kernel.suite, &kernel.source_package)
                .map(|source| BTreeSet::from([source.package.clone()])),
            _ => Ok(BTreeSet::new()),
        };
        let packages = packages.with_context(|| format!("resolving the component {}", component.name))?;
        components.insert(component.name.clone(), Resolution { inputs, packages });
    }
    let mut go = None;
    for set in profiles.tools.values() {
        if let (Some(version), Some(resolved)) = (&set.go_toolchain, tools.get(&set.name)) {
            go = Some(match previous.as_ref().and_then(|lock| lock.go.clone()) {
                Some(locked) if locked.version == *version => locked,
                _ => resolve_go(set, version, &resolved.packages, &mirror, &downloader, &store, context)?,
            });
        }
    }
    let lock = Lock::assemble(go, suites, tools, components);
    lock.save(&profiles.lock_path())?;
    report(previous.as_ref(), &lock, &profiles, context);
    Ok(())
}

fn suites_of(profiles: &Profiles) -> BTreeSet<Suite> {
    let mut suites: BTreeSet<Suite> = profiles.tools.values().map(|set| set.suite.clone()).collect();
    for component in profiles.components.values() {
        match &component.source {
            Source::Deb(deb) => suites.insert(deb.suite.clone()),
            Source::Kernel(kernel) => suites.insert(kernel.suite.clone()),
            _ => continue,
        };
    }
    suites
}

fn add_suite(
    universe: &mut Universe,
    suite: &Suite,
    profiles: &Profiles,
    mirror: &Mirror,
    downloader: &Downloader,
    store: &Store,
    context: &Context,
) -> anyhow::Result<LockedSuite> {
    let keys = release::load_keys(&profiles.keys_directory())?;
    let task = context.progress.task("read", suite.as_str(), Amount::Unknown);
    let text =
        downloader.text("InRelease", &mirror.url(&format!("dists/{suite}/InRelease")), RELEASE_LIMIT)?;
    let release = Release::verify(suite.as_str(), &text, &keys, jiff::Timestamp::now())?;
    let (digest, size) = release.file("main/binary-amd64/Packages.xz")?;
    // By its digest: a mirror that is being updated still gives the file that InRelease means.
    let path = format!("dists/{suite}/main/binary-amd64/by-hash/SHA256/{digest}");
    let wanted = Wanted {
        name: format!("{suite}'s list of packages"),
        version: release.date.clone(),
        url: mirror.url(&path),
        path,
        digest,
        size,
    };
    downloader.fetch(&wanted, &context.progress.detail("fetch", &wanted.name, Amount::Bytes(size)))?;
    let blob = store.blob(&wanted.name, &digest)?;
    let file = std::fs::File::open(&blob).with_context(|| format!("opening {}", blob.display()))?;
    let packages = std::io::read_to_string(liblzma::read::XzDecoder::new_multi_decoder(file))
        .with_context(|| format!("decompressing {}", blob.display()))?;
    let candidates = index::read(suite, &packages)?;
    task.finish(Outcome::Done(format!(
        "{} packages, signed by {}",
        candidates.len(),
        release.signed_by.join(", ")
    )));
    universe.add(suite.clone(), candidates);
    Ok(LockedSuite {
        date: release.date,
        in_release: image_format::Digest::of(text.as_bytes()),
        signed_by: release.signed_by,
    })
}

fn resolve_go(
    set: &ToolSet,
    version: &str,
    packages: &BTreeSet<LockedPackage>,
    mirror: &Mirror,
    downloader: &Downloader,
    store: &Store,
    context: &Context,
) -> anyhow::Result<LockedGo> {
    let packages: Vec<&LockedPackage> = packages.iter().collect();
    let errands = packages.iter().map(|package| Errand::new(&format!("tool set {}", set.name), package));
    fetch_packages(errands.collect(), mirror, downloader, &context.progress)?;
    let name = set.name.as_str();
    let bootstrap = unpack_packages(store, name, &packages, &set.links, &set.leave_out, &context.progress)?;
    let task = context.progress.task("fetch", &format!("go {version}"), Amount::Unknown);
    let go = gomod::resolve_toolchain(store, &bootstrap, version)?;
    task.finish(Outcome::Done(go.sum.clone()));
    Ok(go)
}

/// What changed, package by package.
fn report(previous: Option<&Lock>, lock: &Lock, profiles: &Profiles, context: &Context) {
    let key = |package: &LockedPackage| (package.name.clone(), package.version.clone());
    let old: BTreeSet<_> = previous.into_iter().flat_map(Lock::packages).map(key).collect();
    let new: BTreeSet<_> = lock.packages().iter().map(key).collect();
    let added: Vec<String> =
        new.difference(&old).map(|(name, version)| format!("{name} {version}")).collect();
    let removed: Vec<String> =
        old.difference(&new).map(|(name, version)| format!("{name} {version}")).collect();
    if context.json {
        println!("{}", json!({"event": "result", "packages": new.len(), "added": added, "removed": removed}));
        return;
    }
    if previous.is_some() {
        removed.iter().for_each(|package| println!("- {package}"));
        added.iter().for_each(|package| println!("+ {package}"));
    }
    let bytes: u64 = lock.packages().iter().map(|package| package.size).sum();
    println!(
        "{}: {} packages, {}; {} new, {} gone. Next: slipway fetch",
        profiles.lock_path().display(),
        new.len(),
        indicatif::HumanBytes(bytes),
        added.len(),
        removed.len()
    );
}
