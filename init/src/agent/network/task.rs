//! Gives the machine its network and keeps it: static or by DHCP.
//!
//! Everything that goes wrong is a problem on the console and tried again; the agent ends
//! only when it has no config or no netlink. The runtime has one thread.

use std::io;
use std::path::Path;
use std::time::Duration;

use jiff::Timestamp;
use machine_config::PlainConfig;
use mozim::{DhcpV4Client, DhcpV4Config, DhcpV4Lease, DhcpV4State};
use node_api::reply;
use tokio::time::{sleep, timeout};

use super::apply::{LinkError, Links};
use super::lease::Lease;
use super::nic::{Nic, choose};
use super::plan::{Plan, fixed, leased};
use super::{etc, observe};
use crate::agent::files::{self, FileError};
use crate::agent::machine::{self, MachineError};
use crate::agent::notify::Notifier;
use crate::agent::paths;

/// Where the kernel lists interfaces.
const NET_CLASS: &str = "/sys/class/net";
/// The pause after anything that did not work.
const AGAIN_IN: Duration = Duration::from_secs(1);
/// How often the address is looked after once it is there.
const REPAIR_EVERY: Duration = Duration::from_secs(30);
/// How long a DHCP server may take at each step before somebody is told.
const LEASE_WITHIN: Duration = Duration::from_secs(5);
/// How long a NIC may take to find its link before packets are sent anyway.
const CARRIER_WITHIN: Duration = Duration::from_secs(5);

/// Why there can be no network.
#[derive(Debug, thiserror::Error)]
pub enum NetworkAgentError {
    /// No runtime, no netlink socket.
    #[error("{doing}: {source}")]
    Start {
        /// What.
        doing: &'static str,
        /// Why.
        source: io::Error,
    },
    /// No config.
    #[error(transparent)]
    Machine(#[from] MachineError),
    /// The kernel refused.
    #[error(transparent)]
    Link(#[from] LinkError),
    /// A file could not be written.
    #[error(transparent)]
    File(#[from] FileError),
}

/// Runs the agent; it ends only by an error.
///
/// # Errors
/// [`NetworkAgentError`].
pub fn run() -> Result<(), NetworkAgentError> {
    let start = |doing| move |source| NetworkAgentError::Start { doing, source };
    let config = machine::load_plain()?;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(start("starting the runtime"))?;
    runtime.block_on(async {
        let links = Links::open().map_err(start("opening a netlink socket"))?;
        Agent { config, links, notifier: Notifier::from_environment() }.serve().await
    })
}

struct Agent {
    config: PlainConfig,
    links: Links,
    notifier: Notifier,
}

impl Agent {
    async fn serve(mut self) -> Result<(), NetworkAgentError> {
        self.links.loopback().await?;
        let nic = self.nic().await;
        self.links.up(nic.index, None).await?;
        match fixed(&self.config.network) {
            Some(Ok(plan)) => self.stay(&nic, &plan).await,
            Some(Err(unusable)) => loop {
                // Only another config helps, and that means a reboot.
                self.notifier.problem(&unusable.to_string());
                sleep(REPAIR_EVERY).await;
            },
            None => self.lease(&nic).await,
        }
    }

    async fn nic(&mut self) -> Nic {
        loop {
            let nics = observe::nics(Path::new(NET_CLASS));
            match choose(&nics, self.config.nic_mac()) {
                Ok(nic) => return nic.clone(),
                Err(error) => self.notifier.problem(&error.to_string()),
            }
            sleep(AGAIN_IN).await;
        }
    }

    /// Applies a plan and says so; what stands in /etc comes first, for whoever waits for READY.
    async fn settle(&mut self, nic: &Nic, plan: &Plan) -> Result<(), NetworkAgentError> {
        for (name, text) in etc::files(&self.config, &plan.resolvers) {
            files::replace(&Path::new(paths::ETC).join(name), text.as_bytes(), 0o644)?;
        }
        let servers: String = plan.time_servers.iter().map(|server| format!("{server}\n")).collect();
        files::replace(Path::new(paths::TIME_SERVERS), servers.as_bytes(), 0o644)?;
        while let Err(error) = self.links.apply(nic.index, plan).await {
            self.notifier.problem(&format!("{}: {error}", nic.name));
            sleep(AGAIN_IN).await;
        }
        tracing::info!(nic = nic.name, address = %plan.address, "network is up");
        self.notifier.ready();
        Ok(())
    }

    async fn stay(&mut self, nic: &Nic, plan: &Plan) -> Result<(), NetworkAgentError> {
        self.settle(nic, plan).await?;
        loop {
            sleep(REPAIR_EVERY).await;
            if self.repair(nic, plan).await {
                self.notifier.solved(&format!("has {} on {} again", plan.address, nic.name));
            }
        }
    }

    /// Puts back what is missing; `true` when all is well.
    async fn repair(&mut self, nic: &Nic, plan: &Plan) -> bool {
        match self.links.apply(nic.index, plan).await {
            Ok(missing) => {
                if missing {
                    tracing::warn!(nic = nic.name, address = %plan.address, "the address was gone");
                }
                true
            }
            Err(error) => {
                self.notifier.problem(&format!("{}: {error}", nic.name));
                false
            }
        }
    }

    /// Gets a lease, uses it while it is the promised address, and renews it for ever.
    async fn lease(&mut self, nic: &Nic) -> Result<(), NetworkAgentError> {
        self.carrier(nic).await;
        let mut client = self.client(nic).await;
        let mut plan: Option<Plan> = None;
        loop {
            let patience = if plan.is_none() { LEASE_WITHIN } else { REPAIR_EVERY };
            // Interrupting the client costs nothing: its timers are absolute.
            match (timeout(patience, client.run()).await, &plan) {
                (Ok(Ok(DhcpV4State::Done(lease))), _) => {
                    match leased(&self.config.network, &Lease::of(&lease)) {
                        Ok(new) => {
                            shown(&lease, &new)?;
                            if plan.as_ref() != Some(&new) {
                                self.settle(nic, &new).await?;
                            }
                            self.notifier.solved(&format!("has a DHCP lease of {} again", new.address));
                            plan = Some(new);
                        }
                        Err(unusable) => {
                            self.notifier.problem(&unusable.to_string());
                            sleep(LEASE_WITHIN).await;
                            client = self.client(nic).await;
                        }
                    }
                }
                // It goes on with the address: dropping it would take the machine's work with it.
                (Ok(Ok(DhcpV4State::InitReboot)), Some(plan)) => {
                    self.notifier.problem(&format!(
                        "the DHCP lease of {} has ended and nobody renews it",
                        plan.address
                    ));
                }
                (Ok(Ok(_)), _) => {}
                (Ok(Err(error)), _) => {
                    self.notifier.problem(&format!("DHCP on {}: {}", nic.name, error.msg()));
                    sleep(AGAIN_IN).await;
                    client = self.client(nic).await;
                }
                (Err(_), Some(plan)) => {
                    let plan = plan.clone();
                    self.repair(nic, &plan).await;
                }
                (Err(_), None) => {
                    self.notifier.problem(&format!("no DHCP server answers on {}", nic.name));
                    // The client's own pauses grow to a minute; a new one begins with short ones.
                    client = self.client(nic).await;
                }
            }
        }
    }

    async fn carrier(&self, nic: &Nic) {
        let wait = async {
            while !observe::has_carrier(Path::new(NET_CLASS), nic) {
                sleep(Duration::from_millis(20)).await;
            }
        };
        if timeout(CARRIER_WITHIN, wait).await.is_err() {
            tracing::warn!(nic = nic.name, "no carrier");
        }
    }

    async fn client(&mut self, nic: &Nic) -> DhcpV4Client {
        loop {
            let mut wanted = DhcpV4Config::new(&nic.name);
            wanted.set_iface_index(nic.index);
            wanted.set_host_name(self.config.header.machine.as_str());
            let outcome = match wanted.set_iface_mac(&nic.mac) {
                Ok(_) => DhcpV4Client::init(wanted, None).await,
                Err(error) => Err(error),
            };
            match outcome {
                Ok(client) => return client,
                Err(error) => {
                    self.notifier.problem(&format!("starting DHCP on {}: {}", nic.name, error.msg()))
                }
            }
            sleep(AGAIN_IN).await;
        }
    }
}

/// Leaves the lease for whoever looks at the machine.
fn shown(lease: &DhcpV4Lease, plan: &Plan) -> Result<(), NetworkAgentError> {
    let shown = reply::Lease {
        address: plan.address.to_string(),
        server: Some(lease.srv_id.to_string()),
        gateway: lease.gateways.iter().flatten().next().map(ToString::to_string),
        obtained: Some(Timestamp::now().to_string()),
        lifetime_seconds: Some(lease.lease_time_sec.into()),
    };
    // Texts and a number always encode.
    let text = toml::to_string(&shown).unwrap_or_default();
    files::replace(Path::new(paths::LEASE), text.as_bytes(), 0o644)?;
    Ok(())
}
