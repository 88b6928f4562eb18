//! `slipway build`: images of roles, or the result of single components.
//!
//! Fetches what is missing unless told not to, builds what is not in the store, and puts the
//! artifacts into the output directory. Everything that takes time is in `build`, `compose` and
//! `emit`; here is what the command line means.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::Context as _;
use image_format::manifest::Kind;
use serde_json::json;

use crate::build::{Built, Options, Workshop};
use crate::cmd::mirror::MirrorArgs;
use crate::cmd::{Context, fetch, roles};
use crate::emit;
use crate::profile::{Component, ComponentName, Profiles, Source};

/// Arguments.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Roles to build.
    #[arg(value_name = "ROLE", required_unless_present = "components")]
    roles: Vec<String>,
    /// Build only this component and print where its result is; programs for the host also go to
    /// OUT/tools, kernels to OUT/kernel.
    #[arg(long = "component", value_name = "NAME", conflicts_with = "roles")]
    components: Vec<ComponentName>,
    /// Where the artifacts go.
    #[arg(short, long, value_name = "DIR", default_value = "out")]
    out: PathBuf,
    /// A public key that the images trust to sign machine configs; without any, those of the key
    /// directory that `slipway keys new` fills.
    #[arg(long = "trust-key", value_name = "FILE.pub")]
    trust_keys: Vec<PathBuf>,
    /// Build no kernels; those in OUT/kernel stay as they are.
    #[arg(long)]
    no_kernels: bool,
    /// Fetch nothing: what is missing is an error.
    #[arg(long)]
    offline: bool,
    /// Compile with empty compiler caches, to see whether the same bytes come out.
    #[arg(long)]
    cold: bool,
    #[command(flatten)]
    mirror: MirrorArgs,
}

/// Runs the verb.
///
/// # Errors
/// Something cannot be had, or a build fails; the message ends with the tail of its log.
pub fn run(args: Args, context: &Context) -> anyhow::Result<()> {
    if args.roles.is_empty() { build_components(&args, context) } else { build_roles(&args, context) }
}

/// Builds the named roles, and the kernels that boot them.
fn build_roles(args: &Args, context: &Context) -> anyhow::Result<()> {
    let trusted = roles::trusted(&args.trust_keys)?;
    let profiles = context.profiles()?;
    let names = roles::components(&profiles, &roles::named(&profiles, &args.roles)?, !args.no_kernels)?;
    let workshop = workshop(args, context, &names)?;
    let built = workshop.build(&names)?;
    if context.json {
        let directories: BTreeMap<_, _> =
            built.iter().map(|(name, result)| (name.as_str(), &result.directory)).collect();
        println!("{}", json!({"event": "components", "directories": directories}));
    }
    roles::kernels(&workshop.profiles, &built, &args.out)?;
    let roles = roles::named(&workshop.profiles, &args.roles)?;
    roles::make(&workshop, &roles, &built, &trusted, &args.out, context)
}

/// Builds the named components and prints where their results are.
fn build_components(args: &Args, context: &Context) -> anyhow::Result<()> {
    let names: BTreeSet<ComponentName> = args.components.iter().cloned().collect();
    let workshop = workshop(args, context, &names)?;
    let built = workshop.build(&names)?;
    for name in &args.components {
        let result = built.get(name).with_context(|| format!("component {name} was not built"))?;
        let component = component(&workshop.profiles, name)?;
        let published = publish(&workshop.profiles, component, result, &args.out)?;
        if context.json {
            println!(
                "{}",
                json!({"event": "built", "name": name, "directory": result.directory, "files": published})
            );
        } else {
            println!("{}", result.directory.display());
        }
    }
    Ok(())
}

/// A workshop that has everything these components are made of.
fn workshop(
    args: &Args,
    context: &Context,
    names: &BTreeSet<ComponentName>,
) -> anyhow::Result<Arc<Workshop>> {
    let profiles = context.profiles()?;
    let lock = context.lock(&profiles)?;
    let store = context.store()?;
    let options = Options { cold: args.cold, offline: args.offline, cargo_home: fetch::cargo_home()? };
    let workshop = Workshop::new(profiles, lock, store, context.progress.clone(), options);
    let missing = workshop.missing(names)?;
    if !args.offline && !missing.is_empty() {
        let Workshop { profiles, lock, store, progress, .. } = &workshop;
        fetch::bring(profiles, lock, store, &missing, &args.mirror, fetch::Verify::New, progress)?;
    }
    Ok(Arc::new(workshop))
}

fn component<'a>(profiles: &'a Profiles, name: &ComponentName) -> anyhow::Result<&'a Component> {
    profiles
        .components
        .get(name)
        .with_context(|| format!("there is no component {name} in profiles/components"))
}

/// Puts kernels and programs for the host where people look for them; nothing for what only goes
/// into images.
fn publish(
    profiles: &Profiles,
    component: &Component,
    built: &Built,
    out: &Path,
) -> anyhow::Result<Vec<PathBuf>> {
    let in_a_role = profiles.roles.values().any(|role| role.components.contains(&component.name));
    let directory = match component.source {
        Source::Kernel(_) => out.join("kernel"),
        Source::Go(_) if !in_a_role && !in_an_image(profiles, &component.name) => out.join("tools"),
        _ => return Ok(Vec::new()),
    };
    std::fs::create_dir_all(&directory).with_context(|| format!("making {}", directory.display()))?;
    let mut published = Vec::new();
    for (path, node) in built.manifest.iter() {
        if matches!(node.kind, Kind::File { .. }) {
            let to = directory.join(path.name());
            // A lab may be running on what is there: it keeps its own.
            emit::publish_file(&built.file(path), &to)?;
            published.push(to);
        }
    }
    Ok(published)
}

fn in_an_image(profiles: &Profiles, name: &ComponentName) -> bool {
    let holds =
        |component: &Component| matches!(&component.source, Source::Image(image) if image.component == *name);
    profiles.components.values().any(holds)
}
