//! What each verb answers, but for the streams.
//!
//! One match from verb to document. Looking is `host`'s, knowing about services PID 1's; what is decided here is only
//! which of it belongs into which document.

use std::collections::BTreeMap;
use std::sync::Arc;

use futures_util::TryStreamExt;
use hyper::body::Bytes;
use jiff::{SignedDuration, Timestamp};
use node_api::reply::{
    Accepted, Boot, Config, Disks, ErrorCode, Explanation, Lease, Mounts, Network, Processes, Service,
    Services, Status, Version,
};
use node_api::request::{EndRequest, SignalRequest, StopRequest};
use node_api::verb::Verb;
use rtnetlink::packet_route::address::AddressAttribute;

use super::answer::{Api, Client, blocking, document, from_body, unexpected};
use super::chain;
use super::config;
use super::logs::Counters;
use super::metrics::{self, Snapshot};
use super::refusal::Refusal;
use super::view;
use crate::agent::image::Image;
use crate::agent::paths;
use crate::control::message::{Answer, Ending, Order, Own, Request, ServiceView};
use crate::monotonic::Monotonic;
use crate::text::one_line;

/// The longest reason that is kept.
const REASON_CHARS_MAX: usize = 200;

impl Api {
    /// The document that a verb answers.
    pub(super) async fn document(
        &self,
        verb: Verb,
        service: &str,
        query: &str,
        body: &[u8],
        client: &Client,
    ) -> Result<Bytes, Refusal> {
        if !query.is_empty() {
            return Err(Refusal::new(ErrorCode::BadRequest, "this takes no query"));
        }
        let name = || service.to_owned();
        match verb {
            Verb::Version => document(&self.version().await?),
            Verb::Status => document(&self.status().await?),
            Verb::Services => document(&Services { services: self.services().await? }),
            Verb::Service => document(&self.service(service).await?),
            Verb::Explain => document(&self.explain(service).await?),
            Verb::Start => self.order(Order::Start(name()), client).await,
            Verb::Stop => {
                let StopRequest { cascade } = from_body(body)?;
                self.order(Order::Stop { service: name(), cascade }, client).await
            }
            Verb::Restart => {
                let StopRequest { cascade } = from_body(body)?;
                self.order(Order::Restart { service: name(), cascade }, client).await
            }
            Verb::Reload => self.order(Order::Reload(name()), client).await,
            Verb::Reset => self.order(Order::Reset(name()), client).await,
            Verb::Signal => {
                let SignalRequest { signal } = from_body(body)?;
                self.order(Order::Signal { service: name(), signal: view::signal(signal) }, client).await
            }
            Verb::Hold => self.order(Order::Hold(name()), client).await,
            Verb::Release => self.order(Order::Release(name()), client).await,
            Verb::Processes => document(&Processes { processes: self.look(|host| host.processes()).await? }),
            Verb::Mounts => document(&Mounts { mounts: self.look(|host| host.mounts()).await? }),
            Verb::Disks => document(&Disks { disks: self.look(|host| host.disks()).await? }),
            Verb::Network => document(&self.network().await?),
            Verb::Boot => document(&self.boot().await?),
            Verb::Config => document(&self.config().await?.ok_or_else(no_config)?),
            Verb::Reboot => self.end(Ending::Reboot, body, client).await,
            Verb::Shutdown => self.end(Ending::PowerOff, body, client).await,
            Verb::Reexec => self.order(Order::Reexec, client).await,
            Verb::Logs | Verb::Events | Verb::Dmesg | Verb::Metrics => Err(unexpected()),
        }
    }

    async fn views(&self) -> Result<Vec<ServiceView>, Refusal> {
        match self.ask(Request::Services).await? {
            Answer::Services(views) => Ok(views),
            _ => Err(unexpected()),
        }
    }

    async fn own(&self) -> Result<Own, Refusal> {
        match self.ask(Request::Own).await? {
            Answer::Own(own) => Ok(own),
            _ => Err(unexpected()),
        }
    }

    async fn next_event(&self) -> Result<u64, Refusal> {
        match self.ask(Request::Events { since: u64::MAX, most: 0 }).await? {
            Answer::Events { next, .. } => Ok(next),
            _ => Err(unexpected()),
        }
    }

    async fn services(&self) -> Result<Vec<Service>, Refusal> {
        let views = self.views().await?;
        self.with_usage(views).await
    }

    async fn with_usage(&self, views: Vec<ServiceView>) -> Result<Vec<Service>, Refusal> {
        self.look(|host| {
            let whole = |view: ServiceView| {
                let usage = host.usage(&view.name);
                view::service(view, usage)
            };
            views.into_iter().map(whole).collect()
        })
        .await
    }

    async fn service(&self, name: &str) -> Result<Service, Refusal> {
        let services = self.services().await?;
        services.into_iter().find(|service| service.name == name).ok_or_else(|| no_service(name))
    }

    async fn explain(&self, name: &str) -> Result<Explanation, Refusal> {
        match self.ask(Request::Explain(name.to_owned())).await {
            Ok(Answer::Explained(lines)) => Ok(Explanation { service: name.to_owned(), lines }),
            Ok(_) => Err(unexpected()),
            Err(refusal) => Err(self.known(name, refusal).await),
        }
    }

    /// A refusal, or rather that there is no such service.
    async fn known(&self, name: &str, refusal: Refusal) -> Refusal {
        match self.views().await {
            Ok(views) if !views.iter().any(|view| view.name == name) => no_service(name),
            _ => refusal,
        }
    }

    /// Has PID 1 do something, and says in the log who wanted it.
    async fn order(&self, order: Order, client: &Client) -> Result<Bytes, Refusal> {
        tracing::info!(client = client.name, ?order, "asked for");
        let service = subject(&order).map(str::to_owned);
        match (self.ask(Request::Do(order)).await, service) {
            (Ok(Answer::Accepted { changes, next_event }), _) => document(&Accepted { changes, next_event }),
            (Ok(_), _) => Err(unexpected()),
            (Err(refusal), Some(service)) => Err(self.known(&service, refusal).await),
            (Err(refusal), None) => Err(refusal),
        }
    }

    async fn end(&self, ending: Ending, body: &[u8], client: &Client) -> Result<Bytes, Refusal> {
        let EndRequest { reason, now } = from_body(body)?;
        let reason = match reason {
            Some(reason) => format!("{} wants it: {}", client.name, one_line(&reason, REASON_CHARS_MAX)),
            None => format!("{} wants it", client.name),
        };
        self.order(Order::Shutdown { ending, reason, now }, client).await
    }

    async fn config(&self) -> Result<Option<Config>, Refusal> {
        self.look(|host| config::parse(&host.text(paths::MACHINE_REDACTED))).await
    }

    async fn image(&self) -> Result<Option<Image>, Refusal> {
        self.look(|host| toml::from_str(&host.text(paths::IMAGE)).ok()).await
    }

    async fn version(&self) -> Result<Version, Refusal> {
        let (config, image) = (self.config().await?, self.image().await?);
        Ok(Version {
            api: "v1".to_owned(),
            slipway: image
                .as_ref()
                .map_or_else(|| env!("CARGO_PKG_VERSION").to_owned(), |image| image.version.clone()),
            kernel: self.look(|host| host.kernel()).await?,
            role: image.as_ref().map(|image| image.role.to_string()).unwrap_or_default(),
            built: image.map(|image| image.built.to_string()),
            machine: config.as_ref().map(|config| config.machine.clone()),
            cluster: config.map(|config| config.cluster),
        })
    }

    async fn status(&self) -> Result<Status, Refusal> {
        let (views, own, next_event) = (self.views().await?, self.own().await?, self.next_event().await?);
        let config = self.config().await?;
        let wanted: Vec<&ServiceView> = views.iter().filter(|view| view.wanted).collect();
        let good = |view: &&&ServiceView| view::state(view.state).is_good();
        let waiting_for = wanted.iter().filter(|view| !good(view)).map(|view| view.name.clone()).collect();
        let count = |n: usize| u32::try_from(n).unwrap_or(u32::MAX);
        Ok(Status {
            machine: config.as_ref().map(|config| config.machine.clone()).unwrap_or_default(),
            role: config.as_ref().map(|config| config.role.clone()).unwrap_or_default(),
            stage: view::stage(&own),
            time: Timestamp::now().to_string(),
            uptime_ms: uptime_ms(),
            up_ms: own.up,
            services_wanted: count(wanted.len()),
            services_good: count(wanted.iter().filter(good).count()),
            waiting_for,
            alarms: view::alarms(&views),
            degraded_by: view::degraded_by(&views),
            memory: self.look(|host| host.memory()).await?,
            load: self.look(|host| host.load()).await?,
            pressure: self.look(|host| host.pressure()).await?,
            config_serial: config.map(|config| config.serial),
            next_event,
        })
    }

    async fn boot(&self) -> Result<Boot, Refusal> {
        let (views, own) = (self.views().await?, self.own().await?);
        let needs = self.look(|host| host.needs()).await?;
        Ok(Boot {
            id: self.look(|host| host.boot_id()).await?,
            began: began().to_string(),
            marks: view::marks(&own, &views),
            services: views.iter().filter_map(view::service_boot).collect(),
            critical_chain: own.up.map(|up| chain::critical(up, &views, &needs)).unwrap_or_default(),
        })
    }

    async fn network(&self) -> Result<Network, Refusal> {
        let addresses = addresses().await.map_err(|error| Refusal::new(ErrorCode::Internal, error))?;
        self.look(move |host| {
            let lines = |path: &str| host.text(path).lines().map(str::to_owned).collect();
            Network {
                links: host.links(&addresses),
                routes: host.routes(),
                resolvers: host.resolvers(),
                time_servers: lines(paths::TIME_SERVERS),
                lease: toml::from_str::<Lease>(&host.text(paths::LEASE)).ok(),
            }
        })
        .await
    }

    /// Metrics without those of the logs are better than none while their keeper is away.
    async fn log_counters(&self) -> Vec<Counters> {
        let logs = Arc::clone(&self.logs);
        match blocking(move || logs.counters()).await {
            Ok(Ok(counters)) => counters,
            Ok(Err(why)) => {
                tracing::warn!(why, "counting log lines");
                Vec::new()
            }
            Err(_) => Vec::new(),
        }
    }

    /// Everything that can be counted, as Prometheus reads it.
    pub(super) async fn metrics(&self) -> Result<String, Refusal> {
        let (views, own) = (self.views().await?, self.own().await?);
        let snapshot = Snapshot {
            version: self.version().await?,
            marks: view::marks(&own, &views),
            services: self.with_usage(views).await?,
            own,
            events: self.next_event().await?.saturating_sub(1),
            config: self.config().await?,
            pressure: self.look(|host| host.pressure()).await?,
            memory: self.look(|host| host.memory()).await?,
            logs: self.log_counters().await,
            certificates: self.look(|host| host.certificates(&[paths::PKI, paths::API])).await?,
        };
        Ok(metrics::render(&snapshot))
    }
}

/// When the kernel's clock began, by the clock as it is now.
pub(super) fn began() -> Timestamp {
    let uptime = SignedDuration::from_millis(i64::try_from(uptime_ms()).unwrap_or(i64::MAX));
    Timestamp::now().checked_sub(uptime).unwrap_or(Timestamp::UNIX_EPOCH)
}

fn uptime_ms() -> u64 {
    Monotonic::now().millis()
}

fn no_service(name: &str) -> Refusal {
    Refusal::new(ErrorCode::NotFound, format!("there is no service {name} on this machine"))
}

fn no_config() -> Refusal {
    Refusal::new(ErrorCode::NotFound, "the machine has no config yet")
}

/// The service that an order is about.
fn subject(order: &Order) -> Option<&str> {
    match order {
        Order::Start(service)
        | Order::Stop { service, .. }
        | Order::Restart { service, .. }
        | Order::Reload(service)
        | Order::Apply(service)
        | Order::Reset(service)
        | Order::Hold(service)
        | Order::Release(service)
        | Order::Signal { service, .. } => Some(service),
        Order::Shutdown { .. } | Order::Reexec => None,
    }
}

/// Every link's addresses, from the kernel.
async fn addresses() -> Result<BTreeMap<u32, Vec<String>>, String> {
    let (connection, handle, _) =
        rtnetlink::new_connection().map_err(|error| format!("opening a netlink socket: {error}"))?;
    let task = tokio::spawn(connection);
    let mut found: BTreeMap<u32, Vec<String>> = BTreeMap::new();
    let mut messages = handle.address().get().execute();
    while let Some(message) =
        messages.try_next().await.map_err(|error| format!("listing addresses: {error}"))?
    {
        for attribute in &message.attributes {
            if let AddressAttribute::Address(address) = attribute {
                found
                    .entry(message.header.index)
                    .or_default()
                    .push(format!("{address}/{}", message.header.prefix_len));
            }
        }
    }
    task.abort();
    Ok(found)
}
