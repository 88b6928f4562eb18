//! `slipway fetch`: everything that the lock names, brought into the store.
//!
//! Debian's packages, the Go toolchain and every Go component's modules, and the crates of
//! Cargo.lock. What is there already is not asked for. After it, builds need no network.
//! `--verify` hashes the store anew first and fetches again what is damaged.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Component as PathComponent, Path, PathBuf};
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use anyhow::{Context as _, bail};
use image_format::Digest;
use indicatif::HumanBytes;
use serde_json::json;

use crate::cmd::Context;
use crate::cmd::lock::MirrorArgs;
use crate::deb::unpack_closure;
use crate::gomod;
use crate::lock::{Lock, LockedPackage, component_inputs};
use crate::mirror::Mirror;
use crate::profile::{Component, ComponentName, Profiles, Source};
use crate::progress::{Amount, Outcome, Progress};
use crate::recipe::cargo::{self, crates::Ask};
use crate::store::{Downloader, Health, Origin, Store, StoreError, Wanted};

/// So many downloads run at once: enough to hide a mirror's latency, few enough to be polite.
const AT_ONCE: usize = 4;

/// Arguments.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Roles whose components are fetched; all of them without any. Tools are fetched in any case.
    roles: Vec<String>,
    /// Hash everything in the store anew; what is damaged is moved aside, named, and fetched again.
    #[arg(long)]
    verify: bool,
    #[command(flatten)]
    mirror: MirrorArgs,
}

/// One package to bring, and what wants it.
#[derive(Debug, Clone)]
pub struct Errand {
    /// `component haproxy`, `tool set cc`.
    wanted_by: String,
    package: LockedPackage,
}

impl Errand {
    /// A package that something wants.
    #[must_use]
    pub fn new(wanted_by: &str, package: &LockedPackage) -> Self {
        Self { wanted_by: wanted_by.to_owned(), package: package.clone() }
    }

    fn wanted(&self, mirror: &Mirror) -> Wanted {
        let package = &self.package;
        Wanted {
            name: format!("{}: {} {}", self.wanted_by, package.name, package.version),
            version: package.version.clone(),
            path: package.path.clone(),
            url: mirror.url(&package.path),
            digest: package.sha256,
            size: package.size,
        }
    }
}

/// What a fetch did.
#[derive(Debug, Default, Clone, Copy)]
pub(super) struct Tally {
    fetched: usize,
    fetched_bytes: u64,
    from_store: usize,
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
    let tally = bring(&profiles, &lock, &store, &components, &args.mirror, args.verify, progress)?;

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
    verify: bool,
    progress: &Progress,
) -> anyhow::Result<Tally> {
    let errands = errands(profiles, lock, components)?;
    if verify {
        verify_blobs(store, &errands, progress)?;
    }
    let downloader = Downloader::new(store);
    let missing = errands.iter().any(|errand| !store.has_blob(&errand.package.sha256));
    let tally = if missing {
        let mirror = mirror.find()?;
        progress.note(&format!("Debian's packages from {} ({})", mirror.base(), mirror.named_by()));
        fetch_packages(errands, &mirror, &downloader, progress)?
    } else {
        progress.task("fetch", "packages", Amount::Unknown).finish(Outcome::FromStore);
        Tally { from_store: errands.len(), ..Tally::default() }
    };
    fetch_go(profiles, lock, store, components, verify, progress)?;
    fetch_crates(profiles, store, components, progress)?;
    Ok(tally)
}

/// The components of roles, and those that every build needs: kernels, and what images hold.
fn wanted_components<'a>(profiles: &'a Profiles, roles: &[String]) -> anyhow::Result<Vec<&'a Component>> {
    if roles.is_empty() {
        return Ok(profiles.components.values().collect());
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

/// Every package of components and tool sets, once.
fn errands(profiles: &Profiles, lock: &Lock, components: &[&Component]) -> anyhow::Result<Vec<Errand>> {
    let mut found: BTreeMap<Digest, Errand> = BTreeMap::new();
    let mut add = |wanted_by: String, packages: Vec<&LockedPackage>| {
        for package in packages {
            found.entry(package.sha256).or_insert_with(|| Errand::new(&wanted_by, package));
        }
    };
    for component in components {
        add(format!("component {}", component.name), lock.component_packages(component)?);
    }
    for tools in profiles.tools.values() {
        add(format!("tool set {}", tools.name), lock.tool_packages(tools)?);
    }
    Ok(found.into_values().collect())
}

/// Fetches packages, several at once, the largest first.
///
/// # Errors
/// One cannot be had; what is under way is kept for the next time.
pub(super) fn fetch_packages(
    mut errands: Vec<Errand>,
    mirror: &Mirror,
    downloader: &Downloader,
    progress: &Progress,
) -> anyhow::Result<Tally> {
    errands.sort_by(|one, two| {
        (two.package.size, &one.package.name).cmp(&(one.package.size, &two.package.name))
    });
    let total = errands.iter().map(|errand| errand.package.size).sum();
    let task = progress.task("fetch", "packages", Amount::Bytes(total));
    let next = AtomicUsize::new(0);
    let outcome: Mutex<Result<Tally, StoreError>> = Mutex::new(Ok(Tally::default()));
    let worker = || {
        while let Some(errand) = errands.get(next.fetch_add(1, Ordering::Relaxed)) {
            let wanted = errand.wanted(mirror);
            let size = wanted.size;
            let result = if downloader.has(&wanted) {
                Ok(Origin::Store)
            } else {
                let part = progress.detail("fetch", &errand.package.name, Amount::Bytes(size));
                let result = downloader.fetch(&wanted, &part);
                if result.is_ok() {
                    part.finish(Outcome::Done(String::new()));
                }
                result
            };
            task.advance(size);
            let mut outcome = outcome.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
            match (&mut *outcome, result) {
                (Ok(tally), Ok(Origin::Store)) => tally.from_store += 1,
                (Ok(tally), Ok(Origin::Server { resumed_at })) => {
                    tally.fetched += 1;
                    tally.fetched_bytes += size - resumed_at.min(size);
                }
                (Ok(_), Err(error)) => *outcome = Err(error),
                (Err(_), _) => {}
            }
            if outcome.is_err() {
                return;
            }
        }
    };
    std::thread::scope(|scope| {
        for _ in 0..AT_ONCE {
            scope.spawn(worker);
        }
    });
    let tally = outcome.into_inner().unwrap_or_else(std::sync::PoisonError::into_inner)?;
    let bytes = HumanBytes(tally.fetched_bytes);
    let words = format!("{} fetched ({bytes}), {} from the store", tally.fetched, tally.from_store);
    task.finish(Outcome::Done(words));
    Ok(tally)
}

/// Hashes every blob anew and names those that are damaged.
fn verify_blobs(store: &Store, errands: &[Errand], progress: &Progress) -> anyhow::Result<()> {
    let names: BTreeMap<Digest, String> = errands
        .iter()
        .map(|errand| (errand.package.sha256, format!("{} of {}", errand.package.name, errand.wanted_by)))
        .collect();
    let blobs = store.blobs()?;
    let total = u64::try_from(blobs.len()).unwrap_or(u64::MAX);
    let task = progress.task("verify", "store", Amount::Steps(total));
    let mut damaged = 0;
    for digest in &blobs {
        if let Health::Damaged(aside) = store.verify_blob(digest)? {
            damaged += 1;
            let name = names.get(digest).map_or("a file that the lock does not name", String::as_str);
            progress.note(&format!("damaged: {name} (sha256 {digest}); moved to {}", aside.display()));
        }
        task.advance(1);
    }
    task.finish(Outcome::Done(format!("{total} files, {damaged} damaged")));
    Ok(())
}

/// The Go toolchain and the modules of every Go component.
fn fetch_go(
    profiles: &Profiles,
    lock: &Lock,
    store: &Store,
    components: &[&Component],
    verify: bool,
    progress: &Progress,
) -> anyhow::Result<()> {
    let Some(go) = &lock.go else { return Ok(()) };
    let mut modules = BTreeMap::new();
    for component in components {
        if let (Some(module), Some(inputs)) = (component.go_module(), component_inputs(component)?) {
            // Several components of one module have one set of inputs.
            modules.entry(inputs).or_insert((module_name(&module), module));
        }
    }
    if modules.is_empty() {
        return Ok(());
    }
    let tools = profiles.tools.values().find(|set| set.go_toolchain.is_some());
    let tools = tools.context("no tool set in profiles/tools has a go-toolchain")?;
    let name = format!("go {}", go.version);
    let task = progress.task("fetch", &name, Amount::Unknown);
    let bootstrap = || Ok(unpack_closure(store, lock, tools, progress)?);
    let waiting = || progress.note(&format!("fetch {name}: another slipway is at it, waiting"));
    let fetched = gomod::fetch_toolchain(store, go, bootstrap, waiting)?;
    task.finish(if fetched { Outcome::Done(String::new()) } else { Outcome::FromStore });
    if verify {
        let task = progress.task("verify", &name, Amount::Unknown);
        gomod::verify_toolchain(store, go)?;
        task.finish(Outcome::Done(String::new()));
    }
    let goroot = gomod::goroot(store, go)?;
    for (inputs, (name, module)) in modules {
        // The mark says that these go.mod and go.sum were downloaded whole once.
        let marks = store.go_modules().join("slipway");
        let mark = marks.join(inputs.to_string());
        let task = progress.task("fetch", &format!("modules of {name}"), Amount::Unknown);
        let outcome = if mark.is_file() {
            Outcome::FromStore
        } else {
            gomod::fetch_modules(store, &goroot, &module)?;
            std::fs::create_dir_all(&marks).with_context(|| format!("creating {}", marks.display()))?;
            std::fs::write(&mark, "").with_context(|| format!("writing {}", mark.display()))?;
            Outcome::Done(String::new())
        };
        task.finish(outcome);
        if verify {
            let task = progress.task("verify", &format!("modules of {name}"), Amount::Unknown);
            gomod::verify_modules(store, &goroot, &module)?;
            task.finish(Outcome::Done(String::new()));
        }
    }
    Ok(())
}

/// The directory's name: `../kubernetes` beside the component `kubectl` is kubernetes.
fn module_name(module: &Path) -> String {
    let named = module.components().rev().find_map(|part| match part {
        PathComponent::Normal(name) => Some(name.to_string_lossy().into_owned()),
        _ => None,
    });
    named.unwrap_or_default()
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
