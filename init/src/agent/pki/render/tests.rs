//! What each role's services read, and above all what they must not.
//!
//! Flags themselves are judged by the real programs in the tests that boot machines; here
//! are the promises that a wrong line would break silently.

use machine_config::Role;

use super::*;
use crate::agent::fixture::config;

fn rendered(role: Role) -> Rendered {
    render(&config(role), NodeIdentity::None)
}

fn text(rendered: &Rendered, path: &str) -> String {
    let file = rendered.files.iter().find(|file| file.path == Path::new(path));
    let file = file.unwrap_or_else(|| panic!("{path} is not written"));
    String::from_utf8(file.bytes.clone()).unwrap()
}

fn args(rendered: &Rendered, service: &str) -> Vec<String> {
    let path = std::path::Path::new(paths::OVERLAYS).join(service);
    let file = rendered.files.iter().find(|file| file.path == path).unwrap();
    Overlay::decode(&file.bytes).unwrap().arguments
}

/// All texts but the node API's key, which every role has and apid alone may read.
fn but_its_own_api(rendered: &Rendered) -> String {
    let others = rendered.files.iter().filter(|file| file.readers != Some(Group::ApiKeys));
    others.map(|file| String::from_utf8_lossy(&file.bytes)).collect()
}

/// The groups of the services in profiles/services.
fn groups(service: &str) -> std::collections::BTreeSet<Group> {
    let path = format!("{}/../profiles/services/{service}.toml", env!("CARGO_MANIFEST_DIR"));
    let spec: machine_config::service::ServiceSpec =
        toml::from_str(&std::fs::read_to_string(path).unwrap()).unwrap();
    spec.groups
}

#[test]
fn the_key_of_the_node_api_is_for_apid_alone() {
    for role in Role::ALL {
        let out = rendered(role);
        let theirs: Vec<&File> =
            out.files.iter().filter(|file| file.readers == Some(Group::ApiKeys)).collect();
        assert_eq!(theirs.len(), 1, "{role}");
        assert_eq!(theirs[0].path, Path::new(paths::API).join("tls.key"));
    }
}

#[test]
fn whatever_holds_a_secret_is_readable_by_a_group_alone() {
    for role in Role::ALL {
        for file in rendered(role).files {
            let text = String::from_utf8_lossy(&file.bytes);
            let secret =
                ["PRIVATE KEY", "0123456789abcdef", "AAECAwQF"].iter().any(|mark| text.contains(mark));
            assert_eq!(secret, file.readers.is_some(), "{role}: {}", file.path.display());
        }
    }
}

#[test]
fn a_service_can_read_the_keys_that_it_is_told_of_and_the_agent_can_give_them_away() {
    let agent = groups("pki");
    for role in Role::ALL {
        let out = rendered(role);
        let mut keys: Vec<(String, Group)> = Vec::new();
        for file in &out.files {
            keys.extend(file.readers.map(|readers| (file.path.display().to_string(), readers)));
        }
        keys.extend(out.wishes.iter().map(|wish| (pki(&format!("{}.key", wish.name)), wish.readers)));
        for (_, readers) in &keys {
            assert!(agent.contains(readers), "{role}: {readers:?}");
        }
        for file in out.files.iter().filter(|file| file.path.starts_with(paths::OVERLAYS)) {
            let service = file.path.file_name().unwrap().to_str().unwrap();
            let words = args(&out, service).join(" ");
            for (path, readers) in keys.iter().filter(|(path, _)| words.contains(path.as_str())) {
                // The kubelet is root, fenced in by nothing.
                assert!(service == "kubelet" || groups(service).contains(readers), "{service}: {path}");
            }
        }
    }
}

#[test]
fn no_secret_is_on_a_command_line() {
    for role in Role::ALL {
        for file in rendered(role).files.iter().filter(|file| file.path.starts_with(paths::OVERLAYS)) {
            let text = String::from_utf8_lossy(&file.bytes);
            for mark in ["0123456789abcdef", "AAECAwQF", "PRIVATE"] {
                assert!(!text.contains(mark), "{role}: {}", file.path.display());
            }
        }
    }
}

#[test]
fn a_secret_does_not_show_in_debug_output() {
    let out = rendered(Role::ControlPlane);
    let shown = format!("{out:?}");
    assert!(!shown.contains("0123456789abcdef") && !shown.contains("PRIVATE KEY-----\n"));
}

#[test]
fn a_worker_has_no_authority_and_mints_nothing() {
    let out = rendered(Role::Worker);
    assert!(out.authorities.is_empty());
    assert!(out.wishes.is_empty());
    assert!(!but_its_own_api(&out).contains("PRIVATE KEY"));
}

#[test]
fn a_load_balancer_has_nothing_secret_but_the_key_of_its_own_api() {
    let out = rendered(Role::Lb);
    assert!(out.files.iter().all(|file| file.readers.is_none_or(|readers| readers == Group::ApiKeys)));
    assert!(!but_its_own_api(&out).contains("PRIVATE KEY"));
    let cfg = text(&out, "/run/slipway/haproxy/haproxy.cfg");
    assert!(cfg.contains("\n    bind :6443\n"));
    assert!(cfg.contains("\n    server cp1 10.77.0.12:6443\n"));
    assert!(cfg.contains(
        "verify required ca-file /run/slipway/pki/kubernetes-ca.crt verifyhost kubernetes.default.svc"
    ));
}

#[test]
fn every_argument_that_names_a_file_names_one_that_is_written_or_minted() {
    for role in Role::ALL {
        let out = rendered(role);
        let mut known: Vec<String> = out.files.iter().map(|file| file.path.display().to_string()).collect();
        for wish in &out.wishes {
            known.extend([pki(&format!("{}.crt", wish.name)), pki(&format!("{}.key", wish.name))]);
        }
        let mut checked = 0;
        for file in &out.files {
            let text = match file.path.strip_prefix(paths::OVERLAYS) {
                Ok(service) => args(&out, service.to_str().unwrap()).join("\n"),
                Err(_) => String::from_utf8_lossy(&file.bytes).into_owned(),
            };
            let words = text.split(|c: char| c.is_whitespace() || "\"=,".contains(c));
            for word in
                words.filter(|word| word.starts_with(paths::PKI) || word.starts_with("/run/kubernetes/"))
            {
                assert!(
                    known.iter().any(|path| path == word),
                    "{role}: {} names {word}",
                    file.path.display()
                );
                checked += 1;
            }
        }
        assert!(checked > 0, "{role}");
    }
}

#[test]
fn the_api_servers_certificate_bears_every_name_by_which_it_is_dialled() {
    let mut config = config(Role::ControlPlane);
    config.cluster.endpoint.host = "api.demo.example".to_owned();
    let out = render(&config, NodeIdentity::None);
    let leaf = &out.wishes.iter().find(|wish| wish.name == "apiserver").unwrap().leaf;
    for name in
        ["kubernetes.default.svc", "kubernetes.default.svc.cluster.local", "cp1", "lb1", "api.demo.example"]
    {
        assert!(leaf.dns_names.iter().any(|dns| dns == name), "{name}");
    }
    for address in ["127.0.0.1", "10.96.0.1", "10.77.0.12", "10.77.0.10"] {
        assert!(leaf.addresses.contains(&address.parse().unwrap()), "{address}");
    }
}

#[test]
fn only_the_cluster_agent_may_do_anything_and_not_for_long() {
    let out = rendered(Role::ControlPlane);
    let masters: Vec<_> = out.wishes.iter().filter(|wish| wish.leaf.organization.is_some()).collect();
    assert_eq!(masters.len(), 1);
    assert_eq!(masters[0].name, "cluster-agent");
    assert_eq!(masters[0].lifetime, crate::agent::pki::leaf::POWERFUL);
}

#[test]
fn one_control_plane_elects_no_leader_and_several_do() {
    let alone = rendered(Role::ControlPlane);
    assert!(args(&alone, "kube-controller-manager").contains(&"--leader-elect=false".to_owned()));
    let mut config = config(Role::ControlPlane);
    let mut second = config.cluster.machines[2].clone();
    second.name = "cp2".parse().unwrap();
    second.address = [10, 77, 0, 13].into();
    config.cluster.machines.push(second);
    let several = render(&config, NodeIdentity::None);
    assert!(args(&several, "kube-controller-manager").contains(&"--leader-elect=true".to_owned()));
    assert!(args(&several, "kube-apiserver").iter().any(|arg| arg.starts_with("--shutdown-delay-duration=")));
}

#[test]
fn a_control_plane_is_ready_for_any_of_several_etcd_members() {
    let mut config = config(Role::ControlPlane);
    let mut second = config.cluster.machines[1].clone();
    second.address = [10, 77, 0, 15].into();
    config.cluster.machines.push(second);
    let out = render(&config, NodeIdentity::None);
    let question = crate::probe::Question::parse(&args(&out, "wait-etcd")).unwrap();
    let crate::probe::Question::Https { urls, .. } = question else { panic!("{question:?}") };
    assert_eq!(urls.len(), 2);
    assert!(
        args(&out, "kube-apiserver")
            .contains(&"--etcd-servers=https://10.77.0.11:2379,https://10.77.0.15:2379".to_owned())
    );
}

#[test]
fn a_node_with_a_certificate_does_not_depend_on_its_token() {
    let fresh = rendered(Role::Worker);
    assert!(args(&fresh, "wait-api").contains(&"--token".to_owned()));
    assert!(!fresh.files.iter().any(|file| file.path == Path::new("/run/slipway/kubelet/kubeconfig")));

    let known = render(&config(Role::Worker), NodeIdentity::Certificate);
    let waits_for = args(&known, "wait-api");
    assert_eq!(waits_for[1], "https://10.77.0.10:6443/readyz");
    assert!(!waits_for.contains(&"--token".to_owned()));
    assert!(text(&known, "/run/slipway/kubelet/kubeconfig").contains("kubelet-client-current.pem"));
    for question in [args(&fresh, "wait-api"), waits_for] {
        crate::probe::Question::parse(&question).unwrap();
    }
}

#[test]
fn a_control_planes_node_is_tainted_and_talks_to_its_own_api_server() {
    let out = rendered(Role::ControlPlane);
    assert!(text(&out, "/run/kubernetes/kubelet.json").contains("node-role.kubernetes.io/control-plane"));
    assert!(text(&out, "/run/kubernetes/node.conf").contains("https://127.0.0.1:6443"));
    assert_eq!(args(&out, "wait-turn"), ["file", paths::CONTROLLERS_RUN]);
    let worker = rendered(Role::Worker);
    assert_eq!(args(&worker, "wait-turn"), ["file", paths::MACHINE]);
    assert!(!text(&worker, "/run/kubernetes/kubelet.json").contains("control-plane"));
    assert!(text(&worker, "/run/kubernetes/node.conf").contains("https://10.77.0.10:6443"));
}

#[test]
fn an_etcd_member_lets_in_control_planes_and_itself() {
    let out = rendered(Role::Etcd);
    let clients = text(&out, "/run/slipway/pki/etcd-clients-ca.crt");
    assert_eq!(clients.matches("BEGIN CERTIFICATE").count(), 2);
    let members = text(&out, "/run/slipway/pki/etcd-ca.crt");
    assert_eq!(members.matches("BEGIN CERTIFICATE").count(), 1, "a client certificate is none of a member");
    assert!(args(&out, "etcd").contains(&"--initial-cluster=e1=https://10.77.0.11:2380".to_owned()));
}

#[test]
fn the_pause_image_is_the_one_that_the_builder_makes() {
    let recipe = include_str!("../../../../../profiles/components/image-pause/component.toml");
    let containerd = text(&rendered(Role::Worker), "/run/containerd-config/config.toml");
    let name = containerd.lines().find_map(|line| line.strip_prefix("sandbox = ")).unwrap();
    assert!(recipe.contains(&format!("name = {name}")));
    assert!(containerd.parse::<toml::Table>().is_ok());
}

#[test]
fn lines_are_forwarded_where_the_config_says_and_otherwise_nowhere() {
    let mut config = config(Role::Lb);
    assert!(args(&render(&config, NodeIdentity::None), "log-forward").is_empty());
    config.log = Some(toml::from_str("forward = \"tcp://10.0.0.9:601\"").unwrap());
    let out = render(&config, NodeIdentity::None);
    assert_eq!(args(&out, "log-forward"), ["--to", "tcp://10.0.0.9:601", "--host", "lb1"]);
}
