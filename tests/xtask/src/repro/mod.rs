//! Same inputs, same bytes: every role built a second time, elsewhere, and compared.
//!
//! The first build is what the checkout and its store have. The second starts from a copy of
//! the sources in a store of its own, which holds only downloads and, unless `--all` is given, the results
//! of those Go components that take many minutes; [`elsewhere`] says what is different there,
//! [`compare`] finds the first byte that differs, [`report`] prints it. The host's clock cannot be
//! changed for one process, so [`dates`] looks for today's date in what was compiled.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::{PermissionsExt as _, chown};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant, SystemTime};

use anyhow::{Context, Result, bail, ensure};
use nix::sys::stat::{Mode, umask};
use walkdir::WalkDir;

use crate::run::{loud, root, slipway, slipway_path, target_dir};
use crate::tally::Tally;
use crate::test::{ROLES, build_roles};
use elsewhere::{AT, Place, USER, Who};
use report::Rows;

mod compare;
mod dates;
pub mod elsewhere;
mod report;

/// Go components that are always built again: a small one, and one with C in it.
const QUICK_GO: [&str; 2] = ["http-echo", "runc"];

/// What a build reads of a checkout; clusters, keys and outputs may lie beside it.
const SOURCES: [&str; 9] = [
    "Cargo.lock",
    "Cargo.toml",
    "builder",
    "init",
    "kernel-config",
    "profiles",
    "qemu",
    "rust-toolchain.toml",
    "tests",
];

/// The time stamps of the copied sources: September 2001, long before any checkout.
const SOURCES_OF: Duration = Duration::from_secs(1_000_000_000);

/// A time that a careless build step might take over, years from the one that steps are given.
const ODD_EPOCH: &str = "86400";

/// Build everything a second time elsewhere and compare.
#[derive(Debug, Default, clap::Args)]
pub struct Args {
    /// Build the slow components again, too, and the kernels: an hour or more
    #[arg(long)]
    all: bool,
    /// Leave the second build's files where they are
    #[arg(long)]
    keep: bool,
    /// The roles; all of them without any
    roles: Vec<String>,
}

/// What the first build has, as `slipway build` tells it.
#[derive(Debug)]
struct First {
    store: PathBuf,
    /// Component to its directory in the store.
    components: BTreeMap<String, PathBuf>,
}

/// What is built a second time, and by whom.
#[derive(Debug)]
struct Plan<'a> {
    roles: Vec<&'a str>,
    kernels: bool,
    who: Who,
    umask: u32,
}

/// The files of the second build, as the host sees them.
#[derive(Debug)]
struct Second {
    root: PathBuf,
}

/// Builds what is missing here, then everything again elsewhere, and compares.
///
/// # Errors
/// A build fails. Differences are counted, not errors.
pub fn run(args: &Args) -> Result<Tally> {
    let roles: Vec<&str> =
        if args.roles.is_empty() { ROLES.into() } else { args.roles.iter().map(String::as_str).collect() };
    build_roles(&roles)?;
    if args.all {
        loud(&mut slipway(&["build", "--component", "kernel", "--component", "kernel-um"])?)?;
    }
    let started = Instant::now();
    let plan = Plan { roles, kernels: args.all, who: Who::here(), umask: other_umask() };
    let first = First::look(&plan)?;
    let carried = first.carried(args.all)?;
    let second = Second { root: target_dir().join("repro") };
    second.clear()?;
    let place = second.prepare(&first, &carried, &plan)?;
    plan.announce(&first, &carried);
    let day = dates::today();
    elsewhere::run(&place)?;
    let tally = compare_all(&first, &second, &carried, &plan, &day)?;
    println!(
        "repro: {} of {} agree, in {} s",
        tally.passed,
        tally.passed + tally.failed,
        started.elapsed().as_secs()
    );
    if tally.failed == 0 && !args.keep {
        second.clear()?;
    } else {
        println!("repro: the second build's files are in {}", second.root.display());
    }
    Ok(tally)
}

impl Plan<'_> {
    /// Says what is different there, and what could not be.
    fn announce(&self, first: &First, carried: &BTreeMap<&str, &Path>) {
        println!("repro: the second build");
        println!("  sources  {AT}/checkout, not {}; their time stamps are of 2001", root().display());
        println!("  store    {AT}/store, not {}; only downloads are carried over", first.store.display());
        println!("  user     {}", self.who.describe());
        println!("  umask    {:03o}", self.umask);
        println!("  besides  TZ, LC_ALL, HOME, USER, host name, SOURCE_DATE_EPOCH, empty compiler caches");
        println!("  clock    the same, later; so nothing that is compiled here may name today");
        let carried: Vec<&str> = carried.keys().copied().collect();
        let carried = if carried.is_empty() { "nothing".to_owned() } else { carried.join(", ") };
        println!("  not built again: {carried}");
    }
}

/// Compares everything that was built twice.
fn compare_all(
    first: &First,
    second: &Second,
    carried: &BTreeMap<&str, &Path>,
    plan: &Plan<'_>,
    day: &[String],
) -> Result<Tally> {
    let mut tally = Tally::default();
    for (name, directory) in &first.components {
        if carried.contains_key(name.as_str()) {
            continue;
        }
        let key = directory.file_name().unwrap_or_default();
        let again = second.root.join("store/built").join(key);
        ensure!(
            again.join("manifest.json").is_file(),
            "the second build has no result of component {name} for the same inputs: they depend on more than the sources"
        );
        let compared =
            report::directories(&format!("component {name}"), directory, &again, Rows::Differences)?;
        tally += if compared.failed == 0 { dates::check(name, &again, day)? } else { compared };
    }
    for role in &plan.roles {
        let (one, other) = (root().join("out").join(role), second.root.join("out").join(role));
        tally += report::directories(&format!("role {role}"), &one, &other, Rows::All)?;
    }
    if plan.kernels {
        let (one, other) = (root().join("out/kernel"), second.root.join("out/kernel"));
        tally += report::directories("kernels", &one, &other, Rows::All)?;
    }
    Ok(tally)
}

impl First {
    /// Asks `slipway build` where each component's result is; everything comes from the store by now.
    fn look(plan: &Plan<'_>) -> Result<Self> {
        let mut command = slipway(&["--json", "build", "--offline"])?;
        command.args(&plan.roles).stderr(Stdio::null());
        if !plan.kernels {
            command.arg("--no-kernels");
        }
        let output = command.output().context("starting slipway")?;
        ensure!(output.status.success(), "asking slipway build what it has ended with {}", output.status);
        let text = String::from_utf8(output.stdout).context("reading what slipway build has")?;
        let components = components(&text)?;
        let store = components
            .values()
            .next()
            .and_then(|directory| directory.parent()?.parent())
            .context("finding the store: slipway build named no component")?
            .to_owned();
        Ok(Self { store, components })
    }

    /// The results that the second build may take over: the slow Go components.
    fn carried(&self, all: bool) -> Result<BTreeMap<&str, &Path>> {
        let mut carried = BTreeMap::new();
        if all {
            return Ok(carried);
        }
        for (name, directory) in &self.components {
            let path = root().join("profiles/components").join(name).join("component.toml");
            let text = fs::read_to_string(&path).with_context(|| format!("reading {}", path.display()))?;
            let profile: toml::Table = text.parse().with_context(|| format!("reading {}", path.display()))?;
            if profile.contains_key("go") && !QUICK_GO.contains(&name.as_str()) {
                carried.insert(name.as_str(), directory.as_path());
            }
        }
        Ok(carried)
    }
}

/// Component to directory, out of what `slipway --json build` prints.
fn components(text: &str) -> Result<BTreeMap<String, PathBuf>> {
    for line in text.lines() {
        let event: serde_json::Value =
            serde_json::from_str(line).context("reading what slipway build says")?;
        if event["event"] == "components" {
            return serde_json::from_value(event["directories"].clone())
                .context("reading what slipway build says about components");
        }
    }
    bail!("slipway build did not say where its components are")
}

impl Second {
    fn clear(&self) -> Result<()> {
        if !self.root.exists() {
            return Ok(());
        }
        // Go and other users leave directories that not even their owner may write to.
        for entry in WalkDir::new(&self.root).into_iter().flatten().filter(|entry| entry.file_type().is_dir())
        {
            let _ = fs::set_permissions(entry.path(), fs::Permissions::from_mode(0o700));
        }
        fs::remove_dir_all(&self.root).with_context(|| format!("removing {}", self.root.display()))
    }

    /// Lays out everything that the second build will see.
    fn prepare(&self, first: &First, carried: &BTreeMap<&str, &Path>, plan: &Plan<'_>) -> Result<Place> {
        self.copy_sources()?;
        let inputs = self.inputs(first, carried)?;
        let keys = self.copy_keys()?;
        let program = self.root.join("slipway");
        fs::copy(slipway_path(), &program).context("copying slipway")?;
        fs::set_permissions(&program, fs::Permissions::from_mode(0o755)).context("copying slipway")?;
        for name in ["home", "out", "tmp"] {
            make_dir(&self.root.join(name))?;
        }
        if plan.who == Who::Another {
            self.give_away()?;
        }
        let mut command: Vec<String> =
            [&format!("{AT}/slipway"), "build", "--offline", "-o", &format!("{AT}/out")]
                .map(str::to_owned)
                .into();
        command.extend(keys.iter().flat_map(|key| ["--trust-key".to_owned(), format!("{AT}/keys/{key}")]));
        if !plan.kernels {
            command.push("--no-kernels".to_owned());
        }
        command.extend(plan.roles.iter().map(ToString::to_string));
        Ok(Place {
            root: self.root.clone(),
            inputs,
            who: plan.who,
            umask: plan.umask,
            environment: environment(),
            directory: Path::new(AT).join("checkout"),
            command,
        })
    }

    /// The sources alone; made in another order and with old time stamps.
    fn copy_sources(&self) -> Result<()> {
        let from = root();
        let mut entries = Vec::new();
        for part in SOURCES {
            for entry in WalkDir::new(from.join(part)) {
                entries.push(entry.with_context(|| format!("listing {part}"))?);
            }
        }
        entries.sort_by(|one, other| other.path().cmp(one.path()));
        for entry in entries.iter().filter(|entry| entry.file_type().is_file()) {
            let relative = entry.path().strip_prefix(&from).unwrap_or(entry.path());
            let to = self.root.join("checkout").join(relative);
            make_dir(to.parent().unwrap_or(&self.root))?;
            let copying = || format!("copying {}", entry.path().display());
            fs::copy(entry.path(), &to).with_context(copying)?;
            let file = fs::File::options().write(true).open(&to).with_context(copying)?;
            file.set_modified(SystemTime::UNIX_EPOCH + SOURCES_OF).with_context(copying)?;
        }
        Ok(())
    }

    /// Downloads of the first store, each with a place to mount it at: all blobs, Go's modules, unpacked tools. Crates
    /// are unpacked again: their archives bring modes that only their owner can read.
    fn inputs(&self, first: &First, carried: &BTreeMap<&str, &Path>) -> Result<Vec<(PathBuf, PathBuf)>> {
        let mut inputs = vec![
            (first.store.join("blobs"), PathBuf::from("store/blobs")),
            (first.store.join("go/mod"), PathBuf::from("store/go/mod")),
            (sysroot()?, PathBuf::from("rust")),
        ];
        let trees = first.store.join("trees");
        for entry in fs::read_dir(&trees).with_context(|| format!("listing {}", trees.display()))? {
            let entry = entry.with_context(|| format!("listing {}", trees.display()))?;
            if !holds_crates(&entry.path()) {
                inputs.push((entry.path(), Path::new("store/trees").join(entry.file_name())));
            }
        }
        for directory in carried.values() {
            let key = directory.file_name().unwrap_or_default();
            inputs.push((directory.to_path_buf(), Path::new("store/built").join(key)));
        }
        for (_, target) in &inputs {
            make_dir(&self.root.join(target))?;
        }
        Ok(inputs)
    }

    /// The public keys that the first build's images trust.
    fn copy_keys(&self) -> Result<Vec<String>> {
        let from = key_directory()?;
        let to = self.root.join("keys");
        make_dir(&to)?;
        let mut names = Vec::new();
        for entry in fs::read_dir(&from).with_context(|| format!("listing {}", from.display()))? {
            let entry = entry.with_context(|| format!("listing {}", from.display()))?;
            let name = entry.file_name().to_string_lossy().into_owned();
            if name.ends_with(".pub") {
                fs::copy(entry.path(), to.join(&name)).with_context(|| format!("copying {name}"))?;
                names.push(name);
            }
        }
        names.sort();
        Ok(names)
    }

    /// Everything that was laid out belongs to the other user.
    fn give_away(&self) -> Result<()> {
        for entry in WalkDir::new(&self.root) {
            let entry = entry.with_context(|| format!("listing {}", self.root.display()))?;
            chown(entry.path(), Some(USER), Some(USER))
                .with_context(|| format!("giving away {}", entry.path().display()))?;
        }
        Ok(())
    }
}

fn environment() -> BTreeMap<String, String> {
    [
        ("PATH", format!("{AT}/rust/bin:/usr/bin:/bin")),
        ("HOME", format!("{AT}/home")),
        ("TMPDIR", format!("{AT}/tmp")),
        ("SLIPWAY_STORE", format!("{AT}/store")),
        ("USER", "elsewhere".to_owned()),
        ("LANG", "tr_TR.UTF-8".to_owned()),
        ("LC_ALL", "tr_TR.UTF-8".to_owned()),
        ("TZ", "Pacific/Kiritimati".to_owned()),
        ("SOURCE_DATE_EPOCH", ODD_EPOCH.to_owned()),
    ]
    .map(|(name, value)| (name.to_owned(), value))
    .into()
}

/// A umask that is not ours.
fn other_umask() -> u32 {
    let ours = umask(Mode::from_bits_truncate(0o077));
    umask(ours);
    if ours.bits() == 0o077 { 0o022 } else { 0o077 }
}

/// The Rust toolchain that builds here, asked as the builder asks.
fn sysroot() -> Result<PathBuf> {
    let output = Command::new("rustc")
        .args(["--print", "sysroot"])
        .current_dir(root())
        .output()
        .context("running rustc")?;
    ensure!(output.status.success(), "rustc --print sysroot ended with {}", output.status);
    Ok(PathBuf::from(String::from_utf8_lossy(&output.stdout).trim()))
}

/// Whether a tree of the store is a set of unpacked crates.
fn holds_crates(tree: &Path) -> bool {
    let Ok(entries) = fs::read_dir(tree) else { return false };
    entries.flatten().any(|entry| entry.path().join(".cargo-checksum.json").is_file())
}

/// Where `slipway keys new` puts keys.
fn key_directory() -> Result<PathBuf> {
    let set = |name| std::env::var_os(name).map(PathBuf::from).filter(|path| path.is_absolute());
    set("XDG_CONFIG_HOME")
        .or_else(|| set("HOME").map(|home| home.join(".config")))
        .map(|config| config.join("slipway/keys"))
        .context("finding the key directory: neither XDG_CONFIG_HOME nor HOME is set")
}

fn make_dir(path: &Path) -> Result<()> {
    fs::create_dir_all(path).with_context(|| format!("making {}", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_directories_of_components_are_read_from_what_the_build_says() {
        let text =
            "{\"event\":\"components\",\"directories\":{\"init\":\"/s/built/k\"}}\n{\"event\":\"image\"}\n";
        assert_eq!(components(text).unwrap()["init"], Path::new("/s/built/k"));
        assert!(components("{\"event\":\"image\"}\n").is_err());
    }
}
