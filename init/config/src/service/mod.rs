//! What a supervised service is: a spec in text, and the table that PID 1 reads.
//!
//! `profiles/services/NAME.toml` is a [`ServiceSpec`]; `layout` checks a role's whole set when an
//! image is built (unknown names, cycles, depth) and lays it out as a [`Table`], the one thing
//! that PID 1 reads. What a cluster decides (flags, mostly) comes at boot as an [`Overlay`].

mod access;
mod layout;
mod overlay;
mod sandbox;
mod spec;
mod table;

#[cfg(test)]
mod tests;

pub use crate::span::Span;
pub use access::{DirectoryMode, Group};
pub use layout::{DEPTH_MAX, LayoutError, layout};
pub use overlay::{OVERLAY_MAX, Overlay};
pub use sandbox::{Capability, Sandbox, SystemCalls};
pub use spec::{
    Class, EdgeSpec, ExitRule, IoMax, KillScope, Limits, LivenessSpec, LogSpec, NoTimeout, OnLoss, OomPolicy,
    ReadySpec, ReloadSpec, Restart, ServiceSpec, Start, StartTimeout, StopSignal, StopSpec,
};
pub use table::{Edge, EdgeKind, Liveness, Place, Ready, Reload, Table, TableError, Unit};
