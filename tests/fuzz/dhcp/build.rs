//! Finds mozim's sources, as Cargo.lock pins them, and makes a module of each for `lib.rs`.
//!
//! cargo knows where they are. Nothing is copied: the modules are read where they lie, so what is
//! fuzzed is what the network agent is made of.

use std::error::Error;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// mozim's modules, but for those of DHCPv6, which nobody here speaks.
const MODULES: [(&str, &str); 6] = [
    ("async_fd", "async_fd.rs"),
    ("buffer", "buffer.rs"),
    ("dhcpv4", "dhcpv4/mod.rs"),
    ("error", "error.rs"),
    ("mac", "mac.rs"),
    ("time", "time.rs"),
];

fn main() -> Result<(), Box<dyn Error>> {
    let sources = mozim()?;
    let mut text = String::new();
    for (name, file) in MODULES {
        let path = sources.join(file);
        println!("cargo::rerun-if-changed={}", path.display());
        text += &format!("#[path = {path:?}]\npub mod {name};\n");
    }
    let to = std::env::var("OUT_DIR")?;
    fs::write(Path::new(&to).join("mozim.rs"), text)?;
    println!("cargo::rerun-if-changed=build.rs");
    Ok(())
}

/// Where mozim's `src` is.
fn mozim() -> Result<PathBuf, Box<dyn Error>> {
    let cargo = std::env::var("CARGO")?;
    // Only this platform's crates are there.
    let platform = std::env::var("TARGET")?;
    let mut metadata = Command::new(cargo);
    metadata.args(["metadata", "--format-version=1", "--offline", "--filter-platform", &platform]);
    let output = metadata.output()?;
    if !output.status.success() {
        return Err(String::from_utf8_lossy(&output.stderr).into());
    }
    let metadata: serde_json::Value = serde_json::from_slice(&output.stdout)?;
    let packages = metadata["packages"].as_array().ok_or("cargo metadata lists no packages")?;
    let mozim = packages.iter().find(|package| package["name"] == "mozim").ok_or("no package mozim")?;
    let manifest = mozim["manifest_path"].as_str().ok_or("mozim has no manifest")?;
    Ok(Path::new(manifest).with_file_name("src"))
}
