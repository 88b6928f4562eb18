//! Debian's packages: which ones are wanted, by whom, and bringing them several at once.
//!
//! What a package is called, how large it is and its digest come from the lock; the bytes go
//! through `store::download`, which resumes and verifies them. Unpacking is `deb::tree`'s. An
//! errand carries the name of what wants the package, since that is what people can act upon.

use std::collections::BTreeMap;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use image_format::Digest;
use indicatif::HumanBytes;

use crate::lock::{Lock, LockedPackage};
use crate::mirror::Mirror;
use crate::profile::{Component, Profiles};
use crate::progress::{Amount, Outcome, Progress};
use crate::store::{Downloader, Origin, StoreError, Wanted};

/// So many downloads run at once: enough to hide a mirror's latency, few enough to be polite.
const AT_ONCE: usize = 4;

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

    /// The digest of the package.
    #[must_use]
    pub fn digest(&self) -> &Digest {
        &self.package.sha256
    }

    fn wanted(&self, mirror: &Mirror) -> Wanted {
        let package = &self.package;
        Wanted {
            name: self.to_string(),
            version: package.version.clone(),
            path: package.path.clone(),
            url: mirror.url(&package.path),
            digest: package.sha256,
            size: package.size,
        }
    }
}

impl std::fmt::Display for Errand {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}: {} {}", self.wanted_by, self.package.name, self.package.version)
    }
}

/// What a fetch did.
#[derive(Debug, Default, Clone, Copy)]
pub struct Tally {
    /// Packages that came from the mirror.
    pub fetched: usize,
    /// Their bytes, as far as they had to be transferred.
    pub fetched_bytes: u64,
    /// Packages that were there.
    pub from_store: usize,
}

/// Every package of components and tool sets, once.
pub(super) fn errands(
    profiles: &Profiles,
    lock: &Lock,
    components: &[&Component],
) -> anyhow::Result<Vec<Errand>> {
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
pub fn fetch_packages(
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
