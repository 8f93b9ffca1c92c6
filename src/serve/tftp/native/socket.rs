//! The socket of one transfer: bound to the address that was asked, connected to the client's port.
//!
//! Connected, so that packets of strangers never reach the transfer and a closed port is told by the system.

use std::io::{self, IoSlice};
use std::net::{Ipv4Addr, SocketAddrV4};
use std::os::fd::AsRawFd as _;

use nix::errno::Errno;
use nix::sys::socket::{ControlMessage, MsgFlags, getsockopt, recv, send, sendmsg, sockopt};
use socket2::{Domain, Protocol, Socket, Type};
use tokio::io::Interest;
use tokio::net::UdpSocket;

use crate::decide::transfer::Batch;

/// A connected socket.
#[derive(Debug)]
pub(super) struct Connected {
    socket: UdpSocket,
    /// The kernel cuts several packets out of one buffer (`UDP_SEGMENT`).
    can_segment: bool,
}

impl Connected {
    /// From this address to that client.
    pub(super) fn open(local: Ipv4Addr, peer: SocketAddrV4) -> io::Result<Self> {
        Ok(Self {
            socket: UdpSocket::from_std(connected(local, peer)?.into())?,
            can_segment: true,
        })
    }

    /// What the path carries in one piece, as far as the system knows.
    pub(super) fn mtu(&self) -> Option<u32> {
        getsockopt(&self.socket, sockopt::IpMtu)
            .ok()
            .and_then(|mtu| u32::try_from(mtu).ok())
    }

    /// The socket, to be waited for.
    pub(super) const fn socket(&self) -> &UdpSocket {
        &self.socket
    }

    /// Takes a packet. Whether there is another one the runtime forgets: it tells of the next that comes, and who wants
    /// to know of one that is there already calls again.
    pub(super) fn receive(&self, buffer: &mut [u8]) -> io::Result<usize> {
        let fd = self.socket.as_raw_fd();
        let mut take = || Ok(recv(fd, buffer, MsgFlags::MSG_DONTWAIT)?);
        let mut taken = None;
        let _ = self.socket.try_io(Interest::READABLE, || {
            taken = Some(take());
            Err::<(), _>(io::ErrorKind::WouldBlock.into())
        });
        // It was told of none since the last one.
        taken.unwrap_or_else(take)
    }

    /// Sends packets, in one call where the kernel can. What it has no room for is waited for.
    pub(super) async fn send(&mut self, bytes: &[u8], batch: Batch) -> io::Result<()> {
        if batch.packets > 1 && self.can_segment {
            match self.send_segments(bytes, batch.segment).await {
                Err(error) if cannot_segment(&error) => self.can_segment = false,
                sent => return sent,
            }
        }
        for packet in bytes.chunks(batch.segment.max(1)) {
            let fd = self.socket.as_raw_fd();
            self.when_ready(|| Ok(send(fd, packet, MsgFlags::empty()).map(drop)?))
                .await?;
        }
        Ok(())
    }

    async fn send_segments(&self, bytes: &[u8], segment: usize) -> io::Result<()> {
        let segment = u16::try_from(segment).map_err(|_| io::ErrorKind::InvalidInput)?;
        let fd = self.socket.as_raw_fd();
        self.when_ready(|| {
            let parts = [IoSlice::new(bytes)];
            let control = [ControlMessage::UdpGsoSegments(&segment)];
            sendmsg::<()>(fd, &parts, &control, MsgFlags::empty(), None)?;
            Ok(())
        })
        .await
    }

    /// At once, for there is nearly always room; otherwise when there is.
    async fn when_ready(&self, mut send: impl FnMut() -> io::Result<()>) -> io::Result<()> {
        match send() {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                // Apart, as it is rare and each transfer would have room for it.
                Box::pin(self.socket.async_io(Interest::WRITABLE, send)).await
            }
            sent => sent,
        }
    }
}

/// Sends one packet from a socket of its own; whether it arrives is nobody's concern.
pub(super) fn send_once(local: Ipv4Addr, peer: SocketAddrV4, packet: &[u8]) {
    if let Ok(socket) = connected(local, peer) {
        let _ = socket.send(packet);
    }
}

fn connected(local: Ipv4Addr, peer: SocketAddrV4) -> io::Result<Socket> {
    let kind = Type::DGRAM.nonblocking().cloexec();
    let socket = Socket::new(Domain::IPV4, kind, Some(Protocol::UDP))?;
    socket.bind(&SocketAddrV4::new(local, 0).into())?;
    socket.connect(&peer.into())?;
    Ok(socket)
}

/// No segmentation in this kernel, by this card, or for packets of this size on this path.
fn cannot_segment(error: &io::Error) -> bool {
    let errno = error.raw_os_error().map(Errno::from_raw);
    matches!(
        errno,
        Some(
            Errno::EINVAL
                | Errno::EIO
                | Errno::EMSGSIZE
                | Errno::ENOPROTOOPT
                | Errno::EOPNOTSUPP
                | Errno::ENOSYS
        )
    ) || error.kind() == io::ErrorKind::InvalidInput
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn packets_leave_in_one_call_or_one_by_one() {
        let client = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
        client
            .set_read_timeout(Some(std::time::Duration::from_secs(5)))
            .unwrap();
        let std::net::SocketAddr::V4(peer) = client.local_addr().unwrap() else {
            panic!("an IPv4 socket")
        };
        let mut socket = Connected::open(Ipv4Addr::new(127, 0, 0, 2), peer).unwrap();
        assert!(socket.mtu().unwrap() > 1_500);
        let bytes: Vec<u8> = (0..=254).cycle().take(10_300).collect();
        let batch = Batch {
            segment: 1_000,
            packets: 11,
        };
        for can_segment in [true, false] {
            socket.can_segment = can_segment;
            socket.send(&bytes, batch).await.unwrap();
            let mut got = Vec::new();
            for at in 0..11 {
                let mut buffer = [0; 2_000];
                let (len, from) = client.recv_from(&mut buffer).unwrap();
                assert_eq!(from.ip(), Ipv4Addr::new(127, 0, 0, 2));
                assert_eq!(len, if at < 10 { 1_000 } else { 300 });
                got.extend_from_slice(&buffer[..len]);
            }
            assert!(got == bytes);
        }
    }
}
