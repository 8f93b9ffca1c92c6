//! Who holds an address on a link: asked by ARP when a machine declines the address that it was given,
//! and before an address is first offered.

use std::net::Ipv4Addr;
use std::time::Duration;

use crate::base::HardwareAddr;
use crate::host::links::Interface;
use crate::serve::packet::{MAX_FRAME, PacketSocket, Wanted};
use crate::wire::frame::{arp_holder, arp_probe};

/// How long answers are waited for: a machine on the link answers within a few milliseconds, one that
/// sleeps or whose switch port learns later.
const WAIT: Duration = Duration::from_millis(300);

/// Asks the link; `None` when nobody but `asking` answers in time. The error is one sentence.
pub(super) async fn holder_of(
    interface: &Interface,
    address: Ipv4Addr,
    asking: HardwareAddr,
) -> Result<Option<HardwareAddr>, String> {
    let Some(own) = interface.ethernet() else {
        return Err(format!("{} is no Ethernet", interface.name));
    };
    let socket = PacketSocket::open(interface, Wanted::Arp)?;
    socket
        .send(&arp_probe(own, address))
        .map_err(|error| error.to_string())?;
    let answered = async {
        let mut frame = vec![0; MAX_FRAME];
        loop {
            let received = socket.recv(&mut frame).await?;
            let frame = frame.get(..received.length).unwrap_or_default();
            let holder = arp_holder(frame, address).map(HardwareAddr::ethernet);
            if let Some(holder) = holder.filter(|holder| *holder != asking) {
                return Ok::<_, std::io::Error>(holder);
            }
        }
    };
    let answered = tokio::time::timeout(WAIT, answered).await;
    // Closing a packet socket waits for all processors to let go of it: some 10 ms in which a thread that
    // answers machines has better things to do.
    tokio::task::spawn_blocking(move || drop(socket));
    match answered {
        Ok(answered) => answered.map(Some).map_err(|error| error.to_string()),
        Err(_) => Ok(None),
    }
}
