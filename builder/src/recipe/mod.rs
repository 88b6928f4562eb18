//! Recipes: how each kind of component source is built.
//!
//! A recipe has two halves. `inputs` lists every input by label and digest, without building
//! anything; `build` runs the steps, gives them nothing but those inputs, and declares outputs.
//! What is in the store, what runs when and what people see is [`crate::build`]'s business.

use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, bail};
use image_format::Digest;
use image_format::manifest::ImagePath;

use crate::build::Workshop;
use crate::build::inputs::Inputs;
use crate::build::output::Output;
use crate::profile::{Component, Source, ToolSet};

pub mod cargo;
pub mod deb;
pub mod files;
pub mod go;
pub mod kernel;
pub mod sources;

/// The tool set with compiler, linker and what kernels need besides.
const CC: &str = "cc";

/// Where one build may work and what it must write its log to.
#[derive(Debug)]
pub struct Job {
    /// An empty directory of its own, removed afterwards.
    pub work: PathBuf,
    /// The log of every step.
    pub log: PathBuf,
}

/// Everything that `component` is made from.
///
/// # Errors
/// An input is missing, or the lock is older than the profile.
pub fn inputs(workshop: &Workshop, component: &Component) -> Result<Inputs> {
    match &component.source {
        Source::Go(source) => go::inputs(workshop, component, source),
        Source::Deb(source) => deb::inputs(workshop, component, source),
        Source::Kernel(source) => kernel::inputs(workshop, component, source),
        Source::Cargo(source) => cargo::inputs(workshop, source),
        Source::Files(source) => files::inputs(component, source),
        Source::Image(_) => not_built_alone(component),
    }
}

/// Builds `component` from exactly what [`inputs`] lists.
///
/// # Errors
/// A step fails; the end of its log is in the message.
pub fn build(workshop: &Workshop, component: &Component, job: &Job) -> Result<Vec<Output>> {
    match &component.source {
        Source::Go(source) => go::build(workshop, component, source, job),
        Source::Deb(source) => deb::build(workshop, component, source),
        Source::Kernel(source) => kernel::build(workshop, component, source, job),
        Source::Cargo(source) => cargo::build(workshop, source, job),
        Source::Files(source) => files::build(component, source),
        Source::Image(_) => not_built_alone(component),
    }
}

fn not_built_alone<T>(component: &Component) -> Result<T> {
    bail!("{} is a pod image: it is made with a role, from the component that it names", component.name)
}

/// What the profile says about a component, without its comments and its description: an input.
fn described(source: &Source) -> Result<Vec<u8>> {
    serde_json::to_vec(source).context("describing the component")
}

/// A place in the image as the profile gives it.
fn image_path(path: &Path) -> Result<ImagePath> {
    let text = path.to_str().with_context(|| format!("{} is not UTF-8", path.display()))?;
    text.parse().with_context(|| format!("placing {text}"))
}

/// Links to `output` under further names, relative where they lie in the same directory.
fn links(output: &ImagePath, links: &[PathBuf]) -> Result<Vec<Output>> {
    links
        .iter()
        .map(|link| {
            let link = image_path(link)?;
            let near = link.parent() == output.parent();
            let target = if near { output.name() } else { output.as_str() };
            Ok(Output::symlink(link, target))
        })
        .collect()
}

impl Workshop {
    fn tool_set(&self, name: &str) -> Result<&ToolSet> {
        self.profiles.tools.get(name).with_context(|| {
            format!("there is no tool set {name} in {}/profiles/tools", self.profiles.root.display())
        })
    }

    /// The unpacked root of a tool set.
    ///
    /// # Errors
    /// It is not locked or not fetched.
    pub fn tools(&self, name: &str) -> Result<PathBuf> {
        let set = self.tool_set(name)?;
        Ok(crate::deb::unpack_closure(&self.store, &self.lock, set, &self.progress)?)
    }

    /// A tool set as inputs, one per package.
    fn add_tools(&self, inputs: &mut Inputs, name: &str) -> Result<()> {
        let set = self.tool_set(name)?;
        for package in self.lock.tool_packages(set)? {
            inputs.add_digest(format!("tool {name}/{}", package.name), package.sha256);
        }
        for link in &set.links {
            let target = link.target.as_os_str().as_encoded_bytes();
            inputs.add_digest(format!("tool {name}:{}", link.path.display()), Digest::of(target));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::build::output::Content;

    #[test]
    fn further_names_in_the_same_directory_are_relative_links() {
        let output = "/usr/bin/kube-node".parse().unwrap();
        let made = links(&output, &["/usr/bin/kubelet".into(), "/opt/kubelet".into()]).unwrap();
        assert_eq!(made[0].content, Content::Symlink("kube-node".to_owned()));
        assert_eq!(made[1].content, Content::Symlink("/usr/bin/kube-node".to_owned()));
    }
}
