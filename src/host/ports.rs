//! Which sockets are at a port, and whose they are, as far as `/proc` tells (proc_net(5)).

use std::collections::HashMap;
use std::net::Ipv4Addr;

use crate::base::Transport;
use crate::diagnose::doctor::Held;

/// A socket in a table of `/proc/net`.
#[derive(Debug, PartialEq, Eq)]
struct Bound {
    transport: Transport,
    port: u16,
    /// 0.0.0.0: all addresses.
    address: Ipv4Addr,
    inode: u64,
}

/// The sockets at these ports that IPv4 can reach. Processes of other users show theirs to root only.
pub fn held(ports: &[(Transport, u16)]) -> Vec<Held> {
    let tables = [
        (Transport::Udp, "udp"),
        (Transport::Udp, "udp6"),
        (Transport::Tcp, "tcp"),
        (Transport::Tcp, "tcp6"),
    ];
    let mut bound = Vec::new();
    for (transport, table) in tables {
        if let Ok(text) = std::fs::read_to_string(format!("/proc/net/{table}")) {
            let sockets = sockets(&text, transport);
            bound.extend(sockets.filter(|socket| ports.contains(&(transport, socket.port))));
        }
    }
    let owners = owners(&bound);
    bound
        .into_iter()
        .map(|socket| Held {
            transport: socket.transport,
            port: socket.port,
            address: (!socket.address.is_unspecified()).then_some(socket.address),
            by: owners.get(&socket.inode).cloned(),
        })
        .collect()
}

/// Reads one table: local address and port in hexadecimal, the state, and the inode in the tenth column.
fn sockets(table: &str, transport: Transport) -> impl Iterator<Item = Bound> {
    const LISTEN: &str = "0A";
    table.lines().skip(1).filter_map(move |line| {
        let columns: Vec<&str> = line.split_whitespace().collect();
        let (address, port) = columns.get(1)?.rsplit_once(':')?;
        if transport == Transport::Tcp && *columns.get(3)? != LISTEN {
            return None;
        }
        Some(Bound {
            transport,
            port: u16::from_str_radix(port, 16).ok()?,
            address: address_of(address)?,
            inode: columns.get(9)?.parse().ok()?,
        })
    })
}

/// An address as the kernel prints it, in words of its own byte order; `::` is 0.0.0.0. `None`: no IPv4 packet comes
/// there.
fn address_of(hex: &str) -> Option<Ipv4Addr> {
    let word = |at: usize| {
        let digits = hex.get(at * 8..at * 8 + 8)?;
        Some(u32::from_str_radix(digits, 16).ok()?.to_ne_bytes())
    };
    let address = match hex.len() {
        8 => word(0)?,
        32 => match [word(0)?, word(1)?, word(2)?] {
            // `::`, or ::ffff:0:0/96 (RFC 4291 section 2.5.5.2).
            [[0, 0, 0, 0], [0, 0, 0, 0], [0, 0, 0, 0]] if word(3)? == [0; 4] => [0; 4],
            [[0, 0, 0, 0], [0, 0, 0, 0], [0, 0, 0xff, 0xff]] => word(3)?,
            _ => return None,
        },
        _ => return None,
    };
    Some(Ipv4Addr::from(address))
}

/// Name and number of the process of each socket; of several the one with the lowest number.
fn owners(bound: &[Bound]) -> HashMap<u64, (String, u32)> {
    let mut owners = HashMap::new();
    if bound.is_empty() {
        return owners;
    }
    let entries = std::fs::read_dir("/proc").into_iter().flatten().flatten();
    let mut pids: Vec<u32> = entries
        .filter_map(|entry| entry.file_name().to_str()?.parse().ok())
        .collect();
    pids.sort_unstable();
    for pid in pids {
        let Ok(descriptors) = std::fs::read_dir(format!("/proc/{pid}/fd")) else {
            continue;
        };
        for descriptor in descriptors.flatten() {
            let inode = std::fs::read_link(descriptor.path())
                .ok()
                .and_then(|target| {
                    let inode = target.to_str()?.strip_prefix("socket:[")?;
                    inode.strip_suffix(']')?.parse().ok()
                });
            let Some(inode) = inode.filter(|inode| bound.iter().any(|one| one.inode == *inode))
            else {
                continue;
            };
            if let Ok(name) = std::fs::read_to_string(format!("/proc/{pid}/comm")) {
                owners
                    .entry(inode)
                    .or_insert_with(|| (name.trim().to_owned(), pid));
            }
        }
    }
    owners
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_port_of_our_own_is_ours() {
        let udp = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
        let tcp = std::net::TcpListener::bind("0.0.0.0:0").unwrap();
        let ports = [
            (Transport::Udp, udp.local_addr().unwrap().port()),
            (Transport::Tcp, tcp.local_addr().unwrap().port()),
        ];
        let held = held(&ports);
        let found = |wanted: (Transport, u16)| {
            let mut held = held.iter();
            held.find(|held| (held.transport, held.port) == wanted)
                .unwrap()
        };
        assert_eq!(found(ports[0]).address, Some(Ipv4Addr::LOCALHOST));
        assert_eq!(found(ports[1]).address, None);
        for port in ports {
            let (name, pid) = found(port).by.clone().unwrap();
            assert!(!name.is_empty());
            assert_eq!(pid, std::process::id());
        }
    }

    #[test]
    fn tables_of_proc_net() {
        let localhost = if cfg!(target_endian = "little") {
            "0100007F"
        } else {
            "7F000001"
        };
        let table = format!(
            "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode\n\
             1: 00000000:0043 00000000:0000 07 00000000:00000000 00:00000000 00000000     0        0 4711 2 0 0\n\
             2: {localhost}:0045 00000000:0000 07 00000000:00000000 00:00000000 00000000     0        0 4712 2 0 0\n\
             3: 00000000000000000000000000000000:0043 0:0 0A 0:0 0:0 0 0 0 4713 2\n\
             4: B80D0120000000000000000001000000:0043 0:0 0A 0:0 0:0 0 0 0 4714 2\n"
        );
        let all = Ipv4Addr::UNSPECIFIED;
        let found = |transport| -> Vec<(u16, Ipv4Addr, u64)> {
            sockets(&table, transport)
                .map(|socket| (socket.port, socket.address, socket.inode))
                .collect()
        };
        assert_eq!(
            found(Transport::Udp),
            [
                (67, all, 4711),
                (69, Ipv4Addr::LOCALHOST, 4712),
                (67, all, 4713)
            ]
        );
        assert_eq!(found(Transport::Tcp), [(67, all, 4713)], "listening");
    }
}
