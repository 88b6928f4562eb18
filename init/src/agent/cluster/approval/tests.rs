//! One test per reason to leave a request alone, each on a request that is right but for it.
//!
//! `w1.csr` was made with openssl: O=system:nodes, CN=system:node:w1, DNS:w1, IP:10.77.0.21.

use machine_config::Role;

use super::*;
use crate::agent::fixture::config;

/// A kubelet's request for w1; its key is gone.
const W1: &str = include_str!("w1.csr");

fn csr(pem: &str) -> Value {
    json!({
        "metadata": { "name": "csr-abcde" },
        "spec": {
            "signerName": SIGNER,
            "username": "system:node:w1",
            "groups": ["system:nodes", "system:authenticated"],
            "usages": ["digital signature", "server auth"],
            "request": STANDARD.encode(pem),
        },
        "status": {},
    })
}

fn objection(csr: &Value) -> Objection {
    match judge(&config(Role::ControlPlane).cluster, csr) {
        Verdict::Leave(objection) => objection,
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_kubelet_that_asks_for_its_own_names_is_approved() {
    let Verdict::Approve { approved, machine } = judge(&config(Role::ControlPlane).cluster, &csr(W1)) else {
        panic!()
    };
    assert_eq!(machine, "w1");
    assert_eq!(approved["status"]["conditions"][0]["type"], "Approved");
    assert_eq!(approved["kind"], "CertificateSigningRequest");
    assert_eq!(approved["spec"], csr(W1)["spec"]);
}

#[test]
fn what_is_decided_or_anothers_business_is_not_touched() {
    let cluster = config(Role::ControlPlane).cluster;
    let mut denied = csr(W1);
    denied["status"] = json!({ "conditions": [{ "type": "Denied" }] });
    assert_eq!(judge(&cluster, &denied), Verdict::Settled);
    let mut issued = csr(W1);
    issued["status"] = json!({ "certificate": "…" });
    assert_eq!(judge(&cluster, &issued), Verdict::Settled);
    let mut client = csr(W1);
    client["spec"]["signerName"] = json!("kubernetes.io/kube-apiserver-client-kubelet");
    assert_eq!(judge(&cluster, &client), Verdict::Settled);
}

#[test]
fn only_a_node_may_ask() {
    let mut user = csr(W1);
    user["spec"]["username"] = json!("alice");
    assert_eq!(objection(&user), Objection::NotANode("alice".to_owned()));
    let mut groupless = csr(W1);
    groupless["spec"]["groups"] = json!(["system:authenticated"]);
    assert!(matches!(objection(&groupless), Objection::NotANode(_)));
}

#[test]
fn only_a_machine_of_the_inventory_that_runs_pods_may_ask() {
    for name in ["ghost", "e1"] {
        let mut stranger = csr(W1);
        stranger["spec"]["username"] = json!(format!("system:node:{name}"));
        assert_eq!(objection(&stranger), Objection::Stranger(name.to_owned()));
    }
}

#[test]
fn a_usage_that_a_server_does_not_need_is_refused() {
    for usages in
        [json!(["digital signature", "server auth", "client auth"]), json!(["digital signature"]), json!([])]
    {
        let mut csr = csr(W1);
        csr["spec"]["usages"] = usages;
        assert!(matches!(objection(&csr), Objection::Usages(_)));
    }
}

#[test]
fn a_request_that_cannot_be_read_is_left_alone() {
    assert!(matches!(objection(&csr("nonsense")), Objection::Unreadable(_)));
    let mut broken = csr(W1);
    broken["spec"]["request"] = json!("%%%");
    assert!(matches!(objection(&broken), Objection::Unreadable(_)));
}

#[test]
fn another_machines_subject_is_refused() {
    // cp1 presents w1's request.
    let mut other = csr(W1);
    other["spec"]["username"] = json!("system:node:cp1");
    assert!(matches!(objection(&other), Objection::Subject { .. }));
}

fn request() -> Request {
    Request {
        common_names: vec!["system:node:w1".to_owned()],
        organizations: vec!["system:nodes".to_owned()],
        dns_names: vec!["w1".to_owned()],
        addresses: vec!["10.77.0.21".parse().unwrap()],
        other_names: 0,
    }
}

fn refused(request: &Request) -> Objection {
    let cluster = config(Role::ControlPlane).cluster;
    let machine = cluster.machines.iter().find(|machine| machine.name.as_str() == "w1").unwrap();
    check_request(request, "system:node:w1", machine).unwrap_err()
}

#[test]
fn a_second_common_name_or_group_is_refused() {
    let two_names = ["system:node:w1".to_owned(), "system:admin".to_owned()].to_vec();
    assert!(matches!(refused(&Request { common_names: two_names, ..request() }), Objection::Subject { .. }));
    let two_groups = ["system:nodes".to_owned(), "system:masters".to_owned()].to_vec();
    assert!(matches!(
        refused(&Request { organizations: two_groups, ..request() }),
        Objection::Subject { .. }
    ));
}

#[test]
fn a_request_without_any_name_is_refused() {
    let nameless = Request { dns_names: vec![], addresses: vec![], ..request() };
    assert_eq!(refused(&nameless), Objection::Nameless);
}

#[test]
fn mail_addresses_and_uris_are_refused() {
    assert_eq!(refused(&Request { other_names: 1, ..request() }), Objection::OddNames);
}

#[test]
fn the_name_or_address_of_another_machine_is_refused() {
    let name = Request { dns_names: vec!["w1".to_owned(), "kubernetes.default.svc".to_owned()], ..request() };
    assert_eq!(refused(&name), Objection::ForeignName("kubernetes.default.svc".to_owned()));
    let address: IpAddr = "10.77.0.12".parse().unwrap();
    let address_too = Request { addresses: vec!["10.77.0.21".parse().unwrap(), address], ..request() };
    assert_eq!(refused(&address_too), Objection::ForeignAddress(address));
}
