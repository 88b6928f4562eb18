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

use hyper::StatusCode;
use jiff::Timestamp;
use machine_config::MachineConfig;
use machine_config::machine::{ControlPlaneConfig, RoleConfig};
use serde_json::Value;
use tokio::time::{Instant, sleep};
use trust::pki::{Authority, PkiError, Validity};

use super::approval::{Grant, Verdict, issued, judge};
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
/// How often nodes' labels and whatever rang no bell are looked at.
const LOOK_EVERY: Duration = Duration::from_secs(5);
/// The same until the controllers run.
const LOOK_AT_FIRST: Duration = Duration::from_millis(500);
/// How many objections are remembered, so that each is told once.
const TOLD_MAX: usize = 1000;

/// Requests for certificates.
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
    /// The config's authority is not usable.
    #[error("taking up the Kubernetes authority: {0}")]
    Authority(PkiError),
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
    let ca = &plane.kubernetes_ca;
    let authority = Authority::from_pem(ca.certificate.as_pem(), ca.key.as_pem())
        .map_err(ClusterAgentError::Authority)?;
    let notifier = Notifier::from_environment();
    let mut agent = Agent { config, plane, authority, notifier, told: BTreeSet::new(), is_open: false };
    runtime.block_on(agent.serve());
    Ok(())
}

struct Agent {
    config: MachineConfig,
    plane: ControlPlaneConfig,
    authority: Authority,
    notifier: Notifier,
    told: BTreeSet<String>,
    is_open: bool,
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
        let mut bell = Api::connect().await?.bell(REQUESTS).await?;
        let mut last_look = None;
        while begun.elapsed() < SESSION {
            self.grant(&mut api).await?;
            if last_look.is_none_or(|at: Instant| at.elapsed() >= LOOK_EVERY) {
                self.label(&mut api).await?;
                self.open_to_own_node(&mut api).await?;
                last_look = Some(Instant::now());
            }
            *last_good = Instant::now();
            let pause = if self.is_open { LOOK_EVERY } else { LOOK_AT_FIRST };
            tokio::select! {
                () = bell.ring() => {}
                () = sleep(pause) => last_look = None,
            }
        }
        Ok(())
    }

    /// Looks at all open requests once.
    async fn grant(&mut self, api: &mut Api) -> Result<(), ApiError> {
        let list = api.get(REQUESTS).await?;
        for csr in list.get("items").and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default() {
            let name = csr.pointer("/metadata/name").and_then(Value::as_str).unwrap_or_default();
            match judge(&self.config.cluster, csr) {
                Verdict::Settled => {}
                Verdict::Grant(grant) => self.issue(api, name, &grant).await?,
                Verdict::Leave(objection) => {
                    if self.told.len() >= TOLD_MAX {
                        self.told.clear();
                    }
                    if self.told.insert(name.to_owned()) {
                        let problem = format!("certificate request {name} is left pending: {objection}");
                        self.notifier.problem(&problem);
                    }
                }
            }
        }
        Ok(())
    }

    /// Approves and signs at once: the controller manager would sign too, but it needs a while
    /// to start, and no node can join before.
    async fn issue(&self, api: &mut Api, name: &str, grant: &Grant) -> Result<(), ApiError> {
        let approved = match api.put(&format!("{REQUESTS}/{name}/approval"), &grant.approved).await {
            // Another control plane was quicker.
            Err(ApiError::Refused { status: StatusCode::CONFLICT, .. }) => return Ok(()),
            outcome => outcome?,
        };
        let validity = Validity::starting(Timestamp::now(), grant.lifetime);
        let signed =
            validity.and_then(|validity| self.authority.issue_for(&grant.request, &grant.leaf, validity));
        let certificate = match signed {
            Ok(certificate) => certificate,
            // Approved it is; the controller manager signs whatever kind of key this is.
            Err(error) => {
                tracing::warn!(request = name, %error, "left to the controller manager to sign");
                return Ok(());
            }
        };
        match api.put(&format!("{REQUESTS}/{name}/status"), &issued(&approved, &certificate)).await {
            Err(ApiError::Refused { status: StatusCode::CONFLICT, .. }) => {}
            outcome => drop(outcome?),
        }
        tracing::info!(node = grant.leaf.common_name, usage = ?grant.leaf.usage, request = name, "certificate issued");
        Ok(())
    }

    /// Lets this machine's own kubelet start once the controllers run, which shows in the first
    /// thing that they make. Until then the machine's CPU is better spent on the API: nothing
    /// needs the control plane's node yet, everything needs the controllers.
    async fn open_to_own_node(&mut self, api: &mut Api) -> Result<(), ApiError> {
        if self.is_open {
            return Ok(());
        }
        match api.get("/api/v1/namespaces/default/serviceaccounts/default").await {
            Err(ApiError::Refused { status: StatusCode::NOT_FOUND, .. }) => return Ok(()),
            outcome => drop(outcome?),
        }
        match files::replace(Path::new(paths::CONTROLLERS_RUN), b"yes\n", 0o644) {
            Ok(_) => self.is_open = true,
            Err(error) => self.notifier.problem(&error.to_string()),
        }
        Ok(())
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
