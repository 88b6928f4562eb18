//! One test per reason to leave a request alone, each on a request that is right but for it.
//!
//! The two `.csr` files were made with openssl, their keys are gone: O=system:nodes,
//! CN=system:node:w1, and for serving DNS:w1 and IP:10.77.0.21.

use machine_config::Role;

use super::*;
use crate::agent::fixture::config;

const SERVING: &str = include_str!("w1-serving.csr");
const CLIENT: &str = include_str!("w1-client.csr");

fn cluster() -> Cluster {
    config(Role::ControlPlane).cluster
}

/// w1 asks for its serving certificate.
fn serving() -> Value {
    json!({
        "metadata": { "name": "csr-abcde" },
        "spec": {
            "signerName": Kind::Serving.signer(),
            "username": "system:node:w1",
            "groups": ["system:nodes", "system:authenticated"],
            "usages": ["digital signature", "server auth"],
            "request": STANDARD.encode(SERVING),
        },
        "status": {},
    })
}

/// Somebody with a token asks for w1's first certificate.
fn first() -> Value {
    let mut csr = serving();
    csr["spec"] = json!({
        "signerName": Kind::Client.signer(),
        "username": "system:bootstrap:abcdef",
        "groups": ["system:bootstrappers", "system:bootstrappers:nodes", "system:authenticated"],
        "usages": ["digital signature", "client auth"],
        "request": STANDARD.encode(CLIENT),
    });
    csr
}

/// w1 renews its certificate.
fn renewal() -> Value {
    let mut csr = first();
    csr["spec"]["username"] = json!("system:node:w1");
    csr["spec"]["groups"] = json!(["system:nodes", "system:authenticated"]);
    csr
}

fn granted(csr: &Value) -> Grant {
    match judge(&cluster(), csr) {
        Verdict::Grant(grant) => *grant,
        other => panic!("{other:?}"),
    }
}

fn objection(csr: &Value) -> Objection {
    match judge(&cluster(), csr) {
        Verdict::Leave(objection) => objection,
        other => panic!("{other:?}"),
    }
}

fn with(mut csr: Value, field: &str, value: Value) -> Value {
    csr["spec"][field] = value;
    csr
}

#[test]
fn a_kubelet_that_asks_for_its_own_names_gets_them() {
    let grant = granted(&serving());
    assert_eq!(grant.leaf.common_name, "system:node:w1");
    assert_eq!(grant.leaf.dns_names, ["w1"]);
    assert_eq!(grant.leaf.addresses, ["10.77.0.21".parse::<IpAddr>().unwrap()]);
    assert_eq!(grant.leaf.usage, Usage::Server);
    assert_eq!(grant.approved["status"]["conditions"][0]["type"], "Approved");
    assert_eq!(grant.approved["kind"], "CertificateSigningRequest");
    assert_eq!(grant.approved["spec"], serving()["spec"]);
}

#[test]
fn a_new_node_gets_its_first_certificate_and_an_old_one_the_next() {
    for csr in [first(), renewal()] {
        let leaf = granted(&csr).leaf;
        assert_eq!(leaf.common_name, "system:node:w1");
        assert_eq!(leaf.organization.as_deref(), Some("system:nodes"));
        assert_eq!(leaf.usage, Usage::Client);
        assert!(leaf.dns_names.is_empty() && leaf.addresses.is_empty());
    }
}

#[test]
fn a_certificate_lives_a_month_or_less_if_less_was_asked_for() {
    assert_eq!(granted(&serving()).lifetime, LIFETIME);
    assert_eq!(granted(&with(serving(), "expirationSeconds", json!(600))).lifetime, Duration::from_secs(600));
    assert_eq!(granted(&with(serving(), "expirationSeconds", json!(u64::MAX))).lifetime, LIFETIME);
}

#[test]
fn the_certificate_goes_where_the_kubelet_looks_for_it() {
    let issued = issued(&granted(&first()).approved, "PEM");
    assert_eq!(issued["status"]["certificate"], STANDARD.encode("PEM"));
    assert_eq!(issued["status"]["conditions"][0]["type"], "Approved");
}

#[test]
fn what_is_decided_or_anothers_business_is_not_touched() {
    let mut denied = serving();
    denied["status"] = json!({ "conditions": [{ "type": "Denied" }] });
    assert_eq!(judge(&cluster(), &denied), Verdict::Settled);
    let mut issued = serving();
    issued["status"] = json!({ "certificate": "…" });
    assert_eq!(judge(&cluster(), &issued), Verdict::Settled);
    let persons = with(serving(), "signerName", json!("kubernetes.io/kube-apiserver-client"));
    assert_eq!(judge(&cluster(), &persons), Verdict::Settled);
}

#[test]
fn only_a_node_may_ask() {
    assert_eq!(
        objection(&with(serving(), "username", json!("alice"))),
        Objection::NotANode("alice".to_owned())
    );
    let groupless = with(serving(), "groups", json!(["system:authenticated"]));
    assert!(matches!(objection(&groupless), Objection::NotANode(_)));
    let groupless = with(first(), "groups", json!(["system:authenticated"]));
    assert!(matches!(objection(&groupless), Objection::NotANode(_)));
}

#[test]
fn a_token_does_not_get_a_serving_certificate() {
    let mut csr = serving();
    for field in ["username", "groups"] {
        csr["spec"][field] = first()["spec"][field].clone();
    }
    assert!(matches!(objection(&csr), Objection::NotANode(_)));
}

#[test]
fn a_usage_that_is_not_needed_is_refused() {
    for usages in
        [json!(["digital signature", "server auth", "client auth"]), json!(["digital signature"]), json!([])]
    {
        assert!(matches!(objection(&with(serving(), "usages", usages.clone())), Objection::Usages(_)));
        assert!(matches!(objection(&with(first(), "usages", usages)), Objection::Usages(_)));
    }
}

#[test]
fn a_request_that_cannot_be_read_is_left_alone() {
    let nonsense = with(serving(), "request", json!(STANDARD.encode("nonsense")));
    assert!(matches!(objection(&nonsense), Objection::Unreadable(_)));
    assert!(matches!(objection(&with(serving(), "request", json!("%%%"))), Objection::Unreadable(_)));
}

#[test]
fn one_node_does_not_get_anothers_certificate() {
    for csr in [serving(), renewal()] {
        let other = with(csr, "username", json!("system:node:cp1"));
        assert!(matches!(objection(&other), Objection::Subject { .. }));
    }
}

#[test]
fn only_a_machine_of_the_inventory_that_runs_pods_becomes_a_node() {
    let mut without_w1 = cluster();
    without_w1.machines.retain(|machine| machine.name.as_str() != "w1");
    let verdict = judge(&without_w1, &first());
    assert_eq!(verdict, Verdict::Leave(Objection::Stranger("w1".to_owned())));
    let mut etcd = cluster();
    for machine in &mut etcd.machines {
        machine.role = Role::Etcd;
    }
    assert_eq!(judge(&etcd, &first()), Verdict::Leave(Objection::Stranger("w1".to_owned())));
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

#[test]
fn a_subject_that_is_no_single_node_is_refused() {
    let two_names = vec!["system:node:w1".to_owned(), "system:admin".to_owned()];
    let two_groups = vec!["system:nodes".to_owned(), "system:masters".to_owned()];
    for bad in [
        Request { common_names: two_names, ..request() },
        Request { common_names: vec!["system:admin".to_owned()], ..request() },
        Request { organizations: two_groups, ..request() },
        Request { organizations: vec!["system:masters".to_owned()], ..request() },
        Request { organizations: vec![], ..request() },
    ] {
        assert!(matches!(node_of(&bad), Err(Objection::Subject { .. })));
    }
}

fn names(request: &Request, kind: Kind) -> Result<(), Objection> {
    let cluster = cluster();
    let machine = cluster.machines.iter().find(|machine| machine.name.as_str() == "w1").unwrap();
    check_names(request, machine, kind)
}

#[test]
fn a_serving_certificate_without_any_name_is_refused() {
    let nameless = Request { dns_names: vec![], addresses: vec![], ..request() };
    assert_eq!(names(&nameless, Kind::Serving), Err(Objection::Nameless));
    assert_eq!(names(&nameless, Kind::Client), Ok(()));
}

#[test]
fn names_that_it_has_no_use_for_are_refused() {
    assert_eq!(names(&Request { other_names: 1, ..request() }, Kind::Serving), Err(Objection::OddNames));
    assert_eq!(names(&request(), Kind::Client), Err(Objection::OddNames));
}

#[test]
fn the_name_or_address_of_another_machine_is_refused() {
    let name = Request { dns_names: vec!["w1".to_owned(), "kubernetes.default.svc".to_owned()], ..request() };
    let foreign = Objection::ForeignName("kubernetes.default.svc".to_owned());
    assert_eq!(names(&name, Kind::Serving), Err(foreign));
    let address: IpAddr = "10.77.0.12".parse().unwrap();
    let both = Request { addresses: vec!["10.77.0.21".parse().unwrap(), address], ..request() };
    assert_eq!(names(&both, Kind::Serving), Err(Objection::ForeignAddress(address)));
}
