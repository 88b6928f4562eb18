//! House rules that no lint knows: module docs, dependency edges, where unsafe may be.
//!
//! Each rule is a function from text to complaints, so that each is tested on a text
//! that breaks it; [`run`] reads the checkout. The edges are design.md section 3.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

use anyhow::{Context, Result, bail};
use walkdir::WalkDir;

/// Which of our packages a package may use.
const EDGES: [(&str, &[&str]); 14] = [
    ("slipway", &["image-format", "lab", "machine-config", "node-api", "trust"]),
    ("image-format", &[]),
    ("trust", &[]),
    ("init", &["image-format", "machine-config", "node-api", "node-sys", "trust"]),
    ("machine-config", &[]),
    ("node-api", &[]),
    ("node-sys", &[]),
    ("pause", &["node-sys"]),
    ("lab", &[]),
    ("e2e", &["lab", "machine-config"]),
    ("fuzz", &["dhcp-reply", "init", "machine-config", "node-api"]),
    ("dhcp-reply", &[]),
    ("stamp", &[]),
    ("xtask", &["machine-config"]),
];

/// What may talk to the kernel directly on a machine: only node-sys.
const KERNEL_CRATES: [&str; 3] = ["nix", "rustix", "libc"];

/// The only files with unsafe code.
const UNSAFE_HOMES: [&str; 4] =
    ["init/sys/src/", "builder/src/sys.rs", "qemu/src/sys.rs", "tests/stamp/src/main.rs"];

/// Lines of a module doc: fewer say nothing, what needs more belongs to the items it is about.
const DOC_LINES: std::ops::RangeInclusive<usize> = 3..=8;

/// The longest file that needs no reason at its top.
const LINES_WITHOUT_A_REASON: usize = 600;

/// Checks the checkout at `root`.
///
/// # Errors
/// All complaints, one per line.
pub fn run(root: &Path) -> Result<()> {
    let mut complaints = Vec::new();
    let mut names = BTreeSet::new();
    for entry in WalkDir::new(root)
        .sort_by_file_name()
        .into_iter()
        .filter_entry(|e| !matches!(e.file_name().to_str(), Some("target" | "out" | ".git")))
    {
        let entry = entry.context("listing the checkout")?;
        let path = entry.path().strip_prefix(root).unwrap_or(entry.path()).to_string_lossy().into_owned();
        let read = || fs::read_to_string(entry.path()).with_context(|| format!("reading {path}"));
        if path.ends_with(".rs") {
            complaints.extend(source(&path, &read()?));
        } else if path.ends_with("Cargo.toml") && path != "Cargo.toml" {
            let (name, found) = manifest(&path, &read()?)?;
            names.insert(name);
            complaints.extend(found);
        } else if path.starts_with("profiles/") && (path.ends_with(".toml") || path.ends_with(".lock")) {
            complaints.extend(profile(&path, &read()?));
        } else if path.starts_with("kernel-config/") && path.ends_with(".config") {
            complaints.extend(fragment(&path, &read()?));
        }
    }
    for (name, _) in EDGES {
        if !names.contains(name) {
            complaints
                .push(format!("tidy: package {name} is in the table of edges, but not in the checkout"));
        }
    }
    if !complaints.is_empty() {
        bail!("tidy:\n  {}", complaints.join("\n  "));
    }
    Ok(())
}

/// A Rust source file: module doc, unsafe only where it may be, a length people can hold.
fn source(path: &str, text: &str) -> Vec<String> {
    let mut complaints = Vec::new();
    let doc = text.lines().take_while(|line| line.starts_with("//!")).count();
    if !DOC_LINES.contains(&doc) {
        complaints.push(format!(
            "{path}: module doc of {doc} lines: say in {} to {} what lives here and what does not",
            DOC_LINES.start(),
            DOC_LINES.end()
        ));
    }
    let may_be_unsafe = UNSAFE_HOMES.iter().any(|home| path.starts_with(home));
    for (n, line) in text.lines().enumerate() {
        let code = line.split("//").next().unwrap_or("");
        let words: Vec<&str> = code.split(|c: char| !c.is_alphanumeric() && c != '_').collect();
        let marked = words.contains(&"allow") && words.contains(&"unsafe_code");
        let is_block = words.contains(&"unsafe")
            && (code.contains('{') || words.contains(&"fn") || words.contains(&"impl"));
        if !may_be_unsafe && !code.contains('"') && (is_block || marked) {
            complaints.push(format!(
                "{path}:{}: unsafe code belongs into {}",
                n + 1,
                UNSAFE_HOMES.join(" or ")
            ));
        }
    }
    let lines = text.split("#[cfg(test)]\nmod tests").next().unwrap_or("").lines().count();
    let reason = text.lines().take(12).any(|line| line.contains("Long because"));
    if lines > LINES_WITHOUT_A_REASON && !reason {
        complaints.push(format!(
            "{path}: {lines} lines without tests: split it, or say \"Long because …\" in its module doc"
        ));
    }
    complaints
}

/// A manifest: only the edges of the table, and no kernel crates on the machine's side.
fn manifest(path: &str, text: &str) -> Result<(String, Vec<String>)> {
    let manifest: toml::Table = text.parse().with_context(|| format!("reading {path}"))?;
    let name = manifest
        .get("package")
        .and_then(|package| package.get("name")?.as_str())
        .with_context(|| format!("reading {path}: no package name"))?
        .to_owned();
    let edges: BTreeMap<&str, &[&str]> = EDGES.into_iter().collect();
    let Some(allowed) = edges.get(name.as_str()) else {
        return Ok((name.clone(), vec![format!("{path}: package {name} is not in tidy's table of edges")]));
    };
    let mut complaints = Vec::new();
    for section in ["dependencies", "dev-dependencies", "build-dependencies"] {
        let Some(table) = manifest.get(section).and_then(toml::Value::as_table) else { continue };
        for dependency in table.keys() {
            // A package may name itself among its dev-dependencies, to test with a feature on.
            let ours = edges.contains_key(dependency.as_str()) && *dependency != name;
            if ours && !allowed.contains(&dependency.as_str()) {
                complaints.push(format!("{path}: {name} must not depend on {dependency}"));
            }
            if KERNEL_CRATES.contains(&dependency.as_str()) && matches!(name.as_str(), "init" | "pause") {
                complaints
                    .push(format!("{path}: {name} talks to the kernel through node-sys, not {dependency}"));
            }
        }
    }
    Ok((name, complaints))
}

/// A profile or lock: names no host, since mirrors are the user's business.
fn profile(path: &str, text: &str) -> Vec<String> {
    text.lines()
        .enumerate()
        .filter(|(_, line)| line.contains("://") && !line.contains("://127.0.0.1"))
        .map(|(n, _)| format!("{path}:{}: an URL; profiles and locks name no host", n + 1))
        .collect()
}

/// A kernel fragment: its reason on the first line, and a reason above each group.
fn fragment(path: &str, text: &str) -> Vec<String> {
    let mut complaints = Vec::new();
    if !text.starts_with("# ") || text.starts_with("# CONFIG_") {
        complaints.push(format!("{path}: the first line gives the fragment's reason"));
    }
    let is_option = |line: &str| line.starts_with("CONFIG_") || line.starts_with("# CONFIG_");
    let mut explained = false;
    for (n, line) in text.lines().enumerate() {
        if line.trim().is_empty() {
            explained = false;
        } else if line.starts_with('#') && !is_option(line) {
            explained = true;
        } else if is_option(line) && !explained {
            complaints.push(format!("{path}:{}: a group of options without a reason above it", n + 1));
            explained = true;
        }
    }
    complaints
}

#[cfg(test)]
mod tests {
    use super::*;

    const DOC: &str = "//! One.\n//! Two.\n//! Three.\n";

    #[test]
    fn a_file_without_a_module_doc_is_found() {
        assert_eq!(source("a.rs", "fn main() {}\n").len(), 1);
        assert!(source("a.rs", &format!("{DOC}\nfn main() {{}}\n")).is_empty());
    }

    #[test]
    fn a_module_doc_too_short_or_too_long_is_found() {
        for (lines, complaints) in [(2, 1), (3, 0), (8, 0), (9, 1)] {
            assert_eq!(source("a.rs", &"//! A line.\n".repeat(lines)).len(), complaints, "{lines} lines");
        }
    }

    #[test]
    fn unsafe_outside_its_homes_is_found() {
        let text = format!("{DOC}fn f() {{ {} {{ g() }} }}\n", ["un", "safe"].concat());
        assert_eq!(source("init/src/a.rs", &text).len(), 1);
        assert!(source("init/sys/src/a.rs", &text).is_empty());
    }

    #[test]
    fn an_edge_against_the_design_is_found() {
        let text =
            "[package]\nname = \"init\"\n[dependencies]\nslipway.workspace = true\nnix.workspace = true\n";
        let (_, complaints) = manifest("init/Cargo.toml", text).unwrap();
        assert_eq!(complaints.len(), 2);
    }

    #[test]
    fn a_host_in_a_lock_is_found() {
        assert_eq!(profile("profiles/slipway.lock", "a = 1\nurl = \"http://mirror.example/x\"\n").len(), 1);
    }

    #[test]
    fn an_option_without_a_reason_is_found() {
        assert_eq!(fragment("a.config", "# Why.\n\nCONFIG_A=y\n").len(), 1);
        assert!(fragment("a.config", "# Why.\n\n# A group.\nCONFIG_A=y\n# CONFIG_B is not set\n").is_empty());
    }
}
