//! One event posted to a URL: connect, sign, send, look at the status.
//!
//! **Invariant:** redirects are not followed, no proxy is asked, a certificate that the machine does not
//! trust is an error. Nothing of the answer but its status counts.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use hmac::{Hmac, Mac as _};
use http_body_util::{BodyExt as _, Full, Limited};
use hyper::body::Bytes;
use hyper::client::conn::http1;
use hyper::header::{CONTENT_TYPE, HOST, USER_AGENT};
use hyper::{Request, StatusCode, Uri};
use hyper_util::rt::TokioIo;
use sha2::Sha256;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::sync::OnceCell;
use tokio_rustls::TlsConnector;
use tokio_rustls::rustls::pki_types::{CertificateDer, ServerName};
use tokio_util::task::AbortOnDropHandle;

use super::hex;
use crate::base::Timestamp;
use crate::host::trust;
use crate::journal::Event;

/// The header that names the kind of event.
pub const EVENT: &str = "x-bootwright-event";
/// The header with the event's id: the same at each try.
pub const DELIVERY: &str = "x-bootwright-delivery";
/// The header with the time of this try, in seconds since 1970.
pub const TIMESTAMP: &str = "x-bootwright-timestamp";
/// The header with the signature.
pub const SIGNATURE: &str = "x-bootwright-signature";

/// Of an answer's body so much is read, for so long: a receiver may want to get rid of it.
const ANSWER: usize = 64 << 10;
const ANSWER_WITHIN: Duration = Duration::from_secs(1);

/// Why an event was not taken.
#[derive(Debug, thiserror::Error)]
pub(super) enum PostError {
    #[error("{0} cannot be reached: {1}")]
    Connect(String, io::Error),
    #[error("the certificates of this machine cannot be read: {0}")]
    Certificates(String),
    #[error("no trusted connection to {0}: {1}")]
    Tls(String, io::Error),
    #[error("it did not answer: {0}")]
    Http(#[from] hyper::Error),
    #[error("the URL cannot be used: {0}")]
    Url(String),
}

/// Posts; cheap to clone. The trusted certificates are read once, when the first `https` needs them.
#[derive(Clone, Default)]
pub(super) struct Poster {
    tls: Arc<OnceCell<TlsConnector>>,
    /// Trusted besides those of the machine.
    pub(super) also_trusted: Vec<CertificateDer<'static>>,
}

/// The value of `X-Bootwright-Signature`: `sha256=` and, in hexadecimal, the HMAC-SHA256 (RFC 2104) of the
/// timestamp, a dot, and the body.
pub fn signature(key: &[u8], timestamp: i64, body: &[u8]) -> String {
    // A key may have any length.
    let Ok(mut mac) = Hmac::<Sha256>::new_from_slice(key) else {
        return String::new();
    };
    mac.update(timestamp.to_string().as_bytes());
    mac.update(b".");
    mac.update(body);
    format!("sha256={}", hex(&mac.finalize().into_bytes()))
}

impl Poster {
    /// Posts an event, signed when there is a key. Takes as long as the receiver takes: the caller sets
    /// the limit.
    pub(super) async fn post(
        &self,
        url: &str,
        event: &Event,
        body: Bytes,
        key: Option<&[u8]>,
        now: Timestamp,
    ) -> Result<StatusCode, PostError> {
        let bad = |error: &dyn std::fmt::Display| PostError::Url(error.to_string());
        let uri: Uri = url.parse().map_err(|error| bad(&error))?;
        let host = uri.host().ok_or_else(|| bad(&"it names no server"))?;
        let is_tls = uri.scheme_str() == Some("https");
        let port = uri.port_u16().unwrap_or(if is_tls { 443 } else { 80 });
        let timestamp = now.as_micros().div_euclid(1_000_000);
        let authority = uri.authority().map_or(host, |authority| authority.as_str());
        let mut request = Request::post(uri.path_and_query().map_or("/", |path| path.as_str()))
            .header(HOST, authority)
            .header(
                USER_AGENT,
                concat!("bootwright/", env!("CARGO_PKG_VERSION")),
            )
            .header(CONTENT_TYPE, "application/json")
            .header(EVENT, event.kind.as_str())
            .header(DELIVERY, event.id)
            .header(TIMESTAMP, timestamp);
        if let Some(key) = key {
            request = request.header(SIGNATURE, signature(key, timestamp, &body));
        }
        let request = request.body(Full::new(body)).map_err(|error| bad(&error))?;

        // An IPv6 literal stands in brackets.
        let host = host.trim_start_matches('[').trim_end_matches(']');
        let unreachable = |error| PostError::Connect(authority.to_owned(), error);
        let stream = TcpStream::connect((host, port))
            .await
            .map_err(unreachable)?;
        stream.set_nodelay(true).map_err(unreachable)?;
        if !is_tls {
            return exchange(stream, request).await;
        }
        let name = ServerName::try_from(host.to_owned()).map_err(|error| bad(&error))?;
        let tls = self.tls.get_or_try_init(|| self.connector()).await?;
        let stream = tls
            .connect(name, stream)
            .await
            .map_err(|error| PostError::Tls(authority.to_owned(), error))?;
        exchange(stream, request).await
    }

    /// Trusts what the machine trusts.
    async fn connector(&self) -> Result<TlsConnector, PostError> {
        let also = self.also_trusted.clone();
        tokio::task::spawn_blocking(|| trust::connector(also))
            .await
            .unwrap_or_else(|error| Err(error.to_string()))
            .map_err(PostError::Certificates)
    }
}

/// Sends a request over a connection of its own.
async fn exchange<S>(stream: S, request: Request<Full<Bytes>>) -> Result<StatusCode, PostError>
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
    let _connection = AbortOnDropHandle::new(tokio::spawn(connection));
    let answer = sender.send_request(request).await?;
    let status = answer.status();
    let rest = Limited::new(answer.into_body(), ANSWER).collect();
    let _ = tokio::time::timeout(ANSWER_WITHIN, rest).await;
    Ok(status)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn openssl(folder: &std::path::Path, arguments: &str) {
        let run = std::process::Command::new("openssl")
            .args(arguments.split(' '))
            .current_dir(folder)
            .output()
            .expect("openssl");
        assert!(run.status.success(), "{arguments}: {run:?}");
    }

    /// A server with a certificate for 127.0.0.1 that answers one request after another with 200.
    async fn https(folder: &std::path::Path) -> (u16, CertificateDer<'static>) {
        use tokio_rustls::TlsAcceptor;
        use tokio_rustls::rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};
        use tokio_rustls::rustls::{ServerConfig, crypto};
        openssl(
            folder,
            "req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2 -subj /CN=test \
             -addext subjectAltName=IP:127.0.0.1 -addext basicConstraints=critical,CA:FALSE \
             -keyout key.pem -outform DER -out cert.der",
        );
        openssl(
            folder,
            "pkcs8 -topk8 -nocrypt -in key.pem -outform DER -out key.der",
        );
        let read = |name: &str| std::fs::read(folder.join(name)).unwrap();
        let cert = CertificateDer::from(read("cert.der"));
        let key = PrivateKeyDer::from(PrivatePkcs8KeyDer::from(read("key.der")));
        let config =
            ServerConfig::builder_with_provider(Arc::new(crypto::ring::default_provider()))
                .with_safe_default_protocol_versions()
                .unwrap()
                .with_no_client_auth()
                .with_single_cert(vec![cert.clone()], key)
                .unwrap();
        let acceptor = TlsAcceptor::from(Arc::new(config));
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let Ok(stream) = acceptor.accept(stream).await else {
                    continue;
                };
                let answer = hyper::service::service_fn(async |_| {
                    Ok::<_, hyper::Error>(hyper::Response::new(Full::new(Bytes::new())))
                });
                let _ = hyper::server::conn::http1::Builder::new()
                    .serve_connection(TokioIo::new(stream), answer)
                    .await;
            }
        });
        (port, cert)
    }

    #[tokio::test]
    async fn only_a_trusted_certificate_of_the_server_asked_is_good() {
        use crate::journal::event::{Kind, Reason};
        let folder = tempfile::tempdir().unwrap();
        let (port, cert) = https(folder.path()).await;
        let now = Timestamp::from_secs(1_790_000_000);
        let event = Event::new(now, Kind::InstallUp, Reason::Reported);
        let trusting = Poster {
            also_trusted: vec![cert],
            ..Poster::default()
        };
        let post = async |poster: &Poster, host: &str| {
            let url = format!("https://{host}:{port}/x");
            poster
                .post(&url, &event, Bytes::from("{}"), None, now)
                .await
        };
        let status = post(&trusting, "127.0.0.1").await.unwrap();
        assert_eq!(status, StatusCode::OK);
        // The certificate is for another name.
        let error = post(&trusting, "localhost").await.unwrap_err();
        assert!(matches!(error, PostError::Tls(..)), "{error}");
        // Nobody has vouched for it.
        let error = post(&Poster::default(), "127.0.0.1").await.unwrap_err();
        assert!(
            matches!(error, PostError::Tls(..) | PostError::Certificates(_)),
            "{error}"
        );
    }

    #[test]
    fn a_signature_is_the_one_that_openssl_makes() {
        // printf '1790000000.{}' | openssl dgst -sha256 -hmac Jefe
        assert_eq!(
            signature(b"Jefe", 1_790_000_000, b"{}"),
            "sha256=d927a7192cf1342cbb06dac01a2b72995b9dec4d36dbae00ea48c5671b3f9751"
        );
        assert_ne!(signature(b"", 0, b""), signature(b"k", 0, b""));
    }
}
