//! Orders over the operators' socket and requests of machines, one connection each. `None`: no whole
//! reply came, so nothing was acknowledged.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddrV4, TcpStream};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::Duration;

use serde_json::Value;

use crate::daemon::SERVER;

const PATIENCE: Duration = Duration::from_secs(20);

/// Status and body of a whole reply.
fn exchange(mut stream: impl Read + Write, request: &str) -> Option<(u16, String)> {
    stream.write_all(request.as_bytes()).ok()?;
    let mut reply = Vec::new();
    stream.read_to_end(&mut reply).ok()?;
    let reply = String::from_utf8(reply).ok()?;
    let (head, body) = reply.split_once("\r\n\r\n")?;
    let mut lines = head.lines();
    let status = lines.next()?.split(' ').nth(1)?.parse().ok()?;
    let length: usize = lines
        .filter_map(|line| line.split_once(": "))
        .find(|(name, _)| name.eq_ignore_ascii_case("content-length"))?
        .1
        .parse()
        .ok()?;
    (body.len() == length).then(|| (status, body.to_owned()))
}

fn socket(path: &Path, request: &str) -> Option<(u16, Value)> {
    let stream = UnixStream::connect(path).ok()?;
    stream.set_read_timeout(Some(PATIENCE)).ok()?;
    let (status, body) = exchange(stream, request)?;
    Some((status, serde_json::from_str(&body).ok()?))
}

/// An order or another change.
pub(crate) fn post(path: &Path, route: &str, body: &str) -> Option<(u16, Value)> {
    let length = body.len();
    socket(
        path,
        &format!(
            "POST /api/v1{route} HTTP/1.0\r\nHost: bootwright\r\nContent-Type: application/json\r\nContent-Length: {length}\r\n\r\n{body}"
        ),
    )
}

pub(crate) fn read(path: &Path, route: &str) -> Option<(u16, Value)> {
    socket(
        path,
        &format!("GET /api/v1{route} HTTP/1.0\r\nHost: bootwright\r\n\r\n"),
    )
}

/// A machine's request, from its own address.
pub(crate) fn get(from: Ipv4Addr, path: &str) -> Option<(u16, String)> {
    use socket2::{Domain, Socket, Type};
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None).ok()?;
    socket.bind(&SocketAddrV4::new(from, 0).into()).ok()?;
    socket
        .connect(&SocketAddrV4::new(SERVER, 8_080).into())
        .ok()?;
    let stream: TcpStream = socket.into();
    stream.set_read_timeout(Some(PATIENCE)).ok()?;
    exchange(stream, &format!("GET {path} HTTP/1.0\r\n\r\n"))
}
