//! From what a spec says a service may do to what the kernel is told.
//!
//! Made once per service, before its first start, so that a start allocates nothing for it.
//! `machine_config::service::Sandbox` has the meaning of each field, `node_sys::fence` the
//! system calls.

use std::ffi::CString;
use std::io;
use std::sync::Arc;

use machine_config::service::{Sandbox, SystemCalls};
use node_sys::fence::{Calls, Fence, Filter};

/// The fence of a service; none for one that has none.
///
/// # Errors
/// A path with a NUL byte, which a checked spec cannot have.
pub fn of(sandbox: &Sandbox) -> io::Result<Option<Arc<Fence>>> {
    if sandbox.privileged {
        return Ok(None);
    }
    let paths = |paths: &std::collections::BTreeSet<String>| -> io::Result<Vec<CString>> {
        paths.iter().map(|path| CString::new(path.as_str()).map_err(io::Error::from)).collect()
    };
    let left: Vec<Calls> = sandbox
        .system_calls
        .iter()
        .map(|calls| match calls {
            SystemCalls::Clock => Calls::Clock,
            SystemCalls::HostName => Calls::HostName,
            SystemCalls::Mounts => Calls::Mounts,
        })
        .collect();
    Ok(Some(Arc::new(Fence {
        capabilities: sandbox.capabilities.iter().fold(0, |set, capability| set | 1 << capability.number()),
        new_privileges: sandbox.new_privileges,
        private_tmp: sandbox.private_tmp,
        writable: paths(&sandbox.writable)?,
        hidden: paths(&sandbox.hidden)?,
        filter: Filter::leaving(&left)?,
    })))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sandbox(text: &str) -> Sandbox {
        toml::from_str(text).unwrap()
    }

    #[test]
    fn a_service_that_says_nothing_is_fenced_in() {
        let fence = of(&Sandbox::default()).unwrap().unwrap();
        assert_eq!(fence.capabilities, 0);
        assert!(fence.private_tmp && !fence.new_privileges);
        assert!(format!("{:?}", fence.filter).len() > 100, "it has a filter");
    }

    #[test]
    fn what_is_listed_is_left() {
        let fence =
            of(&sandbox("capabilities = [\"chown\", \"net-admin\"]\nwritable = [\"/var/lib/x\"]")).unwrap();
        let fence = fence.unwrap();
        assert_eq!(fence.capabilities, 1 | 1 << 12);
        assert_eq!(fence.writable, [CString::new("/var/lib/x").unwrap()]);
        assert!(of(&sandbox("privileged = true")).unwrap().is_none());
        let filter = |text| format!("{:?}", of(&sandbox(text)).unwrap().unwrap().filter);
        assert!(filter("system-calls = [\"clock\"]").len() < filter("").len());
    }
}
