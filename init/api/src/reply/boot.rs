//! The time line of a boot.
//!
//! Milliseconds since the kernel's clock began, for the machine's own marks and for every service's latest start.
//! What firmware and boot loader took before that is not seen from here.

use super::service::{Stamps, State};
use crate::wire;

wire! {
    /// When the machine and each service reached what.
    pub struct Boot {
        /// This boot's id.
        pub id: String,
        /// When the kernel's clock began (RFC 3339), by the clock as it is now.
        pub began: String,
        /// The machine's own marks, in order.
        pub marks: Vec<BootMark>,
        /// Every service that has been wanted.
        pub services: Vec<ServiceBoot>,
        /// Why the machine was not up sooner: the services that it waited for, each of which waited for the one before
        /// it. As their latest starts tell: one that was started again since then is not among them.
        pub critical_chain: Vec<String>,
    }

    /// A mark.
    #[derive(Eq)]
    pub struct BootMark {
        /// What was reached.
        pub name: String,
        /// When.
        pub at_ms: u64,
    }

    /// A service on the time line.
    #[derive(Eq)]
    pub struct ServiceBoot {
        /// Its name.
        pub name: String,
        /// Whether the machine counts as up only with it.
        pub milestone: bool,
        /// Its state now.
        pub state: State,
        /// The steps of its latest start.
        pub stamps: Stamps,
    }
}
