//! Why a request is not done, on its way to becoming an answer.
//!
//! The document itself is the API's; here are the few ways in which one comes about.

use node_api::Role;
use node_api::reply::{ErrorCode, ErrorReply};

/// A refusal.
#[derive(Debug, Clone, PartialEq)]
pub struct Refusal(pub ErrorReply);

impl Refusal {
    /// Of a kind, in words.
    #[must_use]
    pub fn new(error: ErrorCode, message: impl Into<String>) -> Self {
        Self(ErrorReply { error, message: message.into(), needs: None })
    }

    /// The client may not.
    #[must_use]
    pub fn forbidden(has: Option<Role>, needs: Role) -> Self {
        let has = match has {
            Some(role) => format!("the certificate's role is {role}"),
            None => "the certificate has no role".to_owned(),
        };
        let message = format!("{has}, and this needs {needs}");
        Self(ErrorReply { error: ErrorCode::Forbidden, message, needs: Some(needs) })
    }
}
