//! What a probe asks: the command line as a type.
//!
//! Several targets mean "any of them": a control plane is content with one etcd member.
//! Nothing here opens a file or a socket.

use std::path::PathBuf;

/// Something that is not true yet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Question {
    /// Does one of these answer 200?
    Http(Vec<Url>),
    /// Does one of these answer 200, with a certificate that holds?
    Https {
        /// Where.
        urls: Vec<Url>,
        /// How.
        tls: TlsFiles,
    },
    /// Does one of these `host:port` accept connections?
    Tcp(Vec<String>),
    /// Does somebody listen on this socket?
    Unix(PathBuf),
    /// Does this file exist, with something in it?
    File(PathBuf),
}

/// The files and names that an HTTPS request needs.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct TlsFiles {
    /// Whose certificates are believed.
    pub authority: PathBuf,
    /// Our own certificate and its key.
    pub client: Option<(PathBuf, PathBuf)>,
    /// A bearer token.
    pub token: Option<PathBuf>,
    /// The name that the certificate must bear, if not the URL's host.
    pub name: Option<String>,
    /// Files to bring into memory while waiting.
    pub read_meanwhile: Vec<PathBuf>,
}

/// An URL taken apart.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Url {
    /// Name or address.
    pub host: String,
    /// TCP port.
    pub port: u16,
    /// Path and query, beginning with a slash.
    pub path: String,
}

/// Why a command line asks nothing.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Unclear {
    /// No kind, or another one.
    #[error("{0:?} is no kind of probe: http, https, tcp, unix or file")]
    Kind(String),
    /// A kind without a target, or with too many.
    #[error("probe {0} needs {1}")]
    Targets(&'static str, &'static str),
    /// Not an URL of the kind.
    #[error("{url:?} is not of the form {scheme}://HOST[:PORT]/PATH")]
    Url {
        /// As given.
        url: String,
        /// As needed.
        scheme: &'static str,
    },
    /// An option that does not exist, or without its value.
    #[error("{0} is no option of probe https, or its value is missing")]
    Option(String),
}

impl Question {
    /// Reads `KIND TARGET… [--ca FILE] [--cert FILE --key FILE] [--token FILE] [--host NAME]
    /// [--read-meanwhile FILE]…`.
    ///
    /// # Errors
    /// [`Unclear`].
    pub fn parse(arguments: &[String]) -> Result<Self, Unclear> {
        let (kind, rest) = arguments.split_first().ok_or_else(|| Unclear::Kind(String::new()))?;
        match kind.as_str() {
            "http" => Ok(Self::Http(urls("http", 80, rest)?)),
            "https" => {
                let (targets, tls) = tls_options(rest)?;
                Ok(Self::Https { urls: urls("https", 443, &targets)?, tls })
            }
            "tcp" if rest.is_empty() => Err(Unclear::Targets("tcp", "one or more HOST:PORT")),
            "tcp" => Ok(Self::Tcp(rest.to_vec())),
            "unix" => Ok(Self::Unix(only("unix", rest)?)),
            "file" => Ok(Self::File(only("file", rest)?)),
            other => Err(Unclear::Kind(other.to_owned())),
        }
    }
}

fn only(kind: &'static str, rest: &[String]) -> Result<PathBuf, Unclear> {
    match rest {
        [path] => Ok(path.into()),
        _ => Err(Unclear::Targets(kind, "one PATH")),
    }
}

fn urls(scheme: &'static str, default_port: u16, texts: &[String]) -> Result<Vec<Url>, Unclear> {
    if texts.is_empty() {
        return Err(Unclear::Targets(scheme, "one or more URLs"));
    }
    texts
        .iter()
        .map(|text| url(scheme, default_port, text).ok_or_else(|| Unclear::Url { url: text.clone(), scheme }))
        .collect()
}

fn url(scheme: &str, default_port: u16, text: &str) -> Option<Url> {
    let rest = text.strip_prefix(scheme)?.strip_prefix("://")?;
    let (authority, path) = rest.find('/').map_or((rest, "/"), |slash| rest.split_at(slash));
    let (host, port) = match authority.rsplit_once(':') {
        Some((host, port)) => (host, port.parse().ok()?),
        None => (authority, default_port),
    };
    // Whitespace would break the request line apart.
    let clean = !host.is_empty() && !text.contains(|c: char| c.is_whitespace() || c.is_control());
    clean.then(|| Url { host: host.to_owned(), port, path: path.to_owned() })
}

fn tls_options(arguments: &[String]) -> Result<(Vec<String>, TlsFiles), Unclear> {
    let mut targets = Vec::new();
    let mut tls = TlsFiles::default();
    let (mut certificate, mut key) = (None, None);
    let mut rest = arguments.iter();
    while let Some(argument) = rest.next() {
        if !argument.starts_with("--") {
            targets.push(argument.clone());
            continue;
        }
        let value = rest.next().ok_or_else(|| Unclear::Option(argument.clone()))?;
        match argument.as_str() {
            "--ca" => tls.authority = value.into(),
            "--cert" => certificate = Some(PathBuf::from(value)),
            "--key" => key = Some(PathBuf::from(value)),
            "--token" => tls.token = Some(value.into()),
            "--host" => tls.name = Some(value.clone()),
            "--read-meanwhile" => tls.read_meanwhile.push(value.into()),
            _ => return Err(Unclear::Option(argument.clone())),
        }
    }
    if tls.authority.as_os_str().is_empty() {
        return Err(Unclear::Option("--ca".to_owned()));
    }
    tls.client = match (certificate, key) {
        (Some(certificate), Some(key)) => Some((certificate, key)),
        (None, None) => None,
        (Some(_), None) => return Err(Unclear::Option("--key".to_owned())),
        (None, Some(_)) => return Err(Unclear::Option("--cert".to_owned())),
    };
    Ok((targets, tls))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(line: &str) -> Result<Question, Unclear> {
        Question::parse(&line.split_whitespace().map(str::to_owned).collect::<Vec<_>>())
    }

    #[test]
    fn several_targets_mean_any_of_them() {
        let question = parse(
            "https https://10.0.0.1:2379/readyz https://10.0.0.2:2379/readyz --ca /ca --cert /c --key /k",
        );
        let Ok(Question::Https { urls, tls }) = question else { panic!("{question:?}") };
        assert_eq!(urls.iter().map(|url| url.host.as_str()).collect::<Vec<_>>(), ["10.0.0.1", "10.0.0.2"]);
        assert_eq!(urls[0].port, 2379);
        assert_eq!(urls[0].path, "/readyz");
        assert_eq!(tls.client, Some(("/c".into(), "/k".into())));
    }

    #[test]
    fn a_url_without_port_or_path_has_the_usual_ones() {
        let Ok(Question::Http(urls)) = parse("http http://127.0.0.1") else { panic!() };
        assert_eq!(urls, [Url { host: "127.0.0.1".to_owned(), port: 80, path: "/".to_owned() }]);
    }

    #[test]
    fn an_https_probe_without_an_authority_is_refused() {
        assert_eq!(parse("https https://127.0.0.1:6443/readyz"), Err(Unclear::Option("--ca".to_owned())));
    }

    #[test]
    fn a_certificate_without_its_key_is_refused() {
        assert_eq!(parse("https https://h/ --ca /ca --cert /c"), Err(Unclear::Option("--key".to_owned())));
    }

    #[test]
    fn a_command_line_that_asks_nothing_is_refused() {
        for line in [
            "",
            "ftp x",
            "http",
            "tcp",
            "unix",
            "file a b",
            "http https://h/",
            "http http://:1/",
            "https --ca",
        ] {
            assert!(parse(line).is_err(), "{line:?}");
        }
    }
}
