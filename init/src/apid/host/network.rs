//! Links, routes and resolvers, from /sys/class/net, /proc/net/route and /etc/resolv.conf.
//!
//! Addresses come from the kernel's netlink, because it has no text for those of IPv4. Format of the routes: the
//! addresses are in the byte order of the machine, in hexadecimal.

use std::net::Ipv4Addr;

use node_api::reply::{Link, Route};

/// The flag of a route that is in use.
const RTF_UP: u32 = 1;

/// Reads a link; `file` gives the text of a file in its directory.
pub fn link(name: &str, file: impl Fn(&str) -> Option<String>, addresses: Vec<String>) -> Option<Link> {
    let text = |path: &str| file(path).map(|text| text.trim().to_owned());
    let number = |path: &str| text(path).and_then(|text| text.parse::<u64>().ok()).unwrap_or(0);
    let both = |what: &str| {
        number(&format!("statistics/rx_{what}")).saturating_add(number(&format!("statistics/tx_{what}")))
    };
    let no_mac = |mac: &String| mac.is_empty() || mac.bytes().all(|byte| matches!(byte, b'0' | b':'));
    Some(Link {
        name: name.to_owned(),
        index: text("ifindex")?.parse().ok()?,
        mac: text("address").filter(|mac| !no_mac(mac)),
        state: text("operstate").unwrap_or_default(),
        mtu: text("mtu").and_then(|text| text.parse().ok()).unwrap_or(0),
        addresses,
        received_bytes: number("statistics/rx_bytes"),
        sent_bytes: number("statistics/tx_bytes"),
        errors: both("errors"),
        drops: both("dropped"),
    })
}

/// Reads /proc/net/route.
#[must_use]
pub fn routes(text: &str) -> Vec<Route> {
    text.lines().skip(1).filter_map(route).collect()
}

fn route(line: &str) -> Option<Route> {
    let words: Vec<&str> = line.split_whitespace().collect();
    let address = |index: usize| {
        let number = u32::from_str_radix(words.get(index)?, 16).ok()?;
        Some(Ipv4Addr::from(number.to_ne_bytes()))
    };
    let (to, via, mask) = (address(1)?, address(2)?, address(7)?);
    let flags = u32::from_str_radix(words.get(3)?, 16).ok()?;
    if flags & RTF_UP == 0 {
        return None;
    }
    let length = mask.to_bits().leading_ones();
    Some(Route {
        destination: if length == 0 { "default".to_owned() } else { format!("{to}/{length}") },
        gateway: (!via.is_unspecified()).then(|| via.to_string()),
        link: (*words.first()?).to_owned(),
        metric: words.get(6)?.parse().ok()?,
    })
}

/// Reads resolv.conf.
#[must_use]
pub fn resolvers(text: &str) -> Vec<String> {
    text.lines()
        .filter_map(|line| line.strip_prefix("nameserver")?.split_whitespace().next().map(str::to_owned))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    #[cfg(target_endian = "little")]
    fn routes_are_read_in_the_kernels_byte_order() {
        let text = "Iface\tDestination\tGateway\tFlags\tRefCnt\tUse\tMetric\tMask\tMTU\tWindow\tIRTT\n\
                    eth0\t00000000\t01004D0A\t0003\t0\t0\t100\t00000000\t0\t0\t0\n\
                    eth0\t00004D0A\t00000000\t0001\t0\t0\t0\t00FFFFFF\t0\t0\t0\n\
                    down\t00004D0A\t00000000\t0000\t0\t0\t0\t00FFFFFF\t0\t0\t0\nhalf a\n";
        let routes = routes(text);
        assert_eq!(routes.len(), 2);
        assert_eq!(
            (routes[0].destination.as_str(), routes[0].gateway.as_deref()),
            ("default", Some("10.77.0.1"))
        );
        assert_eq!((routes[1].destination.as_str(), routes[1].gateway.as_deref()), ("10.77.0.0/24", None));
        assert_eq!(routes[0].metric, 100);
    }

    #[test]
    fn a_link_is_read_and_one_without_a_number_is_none() {
        let texts = |name: &str| {
            let text = match name {
                "ifindex" => "2\n",
                "address" => "52:54:00:4d:00:15\n",
                "operstate" => "up\n",
                "mtu" => "1500\n",
                "statistics/rx_bytes" => "10\n",
                "statistics/rx_dropped" | "statistics/tx_dropped" => "1\n",
                _ => return None,
            };
            Some(text.to_owned())
        };
        let link = super::link("eth0", texts, vec!["10.77.0.13/24".to_owned()]).unwrap();
        assert_eq!((link.index, link.mtu, link.drops, link.received_bytes), (2, 1500, 2, 10));
        assert!(super::link("x", |_| None, Vec::new()).is_none());
    }

    #[test]
    fn resolvers_are_read_in_order() {
        assert_eq!(resolvers("# x\nnameserver 10.77.0.1\noptions a\nnameserver ::1\n"), ["10.77.0.1", "::1"]);
    }
}
