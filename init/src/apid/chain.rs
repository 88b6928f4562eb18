//! The critical chain of a boot: the services but for which the machine would have been up sooner.
//!
//! Pure, from the last of them backwards: the machine was up when the last service that it waits for was ready, and
//! that one began when the last of its needs was. Whoever makes another link of the chain quicker gains nothing.

use std::collections::BTreeMap;

use crate::control::message::ServiceView;

/// The chain that ended at `up`, the first link first; `needs` says whom each service waits for.
#[must_use]
pub fn critical(up: u64, services: &[ServiceView], needs: &BTreeMap<String, Vec<String>>) -> Vec<String> {
    let ready_by = |service: &&ServiceView, moment: u64| service.stamps.ready.is_some_and(|at| at <= moment);
    let milestones = services.iter().filter(|service| service.milestone && ready_by(service, up));
    let mut next = milestones.max_by_key(|service| service.stamps.ready);
    let mut chain: Vec<String> = Vec::new();
    // A need comes before what needs it, so no service comes twice; but a machine may say anything.
    while let Some(service) = next.filter(|_| chain.len() < services.len()) {
        chain.push(service.name.clone());
        let own = needs.get(&service.name).map(Vec::as_slice).unwrap_or_default();
        let began = service.stamps.met.unwrap_or(0);
        next = services
            .iter()
            .filter(|other| own.contains(&other.name) && ready_by(other, began))
            .max_by_key(|other| other.stamps.ready);
    }
    chain.reverse();
    chain
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::control::message::{Stamps, StateName};

    fn service(name: &str, met: u64, ready: Option<u64>) -> ServiceView {
        ServiceView {
            name: name.to_owned(),
            description: String::new(),
            wanted: true,
            state: StateName::Ready,
            since: 0,
            pid: None,
            starts: 1,
            failures: 0,
            held: false,
            last_end: None,
            status: None,
            stamps: Stamps { met: Some(met), ready, ..Stamps::default() },
            alarm: None,
            degrades_node: false,
            milestone: true,
            could_not_ask: 0,
        }
    }

    fn needs(all: &[(&str, &[&str])]) -> BTreeMap<String, Vec<String>> {
        all.iter()
            .map(|(name, own)| ((*name).to_owned(), own.iter().map(|need| (*need).to_owned()).collect()))
            .collect()
    }

    #[test]
    fn the_chain_leads_over_the_last_need_of_each_to_the_last_that_was_waited_for() {
        let mut services = vec![
            service("storage", 10, Some(50)),
            service("config", 50, Some(60)),
            service("seed", 50, Some(90)),
            service("containerd", 90, Some(100)),
            service("kubelet", 100, Some(300)),
            service("haproxy", 60, Some(200)),
            // Started again since then, never ready, and not waited for.
            service("network", 500, Some(600)),
            service("cluster", 60, None),
            service("drill", 60, Some(310)),
        ];
        services[8].milestone = false;
        let needs = needs(&[
            ("config", &["storage"]),
            ("seed", &["storage"]),
            ("containerd", &["seed", "config", "network"]),
            ("kubelet", &["containerd", "config"]),
            ("haproxy", &["config"]),
        ]);
        assert_eq!(critical(320, &services, &needs), ["storage", "seed", "containerd", "kubelet"]);
    }

    #[test]
    fn without_needs_there_is_the_last_alone_and_needs_in_a_circle_end() {
        let services = [service("a", 5, Some(5)), service("b", 5, Some(5))];
        assert_eq!(critical(9, &services, &BTreeMap::new()), ["b"]);
        assert_eq!(critical(4, &services, &BTreeMap::new()), Vec::<String>::new());
        assert_eq!(critical(9, &services, &needs(&[("a", &["b"]), ("b", &["a"])])).len(), 2);
    }
}
