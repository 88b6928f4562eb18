//! The machine config in force.
//!
//! The text is the payload as it was signed, but for its secrets, which never come this way: the agent that may read
//! them leaves a copy without for the one that answers.

use crate::wire;

wire! {
    /// A machine config.
    #[derive(Eq)]
    pub struct Config {
        /// The machine it is for.
        pub machine: String,
        /// Its cluster.
        pub cluster: String,
        /// Its role.
        pub role: String,
        /// Which version of the config it is.
        pub serial: u64,
        /// Where it was found.
        pub source: String,
        /// Not valid before (RFC 3339).
        pub issued: String,
        /// Not valid after.
        pub expires: String,
        /// TOML, secrets left out.
        pub text: String,
    }
}
