//! The whole road on this machine: lock file to a pod that answers.
//!
//! Builds what is missing, boots four machines, starts a pod and asks it through its
//! Service and its DNS name. Everything goes through the `slipway` command line, so each
//! step can be repeated by hand; the machines are taken down at the end unless kept.

use std::path::PathBuf;
use std::process::Stdio;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

use crate::run::{loud, root, slipway};
use crate::test::{Driver, build_images};

/// How long the pod may take to answer once the cluster is up, under the slowest driver.
const ANSWER_WITHIN: Duration = Duration::from_secs(300);

/// From the lock file to a pod that answers.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// What boots the machines
    #[arg(long, value_enum, default_value_t)]
    driver: Driver,
    /// Leave the machines running afterwards
    #[arg(long)]
    keep: bool,
}

/// Runs the demo.
///
/// # Errors
/// When a step fails; consoles and logs of the machines are kept and named then.
pub fn run(args: &Args) -> Result<()> {
    build_images(args.driver)?;
    let lab = format!("demo-{}", args.driver.as_str());
    let power_on = Instant::now();
    loud(&mut slipway(&["lab", "up", &lab, "--driver", args.driver.as_str()])?)?;
    let outcome = pod_answers(&lab);
    let took = power_on.elapsed();
    loud(&mut slipway(&["lab", "timeline", &lab])?)?;
    if let Ok(answer) = &outcome {
        println!(
            "the pod answered through its Service, {:.1} s after power-on: {answer}",
            took.as_secs_f64()
        );
    }
    if args.keep {
        println!("the lab {lab} is left running: slipway lab status {lab}");
    } else {
        loud(&mut slipway(&["lab", "down", &lab])?)?;
    }
    outcome.map(|_| ())
}

/// Starts the echo pod and asks it by its Service's DNS name, from inside a pod.
///
/// # Errors
/// It does not answer.
pub fn pod_answers(lab: &str) -> Result<String> {
    let manifest = manifest();
    loud(&mut slipway(&["lab", "kubectl", lab, "--", "apply", "--filename", &manifest.to_string_lossy()])?)?;
    let deadline = Instant::now() + ANSWER_WITHIN;
    loop {
        let output = slipway(&[
            "lab",
            "kubectl",
            lab,
            "--",
            "exec",
            "deploy/echo",
            "--",
            "/http-echo",
            "get",
            "http://echo.default.svc.cluster.local/",
        ])?
        .stderr(Stdio::piped())
        .output()
        .context("asking the pod")?;
        if output.status.success() {
            return Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned());
        }
        if Instant::now() > deadline {
            bail!("the pod did not answer: {}", String::from_utf8_lossy(&output.stderr).trim());
        }
        std::thread::sleep(Duration::from_millis(200));
    }
}

/// The demo's Deployment and Service.
pub fn manifest() -> PathBuf {
    root().join("tests/xtask/demo.yaml")
}
