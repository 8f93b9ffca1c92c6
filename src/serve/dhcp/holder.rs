//! Who holds an address on a link: asked by ARP when a machine declines the address that it was given.

use std::io;
use std::net::Ipv4Addr;
use std::os::fd::AsRawFd as _;
use std::time::Duration;

use nix::sys::socket::bind;
use socket2::{Domain, Protocol, Socket, Type};
use tokio::net::UdpSocket;

use crate::base::HardwareAddr;
use crate::host::links::Interface;
use crate::wire::frame::{ARP, arp_holder, arp_probe};

/// How long answers are waited for: a machine on the link answers within a few milliseconds, one that
/// sleeps or whose switch port learns later.
const WAIT: Duration = Duration::from_millis(300);

/// Asks the link; `None` when nobody but `asking` answers in time.
pub(super) async fn holder_of(
    interface: &Interface,
    address: Ipv4Addr,
    asking: HardwareAddr,
) -> io::Result<Option<HardwareAddr>> {
    let (Some(own), Some(link)) = (interface.ethernet(), interface.link) else {
        return Err(io::Error::other(format!(
            "{} is no Ethernet",
            interface.name
        )));
    };
    let socket = Socket::new(
        Domain::PACKET,
        Type::RAW,
        Some(Protocol::from(i32::from(ARP.to_be()))),
    )?;
    socket.set_nonblocking(true)?;
    bind(socket.as_raw_fd(), &link)?;
    // Not of UDP, but sent to and received from like one: the bytes go through as they are.
    let socket = UdpSocket::from_std(socket.into())?;
    socket.send(&arp_probe(own, address)).await?;
    let answered = async {
        loop {
            let mut frame = [0; 128];
            let received = socket.recv(&mut frame).await?;
            let frame = frame.get(..received).unwrap_or_default();
            let holder = arp_holder(frame, address).map(HardwareAddr::ethernet);
            if let Some(holder) = holder.filter(|holder| *holder != asking) {
                return Ok(holder);
            }
        }
    };
    match tokio::time::timeout(WAIT, answered).await {
        Ok(answered) => answered.map(Some),
        Err(_) => Ok(None),
    }
}
