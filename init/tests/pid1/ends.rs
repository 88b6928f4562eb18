//! Nothing yet.
//!
//! Nothing.

use crate::{Scenario, scenarios};

pub(crate) fn scenarios() -> Vec<Scenario> {
    scenarios![]
}
