//! Who a service is to others: its user, its groups, its directories, its limits, and what PID 1 does for it.
//!
//! What a fence takes away is shown in `node-sys`, which services have which rights in
//! `machine-config`'s tests/rights; here is that a booted PID 1 gives exactly them.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use init::control::message::StateName;

use crate::ask::{PATIENCE, until};
use crate::boot::{Boot, Setup};
use crate::inside::report;
use crate::{Scenario, look, meddle, scenarios};

pub(crate) fn scenarios() -> Vec<Scenario> {
    scenarios![
        a_service_that_is_not_root_has_its_groups_and_directories_of_its_own,
        a_service_that_may_ask_pid1_may_not_give_it_orders,
        a_service_is_limited_on_the_disk_that_var_is_on_and_in_its_processes_without_saying_so,
    ]
}

fn a_service_that_is_not_root_has_its_groups_and_directories_of_its_own(boot: &Boot) {
    let services = r#"
        [[service]]
        name = "tenant"
        exec = ["/usr/bin/actor", "await=/run/go", "touch=/run/tenant/deep/own", "stay"]
        user = 920
        groups = ["config", "logs"]
        directories = { "/run/tenant/deep" = "private" }

        [[service]]
        name = "burglar"
        exec = ["/usr/bin/actor", "await=/run/go", "touch=/run/tenant/deep/stolen", "stay"]
        user = 921
        restart = { attempts = 1 }
        ready = { by = "exit" }
    "#;
    boot.machine_with(Setup { services: services.to_owned(), ..Setup::default() }, |pid1| {
        let tenant = pid1.until("tenant", StateName::Ready).pid.unwrap();
        let status = fs::read_to_string(format!("/proc/{tenant}/status")).unwrap();
        let of = |field: &str| {
            let line = status.lines().find_map(|line| line.strip_prefix(field)).unwrap();
            line.split_whitespace().collect::<Vec<_>>().join(" ")
        };
        assert_eq!(of("Uid:"), "920 920 920 920");
        assert_eq!((of("Gid:").as_str(), of("Groups:").as_str()), ("920 920 920 920", "951 952"));
        assert_eq!(of("CapEff:"), "0000000000000000");
        let directory = fs::metadata("/run/tenant/deep").unwrap();
        assert_eq!((directory.uid(), directory.gid(), directory.mode() & 0o7777), (920, 920, 0o700));
        let around = fs::metadata("/run/tenant").unwrap();
        assert_eq!((around.uid(), around.mode() & 0o7777), (0, 0o755));
        meddle::touch("/run/go");
        until("its own file is there", PATIENCE, || Path::new("/run/tenant/deep/own").exists().then_some(()));
        pid1.until("burglar", StateName::Failed);
        assert!(!Path::new("/run/tenant/deep/stolen").exists());
    });
}

fn a_service_that_may_ask_pid1_may_not_give_it_orders(boot: &Boot) {
    let services = r#"
        [[service]]
        name = "victim"
        exec = ["/usr/bin/actor", "stay"]

        [[service]]
        name = "meddler"
        exec = ["/usr/bin/actor", "restart=victim"]
        ready = { by = "exit" }
        milestones = ["victim"]
        user = 920
        groups = ["control"]

        [[service]]
        name = "stranger"
        exec = ["/usr/bin/actor", "restart=victim"]
        ready = { by = "exit" }
        milestones = ["victim"]
        user = 921

        [[service]]
        name = "operator"
        exec = ["/usr/bin/actor", "await=/run/go", "restart=victim"]
        ready = { by = "exit" }
    "#;
    boot.machine_with(Setup { services: services.to_owned(), ..Setup::default() }, |pid1| {
        let victim = pid1.until("victim", StateName::Ready).pid.unwrap();
        pid1.until("meddler", StateName::Done);
        pid1.until("stranger", StateName::Done);
        assert_eq!(pid1.service("victim").pid, Some(victim), "nobody restarted it");
        meddle::touch("/run/go");
        pid1.until_another("victim", victim);
        report("root may");
    });
}

fn a_service_is_limited_on_the_disk_that_var_is_on_and_in_its_processes_without_saying_so(boot: &Boot) {
    let services = r#"
        [[service]]
        name = "writer"
        exec = ["/usr/bin/actor", "stay"]
        limits = { io-max = { write-mib = 5, reads = 100 } }
        milestone = false
    "#;
    let disks = vec![boot.disk("data")];
    boot.machine_with(Setup { services: services.to_owned(), disks, ..Setup::default() }, |pid1| {
        // As long as there is no such disk, it is not started without a limit.
        pid1.until("writer", StateName::Backoff);
        meddle::mount("/dev/ubda", "ext4", "/var", "");
        pid1.until("writer", StateName::Ready);
        let limit = |file: &str| fs::read_to_string(look::group("writer").join(file)).unwrap();
        let disk = fs::read_to_string("/sys/class/block/ubda/dev").unwrap();
        assert_eq!(limit("io.max"), format!("{} rbps=max wbps=5242880 riops=100 wiops=max\n", disk.trim()));
        assert_eq!(limit("pids.max"), "4096\n");
    });
}
