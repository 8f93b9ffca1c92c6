//! One UDP socket for each interface, bound to the device, telling where each datagram was sent to.
//!
//! Opened as a plain socket before the privileges are dropped, used by the runtime afterwards.
//! `SO_BINDTODEVICE` lets another DHCP server serve other interfaces of the same machine, as libvirt's
//! does. Where that one listens on all of them the port is shared (`SO_REUSEADDR`, if it allows), and
//! that is told.

use std::io::{self, IoSlice, IoSliceMut};
use std::net::{Ipv4Addr, SocketAddrV4, UdpSocket};
use std::os::fd::{AsRawFd as _, RawFd};
use std::sync::Arc;

use nix::libc;
use nix::sys::socket::{
    ControlMessage, ControlMessageOwned, MsgFlags, SockaddrIn, recvmsg, sendmsg, setsockopt,
    sockopt,
};
use socket2::{Domain, Protocol, Socket, Type};
use tokio::io::Interest;

use super::link::LinkSocket;
use crate::host::links::Interface;
use crate::host::preflight::{self, CannotListen, Transport};

/// Receive buffer, in bytes: a site that comes back after a power failure sends thousands of DISCOVERs
/// at once, and each lost one costs its machine a second or more.
const RECEIVE_BUFFER: usize = 16 << 20;

/// Send buffer, in bytes: replies that wait until the kernel has found a relay or a router by ARP.
const SEND_BUFFER: usize = 4 << 20;

/// Largest datagram read, in bytes; DHCP over Ethernet has at most 1,472.
const MAX_DATAGRAM: usize = 4_096;

/// What is asked at a socket.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Door {
    /// DHCP (port 67).
    Dhcp,
    /// What to boot, by machines that have their address (port 4011).
    Proxy,
}

impl Door {
    /// The service, in messages.
    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Dhcp => "DHCP",
            Self::Proxy => "ProxyDHCP",
        }
    }
}

/// What a socket is bound to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Place {
    /// The interface's name.
    pub(super) iface: Arc<str>,
    /// Its index: an interface that is put back has another one.
    pub(super) index: u32,
    /// What is asked there.
    pub(super) door: Door,
    /// The UDP port.
    pub(super) port: u16,
}

/// An open socket, not yet in the runtime's hands.
#[derive(Debug)]
pub(super) struct Opened {
    pub(super) place: Place,
    pub(super) udp: UdpSocket,
    /// Who listens on the same port, perhaps on the same interface.
    pub(super) shared_with: Option<String>,
    /// For frames to clients without an address; `None` with the reason when there is none.
    pub(super) link: Result<LinkSocket, String>,
}

/// Opens the socket of one interface.
pub(super) fn open(interface: &Interface, door: Door, port: u16) -> Result<Opened, CannotListen> {
    let taken = |error: &io::Error| error.kind() == io::ErrorKind::AddrInUse;
    let holder = || preflight::holder(Transport::Udp, port);
    let mut shared_with = None;
    let udp = match open_udp(interface, port, false) {
        Err(error) if taken(&error) => {
            shared_with = Some(holder().unwrap_or_else(|| "another process".to_owned()));
            open_udp(interface, port, true)
        }
        opened => opened,
    };
    let udp = udp.map_err(|error| {
        CannotListen::new(door.name(), &*interface.name, Transport::Udp, port, error)
    })?;
    Ok(Opened {
        place: Place {
            iface: Arc::clone(&interface.name),
            index: interface.index,
            door,
            port,
        },
        udp,
        shared_with,
        link: match door {
            Door::Dhcp => LinkSocket::open(interface),
            Door::Proxy => Err("whoever asks there has an address".to_owned()),
        },
    })
}

fn open_udp(interface: &Interface, port: u16, share: bool) -> io::Result<UdpSocket> {
    let socket = Socket::new(Domain::IPV4, Type::DGRAM, Some(Protocol::UDP))?;
    socket.set_reuse_address(share)?;
    socket.set_broadcast(true)?;
    socket.bind_device(Some(interface.name.as_bytes()))?;
    setsockopt(&socket, sockopt::Ipv4PacketInfo, &true)?;
    // A kernel that does not count what it drops is none to fail for.
    let _ = setsockopt(&socket, sockopt::RxqOvfl, &1);
    if setsockopt(&socket, sockopt::SndBufForce, &SEND_BUFFER).is_err() {
        socket.set_send_buffer_size(SEND_BUFFER)?;
    }
    // Beyond the system's limit only as root; otherwise as much as it allows.
    if setsockopt(&socket, sockopt::RcvBufForce, &RECEIVE_BUFFER).is_err() {
        socket.set_recv_buffer_size(RECEIVE_BUFFER)?;
    }
    socket.set_nonblocking(true)?;
    socket.bind(&SocketAddrV4::new(Ipv4Addr::UNSPECIFIED, port).into())?;
    Ok(socket.into())
}

/// Where datagrams are received, one after the other.
#[derive(Debug)]
pub(super) struct Buffer {
    bytes: Vec<u8>,
    control: Vec<u8>,
}

impl Default for Buffer {
    fn default() -> Self {
        Self {
            bytes: vec![0; MAX_DATAGRAM],
            control: nix::cmsg_space!(libc::in_pktinfo, u32),
        }
    }
}

/// A datagram that came in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Datagram<'a> {
    pub(super) bytes: &'a [u8],
    pub(super) source: SocketAddrV4,
    /// The destination in its header: 255.255.255.255 for a broadcast.
    pub(super) to: Ipv4Addr,
    /// How many packets the kernel has dropped at this socket before this one; nothing while there are none.
    pub(super) dropped: u32,
}

/// A socket in the runtime's hands.
#[derive(Debug)]
pub(super) struct DhcpSocket {
    pub(super) place: Place,
    udp: tokio::net::UdpSocket,
    pub(super) shared_with: Option<String>,
    pub(super) link: Result<LinkSocket, String>,
}

impl DhcpSocket {
    /// Hands an open socket to the runtime.
    pub(super) fn new(opened: Opened) -> io::Result<Self> {
        Ok(Self {
            place: opened.place,
            udp: tokio::net::UdpSocket::from_std(opened.udp)?,
            shared_with: opened.shared_with,
            link: opened.link,
        })
    }

    /// The next datagram, when there is one already: `WouldBlock` when not. After any other error the
    /// socket can be used again.
    pub(super) fn try_recv<'a>(&self, buffer: &'a mut Buffer) -> io::Result<Datagram<'a>> {
        self.udp
            .try_io(Interest::READABLE, || receive(self.udp.as_raw_fd(), buffer))
    }

    /// Waits until there may be a datagram.
    pub(super) async fn readable(&self) -> io::Result<()> {
        self.udp.readable().await
    }

    /// Sends a datagram by this interface, from this address where it is one of this machine's.
    ///
    /// Never waits: the socket is full while the kernel looks for a relay or machine that does not answer
    /// ARP, seconds for each one that anybody writes into a packet, and nobody else is to wait for them.
    pub(super) fn send(&self, bytes: &[u8], from: Ipv4Addr, to: SocketAddrV4) -> io::Result<()> {
        let sent = self.send_from(bytes, from, to);
        match sent {
            // The address that machines know this server by need not be one of this machine's own
            // (a virtual one, or one behind a translation): then the kernel chooses.
            Err(error)
                if !from.is_unspecified()
                    && matches!(
                        error.raw_os_error(),
                        Some(libc::EINVAL | libc::ENETUNREACH | libc::EADDRNOTAVAIL)
                    ) =>
            {
                self.send_from(bytes, Ipv4Addr::UNSPECIFIED, to)
            }
            sent => sent,
        }
    }

    fn send_from(&self, bytes: &[u8], from: Ipv4Addr, to: SocketAddrV4) -> io::Result<()> {
        let index = libc::c_int::try_from(self.place.index).unwrap_or_default();
        transmit(self.udp.as_raw_fd(), bytes, index, from, to).map_err(|error| {
            if error.kind() == io::ErrorKind::WouldBlock {
                io::Error::other("too many replies wait for machines that do not answer ARP")
            } else {
                error
            }
        })
    }
}

fn receive(fd: RawFd, buffer: &mut Buffer) -> io::Result<Datagram<'_>> {
    let Buffer { bytes, control } = buffer;
    let mut dropped = 0;
    let (len, source, to) = {
        let mut parts = [IoSliceMut::new(bytes)];
        let message = recvmsg::<SockaddrIn>(
            fd,
            &mut parts,
            Some(control),
            MsgFlags::MSG_DONTWAIT | MsgFlags::MSG_CMSG_CLOEXEC,
        )?;
        let mut to = Ipv4Addr::BROADCAST;
        for control in message.cmsgs()? {
            match control {
                ControlMessageOwned::Ipv4PacketInfo(info) => to = address(info.ipi_addr),
                ControlMessageOwned::RxqOvfl(count) => dropped = count,
                _ => {}
            }
        }
        let source = message
            .address
            .map_or(SocketAddrV4::new(Ipv4Addr::UNSPECIFIED, 0), Into::into);
        (message.bytes, source, to)
    };
    let bytes = bytes.get(..len).unwrap_or_default();
    Ok(Datagram {
        bytes,
        source,
        to,
        dropped,
    })
}

fn transmit(
    fd: RawFd,
    bytes: &[u8],
    index: libc::c_int,
    from: Ipv4Addr,
    to: SocketAddrV4,
) -> io::Result<()> {
    let info = libc::in_pktinfo {
        ipi_ifindex: index,
        ipi_spec_dst: libc::in_addr {
            s_addr: u32::from_ne_bytes(from.octets()),
        },
        ipi_addr: libc::in_addr { s_addr: 0 },
    };
    let sent = sendmsg(
        fd,
        &[IoSlice::new(bytes)],
        &[ControlMessage::Ipv4PacketInfo(&info)],
        MsgFlags::MSG_DONTWAIT,
        Some(&SockaddrIn::from(to)),
    )?;
    if sent == bytes.len() {
        Ok(())
    } else {
        Err(io::ErrorKind::WriteZero.into())
    }
}

fn address(raw: libc::in_addr) -> Ipv4Addr {
    Ipv4Addr::from(raw.s_addr.to_ne_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::host::links::Links;
    use std::time::Duration;

    /// On the loopback: bound to the device, so it needs no privilege since Linux 5.7.
    fn loopback() -> DhcpSocket {
        let lo = Links::read().unwrap().for_interface("lo").unwrap();
        DhcpSocket::new(open(&lo, Door::Dhcp, 0).unwrap()).unwrap()
    }

    async fn recv(socket: &DhcpSocket) -> (Vec<u8>, SocketAddrV4, Ipv4Addr) {
        let mut buffer = Buffer::default();
        loop {
            socket.readable().await.unwrap();
            match socket.try_recv(&mut buffer) {
                Ok(Datagram {
                    bytes, source, to, ..
                }) => return (bytes.to_vec(), source, to),
                Err(error) => assert_eq!(error.kind(), io::ErrorKind::WouldBlock),
            }
        }
    }

    #[tokio::test]
    async fn tells_where_a_datagram_was_sent_to_and_answers_from_there() {
        let server = loopback();
        let port = server.udp.local_addr().unwrap().port();
        let client = tokio::net::UdpSocket::bind("127.0.0.5:0").await.unwrap();
        client.send_to(b"hello", ("127.0.0.9", port)).await.unwrap();
        let (bytes, source, to) = recv(&server).await;
        assert_eq!(bytes, b"hello");
        assert_eq!(to, Ipv4Addr::new(127, 0, 0, 9));
        assert_eq!(
            SocketAddrV4::new([127, 0, 0, 5].into(), source.port()),
            source
        );

        server.send(b"back", to, source).unwrap();
        let mut buf = [0; 16];
        let (len, from) = client.recv_from(&mut buf).await.unwrap();
        assert_eq!(&buf[..len], b"back");
        assert_eq!(from.to_string(), format!("127.0.0.9:{port}"));

        // An address that is not this machine's: the kernel chooses one.
        let foreign = Ipv4Addr::new(192, 0, 2, 1);
        server.send(b"again", foreign, source).unwrap();
        let (len, from) = client.recv_from(&mut buf).await.unwrap();
        assert_eq!((&buf[..len], from.port()), (b"again".as_slice(), port));
    }

    #[tokio::test]
    async fn what_the_kernel_has_dropped_is_counted() {
        let server = loopback();
        let port = server.udp.local_addr().unwrap().port();
        // Room for a few: the kernel's least.
        setsockopt(&server.udp, sockopt::RcvBuf, &1).unwrap();
        let client = UdpSocket::bind("127.0.0.1:0").unwrap();
        let sent = 64;
        for _ in 0..sent {
            client.send_to(&[0; 1_000], ("127.0.0.1", port)).unwrap();
        }
        let mut buffer = Buffer::default();
        server.readable().await.unwrap();
        let mut received = 0;
        while let Ok(datagram) = server.try_recv(&mut buffer) {
            assert_eq!(
                datagram.dropped, 0,
                "they came before the first was dropped"
            );
            received += 1;
        }
        assert!((1..sent).contains(&received), "{received}");
        client.send_to(b"later", ("127.0.0.1", port)).unwrap();
        loop {
            server.readable().await.unwrap();
            match server.try_recv(&mut buffer) {
                Ok(datagram) => {
                    assert_eq!(
                        (datagram.bytes, datagram.dropped),
                        (&b"later"[..], sent - received)
                    );
                    break;
                }
                Err(error) => assert_eq!(error.kind(), io::ErrorKind::WouldBlock),
            }
        }
    }

    #[tokio::test]
    async fn waits_for_a_datagram() {
        let server = loopback();
        let waited = tokio::time::timeout(Duration::from_millis(20), recv(&server)).await;
        assert!(waited.is_err(), "nothing was sent");
    }

    #[test]
    fn a_taken_port_names_the_remedy() {
        let lo = Links::read().unwrap().for_interface("lo").unwrap();
        let taken = UdpSocket::bind("0.0.0.0:0").unwrap();
        let port = taken.local_addr().unwrap().port();
        let error = open(&lo, Door::Dhcp, port).unwrap_err().in_one_line();
        assert!(error.starts_with(&format!("DHCP cannot listen on lo, UDP port {port}: ")));
        assert!(error.contains("stop it, or keep it off lo"), "{error}");
        assert!(
            error.contains(&format!("(pid {})", std::process::id())),
            "{error}"
        );
    }

    #[test]
    fn a_port_that_may_be_shared_is_shared_and_told() {
        let lo = Links::read().unwrap().for_interface("lo").unwrap();
        let other = Socket::new(Domain::IPV4, Type::DGRAM, None).unwrap();
        other.set_reuse_address(true).unwrap();
        other
            .bind(&SocketAddrV4::new(Ipv4Addr::UNSPECIFIED, 0).into())
            .unwrap();
        let address = other.local_addr().unwrap().as_socket().unwrap();
        let opened = open(&lo, Door::Dhcp, address.port()).unwrap();
        let holder = opened.shared_with.expect("told");
        assert!(holder.ends_with(&format!("(pid {})", std::process::id())));
        // Alone, it does not let a second server of its own kind in.
        let alone = open(&lo, Door::Dhcp, 0).unwrap();
        assert_eq!(alone.shared_with, None);
        let port = alone.udp.local_addr().unwrap().port();
        assert!(open(&lo, Door::Dhcp, port).is_err());
    }
}
