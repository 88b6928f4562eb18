//! How services tell that they are ready, and who may tell it (S25 to S29).
//!
//! The real notify socket with real senders: what the kernel says of a sender at the moment that its
//! message is read decides whose word it is.

use crate::{Scenario, scenarios};

pub(crate) fn scenarios() -> Vec<Scenario> {
    scenarios![]
}
