//! The machine's NICs as sysfs shows them.
//!
//! Reading only; `nic` chooses. What cannot be read is not there (interfaces come and go).

use std::fs;
use std::path::Path;

use super::nic::Nic;

/// `ARPHRD_ETHER`.
const ETHERNET: &str = "1";

/// Ethernet interfaces below `class` (/sys/class/net).
pub(super) fn nics(class: &Path) -> Vec<Nic> {
    let Ok(entries) = fs::read_dir(class) else { return Vec::new() };
    entries.filter_map(|entry| nic(&entry.ok()?.path())).collect()
}

fn nic(path: &Path) -> Option<Nic> {
    let read = |name: &str| Some(fs::read_to_string(path.join(name)).ok()?.trim().to_owned());
    if read("type")? != ETHERNET {
        return None;
    }
    Some(Nic {
        index: read("ifindex")?.parse().ok()?,
        name: path.file_name()?.to_str()?.to_owned(),
        mac: read("address")?.to_lowercase(),
        has_device: path.join("device").exists(),
    })
}

/// Whether the cable is in; before that, packets are lost without an error.
pub(super) fn has_carrier(class: &Path, nic: &Nic) -> bool {
    fs::read_to_string(class.join(&nic.name).join("carrier")).is_ok_and(|text| text.trim() == "1")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_ethernet_counts() {
        let dir = tempfile::tempdir().unwrap();
        for (name, kind, index) in [("lo", "772", "1"), ("eth0", "1", "2"), ("odd", "1", "not a number")] {
            let path = dir.path().join(name);
            fs::create_dir(&path).unwrap();
            fs::write(path.join("type"), format!("{kind}\n")).unwrap();
            fs::write(path.join("ifindex"), format!("{index}\n")).unwrap();
            fs::write(path.join("address"), "52:54:00:4D:00:15\n").unwrap();
        }
        fs::create_dir(dir.path().join("eth0/device")).unwrap();
        let expected =
            Nic { index: 2, name: "eth0".to_owned(), mac: "52:54:00:4d:00:15".to_owned(), has_device: true };
        assert_eq!(nics(dir.path()), [expected]);
    }
}
