//! Builds: components in parallel, each from its locked inputs to a manifest in the store.
//!
//! `inputs` makes the key and the reason for a miss, `output` what is kept, `component` builds one
//! (store first), `schedule` runs several at once. How a kind of source is built is
//! [`crate::recipe`]'s business; what roles make of the results is [`crate::compose`]'s.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::{Arc, OnceLock};

use anyhow::{Context as _, Result};

use crate::lock::Lock;
use crate::profile::{Component, ComponentName, Profiles};
use crate::progress::Progress;
use crate::recipe::cargo::toolchain::RustToolchain;
use crate::store::{Area, Store};

pub mod component;
pub mod inputs;
pub mod output;
mod schedule;

pub use output::Built;

/// Everything a build needs besides the component's name.
#[derive(Debug)]
pub struct Workshop {
    /// What there is to build.
    pub profiles: Profiles,
    /// Its inputs by digest.
    pub lock: Lock,
    /// Where inputs and results are.
    pub store: Store,
    /// Where progress goes.
    pub progress: Progress,
    /// The user's wishes.
    pub options: Options,
    rust: OnceLock<RustToolchain>,
}

/// What the user may ask of a build.
#[derive(Debug, Clone)]
pub struct Options {
    /// Compile with empty compiler caches: for tests of reproducibility.
    pub cold: bool,
    /// Fetch nothing that is missing.
    pub offline: bool,
    /// Cargo's own directory, whose cache of crates we take from.
    pub cargo_home: PathBuf,
}

impl Workshop {
    /// A workshop.
    #[must_use]
    pub fn new(profiles: Profiles, lock: Lock, store: Store, progress: Progress, options: Options) -> Self {
        Self { profiles, lock, store, progress, options, rust: OnceLock::new() }
    }

    /// The host's Rust toolchain; asked for once.
    ///
    /// # Errors
    /// There is none.
    pub fn rust(&self) -> Result<&RustToolchain> {
        if let Some(rust) = self.rust.get() {
            return Ok(rust);
        }
        let found = RustToolchain::of(&self.profiles.root)?;
        Ok(self.rust.get_or_init(|| found))
    }

    /// Those of these components that are not in the store and have to be built.
    ///
    /// # Errors
    /// There is no such component, or its inputs are not all there.
    pub fn missing(&self, names: &BTreeSet<ComponentName>) -> Result<Vec<&Component>> {
        let mut missing = Vec::new();
        for name in names {
            let component = self.component(name)?;
            if !self.store.entry_path(Area::Built, &component::inputs(self, component)?.key()).is_dir() {
                missing.push(component);
            }
        }
        Ok(missing)
    }

    fn component(&self, name: &ComponentName) -> Result<&Component> {
        let known = self.profiles.components.get(name);
        known.with_context(|| format!("there is no component {name} in profiles/components"))
    }

    /// The results of these components, from the store or built now, several at once.
    ///
    /// When one fails the others may still be running: they end with this process.
    ///
    /// # Errors
    /// The first failure, with the end of its log.
    pub fn build(
        self: &Arc<Self>,
        names: &BTreeSet<ComponentName>,
    ) -> Result<BTreeMap<ComponentName, Built>> {
        component::sweep(self)?;
        schedule::run(self, names)
    }
}
