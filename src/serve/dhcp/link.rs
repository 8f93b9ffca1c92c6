//! A packet socket (`AF_PACKET`): frames to clients that cannot be reached by their address yet.
//!
//! A client that does not ask for a broadcast is answered at its hardware address, without ARP
//! (RFC 2131 section 4.1). An entry in the neighbour table would need `NET_ADMIN` and would stay
//! behind; a frame of our own needs `NET_RAW` only.

use std::io;
use std::net::Ipv4Addr;
use std::os::fd::{AsRawFd as _, OwnedFd};

use crate::host::links::Interface;
use crate::serve::packet::{Opened, Wanted, send_frame};
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
        let opened = Opened::open(interface, Wanted::Nothing)?;
        Ok(Self {
            hardware: opened.hardware,
            fd: opened.into_fd(),
        })
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
        send_frame(self.fd.as_raw_fd(), &frame)
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
