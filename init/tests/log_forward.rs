//! The real `init log-forward` between a real logd and a syslog server of the test's.
//!
//! The server is slow, dies, comes back, speaks TLS, and the machine is rebooted: what counts is that it gets every
//! line, in order, or is told how many are gone, and that nobody waits for it.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test's helpers are tests too")]

use std::fs;
use std::io::{self, BufRead, BufReader, PipeReader, PipeWriter, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use init::logd::client;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ServerConfig, ServerConnection, StreamOwned};
use trust::pki::{Authority, Leaf, Usage, Validity};

/// Two boots.
const BOOTS: [&str; 2] = ["01010101010101010101010101010101", "02020202020202020202020202020202"];

struct Road {
    dir: tempfile::TempDir,
    pipe: (PipeReader, PipeWriter),
    children: Vec<Child>,
}

impl Road {
    fn new(arguments: &[&str]) -> Self {
        Self::with_disk("16", arguments)
    }

    fn with_disk(share: &str, arguments: &[&str]) -> Self {
        let mut road =
            Self { dir: tempfile::tempdir().unwrap(), pipe: io::pipe().unwrap(), children: Vec::new() };
        road.boot(BOOTS[0], share);
        road.forward(arguments);
        road
    }

    fn path(&self, name: &str) -> String {
        self.dir.path().join(name).display().to_string()
    }

    /// Starts logd in this boot, with so many MiB of disk.
    fn boot(&mut self, boot: &str, share: &str) {
        let read = self.pipe.0.try_clone().unwrap();
        let (memory, disk, logs) = (self.path(boot), self.path("disk"), self.path("logs"));
        let pipe = format!("0=a,4000000000,4000000000,{share}");
        let words = ["logd", "--pipe", &pipe, "--boot", boot, "--memory", &memory];
        let words = [&words[..], &["--disk", &disk, "--socket", &logs]].concat();
        self.children.push(init(&words).stdin(Stdio::from(read)).spawn().unwrap());
        wait_for(|| client::counters(logs.as_ref()).ok());
    }

    fn forward(&mut self, arguments: &[&str]) {
        let own = ["logs", "ledger", "kept"].map(|name| self.path(name));
        let own = ["--logs", &own[0], "--ledger", &own[1], "--kept", &own[2], "--host", "cp1"];
        self.children.push(init(&[&["log-forward"][..], &own, arguments].concat()).spawn().unwrap());
    }

    /// Ends everything as a machine does that is rebooted: /run is gone, what is on disk stays.
    fn end(&mut self) {
        for mut child in self.children.drain(..).rev() {
            assert!(Command::new("kill").arg(child.id().to_string()).status().unwrap().success());
            child.wait().unwrap();
        }
        for gone in ["ledger", "logs"] {
            fs::remove_file(self.path(gone)).unwrap();
        }
    }

    fn say(&self, from: usize, to: usize) {
        let text: String = (from..to).map(|n| format!("line {n}\n")).collect();
        (&self.pipe.1).write_all(text.as_bytes()).unwrap();
    }
}

impl Drop for Road {
    fn drop(&mut self) {
        for child in &mut self.children {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

fn init(words: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_init"));
    command.args(words);
    command
}

fn wait_for<A>(mut ask: impl FnMut() -> Option<A>) -> A {
    let end = Instant::now() + Duration::from_secs(30);
    loop {
        if let Some(answer) = ask() {
            return answer;
        }
        assert!(Instant::now() < end, "it never came true");
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// Reads one counted message.
fn message(from: &mut impl BufRead) -> Option<String> {
    let mut length = Vec::new();
    from.read_until(b' ', &mut length).ok()?;
    let length: usize = std::str::from_utf8(&length).ok()?.trim_end().parse().ok()?;
    let mut message = vec![0; length];
    from.read_exact(&mut message).ok()?;
    String::from_utf8(message).ok()
}

/// The number of the line in a message.
fn number(message: &str) -> usize {
    assert!(
        message.starts_with("<30>1 20") && message.contains("Z cp1 a - - [meta sequenceId=\""),
        "{message}"
    );
    message.rsplit(' ').next().unwrap().parse().unwrap()
}

fn server() -> (TcpListener, String) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = format!("tcp://{}", listener.local_addr().unwrap());
    (listener, address)
}

fn accept(listener: &TcpListener) -> BufReader<TcpStream> {
    let (stream, _) = listener.accept().unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(30))).unwrap();
    BufReader::new(stream)
}

#[test]
fn every_line_arrives_once_and_in_order() {
    let (listener, address) = server();
    let road = Road::new(&["--to", &address]);
    let mut stream = accept(&listener);
    for round in 0..20 {
        road.say(round * 50, round * 50 + 50);
        for n in round * 50..round * 50 + 50 {
            assert_eq!(number(&message(&mut stream).unwrap()), n);
        }
    }
}

#[test]
fn a_server_that_dies_and_comes_back_misses_nothing() {
    let (listener, address) = server();
    let road = Road::new(&["--to", &address]);
    let mut got = Vec::new();
    for round in 0..4 {
        let mut stream = accept(&listener);
        road.say(round * 1000, round * 1000 + 1000);
        // It dies with lines on their way that it has not read.
        for _ in 0..300 {
            got.push(number(&message(&mut stream).unwrap()));
        }
        stream.get_ref().shutdown(std::net::Shutdown::Both).unwrap();
        while let Some(message) = message(&mut stream) {
            got.push(number(&message));
        }
    }
    let mut stream = accept(&listener);
    while got.last() != Some(&3999) {
        got.push(number(&message(&mut stream).unwrap()));
    }
    // What the server's machine had confirmed and its program never read is lost to both: TCP says no more.
    let mut unique = got.clone();
    unique.sort_unstable();
    unique.dedup();
    assert!(unique.len() >= 1200, "{}", unique.len());
    assert!(unique.iter().any(|n| *n >= 3000));
}

#[test]
fn a_server_that_is_down_for_a_while_gets_what_was_said_meanwhile() {
    let (listener, address) = server();
    drop(listener);
    let road = Road::new(&["--to", &address]);
    road.say(0, 3000);
    std::thread::sleep(Duration::from_millis(1500));
    let listener = TcpListener::bind(address.strip_prefix("tcp://").unwrap()).unwrap();
    let mut stream = accept(&listener);
    for n in 0..3000 {
        assert_eq!(number(&message(&mut stream).unwrap()), n);
    }
}

#[test]
fn a_server_that_reads_nothing_keeps_no_service_waiting_and_still_gets_what_the_disk_has() {
    let (listener, address) = server();
    let road = Road::new(&["--to", &address]);
    let stream = accept(&listener);
    let line = [&[b'x'; 990][..], b"\n"].concat();
    let began = Instant::now();
    for _ in 0..100 {
        (&road.pipe.1).write_all(&line.repeat(100)).unwrap();
        // A pace that most disks keep up with; on a machine that does not, what is gone is told.
        std::thread::sleep(Duration::from_millis(5));
    }
    assert!(began.elapsed() < Duration::from_secs(10), "{:?}", began.elapsed());
    let mut stream = stream;
    let (mut got, mut gone) = (0, 0);
    while got + gone < 10_000 {
        let message = message(&mut stream).unwrap();
        match message.split_once(" lines are gone") {
            Some((before, _)) => gone += before.rsplit(' ').next().unwrap().parse::<u32>().unwrap(),
            None => got += 1,
        }
    }
    assert_eq!(got + gone, 10_000, "every line is there or told of: {got} and {gone}");
    assert!(got >= 1000, "{got}");
}

#[test]
fn a_forwarder_that_is_killed_goes_on_where_it_was() {
    let (listener, address) = server();
    let mut road = Road::new(&["--to", &address]);
    let mut stream = accept(&listener);
    road.say(0, 100);
    for n in 0..100 {
        assert_eq!(number(&message(&mut stream).unwrap()), n);
    }
    let ledger = road.path("ledger");
    let expected = format!("boot {}\na 99 0\n", BOOTS[0]);
    wait_for(|| fs::read_to_string(&ledger).ok().filter(|text| *text == expected));
    road.children[1].kill().unwrap();
    road.forward(&["--to", &address]);
    let mut stream = accept(&listener);
    road.say(100, 101);
    assert_eq!(number(&message(&mut stream).unwrap()), 100);
}

#[test]
fn what_one_boot_left_unsent_goes_out_in_the_next_and_what_is_gone_by_then_is_counted() {
    let (listener, address) = server();
    let mut road = Road::with_disk("1", &["--to", &address]);
    let mut stream = accept(&listener);
    road.say(0, 50);
    for n in 0..50 {
        assert_eq!(number(&message(&mut stream).unwrap()), n);
    }
    let kept = road.path("kept");
    let expected = format!("boot {}\na 49 0\n", BOOTS[0]);
    wait_for(|| fs::read_to_string(&kept).ok().filter(|text| *text == expected));
    drop((stream, listener));
    // Three times what the disk keeps.
    let long = "x".repeat(1000);
    for n in 50..3050 {
        (&road.pipe.1).write_all(format!("{long} {n}\n").as_bytes()).unwrap();
    }
    road.end();
    let listener = TcpListener::bind(address.strip_prefix("tcp://").unwrap()).unwrap();
    road.boot(BOOTS[1], "1");
    road.forward(&["--to", &address]);
    let mut stream = accept(&listener);
    let notice = message(&mut stream).unwrap();
    let (before, _) = notice.split_once(" lines are gone").unwrap();
    let gone: usize = before.rsplit(' ').next().unwrap().parse().unwrap();
    assert!((1000..3000).contains(&gone), "{gone}");
    for n in 50 + gone..3050 {
        assert_eq!(number(&message(&mut stream).unwrap()), n);
    }
    road.say(0, 3);
    for n in 0..3 {
        assert_eq!(number(&message(&mut stream).unwrap()), n);
    }
    let expected = format!("boot {}\na 2 {gone}\n", BOOTS[1]);
    wait_for(|| fs::read_to_string(road.path("ledger")).ok().filter(|text| *text == expected));
}

#[test]
fn by_tls_only_a_server_of_the_authority_is_told_anything() {
    let dir = tempfile::tempdir().unwrap();
    let validity = Validity::starting(jiff::Timestamp::now(), Duration::from_secs(3600)).unwrap();
    let minted = Authority::mint("logs", validity).unwrap();
    let other = Authority::mint("others", validity).unwrap();
    let (right, wrong) = (dir.path().join("ca.crt"), dir.path().join("other.crt"));
    fs::write(&right, &minted.certificate).unwrap();
    fs::write(&wrong, &other.certificate).unwrap();
    let leaf = Leaf {
        common_name: "logs".to_owned(),
        organization: None,
        addresses: vec![[127, 0, 0, 1].into()],
        dns_names: Vec::new(),
        usage: Usage::Server,
    };
    let leaf = Authority::from_pem(&minted.certificate, &minted.key).unwrap().issue(&leaf, validity).unwrap();
    let chain = vec![CertificateDer::from_pem_slice(leaf.certificate.as_bytes()).unwrap()];
    let key = PrivateKeyDer::from_pem_slice(leaf.key.as_bytes()).unwrap();
    let config = ServerConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(chain, key)
        .unwrap();
    let config = Arc::new(config);
    for (authority, is_right) in [(&right, true), (&wrong, false)] {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = format!("tls://{}", listener.local_addr().unwrap());
        let road = Road::new(&["--to", &address, "--ca", authority.to_str().unwrap()]);
        road.say(0, 10);
        let (stream, _) = listener.accept().unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(30))).unwrap();
        let session = ServerConnection::new(Arc::clone(&config)).unwrap();
        let mut stream = BufReader::new(StreamOwned::new(session, stream));
        if is_right {
            for n in 0..10 {
                assert_eq!(number(&message(&mut stream).unwrap()), n);
            }
        } else {
            assert!(stream.read(&mut [0; 1]).is_err());
        }
    }
}
