//! What a build is made from, by label and digest: its key, and why it has to be built again.
//!
//! A recipe lists every input it will read; nothing else may reach the sandbox. The list is kept
//! beside the result and, as the component's latest, in the store, so that a miss can say which
//! input changed since. Pure; `super::component` reads and writes the files.

use std::collections::BTreeMap;

use image_format::Digest;
use serde::{Deserialize, Serialize};

use crate::store::KeyHasher;

/// Every input of one build.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Inputs {
    recipe: String,
    inputs: BTreeMap<String, Digest>,
}

/// How many changed inputs a reason names; the rest is a number.
const NAMED: usize = 3;

impl Inputs {
    /// No inputs yet. `recipe` names the recipe and its version: change it when the recipe makes
    /// other bytes of the same inputs.
    #[must_use]
    pub fn new(recipe: &str) -> Self {
        Self { recipe: recipe.to_owned(), inputs: BTreeMap::new() }
    }

    /// Adds an input's content.
    pub fn add(&mut self, label: impl Into<String>, content: impl AsRef<[u8]>) {
        self.add_digest(label, Digest::of(content.as_ref()));
    }

    /// Adds an input by its digest.
    pub fn add_digest(&mut self, label: impl Into<String>, digest: Digest) {
        self.inputs.insert(label.into(), digest);
    }

    /// The key of what is built from these.
    #[must_use]
    pub fn key(&self) -> Digest {
        self.inputs
            .iter()
            .fold(KeyHasher::new(&self.recipe), |key, (label, digest)| key.field(label, digest.as_bytes()))
            .finish()
    }

    /// Why these have to be built although `last` was built before.
    #[must_use]
    pub fn reason(&self, last: Option<&Self>) -> String {
        let Some(last) = last else { return "never built here".to_owned() };
        let mut changes = Vec::new();
        if self.recipe != last.recipe {
            changes.push("the recipe changed".to_owned());
        }
        for (label, digest) in &self.inputs {
            match last.inputs.get(label) {
                None => changes.push(format!("{label} is new")),
                Some(before) if before != digest => changes.push(format!("{label} changed")),
                Some(_) => {}
            }
        }
        let gone = last.inputs.keys().filter(|label| !self.inputs.contains_key(*label));
        changes.extend(gone.map(|label| format!("{label} is gone")));
        let more = changes.len().saturating_sub(NAMED);
        changes.truncate(NAMED);
        match (changes.is_empty(), more) {
            (true, _) => "its result is no longer in the store".to_owned(),
            (false, 0) => changes.join(", "),
            (false, more) => format!("{} and {more} more", changes.join(", ")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn inputs(of: &[(&str, &str)]) -> Inputs {
        let mut inputs = Inputs::new("go 1");
        for (label, content) in of {
            inputs.add(*label, content);
        }
        inputs
    }

    #[test]
    fn a_key_depends_on_every_input_and_on_the_recipe() {
        let one = inputs(&[("go.mod", "a"), ("main.go", "b")]);
        assert_eq!(one.key(), inputs(&[("main.go", "b"), ("go.mod", "a")]).key());
        assert_ne!(one.key(), inputs(&[("go.mod", "a"), ("main.go", "c")]).key());
        assert_ne!(one.key(), inputs(&[("go.mod", "a")]).key());
        assert_ne!(Inputs::new("go 1").key(), Inputs::new("go 2").key());
    }

    #[test]
    fn a_rebuild_says_which_input_changed() {
        let before = inputs(&[("go.mod", "a"), ("main.go", "b")]);
        assert_eq!(inputs(&[("go.mod", "a"), ("main.go", "c")]).reason(Some(&before)), "main.go changed");
        assert_eq!(inputs(&[("go.mod", "a")]).reason(Some(&before)), "main.go is gone");
        assert_eq!(before.reason(None), "never built here");
        assert_eq!(before.reason(Some(&before)), "its result is no longer in the store");
        let many = inputs(&[("a", ""), ("b", ""), ("c", ""), ("d", ""), ("go.mod", "a"), ("main.go", "b")]);
        assert_eq!(many.reason(Some(&before)), "a is new, b is new, c is new and 1 more");
    }
}
