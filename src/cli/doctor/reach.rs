//! Whether the running daemon answers at the addresses that machines are told: its boot plane and TFTP, as a machine
//! would ask.

use std::io;
use std::net::Ipv4Addr;
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpStream, UdpSocket};
use tokio::time::timeout;

use crate::config::Snapshot;
use crate::diagnose::doctor::{Check, Finding, Level};

/// How long an answer may take.
const WITHIN: Duration = Duration::from_secs(3);
/// Most bytes of an answer that are read.
const MOST: u64 = 64 << 10;
/// A read request (RFC 1350 section 5) for a name that nobody has: the error is the answer.
const REQUEST: &[u8] = b"\x00\x01doctor-asks\x00octet\x00";

/// Asks at each of these addresses.
pub(super) async fn ask(snapshot: &Snapshot, addresses: &[Ipv4Addr]) -> Vec<Finding> {
    let server = &snapshot.server;
    let mut findings = Vec::new();
    if addresses.is_empty() {
        findings.push(Finding::new(
            Check::Answers,
            Level::Unseen,
            "there is no address to ask at: no interface that is served has one",
            "see `bootwright doctor interfaces`",
        ));
    }
    for address in addresses {
        let place = format!("{address}, TCP port {}", server.http_port);
        findings.push(match http(*address, server.http_port).await {
            Ok(health) if health == "ok" => {
                Finding::ok(Check::Answers, format!("HTTP answers at {place}"))
            }
            Ok(health) => Finding::new(
                Check::Answers,
                Level::Warning,
                format!("HTTP answers at {place}: {health}"),
                "see `bootwright events`",
            ),
            Err(error) => silent("HTTP", &place, &error),
        });
        let place = format!("{address}, UDP port {}", server.tftp_port);
        findings.push(match tftp(*address, server.tftp_port).await {
            Ok(()) => Finding::ok(Check::Answers, format!("TFTP answers at {place}")),
            Err(error) => silent("TFTP", &place, &error),
        });
    }
    findings
}

fn silent(service: &str, place: &str, error: &io::Error) -> Finding {
    Finding::new(
        Check::Answers,
        Level::Error,
        format!("{service} does not answer at {place}: {error}"),
        "see `bootwright doctor ports` and `bootwright doctor firewall`, with sudo",
    )
}

async fn within<T>(work: impl Future<Output = io::Result<T>>) -> io::Result<T> {
    timeout(WITHIN, work).await.unwrap_or_else(|_| {
        Err(io::Error::new(
            io::ErrorKind::TimedOut,
            "no answer within 3 s",
        ))
    })
}

/// What `/healthz` says, its lines put together.
async fn http(address: Ipv4Addr, port: u16) -> io::Result<String> {
    within(async {
        let mut stream = TcpStream::connect((address, port)).await?;
        let request =
            format!("GET /healthz HTTP/1.1\r\nHost: {address}:{port}\r\nConnection: close\r\n\r\n");
        stream.write_all(request.as_bytes()).await?;
        let mut answer = Vec::new();
        stream.take(MOST).read_to_end(&mut answer).await?;
        let answer = String::from_utf8_lossy(&answer).into_owned();
        if !answer.starts_with("HTTP/1.1 ") {
            return Err(io::Error::other("what answers there is no HTTP"));
        }
        let body = answer.split_once("\r\n\r\n").map_or("", |(_, body)| body);
        let lines: Vec<&str> = body.lines().collect();
        Ok(lines.join("; "))
    })
    .await
}

/// Whether anything comes back.
async fn tftp(address: Ipv4Addr, port: u16) -> io::Result<()> {
    within(async {
        let socket = UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0)).await?;
        socket.send_to(REQUEST, (address, port)).await?;
        let mut answer = [0; 512];
        socket.recv_from(&mut answer).await.map(|_| ())
    })
    .await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn without_an_address_nobody_was_asked() {
        let findings = ask(&Snapshot::default(), &[]).await;
        let levels: Vec<Level> = findings.iter().map(|finding| finding.level).collect();
        assert_eq!(levels, [Level::Unseen]);
    }

    #[tokio::test]
    async fn whoever_answers_is_told_from_whoever_does_not() {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let tcp = listener.local_addr().unwrap().port();
        tokio::spawn(async move {
            for said in [
                "HTTP/1.1 200 OK\r\n\r\nok\n",
                "HTTP/1.1 503 No\r\n\r\ndegraded\nrecords: x\n",
                "SSH-2.0",
            ] {
                let (mut stream, _) = listener.accept().await.unwrap();
                let mut head = [0; 1_024];
                let read = stream.read(&mut head).await.unwrap();
                assert!(head[..read].starts_with(b"GET /healthz HTTP/1.1\r\n"));
                stream.write_all(said.as_bytes()).await.unwrap();
            }
        });
        assert_eq!(http(Ipv4Addr::LOCALHOST, tcp).await.unwrap(), "ok");
        let degraded = http(Ipv4Addr::LOCALHOST, tcp).await.unwrap();
        assert_eq!(degraded, "degraded; records: x");
        assert!(http(Ipv4Addr::LOCALHOST, tcp).await.is_err());

        let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
        let udp = socket.local_addr().unwrap().port();
        let answered = tokio::spawn(async move {
            let mut request = [0; 512];
            let (read, peer) = socket.recv_from(&mut request).await.unwrap();
            assert_eq!(&request[..read], REQUEST);
            socket
                .send_to(b"\x00\x05\x00\x01no\x00", peer)
                .await
                .unwrap();
        });
        tftp(Ipv4Addr::LOCALHOST, udp).await.unwrap();
        answered.await.unwrap();
    }
}
