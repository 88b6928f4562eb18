//! The hardware watchdog, if the machine has one: it resets a machine whose PID 1 hangs.
//!
//! Petted first thing in a turn, at most once a second; at the machine's end it gets the time
//! that the end may take and then some. A machine without one is told of once and works on.

use std::io;
use std::os::fd::{AsFd, AsRawFd, RawFd};
use std::path::Path;
use std::time::Duration;

use node_sys::resume;
use node_sys::watchdog::Watchdog;

use crate::monotonic::Monotonic;

const DEVICE: &str = "/dev/watchdog";
/// How long a hang may last.
const BITES_AFTER: Duration = Duration::from_secs(60);
/// How often it is petted when nothing else is going on.
const PET_EVERY: Duration = Duration::from_secs(20);
/// How often it is petted at most.
const PET_NOT_BEFORE: Duration = Duration::from_secs(1);

/// What is wrong with a boot that is its doing.
const BITTEN: &str = "the watchdog has reset the machine: PID 1 or the kernel hung";

/// The machine's watchdog.
#[derive(Debug)]
pub(super) struct Dog {
    device: Option<Watchdog>,
    petted: Monotonic,
}

impl Dog {
    /// Arms it; what it is like, for the record, and the problem if it ended the boot before this one.
    pub(super) fn arm(now: Monotonic) -> (Self, String, Option<&'static str>) {
        let armed = Watchdog::arm(Path::new(DEVICE)).and_then(|device| {
            let after = device.set_timeout(BITES_AFTER)?;
            Ok((device, after))
        });
        let (device, told) = match armed {
            Ok((device, after)) => {
                (Some(device), format!("a watchdog resets the machine after {after:?} of hanging"))
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                (None, "the machine has no watchdog".to_owned())
            }
            Err(error) => (None, format!("arming {DEVICE}: {error}")),
        };
        // Most hardware can tell; what cannot has nothing to say.
        let bitten = device.as_ref().is_some_and(|device| device.has_bitten().unwrap_or(false));
        (Self { device, petted: now }, told, bitten.then_some(BITTEN))
    }

    /// Its descriptor, for a successor.
    pub(super) fn descriptor(&self) -> Option<RawFd> {
        self.device.as_ref().map(|device| device.as_fd().as_raw_fd())
    }

    /// Takes over a predecessor's: it goes on biting as it was told to.
    pub(super) fn restore(descriptor: Option<RawFd>, now: Monotonic) -> io::Result<Self> {
        let device = descriptor.map(resume::adopt).transpose()?.map(Watchdog::from);
        Ok(Self { device, petted: now.before(PET_NOT_BEFORE) })
    }

    /// PID 1 is alive.
    pub(super) fn pet(&mut self, now: Monotonic) {
        if let Some(device) = &mut self.device
            && now.since(self.petted) >= PET_NOT_BEFORE
        {
            self.petted = now;
            // It would say so once more in a second, and there is nobody else to tell it.
            let _ = device.pet();
        }
    }

    /// When it is to be petted next, if there is one.
    pub(super) fn due(&self) -> Option<Monotonic> {
        self.device.is_some().then(|| self.petted.after(PET_EVERY))
    }

    /// The machine ends: from now on it has so long.
    pub(super) fn give(&mut self, time: Duration) {
        if let Some(device) = &mut self.device {
            // Hardware with a shorter reach keeps what it has: then the end must be as short.
            let _ = device.set_timeout(time);
            let _ = device.pet();
        }
    }
}
