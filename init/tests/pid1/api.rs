//! The node API in a machine that has only services: its certificates, a client, a loopback.
//!
//! apid is the real one, and asks the real PID 1 and logd. An answer that does not come, because
//! apid was just killed, is an answer, too.

use std::fs;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::os::unix::fs::chown;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use init::agent::paths;
use init::tls::{self, Identity};
use jiff::Timestamp;
use node_api::{PORT, Role};
use rustls::pki_types::ServerName;
use rustls::{ClientConfig, ClientConnection, StreamOwned};
use trust::pki::{Authority, Leaf, Usage, Validity};

/// What it is asked in turn.
const QUESTIONS: [&str; 5] = ["/v1/services", "/v1/logs?tail=20", "/metrics", "/v1/events", "/v1/status"];
/// The user that it runs as here.
const APID: u32 = 901;
/// Whose certificate it has.
const NAME: &str = "soak";

/// A client of the machine's own apid.
pub(crate) struct Api {
    config: Arc<ClientConfig>,
    asked: usize,
}

impl Api {
    /// Makes certificates as the pki agent would, and a loopback to talk over.
    pub(crate) fn prepare() -> Self {
        let now = Timestamp::now();
        let validity = || Validity::starting(now, Duration::from_secs(86_400)).unwrap();
        let minted = Authority::mint("node-api", validity()).unwrap();
        let authority = Authority::from_pem(&minted.certificate, &minted.key).unwrap();
        let leaf = |usage, organization| Leaf {
            common_name: NAME.to_owned(),
            organization,
            dns_names: vec![NAME.to_owned()],
            addresses: Vec::new(),
            usage,
        };
        let server = authority.issue(&leaf(Usage::Server, None), validity()).unwrap();
        let reader = Some(Role::Reader.organization());
        let client = authority.issue(&leaf(Usage::Client, reader), validity()).unwrap();
        let dir = Path::new(paths::API);
        fs::create_dir_all(dir).unwrap();
        let file = |name: &str, text: &str| {
            fs::write(dir.join(name), text).unwrap();
            chown(dir.join(name), Some(APID), Some(APID)).unwrap();
        };
        file("ca.crt", &minted.certificate);
        file("tls.crt", &server.certificate);
        file("tls.key", &server.key);
        file("client.crt", &client.certificate);
        file("client.key", &client.key);
        let identity = Identity::load(&dir.join("client.crt"), &dir.join("client.key")).unwrap();
        let mut config = tls::client_config(&dir.join("ca.crt"), Some(identity)).unwrap();
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        loopback();
        Self { config: Arc::new(config), asked: 0 }
    }

    /// Asks the next question; what came of it.
    pub(crate) fn ask(&mut self) -> &'static str {
        let question = QUESTIONS[self.asked % QUESTIONS.len()];
        self.asked += 1;
        match self.answer(question) {
            Some(answer) if answer.starts_with(b"HTTP/1.1 200") => "answered",
            // What apid asks is gone for a moment.
            Some(answer) if answer.starts_with(b"HTTP/1.1 503") => "unavailable",
            Some(answer) if !answer.is_empty() => panic!("{question}: {}", String::from_utf8_lossy(&answer)),
            _ => "unanswered",
        }
    }

    fn answer(&self, question: &str) -> Option<Vec<u8>> {
        let socket = TcpStream::connect(("127.0.0.1", PORT)).ok()?;
        socket.set_read_timeout(Some(Duration::from_secs(20))).ok()?;
        let name = ServerName::try_from(NAME).unwrap();
        let client = ClientConnection::new(Arc::clone(&self.config), name).unwrap();
        let mut stream = StreamOwned::new(client, socket);
        let request = format!("GET {question} HTTP/1.1\r\nHost: {NAME}\r\nConnection: close\r\n\r\n");
        stream.write_all(request.as_bytes()).ok()?;
        let mut answer = Vec::new();
        // It ends by being closed, which TLS may call an error.
        let _ = stream.read_to_end(&mut answer);
        Some(answer)
    }
}

/// Nobody else brings it up in here.
fn loopback() {
    use rtnetlink::{LinkMessageBuilder, LinkUnspec};
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let (connection, handle, _) = rtnetlink::new_connection().unwrap();
        tokio::spawn(connection);
        let up = LinkMessageBuilder::<LinkUnspec>::default().index(1).up().build();
        handle.link().set(up).execute().await.unwrap();
    });
}
