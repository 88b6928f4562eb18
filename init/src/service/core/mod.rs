//! Supervision decided: what each service does next and why, without doing any of it.
//!
//! Pure: an event and a moment in, steps out ([`Services::handle`]); no clock, descriptor,
//! file or process. `event` is what the shell tells, `action` what it is told. One service's
//! life is in `state` (the picture), `member`, `seat`, `start`, `checks`, `end`; what is
//! between services in `graph`, `settle`, `order`; the record in `journal`, `explain`, `view`.

#![cfg_attr(
    not(test),
    deny(
        clippy::unwrap_used,
        clippy::expect_used,
        clippy::panic,
        clippy::indexing_slicing,
        clippy::arithmetic_side_effects
    )
)]

mod action;
mod backoff;
mod cause;
mod checks;
mod end;
mod escalation;
mod event;
mod explain;
mod graph;
mod health;
mod jitter;
mod journal;
mod limiter;
mod machine;
mod member;
mod order;
mod plan;
mod saved;
mod seat;
mod services;
mod settle;
mod start;
mod state;
mod view;

#[cfg(test)]
mod model;
#[cfg(test)]
mod scenarios;

pub use action::{About, Action, Demand, Slot, Step};
pub use cause::{Cause, Failure, Reason, seconds};
pub use escalation::History;
pub use event::{Deed, Digest, Ending, Event, Instance, Question, Report, StepKind};
pub use journal::{Journal, Record};
pub use order::{Accepted, Refusal};
pub use plan::{Entry, Insistence, Phase, Plan};
pub use saved::RestoreError;
pub use services::Services;
pub use view::Belief;
