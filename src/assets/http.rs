//! Fetching over HTTP: straight or through a proxy, with redirects, and with a limit to every wait.
//!
//! **Invariant:** nothing waits for ever: connecting, the answer's head and each part of its body have
//! their time. A redirect never leads from `https` to `http`. A certificate that the machine does not
//! trust is an error.

use std::io;
use std::time::Duration;

use http_body_util::{BodyExt as _, Empty};
use hyper::body::{Bytes, Incoming};
use hyper::client::conn::http1;
use hyper::header::{
    ACCEPT_ENCODING, CONTENT_LENGTH, CONTENT_TYPE, HOST, HeaderMap, HeaderName, LOCATION,
    PROXY_AUTHORIZATION, USER_AGENT,
};
use hyper::{Method, Request, StatusCode, Uri};
use hyper_util::rt::TokioIo;
use percent_encoding::{AsciiSet, CONTROLS, utf8_percent_encode};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::sync::OnceCell;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;
use tokio_rustls::rustls::pki_types::ServerName;
use tokio_util::task::AbortOnDropHandle;

use super::proxy::{BadProxy, Proxies, Proxy};
use crate::host::trust;

/// How patient the client is.
#[derive(Debug, Clone, Copy)]
pub struct Patience {
    /// For a connection, TLS and the proxy's word included.
    pub connect: Duration,
    /// For the head of an answer, and for each part of its body.
    pub silence: Duration,
    /// Before a failed request is sent again; doubled each time.
    pub pause: Duration,
    /// How often a request is sent in all.
    pub tries: u32,
}

impl Default for Patience {
    fn default() -> Self {
        Self {
            connect: Duration::from_secs(20),
            silence: Duration::from_secs(60),
            pause: Duration::from_secs(1),
            tries: 4,
        }
    }
}

/// So many redirects are followed.
const REDIRECTS: usize = 8;
/// So long is the head of a proxy's answer at most.
const PROXY_HEAD: usize = 16 << 10;
/// What is escaped in a path; what is escaped already stays.
const PATH: &AsciiSet = &CONTROLS
    .add(b' ')
    .add(b'"')
    .add(b'#')
    .add(b'<')
    .add(b'>')
    .add(b'?')
    .add(b'`')
    .add(b'{')
    .add(b'}')
    .add(b'|')
    .add(b'\\')
    .add(b'^');

/// Why there is no answer, or no whole one.
#[derive(Debug, thiserror::Error)]
pub enum HttpError {
    /// The URL cannot be used.
    #[error("{url} is no address to fetch from: {why}")]
    Url {
        /// The URL.
        url: String,
        /// Why.
        why: String,
    },
    /// No connection.
    #[error("{host} cannot be reached: {source}")]
    Connect {
        /// Server or proxy, with its port.
        host: String,
        /// Why.
        source: io::Error,
    },
    /// The server's certificate is not trusted, or TLS failed otherwise.
    #[error(
        "no trusted connection to {host}: {source} (certificates are those of this machine, package ca-certificates)"
    )]
    Tls {
        /// The server.
        host: String,
        /// Why.
        source: io::Error,
    },
    /// This machine has no certificates.
    #[error("the certificates of this machine cannot be read: {0} (package ca-certificates)")]
    Certificates(String),
    /// The proxy refused.
    #[error("the proxy {proxy} refuses {host}: {status}")]
    Proxy {
        /// The proxy.
        proxy: String,
        /// The server.
        host: String,
        /// What it said.
        status: StatusCode,
    },
    /// A proxy that cannot be used.
    #[error(transparent)]
    BadProxy(#[from] BadProxy),
    /// The connection broke.
    #[error("{url}: the connection broke: {source}")]
    Broken {
        /// The URL.
        url: String,
        /// Why.
        source: hyper::Error,
    },
    /// Nothing came for too long.
    #[error("{url}: nothing came for {} seconds", .after.as_secs())]
    Silence {
        /// The URL.
        url: String,
        /// So long.
        after: Duration,
    },
    /// Redirects without end, or to nowhere.
    #[error("{url}: {why}")]
    Redirect {
        /// The URL asked for.
        url: String,
        /// Why it is not followed.
        why: String,
    },
    /// The server refuses.
    #[error("{url}: the server says {status}")]
    Status {
        /// The URL.
        url: String,
        /// What it said.
        status: StatusCode,
    },
    /// A page in place of a file.
    #[error(
        "{url}: the server sent a web page (Content-Type {kind}) in place of the file; is there a login or an error page in between?"
    )]
    Page {
        /// The URL.
        url: String,
        /// The media type.
        kind: String,
    },
    /// More than there should be.
    #[error("{url}: longer than {limit} bytes")]
    TooLong {
        /// The URL.
        url: String,
        /// The limit.
        limit: usize,
    },
}

impl HttpError {
    /// Whether the same request may succeed a little later.
    pub fn is_passing(&self) -> bool {
        match self {
            Self::Connect { source, .. } => !matches!(
                source.kind(),
                io::ErrorKind::ConnectionRefused | io::ErrorKind::PermissionDenied
            ),
            Self::Broken { .. } | Self::Silence { .. } => true,
            Self::Status { status, .. } => {
                status.is_server_error()
                    || matches!(
                        *status,
                        StatusCode::TOO_MANY_REQUESTS | StatusCode::REQUEST_TIMEOUT
                    )
            }
            _ => false,
        }
    }

    /// Whether the server says that there is no such file.
    pub fn is_not_there(&self) -> bool {
        matches!(self, Self::Status { status, .. }
            if matches!(*status, StatusCode::NOT_FOUND | StatusCode::GONE))
    }
}

/// A client; one connection for each request.
#[derive(Default)]
pub struct Client {
    proxies: Proxies,
    /// How patient it is.
    pub patience: Patience,
    tls: OnceCell<TlsConnector>,
}

impl std::fmt::Debug for Client {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Client")
            .field("patience", &self.patience)
            .finish_non_exhaustive()
    }
}

/// An answer whose body has still to come.
#[derive(Debug)]
pub struct Answer {
    /// Where it came from, after redirects.
    pub url: String,
    /// What it says.
    pub status: StatusCode,
    /// Its head.
    pub headers: HeaderMap,
    body: Incoming,
    silence: Duration,
    _connection: AbortOnDropHandle<()>,
}

impl Answer {
    /// The next part of the body; `None` at its end. A body that is shorter than it should be is an error.
    pub async fn part(&mut self) -> Result<Option<Bytes>, HttpError> {
        loop {
            let frame = timeout(self.silence, self.body.frame())
                .await
                .map_err(|_| HttpError::Silence {
                    url: self.url.clone(),
                    after: self.silence,
                })?;
            match frame {
                None => return Ok(None),
                Some(Ok(frame)) => {
                    if let Ok(data) = frame.into_data() {
                        return Ok(Some(data));
                    }
                }
                Some(Err(source)) => {
                    return Err(HttpError::Broken {
                        url: self.url.clone(),
                        source,
                    });
                }
            }
        }
    }

    /// The length of the body, where the head tells it.
    pub fn length(&self) -> Option<u64> {
        self.header(&CONTENT_LENGTH)?.parse().ok()
    }

    /// A line of the head.
    pub fn header(&self, name: &HeaderName) -> Option<&str> {
        self.headers.get(name)?.to_str().ok()
    }

    /// The error of an answer that is not what was asked for: another status than these, or a web page.
    pub fn check(&self, wanted: &[StatusCode]) -> Result<(), HttpError> {
        if !wanted.contains(&self.status) {
            return Err(HttpError::Status {
                url: self.url.clone(),
                status: self.status,
            });
        }
        let kind = self.header(&CONTENT_TYPE).unwrap_or_default();
        let essence = kind.split(';').next().unwrap_or_default().trim();
        if ["text/html", "application/xhtml+xml"]
            .iter()
            .any(|page| essence.eq_ignore_ascii_case(page))
        {
            return Err(HttpError::Page {
                url: self.url.clone(),
                kind: essence.to_owned(),
            });
        }
        Ok(())
    }
}

impl Client {
    /// A client that uses the proxies of the environment.
    pub fn new(patience: Patience) -> Result<Self, HttpError> {
        Ok(Self {
            proxies: Proxies::of_environment()?,
            patience,
            tls: OnceCell::new(),
        })
    }

    /// Asks for a URL and follows redirects; the answer may have any other status.
    pub async fn get(
        &self,
        url: &str,
        headers: &[(HeaderName, String)],
    ) -> Result<Answer, HttpError> {
        let mut at = url.to_owned();
        for _ in 0..=REDIRECTS {
            let answer = self.ask(&at, headers).await?;
            let redirect = matches!(answer.status.as_u16(), 301 | 302 | 303 | 307 | 308);
            if !redirect {
                return Ok(answer);
            }
            at = answer
                .header(&LOCATION)
                .ok_or_else(|| "a redirect to nowhere".to_owned())
                .and_then(|location| next(&at, location))
                .map_err(|why| HttpError::Redirect {
                    url: url.to_owned(),
                    why,
                })?;
        }
        Err(HttpError::Redirect {
            url: url.to_owned(),
            why: format!("more than {REDIRECTS} redirects"),
        })
    }

    /// The whole body of a small file.
    pub async fn text(&self, url: &str, limit: usize) -> Result<Vec<u8>, HttpError> {
        let mut pause = self.patience.pause;
        let mut tries = 1;
        loop {
            match self.text_once(url, limit).await {
                Err(error) if error.is_passing() && tries < self.patience.tries => {
                    tokio::time::sleep(pause).await;
                    pause = pause.saturating_mul(2);
                    tries += 1;
                }
                result => return result,
            }
        }
    }

    async fn text_once(&self, url: &str, limit: usize) -> Result<Vec<u8>, HttpError> {
        let mut answer = self.get(url, &[]).await?;
        answer.check(&[StatusCode::OK])?;
        let mut text = Vec::new();
        while let Some(part) = answer.part().await? {
            text.extend_from_slice(&part);
            if text.len() > limit {
                return Err(HttpError::TooLong {
                    url: url.to_owned(),
                    limit,
                });
            }
        }
        Ok(text)
    }

    async fn ask(&self, url: &str, headers: &[(HeaderName, String)]) -> Result<Answer, HttpError> {
        let bad = |why: &dyn std::fmt::Display| HttpError::Url {
            url: url.to_owned(),
            why: why.to_string(),
        };
        let uri: Uri = escaped(url).parse().map_err(|error| bad(&error))?;
        let https = match uri.scheme_str() {
            Some("https") => true,
            Some("http") => false,
            _ => return Err(bad(&"it begins with neither http:// nor https://")),
        };
        let host = uri.host().ok_or_else(|| bad(&"it names no server"))?;
        let port = uri.port_u16().unwrap_or(if https { 443 } else { 80 });
        // Names and passwords in the address are nobody's business here.
        let authority = uri.authority().map_or(host, |authority| {
            let whole = authority.as_str();
            whole.rsplit_once('@').map_or(whole, |(_, server)| server)
        });
        let proxy = self.proxies.of_request(https, host, port);
        let path = uri.path_and_query().map_or("/", |path| path.as_str());
        let target = match proxy {
            Some(_) if !https => format!("http://{authority}{path}"),
            _ => path.to_owned(),
        };
        let mut request = Request::builder()
            .method(Method::GET)
            .uri(target)
            .header(HOST, authority)
            .header(
                USER_AGENT,
                concat!("bootwright/", env!("CARGO_PKG_VERSION")),
            )
            .header(ACCEPT_ENCODING, "identity");
        if let Some(word) = proxy
            .filter(|_| !https)
            .and_then(|proxy| proxy.authorization.as_ref())
        {
            request = request.header(PROXY_AUTHORIZATION, word);
        }
        for (name, value) in headers {
            request = request.header(name, value);
        }
        let request = request.body(Empty::new()).map_err(|error| bad(&error))?;
        let host = host.trim_matches(['[', ']']);
        if !https {
            let stream = self.connect(proxy, host, port).await?;
            return self.exchange(stream, request, url).await;
        }
        let name = ServerName::try_from(host.to_owned()).map_err(|error| bad(&error))?;
        let tls = self.tls().await?;
        let secured = async {
            let stream = self.connect(proxy, host, port).await?;
            let stream = match proxy {
                None => stream,
                Some(proxy) => self.tunnel(stream, proxy, host, port).await?,
            };
            tls.connect(name, stream)
                .await
                .map_err(|source| HttpError::Tls {
                    host: authority.to_owned(),
                    source,
                })
        };
        let stream = timeout(self.patience.connect, secured)
            .await
            .map_err(|_| late(authority))??;
        self.exchange(stream, request, url).await
    }

    async fn tls(&self) -> Result<&TlsConnector, HttpError> {
        self.tls
            .get_or_try_init(|| async {
                tokio::task::spawn_blocking(|| trust::connector(Vec::new()))
                    .await
                    .unwrap_or_else(|error| Err(error.to_string()))
                    .map_err(HttpError::Certificates)
            })
            .await
    }

    async fn connect(
        &self,
        proxy: Option<&Proxy>,
        host: &str,
        port: u16,
    ) -> Result<TcpStream, HttpError> {
        let (host, port) = proxy.map_or((host, port), |proxy| (proxy.host.as_str(), proxy.port));
        let name = format!("{host}:{port}");
        match timeout(self.patience.connect, TcpStream::connect((host, port))).await {
            Ok(Ok(stream)) => Ok(stream),
            Ok(Err(source)) => Err(HttpError::Connect { host: name, source }),
            Err(_) => Err(late(&name)),
        }
    }

    /// Has the proxy connect to the server (RFC 9110 section 9.3.6). Its answer has no body, and the server
    /// says nothing before TLS begins.
    async fn tunnel(
        &self,
        mut stream: TcpStream,
        proxy: &Proxy,
        host: &str,
        port: u16,
    ) -> Result<TcpStream, HttpError> {
        let name = format!("{}:{}", proxy.host, proxy.port);
        let host = if host.contains(':') {
            format!("[{host}]")
        } else {
            host.to_owned()
        };
        let word = proxy
            .authorization
            .as_ref()
            .map_or_else(String::new, |word| {
                format!("Proxy-Authorization: {word}\r\n")
            });
        let request =
            format!("CONNECT {host}:{port} HTTP/1.1\r\nHost: {host}:{port}\r\n{word}\r\n");
        let broken = |source| HttpError::Connect {
            host: name.clone(),
            source,
        };
        stream.write_all(request.as_bytes()).await.map_err(broken)?;
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            if head.len() >= PROXY_HEAD {
                return Err(broken(io::Error::other("its answer has no end")));
            }
            head.push(stream.read_u8().await.map_err(broken)?);
        }
        let status = std::str::from_utf8(&head)
            .ok()
            .and_then(|head| head.split(' ').nth(1))
            .and_then(|code| code.parse::<StatusCode>().ok())
            .ok_or_else(|| broken(io::Error::other("its answer is no HTTP")))?;
        if status.is_success() {
            return Ok(stream);
        }
        Err(HttpError::Proxy {
            proxy: name,
            host,
            status,
        })
    }

    async fn exchange<S>(
        &self,
        stream: S,
        request: Request<Empty<Bytes>>,
        url: &str,
    ) -> Result<Answer, HttpError>
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let broken = |source| HttpError::Broken {
            url: url.to_owned(),
            source,
        };
        let (mut sender, connection) = http1::handshake(TokioIo::new(stream))
            .await
            .map_err(broken)?;
        let connection = AbortOnDropHandle::new(tokio::spawn(async move {
            // What goes wrong is told to the one who reads the body.
            let _ = connection.await;
        }));
        let answer = timeout(self.patience.silence, sender.send_request(request))
            .await
            .map_err(|_| HttpError::Silence {
                url: url.to_owned(),
                after: self.patience.silence,
            })?
            .map_err(broken)?;
        let (head, body) = answer.into_parts();
        Ok(Answer {
            url: url.to_owned(),
            status: head.status,
            headers: head.headers,
            body,
            silence: self.patience.silence,
            _connection: connection,
        })
    }
}

fn late(host: &str) -> HttpError {
    HttpError::Connect {
        host: host.to_owned(),
        source: io::Error::from(io::ErrorKind::TimedOut),
    }
}

/// A URL whose path holds no character that must not stand in one.
fn escaped(url: &str) -> String {
    let Some((scheme, rest)) = url.split_once("://") else {
        return url.to_owned();
    };
    let (path, query) = rest
        .split_once('?')
        .map_or((rest, None), |(path, query)| (path, Some(query)));
    let path = utf8_percent_encode(path, PATH);
    match query {
        Some(query) => format!("{scheme}://{path}?{query}"),
        None => format!("{scheme}://{path}"),
    }
}

/// Where a redirect leads (RFC 3986 section 5.2, for what servers send).
fn next(at: &str, location: &str) -> Result<String, String> {
    let (scheme, rest) = at.split_once("://").unwrap_or(("http", at));
    let location = location.split('#').next().unwrap_or_default();
    let to = if location.contains("://") {
        location.to_owned()
    } else if let Some(same_scheme) = location.strip_prefix("//") {
        format!("{scheme}://{same_scheme}")
    } else {
        let (server, path) = rest.split_once('/').unwrap_or((rest, ""));
        let path = path.split('?').next().unwrap_or_default();
        if let Some(path) = location.strip_prefix('/') {
            format!("{scheme}://{server}/{path}")
        } else {
            let folder = path.rsplit_once('/').map_or("", |(folder, _)| folder);
            let slash = if folder.is_empty() { "" } else { "/" };
            format!("{scheme}://{server}/{folder}{slash}{location}")
        }
    };
    match to.split_once("://").map(|(scheme, _)| scheme) {
        Some("https") => Ok(to),
        Some("http") if scheme == "http" => Ok(to),
        Some("http") => Err(format!("a redirect from https to {to}")),
        _ => Err(format!("a redirect to {to}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn redirects_are_resolved_and_never_lead_to_plain_http() {
        let at = "https://a.example:8443/x/y?z=/1";
        for (location, to) in [
            ("/b", "https://a.example:8443/b"),
            ("b/c", "https://a.example:8443/x/b/c"),
            ("//c.example/d", "https://c.example/d"),
            ("https://d.example/e#f", "https://d.example/e"),
        ] {
            assert_eq!(next(at, location).unwrap(), to);
        }
        assert_eq!(next("http://a", "b").unwrap(), "http://a/b");
        assert!(next(at, "http://a.example/b").is_err());
        assert!(next(at, "file:///etc/passwd").is_err());
        assert!(next("http://a/b", "https://a/b").is_ok());
    }

    #[test]
    fn paths_are_escaped_once() {
        assert_eq!(
            escaped("http://a/b c%20d?e=f g"),
            "http://a/b%20c%20d?e=f g"
        );
        assert_eq!(escaped("http://[::1]:80/a+b"), "http://[::1]:80/a+b");
    }
}
