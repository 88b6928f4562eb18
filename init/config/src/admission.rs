//! May this config be used on this machine, now?
//!
//! A pure decision over a config whose signature already holds. The machine and
//! `slipway config verify` ask the same function, so they refuse the same things in the
//! same words.

use jiff::Timestamp;

use crate::machine::MachineConfig;
use crate::name::{ClusterName, MachineName, Role};

/// What the machine knows of itself when a config is offered.
#[derive(Debug, Clone)]
pub struct Situation {
    /// The role its image was built for.
    pub role: Role,
    /// The MAC addresses of its NICs, lower case.
    pub macs: Vec<String>,
    /// Whom it has been since its first config, read from STATE.
    pub bound_to: Option<Binding>,
    /// Its clock.
    pub now: Timestamp,
}

/// What a machine's first accepted config made it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Binding {
    /// The cluster it joined.
    pub cluster: ClusterName,
    /// The name it took.
    pub machine: MachineName,
    /// The serial of the config it last accepted.
    pub serial: u64,
}

/// Why a config is not for this machine, or not now.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// The image has another role.
    #[error("the config is for role {offered}, this image is {own}")]
    OtherRole {
        /// The config's.
        offered: Role,
        /// The image's.
        own: Role,
    },
    /// Another cluster's config.
    #[error("the config is for cluster {offered}, this machine belongs to {own}")]
    OtherCluster {
        /// The config's.
        offered: ClusterName,
        /// The machine's.
        own: ClusterName,
    },
    /// Another machine's config, by name.
    #[error("the config is for machine {offered}, this machine is {own}")]
    OtherMachine {
        /// The config's.
        offered: MachineName,
        /// The machine's.
        own: MachineName,
    },
    /// Another machine's config, by hardware.
    #[error("the config is for the machine with MAC address {offered}, this one has {own}")]
    OtherHardware {
        /// The config's.
        offered: String,
        /// The machine's, joined by commas.
        own: String,
    },
    /// A config that has been replaced.
    #[error("serial {offered} is lower than the stored {stored}")]
    Superseded {
        /// The config's.
        offered: u64,
        /// The machine's.
        stored: u64,
    },
    /// Too early.
    #[error("not valid before {issued}, and this machine's clock says {now}")]
    NotYetValid {
        /// The config's.
        issued: Timestamp,
        /// The machine's clock.
        now: Timestamp,
    },
    /// Too late.
    #[error("expired at {expires}, and this machine's clock says {now}")]
    Expired {
        /// The config's.
        expires: Timestamp,
        /// The machine's clock.
        now: Timestamp,
    },
}

/// Decides whether `config` may be used by the machine that `situation` describes.
///
/// # Errors
/// The first reason against it; identity is looked at before time, since a foreign
/// config stays foreign whatever the clock says.
pub fn admit(config: &MachineConfig, situation: &Situation) -> Result<(), Refusal> {
    let header = &config.header;
    if config.role() != situation.role {
        return Err(Refusal::OtherRole { offered: config.role(), own: situation.role });
    }
    if let Some(bound) = &situation.bound_to {
        if header.cluster != bound.cluster {
            return Err(Refusal::OtherCluster {
                offered: header.cluster.clone(),
                own: bound.cluster.clone(),
            });
        }
        if header.machine != bound.machine {
            return Err(Refusal::OtherMachine {
                offered: header.machine.clone(),
                own: bound.machine.clone(),
            });
        }
    }
    if let Some(mac) = &header.mac
        && !situation.macs.contains(mac)
    {
        return Err(Refusal::OtherHardware { offered: mac.clone(), own: situation.macs.join(", ") });
    }
    if let Some(bound) = &situation.bound_to
        && header.serial < bound.serial
    {
        return Err(Refusal::Superseded { offered: header.serial, stored: bound.serial });
    }
    if situation.now < header.issued {
        return Err(Refusal::NotYetValid { issued: header.issued, now: situation.now });
    }
    if situation.now > header.expires {
        return Err(Refusal::Expired { expires: header.expires, now: situation.now });
    }
    Ok(())
}
