//! Links, routes and resolvers, from /sys/class/net, /proc/net/route, /proc/net/ipv6_route and /etc/resolv.conf.
//!
//! Addresses come from the kernel's netlink, because it has no text for those of IPv4. Routes are in hexadecimal, of
//! IPv4 in the machine's byte order, of IPv6 in the network's, and there with much that nobody would call a route.

use std::net::{Ipv4Addr, Ipv6Addr};

use node_api::reply::{Link, Route};

/// The flag of a route that is in use (linux/route.h).
const RTF_UP: u32 = 1;
/// Flags of what is in IPv6's table besides routes (linux/ipv6_route.h): the machine's own addresses, those that it
/// shares, what was learned about one destination.
const RTF_NO_ROUTE: u32 = 0x8000_0000 | 0x0010_0000 | 0x0100_0000;

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

/// Reads /proc/net/ipv6_route.
#[must_use]
pub fn routes6(text: &str) -> Vec<Route> {
    text.lines().filter_map(route6).collect()
}

/// Destination, its length, source, its length, gateway, metric, two counters, flags, link.
fn route6(line: &str) -> Option<Route> {
    let words: Vec<&str> = line.split_whitespace().collect();
    let number = |index: usize| u32::from_str_radix(words.get(index)?, 16).ok();
    let address = |index: usize| u128::from_str_radix(words.get(index)?, 16).ok().map(Ipv6Addr::from_bits);
    let (to, length, via, flags) = (address(0)?, number(1)?, address(4)?, number(8)?);
    if flags & RTF_UP == 0 || flags & RTF_NO_ROUTE != 0 || to.is_multicast() {
        return None;
    }
    Some(Route {
        destination: if length == 0 { "default".to_owned() } else { format!("{to}/{length}") },
        gateway: (!via.is_unspecified()).then(|| via.to_string()),
        link: (*words.get(9)?).to_owned(),
        metric: number(5)?,
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
    fn routes_of_ipv6_are_read_without_what_is_none() {
        // A neighbour's network, a default, two of the machine's own addresses, multicast, a default that leads nowhere.
        let text = "\
fe800000000000000000000000000000 40 00000000000000000000000000000000 00 00000000000000000000000000000000 00000100 00000001 00000000 00000001     eth0
00000000000000000000000000000000 00 00000000000000000000000000000000 00 fe800000000000000000000000000001 00000400 00000001 00000000 00450003     eth0
00000000000000000000000000000001 80 00000000000000000000000000000000 00 00000000000000000000000000000000 00000000 00000003 00000000 80200001       lo
fe800000000000005054 00 x 00
fe80000000000000505400fffe4d0015 80 00000000000000000000000000000000 00 00000000000000000000000000000000 00000000 00000002 00000000 80200001     eth0
ff000000000000000000000000000000 08 00000000000000000000000000000000 00 00000000000000000000000000000000 00000100 00000003 00000000 00000001     eth0
00000000000000000000000000000000 00 00000000000000000000000000000000 00 00000000000000000000000000000000 ffffffff 00000001 00000000 00200200       lo
";
        let routes = routes6(text);
        let told: Vec<(&str, Option<&str>, &str, u32)> = routes
            .iter()
            .map(|route| {
                (route.destination.as_str(), route.gateway.as_deref(), route.link.as_str(), route.metric)
            })
            .collect();
        assert_eq!(told, [("fe80::/64", None, "eth0", 256), ("default", Some("fe80::1"), "eth0", 1024)]);
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
