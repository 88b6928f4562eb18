//! The machine config as the config agent shows it to everybody: without its secrets.
//!
//! The first line says where it was found; the rest is the payload's tables. Only the header is looked into.

use jiff::Timestamp;
use machine_config::machine::Header;
use node_api::reply::Config;
use serde::Deserialize;

/// How the first line begins.
const FROM: &str = "# from ";

/// Reads it.
#[must_use]
pub fn parse(text: &str) -> Option<Config> {
    /// The rest may be of a newer schema, and is shown as it is.
    #[derive(Deserialize)]
    struct Shown {
        header: Header,
        cluster: Inventory,
    }
    #[derive(Deserialize)]
    struct Inventory {
        machines: Vec<machine_config::machine::Machine>,
    }
    let (first, payload) = text.split_once('\n')?;
    let Shown { header, cluster } = toml::from_str(payload).ok()?;
    let role = cluster.machines.iter().find(|machine| machine.name == header.machine)?.role;
    Some(Config {
        machine: header.machine.to_string(),
        cluster: header.cluster.to_string(),
        role: role.to_string(),
        serial: header.serial,
        source: first.strip_prefix(FROM)?.to_owned(),
        issued: header.issued.to_string(),
        expires: header.expires.to_string(),
        text: payload.to_owned(),
    })
}

/// Seconds until a config ends, negative afterwards.
#[must_use]
pub fn seconds_left(config: &Config, now: Timestamp) -> Option<i64> {
    Some(config.expires.parse::<Timestamp>().ok()?.as_second().saturating_sub(now.as_second()))
}

#[cfg(test)]
mod tests {
    use machine_config::Role;

    use super::*;
    use crate::agent::fixture;

    #[test]
    fn a_shown_config_tells_whose_it_is_and_no_secret() {
        let payload = toml::to_string(&fixture::config(Role::Worker)).unwrap();
        let text = format!("# from /dev/vdc\n{}", machine_config::redact::redacted(&payload).unwrap());
        let config = parse(&text).unwrap();
        assert_eq!((config.machine.as_str(), config.role.as_str(), config.serial), ("w1", "worker", 1));
        assert_eq!(config.source, "/dev/vdc");
        assert!(!config.text.contains("PRIVATE KEY") && config.text.contains("10.244.0.0/16"));
        assert_eq!(seconds_left(&config, fixture::made()), Some(24 * 365 * 3600));
        assert!(parse("").is_none() && parse("# from x\nbroken = ").is_none());
    }
}
