//! The Go toolchain and the modules of Go components, by Go's own command.
//!
//! Go itself downloads and checks modules against go.sum; here is only which go.mod files are
//! wanted, and a mark in the store per set of inputs, so that what is there is not asked for
//! again. Debian's packages are `packages`', what a Go build does with the modules is
//! `recipe::go`'s. GOPROXY and its like come from the user's environment, never from us.

use std::collections::BTreeMap;
use std::path::{Component as PathComponent, Path, PathBuf};

use anyhow::Context as _;
use image_format::Digest;

use super::Verify;
use crate::deb::unpack_closure;
use crate::gomod;
use crate::lock::{Lock, component_inputs};
use crate::profile::{Component, Profiles};
use crate::progress::{Amount, Outcome, Progress};
use crate::store::Store;

/// A go.mod with its go.sum, shared by any number of components.
struct Module {
    name: String,
    directory: PathBuf,
}

/// Brings the toolchain and the modules of every Go component.
///
/// # Errors
/// The lock is older than a component, or something cannot be had or is damaged.
pub(super) fn fetch_go(
    profiles: &Profiles,
    lock: &Lock,
    store: &Store,
    components: &[&Component],
    verify: Verify,
    progress: &Progress,
) -> anyhow::Result<()> {
    let Some(go) = &lock.go else { return Ok(()) };
    let modules = modules(components)?;
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
    if verify == Verify::Everything {
        let task = progress.task("verify", &name, Amount::Unknown);
        gomod::verify_toolchain(store, go)?;
        task.finish(Outcome::Done(String::new()));
    }
    let goroot = gomod::goroot(store, go)?;
    fetch_modules(store, &goroot, &modules, progress)?;
    match verify {
        Verify::Everything => verify_modules(store, &goroot, &modules, progress),
        Verify::New => Ok(()),
    }
}

/// Every module directory of components, once, by the digest of its go.mod and go.sum.
fn modules(components: &[&Component]) -> anyhow::Result<BTreeMap<Digest, Module>> {
    let mut modules = BTreeMap::new();
    for component in components {
        if let (Some(directory), Some(inputs)) = (component.go_module(), component_inputs(component)?) {
            modules.entry(inputs).or_insert_with(|| Module { name: module_name(&directory), directory });
        }
    }
    Ok(modules)
}

/// The directory's name: `../kubernetes` beside the component `kubectl` is kubernetes.
fn module_name(directory: &Path) -> String {
    let named = directory.components().rev().find_map(|part| match part {
        PathComponent::Normal(name) => Some(name.to_string_lossy().into_owned()),
        _ => None,
    });
    named.unwrap_or_default()
}

/// The mark that a go.mod and go.sum were downloaded whole once.
fn mark(store: &Store, inputs: &Digest) -> PathBuf {
    store.go_modules().join("slipway").join(inputs.to_string())
}

fn fetch_modules(
    store: &Store,
    goroot: &Path,
    modules: &BTreeMap<Digest, Module>,
    progress: &Progress,
) -> anyhow::Result<()> {
    let steps = u64::try_from(modules.len()).unwrap_or(u64::MAX);
    let task = progress.task("fetch", "go modules", Amount::Steps(steps));
    let mut fetched = Vec::new();
    for (inputs, module) in modules {
        let mark = mark(store, inputs);
        if !mark.is_file() {
            task.message(&module.name);
            let part = progress.detail("fetch", &format!("go modules of {}", module.name), Amount::Unknown);
            gomod::fetch_modules(store, goroot, &module.directory)?;
            let marks = mark.parent().unwrap_or(store.root());
            std::fs::create_dir_all(marks).with_context(|| format!("creating {}", marks.display()))?;
            std::fs::write(&mark, "").with_context(|| format!("writing {}", mark.display()))?;
            part.finish(Outcome::Done(String::new()));
            fetched.push(module.name.as_str());
        }
        task.advance(1);
    }
    task.finish(match fetched.as_slice() {
        [] => Outcome::FromStore,
        names => Outcome::Done(format!("{} fetched", names.join(", "))),
    });
    Ok(())
}

fn verify_modules(
    store: &Store,
    goroot: &Path,
    modules: &BTreeMap<Digest, Module>,
    progress: &Progress,
) -> anyhow::Result<()> {
    let steps = u64::try_from(modules.len()).unwrap_or(u64::MAX);
    let task = progress.task("verify", "go modules", Amount::Steps(steps));
    for (inputs, module) in modules {
        task.message(&module.name);
        if let Err(error) = gomod::verify_modules(store, goroot, &module.directory) {
            let mark = mark(store, inputs);
            std::fs::remove_file(&mark).with_context(|| format!("removing {}", mark.display()))?;
            return Err(error.context("remove what Go names here, then run `slipway fetch` again"));
        }
        task.advance(1);
    }
    task.finish(Outcome::Done(String::new()));
    Ok(())
}
