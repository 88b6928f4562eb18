//! `init probed`: asks services whether they are ready or alive, so that PID 1 never waits.
//!
//! PID 1 says what is asked and how long it may take; here the question is repeated until the
//! answer is yes or its time is over. `finding` sorts what came of it, `task` is the process.
//! When it dies it is started again, and PID 1 asks anew: no service notices.

mod finding;
mod task;

pub use task::run;
