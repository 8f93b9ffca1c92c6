//! A packet socket (`AF_PACKET`): frames to clients that cannot be reached by their address yet.
//!
//! A client that does not ask for a broadcast is answered at its hardware address, without ARP
//! (RFC 2131 section 4.1). An entry in the neighbour table would need `NET_ADMIN` and would stay
//! behind; a frame of our own needs `NET_RAW` only.

use std::io;
use std::net::Ipv4Addr;
use std::os::fd::{AsRawFd as _, OwnedFd};

use nix::errno::Errno;
use nix::sys::socket::{AddressFamily, MsgFlags, SockFlag, SockType, bind, send, socket};

use crate::host::links::Interface;
use crate::wire::frame::dhcp_frame;

/// A packet socket on one Ethernet interface; it receives nothing.
#[derive(Debug)]
pub(super) struct LinkSocket {
    fd: OwnedFd,
    hardware: [u8; 6],
}

impl LinkSocket {
    /// Opens it; the error is one sentence that says why replies are sent by broadcast instead.
    pub(super) fn open(interface: &Interface) -> Result<Self, String> {
        let (Some(hardware), Some(link)) = (interface.ethernet(), interface.link) else {
            return Err(format!("{} is no Ethernet", interface.name));
        };
        // Protocol 0: nothing is ever delivered to it.
        let open = || -> Result<OwnedFd, Errno> {
            let fd = socket(
                AddressFamily::Packet,
                SockType::Raw,
                SockFlag::SOCK_CLOEXEC | SockFlag::SOCK_NONBLOCK,
                None,
            )?;
            bind(fd.as_raw_fd(), &link)?;
            Ok(fd)
        };
        match open() {
            Ok(fd) => Ok(Self { fd, hardware }),
            Err(Errno::EPERM | Errno::EACCES) => Err(format!(
                "a packet socket on {} is not permitted; give the program cap_net_raw",
                interface.name
            )),
            Err(errno) => Err(format!("no packet socket on {}: {errno}", interface.name)),
        }
    }

    /// Sends a DHCP message in a frame of its own.
    pub(super) fn send(
        &self,
        payload: &[u8],
        from: Ipv4Addr,
        yiaddr: Ipv4Addr,
        chaddr: [u8; 6],
    ) -> io::Result<()> {
        let frame = dhcp_frame(self.hardware, chaddr, from, yiaddr, payload);
        let sent = send(self.fd.as_raw_fd(), &frame, MsgFlags::MSG_DONTWAIT)?;
        if sent == frame.len() && !frame.is_empty() {
            Ok(())
        } else {
            Err(io::ErrorKind::WriteZero.into())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::host::links::Links;

    #[test]
    fn the_loopback_is_no_ethernet() {
        let lo = Links::read().unwrap().for_interface("lo").unwrap();
        assert_eq!(LinkSocket::open(&lo).unwrap_err(), "lo is no Ethernet");
    }
}
