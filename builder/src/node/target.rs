//! Whom to ask, and as whom: a cluster's `node-api/` directory, read.
//!
//! Machines come from `machines.toml`, the identity from a pair of files beside it. Where a machine is may be another
//! place than its address says, when it is in a lab: the caller passes that in.

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Context, Result, anyhow, bail};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ClientConfig, RootCertStore};

use crate::cluster::node_api::{ADMIN, CA_FILE, DIRECTORY, Inventory, MACHINES_FILE};

/// A machine that can be asked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Machine {
    /// Its name, which its certificate must bear.
    pub name: String,
    /// Its role.
    pub role: String,
    /// Where it is.
    pub at: SocketAddr,
}

/// Machines, and how to show oneself to them.
#[derive(Debug, Clone)]
pub struct Target {
    /// The cluster's name.
    pub cluster: String,
    /// Whom to ask.
    pub machines: Vec<Machine>,
    /// As whom.
    pub tls: Arc<ClientConfig>,
}

impl Target {
    /// Reads a cluster's client files; only `wanted` machines, if any are named.
    ///
    /// # Errors
    /// A file is missing or not what it should be, or a machine is not of the cluster.
    pub fn load(
        cluster: &Path,
        identity: Option<&str>,
        wanted: &[String],
        elsewhere: &BTreeMap<String, SocketAddr>,
    ) -> Result<Self> {
        let directory = cluster.join(DIRECTORY);
        let path = directory.join(MACHINES_FILE);
        let text = std::fs::read_to_string(&path).with_context(|| {
            format!("reading {} (slipway cluster new and slipway cluster client make it)", path.display())
        })?;
        let inventory: Inventory = toml::from_str(&text)
            .map_err(|error| anyhow!("{error}"))
            .with_context(|| format!("reading {}", path.display()))?;
        let name = match identity {
            Some(name) => name.to_owned(),
            None => only_identity(&directory)?,
        };
        let tls = config(&directory.join(CA_FILE), &directory.join(&name))?;
        Ok(Self {
            cluster: inventory.cluster.to_string(),
            machines: choose(&inventory, wanted, elsewhere)?,
            tls: Arc::new(tls),
        })
    }
}

fn choose(
    inventory: &Inventory,
    wanted: &[String],
    elsewhere: &BTreeMap<String, SocketAddr>,
) -> Result<Vec<Machine>> {
    for name in wanted {
        if !inventory.machines.iter().any(|machine| machine.name.as_str() == name) {
            let names: Vec<&str> = inventory.machines.iter().map(|machine| machine.name.as_str()).collect();
            bail!("cluster {} has no machine named {name} (it has {})", inventory.cluster, names.join(", "));
        }
    }
    let chosen = inventory
        .machines
        .iter()
        .filter(|machine| wanted.is_empty() || wanted.iter().any(|name| name == machine.name.as_str()));
    Ok(chosen
        .map(|machine| {
            let there = SocketAddr::new(IpAddr::V4(machine.address), node_api::PORT);
            Machine {
                name: machine.name.to_string(),
                role: machine.role.to_string(),
                at: elsewhere.get(machine.name.as_str()).copied().unwrap_or(there),
            }
        })
        .collect())
}

/// The admin, or else the only identity that there is.
fn only_identity(directory: &Path) -> Result<String> {
    let entries = std::fs::read_dir(directory).with_context(|| format!("reading {}", directory.display()))?;
    let names: Vec<String> = entries
        .filter_map(|entry| Some(entry.ok()?.file_name().to_str()?.strip_suffix(".key")?.to_owned()))
        .collect();
    match names.as_slice() {
        names if names.iter().any(|name| name == ADMIN) => Ok(ADMIN.to_owned()),
        [only] => Ok(only.clone()),
        [] => bail!("{} holds no identity (make one with: slipway cluster client)", directory.display()),
        several => bail!(
            "{} holds several identities: choose with --identity {}",
            directory.display(),
            several.join("|")
        ),
    }
}

fn config(ca: &Path, identity: &Path) -> Result<ClientConfig> {
    let certificates = |path: &Path| -> Result<Vec<CertificateDer<'static>>> {
        let bytes = std::fs::read(path).with_context(|| format!("reading {}", path.display()))?;
        let found = CertificateDer::pem_slice_iter(&bytes).collect::<Result<Vec<_>, _>>();
        found.map_err(|_| anyhow!("{} holds no usable certificate", path.display()))
    };
    let with = |extension: &str| PathBuf::from(format!("{}.{extension}", identity.display()));
    let mut roots = RootCertStore::empty();
    for certificate in certificates(ca)? {
        roots.add(certificate).with_context(|| format!("reading {}", ca.display()))?;
    }
    let key = std::fs::read(with("key")).with_context(|| format!("reading {}", with("key").display()))?;
    let key = PrivateKeyDer::from_pem_slice(&key)
        .map_err(|_| anyhow!("{} holds no usable private key", with("key").display()))?;
    let mut config = ClientConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
        .with_protocol_versions(&[&rustls::version::TLS13])
        .context("preparing TLS")?
        .with_root_certificates(roots)
        .with_client_auth_cert(certificates(&with("crt"))?, key)
        .with_context(|| format!("using the identity {}", identity.display()))?;
    config.alpn_protocols = vec![b"h2".to_vec()];
    Ok(config)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cluster::Plan;

    #[test]
    fn machines_are_chosen_by_name_and_a_lab_says_where_they_are() {
        let plan = Plan::parse(include_str!("../cluster/demo.toml")).unwrap();
        let inventory = Inventory::of(&plan);
        let here: SocketAddr = "127.0.0.1:4000".parse().unwrap();
        let elsewhere = BTreeMap::from([("w1".to_owned(), here)]);
        let all = choose(&inventory, &[], &elsewhere).unwrap();
        assert_eq!(all.len(), plan.machines.len());
        let one = choose(&inventory, &["w1".to_owned()], &elsewhere).unwrap();
        assert_eq!((one.len(), one[0].at), (1, here));
        let real = choose(&inventory, &["w1".to_owned()], &BTreeMap::new()).unwrap();
        assert_eq!(real[0].at, "10.77.0.13:7443".parse().unwrap());
        assert!(choose(&inventory, &["w9".to_owned()], &elsewhere).unwrap_err().to_string().contains("w9"));
    }
}
