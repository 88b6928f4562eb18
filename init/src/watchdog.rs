//! The hardware watchdog, if the machine has one: it resets a machine whose PID 1 hangs.
//!
//! Petted first thing in a turn, at most once a second. A machine that ends gives it a moment: from then on it is
//! not petted any more if it would bite later than that, whatever PID 1 still does ([`Leash`] is the arithmetic).
//! A machine without one is told of once and works on.

#![cfg_attr(
    not(test),
    deny(
        clippy::unwrap_used,
        clippy::expect_used,
        clippy::panic,
        clippy::indexing_slicing,
        clippy::arithmetic_side_effects
    )
)]

use std::io;
use std::os::fd::{AsFd, AsRawFd, RawFd};
use std::path::Path;
use std::time::Duration;

use node_sys::resume;
use node_sys::watchdog::Watchdog;
use serde::{Deserialize, Serialize};

use crate::monotonic::Monotonic;

const DEVICE: &str = "/dev/watchdog";
/// How long a hang may last.
const BITES_AFTER: Duration = Duration::from_secs(60);
/// What is believed of hardware that takes no timeout and does not tell its own.
const UNTOLD: Duration = Duration::from_secs(15);
/// It is petted three times in the time that it waits, so that being late once or twice is no matter.
const PETS: u32 = 3;
/// How often it is petted at most.
const PET_NOT_BEFORE: Duration = Duration::from_secs(1);

/// What is wrong with a boot that is its doing.
const BITTEN: &str = "the watchdog has reset the machine: PID 1 or the kernel hung";

/// The machine's watchdog.
#[derive(Debug)]
pub struct Dog {
    device: Option<Watchdog>,
    leash: Leash,
}

/// When it is petted, and until when.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
struct Leash {
    /// How long it waits once it was petted.
    bites_after: Duration,
    petted: Monotonic,
    /// When it is to bite whatever happens, once the machine ends.
    until: Option<Monotonic>,
}

/// What a successor must know.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Saved {
    descriptor: Option<RawFd>,
    leash: Leash,
}

impl Saved {
    /// Its descriptor, if there is one.
    pub(crate) fn descriptors(&self) -> impl Iterator<Item = RawFd> {
        self.descriptor.into_iter()
    }
}

impl Leash {
    fn new(bites_after: Duration, now: Monotonic) -> Self {
        Self { bites_after, petted: now, until: None }
    }

    /// Whether it would not bite later than it must, petted at `at`.
    fn reaches(&self, at: Monotonic) -> bool {
        self.until.is_none_or(|until| at.after(self.bites_after) <= until)
    }

    /// Whether it is petted now.
    fn is_long_enough(&self, now: Monotonic) -> bool {
        now.since(self.petted) >= PET_NOT_BEFORE && self.reaches(now)
    }

    /// When it is to be petted next; never again if that is too late.
    fn due(&self) -> Option<Monotonic> {
        let every = self.bites_after.checked_div(PETS).unwrap_or(PET_NOT_BEFORE).max(PET_NOT_BEFORE);
        Some(self.petted.after(every)).filter(|due| self.reaches(*due))
    }
}

impl Dog {
    /// Arms it; what it is like, for the record, and the problem if it ended the boot before this one.
    pub(crate) fn arm(now: Monotonic) -> (Self, String, Option<&'static str>) {
        let device = match Watchdog::arm(Path::new(DEVICE)) {
            Ok(device) => device,
            Err(error) => {
                let told = match error.kind() {
                    io::ErrorKind::NotFound => "the machine has no watchdog".to_owned(),
                    _ => format!("arming {DEVICE}: {error}"),
                };
                return (Self { device: None, leash: Leash::new(BITES_AFTER, now) }, told, None);
            }
        };
        // It is armed by now: hardware that has its own mind must be petted as it wants to be.
        let after = device.set_timeout(BITES_AFTER).or_else(|_| device.timeout()).unwrap_or(UNTOLD);
        // Most hardware can tell; what cannot has nothing to say.
        let bitten = device.has_bitten().unwrap_or(false).then_some(BITTEN);
        let told = format!("a watchdog resets the machine after {after:?} of hanging");
        (Self { device: Some(device), leash: Leash::new(after, now) }, told, bitten)
    }

    /// For a successor.
    pub(crate) fn save(&self) -> Saved {
        let descriptor = self.device.as_ref().map(|device| device.as_fd().as_raw_fd());
        Saved { descriptor, leash: self.leash }
    }

    /// Takes over a predecessor's: it goes on biting as it was told to.
    pub(crate) fn restore(saved: &Saved) -> io::Result<Self> {
        let device = saved.descriptor.map(resume::adopt).transpose()?.map(Watchdog::from);
        Ok(Self { device, leash: saved.leash })
    }

    /// PID 1 is alive.
    pub(crate) fn pet(&mut self, now: Monotonic) {
        if self.leash.is_long_enough(now) {
            self.pet_anyway(now);
        }
    }

    fn pet_anyway(&mut self, now: Monotonic) {
        if let Some(device) = &mut self.device {
            self.leash.petted = now;
            // It would say so once more in a second, and there is nobody else to tell it.
            let _ = device.pet();
        }
    }

    /// When it is to be petted next, if there is one.
    pub(crate) fn due(&self) -> Option<Monotonic> {
        self.device.as_ref().and_then(|_| self.leash.due())
    }

    /// The machine ends: it bites then, unless the machine has ended.
    pub(crate) fn bite_at(&mut self, until: Monotonic, now: Monotonic) {
        let Some(device) = &self.device else { return };
        // What reaches that far is petted once more, and that was it. What does not, and so keeps the time that it
        // had, is petted until it reaches: or an end that takes its lawful time would be cut short.
        if let Ok(after) = device.set_timeout(until.since(now)) {
            self.leash.bites_after = after;
        }
        self.leash.until = Some(until);
        self.pet_anyway(now);
    }
}

#[cfg(test)]
impl Dog {
    /// Hardware that takes no timeout, and keeps a byte of each pat.
    pub(crate) fn stubborn(bites_after: Duration) -> (Self, std::fs::File) {
        let device = tempfile::tempfile().unwrap();
        let pats = device.try_clone().unwrap();
        let device = Some(Watchdog::from(std::os::fd::OwnedFd::from(device)));
        (Self { device, leash: Leash::new(bites_after, Monotonic::from_millis(0)) }, pats)
    }
}

#[cfg(test)]
mod tests {
    use std::fs::File;

    use super::*;

    fn at(seconds: u64) -> Monotonic {
        Monotonic::from_millis(seconds * 1000)
    }

    fn stubborn(bites_after: Duration) -> (Dog, File) {
        Dog::stubborn(bites_after)
    }

    fn pats(file: &File) -> u64 {
        file.metadata().unwrap().len()
    }

    #[test]
    fn a_dog_is_petted_at_most_once_a_second_and_due_three_times_in_its_patience() {
        let (mut dog, file) = stubborn(BITES_AFTER);
        assert_eq!(dog.due(), Some(at(20)));
        for millis in 0..5000 {
            dog.pet(Monotonic::from_millis(millis));
        }
        assert_eq!((pats(&file), dog.due()), (4, Some(at(24))));
        assert_eq!(stubborn(Duration::from_secs(30)).0.due(), Some(at(10)), "it has less patience");
        assert_eq!(stubborn(Duration::from_secs(2)).0.due(), Some(at(1)));
    }

    #[test]
    fn a_dog_that_reaches_to_the_end_of_the_end_is_not_petted_again() {
        let mut leash = Leash::new(Duration::from_secs(300), at(10));
        leash.until = Some(at(310));
        assert_eq!(leash.due(), None, "nothing is to wake PID 1 for it");
        assert!((11..400).all(|now| !leash.is_long_enough(at(now))));
    }

    #[test]
    fn a_dog_that_does_not_reach_to_the_end_of_the_end_is_petted_until_it_does() {
        let (mut dog, file) = stubborn(BITES_AFTER);
        dog.bite_at(at(310), at(10));
        assert_eq!(pats(&file), 1, "the end begins with a pat");
        let mut last = at(10);
        while let Some(due) = dog.due() {
            assert!(due.since(last) <= BITES_AFTER / 2, "it would have bitten a machine that was on its way");
            dog.pet(due);
            last = due;
        }
        assert!(last > at(310 - 60 - 20) && last <= at(310 - 60), "it bites when it must: {last}");
        let before = pats(&file);
        (251..1000).for_each(|now| dog.pet(at(now)));
        assert_eq!(pats(&file), before, "nobody who lives on keeps a machine from its end");
    }

    #[test]
    fn a_successor_keeps_the_moment_at_which_the_dog_bites() {
        let (mut dog, _file) = stubborn(BITES_AFTER);
        dog.bite_at(at(310), at(10));
        let saved: Saved = serde_json::from_str(&serde_json::to_string(&dog.save()).unwrap()).unwrap();
        assert_eq!((saved.leash, saved.leash.until), (dog.leash, Some(at(310))));
        assert_eq!(saved.descriptors().count(), 1);
    }
}
