//! Writes what `render` says, mints what `leaf` decides, and stays to renew.
//!
//! Everything services read is on tmpfs and made anew at each boot; only certificates that
//! outlive a boot are in STATE. Whoever reads a renewed one notices by itself: all of these
//! programs look at their files again.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use machine_config::service::Group;
use machine_config::{MachineConfig, Role};
use trust::pki::{Authority, Facts, PkiError, Validity};

use super::identity::{identity, stranded};
use super::leaf::{Issuer, POWERFUL, Wish, must_mint};
use super::member::{REFUSED, Traces, Verdict, may_start};
use super::render::{Rendered, render};
use super::shown::certificates;
use super::store::{Store, StoreError};
use crate::agent::files::{self, FileError};
use crate::agent::machine::{self, MachineError};
use crate::agent::notify::Notifier;
use crate::agent::paths;

/// The longest sleep before certificates are looked at again: the clock may have been set meanwhile, and the kubelet
/// gets and renews its own without a word.
const LOOK_EVERY: SignedDuration = SignedDuration::from_mins(1);
/// The shortest, so that a certificate that cannot be renewed does not keep a core busy.
const LOOK_NOT_BEFORE: SignedDuration = SignedDuration::from_secs(30);
/// How often etcd's data is looked for.
const ETCD_EVERY: Duration = Duration::from_secs(1);
/// The certificates that the kubelet gets for itself, and as what they are shown beside ours.
const KUBELETS: [(&str, &str); 2] = [
    ("pki/kubelet-client-current.pem", "kubelet-client"),
    ("pki/kubelet-server-current.pem", "kubelet-server"),
];
/// A certificate and a key.
const PAIR_MAX: u64 = 64 * 1024;

/// Why services have nothing to read.
#[derive(Debug, thiserror::Error)]
pub enum PkiAgentError {
    /// No config.
    #[error(transparent)]
    Machine(#[from] MachineError),
    /// A file could not be written.
    #[error(transparent)]
    File(#[from] FileError),
    /// Nothing could be kept.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// A certificate could not be made.
    #[error("minting {name}: {source}")]
    Mint {
        /// Whose.
        name: &'static str,
        /// Why.
        source: PkiError,
    },
    /// An authority of the config is not usable.
    #[error("taking up the authority {issuer:?}: {source}")]
    Authority {
        /// Which.
        issuer: Issuer,
        /// Why.
        source: PkiError,
    },
}

/// Runs the agent; it ends only by an error.
///
/// # Errors
/// [`PkiAgentError`].
pub fn run() -> Result<(), PkiAgentError> {
    let mut notifier = Notifier::from_environment();
    let outcome = serve(&mut notifier);
    if let Err(error) = &outcome {
        notifier.problem(&error.to_string());
    }
    outcome
}

fn serve(notifier: &mut Notifier) -> Result<(), PkiAgentError> {
    let config = machine::load()?;
    let identity = identity(kubelet_certificate().as_ref(), Timestamp::now());
    let rendered = render(&config, identity);
    write(&rendered)?;
    let mut mint = Mint::open(&rendered)?;
    let mut due = mint.renew(Timestamp::now())?;
    if config.role() == Role::Etcd {
        guard_etcd(&config, notifier)?;
    }
    notifier.ready();
    if let Some(problem) = stranded(&config, identity, Timestamp::now()) {
        notifier.problem(&problem);
    }
    loop {
        let sleep = due.clamp(LOOK_NOT_BEFORE, LOOK_EVERY);
        show_kubelets()?;
        thread::sleep(sleep.unsigned_abs());
        due = mint.renew(Timestamp::now())?;
    }
}

/// Secrets are never readable by others, not even while they are written. What can be read by more than one service
/// is the agent's own; no service changes another's files.
fn write(rendered: &Rendered) -> Result<(), PkiAgentError> {
    for file in &rendered.files {
        put(file.readers, &file.path, &file.bytes)?;
    }
    tracing::info!(files = rendered.files.len(), certificates = rendered.wishes.len(), "files written");
    Ok(())
}

fn put(readers: Option<Group>, path: &Path, bytes: &[u8]) -> Result<(), FileError> {
    let mode = if readers.is_some() { 0o640 } else { 0o644 };
    files::replace_for(readers.map(Group::number), path, bytes, mode).map(drop)
}

/// What the kubelet has from earlier boots; what cannot be read is none.
fn kubelet_certificate() -> Option<Facts> {
    let path = Path::new(paths::KUBELET_STATE).join("pki/kubelet-client-current.pem");
    Facts::from_pem(&files::read_text(&path, PAIR_MAX).ok()?).ok()
}

/// Puts the kubelet's certificates where everybody may see when they end; what cannot be read is not there yet.
fn show_kubelets() -> Result<(), FileError> {
    for (file, name) in KUBELETS {
        let Ok(pair) = files::read_text(&Path::new(paths::KUBELET_STATE).join(file), PAIR_MAX) else {
            continue;
        };
        put(None, &Path::new(paths::PKI).join(format!("{name}.crt")), certificates(&pair).as_bytes())?;
    }
    Ok(())
}

/// The role's authorities, and what they have issued.
struct Mint<'a> {
    wishes: &'a [Wish],
    authorities: BTreeMap<Issuer, Authority>,
    store: Store,
}

impl<'a> Mint<'a> {
    fn open(rendered: &'a Rendered) -> Result<Self, PkiAgentError> {
        let mut authorities = BTreeMap::new();
        for (issuer, pem) in &rendered.authorities {
            let authority = Authority::from_pem(pem.certificate.as_pem(), pem.key.as_pem())
                .map_err(|source| PkiAgentError::Authority { issuer: *issuer, source })?;
            authorities.insert(*issuer, authority);
        }
        Ok(Self { wishes: &rendered.wishes, authorities, store: Store::load(Path::new(paths::KEPT_LEAVES)) })
    }

    /// Mints what must be, keeps it, writes everything for the services, and says when to look again.
    fn renew(&mut self, now: Timestamp) -> Result<SignedDuration, PkiAgentError> {
        let mut changed = false;
        for wish in self.wishes {
            let Some(authority) = self.authorities.get(&wish.issuer) else { continue };
            let there = self.store.facts(wish.name);
            let Some(reason) = must_mint(wish, there.as_ref(), authority, now) else { continue };
            let minting = |source| PkiAgentError::Mint { name: wish.name, source };
            let validity = Validity::starting(now, wish.lifetime).map_err(minting)?;
            self.store.put(wish.name, authority.issue(&wish.leaf, validity).map_err(minting)?);
            tracing::info!(name = wish.name, %reason, "certificate minted");
            changed = true;
        }
        if changed {
            // One that may do anything is worth stealing and cheap to make: it is not kept.
            let kept =
                |name: &str| self.wishes.iter().any(|wish| wish.name == name && wish.lifetime > POWERFUL);
            self.store.only(kept).save(Path::new(paths::KEPT_LEAVES))?;
        }
        let mut due = LOOK_EVERY;
        for wish in self.wishes {
            if let Some((certificate, key)) = self.store.pair(wish.name) {
                let path =
                    |extension: &str| PathBuf::from(format!("{}/{}.{extension}", paths::PKI, wish.name));
                // The key first: a certificate is only ever seen with its key already there.
                put(Some(wish.readers), &path("key"), key.as_bytes())?;
                put(None, &path("crt"), certificate.as_bytes())?;
            }
            if let Some(facts) = self.store.facts(wish.name) {
                due = due.min(facts.due_in(now));
            }
        }
        Ok(due)
    }
}

/// Comes back when etcd may start; sees to it that its first start is remembered.
fn guard_etcd(config: &MachineConfig, notifier: &mut Notifier) -> Result<(), PkiAgentError> {
    let traces = || Traces {
        marker: Path::new(paths::ETCD_MEMBER).exists(),
        data: has_member(Path::new(paths::ETCD_DATA)),
    };
    loop {
        match may_start(traces()) {
            Verdict::Start => return Ok(()),
            Verdict::Refuse => notifier.problem(REFUSED),
            Verdict::StartAndRemember => break,
        }
        thread::sleep(ETCD_EVERY);
    }
    let text = format!("member {} of cluster {}\n", config.header.machine, config.header.cluster);
    thread::spawn(move || {
        while !has_member(Path::new(paths::ETCD_DATA)) {
            thread::sleep(ETCD_EVERY);
        }
        // Tried at each boot again, so a failure is worth a line and no more.
        if let Err(error) = files::replace(Path::new(paths::ETCD_MEMBER), text.as_bytes(), 0o600) {
            tracing::warn!(%error, "remembering that this machine is an etcd member");
        }
    });
    Ok(())
}

/// Whether there is a member's write-ahead log below etcd's data directory.
fn has_member(data: &Path) -> bool {
    fs::read_dir(data.join("member/wal")).is_ok_and(|mut entries| entries.next().is_some())
}
