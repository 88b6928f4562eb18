//! The node API as types: what a machine is asked, what it answers, and who may ask.
//!
//! JSON over HTTP (1.1 or 2) over TLS 1.3 with certificates on both sides; streams are one JSON document per line.
//! `verb` is the table of everything there is, `role` who may, `request` and `reply` the documents, `limits` how much.
//! The server is `init`'s `apid`, the client `slipway`'s. With the feature `schema`, `schema` writes the OpenAPI
//! document that other people's clients are generated from. Knows none of our other crates.

pub mod limits;
pub mod reply;
pub mod request;
pub mod role;
#[cfg(feature = "schema")]
pub mod schema;
pub mod verb;

pub use role::Role;
pub use verb::{Route, Verb};

/// The one port.
pub const PORT: u16 = 7443;
/// What every path but that of the metrics begins with; a breaking change would get another one beside it.
pub const PREFIX: &str = "/v1";

/// The derives of everything that travels: names are `snake_case`, in fields as in words.
macro_rules! wire {
    ($($item:item)*) => { $(
        #[derive(Debug, Clone, PartialEq, serde::Serialize, serde::Deserialize)]
        #[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
        #[serde(rename_all = "snake_case")]
        $item
    )* };
}
pub(crate) use wire;
