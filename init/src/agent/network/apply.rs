//! Addresses, routes and link states, told to the kernel by netlink.
//!
//! Every call makes what is wanted so, whether or not it already is; nothing here decides
//! what that is. Addresses of others (a virtual IP) are left alone.

use std::net::Ipv4Addr;

use futures_util::TryStreamExt;
use rtnetlink::packet_route::AddressFamily;
use rtnetlink::packet_route::address::{AddressAttribute, AddressMessage};
use rtnetlink::{Handle, LinkMessageBuilder, LinkUnspec, RouteMessageBuilder};

use super::plan::{EVERYWHERE, Plan, Route};

/// The loopback interface's index, always.
const LOOPBACK: u32 = 1;

/// Why the kernel did not do it.
#[derive(Debug, thiserror::Error)]
#[error("{doing}: {source}")]
pub struct LinkError {
    doing: String,
    source: rtnetlink::Error,
}

/// The way to the kernel.
#[derive(Debug)]
pub(super) struct Links {
    handle: Handle,
}

impl Links {
    /// Opens a netlink socket; inside a runtime.
    pub(super) fn open() -> std::io::Result<Self> {
        let (connection, handle, _) = rtnetlink::new_connection()?;
        tokio::spawn(connection);
        Ok(Self { handle })
    }

    /// Brings the loopback interface up.
    pub(super) async fn loopback(&self) -> Result<(), LinkError> {
        self.up(LOOPBACK, None).await
    }

    /// Brings an interface up, with `mtu` if given.
    pub(super) async fn up(&self, index: u32, mtu: Option<u32>) -> Result<(), LinkError> {
        let mut link = LinkMessageBuilder::<LinkUnspec>::default().index(index).up();
        if let Some(mtu) = mtu {
            link = link.mtu(mtu);
        }
        let doing = || format!("bringing interface {index} up");
        self.handle
            .link()
            .set(link.build())
            .execute()
            .await
            .map_err(|source| LinkError { doing: doing(), source })
    }

    /// Gives the interface what the plan says; `true` when anything was missing.
    pub(super) async fn apply(&self, index: u32, plan: &Plan) -> Result<bool, LinkError> {
        self.up(index, plan.mtu).await?;
        let missing = !self.has_address(index, plan).await?;
        if missing {
            let address = plan.address;
            let add = self.handle.address().add(index, address.addr().into(), address.prefix_len()).replace();
            add.execute()
                .await
                .map_err(|source| LinkError { doing: format!("adding address {address}"), source })?;
        }
        for route in &plan.routes {
            self.route(index, plan, *route).await?;
        }
        Ok(missing)
    }

    async fn route(&self, index: u32, plan: &Plan, route: Route) -> Result<(), LinkError> {
        let mut message = RouteMessageBuilder::<Ipv4Addr>::new()
            .output_interface(index)
            .pref_source(plan.address.addr())
            .gateway(route.via);
        if route.to != EVERYWHERE {
            message = message.destination_prefix(route.to.network(), route.to.prefix_len());
        }
        if !plan.address.contains(&route.via) {
            // A gateway outside of the subnet is legal: the server says that it is on the link.
            message = message.onlink();
        }
        let doing = || format!("adding the route to {} via {}", route.to, route.via);
        self.handle
            .route()
            .add(message.build())
            .replace()
            .execute()
            .await
            .map_err(|source| LinkError { doing: doing(), source })
    }

    async fn has_address(&self, index: u32, plan: &Plan) -> Result<bool, LinkError> {
        let mut addresses = self.handle.address().get().set_link_index_filter(index).execute();
        let doing = || format!("listing the addresses of interface {index}");
        while let Some(found) =
            addresses.try_next().await.map_err(|source| LinkError { doing: doing(), source })?
        {
            if is(&found, plan) {
                return Ok(true);
            }
        }
        Ok(false)
    }
}

fn is(found: &AddressMessage, plan: &Plan) -> bool {
    found.header.family == AddressFamily::Inet
        && found.header.prefix_len == plan.address.prefix_len()
        && found
            .attributes
            .iter()
            .any(|attribute| *attribute == AddressAttribute::Local(plan.address.addr().into()))
}
