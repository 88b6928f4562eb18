//! The table of everything that a machine can be asked: method, path, role, and whether the answer streams.
//!
//! The server routes by it, the client asks by it, the schema is written from it: what is not in the table does not
//! exist. A path has at most one variable part, `{service}`.

use crate::role::Role;

/// A method of HTTP.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Method {
    /// It changes nothing.
    Get,
    /// It does something.
    Post,
}

impl Method {
    /// Its word.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Get => "GET",
            Self::Post => "POST",
        }
    }
}

/// What an answer looks like.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Shape {
    /// One JSON document.
    Document,
    /// One JSON document per line; with `follow`, until the client ends it.
    Lines,
    /// Prometheus' text.
    Metrics,
}

/// A row of the table.
#[derive(Debug, Clone, Copy)]
pub struct Route {
    /// What is asked.
    pub verb: Verb,
    /// How.
    pub method: Method,
    /// Where; `{service}` stands for a name.
    pub path: &'static str,
    /// Who may, and everybody above.
    pub role: Role,
    /// What comes back.
    pub shape: Shape,
    /// One line for people.
    pub about: &'static str,
}

macro_rules! table {
    ($($verb:ident: $method:ident $path:literal, $role:ident, $shape:ident, $about:literal;)*) => {
        /// Everything that a machine can be asked.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum Verb { $(#[doc = $about] $verb,)* }

        /// The table.
        pub const TABLE: &[Route] = &[$(Route {
            verb: Verb::$verb,
            method: Method::$method,
            path: $path,
            role: Role::$role,
            shape: Shape::$shape,
            about: $about,
        },)*];

        impl Verb {
            /// Its row of the table.
            #[must_use]
            pub const fn route(self) -> &'static Route {
                // The rows are in the order of the variants.
                &TABLE[self as usize]
            }
        }
    };
}

table! {
    Version: Get "/v1/version", Reader, Document, "What runs on the machine";
    Status: Get "/v1/status", Reader, Document, "How the machine is";
    Services: Get "/v1/services", Reader, Document, "All services";
    Service: Get "/v1/services/{service}", Reader, Document, "One service";
    Explain: Get "/v1/services/{service}/explain", Reader, Document, "Why a service is not ready, link by link";
    Start: Post "/v1/services/{service}/start", Operator, Document, "Wants a service up, with a fresh budget";
    Stop: Post "/v1/services/{service}/stop", Operator, Document, "Wants a service down";
    Restart: Post "/v1/services/{service}/restart", Operator, Document, "Stops and starts a service";
    Reload: Post "/v1/services/{service}/reload", Operator, Document, "Has a service take up changed files";
    Reset: Post "/v1/services/{service}/reset", Operator, Document, "Forgets a service's failures and ends its pause";
    Signal: Post "/v1/services/{service}/signal", Operator, Document, "Sends a signal that the service's spec allows";
    Hold: Post "/v1/services/{service}/hold", Operator, Document, "Keeps a service as it is until it is released";
    Release: Post "/v1/services/{service}/release", Operator, Document, "Ends a hold";
    Logs: Get "/v1/logs", Reader, Lines, "What services, the kernel and PID 1 have said";
    Events: Get "/v1/events", Reader, Lines, "What has happened since boot, each with its cause";
    Dmesg: Get "/v1/dmesg", Reader, Lines, "What the kernel has said";
    Processes: Get "/v1/processes", Reader, Document, "Every process and whose it is";
    Mounts: Get "/v1/mounts", Reader, Document, "What is mounted where, and how full it is";
    Disks: Get "/v1/disks", Reader, Document, "Disks and their partitions";
    Network: Get "/v1/network", Reader, Document, "Links, addresses, routes, resolvers and the DHCP lease";
    Boot: Get "/v1/boot", Reader, Document, "When the machine and each service reached what";
    Config: Get "/v1/config", Reader, Document, "The machine config in force, secrets left out";
    Reboot: Post "/v1/reboot", Admin, Document, "Ends the machine and starts it again";
    Shutdown: Post "/v1/shutdown", Admin, Document, "Ends the machine and switches it off";
    Reexec: Post "/v1/pid1/reexec", Admin, Document, "Has PID 1 replace itself by its own program and keep everything";
    Metrics: Get "/metrics", Reader, Metrics, "Everything that can be counted, for Prometheus";
}

/// What stands for a service's name in a path.
pub const SERVICE: &str = "{service}";
/// The longest service name.
const SERVICE_BYTES_MAX: usize = 64;

/// What a path and a method ask for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Found<'a> {
    /// A verb, with the service's name if its path has one.
    Verb(Verb, &'a str),
    /// There is such a path, but it is asked another way.
    OtherMethod(Method),
    /// There is no such path.
    Nothing,
}

/// Looks a request up in the table.
#[must_use]
pub fn find<'a>(method: &str, path: &'a str) -> Found<'a> {
    let mut other = None;
    for route in TABLE {
        let Some(service) = matches(route.path, path) else { continue };
        if route.method.as_str() == method {
            return Found::Verb(route.verb, service);
        }
        other = Some(route.method);
    }
    other.map_or(Found::Nothing, Found::OtherMethod)
}

/// The variable part of `path` if it has the shape of `template`; empty where the template has none.
fn matches<'a>(template: &str, path: &'a str) -> Option<&'a str> {
    let Some((before, after)) = template.split_once(SERVICE) else { return (template == path).then_some("") };
    let name = path.strip_prefix(before)?.strip_suffix(after)?;
    is_service_name(name).then_some(name)
}

/// Whether a text could be a service's name; anything else is no path of ours.
#[must_use]
pub fn is_service_name(text: &str) -> bool {
    let allowed = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
    !text.is_empty() && text.len() <= SERVICE_BYTES_MAX && text.bytes().all(allowed)
}

impl Route {
    /// The path for a service; the path itself where it names none.
    #[must_use]
    pub fn path_for(&self, service: &str) -> String {
        self.path.replace(SERVICE, service)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_row_is_found_by_its_own_path() {
        for route in TABLE {
            let path = route.path_for("kubelet");
            let service = if route.path.contains(SERVICE) { "kubelet" } else { "" };
            assert_eq!(find(route.method.as_str(), &path), Found::Verb(route.verb, service), "{path}");
            assert_eq!(route.verb.route().path, route.path);
        }
    }

    #[test]
    fn what_changes_a_machine_is_posted_and_needs_more_than_a_reader() {
        for route in TABLE {
            assert_eq!(route.method == Method::Post, route.role > Role::Reader, "{}", route.path);
        }
        assert_eq!(Verb::Reboot.route().role, Role::Admin);
    }

    #[test]
    fn a_path_that_is_not_in_the_table_is_nothing() {
        for path in [
            "",
            "/",
            "/v1",
            "/v1/",
            "/v2/status",
            "/v1/status/",
            "/v1/services/",
            "/v1/services//start",
            "/v1/services/../start",
            "/v1/services/a/b/start",
            "/v1/services/A/start",
            "//v1/status",
        ] {
            assert_eq!(find("GET", path), Found::Nothing, "{path}");
        }
        assert_eq!(find("GET", "/v1/reboot"), Found::OtherMethod(Method::Post));
        assert_eq!(find("BREW", "/v1/status"), Found::OtherMethod(Method::Get));
    }
}
