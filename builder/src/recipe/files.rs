//! `[files]`: directories, links and small files that the profile writes down.
//!
//! No step runs: what the profile says is the result.

use std::fs;
use std::path::Path;

use anyhow::{Context as _, Result};

use super::image_path;
use crate::build::inputs::Inputs;
use crate::build::output::{Content, Output};
use crate::profile::component::{FilesSource, Mode};
use crate::profile::{Component, Source};

pub(super) fn inputs(component: &Component, source: &FilesSource) -> Result<Inputs> {
    let mut inputs = Inputs::new("files 1");
    inputs.add("component.toml", super::described(&Source::Files(source.clone()))?);
    for file in &source.files {
        inputs.add(file.source.display().to_string(), read(component, &file.source)?);
    }
    Ok(inputs)
}

pub(super) fn build(component: &Component, source: &FilesSource) -> Result<Vec<Output>> {
    let mut outputs = Vec::new();
    let mut add = |path: &Path, mode: Mode, content: Content| -> Result<()> {
        let mode = u16::try_from(mode.bits()).context("reading a mode")?;
        outputs.push(Output { path: image_path(path)?, mode, content, package: None });
        Ok(())
    };
    for directory in &source.directories {
        add(&directory.path, directory.mode, Content::Directory)?;
    }
    for text in &source.texts {
        add(&text.path, text.mode, Content::Bytes(text.text.clone().into_bytes()))?;
    }
    for file in &source.files {
        add(&file.path, file.mode, Content::Bytes(read(component, &file.source)?))?;
    }
    for link in &source.symlinks {
        let target =
            link.target.to_str().with_context(|| format!("{} is not UTF-8", link.target.display()))?;
        outputs.push(Output::symlink(image_path(&link.path)?, target));
    }
    Ok(outputs)
}

fn read(component: &Component, file: &Path) -> Result<Vec<u8>> {
    let path = component.directory.join(file);
    fs::read(&path).with_context(|| format!("reading {}", path.display()))
}
