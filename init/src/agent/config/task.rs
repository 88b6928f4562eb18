//! Asks for a config until there is one, stores it, and keeps an eye on newer ones.
//!
//! The order of writes survives a power cut at any point: the envelope first, then the
//! binding with its serial, then the copy in /run that the other agents read.

use std::path::Path;
use std::thread;
use std::time::Duration;

use jiff::Timestamp;
use machine_config::admission::Binding;
use machine_config::redact;
use machine_config::service::Group;

use super::choice::{Accepted, Choice, Standing, choose, complaint};
use super::observe::{self, BindingError, KeysError};
use crate::agent::files::{self, FileError};
use crate::agent::image::{Image, ImageError};
use crate::agent::notify::Notifier;
use crate::agent::paths;

/// How often it asks while there is no config.
const ASK_EVERY: Duration = Duration::from_secs(2);
/// How often it looks for a newer one once there is.
const LOOK_EVERY: Duration = Duration::from_secs(10);

/// Why there can be no config at all.
#[derive(Debug, thiserror::Error)]
pub enum ConfigAgentError {
    /// The image does not say what it is.
    #[error(transparent)]
    Image(#[from] ImageError),
    /// The image trusts nobody.
    #[error(transparent)]
    Keys(#[from] KeysError),
    /// STATE or /run cannot be written.
    #[error(transparent)]
    File(#[from] FileError),
    /// The machine's binding is lost.
    #[error(transparent)]
    Binding(#[from] BindingError),
}

/// Runs the agent; it ends only by an error.
///
/// # Errors
/// [`ConfigAgentError`]; PID 1 then starts it again.
pub fn run() -> Result<(), ConfigAgentError> {
    let mut notifier = Notifier::from_environment();
    let outcome = serve(&mut notifier);
    if let Err(error) = &outcome {
        notifier.problem(&error.to_string());
    }
    outcome
}

fn serve(notifier: &mut Notifier) -> Result<(), ConfigAgentError> {
    let image = Image::load(Path::new(paths::IMAGE))?;
    let trusted = observe::trusted_keys(Path::new(paths::TRUSTED_KEYS))?;
    let look = || -> Result<Choice, ConfigAgentError> {
        let standing = Standing {
            role: image.role,
            macs: observe::macs(Path::new("/sys/class/net")),
            bound_to: observe::binding(Path::new(paths::BINDING))?,
            clock: Timestamp::now(),
            built: image.built,
        };
        let mut candidates = observe::on_disks(Path::new("/sys/class/block"), Path::new("/dev"));
        candidates.extend(observe::stored(Path::new(paths::ACCEPTED)));
        Ok(choose(candidates, &trusted, &standing))
    };
    let (accepted, told) = loop {
        let choice = look()?;
        // The refusals first: the last line on the console is then who the machine is.
        let complaint = complaint(&choice);
        if let Some(complaint) = &complaint {
            notifier.problem(complaint);
        }
        if let Some(accepted) = choice.accepted {
            break (accepted, complaint);
        }
        thread::sleep(ASK_EVERY);
    };
    store(&accepted)?;
    files::replace_for(Some(Group::Config.number()), Path::new(paths::MACHINE), &accepted.payload, 0o640)?;
    let shown = shown(&accepted.source.to_string(), &accepted.payload);
    files::replace(Path::new(paths::MACHINE_REDACTED), shown.as_bytes(), 0o644)?;
    let (header, address) = (&accepted.config.header, accepted.config.network.address);
    tracing::info!(serial = header.serial, source = %accepted.source, expires = %header.expires, "config accepted");
    notifier.status(&format!("is {} of cluster {}, {address}", header.machine, header.cluster));
    notifier.ready();
    watch(notifier, header.serial, told, look)
}

/// Stores newer configs as they appear; the running services keep theirs until a reboot.
fn watch(
    notifier: &mut Notifier,
    running: u64,
    mut told: Option<String>,
    look: impl Fn() -> Result<Choice, ConfigAgentError>,
) -> Result<(), ConfigAgentError> {
    let mut newest = running;
    loop {
        thread::sleep(LOOK_EVERY);
        let choice = look()?;
        let complaint = complaint(&choice);
        if let Some(complaint) = complaint.as_deref().filter(|complaint| told.as_deref() != Some(complaint)) {
            notifier.problem(complaint);
        }
        told = complaint;
        let Some(accepted) = choice.accepted else { continue };
        let serial = accepted.config.header.serial;
        if serial > newest {
            store(&accepted)?;
            newest = serial;
            let source = &accepted.source;
            notifier
                .status(&format!("has stored {source}, serial {serial}: it counts from the next boot on"));
        }
    }
}

/// What everybody on the machine may read of a config: where it came from, and all of it but its secrets.
fn shown(source: &str, payload: &[u8]) -> String {
    // It was parsed when it was admitted: whatever went wrong here, nothing is shown.
    let text = std::str::from_utf8(payload).ok().and_then(|text| redact::redacted(text).ok());
    format!("# from {}\n{}", source.replace('\n', " "), text.unwrap_or_default())
}

fn store(accepted: &Accepted) -> Result<(), ConfigAgentError> {
    let header = &accepted.config.header;
    files::replace(Path::new(paths::ACCEPTED), &accepted.envelope, 0o600)?;
    let to =
        Binding { cluster: header.cluster.clone(), machine: header.machine.clone(), serial: header.serial };
    observe::bind(Path::new(paths::BINDING), &to)?;
    Ok(())
}
