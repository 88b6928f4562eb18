//! Which drills have been done, and which are still to come.
//!
//! Drills are known by their place in the config, and a config by its serial: a new one
//! begins anew. Pure; `task` keeps the record in STATE.

use std::collections::BTreeSet;

use machine_config::machine::Drill;
use serde::{Deserialize, Serialize};

/// What has been done.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub(super) struct Record {
    /// Of which config.
    serial: u64,
    /// Places in its list.
    done: BTreeSet<usize>,
}

impl Record {
    /// The record of the config with `serial`, which starts empty when `self` is another's.
    pub(super) fn of(self, serial: u64) -> Self {
        if self.serial == serial { self } else { Self { serial, done: BTreeSet::new() } }
    }

    /// Notes one; `false` when it has been done before.
    pub(super) fn note(&mut self, place: usize) -> bool {
        self.done.insert(place)
    }

    /// What is still to come, with its place.
    pub(super) fn open(&self, drills: &[Drill]) -> Vec<(usize, Drill)> {
        let places = drills.iter().cloned().enumerate();
        places.filter(|(place, _)| !self.done.contains(place)).collect()
    }
}

#[cfg(test)]
mod tests {
    use machine_config::machine::DrillSignal;

    use super::*;

    fn drills() -> Vec<Drill> {
        let drill = |signal| Drill { service: "kubelet".parse().unwrap(), signal, after_seconds: 5 };
        vec![drill(DrillSignal::Kill), drill(DrillSignal::Reboot)]
    }

    #[test]
    fn a_drill_is_done_once_even_over_a_reboot() {
        let mut record = Record::default().of(7);
        assert!(record.note(1));
        let kept = toml::to_string(&record).unwrap();
        let again: Record = toml::from_str::<Record>(&kept).unwrap().of(7);
        let open: Vec<usize> = again.open(&drills()).into_iter().map(|(place, _)| place).collect();
        assert_eq!(open, [0]);
    }

    #[test]
    fn a_new_config_begins_anew() {
        let mut record = Record::default().of(7);
        record.note(0);
        record.note(1);
        assert_eq!(record.of(8).open(&drills()).len(), 2);
    }
}
