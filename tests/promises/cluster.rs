//! A cluster of four machines does what a cluster is for, and comes back from losses.
//!
//! All tests of this module share one cluster, in this order: first what it does, then what it
//! survives. The failures are drills in the signed configs: each service is killed once,
//! late enough that the tests before have asked what they ask.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::process::Stdio;
use std::sync::Mutex;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use e2e::cluster::Cluster;
use e2e::node::Asker;
use e2e::{cli, wait};
use libtest_mimic::{Failed, Trial};
use serde_json::Value;

/// Ends a wait that will never be over; under emulation everything takes a while.
pub fn patience() -> Duration {
    Duration::from_secs(if cli::driver() == "qemu" { 900 } else { 240 })
}

/// The services that drills kill, and the machines they run on.
const KILLED: [(&str, &str); 4] =
    [("lb1", "haproxy"), ("etcd1", "etcd"), ("w1", "kubelet"), ("w1", "containerd")];

/// The shared cluster, and the echo pod as it was when it first ran.
pub struct Shared {
    /// The cluster.
    pub cluster: Cluster,
    first: Value,
}

static SHARED: Mutex<Option<Result<Shared, String>>> = Mutex::new(None);

/// A second worker, so that a pod can ask from another machine.
const SECOND_WORKER: &str = r#"
[[machine]]
name = "w2"
role = "worker"
address = "10.77.0.14"
mac = "52:54:00:4d:00:14"
"#;

/// The demo cluster's plan with a second worker and a drill for each service of [`KILLED`].
fn plan() -> String {
    // When the tests before the drills are through.
    let (first, step) = if cli::driver() == "qemu" { (900, 60) } else { (90, 10) };
    let mut plan = include_str!("../../builder/src/cluster/demo.toml").to_owned() + SECOND_WORKER;
    for (n, (machine, service)) in KILLED.into_iter().enumerate() {
        let after = first + step * n;
        let drill = format!(
            "\n[[machine.drill]]\nservice = \"{service}\"\nsignal = \"kill\"\nafter-seconds = {after}\n"
        );
        let at = plan.find(&format!("name = \"{machine}\"")).unwrap_or(0);
        let end = plan[at..].find("\n[[machine]]").map_or(plan.len(), |end| at + end);
        plan.insert_str(end, &drill);
    }
    plan
}

fn boot() -> Result<Shared> {
    let cluster = Cluster::boot(&plan())?;
    cluster.apply(include_str!("echo.yaml"))?;
    let first = cluster.pod_ready("echo", patience())?;
    cluster.pod_ready("asker", patience())?;
    Ok(Shared { cluster, first })
}

/// Runs `test` on the shared cluster, which the first test boots.
pub fn on_cluster(test: fn(&Shared) -> Result<()>) -> Result<(), Failed> {
    let mut shared = SHARED.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
    let state = shared.get_or_insert_with(|| boot().map_err(|error| format!("{error:#}")));
    match state {
        Ok(shared) => test(shared).map_err(|error| format!("{error:#}").into()),
        Err(error) => Err(format!("the cluster did not come up: {error}").into()),
    }
}

/// Takes the shared cluster down.
pub fn take_down() {
    drop(SHARED.lock().unwrap_or_else(std::sync::PoisonError::into_inner).take());
}

/// This module's tests.
pub fn trials() -> Vec<Trial> {
    let trial = |name: &str, test: fn(&Shared) -> Result<()>| Trial::test(name, move || on_cluster(test));
    vec![
        trial("the_worker_becomes_ready_through_the_load_balancer", worker_ready),
        trial("a_pod_answers_by_its_service_address_from_another_machine", service_address),
        trial("a_pod_finds_a_service_by_its_dns_name", dns_name),
        trial("logs_exec_and_port_forward_reach_a_pod", logs_exec_port_forward),
        trial("a_secret_cannot_be_read_in_etcds_own_storage", secret_at_rest),
        trial("killed_services_come_back_and_the_pod_keeps_running", killed_services),
        trial("a_rebooted_worker_is_ready_again_with_the_same_identity", rebooted_worker),
    ]
}

fn worker_ready(shared: &Shared) -> Result<()> {
    let node = shared.cluster.node_ready("w1", patience())?;
    let version = node["status"]["nodeInfo"]["kubeletVersion"].as_str().unwrap_or_default();
    ensure!(version.starts_with("v1.36."), "the kubelet is {version:?}");
    // kubectl itself came through the forwarded port to the load balancer; the kubelet's
    // own way is its kubeconfig's endpoint, the load balancer's address.
    let console = shared.cluster.console("lb1")?;
    ensure!(console.contains("service haproxy: ready"), "haproxy is not ready");
    Ok(())
}

fn service_address(shared: &Shared) -> Result<()> {
    let service = shared.cluster.get(&["service", "echo"])?;
    let address = service["spec"]["clusterIP"].as_str().context("the Service has no address")?.to_owned();
    let asker = shared.cluster.get(&["pod", "asker"])?;
    let (here, there) = (&asker["spec"]["nodeName"], &shared.first["spec"]["nodeName"]);
    ensure!(here != there, "both pods are on {here}");
    let answer = ask(&shared.cluster, "asker", &format!("http://{address}/"))?;
    ensure!(answer.contains("echo"), "the answer is {answer:?}");
    Ok(())
}

fn dns_name(shared: &Shared) -> Result<()> {
    let answer = ask(&shared.cluster, "asker", "http://echo.default.svc.cluster.local/")?;
    ensure!(answer.contains("echo"), "the answer is {answer:?}");
    let nobody = shared.cluster.kubectl(&[
        "exec",
        "asker",
        "--",
        "/http-echo",
        "get",
        "http://nobody.default.svc.cluster.local/",
    ]);
    ensure!(nobody.is_err(), "a name that nobody has was found");
    Ok(())
}

/// Has `pod` ask for `url`.
fn ask(cluster: &Cluster, pod: &str, url: &str) -> Result<String> {
    wait::until(&format!("{url} answers"), patience(), || {
        cluster.kubectl(&["exec", pod, "--", "/http-echo", "get", url])
    })
}

fn logs_exec_port_forward(shared: &Shared) -> Result<()> {
    let cluster = &shared.cluster;
    let said = cluster.kubectl(&["exec", "echo", "--", "/http-echo", "get", "http://127.0.0.1:8080/"])?;
    ensure!(said.contains("echo"), "exec printed {said:?}");
    wait::until("the log has the request", patience(), || {
        let log = cluster.kubectl(&["logs", "echo"])?;
        // Only what was run inside the pod comes from its own loopback address.
        ensure!(log.contains(" 127.0.0.1:"), "the log is {log:?}");
        Ok(())
    })?;
    let mut forward =
        cli::command(["lab", "kubectl", cluster.lab(), "--", "port-forward", "pod/echo", ":8080"])?
            .stdout(Stdio::piped())
            .spawn()
            .context("starting kubectl port-forward")?;
    let outcome = through_port_forward(&mut forward);
    let _ = forward.kill();
    let _ = forward.wait();
    let answer = outcome?;
    ensure!(answer.contains("echo"), "through the port-forward came {answer:?}");
    Ok(())
}

/// Reads the local port that kubectl chose and asks the pod through it.
fn through_port_forward(forward: &mut std::process::Child) -> Result<String> {
    let stdout = forward.stdout.take().context("reading what kubectl port-forward prints")?;
    let mut line = String::new();
    // Kept until the end: kubectl dies of a broken pipe when it prints its second line to nobody.
    let mut stdout = BufReader::new(stdout);
    stdout.read_line(&mut line).context("reading what kubectl port-forward prints")?;
    let port: u16 = line
        .split_once("127.0.0.1:")
        .and_then(|(_, rest)| rest.split_whitespace().next()?.parse().ok())
        .with_context(|| format!("kubectl port-forward printed {line:?}"))?;
    let mut stream = TcpStream::connect(("127.0.0.1", port)).context("connecting to the forwarded port")?;
    stream.set_read_timeout(Some(patience())).context("setting a deadline")?;
    stream.write_all(b"GET / HTTP/1.0\r\nHost: echo\r\n\r\n").context("asking through the port-forward")?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).context("reading the answer through the port-forward")?;
    Ok(answer)
}

fn secret_at_rest(shared: &Shared) -> Result<()> {
    // The marker in a ConfigMap proves that the search finds what is stored in clear.
    let (hidden, plain) = ("marker-f3a9-hidden", "marker-f3a9-plain");
    let cluster = &shared.cluster;
    cluster.kubectl(&["create", "secret", "generic", "hidden", &format!("--from-literal=text={hidden}")])?;
    cluster.kubectl(&["create", "configmap", "plain", &format!("--from-literal=text={plain}")])?;
    let status: Value = serde_json::from_str(&cli::run(["lab", "status", cluster.lab(), "--json"])?)
        .context("reading slipway lab status")?;
    let directory = status["directory"].as_str().context("slipway lab status names no directory")?;
    let disk = std::path::Path::new(directory).join("etcd1/data.img");
    wait::until("the ConfigMap is on etcd's disk", patience(), || {
        ensure!(contains(&disk, plain)?, "{} does not hold {plain}", disk.display());
        Ok(())
    })?;
    ensure!(!contains(&disk, hidden)?, "etcd's disk holds the Secret's text in clear");
    Ok(())
}

/// Whether the file holds `text` anywhere. grep skips the holes of a sparse disk.
fn contains(path: &std::path::Path, text: &str) -> Result<bool> {
    let status = std::process::Command::new("grep")
        .args(["--quiet", "--text", "--fixed-strings", "--", text])
        .arg(path)
        .status()
        .context("starting grep")?;
    match status.code() {
        Some(0) => Ok(true),
        Some(1) => Ok(false),
        _ => bail!("searching {}: grep ended with {status}", path.display()),
    }
}

fn killed_services(shared: &Shared) -> Result<()> {
    let cluster = &shared.cluster;
    for (machine, service) in KILLED {
        let subject = format!("service {service}:");
        cluster.console_line(machine, &[&subject, "killed by signal 9"], 0, patience())?;
        cluster.console_line(machine, &[&subject, "ready"], 1, patience())?;
    }
    cluster.node_ready("w1", patience())?;
    let now = cluster.pod_ready("echo", patience())?;
    let container = |pod: &Value| pod["status"]["containerStatuses"][0]["containerID"].clone();
    ensure!(!container(&now).is_null(), "the pod has no container");
    ensure!(
        container(&now) == container(&shared.first),
        "the pod's container was replaced: {} instead of {}",
        container(&now),
        container(&shared.first)
    );
    ensure!(now["status"]["containerStatuses"][0]["restartCount"] == 0, "the pod was restarted");
    Ok(())
}

fn rebooted_worker(shared: &Shared) -> Result<()> {
    let cluster = &shared.cluster;
    let identity = |node: &Value| {
        let node = node.clone();
        (node["metadata"]["uid"].clone(), node["status"]["nodeInfo"]["machineID"].clone())
    };
    let before = cluster.node_ready("w1", patience())?;
    let boot = before["status"]["nodeInfo"]["bootID"].clone();
    // One that was just killed has not asked yet to be told of the machine's end.
    let asker = Asker::new(&cluster.made());
    wait::until("the kubelet waits to hear of the machine's end", patience(), || {
        let starts = cluster.console("w1")?.matches("service kubelet: ready").count();
        let asked = asker.text(&["logs", "--node", "w1", "login"])?.matches("wants to know").count();
        ensure!(asked >= starts, "it was ready {starts} times and has asked {asked} times");
        Ok(())
    })?;
    cli::run(["lab", "machine", "reboot", cluster.lab(), "w1"])?;
    let after = wait::until("the node is back from another boot", patience(), || {
        let node = cluster.node_ready("w1", Duration::from_secs(1))?;
        if node["status"]["nodeInfo"]["bootID"] == boot {
            bail!("it has not rebooted yet");
        }
        Ok(node)
    })?;
    ensure!(identity(&before) == identity(&after), "the node came back as another one");
    let console = cluster.console("w1")?;
    ensure!(console.contains("machine: shutting down"), "the reboot was not an orderly one");
    // The kubelet heard of the end and ended its pods; a pod without a controller stays ended.
    let pod = cluster.get(&["pod", "echo"])?;
    let is_ended_by_kubelet = |condition: &Value| condition["reason"] == "TerminationByKubelet";
    let conditions = pod["status"]["conditions"].as_array();
    ensure!(
        conditions.is_some_and(|conditions| conditions.iter().any(is_ended_by_kubelet)),
        "the pod was cut off: its status is {}",
        pod["status"]
    );
    cluster.kubectl(&["delete", "pod", "echo", "asker", "--ignore-not-found"])?;
    cluster.apply(include_str!("echo.yaml"))?;
    cluster.pod_ready("echo", patience())?;
    ask(cluster, "asker", "http://echo.default.svc.cluster.local/").map(|_| ())
}
