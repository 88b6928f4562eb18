//! Machines say how they are and do what they are told, to those who may, over their own API.
//!
//! Every verb is asked from the host through the lab's switch, on the cluster that `cluster` booted,
//! once that has shown what it shows. What stops, reboots and switches off is done to the second worker, and at the
//! very end to the first.

use std::fs;
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::Stdio;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use e2e::node::Asker;
use e2e::{cli, wait};
use libtest_mimic::Trial;
use serde_json::Value;

use crate::cluster::{Shared, on_cluster, patience};

/// The machines and their roles, in the inventory's order.
const MACHINES: [(&str, &str); 5] =
    [("lb1", "lb"), ("etcd1", "etcd"), ("cp1", "control-plane"), ("w1", "worker"), ("w2", "worker")];
/// The machine that things are done to.
const VICTIM: &str = "w2";
/// Its address, as the plan says.
const VICTIM_ADDRESS: &str = "10.77.0.14/24";

/// This module's tests, in their order.
pub fn trials() -> Vec<Trial> {
    let trial = |name: &str, test: fn(&Shared) -> Result<()>| Trial::test(name, move || on_cluster(test));
    vec![
        trial("every_machine_says_what_runs_on_it_and_that_it_is_up", up),
        trial("services_are_listed_with_state_process_and_what_they_use", services),
        trial("a_machine_shows_its_processes_mounts_disks_and_network", insides),
        trial("a_boots_time_line_says_when_each_service_was_ready", boot),
        trial("a_running_config_is_shown_without_its_secrets", config),
        trial("what_services_and_the_kernel_said_can_be_read_and_searched", logs),
        trial("metrics_are_what_prometheus_reads", metrics),
        trial("a_stopped_service_is_explained_and_comes_back_and_all_of_it_is_on_record", stop_and_start),
        trial("what_changes_machines_wants_them_named_and_a_service_that_they_have", named),
        trial("a_held_service_stays_as_it_is_until_it_is_released", hold),
        trial("only_signals_that_its_spec_allows_reach_a_service", signal),
        trial("a_pid_1_that_replaces_itself_keeps_every_process_and_says_so", replace),
        trial("a_certificate_of_another_authority_or_an_expired_one_is_refused", strangers),
        trial("a_reader_that_calls_reboot_is_told_who_may_and_nothing_happens", roles),
        trial("a_reboot_is_answered_before_it_happens_and_the_machine_boots_anew", reboot),
        trial("dead_machines_delay_neither_the_others_nor_each_other", dead),
    ]
}

fn admin(shared: &Shared) -> Asker {
    Asker::new(&shared.cluster.made())
}

fn text<'a>(value: &'a Value, field: &str) -> Result<&'a str> {
    value[field].as_str().with_context(|| format!("{field} is {}", value[field]))
}

fn up(shared: &Shared) -> Result<()> {
    let asker = admin(shared);
    let versions = asker.all(&["version"])?;
    ensure!(versions.len() == MACHINES.len(), "{versions:?}");
    for (answer, (machine, role)) in versions.iter().zip(MACHINES) {
        let reply = &answer["reply"];
        ensure!(answer["machine"] == machine && reply["machine"] == machine, "{answer}");
        ensure!(reply["role"] == role && reply["api"] == "v1", "{reply}");
        ensure!(text(reply, "kernel")?.contains('.') && !text(reply, "slipway")?.is_empty(), "{reply}");
    }
    // Some have just come back from a drill or a reboot.
    let all_up = wait::until("every machine is up with all its services", patience(), || {
        let statuses = asker.all(&["status"])?;
        for (answer, (_, role)) in statuses.iter().zip(MACHINES) {
            let reply = &answer["reply"];
            ensure!(reply["role"] == role && reply["stage"] == "up", "{answer}");
            ensure!(reply["services_good"] == reply["services_wanted"], "{answer}");
            ensure!(reply["memory"]["total_bytes"].as_u64() > reply["memory"]["available_bytes"].as_u64());
        }
        Ok(statuses)
    })?;
    ensure!(all_up.len() == MACHINES.len());
    let table = asker.text(&["status"])?;
    for (machine, role) in MACHINES {
        let row = table.lines().find(|line| line.starts_with(machine));
        ensure!(row.is_some_and(|row| row.contains(role) && row.contains(" up ")), "{table}");
    }
    Ok(())
}

/// A service of a machine.
fn service(asker: &Asker, machine: &str, name: &str) -> Result<Value> {
    let reply = asker.one(machine, &["services"])?;
    let services = reply["services"].as_array().context("no list of services")?;
    services.iter().find(|service| service["name"] == name).cloned().with_context(|| format!("no {name}"))
}

/// Waits until a service is in `state`.
fn reaches(asker: &Asker, name: &str, state: &str) -> Result<Value> {
    wait::until(&format!("{name} is {state}"), patience(), || {
        let found = service(asker, VICTIM, name)?;
        ensure!(found["state"] == state, "it is {found}");
        Ok(found)
    })
}

fn services(shared: &Shared) -> Result<()> {
    let asker = admin(shared);
    for (machine, name) in
        [("lb1", "haproxy"), ("etcd1", "etcd"), ("cp1", "kube-apiserver"), ("w1", "kubelet")]
    {
        let found = service(&asker, machine, name)?;
        ensure!(found["state"] == "ready" && found["wanted"] == true && found["held"] == false, "{found}");
        ensure!(found["pid"].as_u64() > Some(1) && found["starts"].as_u64() >= Some(1), "{found}");
        ensure!(found["usage"]["memory_bytes"].as_u64() > Some(1 << 20), "{found}");
        ensure!(found["usage"]["cpu_us"].as_u64() > Some(0), "{found}");
        let chain = asker.one(machine, &["explain", name])?;
        ensure!(chain["lines"][0].as_str().is_some_and(|line| line.starts_with(name)), "{chain}");
    }
    // The drill's kill is why etcd was started again.
    wait::until("etcd is back after its drill", patience(), || {
        let etcd = service(&asker, "etcd1", "etcd")?;
        ensure!(etcd["starts"].as_u64() >= Some(2) && etcd["state"] == "ready", "{etcd}");
        ensure!(text(&etcd, "last_end")?.contains("signal 9"), "{etcd}");
        Ok(())
    })?;
    let nobody = asker.refusal("etcd1", &["explain", "nobody"])?;
    ensure!(nobody.contains("there is no service nobody"), "{nobody}");
    Ok(())
}

fn insides(shared: &Shared) -> Result<()> {
    let asker = admin(shared);
    let etcd = service(&asker, "etcd1", "etcd")?;
    let reply = asker.one("etcd1", &["processes"])?;
    let processes = reply["processes"].as_array().context("no list of processes")?;
    let with_pid = |pid: &Value| processes.iter().find(|process| &process["pid"] == pid);
    let init = with_pid(&1.into()).context("no process 1")?;
    ensure!(init["parent"] == 0 && init["service"].is_null(), "{init}");
    let own = with_pid(&etcd["pid"]).context("etcd's process is not listed")?;
    ensure!(own["service"] == "etcd" && text(own, "command")?.contains("/usr/bin/etcd"), "{own}");

    let reply = asker.one(VICTIM, &["mounts"])?;
    let mounts = reply["mounts"].as_array().context("no list of mounts")?;
    let at = |target: &str| mounts.iter().find(|mount| mount["target"] == target);
    let root = at("/").context("nothing is mounted at /")?;
    ensure!(text(root, "options")?.split(',').any(|word| word == "ro"), "{root}");
    let var = at("/var").context("nothing is mounted at /var")?;
    ensure!(var["available_bytes"].as_u64() > Some(0), "{var}");
    ensure!(var["size_bytes"].as_u64() > var["available_bytes"].as_u64(), "{var}");

    let reply = asker.one(VICTIM, &["disks"])?;
    let disks = reply["disks"].as_array().context("no list of disks")?;
    let parts = disks.iter().flat_map(|disk| disk["partitions"].as_array().into_iter().flatten());
    ensure!(disks.iter().all(|disk| disk["size_bytes"].as_u64() > Some(0)), "{reply}");
    ensure!(parts.count() > 0, "no disk has partitions: {reply}");

    let reply = asker.one(VICTIM, &["network"])?;
    let links = reply["links"].as_array().context("no list of links")?;
    let addresses = |link: &Value| link["addresses"].as_array().cloned().unwrap_or_default();
    ensure!(links.iter().any(|link| addresses(link).contains(&VICTIM_ADDRESS.into())), "{reply}");
    ensure!(reply["resolvers"][0] == "10.77.0.1" && reply["lease"].is_null(), "{reply}");
    let routes = reply["routes"].as_array().context("no list of routes")?;
    ensure!(routes.iter().any(|route| route["gateway"] == "10.77.0.1"), "{reply}");
    ensure!(routes.iter().any(|route| route["destination"] == "fe80::/64"), "no route of IPv6: {reply}");
    // The other worker has its address by DHCP.
    let leased = asker.one("w1", &["network"])?;
    ensure!(text(&leased["lease"], "address")?.starts_with("10.77.0.13/"), "{leased}");
    ensure!(leased["lease"]["lifetime_seconds"].as_u64() > Some(0), "{leased}");
    Ok(())
}

fn boot(shared: &Shared) -> Result<()> {
    let asker = admin(shared);
    let reply = asker.one("cp1", &["boot"])?;
    ensure!(text(&reply, "id")?.len() >= 32, "{reply}");
    let marks = reply["marks"].as_array().context("no marks")?;
    ensure!(marks.iter().any(|mark| mark["name"] == "up" && mark["at_ms"].as_u64() > Some(0)), "{reply}");
    let services = reply["services"].as_array().context("no services")?;
    let stamps =
        |name: &str| services.iter().find(|service| service["name"] == name).map(|s| s["stamps"].clone());
    let api = stamps("kube-apiserver").context("kube-apiserver is not on the time line")?;
    let at = |field: &str| api[field].as_u64().with_context(|| format!("{field} of {api}"));
    ensure!(at("wanted_ms")? <= at("met_ms")?, "{api}");
    let steps = ["met_ms", "prepared_ms", "started_ms", "executed_ms", "ready_ms"].map(at);
    let steps: Vec<u64> = steps.into_iter().collect::<Result<_>>()?;
    ensure!(steps.is_sorted(), "{api}");
    // The chain begins with what needs nobody, and every link needs the one before it.
    let chain = reply["critical_chain"].as_array().context("no critical chain")?;
    ensure!(chain.first() == Some(&"storage".into()), "{chain:?}");
    let ready = |name: &Value| stamps(name.as_str()?)?["ready_ms"].as_u64();
    let moments: Vec<Option<u64>> = chain.iter().map(ready).collect();
    ensure!(chain.len() > 3 && moments.is_sorted() && moments[0].is_some(), "{chain:?} at {moments:?}");
    let table = asker.text(&["boot", "--node", "cp1"])?;
    ensure!(table.contains("kube-apiserver") && table.contains(" up"), "{table}");
    Ok(())
}

fn config(shared: &Shared) -> Result<()> {
    let asker = admin(shared);
    let secrets =
        fs::read_to_string(shared.cluster.made().join("secrets.toml")).context("reading the secrets")?;
    // What is secret in there: the bodies of private keys, and short words that stand alone.
    let mut hidden: Vec<&str> = Vec::new();
    let mut in_key = false;
    for line in secrets.lines() {
        in_key |= line.contains("BEGIN") && line.contains("PRIVATE KEY");
        if line.contains("END") && line.contains("PRIVATE KEY") {
            in_key = false;
        } else if in_key && !line.contains("BEGIN") && line.len() > 20 {
            hidden.push(line);
        } else if let Some((name, value)) = line.split_once(" = \"")
            && (name.contains("secret") || name.contains("key"))
            && value.len() > 10
        {
            hidden.push(value.trim_end_matches('"'));
        }
    }
    ensure!(hidden.len() > 10, "no secrets were found to look for");
    for (machine, role) in MACHINES {
        let reply = asker.one(machine, &["config", "running"])?;
        let shown = text(&reply, "text")?;
        ensure!(reply["machine"] == machine && reply["role"] == role && reply["serial"] == 1, "{reply}");
        ensure!(shown.contains("10.244.0.0/16"), "{machine} shows no config: {shown}");
        ensure!(!shown.contains("PRIVATE KEY"), "{machine} shows a private key");
        for secret in &hidden {
            ensure!(!shown.contains(secret), "{machine} shows a secret");
        }
    }
    let whole = asker.text(&["config", "running", "--text", "--node", "cp1"])?;
    ensure!(whole.contains("secrets left out") && !whole.contains("PRIVATE KEY"));
    Ok(())
}

fn logs(shared: &Shared) -> Result<()> {
    let asker = admin(shared);
    let kernel = asker.lines(VICTIM, &["dmesg"])?;
    ensure!(
        kernel.iter().any(|line| line["text"].as_str().is_some_and(|text| text.contains("Linux version")))
    );
    ensure!(kernel.iter().all(|line| line["service"] == "kernel" && line["machine"] == VICTIM));
    let numbers: Vec<u64> = kernel.iter().filter_map(|line| line["number"].as_u64()).collect();
    ensure!(numbers.windows(2).all(|pair| pair[0] < pair[1]), "the kernel's lines are not in order");
    // It says little: only what it warns of.
    let etcd = asker.lines("etcd1", &["logs", "etcd", "--tail", "2"])?;
    ensure!(etcd.len() == 2 && etcd.iter().all(|line| line["service"] == "etcd"), "{etcd:?}");
    let said = text(&etcd[0], "text")?;
    let word: String = said.chars().skip(said.chars().count() / 2).take(12).collect();
    let found = asker.lines("etcd1", &["logs", "--grep", &word])?;
    ensure!(found.iter().any(|line| line["number"] == etcd[0]["number"]), "{word:?} is not found: {found:?}");
    let contains = |line: &Value| line["text"].as_str().is_some_and(|text| text.contains(&word));
    ensure!(found.iter().all(contains), "{word:?} is not in all of {found:?}");
    wait::until("what etcd said before its drill is apart", patience(), || {
        let failed = asker.lines("etcd1", &["logs", "etcd", "--failure", "first"])?;
        ensure!(!failed.is_empty() && failed.len() <= 64, "{} lines before the first failure", failed.len());
        Ok(())
    })?;
    let init = asker.lines("etcd1", &["logs", "init", "--grep", "etcd"])?;
    ensure!(!init.is_empty(), "PID 1 never said a word about etcd");
    Ok(())
}

fn metrics(shared: &Shared) -> Result<()> {
    let text = scrape(shared, "etcd1")?;
    exposition(&text)?;
    let of_etcd = text.lines().filter(|line| line.contains("service=\"etcd\"")).count();
    ensure!(of_etcd > 5, "{of_etcd} samples are about etcd");
    // The kubelet got its certificates from the cluster, and keeps them in one file with their keys.
    wait::until("when the kubelet's certificates end is told", patience(), || {
        let text = scrape(shared, VICTIM)?;
        for name in ["kubelet-client", "kubelet-server"] {
            let label = format!("certificate=\"pki/{name}\"");
            let row =
                text.lines().find(|line| line.contains(&label)).with_context(|| format!("no {name}"))?;
            let ends: Option<i64> = row.rsplit(' ').next().and_then(|value| value.parse().ok());
            let now = std::time::UNIX_EPOCH.elapsed().context("reading the clock")?.as_secs();
            ensure!(ends > i64::try_from(now).ok(), "{row}");
        }
        Ok(())
    })
}

/// What Prometheus would read.
fn scrape(shared: &Shared, machine: &str) -> Result<String> {
    let made = shared.cluster.made();
    let file = |name: &str| made.join("node-api").join(name).to_string_lossy().into_owned();
    let status: Value = serde_json::from_str(&cli::run(["lab", "status", shared.cluster.lab(), "--json"])?)
        .context("reading slipway lab status")?;
    let forwards = status["forwards"].as_array().context("the lab forwards no ports")?;
    let name = format!("node-api/{machine}");
    let own = |forward: &&Value| forward["name"] == name.as_str();
    let host = forwards.iter().find(own).and_then(|forward| forward["host"].as_str());
    let port = host.and_then(|host| host.rsplit(':').next()).context("the machine's own API has no port")?;
    let output = std::process::Command::new("curl")
        .args(["--silent", "--show-error", "--fail", "--max-time", "60", "--cacert", &file("ca.crt")])
        .args(["--cert", &file("admin.crt"), "--key", &file("admin.key")])
        .args(["--connect-to", &format!("{machine}:7443:127.0.0.1:{port}")])
        .arg(format!("https://{machine}:7443/metrics"))
        .output()
        .context("starting curl")?;
    ensure!(output.status.success(), "curl: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).context("reading the metrics")
}

/// Prometheus' text format: every sample belongs to the family that was announced last, and is a number.
fn exposition(text: &str) -> Result<()> {
    let (mut family, mut kind, mut samples) = ("", "", 0);
    for line in text.lines().filter(|line| !line.is_empty()) {
        if let Some(rest) = line.strip_prefix("# TYPE ") {
            (family, kind) = rest.split_once(' ').with_context(|| format!("{line:?}"))?;
            ensure!(["counter", "gauge", "histogram", "summary"].contains(&kind), "{line:?}");
            ensure!(kind != "counter" || family.ends_with("_total"), "a counter is called {family}");
            continue;
        }
        if line.starts_with("# HELP ") {
            continue;
        }
        let (series, value) = line.rsplit_once(' ').with_context(|| format!("{line:?}"))?;
        let name = series.split('{').next().unwrap_or_default();
        let whole = ["", "_bucket", "_sum", "_count"].map(|suffix| format!("{family}{suffix}"));
        ensure!(whole.contains(&name.to_owned()), "{line:?} is not of {family}");
        ensure!(value.parse::<f64>().is_ok(), "{line:?} has no number");
        ensure!(kind != "counter" || value.parse::<f64>().is_ok_and(|value| value >= 0.0), "{line:?}");
        samples += 1;
    }
    ensure!(samples > 50, "{samples} samples");
    Ok(())
}

/// The causes of a service's events from a number on, and the states it went to.
fn record(asker: &Asker, name: &str, since: u64) -> Result<Vec<(String, String)>> {
    let events = asker.lines(VICTIM, &["events", name, "--since", &since.to_string()])?;
    let word = |event: &Value, field: &str| event[field].as_str().unwrap_or_default().to_owned();
    Ok(events.iter().map(|event| (word(event, "to"), word(event, "cause"))).collect())
}

/// Has something done, and tells the number of the first event that may follow from it.
fn done(asker: &Asker, words: &[&str]) -> Result<u64> {
    let reply = asker.one(VICTIM, words)?;
    ensure!(reply["changes"] == true, "{} changes nothing: {reply}", words.join(" "));
    reply["next_event"].as_u64().context("no number of an event")
}

fn stop_and_start(shared: &Shared) -> Result<()> {
    let asker = admin(shared);
    let name = "kube-proxy";
    let before = reaches(&asker, name, "ready")?;
    let since = done(&asker, &["services", "stop", name])?;
    let off = reaches(&asker, name, "off")?;
    ensure!(off["pid"].is_null() && off["wanted"] == false, "{off}");
    let why = asker.one(VICTIM, &["explain", name])?;
    ensure!(why["lines"][0].as_str().is_some_and(|line| line.starts_with("kube-proxy: ")), "{why}");
    let again = asker.one(VICTIM, &["services", "stop", name])?;
    ensure!(again["changes"] == false, "stopping it again changed something: {again}");
    done(&asker, &["services", "start", name])?;
    let started = reaches(&asker, name, "ready")?;
    ensure!(started["pid"] != before["pid"], "it is the same process");
    done(&asker, &["services", "restart", name])?;
    wait::until("it is another process", patience(), || {
        let found = reaches(&asker, name, "ready")?;
        ensure!(found["pid"] != started["pid"], "it is the same process");
        Ok(())
    })?;
    let told = record(&asker, name, since)?;
    let states: Vec<&str> = told.iter().map(|(to, _)| to.as_str()).filter(|to| !to.is_empty()).collect();
    for part in [["stopping", "off"], ["starting", "ready"]] {
        let mut rest = states.iter();
        ensure!(part.iter().all(|state| rest.any(|other| other == state)), "{part:?} is not in {states:?}");
    }
    ensure!(states.first() == Some(&"stopping"), "{states:?}");
    ensure!(states.iter().filter(|state| **state == "ready").count() == 2, "{states:?}");
    ensure!(told.iter().all(|(_, cause)| !cause.is_empty()), "something happened without a cause: {told:?}");
    let reload = asker.refusal(VICTIM, &["services", "reload", name])?;
    ensure!(reload.contains("no way to reload"), "{reload}");
    let reset = asker.one(VICTIM, &["services", "reset", name])?;
    ensure!(reset["changes"].is_boolean(), "{reset}");
    Ok(())
}

fn named(shared: &Shared) -> Result<()> {
    let asker = admin(shared);
    for words in [
        &["services", "stop", "containerd"][..],
        &["services", "hold", "containerd"],
        &["services", "signal", "containerd", "usr1"],
        &["pid1", "reexec"],
        &["reboot"],
    ] {
        let refused = asker.attempt(words)?;
        ensure!(!refused.status.success(), "{words:?} was done everywhere, and nobody said so");
        let said = String::from_utf8_lossy(&refused.stderr).into_owned();
        ensure!(said.contains("--node") && said.contains("--all"), "{words:?}: {said}");
    }
    let nobody = asker.refusal(VICTIM, &["services", "stop", "nobody"])?;
    ensure!(nobody.contains("there is no service nobody"), "{nobody}");
    Ok(())
}

fn hold(shared: &Shared) -> Result<()> {
    let asker = admin(shared);
    let name = "kube-proxy";
    let before = reaches(&asker, name, "ready")?;
    done(&asker, &["services", "hold", name])?;
    let held = service(&asker, VICTIM, name)?;
    ensure!(held["held"] == true, "{held}");
    // It is wanted down, and stays all the same.
    asker.one(VICTIM, &["services", "stop", name])?;
    std::thread::sleep(Duration::from_secs(2));
    let still = service(&asker, VICTIM, name)?;
    ensure!(still["pid"] == before["pid"] && still["state"] == "ready", "{still}");
    done(&asker, &["services", "release", name])?;
    reaches(&asker, name, "off")?;
    done(&asker, &["services", "start", name])?;
    let back = reaches(&asker, name, "ready")?;
    ensure!(back["held"] == false, "{back}");
    Ok(())
}

fn signal(shared: &Shared) -> Result<()> {
    let asker = admin(shared);
    let before = reaches(&asker, "containerd", "ready")?;
    let since = done(&asker, &["services", "signal", "containerd", "usr1"])?;
    let told = wait::until("the signal is on record", patience(), || {
        let told = record(&asker, "containerd", since)?;
        ensure!(told.iter().any(|(_, cause)| cause.contains("signal")), "{told:?}");
        Ok(told)
    })?;
    ensure!(told.iter().all(|(to, _)| to != "stopping"), "{told:?}");
    let refused = asker.refusal(VICTIM, &["services", "signal", "containerd", "kill"])?;
    ensure!(refused.contains("may not be sent this signal"), "{refused}");
    ensure!(service(&asker, VICTIM, "containerd")?["pid"] == before["pid"], "it did not survive");
    Ok(())
}

fn replace(shared: &Shared) -> Result<()> {
    let asker = admin(shared);
    let processes = || -> Result<Vec<(Value, Value, Value)>> {
        let reply = asker.one(VICTIM, &["services"])?;
        let services = reply["services"].as_array().context("no list of services")?;
        let of =
            |service: &Value| (service["name"].clone(), service["pid"].clone(), service["starts"].clone());
        Ok(services.iter().map(of).collect())
    };
    reaches(&asker, "kubelet", "ready")?;
    let (before, since) = (processes()?, boot_id(&asker, VICTIM)?);
    asker.one(VICTIM, &["pid1", "reexec"])?;
    wait::until("PID 1 says that it goes on", patience(), || {
        let events = asker.text(&["events", "--node", VICTIM])?;
        ensure!(events.contains("PID 1 goes on after replacing itself"), "{events}");
        Ok(())
    })?;
    ensure!(processes()? == before, "{:?} instead of {before:?}", processes()?);
    ensure!(boot_id(&asker, VICTIM)? == since, "the machine was rebooted");
    // And it still supervises.
    done(&asker, &["services", "restart", "kube-proxy"])?;
    reaches(&asker, "kube-proxy", "ready").map(drop)
}

/// One more identity of the cluster.
fn identity(shared: &Shared, name: &str, words: &[&str]) -> Result<Asker> {
    let made = shared.cluster.made();
    let directory = made.to_string_lossy();
    let all = [&["cluster", "client", name, "--cluster", &directory][..], words].concat();
    cli::run(all)?;
    Ok(admin(shared).shows(name))
}

fn strangers(shared: &Shared) -> Result<()> {
    let status = ["status"];
    // The same cluster made once more has another authority, and all else alike.
    let elsewhere = tempfile::tempdir().context("making a directory for another cluster")?;
    let other = elsewhere.path().join("made");
    let plan = shared.cluster.made().join("cluster.toml");
    cli::run(["cluster", "new", &plan.to_string_lossy(), "--output", &other.to_string_lossy()])?;
    let files = shared.cluster.made().join("node-api");
    for extension in ["crt", "key"] {
        copy(&other.join(format!("node-api/admin.{extension}")), &files.join(format!("other.{extension}")))?;
    }
    // Often: whether the machine hangs up before or while it is written to is a race.
    for _ in 0..10 {
        let refused = admin(shared).shows("other").refusal(VICTIM, &status)?;
        ensure!(!refused.contains("no answer"), "{refused}");
    }
    // And whom another authority vouches for is not believed: it could be anybody. Only the files of the same cluster lead to its lab.
    let ca = files.join("ca.crt");
    let own = fs::read(&ca).with_context(|| format!("reading {}", ca.display()))?;
    copy(&other.join("node-api/ca.crt"), &ca)?;
    let unbelieved = admin(shared).refusal(VICTIM, &status);
    fs::write(&ca, own).with_context(|| format!("writing {}", ca.display()))?;
    let unbelieved = unbelieved?;
    ensure!(unbelieved.contains("certificate"), "{unbelieved}");
    admin(shared).one(VICTIM, &status)?;

    let expired = identity(shared, "expired", &["--role", "admin", "--days", "0"])?;
    std::thread::sleep(Duration::from_secs(2));
    let refused = expired.refusal(VICTIM, &status)?;
    ensure!(!refused.contains("no answer"), "{refused}");
    Ok(())
}

fn copy(from: &Path, to: &Path) -> Result<()> {
    fs::copy(from, to).map(drop).with_context(|| format!("copying {} to {}", from.display(), to.display()))
}

fn boot_id(asker: &Asker, machine: &str) -> Result<String> {
    Ok(text(&asker.one(machine, &["boot"])?, "id")?.to_owned())
}

fn roles(shared: &Shared) -> Result<()> {
    let asker = admin(shared);
    let before = boot_id(&asker, VICTIM)?;
    let reader = identity(shared, "reader", &["--role", "reader"])?;
    let operator = identity(shared, "operator", &["--role", "operator", "--days", "1"])?;
    reader.one(VICTIM, &["status"])?;
    for (who, words, needs) in [
        (&reader, &["reboot"][..], "admin"),
        (&reader, &["services", "stop", "kube-proxy"], "operator"),
        (&operator, &["reboot"], "admin"),
        (&operator, &["shutdown"], "admin"),
    ] {
        let refused = who.refusal(VICTIM, words)?;
        ensure!(refused.contains("refused") && refused.contains(needs), "{words:?}: {refused}");
    }
    let restarted = operator.one(VICTIM, &["services", "reset", "kube-proxy"])?;
    ensure!(restarted["changes"].is_boolean(), "{restarted}");
    ensure!(boot_id(&asker, VICTIM)? == before, "the machine has rebooted");
    ensure!(service(&asker, VICTIM, "kube-proxy")?["state"] == "ready", "the service was stopped");
    Ok(())
}

fn reboot(shared: &Shared) -> Result<()> {
    let asker = admin(shared);
    let before = boot_id(&asker, VICTIM)?;
    let reply = asker.one(VICTIM, &["reboot", "--reason", "because\nof a test"])?;
    ensure!(reply["changes"] == true, "{reply}");
    shared.cluster.console_line(VICTIM, &["shutting down (reboot)"], 0, patience())?;
    wait::until("it is up in another boot", patience(), || {
        ensure!(boot_id(&asker, VICTIM)? != before, "it has not rebooted yet");
        let status = asker.one(VICTIM, &["status"])?;
        ensure!(status["stage"] == "up" && status["services_good"] == status["services_wanted"], "{status}");
        Ok(())
    })?;
    let earlier = asker.lines(VICTIM, &["logs", "kubelet", "--boot", "1", "--tail", "3"])?;
    ensure!(earlier.len() == 3, "the lines of the boot before are gone");
    let who = asker.lines(VICTIM, &["logs", "apid", "--boot", "1", "--grep", "because of a test"])?;
    ensure!(
        who.iter().any(|line| line["text"].as_str().is_some_and(|text| text.contains("admin"))),
        "{who:?}"
    );
    Ok(())
}

fn dead(shared: &Shared) -> Result<()> {
    let asker = admin(shared);
    let lab = shared.cluster.lab();
    let dead = ["w1", VICTIM];
    for machine in dead {
        let reply = asker.one(machine, &["shutdown"])?;
        ensure!(reply["changes"] == true, "{reply}");
    }
    wait::until("they are off", patience(), || {
        let status: Value = serde_json::from_str(&cli::run(["lab", "status", lab, "--json"])?)
            .context("reading slipway lab status")?;
        let machines = status["machines"].as_array().context("the lab has no machines")?;
        for name in dead {
            let own =
                machines.iter().find(|machine| machine["name"] == name).context("it is not in the lab")?;
            ensure!(own["power"]["power"] == "off", "{own}");
        }
        Ok(())
    })?;
    let whom = ["--node", "w1,w2,lb1,etcd1", "--timeout", "8"];
    let begun = Instant::now();
    let answers = asker.all(&[&["status"][..], &whom].concat())?;
    let took = begun.elapsed();
    ensure!(took < Duration::from_secs(14), "it took {} s, as if one waited for the other", took.as_secs());
    let [lb, etcd, first, second] = &answers[..] else { anyhow::bail!("{answers:?}") };
    ensure!(lb["reply"]["stage"] == "up" && etcd["reply"]["stage"] == "up", "{answers:?}");
    for (dead, name) in [first, second].into_iter().zip(dead) {
        ensure!(dead["machine"] == name && dead["error"].is_string(), "{dead}");
    }
    for words in [&["status"][..], &["logs", "init", "--tail", "1"]] {
        let all = [words, &whom].concat();
        let begun = Instant::now();
        let mut running = asker.command(&all)?.stdout(Stdio::piped()).spawn().context("starting slipway")?;
        let printed = BufReader::new(running.stdout.take().context("no pipe")?);
        let rows: Vec<(Duration, String)> = printed
            .lines()
            .map(|line| Ok((begun.elapsed(), line.context("reading what it prints")?)))
            .collect::<Result<_>>()?;
        let status = running.wait().context("waiting for slipway")?;
        ensure!(!status.success(), "machines that do not answer are not told by the exit status");
        for machine in ["lb1", "etcd1"] {
            let row = rows.iter().find(|(_, line)| line.starts_with(machine));
            let (at, _) = row.with_context(|| format!("no row of {machine}: {rows:?}"))?;
            ensure!(*at < Duration::from_secs(5), "{machine} is told after {} s: {rows:?}", at.as_secs());
        }
    }
    dead.into_iter().try_for_each(|machine| cli::run(["lab", "machine", "start", lab, machine]).map(drop))
}
