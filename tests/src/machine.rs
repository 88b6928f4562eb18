//! One machine alone in a lab, with whatever config, slot and data disk a test gives it.
//!
//! The load balancer of the demo cluster: the smallest image, up in two seconds. A test
//! changes the signed config, the image or the disk beforehand and then reads the console.

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result, bail};

use crate::{cli, wait};

/// The machine's name in the demo cluster.
pub const MACHINE: &str = "lb1";

/// What a machine alone says within this, or never.
const PATIENCE: Duration = Duration::from_secs(90);

/// A machine that is switched on, perhaps without ever coming up.
#[derive(Debug)]
pub struct Alone {
    lab: String,
    _directory: tempfile::TempDir,
}

/// What the machine is given, changed by the test before it is switched on.
#[derive(Debug)]
pub struct Setup {
    lab: String,
    directory: tempfile::TempDir,
    images: PathBuf,
}

impl Setup {
    /// The demo cluster's load balancer, as `slipway cluster new` makes it.
    ///
    /// # Errors
    /// The cluster can't be made.
    pub fn new(lab: &str) -> Result<Self> {
        let directory = tempfile::tempdir().context("making a directory for the machine")?;
        let setup = Self { lab: lab.to_owned(), directory, images: cli::root().join("out") };
        let _ = cli::attempt(["lab", "down", lab]);
        let plan = setup.path("cluster.toml");
        std::fs::write(&plan, include_str!("../../builder/src/cluster/demo.toml"))
            .with_context(|| format!("writing {}", plan.display()))?;
        cli::run(["cluster", "new", &text(&plan), "--output", &text(&setup.path("made"))])?;
        Ok(setup)
    }

    /// A path in the setup's own directory.
    #[must_use]
    pub fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    /// The machine's signed config.
    #[must_use]
    pub fn config(&self) -> PathBuf {
        self.path("made/machines").join(format!("{MACHINE}.slipway"))
    }

    /// The payload of the machine's config.
    ///
    /// # Errors
    /// The config can't be read.
    pub fn payload(&self) -> Result<String> {
        cli::run(["config", "show", "--payload", &text(&self.config())])
    }

    /// Signs `payload` as the machine's config, however wrong it is.
    ///
    /// # Errors
    /// Signing itself.
    pub fn sign(&self, payload: &str) -> Result<()> {
        let file = self.path("payload.toml");
        std::fs::write(&file, payload).with_context(|| format!("writing {}", file.display()))?;
        cli::run(["config", "sign", "--unchecked", &text(&file), "--output", &text(&self.config())])
            .map(|_| ())
    }

    /// Changes the config's payload and signs it again.
    ///
    /// # Errors
    /// `from` is not in the payload, or signing fails.
    pub fn change(&self, from: &str, to: &str) -> Result<()> {
        let payload = self.payload()?;
        if !payload.contains(from) {
            bail!("the payload holds no {from:?}");
        }
        self.sign(&payload.replacen(from, to, 1))
    }

    /// Has the machine boot from images of the test's own: hard links to the built ones, whose
    /// slot the test may replace. Gives the slot's path.
    ///
    /// # Errors
    /// The images can't be copied.
    pub fn own_images(&mut self) -> Result<PathBuf> {
        let from = cli::root().join("out");
        let to = self.path("images");
        for part in ["lb", "kernel"] {
            let (from, to) = (from.join(part), to.join(part));
            std::fs::create_dir_all(&to).with_context(|| format!("making {}", to.display()))?;
            for entry in std::fs::read_dir(&from).with_context(|| format!("listing {}", from.display()))? {
                let entry = entry.with_context(|| format!("listing {}", from.display()))?;
                let target = to.join(entry.file_name());
                std::fs::copy(entry.path(), &target)
                    .with_context(|| format!("writing {}", target.display()))?;
            }
        }
        self.images = to;
        Ok(self.images.join("lb/slot.img"))
    }

    /// Switches the machine on; it may never come up.
    ///
    /// # Errors
    /// The lab itself does not start.
    pub fn switch_on(self, data_disk: Option<&Path>) -> Result<Alone> {
        let (made, images) = (text(&self.path("made")), text(&self.images));
        let driver = cli::driver();
        let mut args = vec![
            "lab",
            "up",
            &self.lab,
            "--only",
            MACHINE,
            "--no-wait",
            "--driver",
            &driver,
            "--cluster",
            &made,
            "--images",
            &images,
        ];
        let disk = data_disk.map(|disk| format!("{MACHINE}={}", disk.display()));
        if let Some(disk) = &disk {
            args.extend(["--data-disk", disk]);
        }
        cli::run(args)?;
        Ok(Alone { lab: self.lab, _directory: self.directory })
    }
}

impl Alone {
    /// The console since the machine was first switched on.
    ///
    /// # Errors
    /// There is no such machine.
    pub fn console(&self) -> Result<String> {
        cli::run(["lab", "console", &format!("{}/{MACHINE}", self.lab)])
    }

    /// Waits for a console line that holds every one of `words`, after `skip` such lines; gives the line.
    ///
    /// # Errors
    /// It does not come.
    pub fn says(&self, words: &[&str], skip: usize) -> Result<String> {
        wait::until(&format!("the machine says {words:?}"), PATIENCE, || {
            let console = self.console()?;
            let line = console.lines().filter(|line| words.iter().all(|word| line.contains(word))).nth(skip);
            line.map(str::to_owned).with_context(|| format!("its console is:\n{console}"))
        })
    }

    /// Gives the machine another config disk and switches it off and on again; disks stay.
    ///
    /// # Errors
    /// The lab does not do it.
    pub fn offer(&self, config: &Path) -> Result<()> {
        cli::run(["lab", "machine", "kill", &self.lab, MACHINE])?;
        cli::run(["lab", "machine", "start", &self.lab, MACHINE, "--config", &text(config)]).map(|_| ())
    }
}

impl Drop for Alone {
    fn drop(&mut self) {
        if let Err(error) = cli::run(["lab", "down", &self.lab]) {
            eprintln!("taking lab {} down: {error:#}", self.lab);
        }
    }
}

/// A path as an argument.
fn text(path: &Path) -> String {
    path.to_string_lossy().into_owned()
}
