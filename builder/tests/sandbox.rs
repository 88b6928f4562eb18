//! The sandbox on this host, by the real helper: what a build step sees and what it does not.
//!
//! The steps are shell scripts that run on the host's own /usr, mounted like any input, so that
//! no store is needed. Each test that matters for ordinary users runs a second time as one when
//! the tests run as root.
#![allow(clippy::unwrap_used, clippy::panic, reason = "helpers of tests, too")]

use std::fs;
use std::io::Write as _;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use slipway::sandbox::{Ending, Sandbox, SandboxError};

/// An id that is nobody's.
const ORDINARY: u32 = 65_534;

struct Bench {
    dir: tempfile::TempDir,
}

impl Bench {
    fn new() -> Self {
        Self { dir: tempfile::tempdir().unwrap() }
    }

    fn sandbox(&self) -> Sandbox {
        let mut sandbox = Sandbox::new(self.dir.path()).unwrap();
        sandbox.helper(Path::new(env!("CARGO_BIN_EXE_slipway"))).readable(Path::new("/usr"), "/usr");
        sandbox
    }

    fn log(&self) -> PathBuf {
        self.dir.path().join("log")
    }

    fn run(&self, sandbox: &Sandbox, script: &str) -> Result<String, SandboxError> {
        sandbox.run(&["/bin/sh", "-euc", script], "/build", &self.log())?;
        Ok(fs::read_to_string(self.log()).unwrap())
    }

    /// What a step prints that must succeed.
    fn output(&self, script: &str) -> String {
        self.run(&self.sandbox(), script).unwrap_or_else(|error| panic!("{error}"))
    }
}

/// Runs the named test of this file again as an ordinary user, where we may.
fn again_as_an_ordinary_user(test: &str) {
    if !nix::unistd::geteuid().is_root() {
        println!("there is no second run: this one is an ordinary user's already");
        return;
    }
    let temporary = tempfile::tempdir_in("/tmp").unwrap();
    std::os::unix::fs::chown(temporary.path(), Some(ORDINARY), Some(ORDINARY)).unwrap();
    let output = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", test, "--nocapture"])
        .env("TMPDIR", temporary.path())
        .uid(ORDINARY)
        .gid(ORDINARY)
        .current_dir("/")
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stdout) + String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success() && said.contains("1 passed"), "as an ordinary user:\n{said}");
}

#[test]
fn a_step_sees_its_inputs_and_nothing_else_of_the_host() {
    let bench = Bench::new();
    let input = bench.dir.path().join("input");
    fs::write(&input, "from the host").unwrap();
    let mut sandbox = bench.sandbox();
    sandbox.readable(&input, "/input/file");
    let script = "echo / has $(ls /); cat /input/file; echo; echo dev has $(ls /dev); \
                  for f in /input/file /usr/x /x /input/x; do (echo y > $f) 2>/dev/null && echo wrote $f; done; \
                  echo a > /build/a; echo b > /out/b; echo c > /tmp/c; ls /proc | grep -c '^[0-9]'";
    let said = bench.run(&sandbox, script).unwrap_or_else(|error| panic!("{error}"));
    let lines: Vec<&str> = said.lines().collect();
    assert_eq!(lines[0], "/ has bin build dev etc input lib lib64 out proc sbin shims tmp usr");
    assert_eq!(lines[1], "from the host");
    assert_eq!(lines[2], "dev has fd full null random stderr stdin stdout tty urandom zero");
    assert!(!said.contains("wrote"), "{said}");
    assert!(lines[lines.len() - 1].parse::<u32>().unwrap() <= 5, "only the sandbox's processes: {said}");
    assert_eq!(fs::read_to_string(sandbox.out_dir().join("b")).unwrap(), "b\n");
    assert_eq!(fs::read_to_string(sandbox.build_dir().join("a")).unwrap(), "a\n");
    again_as_an_ordinary_user("a_step_sees_its_inputs_and_nothing_else_of_the_host");
}

#[test]
fn a_step_has_no_network() {
    let said = Bench::new().output("tail -n +3 /proc/net/dev; echo routes: $(tail -n +2 /proc/net/route)");
    let interfaces: Vec<&str> =
        said.lines().filter_map(|line| line.split_once(':')).map(|(name, _)| name.trim()).collect();
    assert_eq!(interfaces, ["lo", "routes"], "{said}");
    assert!(said.contains("routes:\n"), "{said}");
    again_as_an_ordinary_user("a_step_has_no_network");
}

#[test]
fn host_name_time_zone_user_and_umask_are_always_the_same() {
    let said = Bench::new().output(
        "umask; uname -n; date -d @0 +%Z; id -u; id -g; pwd; echo $HOME $SOURCE_DATE_EPOCH $LANG; touch /out/f; stat -c %a /out/f",
    );
    assert_eq!(said, "0022\nslipway\nUTC\n0\n0\n/build\n/build 1700000000 C.UTF-8\n644\n");
    again_as_an_ordinary_user("host_name_time_zone_user_and_umask_are_always_the_same");
}

#[test]
fn the_caller_s_environment_and_descriptors_stay_outside() {
    let bench = Bench::new();
    // A descriptor without close-on-exec, as a shell's redirection leaves one.
    let leak = fs::File::open("/etc/hostname").or_else(|_| fs::File::open("/etc/passwd")).unwrap();
    let leaked = rustix::io::fcntl_dupfd_cloexec(&leak, 100).unwrap();
    rustix::io::fcntl_setfd(&leaked, rustix::io::FdFlags::empty()).unwrap();
    let said = bench
        .output("env | cut -d= -f1 | sort | tr '\\n' ' '; for f in /proc/self/fd/*; do echo ${f##*/}; done");
    let (names, descriptors) = said.split_once('\n').map_or((said.as_str(), ""), |(a, b)| (a, b));
    assert!(!names.contains("CARGO") && !names.contains("TERM"), "{said}");
    assert!(!descriptors.lines().any(|n| n == "100"), "{said}");
}

#[test]
fn a_failed_step_shows_the_end_of_its_log() {
    let bench = Bench::new();
    let script = "for i in $(seq 1 100); do echo line $i; done; exit 3";
    let error = bench.run(&bench.sandbox(), script).unwrap_err();
    let text = error.to_string();
    let SandboxError::Failed { ending, tail, log, .. } = error else { panic!("{text}") };
    assert_eq!(ending, Ending::Exited(3));
    assert_eq!(tail.lines().count(), 40);
    assert!(tail.ends_with("line 100"), "{tail}");
    assert_eq!(log, bench.log());
    assert!(text.contains("status 3") && text.contains("line 61") && !text.contains("line 60\n"), "{text}");
}

#[test]
fn a_step_that_cannot_start_is_told_from_one_that_failed() {
    let bench = Bench::new();
    let error = bench.sandbox().run(&["/no/such"], "/build", &bench.log()).unwrap_err();
    assert!(matches!(&error, SandboxError::Refused(why) if why.contains("/no/such")), "{error}");
    let error = bench.sandbox().run(&["/bin/sh", "-c", "kill -9 $$"], "/build", &bench.log()).unwrap_err();
    assert!(error.to_string().contains("killed by signal 9"), "{error}");
}

#[test]
fn orphans_of_a_step_do_not_outlive_it() {
    let bench = Bench::new();
    let start = Instant::now();
    bench.output("(setsid sleep 1000 &) ; echo started");
    assert!(start.elapsed() < Duration::from_secs(60));
    assert!(!running("sleep 1000"), "an orphan is left");
}

#[test]
fn a_caller_killed_without_warning_takes_its_sandbox_along() {
    let bench = Bench::new();
    if std::env::var_os("SLIPWAY_TEST_SLEEPS").is_some() {
        let _ = bench.run(&bench.sandbox(), "sleep 4321");
        return;
    }
    let mut caller = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "a_caller_killed_without_warning_takes_its_sandbox_along"])
        .env("SLIPWAY_TEST_SLEEPS", "1")
        .stdout(std::process::Stdio::null())
        .spawn()
        .unwrap();
    let deadline = Instant::now() + Duration::from_secs(60);
    while !running("sleep 4321") && Instant::now() < deadline {
        std::thread::sleep(Duration::from_millis(20));
    }
    assert!(running("sleep 4321"), "the step never started");
    caller.kill().unwrap();
    caller.wait().unwrap();
    while running("sleep 4321") && Instant::now() < deadline {
        std::thread::sleep(Duration::from_millis(20));
    }
    assert!(!running("sleep 4321"), "the step outlives its caller");
}

/// Runs one test of this file again where no further user namespace may be made, as user `id`.
/// None where this host cannot even make the first.
fn without_user_namespaces(id: &str, test: &str) -> Option<String> {
    let script = "echo 0 > /proc/sys/user/max_user_namespaces && exec \"$0\" \"$@\"";
    let (user, group) = (format!("--map-user={id}"), format!("--map-group={id}"));
    let output = Command::new("unshare")
        .args(["--user", &user, &group, "--keep-caps", "sh", "-c", script])
        .arg(std::env::current_exe().unwrap())
        .args(["--exact", test, "--nocapture"])
        .env("SLIPWAY_TEST_FORBIDDEN", "1")
        .output()
        .unwrap();
    let said =
        String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
    if !said.contains("running 1 test") {
        let _ = writeln!(std::io::stdout(), "\nSKIPPED: no user namespace to forbid them in: {said}");
        return None;
    }
    Some(said)
}

#[test]
fn root_builds_where_user_namespaces_are_forbidden() {
    let Some(said) = without_user_namespaces("0", "a_failed_step_shows_the_end_of_its_log") else { return };
    assert!(said.contains("1 passed"), "{said}");
}

#[test]
fn an_ordinary_user_is_told_which_switch_forbids_user_namespaces() {
    if std::env::var_os("SLIPWAY_TEST_FORBIDDEN").is_some() {
        let bench = Bench::new();
        println!("refused: {}", bench.run(&bench.sandbox(), "true").unwrap_err());
        return;
    }
    let name = "an_ordinary_user_is_told_which_switch_forbids_user_namespaces";
    let Some(said) = without_user_namespaces("1000", name) else { return };
    let refusal = said.lines().find(|line| line.contains("refused: ")).unwrap_or(&said);
    assert!(refusal.contains("sysctl user.max_user_namespaces"), "{said}");
}

/// Whether any process of the host has this command line.
fn running(command: &str) -> bool {
    let wanted: Vec<u8> =
        command.bytes().map(|byte| if byte == b' ' { 0 } else { byte }).chain([0]).collect();
    fs::read_dir("/proc")
        .unwrap()
        .filter_map(|entry| fs::read(entry.ok()?.path().join("cmdline")).ok())
        .any(|line| line == wanted)
}
