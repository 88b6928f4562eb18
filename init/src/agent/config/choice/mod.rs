//! Which of the offered configs counts: the decision, without files, devices or clock.
//!
//! Signature, then schema, then `machine_config::admit`, in this order. Of several that
//! pass, the highest serial wins, and the stored one wins a tie.

use std::fmt;

use jiff::Timestamp;
use machine_config::admission::{Binding, Refusal, Situation, admit};
use machine_config::{MachineConfig, Role};
use trust::envelope::{EnvelopeError, PublicKey, verify};

use crate::agent::machine::brief;

/// Where a config was found.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Source {
    /// In STATE, where it was put when it was accepted.
    Stored,
    /// On a disk, by its device node.
    Disk(String),
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Stored => f.write_str("the stored config"),
            Self::Disk(device) => write!(f, "the config on {device}"),
        }
    }
}

/// Bytes that somebody offers.
#[derive(Debug, Clone)]
pub(super) struct Candidate {
    /// Where they were.
    pub source: Source,
    /// All of them, or why they could not be read.
    pub bytes: Result<Vec<u8>, String>,
}

/// The machine's side of the decision.
#[derive(Debug, Clone)]
pub(super) struct Standing {
    /// The role of the image.
    pub role: Role,
    /// Lower-case MAC addresses.
    pub macs: Vec<String>,
    /// Whom the machine has been so far.
    pub bound_to: Option<Binding>,
    /// What the clock says.
    pub clock: Timestamp,
    /// What no true clock can be earlier than.
    pub built: Timestamp,
}

/// A config that counts.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Accepted {
    /// Where it was.
    pub source: Source,
    /// The envelope, for STATE.
    pub envelope: Vec<u8>,
    /// The signed bytes, for /run.
    pub payload: Vec<u8>,
    /// What they say.
    pub config: MachineConfig,
}

/// Why a candidate does not count.
#[derive(Debug, thiserror::Error)]
pub(super) enum Refused {
    /// It could not be read.
    #[error("{0}")]
    Unreadable(String),
    /// Its signature.
    #[error(transparent)]
    Envelope(#[from] EnvelopeError),
    /// Not text.
    #[error("the payload is not UTF-8")]
    Encoding,
    /// Its schema, in one line.
    #[error("{0}")]
    Schema(String),
    /// Not for this machine, or not now.
    #[error(transparent)]
    Admission(#[from] Refusal),
    /// Its serial is taken.
    #[error(
        "it has serial {0} like the stored config but is another one: sign it again with a higher serial"
    )]
    SerialTaken(u64),
}

/// What came of it.
#[derive(Debug, Default)]
pub(super) struct Choice {
    /// The one that counts, if any.
    pub accepted: Option<Accepted>,
    /// The others, with the reason.
    pub refused: Vec<(Source, Refused)>,
}

/// Decides about all candidates.
pub(super) fn choose(candidates: Vec<Candidate>, trusted: &[PublicKey], standing: &Standing) -> Choice {
    let mut choice = Choice::default();
    let mut passed = Vec::new();
    for candidate in candidates {
        let source = candidate.source.clone();
        match judge(candidate, trusted, standing) {
            Ok(accepted) => passed.push(accepted),
            Err(reason) => choice.refused.push((source, reason)),
        }
    }
    // Highest serial first; `Source` orders the stored one before disks.
    passed.sort_by(|a, b| {
        b.config.header.serial.cmp(&a.config.header.serial).then_with(|| a.source.cmp(&b.source))
    });
    let mut passed = passed.into_iter();
    choice.accepted = passed.next();
    if let Some(accepted) = &choice.accepted {
        let serial = accepted.config.header.serial;
        for other in
            passed.filter(|other| other.config.header.serial == serial && other.payload != accepted.payload)
        {
            choice.refused.push((other.source, Refused::SerialTaken(serial)));
        }
    }
    choice
}

fn judge(candidate: Candidate, trusted: &[PublicKey], standing: &Standing) -> Result<Accepted, Refused> {
    let envelope = candidate.bytes.map_err(Refused::Unreadable)?;
    let verified = verify(&envelope, trusted)?;
    let text = std::str::from_utf8(verified.payload()).map_err(|_| Refused::Encoding)?;
    let config = MachineConfig::parse(text).map_err(|error| Refused::Schema(brief(&error, text)))?;
    let situation = Situation {
        role: standing.role,
        macs: standing.macs.clone(),
        bound_to: standing.bound_to.clone(),
        now: plausible_now(standing, config.header.issued),
    };
    admit(&config, &situation)?;
    Ok(Accepted { source: candidate.source, payload: verified.payload().to_vec(), envelope, config })
}

/// The time to judge by. A clock that is earlier than the image is plainly wrong (no
/// battery, not set yet: the time servers are in the very config that is being judged),
/// so it is moved to what is known: now is after the image was built and after somebody
/// who is trusted signed the config.
fn plausible_now(standing: &Standing, issued: Timestamp) -> Timestamp {
    if standing.clock < standing.built { standing.built.max(issued) } else { standing.clock }
}

/// One console line for why there is no config, or `None` when there is nothing to say.
pub(super) fn complaint(choice: &Choice) -> Option<String> {
    let reasons: Vec<String> =
        choice.refused.iter().map(|(source, reason)| format!("{source} is refused: {reason}")).collect();
    match (&choice.accepted, reasons.is_empty()) {
        (Some(_), true) => None,
        (Some(_), false) => Some(reasons.join("; ")),
        (None, true) => Some(
            "waiting for a config: no disk with the ext4 label slipway-config and a file machine.slipway is attached"
                .to_owned(),
        ),
        (None, false) => Some(format!("{}; waiting for another config", reasons.join("; "))),
    }
}

#[cfg(test)]
mod tests;
