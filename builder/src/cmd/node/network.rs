//! `slipway network`: links, addresses, routes, resolvers and the DHCP lease.
//!
//! One table for all of it: what a line is about stands in its first column.

use anyhow::Result;
use node_api::Verb;
use node_api::reply::Network;

use super::paint::Tone;
use super::show::{self, bytes};
use super::table::Cell;
use super::whom::Whom;
use crate::cmd::Context;
use crate::node::client::Question;

/// Arguments.
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(flatten)]
    whom: Whom,
}

pub(super) fn run(args: &Args, context: &Context) -> Result<()> {
    let question = Question::of(Verb::Network);
    show::table::<Network>(&args.whom, context, &question, &["WHAT", "NAME", "STATE", "DETAILS"], rows)
}

fn rows(network: &Network) -> Vec<Vec<Cell>> {
    let mut rows = Vec::new();
    for link in &network.links {
        let tone = if link.state == "down" { Tone::Faint } else { Tone::Good };
        let mac = link.mac.as_deref().unwrap_or("no MAC");
        let traffic = format!("{} in, {} out", bytes(link.received_bytes), bytes(link.sent_bytes));
        let lost = format!("{} errors, {} drops", link.errors, link.drops);
        let details = format!("{}  {mac}, MTU {}, {traffic}, {lost}", link.addresses.join(" "), link.mtu);
        rows.push(vec![
            "link".into(),
            link.name.as_str().into(),
            Cell::toned(link.state.as_str(), tone),
            details.into(),
        ]);
    }
    for route in &network.routes {
        let via = route.gateway.as_ref().map(|gateway| format!("via {gateway} ")).unwrap_or_default();
        let details = format!("{via}on {}, metric {}", route.link, route.metric);
        rows.push(vec!["route".into(), route.destination.as_str().into(), "".into(), details.into()]);
    }
    for (what, servers) in [("resolver", &network.resolvers), ("time server", &network.time_servers)] {
        rows.extend(servers.iter().map(|server| vec![what.into(), server.as_str().into()]));
    }
    if let Some(lease) = &network.lease {
        let server = lease.server.as_deref().unwrap_or("somebody");
        let life = lease.lifetime_seconds.map(|seconds| format!(" for {seconds} s")).unwrap_or_default();
        let when = lease.obtained.as_ref().map(|when| format!(" at {when}")).unwrap_or_default();
        rows.push(vec![
            "lease".into(),
            lease.address.as_str().into(),
            "".into(),
            format!("from {server}{when}{life}").into(),
        ]);
    }
    rows
}
