//! What the lab needs to know of a kind of machine; `uml` and `qemu` are the two.
//!
//! A driver says what to start, as data, and how to press a button. It keeps no state: whether a machine runs is the
//! runner's business, and what to do about it is decided in `power`.

use std::ffi::OsString;
use std::future::Future;
use std::path::PathBuf;
use std::pin::Pin;

use super::place::Place;
use super::power::Abilities;
use super::spec::MachineSpec;
use crate::error::Result;
use crate::switch::Framing;

/// A future on the lab's one thread.
pub(crate) type Pending<'a, T> = Pin<Box<dyn Future<Output = T> + 'a>>;

/// A process to start, as data, so that it can be looked at before it is run.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Invocation {
    pub(crate) program: PathBuf,
    pub(crate) arguments: Vec<OsString>,
    pub(crate) environment: Vec<(&'static str, OsString)>,
}

/// A kind of machine.
pub(crate) trait Driver: std::fmt::Debug {
    /// How its network card frames what it sends.
    fn framing(&self) -> Framing;

    /// What its process can do.
    fn abilities(&self) -> Abilities;

    /// The process that is the machine.
    fn invocation(&self, spec: &MachineSpec, place: &Place) -> Invocation;

    /// Asks the guest to shut down, as its power button would.
    fn press_power<'a>(&'a self, place: &'a Place) -> Pending<'a, Result<()>>;

    /// Resets the guest; only called if `abilities` says that it can.
    fn reset_in_place<'a>(&'a self, place: &'a Place) -> Pending<'a, Result<()>>;
}
