//! Who holds an address on a link: asked by ARP when a machine declines the address that it was given.

use std::io;
use std::net::Ipv4Addr;
use std::os::fd::AsRawFd as _;
use std::time::Duration;

use nix::errno::Errno;
use nix::sys::socket::bind;
use socket2::{Domain, Protocol, Socket, Type};
use tokio::io::unix::AsyncFd;

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
    let socket = AsyncFd::new(socket)?;
    socket.get_ref().send(&arp_probe(own, address))?;
    let answered = async {
        loop {
            let mut ready = socket.readable().await?;
            let mut frame = [0; 128];
            let received = ready.try_io(|socket| {
                nix::sys::socket::recv(
                    socket.get_ref().as_raw_fd(),
                    &mut frame,
                    nix::sys::socket::MsgFlags::empty(),
                )
                .map_err(Errno::into)
            });
            let Ok(received) = received else { continue };
            let frame = frame.get(..received?).unwrap_or_default();
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
