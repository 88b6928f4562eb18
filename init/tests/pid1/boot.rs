//! The two halves of a scenario: outside, where a machine is booted and its end is looked at, and
//! inside, where PID 1 is asked.
//!
//! [`Boot::machine`] is where a scenario's function goes on in the machine. There it never comes
//! back; outside it gives what is left of the machine when that has ended.

use std::path::PathBuf;
use std::time::Duration;

use crate::ask::Pid1;
use crate::emulator::Emulator;
use crate::machine::{Ended, Host, Reader};
use crate::{disk, image, inside};

/// Where a scenario's function runs.
pub(crate) enum Boot {
    /// On the host, for the scenario of this name, with what executes its machine.
    Outside(&'static str, Host, Emulator),
    /// In the machine.
    Inside,
}

/// What a machine is like.
#[derive(Debug, Clone)]
pub(crate) struct Setup {
    /// Its services besides the scenario, in TOML: `[[service]]` each, as in profiles/services. What has no
    /// `description` and no `ready` is an actor that is ready once it is executed.
    pub(crate) services: String,
    /// More words on the kernel's command line.
    pub(crate) cmdline: &'static str,
    /// How long it may live.
    pub(crate) within: Duration,
    /// Its memory. Two thirds of the least that works are the programs, which are not optimised.
    pub(crate) memory_mib: u32,
    /// Who reads its console.
    pub(crate) console: Reader,
    /// Services of the real images, by the names of their files in profiles/services.
    pub(crate) ours: &'static [&'static str],
    /// Disks, each a file of the host.
    pub(crate) disks: Vec<PathBuf>,
    /// More words for QEMU: devices that a machine without hardware has none of.
    pub(crate) devices: &'static [&'static str],
}

impl Default for Setup {
    fn default() -> Self {
        Self {
            services: String::new(),
            cmdline: "",
            within: Duration::from_secs(120),
            memory_mib: 192,
            console: Reader::Stays,
            ours: &[],
            disks: Vec::new(),
            devices: &[],
        }
    }
}

impl Boot {
    /// A disk for the machine, with an empty file system.
    pub(crate) fn disk(&self, disk: &str) -> PathBuf {
        match self {
            Self::Inside => PathBuf::new(),
            Self::Outside(name, host, _) => {
                let path = host.directory().join(format!("{name}-{disk}"));
                disk::make(&path);
                path
            }
        }
    }

    /// Boots a machine with `services` and does `scenario` in it.
    pub(crate) fn machine(&self, services: &str, scenario: impl FnOnce(&Pid1)) -> Ended {
        self.machine_with(Setup { services: services.to_owned(), ..Setup::default() }, scenario)
    }

    /// Boots a machine and does `scenario` in it.
    pub(crate) fn machine_with(&self, setup: Setup, scenario: impl FnOnce(&Pid1)) -> Ended {
        match self {
            Self::Inside => inside::play(scenario),
            Self::Outside(name, host, emulator) => {
                let table = image::table(name, &setup.services, setup.ours);
                let ended = host.run(emulator, &setup, &table).passed();
                if std::env::var_os("SCENARIO_SHOW").is_some() {
                    eprintln!("{name}\n{}", ended.words());
                }
                ended
            }
        }
    }
}
