//! Which NIC is the machine's: the one the config names, or else the first real one.
//!
//! By the time the agent is restarted there may be bridges and pod interfaces too, all of
//! them Ethernet by their kind; only a NIC with a device behind it is real.

/// An Ethernet interface as the kernel shows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Nic {
    /// Interface index.
    pub index: u32,
    /// Interface name.
    pub name: String,
    /// MAC address, lower case.
    pub mac: String,
    /// Has hardware, or what a hypervisor passes off as such, behind it.
    pub has_device: bool,
}

/// Why no NIC is the machine's.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(super) enum NoNic {
    /// The config names one that is not there.
    #[error("no NIC has the MAC address {wanted}; there are: {}", found(.there))]
    NotThere {
        /// The config's.
        wanted: String,
        /// The machine's.
        there: Vec<Nic>,
    },
    /// There is none at all.
    #[error("the machine has no Ethernet NIC")]
    None,
}

fn found(nics: &[Nic]) -> String {
    if nics.is_empty() {
        return "none".to_owned();
    }
    nics.iter().map(|nic| format!("{} {}", nic.name, nic.mac)).collect::<Vec<_>>().join(", ")
}

/// Chooses among `nics`.
pub(super) fn choose<'a>(nics: &'a [Nic], wanted_mac: Option<&str>) -> Result<&'a Nic, NoNic> {
    let mut candidates: Vec<&Nic> =
        nics.iter().filter(|nic| wanted_mac.is_none_or(|mac| nic.mac == mac)).collect();
    candidates.sort_by_key(|nic| (!nic.has_device, nic.index));
    match (candidates.first(), wanted_mac) {
        (Some(nic), _) => Ok(nic),
        (None, Some(mac)) => Err(NoNic::NotThere { wanted: mac.to_owned(), there: nics.to_vec() }),
        (None, None) => Err(NoNic::None),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn nic(index: u32, name: &str, mac: &str, has_device: bool) -> Nic {
        Nic { index, name: name.to_owned(), mac: mac.to_owned(), has_device }
    }

    #[test]
    fn the_named_nic_is_taken_even_if_it_is_not_the_first() {
        let nics = [nic(2, "eth0", "aa", true), nic(3, "eth1", "bb", true)];
        assert_eq!(choose(&nics, Some("bb")).unwrap().name, "eth1");
    }

    #[test]
    fn a_pod_bridge_is_never_taken_for_the_nic() {
        let nics = [nic(1, "cni0", "aa", false), nic(7, "eth0", "bb", true)];
        assert_eq!(choose(&nics, None).unwrap().name, "eth0");
        // flannel's device and a macvlan may even share the NIC's address.
        let nics = [nic(1, "macvlan0", "bb", false), nic(7, "eth0", "bb", true)];
        assert_eq!(choose(&nics, Some("bb")).unwrap().name, "eth0");
    }

    #[test]
    fn a_missing_nic_is_told_with_those_that_are_there() {
        let nics = [nic(2, "eth0", "aa:aa", true)];
        let error = choose(&nics, Some("bb:bb")).unwrap_err();
        assert_eq!(error.to_string(), "no NIC has the MAC address bb:bb; there are: eth0 aa:aa");
        assert_eq!(choose(&[], None), Err(NoNic::None));
    }
}
