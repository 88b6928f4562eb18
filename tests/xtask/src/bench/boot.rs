//! `cargo xtask bench boot`: a cluster from power-on to a pod's answer.
//!
//! Boots the demo's machines, asks a pod, and prints as a table and as JSON: when each
//! machine reached what, when the pod first answered, how large the artifacts are against
//! their budgets, what our own processes take of each machine's memory, and how long a build
//! takes when nothing and when one file changed.
//! Absolute times are this machine's; the goals beside them are those of the issue.

use std::path::PathBuf;
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};

use crate::demo;
use crate::run::{loud, root, slipway, slipway_path};
use crate::test::{Driver, ROLES, build_images};

/// What boots, and how often.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// What boots the machines
    #[arg(long, value_enum, default_value_t)]
    driver: Driver,
    /// How many times; the medians are printed
    #[arg(long, default_value_t = 3)]
    runs: usize,
}

/// Runs the benchmark.
///
/// # Errors
/// A step fails.
pub fn run(args: &Args) -> Result<()> {
    build_images(args.driver)?;
    let builds = builds()?;
    let sizes = sizes()?;
    let mut answers = Vec::new();
    let mut boots = Vec::new();
    for _ in 0..args.runs.max(1) {
        let (answer, timeline) = boot(args.driver)?;
        answers.push(answer);
        boots.push(timeline);
    }
    answers.sort_by(f64::total_cmp);
    let answer = answers.get(answers.len() / 2).copied().unwrap_or_default();
    table(&sizes, &builds, &boots, answer);
    println!(
        "{}",
        json!({ "driver": args.driver.as_str(), "pod-answered-seconds": answers, "boots": boots, "sizes": sizes,
            "builds": builds })
    );
    Ok(())
}

/// One boot: seconds from power-on to the pod's answer, and the machines' time lines.
fn boot(driver: Driver) -> Result<(f64, Value)> {
    let lab = format!("bench-{}", driver.as_str());
    let answer = demo::boot(&lab, driver).map(|answer| answer.after.as_secs_f64());
    let timeline = complete_timeline(&lab);
    loud(&mut slipway(&["lab", "down", &lab])?)?;
    Ok((answer?, timeline?))
}

/// The machines' time lines, once each has measured its own processes: a moment after it is up.
fn complete_timeline(lab: &str) -> Result<Value> {
    let deadline = Instant::now() + Duration::from_secs(30);
    loop {
        let text = output(&["--json", "lab", "timeline", lab])?;
        let timeline: Value = serde_json::from_str(&text).context("reading slipway lab timeline")?;
        let measured = timeline["machines"]
            .as_array()
            .is_some_and(|machines| machines.iter().all(|machine| machine["own-memory"].is_object()));
        if measured || Instant::now() > deadline {
            return Ok(timeline);
        }
        std::thread::sleep(Duration::from_millis(500));
    }
}

/// Seconds of a build when nothing changed, and when one file of one role did.
fn builds() -> Result<Value> {
    let mut all = vec!["build", "--no-kernels"];
    all.extend(ROLES);
    let unchanged = median(3, || timed(&all))?;
    let mut changed = serde_json::Map::new();
    for (role, service) in [("lb", "haproxy"), ("worker", "flannel")] {
        changed.insert(role.to_owned(), json!(one_file_changed(role, service)?));
    }
    Ok(json!({ "unchanged-seconds": unchanged, "one-file-changed-seconds": changed }))
}

/// Seconds of a role's build after a change of its service's description, which goes into the
/// image. A build that makes the same image has not been measured, and is an error.
fn one_file_changed(role: &str, service: &str) -> Result<f64> {
    let build = ["build", "--no-kernels", role];
    let file = root().join(format!("profiles/services/{service}.toml"));
    let before = std::fs::read_to_string(&file).with_context(|| format!("reading {}", file.display()))?;
    let stamp =
        std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default().as_nanos();
    let mut n = 0;
    let mut image = root_hash(role)?;
    let seconds = median(3, || {
        n += 1;
        let changed = before.replacen("description = \"", &format!("description = \"{stamp} {n} "), 1);
        std::fs::write(&file, changed).with_context(|| format!("writing {}", file.display()))?;
        let seconds = timed(&build)?;
        let made = root_hash(role)?;
        ensure!(made != image, "a changed {} left the image of {role} as it was", file.display());
        image = made;
        Ok(seconds)
    });
    std::fs::write(&file, before).with_context(|| format!("restoring {}", file.display()))?;
    let seconds = seconds?;
    loud(&mut slipway(&build)?)?;
    Ok(seconds)
}

fn root_hash(role: &str) -> Result<Value> {
    let path = root().join("out").join(role).join("artifacts.json");
    let text = std::fs::read_to_string(&path).with_context(|| format!("reading {}", path.display()))?;
    let artifacts: Value =
        serde_json::from_str(&text).with_context(|| format!("reading {}", path.display()))?;
    artifacts.get("root-hash").cloned().with_context(|| format!("{} has no root hash", path.display()))
}

fn median(times: usize, mut measure: impl FnMut() -> Result<f64>) -> Result<f64> {
    let mut seconds = (0..times).map(|_| measure()).collect::<Result<Vec<f64>>>()?;
    seconds.sort_by(f64::total_cmp);
    Ok(seconds.get(seconds.len() / 2).copied().unwrap_or_default())
}

fn timed(args: &[&str]) -> Result<f64> {
    let mut command = Command::new(slipway_path());
    command.args(args).current_dir(root());
    let started = Instant::now();
    loud(&mut command)?;
    Ok(started.elapsed().max(Duration::from_millis(1)).as_secs_f64())
}

fn output(args: &[&str]) -> Result<String> {
    let output = slipway(args)?.output().context("starting slipway")?;
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

/// Each role's size report.
fn sizes() -> Result<Vec<Value>> {
    ROLES
        .iter()
        .map(|role| {
            let path: PathBuf = root().join("out").join(role).join("sizes.json");
            let text = std::fs::read_to_string(&path).with_context(|| format!("reading {}", path.display()))?;
            let report: Value = serde_json::from_str(&text).with_context(|| format!("reading {}", path.display()))?;
            Ok(json!({ "role": role, "slot": report["slot"], "budget": report["budget"], "initramfs": report["initramfs"] }))
        })
        .collect()
}

fn table(sizes: &[Value], builds: &Value, boots: &[Value], answer: f64) {
    let mib = |value: &Value| value.as_f64().unwrap_or_default() / f64::from(1 << 20);
    println!("\n{:<16}{:>12}{:>12}", "artifact", "slot MiB", "budget MiB");
    for size in sizes {
        let role = size["role"].as_str().unwrap_or_default();
        println!("{role:<16}{:>12.1}{:>12.0}", mib(&size["slot"]), mib(&size["budget"]));
    }
    println!(
        "\nbuild, nothing changed: {:.2} s (goal 1)",
        builds["unchanged-seconds"].as_f64().unwrap_or_default()
    );
    for (role, seconds) in builds["one-file-changed-seconds"].as_object().into_iter().flatten() {
        println!("build of {role}, one file changed: {:.2} s (goal 5)", seconds.as_f64().unwrap_or_default());
    }
    if let Some(machines) = boots.last().and_then(|boot| boot["machines"].as_array()) {
        println!("\nlast boot, seconds since power-on");
        for machine in machines {
            let marks = machine["marks"].as_array().map(Vec::as_slice).unwrap_or_default();
            let marks = marks.iter().map(|mark| {
                format!(
                    "{} {:.2}",
                    mark["what"].as_str().unwrap_or_default(),
                    mark["seconds"].as_f64().unwrap_or_default()
                )
            });
            println!(
                "{:<8}{}",
                machine["machine"].as_str().unwrap_or_default(),
                marks.collect::<Vec<_>>().join(", ")
            );
            match machine["own-memory"]["mib"].as_f64() {
                Some(mib) => println!("        own processes {mib:.1} MiB (goal 25)"),
                None => println!("        own processes: not measured"),
            }
        }
    }
    println!("\nthe pod answered {answer:.1} s after power-on (goal: 20 under uml, 240 under TCG)");
}
