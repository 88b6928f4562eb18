//! `[go]`: binaries out of a wrapper module, by the locked toolchain and the locked modules.
//!
//! The module cache is a read-only input whose files go.sum pins; Go's build cache is writable and
//! shared, since Go names everything in it by the digests of what went in. Paths are the same on
//! every host and trimmed besides, so no path reaches a binary.

use std::fs;
use std::path::PathBuf;

use anyhow::{Context as _, Result};

use super::{CC, Job, image_path, sources};
use crate::build::Workshop;
use crate::build::inputs::Inputs;
use crate::build::output::Output;
use crate::profile::component::{GoBinary, GoSource};
use crate::profile::{Component, Source};
use crate::sandbox::Sandbox;

/// What every binary is linked with: no symbols, and no build id, which would be a digest of paths.
const LDFLAGS: &str = "-s -w -buildid=";

pub(super) fn inputs(workshop: &Workshop, component: &Component, source: &GoSource) -> Result<Inputs> {
    // Also says when the lock is older than go.sum: then its modules may not have been fetched.
    workshop.lock.component_packages(component)?;
    let mut inputs = Inputs::new("go 1");
    inputs.add("component.toml", super::described(&Source::Go(source.clone()))?);
    let go = workshop.lock.go.as_ref().context("the lock has no Go toolchain: run `slipway lock`")?;
    inputs.add("the Go toolchain", format!("{} {}", go.version, go.sum));
    for (path, text) in module_sources(component)? {
        inputs.add(path.display().to_string(), text);
    }
    if source.cgo {
        workshop.add_tools(&mut inputs, CC)?;
    }
    Ok(inputs)
}

/// The module's own files. Profiles beside go.mod are no sources.
fn module_sources(component: &Component) -> Result<sources::Sources> {
    let module = component.go_module().context("finding the module")?;
    sources::read(&module, |entry| entry.file_name() != "component.toml")
}

pub(super) fn build(
    workshop: &Workshop,
    component: &Component,
    source: &GoSource,
    job: &Job,
) -> Result<Vec<Output>> {
    let sandbox = sandbox(workshop, component, source, job)?;
    let mut outputs = Vec::new();
    for (number, binary) in source.binaries.iter().enumerate() {
        let file = format!("binary-{number}");
        let command = command(source, binary, &format!("/out/{file}"));
        let words: Vec<&str> = command.iter().map(String::as_str).collect();
        sandbox
            .run(&words, "/build/src", &job.log)
            .with_context(|| format!("building {}", binary.package))?;
        let path = image_path(&binary.output)?;
        outputs.extend(super::links(&path, &binary.links)?);
        outputs.push(Output::program(path, sandbox.out_dir().join(file)));
    }
    Ok(outputs)
}

fn sandbox(workshop: &Workshop, component: &Component, source: &GoSource, job: &Job) -> Result<Sandbox> {
    let toolchain = toolchain(workshop)?;
    let cache = build_cache(workshop, job)?;
    let mut sandbox = Sandbox::new(&job.work)?;
    sources::mirror(&module_sources(component)?, &sandbox.build_dir().join("src"))?;
    let temporary = sandbox.build_dir().join("tmp");
    fs::create_dir_all(&temporary).with_context(|| format!("making {}", temporary.display()))?;
    sandbox
        .readable(&toolchain, "/go-toolchain")
        .readable(&workshop.store.go_modules(), "/gomod")
        .writable(&cache, "/gocache")
        .set("PATH", "/go-toolchain/bin:/shims:/usr/bin")
        // A linker's output is larger than a tmpfs should be.
        .set("TMPDIR", "/build/tmp");
    for (name, value) in environment(source.cgo) {
        sandbox.set(name, value);
    }
    if source.cgo {
        sandbox.tools(&workshop.tools(CC)?);
    }
    Ok(sandbox)
}

/// Go's own variables: everything locked, nothing asked for.
fn environment(cgo: bool) -> Vec<(&'static str, &'static str)> {
    let mut variables = vec![
        ("GOROOT", "/go-toolchain"),
        ("GOMODCACHE", "/gomod"),
        ("GOCACHE", "/gocache"),
        ("GOFLAGS", "-mod=readonly"),
        ("GOPROXY", "off"),
        ("GOSUMDB", "off"),
        ("GOTOOLCHAIN", "local"),
        ("GOWORK", "off"),
        ("GOENV", "off"),
        ("GOTELEMETRY", "off"),
        ("GOOS", "linux"),
        ("GOARCH", "amd64"),
        ("GOAMD64", "v1"),
        ("CGO_ENABLED", if cgo { "1" } else { "0" }),
    ];
    if cgo {
        variables.extend([("CC", "gcc"), ("AR", "ar"), ("PKG_CONFIG", "pkg-config")]);
    }
    variables
}

/// The locked toolchain in the store.
fn toolchain(workshop: &Workshop) -> Result<PathBuf> {
    let go = workshop.lock.go.as_ref().context("the lock has no Go toolchain: run `slipway lock`")?;
    crate::gomod::goroot(&workshop.store, go)
}

fn build_cache(workshop: &Workshop, job: &Job) -> Result<PathBuf> {
    let version = workshop.lock.go.as_ref().map_or("", |go| go.version.as_str());
    let cache = if workshop.options.cold {
        job.work.join("gocache")
    } else {
        workshop.store.go_cache().join(version)
    };
    fs::create_dir_all(&cache).with_context(|| format!("making {}", cache.display()))?;
    Ok(cache)
}

/// The command that builds one binary.
fn command(source: &GoSource, binary: &GoBinary, to: &str) -> Vec<String> {
    let processors = std::thread::available_parallelism().map_or(1, usize::from);
    let mut command: Vec<String> =
        ["/go-toolchain/bin/go", "build", "-trimpath", "-buildvcs=false"].map(str::to_owned).into();
    command.push(format!("-p={processors}"));
    if !source.tags.is_empty() {
        command.push(format!("-tags={}", source.tags.join(",")));
    }
    if let Some(mode) = &source.buildmode {
        command.push(format!("-buildmode={mode}"));
    }
    command.push(format!("-ldflags={}", ldflags(source)));
    command.extend(["-o".to_owned(), to.to_owned(), binary.package.clone()]);
    command
}

fn ldflags(source: &GoSource) -> String {
    let mut words = vec![LDFLAGS.to_owned()];
    words.extend(source.linkmode.iter().map(|mode| format!("-linkmode={mode}")));
    words.extend(source.extldflags.iter().map(|flags| quoted(&format!("-extldflags={flags}"))));
    words.extend(source.ldflags.iter().map(|word| quoted(word)));
    words.join(" ")
}

/// A word as Go splits `-ldflags`: quotes around the whole word, no escapes.
fn quoted(word: &str) -> String {
    match (word.contains(char::is_whitespace), word.contains('\'')) {
        (false, _) => word.to_owned(),
        (true, false) => format!("'{word}'"),
        (true, true) => format!("\"{word}\""),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn source() -> GoSource {
        toml::from_str(
            "tags = ['a', 'b']\nldflags = ['-X', 'main.v=1', '-X', 'main.words=one two']\nlinkmode = 'external'\n\
             buildmode = 'pie'\nextldflags = '-static-pie -g'\nbinary = [{ package = './x', output = '/x' }]",
        )
        .unwrap()
    }

    #[test]
    fn a_binary_is_built_with_the_profile_s_flags_and_ours() {
        let source = source();
        let command = command(&source, &source.binaries[0], "/out/binary-0");
        for word in ["-trimpath", "-buildvcs=false", "-tags=a,b", "-buildmode=pie"] {
            assert!(command.iter().any(|have| have == word), "{word}: {command:?}");
        }
        assert_eq!(command[command.len() - 3..], ["-o", "/out/binary-0", "./x"]);
    }

    #[test]
    fn linker_words_with_spaces_stay_one_word() {
        let flags = ldflags(&source());
        assert!(flags.starts_with("-s -w -buildid= "), "{flags}");
        assert!(flags.contains("'-extldflags=-static-pie -g'"), "{flags}");
        assert!(flags.ends_with("-X main.v=1 -X 'main.words=one two'"), "{flags}");
    }
}
