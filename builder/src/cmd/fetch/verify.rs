//! `slipway fetch --verify`: what the store holds, hashed anew.
//!
//! What is damaged is moved aside and named; the fetch or build that follows makes it anew. Go's
//! own files are in `golang`.

use std::collections::BTreeMap;

use image_format::Digest;

use super::packages::Errand;
use crate::deb::{TreeHealth, verify_tree};
use crate::emit::packs;
use crate::progress::{Amount, Outcome, Progress};
use crate::store::{Area, Health, Store};

/// Hashes every blob anew and names those that are damaged.
pub(super) fn verify_blobs(store: &Store, errands: &[Errand], progress: &Progress) -> anyhow::Result<()> {
    let names: BTreeMap<Digest, String> =
        errands.iter().map(|errand| (*errand.digest(), errand.to_string())).collect();
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

/// Hashes every unpacked tree anew.
pub(super) fn verify_trees(store: &Store, progress: &Progress) -> anyhow::Result<()> {
    let trees = store.entries(Area::Trees)?;
    let total = u64::try_from(trees.len()).unwrap_or(u64::MAX);
    let task = progress.task("verify", "trees", Amount::Steps(total));
    let (mut damaged, mut unlisted) = (0, 0);
    for tree in trees {
        match verify_tree(&tree)? {
            TreeHealth::Sound => {}
            // Go's toolchain has a hash of its own.
            TreeHealth::Unlisted => unlisted += 1,
            TreeHealth::Damaged(what) => {
                damaged += 1;
                let aside = store.discard(&tree)?;
                progress.note(&format!("damaged: {what}; the tree was moved to {}", aside.display()));
            }
        }
        task.advance(1);
    }
    task.finish(Outcome::Done(format!("{} trees, {damaged} damaged", total - unlisted)));
    Ok(())
}

/// Hashes every packed file anew.
pub(super) fn verify_packs(store: &Store, progress: &Progress) -> anyhow::Result<()> {
    let packs = store.entries(Area::Packs)?;
    let total = u64::try_from(packs.len()).unwrap_or(u64::MAX);
    let task = progress.task("verify", "packs", Amount::Steps(total));
    let mut damaged = 0;
    for pack in packs {
        if let packs::Health::Damaged(what) = packs::verify(&pack)? {
            damaged += 1;
            let aside = store.discard(&pack)?;
            progress.note(&format!("damaged: {what}; the pack was moved to {}", aside.display()));
        }
        task.advance(1);
    }
    task.finish(Outcome::Done(format!("{total} packs, {damaged} damaged")));
    Ok(())
}
