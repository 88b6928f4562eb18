//! The machine's own network: links, addresses, routes, resolvers, and the lease they come from.
//!
//! Pods' interfaces are links of the machine, too. What a firewall lets through is not here.

use crate::wire;

wire! {
    /// A machine's network.
    #[derive(Eq)]
    pub struct Network {
        /// All links.
        pub links: Vec<Link>,
        /// All routes of the main tables.
        pub routes: Vec<Route>,
        /// Servers that names are asked of.
        pub resolvers: Vec<String>,
        /// Servers that the time is asked of.
        pub time_servers: Vec<String>,
        /// The DHCP lease, where the address comes from one.
        pub lease: Option<Lease>,
    }

    /// A link.
    #[derive(Eq)]
    pub struct Link {
        /// Its name.
        pub name: String,
        /// The kernel's number.
        pub index: u32,
        /// Its MAC address, where it has one.
        pub mac: Option<String>,
        /// The kernel's word: `up`, `down`, `unknown`, …
        pub state: String,
        /// The longest packet.
        pub mtu: u32,
        /// Its addresses with their prefix lengths.
        pub addresses: Vec<String>,
        /// Received.
        pub received_bytes: u64,
        /// Sent.
        pub sent_bytes: u64,
        /// Packets that were broken, either way.
        pub errors: u64,
        /// Packets that were dropped, either way.
        pub drops: u64,
    }

    /// A route.
    #[derive(Eq)]
    pub struct Route {
        /// Where to: a network, or `default`.
        pub destination: String,
        /// By whom; nobody when it is on the link itself.
        pub gateway: Option<String>,
        /// By which link.
        pub link: String,
        /// The lower, the better.
        pub metric: u32,
    }

    /// A DHCP lease.
    #[derive(Eq)]
    pub struct Lease {
        /// The address with its prefix length.
        pub address: String,
        /// Who gave it.
        pub server: Option<String>,
        /// The default route that it gave.
        pub gateway: Option<String>,
        /// When it was given or renewed (RFC 3339).
        pub obtained: Option<String>,
        /// For how long.
        pub lifetime_seconds: Option<u64>,
    }
}
