//! Who may do what: three roles, each of which may do all that the one below it may.
//!
//! The role is the organization (`O=`) of the client certificate, which the cluster's node-API authority has signed:
//! nobody becomes more by asking. Which verb needs which role is in `verb`.

use std::fmt;
use std::str::FromStr;

use crate::wire;

wire! {
    /// What a client may do.
    #[derive(Copy, Eq, PartialOrd, Ord, Hash)]
    pub enum Role {
        /// Looks.
        Reader,
        /// Looks, and starts and stops services.
        Operator,
        /// Everything, the end of the machine included.
        Admin,
    }
}

/// What stands before the role in a certificate's organization.
const ORGANIZATION: &str = "slipway:";

impl Role {
    /// All of them, the lowest first.
    pub const ALL: [Self; 3] = [Self::Reader, Self::Operator, Self::Admin];

    /// Its word.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Reader => "reader",
            Self::Operator => "operator",
            Self::Admin => "admin",
        }
    }

    /// The organization that a certificate of this role bears.
    #[must_use]
    pub fn organization(self) -> String {
        format!("{ORGANIZATION}{self}")
    }

    /// The role of a certificate with these organizations: none unless exactly one of them is a role.
    #[must_use]
    pub fn of_organizations<'a>(organizations: impl IntoIterator<Item = &'a str>) -> Option<Self> {
        let mut roles =
            organizations.into_iter().filter_map(|text| text.strip_prefix(ORGANIZATION)?.parse().ok());
        let role = roles.next()?;
        roles.next().is_none().then_some(role)
    }

    /// Whether it may do what needs `needed`.
    #[must_use]
    pub fn suffices_for(self, needed: Self) -> bool {
        self >= needed
    }
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A word that is no role.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NoRole;

impl fmt::Display for NoRole {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("no role: it is reader, operator or admin")
    }
}

impl std::error::Error for NoRole {}

impl FromStr for Role {
    type Err = NoRole;

    fn from_str(text: &str) -> Result<Self, NoRole> {
        Self::ALL.into_iter().find(|role| role.as_str() == text).ok_or(NoRole)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_role_may_do_what_the_lower_ones_may() {
        for (low, role) in Role::ALL.into_iter().enumerate() {
            for (other, needed) in Role::ALL.into_iter().enumerate() {
                assert_eq!(role.suffices_for(needed), low >= other, "{role} for {needed}");
            }
        }
    }

    #[test]
    fn a_certificate_has_one_role_or_none() {
        let of = |list: &[&str]| Role::of_organizations(list.iter().copied());
        assert_eq!(of(&["slipway:reader"]), Some(Role::Reader));
        assert_eq!(of(&["acme", "slipway:admin"]), Some(Role::Admin));
        for none in
            [&[][..], &["admin"], &["slipway:root"], &["slipway:"], &["slipway:reader", "slipway:admin"]]
        {
            assert_eq!(of(none), None, "{none:?}");
        }
    }
}
