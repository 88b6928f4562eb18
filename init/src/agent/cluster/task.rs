//! Applies, approves, labels: a session after the other with this machine's API server.
//!
//! A session begins with everything being applied and lasts ten minutes, so that drift is
//! put right and a renewed certificate is taken up. Whatever fails ends the session and is
//! tried again in the next; only what stays wrong reaches the console.

use std::collections::BTreeSet;
use std::io;
use std::net::Ipv4Addr;
use std::path::Path;
use std::time::Duration;

use jiff::Timestamp;
use machine_config::MachineConfig;
use machine_config::machine::{ControlPlaneConfig, RoleConfig};
use serde_json::Value;
use tokio::time::{Instant, sleep};

use super::approval::{SIGNER, Verdict, judge};
use super::client::{Api, ApiError};
use super::labels::missing;
use super::objects;
use crate::agent::files;
use crate::agent::machine::{self, MachineError};
use crate::agent::notify::Notifier;
use crate::agent::paths;

/// How long a connection is used.
const SESSION: Duration = Duration::from_secs(600);
/// The pause after a session that failed.
const AGAIN_IN: Duration = Duration::from_millis(500);
/// How long the API may fail before somebody is told: it has just started, or is restarting.
const QUIET: Duration = Duration::from_secs(30);
/// The pause between looks at requests while nodes are joining …
const BUSY: Duration = Duration::from_secs(1);
/// … and when none has asked for a while.
const IDLE: Duration = Duration::from_secs(5);
/// How long after the last request that is.
const BUSY_FOR: Duration = Duration::from_secs(180);
/// How many objections are remembered, so that each is told once.
const TOLD_MAX: usize = 1000;

/// Requests of kubelets for serving certificates.
const REQUESTS: &str = "/apis/certificates.k8s.io/v1/certificatesigningrequests";

/// Why there is nothing to do.
#[derive(Debug, thiserror::Error)]
pub enum ClusterAgentError {
    /// No config.
    #[error(transparent)]
    Machine(#[from] MachineError),
    /// Another role's config.
    #[error("the cluster agent is for control planes, this machine's role is {0}")]
    Role(machine_config::Role),
    /// No runtime.
    #[error("starting the runtime: {0}")]
    Runtime(io::Error),
}

/// Runs the agent; it ends only by an error.
///
/// # Errors
/// [`ClusterAgentError`].
pub fn run() -> Result<(), ClusterAgentError> {
    let config = machine::load()?;
    let RoleConfig::ControlPlane(plane) = config.role.clone() else {
        return Err(ClusterAgentError::Role(config.role()));
    };
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(ClusterAgentError::Runtime)?;
    let mut agent = Agent { config, plane, notifier: Notifier::from_environment(), told: BTreeSet::new() };
    runtime.block_on(agent.serve());
    Ok(())
}

struct Agent {
    config: MachineConfig,
    plane: ControlPlaneConfig,
    notifier: Notifier,
    told: BTreeSet<String>,
}

impl Agent {
    async fn serve(&mut self) {
        let mut last_good = Instant::now();
        loop {
            match self.session(&mut last_good).await {
                Ok(()) => {}
                Err(error) => {
                    tracing::warn!(%error, "session with the API ended");
                    if last_good.elapsed() > QUIET {
                        self.notifier.problem(&format!("the cluster's objects are not applied: {error}"));
                    }
                    sleep(AGAIN_IN).await;
                }
            }
        }
    }

    async fn session(&mut self, last_good: &mut Instant) -> Result<(), ApiError> {
        let begun = Instant::now();
        let mut api = Api::connect().await?;
        let objects = objects::all(&self.config, &self.plane, &resolvers(), Timestamp::now());
        for object in &objects {
            api.apply(object).await?;
        }
        tracing::info!(objects = objects.len(), took_ms = begun.elapsed().as_millis(), "applied");
        self.notifier.ready();
        self.notifier.solved("the cluster's objects are applied");
        let (mut last_request, mut last_labels) = (begun, None);
        while begun.elapsed() < SESSION {
            if self.approve(&mut api).await? {
                last_request = Instant::now();
            }
            if last_labels.is_none_or(|at: Instant| at.elapsed() >= IDLE) {
                self.label(&mut api).await?;
                last_labels = Some(Instant::now());
            }
            *last_good = Instant::now();
            sleep(if last_request.elapsed() < BUSY_FOR { BUSY } else { IDLE }).await;
        }
        Ok(())
    }

    /// Looks at all open requests once; `true` when there was one to decide.
    async fn approve(&mut self, api: &mut Api) -> Result<bool, ApiError> {
        let list = api
            .get(&format!("{REQUESTS}?fieldSelector=spec.signerName%3D{}", SIGNER.replace('/', "%2F")))
            .await?;
        let mut any = false;
        for csr in list.get("items").and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default() {
            let name = csr.pointer("/metadata/name").and_then(Value::as_str).unwrap_or_default();
            match judge(&self.config.cluster, csr) {
                Verdict::Settled => {}
                Verdict::Approve { approved, machine } => {
                    any = true;
                    api.put(&format!("{REQUESTS}/{name}/approval"), &approved).await?;
                    tracing::info!(machine, request = name, "serving certificate approved");
                }
                Verdict::Leave(objection) => {
                    if self.told.len() >= TOLD_MAX {
                        self.told.clear();
                    }
                    if self.told.insert(name.to_owned()) {
                        self.notifier
                            .problem(&format!("certificate request {name} is left pending: {objection}"));
                    }
                }
            }
        }
        Ok(any)
    }

    async fn label(&mut self, api: &mut Api) -> Result<(), ApiError> {
        let nodes = api.get_metadata("/api/v1/nodes").await?;
        for node in missing(&self.config.cluster, &nodes) {
            api.merge(&node.path, &node.patch).await?;
            tracing::info!(node = node.path, "role label set");
        }
        Ok(())
    }
}

/// The machine's own resolvers, by which the cluster's DNS asks for names beyond it.
fn resolvers() -> Vec<Ipv4Addr> {
    // Written by the network agent before anything else; without it the cluster answers for itself only.
    let text = files::read_text(&Path::new(paths::ETC).join("resolv.conf"), 4096).unwrap_or_default();
    text.lines().filter_map(|line| line.strip_prefix("nameserver ")?.trim().parse().ok()).collect()
}
