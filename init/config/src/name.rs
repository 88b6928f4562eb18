//! Names of clusters, machines, services and roles.
//!
//! A name that parses is a DNS label (RFC 1123: at most 63 of `a-z0-9-`, no dash at
//! either end), so it may go into a hostname, a certificate, a path and a cgroup
//! without being looked at again.

use std::fmt;

use serde::{Deserialize, Serialize};

/// Why a text is no name.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{text:?} is not a {kind} name: 1 to 63 of a-z, 0-9 and '-', no '-' at either end")]
pub struct BadName {
    kind: &'static str,
    text: String,
}

fn is_label(text: &str) -> bool {
    (1..=63).contains(&text.len())
        && text.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-')
        && !text.starts_with('-')
        && !text.ends_with('-')
}

macro_rules! label {
    ($(#[$doc:meta])* $name:ident, $kind:literal) => {
        $(#[$doc])*
        #[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(try_from = "String", into = "String")]
        pub struct $name(String);

        impl $name {
            /// The name as text.
            #[must_use]
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl TryFrom<String> for $name {
            type Error = BadName;
            fn try_from(text: String) -> Result<Self, BadName> {
                if is_label(&text) { Ok(Self(text)) } else { Err(BadName { kind: $kind, text }) }
            }
        }

        impl std::str::FromStr for $name {
            type Err = BadName;
            fn from_str(text: &str) -> Result<Self, BadName> {
                text.to_owned().try_into()
            }
        }

        impl From<$name> for String {
            fn from(name: $name) -> String {
                name.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }
    };
}

label!(
    /// A cluster's name.
    ClusterName,
    "cluster"
);
label!(
    /// A machine's name: its hostname, and its node name in Kubernetes.
    MachineName,
    "machine"
);
label!(
    /// A supervised service's name: also its cgroup and its log's name.
    ServiceName,
    "service"
);

/// What a machine is for; an image is built for exactly one role.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Role {
    /// HAProxy in front of the control planes.
    Lb,
    /// An etcd member.
    Etcd,
    /// API server, controller manager, scheduler, and a tainted node.
    ControlPlane,
    /// A node that runs pods.
    Worker,
}

impl Role {
    /// Every role, in the order in which a cluster is usually listed.
    pub const ALL: [Role; 4] = [Role::Lb, Role::Etcd, Role::ControlPlane, Role::Worker];

    /// The role as it is written in profiles and configs.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Role::Lb => "lb",
            Role::Etcd => "etcd",
            Role::ControlPlane => "control-plane",
            Role::Worker => "worker",
        }
    }
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// Why a text is no role.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is not a role: lb, etcd, control-plane or worker")]
pub struct BadRole(String);

impl std::str::FromStr for Role {
    type Err = BadRole;
    fn from_str(text: &str) -> Result<Self, BadRole> {
        Role::ALL.into_iter().find(|role| role.as_str() == text).ok_or_else(|| BadRole(text.to_owned()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_a_dns_label() {
        for good in ["a", "cp-1", "0x", &"a".repeat(63)] {
            assert!(good.parse::<MachineName>().is_ok(), "{good}");
        }
        for bad in ["", "-a", "a-", "A", "a.b", "a/b", "ü", &"a".repeat(64)] {
            assert!(bad.parse::<MachineName>().is_err(), "{bad}");
        }
    }

    #[test]
    fn a_role_parses_from_what_it_prints() {
        for role in Role::ALL {
            assert_eq!(role.to_string().parse::<Role>(), Ok(role));
        }
    }
}
