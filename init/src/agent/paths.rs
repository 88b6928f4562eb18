//! Where the agents read and write: the one list of it.
//!
//! The service specs in profiles/services name some of these too; what is on tmpfs is
//! below /run, what survives a reboot below /state, what services fill below /var.

/// The image's trusted config-signing keys, one `.pub` file each.
pub const TRUSTED_KEYS: &str = "/usr/share/slipway/trusted-keys";
/// The image's services, laid out.
pub const SERVICES: &str = "/usr/share/slipway/services.table";
/// The image's role and version in the words of the console: PID 1 shows them, and parses no text.
pub const LABEL: &str = "/usr/share/slipway/label";
/// What the image says of itself, for agents.
pub const IMAGE: &str = "/usr/share/slipway/image.toml";

/// Whom the machine is bound to, and the highest serial it has accepted.
pub const BINDING: &str = "/state/config/binding.toml";
/// The config that was accepted last, as it arrived.
pub const ACCEPTED: &str = "/state/config/accepted.slipway";
/// Certificates and keys that outlive a reboot.
pub const KEPT_LEAVES: &str = "/state/pki/leaves.toml";
/// Where the kubelet hears that the machine is about to end.
pub const LOGIN: &str = "/run/slipway/login/socket";
/// The kubelet's identity.
pub const KUBELET_STATE: &str = "/state/kubelet";
/// Exists once this machine has been an etcd member.
pub const ETCD_MEMBER: &str = "/state/pki/etcd-member";
/// When PID 1 has rebooted the machine.
pub const REBOOTS: &str = "/state/reboots.toml";
/// Which drills have been done.
pub const DRILLS: &str = "/state/drill/done.toml";
/// etcd's data.
pub const ETCD_DATA: &str = "/var/lib/etcd";

/// The accepted config's payload, for the few that need its secrets.
pub const MACHINE: &str = "/run/slipway/config/machine.toml";
/// The same without its secrets and with its source, for everybody.
pub const MACHINE_REDACTED: &str = "/run/slipway/config/redacted.toml";
/// The DHCP lease in use, for everybody.
pub const LEASE: &str = "/run/slipway/network/lease.toml";
/// What the node API shows and believes; its key is apid's.
pub const API: &str = "/run/slipway/api";
/// Exists once the cluster's controllers have been seen to run.
pub const CONTROLLERS_RUN: &str = "/run/slipway/cluster/controllers-run";
/// The machine's id, which /etc points to.
pub const MACHINE_ID: &str = "/run/slipway/machine-id";
/// Files about names that /etc points to; the network agent's.
pub const ETC: &str = "/run/slipway/etc";
/// SNTP servers, the config's or the lease's, one per line.
pub const TIME_SERVERS: &str = "/run/slipway/network/time-servers";
/// What the config decides about services, a file each.
pub const OVERLAYS: &str = "/run/slipway/overlays";
/// Certificates and keys as services read them.
pub const PKI: &str = "/run/slipway/pki";
/// haproxy's configuration.
pub const HAPROXY: &str = "/run/slipway/haproxy";
/// Configuration of Kubernetes' parts.
pub const KUBERNETES: &str = "/run/kubernetes";
