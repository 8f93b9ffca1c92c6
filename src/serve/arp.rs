//! Who answers on a link for some addresses, all asked at once (ARP, RFC 5227 section 2.1.1).

use std::collections::BTreeMap;
use std::io;
use std::net::Ipv4Addr;
use std::time::Duration;

use super::packet::{MAX_FRAME, PacketSocket, Wanted};
use crate::base::HardwareAddr;
use crate::host::links::Interface;
use crate::wire::frame::{arp_holder, arp_probe};

/// How long answers are waited for after each question: a machine on the link answers within a few milliseconds, one
/// that sleeps or whose switch port learns later.
const WAIT: Duration = Duration::from_millis(300);

/// How often those are asked that have not answered.
const TIMES: u32 = 2;

/// Asks a link who has these addresses; this machine's own are not told. The error is one sentence. Needs `NET_RAW`.
pub(super) async fn holders(
    interface: &Interface,
    addresses: &[Ipv4Addr],
) -> Result<BTreeMap<Ipv4Addr, HardwareAddr>, String> {
    let mut found = BTreeMap::new();
    if addresses.is_empty() {
        return Ok(found);
    }
    let Some(own) = interface.ethernet() else {
        return Err(format!("{} is no Ethernet", interface.name));
    };
    let failed = |error: io::Error| format!("{}: {error}", interface.name);
    let socket = PacketSocket::open(interface, Wanted::Arp)?;
    let mut frame = vec![0; MAX_FRAME];
    let mut ended = Ok(());
    for _ in 0..TIMES {
        for ip in addresses.iter().filter(|ip| !found.contains_key(*ip)) {
            ended = socket.send(&arp_probe(own, *ip)).map_err(failed);
        }
        let answers = async {
            while found.len() < addresses.len() {
                let received = socket.recv(&mut frame).await?;
                let frame = frame.get(..received.length).unwrap_or_default();
                let holder = addresses
                    .iter()
                    .find_map(|ip| Some((*ip, arp_holder(frame, *ip)?)));
                if let Some((ip, octets)) = holder.filter(|(_, octets)| *octets != own) {
                    found.insert(ip, HardwareAddr::ethernet(octets));
                }
            }
            Ok::<_, io::Error>(())
        };
        // Without an end in time: it is asked again, or that was all.
        if let Ok(Err(error)) = tokio::time::timeout(WAIT, answers).await {
            ended = Err(failed(error));
            break;
        }
    }
    // Closing a packet socket waits for all processors to let go of it.
    tokio::task::spawn_blocking(move || drop(socket));
    // What was found is so, whatever else failed.
    if found.is_empty() {
        ended?;
    }
    Ok(found)
}
