//! Whom to ask, as people say it: a cluster, perhaps some of its machines, perhaps another identity than the admin's.
//!
//! Without a cluster, the only running lab is meant; machines of a lab are reached by its ports on this host. Whoever
//! only looks sees all machines; what changes them wants them named.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context as _, Result, bail};

use crate::cmd::lab::reach::{self, Reachable};
use crate::node::Target;

/// Whom to ask.
#[derive(Debug, clap::Args)]
#[command(next_help_heading = "Machines")]
pub struct Whom {
    /// The cluster's directory; the only running lab's without it
    #[arg(long, value_name = "DIR", env = "SLIPWAY_CLUSTER")]
    cluster: Option<PathBuf>,
    /// Only these machines
    #[arg(short, long, value_name = "NAME", value_delimiter = ',')]
    node: Vec<String>,
    /// The certificate to show; the admin's without it, or the only one there is
    #[arg(long, value_name = "NAME")]
    identity: Option<String>,
    /// How long a machine may take to be reached, in seconds
    #[arg(long, value_name = "SECONDS", default_value_t = 5.0, value_parser = seconds)]
    timeout: f64,
}

/// Whom to have changed: nobody changes all machines by leaving something out.
#[derive(Debug, clap::Args)]
pub struct Named {
    /// All machines of the cluster
    #[arg(long, conflicts_with = "node", help_heading = "Machines")]
    all: bool,
    #[command(flatten)]
    whom: Whom,
}

impl Named {
    /// The machines that were named, or all of them if that was said.
    pub(super) fn whom(&self) -> Result<&Whom> {
        if !self.all && self.whom.node.is_empty() {
            bail!("on which machines? name them with --node, or say --all");
        }
        Ok(&self.whom)
    }
}

fn seconds(text: &str) -> Result<f64, String> {
    match text.parse() {
        Ok(seconds) if (0.01..=3600.0).contains(&seconds) => Ok(seconds),
        _ => Err("a number from 0.01 to 3600 is wanted".to_owned()),
    }
}

impl Whom {
    /// The machines, and how to show oneself to them.
    pub(super) fn target(&self) -> Result<Target> {
        let labs = reach::running()?;
        let (cluster, lab) = match &self.cluster {
            Some(cluster) => (cluster.clone(), labs.iter().find(|lab| is_same(&lab.cluster, cluster))),
            None => {
                let lab = only(&labs)?;
                (lab.cluster.clone(), Some(lab))
            }
        };
        let elsewhere = lab.map_or_else(BTreeMap::new, |lab| lab.machines.clone());
        Target::load(&cluster, self.identity.as_deref(), &self.node, &elsewhere)
    }

    /// How long a machine may take to be reached.
    pub(super) fn within(&self) -> Duration {
        Duration::from_secs_f64(self.timeout)
    }
}

fn only(labs: &[Reachable]) -> Result<&Reachable> {
    match labs {
        [only] => Ok(only),
        [] => bail!(
            "no cluster: name its directory with --cluster or SLIPWAY_CLUSTER, or boot a lab with slipway lab up"
        ),
        several => {
            let lines: Vec<String> = several
                .iter()
                .map(|lab| format!("\n  --cluster {}  (lab {})", lab.cluster.display(), lab.name))
                .collect();
            bail!("several labs are running: name one{}", lines.concat())
        }
    }
}

/// Whether two paths lead to the same directory.
fn is_same(one: &Path, other: &Path) -> bool {
    let found = |path: &Path| path.canonicalize().with_context(|| format!("finding {}", path.display()));
    matches!((found(one), found(other)), (Ok(one), Ok(other)) if one == other)
}
