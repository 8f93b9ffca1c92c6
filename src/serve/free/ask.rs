//! Who answers for some addresses: on the link by ARP, and by ICMP echo. Each asks all of them at once, twice.

use std::io;
use std::net::{Ipv4Addr, SocketAddr, SocketAddrV4};
use std::time::Duration;

use socket2::{Domain, Protocol, Socket, Type};
use tokio::net::UdpSocket;

use super::{Around, Asked};
use crate::serve::arp::holders;
use crate::wire::icmp::{echo_request, is_echo_reply, is_echo_reply_message};

/// How long answers are waited for after each of the two questions.
const WAIT: Duration = Duration::from_millis(300);

/// How often everybody is asked.
const TIMES: u16 = 2;

/// Asks the link of the subnet.
pub(super) async fn arp(addresses: &[Ipv4Addr], around: Around<'_>) -> Asked {
    let Around {
        snapshot,
        subnet,
        links,
    } = around;
    let mut asked = Asked::default();
    if addresses.is_empty() {
        return asked;
    }
    let on_link = links.iter().find(|interface| {
        let mut own = interface.addresses.iter();
        interface.up && own.any(|own| own.prefix_len() < 32 && subnet.network.contains(&own.addr()))
    });
    let Some(interface) = on_link else {
        return Asked::not(format!(
            "this machine is not on the link of {}",
            subnet.network
        ));
    };
    match holders(interface, addresses).await {
        Ok(found) => {
            let told = |mac| match snapshot.host_by_mac(mac) {
                Some(host) => format!("{mac} ({}) answers", host.name),
                None => format!("{mac} answers"),
            };
            asked.taken = found.into_iter().map(|(ip, mac)| (ip, told(mac))).collect();
            asked
        }
        Err(why) => Asked::not(why),
    }
}

/// Asks by ICMP echo.
pub(super) async fn ping(addresses: &[Ipv4Addr]) -> Asked {
    let mut asked = Asked::default();
    if addresses.is_empty() {
        return asked;
    }
    let (socket, is_raw) = match open() {
        Ok(opened) => opened,
        Err(error) => return Asked::not(told(&error)),
    };
    let identifier = u16::try_from(std::process::id() & 0xffff).unwrap_or_default();
    let mut reached = false;
    let mut buffer = [0; 576];
    for sequence in 1..=TIMES {
        let request = echo_request(identifier, sequence);
        for ip in addresses.iter().filter(|ip| !asked.taken.contains_key(ip)) {
            match socket.send_to(&request, SocketAddrV4::new(*ip, 0)).await {
                Ok(_) => reached = true,
                Err(error) => asked.trouble = Some(told(&error)),
            }
        }
        let answers = async {
            while asked.taken.len() < addresses.len() {
                // What comes back as an error was sent to another address: that nobody has it is no news.
                let Ok((length, SocketAddr::V4(from))) = socket.recv_from(&mut buffer).await else {
                    continue;
                };
                let packet = buffer.get(..length).unwrap_or_default();
                let is_reply = if is_raw {
                    is_echo_reply(packet, identifier)
                } else {
                    is_echo_reply_message(packet)
                };
                if is_reply && addresses.contains(from.ip()) {
                    asked.taken.insert(*from.ip(), "answers to ping".to_owned());
                }
            }
        };
        let _ = tokio::time::timeout(WAIT, answers).await;
    }
    if reached {
        asked.trouble = None;
    }
    asked
}

fn told(error: &io::Error) -> String {
    match error.kind() {
        io::ErrorKind::PermissionDenied => "not permitted; it takes root or cap_net_raw".to_owned(),
        io::ErrorKind::NetworkUnreachable => "there is no route to the subnet".to_owned(),
        _ => error.to_string(),
    }
}

/// A raw socket; without the privilege one that the kernel lets some users have (`net.ipv4.ping_group_range`).
/// Whether it is raw.
fn open() -> io::Result<(UdpSocket, bool)> {
    let raw = Socket::new(Domain::IPV4, Type::RAW, Some(Protocol::ICMPV4));
    let (socket, is_raw) = match raw {
        Ok(socket) => (socket, true),
        Err(_) => (
            Socket::new(Domain::IPV4, Type::DGRAM, Some(Protocol::ICMPV4))?,
            false,
        ),
    };
    socket.set_nonblocking(true)?;
    // Not of UDP, but sent to and received from like one.
    Ok((UdpSocket::from_std(socket.into())?, is_raw))
}
