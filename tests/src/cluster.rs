//! A whole cluster in a lab: load balancer, etcd member, control plane, worker.
//!
//! Boots through `slipway lab up`, is asked through `slipway lab kubectl` and read on its
//! consoles, and goes down when dropped. One cluster serves many tests; what a test needs
//! to itself it makes under names of its own.

use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use serde_json::Value;

use crate::{cli, wait};

/// A cluster that is up.
#[derive(Debug)]
pub struct Cluster {
    lab: String,
    directory: tempfile::TempDir,
}

impl Cluster {
    /// Makes a cluster from `plan` and boots it, in a lab of this checkout's own: runs from other
    /// checkouts go on beside it.
    ///
    /// # Errors
    /// It does not come up; the lab has then kept its consoles and says where.
    pub fn boot(plan: &str) -> Result<Self> {
        let lab = &lab_name(env!("CARGO_MANIFEST_DIR"));
        let directory = tempfile::tempdir().context("making a directory for the cluster")?;
        let description = directory.path().join("cluster.toml");
        std::fs::write(&description, plan).with_context(|| format!("writing {}", description.display()))?;
        let cluster = Self { lab: lab.to_owned(), directory };
        // A lab of an earlier run that was cut off would hold the name.
        let _ = cli::attempt(["lab", "down", lab]);
        let made = cluster.made();
        let made = made.to_string_lossy();
        cli::run(["cluster", "new", &description.to_string_lossy(), "--output", &made])?;
        cli::run(["lab", "up", lab, "--driver", &cli::driver(), "--cluster", &made])?;
        Ok(cluster)
    }

    /// The lab's name.
    #[must_use]
    pub fn lab(&self) -> &str {
        &self.lab
    }

    /// What `slipway cluster new` made.
    #[must_use]
    pub fn made(&self) -> PathBuf {
        self.directory.path().join("made")
    }

    /// `slipway lab kubectl … -- args`.
    ///
    /// # Errors
    /// kubectl ends with anything but 0.
    pub fn kubectl(&self, args: &[&str]) -> Result<String> {
        let mut all = vec!["lab", "kubectl", &self.lab, "--"];
        all.extend(args);
        cli::run(all)
    }

    /// `kubectl get … --output json`.
    ///
    /// # Errors
    /// There is no such object, or no answer.
    pub fn get(&self, args: &[&str]) -> Result<Value> {
        let mut all = vec!["get", "--output", "json"];
        all.extend(args);
        let text = self.kubectl(&all)?;
        serde_json::from_str(&text).with_context(|| format!("reading kubectl get {}", args.join(" ")))
    }

    /// Applies a manifest.
    ///
    /// # Errors
    /// The API refuses it.
    pub fn apply(&self, manifest: &str) -> Result<()> {
        let file = self.directory.path().join("manifest.yaml");
        std::fs::write(&file, manifest).with_context(|| format!("writing {}", file.display()))?;
        self.kubectl(&["apply", "--filename", &file.to_string_lossy()]).map(|_| ())
    }

    /// The machine's console since it was first switched on.
    ///
    /// # Errors
    /// There is no such machine.
    pub fn console(&self, machine: &str) -> Result<String> {
        cli::run(["lab", "console", &format!("{}/{machine}", self.lab)])
    }

    /// Waits until the machine's console has a line that holds every one of `words`, after
    /// `skip` such lines; gives the line.
    ///
    /// # Errors
    /// It does not come within `within`.
    pub fn console_line(
        &self,
        machine: &str,
        words: &[&str],
        skip: usize,
        within: Duration,
    ) -> Result<String> {
        wait::until(&format!("{machine} says {words:?}"), within, || {
            let console = self.console(machine)?;
            let line = console.lines().filter(|line| words.iter().all(|word| line.contains(word))).nth(skip);
            line.map(str::to_owned).with_context(|| {
                let tail: Vec<&str> = console.lines().rev().take(10).collect();
                format!("its last lines are {:#?}", tail.into_iter().rev().collect::<Vec<_>>())
            })
        })
    }

    /// Waits until the node is Ready.
    ///
    /// # Errors
    /// It is not within `within`.
    pub fn node_ready(&self, node: &str, within: Duration) -> Result<Value> {
        wait::until(&format!("node {node} is Ready"), within, || {
            let object = self.get(&["node", node])?;
            if condition(&object, "Ready") == Some("True") {
                return Ok(object);
            }
            bail!("its conditions are {}", object["status"]["conditions"])
        })
    }

    /// Waits until the pod is Ready.
    ///
    /// # Errors
    /// It is not within `within`.
    pub fn pod_ready(&self, pod: &str, within: Duration) -> Result<Value> {
        wait::until(&format!("pod {pod} is Ready"), within, || {
            let object = self.get(&["pod", pod])?;
            if condition(&object, "Ready") == Some("True") {
                return Ok(object);
            }
            bail!("its status is {}", object["status"])
        })
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        if let Err(error) = cli::run(["lab", "down", &self.lab]) {
            eprintln!("taking lab {} down: {error:#}", self.lab);
        }
    }
}

/// The status of one of an object's conditions.
fn condition<'a>(object: &'a Value, kind: &str) -> Option<&'a str> {
    object["status"]["conditions"].as_array()?.iter().find(|c| c["type"] == kind)?["status"].as_str()
}

/// `e2e-` and eight digits that follow from where the checkout is.
fn lab_name(checkout: &str) -> String {
    let mut hasher = DefaultHasher::new();
    checkout.hash(&mut hasher);
    format!("e2e-{:08x}", hasher.finish() >> 32)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_checkouts_have_labs_of_their_own_and_one_has_always_the_same() {
        assert_ne!(lab_name("/a"), lab_name("/b"));
        assert_eq!(lab_name("/a"), lab_name("/a"));
        assert_eq!(lab_name("/a").len(), 12);
    }
}
