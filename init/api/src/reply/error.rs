//! Why a request was not done.
//!
//! Every answer that is no success has this document as its body; the code is for programs, the message for people.
//! What goes wrong below HTTP (a wrong certificate, no connection) is told by TLS and TCP.

use crate::role::Role;
use crate::wire;

wire! {
    /// A refusal.
    #[derive(Eq)]
    pub struct ErrorReply {
        /// For programs.
        pub error: ErrorCode,
        /// For people.
        pub message: String,
        /// The lowest role that may do it, where the client's is too low.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        pub needs: Option<Role>,
    }

    /// What kind of refusal it is.
    #[derive(Copy, Eq)]
    pub enum ErrorCode {
        /// 400: the request does not parse.
        BadRequest,
        /// 403: the certificate has no role, or one that is too low.
        Forbidden,
        /// 404: there is no such path or service.
        NotFound,
        /// 405: the path is asked another way.
        MethodNotAllowed,
        /// 409: PID 1 does not do it as things are.
        Refused,
        /// 413: the request is too long.
        TooLarge,
        /// 429: too many are following already.
        TooMany,
        /// 503: whom apid had to ask does not answer.
        Unavailable,
        /// 500: anything else.
        Internal,
    }
}

impl ErrorCode {
    /// HTTP's number for it.
    #[must_use]
    pub const fn status(self) -> u16 {
        match self {
            Self::BadRequest => 400,
            Self::Forbidden => 403,
            Self::NotFound => 404,
            Self::MethodNotAllowed => 405,
            Self::Refused => 409,
            Self::TooLarge => 413,
            Self::TooMany => 429,
            Self::Internal => 500,
            Self::Unavailable => 503,
        }
    }
}
