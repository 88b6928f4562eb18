//! The whole road on this machine: lock file to a pod that answers.
//!
//! Builds what is missing, boots four machines, starts a pod and asks it through its
//! Service and its DNS name. Everything goes through the `slipway` command line, so each
//! step can be repeated by hand; the machines are taken down at the end unless kept.

use std::path::PathBuf;
use std::sync::OnceLock;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, anyhow, bail};

use crate::run::{loud, root, slipway};
use crate::test::{Driver, build_images};

/// How long the pod may take to answer once the machines are up, under the slowest driver.
const ANSWER_WITHIN: Duration = Duration::from_secs(300);

/// Between two questions that were not answered.
const ASK_AGAIN: Duration = Duration::from_millis(300);

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
    let outcome = boot(&lab, args.driver);
    loud(&mut slipway(&["lab", "timeline", &lab])?)?;
    if let Ok(answer) = &outcome {
        println!(
            "the pod answered through its Service, {:.1} s after power-on: {}",
            answer.after.as_secs_f64(),
            answer.said
        );
    }
    if args.keep {
        println!("the lab {lab} is left running: slipway lab status {lab}");
    } else {
        loud(&mut slipway(&["lab", "down", &lab])?)?;
    }
    outcome.map(|_| ())
}

/// A pod's first answer.
pub struct Answer {
    /// What it said.
    pub said: String,
    /// How long after power-on.
    pub after: Duration,
}

/// Boots the four machines, and asks for a pod as soon as somebody listens.
///
/// # Errors
/// The machines do not come up, or the pod does not answer.
pub fn boot(lab: &str, driver: Driver) -> Result<Answer> {
    let mut up = slipway(&["lab", "up", lab, "--driver", driver.as_str()])?;
    let came_up = OnceLock::new();
    // Two at once: the table of the machines goes on while the pod is asked for.
    std::thread::scope(|scope| {
        let power_on = Instant::now();
        let up = scope.spawn(|| {
            let outcome = loud(&mut up);
            came_up.get_or_init(|| outcome.is_ok());
            outcome
        });
        let said = first_answer(lab, || came_up.get().copied());
        let after = power_on.elapsed();
        up.join().map_err(|_| anyhow!("waiting for slipway lab up"))??;
        Ok(Answer { said: said?, after })
    })
}

/// Makes the echo pod and asks it by its Service's DNS name, from inside a pod, until it answers.
/// Once the machines are up, only so much longer; once they have failed to come up, no longer.
fn first_answer(lab: &str, came_up: impl Fn() -> Option<bool>) -> Result<String> {
    let manifest = manifest().to_string_lossy().into_owned();
    // Each question takes CPU from the machines: the schema is not asked for, since the manifest
    // is ours, and one command waits for the pod instead of many that ask.
    let steps: [&[&str]; 3] = [
        &["apply", "--validate=ignore", "--filename", &manifest],
        &["rollout", "status", "deploy/echo", "--timeout=60s"],
        &["exec", "deploy/echo", "--", "/http-echo", "get", "http://echo.default.svc.cluster.local/"],
    ];
    let mut said = String::new();
    let mut deadline = None;
    for step in steps {
        loop {
            let mut command = slipway(&["lab", "kubectl", lab, "--"])?;
            let output = command.args(step).output().context("starting slipway lab kubectl")?;
            if output.status.success() {
                said = String::from_utf8_lossy(&output.stdout).trim().to_owned();
                break;
            }
            match came_up() {
                Some(false) => bail!("the machines did not come up"),
                Some(true) if deadline.is_none() => deadline = Some(Instant::now() + ANSWER_WITHIN),
                _ => {}
            }
            if deadline.is_some_and(|deadline| Instant::now() > deadline) {
                bail!("the pod did not answer: {}", String::from_utf8_lossy(&output.stderr).trim());
            }
            std::thread::sleep(ASK_AGAIN);
        }
    }
    Ok(said)
}

/// The demo's Deployment and Service.
fn manifest() -> PathBuf {
    root().join("tests/xtask/demo.yaml")
}
