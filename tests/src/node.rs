//! Machines asked through their own API, by the real `slipway`, as whoever a test wants to be.
//!
//! The words are those that a person would type; the answers are the JSON that programs get. A
//! refusal or a silent machine is an answer, too.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use anyhow::{Context, Result, bail};
use serde_json::Value;

use crate::cli;

/// Whoever asks.
#[derive(Debug, Clone)]
pub struct Asker {
    cluster: PathBuf,
    identity: Option<String>,
}

impl Asker {
    /// The admin of the cluster whose client files are below `cluster`.
    #[must_use]
    pub fn new(cluster: &Path) -> Self {
        Self { cluster: cluster.to_owned(), identity: None }
    }

    /// The same with another certificate.
    #[must_use]
    pub fn shows(&self, identity: &str) -> Self {
        Self { identity: Some(identity.to_owned()), ..self.clone() }
    }

    /// Runs `slipway` with `words` and whom to ask.
    ///
    /// # Errors
    /// It can't be started.
    pub fn attempt(&self, words: &[&str]) -> Result<Output> {
        self.command(words)?.output().context("starting slipway")
    }

    /// `slipway` with `words` and whom to ask.
    ///
    /// # Errors
    /// There is no `slipway`.
    pub fn command(&self, words: &[&str]) -> Result<Command> {
        let cluster = self.cluster.to_string_lossy();
        let mut all = words.to_vec();
        all.extend(["--cluster", &cluster]);
        all.extend(self.identity.iter().flat_map(|identity| ["--identity", identity]));
        cli::command(all)
    }

    /// What it prints.
    ///
    /// # Errors
    /// It ends with anything but 0.
    pub fn text(&self, words: &[&str]) -> Result<String> {
        let output = self.attempt(words)?;
        let stdout = String::from_utf8_lossy(&output.stdout).into_owned();
        if !output.status.success() {
            bail!("slipway {}: {}{stdout}", words.join(" "), String::from_utf8_lossy(&output.stderr));
        }
        Ok(stdout)
    }

    /// An object per machine, with `machine` and `reply` or `error`, whether all of them answered or not.
    ///
    /// # Errors
    /// It prints no JSON.
    pub fn all(&self, words: &[&str]) -> Result<Vec<Value>> {
        let output = self.attempt(&[words, &["--json"]].concat())?;
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        let answers: Vec<Value> = serde_json::from_slice(&output.stdout).with_context(|| {
            format!("reading what slipway {} printed ({}, {said})", words.join(" "), output.status)
        })?;
        let failed = answers.iter().any(|answer| !answer["error"].is_null());
        if failed == output.status.success() {
            bail!("slipway {} ended with {}, but said {answers:?}", words.join(" "), output.status);
        }
        Ok(answers)
    }

    /// The reply of the one machine that is asked.
    ///
    /// # Errors
    /// It refuses, or does not answer.
    pub fn one(&self, machine: &str, words: &[&str]) -> Result<Value> {
        let mut answers = self.all(&[words, &["--node", machine]].concat())?;
        match answers.pop() {
            Some(answer)
                if answers.is_empty() && answer["machine"] == machine && !answer["reply"].is_null() =>
            {
                Ok(answer["reply"].clone())
            }
            answer => bail!("slipway {}: {answer:?}", words.join(" ")),
        }
    }

    /// Why the one machine that is asked does not do it.
    ///
    /// # Errors
    /// It does it.
    pub fn refusal(&self, machine: &str, words: &[&str]) -> Result<String> {
        let answers = self.all(&[words, &["--node", machine]].concat())?;
        match answers.first().and_then(|answer| answer["error"].as_str()) {
            Some(error) => Ok(error.to_owned()),
            None => bail!("slipway {} was done: {answers:?}", words.join(" ")),
        }
    }

    /// The documents of a stream.
    ///
    /// # Errors
    /// It breaks off, or a line is no document.
    pub fn lines(&self, machine: &str, words: &[&str]) -> Result<Vec<Value>> {
        let text = self.text(&[words, &["--node", machine, "--json"]].concat())?;
        let line = |line: &str| serde_json::from_str(line).with_context(|| format!("reading {line:?}"));
        text.lines().map(line).collect()
    }
}
