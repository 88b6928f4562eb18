//! The admin's kubeconfig for use from the host: the same identity, by way of the lab's forwarded port.
//!
//! The certificate that the API shows is for the endpoint, not for the host's loopback, so the copy says by which name
//! to check it. Pure: text in, text out.

use std::net::SocketAddr;

use anyhow::{Context, Result, bail};
use serde_json::{Value, json};

/// Replaces where the API is dialled; whom it has to be stays what it was.
///
/// # Errors
/// The text is no kubeconfig of ours.
pub fn through(kubeconfig: &str, forward: SocketAddr) -> Result<String> {
    let mut config: Value = serde_json::from_str(kubeconfig).context("reading the admin's kubeconfig")?;
    let clusters = config.get_mut("clusters").and_then(Value::as_array_mut);
    let Some(clusters) = clusters.filter(|clusters| !clusters.is_empty()) else {
        bail!("the admin's kubeconfig names no cluster");
    };
    for entry in clusters {
        let cluster = entry.get_mut("cluster").and_then(Value::as_object_mut);
        let cluster = cluster.context("the admin's kubeconfig has an empty cluster")?;
        let server = cluster.get("server").and_then(Value::as_str);
        let host = server.and_then(host_of).context("the admin's kubeconfig names no server")?.to_owned();
        cluster.insert("server".to_owned(), json!(format!("https://{forward}")));
        cluster.insert("tls-server-name".to_owned(), json!(host));
    }
    Ok(format!("{config:#}\n"))
}

/// The host of `https://HOST:PORT`.
fn host_of(url: &str) -> Option<&str> {
    let rest = url.strip_prefix("https://")?;
    let authority = rest.split('/').next()?;
    Some(authority.rsplit_once(':').map_or(authority, |(host, _)| host)).filter(|host| !host.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_server_is_dialled_elsewhere_and_still_has_to_be_itself() {
        let before = r#"{"clusters":[{"name":"demo","cluster":{"server":"https://10.77.0.10:6443","certificate-authority-data":"QQ=="}}],"users":[1]}"#;
        let after: Value =
            serde_json::from_str(&through(before, "127.0.0.1:4567".parse().unwrap()).unwrap()).unwrap();
        let cluster = &after["clusters"][0]["cluster"];
        assert_eq!(cluster["server"], "https://127.0.0.1:4567");
        assert_eq!(cluster["tls-server-name"], "10.77.0.10");
        assert_eq!(cluster["certificate-authority-data"], "QQ==");
        assert_eq!(after["users"][0], 1);
    }

    #[test]
    fn what_is_no_kubeconfig_is_refused() {
        let forward = "127.0.0.1:1".parse().unwrap();
        for text in ["", "{}", r#"{"clusters":[]}"#, r#"{"clusters":[{"cluster":{"server":"http://x"}}]}"#] {
            assert!(through(text, forward).is_err(), "{text}");
        }
    }
}
