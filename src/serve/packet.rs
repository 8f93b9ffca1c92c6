//! Packet sockets (`AF_PACKET`): whole frames of one Ethernet interface, sent and received.
//!
//! Opened as plain sockets, before the privileges are dropped where that is possible ([`Opened`]), used by
//! the runtime afterwards ([`PacketSocket`]). What is received passes a filter in the kernel.
//!
//! **Invariant:** what the filter does not want never reaches the process, and of what it wants no more than
//! its [`Frames`] allow is worked on in a second: a flood costs a bounded share of a processor, and
//! the rest is dropped in the kernel.

use std::io::{self, Read as _};
use std::os::fd::{AsRawFd as _, OwnedFd, RawFd};
use std::sync::Arc;
use std::time::Duration;

use nix::errno::Errno;
use nix::libc;
use nix::sys::socket::{LinkAddr, MsgFlags, bind, recvfrom, send};
use socket2::{Domain, Protocol, SockFilter, Socket, Type};
use tokio::io::Interest;
use tokio::net::UdpSocket;
use tokio::time::Instant;

use crate::host::links::Interface;

/// Largest frame taken, in bytes; longer ones are cut.
pub(super) const MAX_FRAME: usize = 2_048;

/// Receive buffer in bytes: what waits while a second's budget is used up.
const RECEIVE_BUFFER: usize = 256 << 10;

/// What a socket receives.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Wanted {
    /// Nothing: it only sends.
    Nothing,
    /// ARP (RFC 826).
    Arp,
    /// IPv6 router solicitations and advertisements (RFC 4861), also those that other programs of this
    /// machine send there.
    Ndp,
    /// DHCP messages from servers to clients: UDP from port 67 to port 68.
    DhcpReplies,
}

impl Wanted {
    /// The protocol that the kernel delivers (`ETH_P_…`). Only a socket of `ETH_P_ALL` is shown what this
    /// machine sends.
    const fn protocol(self) -> i32 {
        match self {
            Self::Nothing => 0,
            Self::Arp => libc::ETH_P_ARP,
            Self::Ndp => libc::ETH_P_ALL,
            Self::DhcpReplies => libc::ETH_P_IP,
        }
    }

    /// The filter, in the kernel's classic BPF.
    fn filter(self) -> Vec<SockFilter> {
        use bpf::{
            AT_LEAST, BELOW, Check, EQUAL, HeaderLength, LOAD_BYTE, LOAD_HALF,
            LOAD_HALF_AFTER_HEADER, NO_BIT, OTHER_THAN, PACKET_TYPE, PASSING_BY, VLAN_TAG,
            assemble,
        };
        // Of no VLAN that has no interface here.
        let mut program = vec![Check(LOAD_BYTE, VLAN_TAG, EQUAL, 0)];
        match self {
            Self::Nothing => {}
            Self::Arp => program.extend([
                Check(LOAD_BYTE, PACKET_TYPE, BELOW, PASSING_BY),
                Check(LOAD_HALF, 12, EQUAL, 0x0806),
            ]),
            Self::Ndp => program.extend([
                Check(LOAD_BYTE, PACKET_TYPE, OTHER_THAN, PASSING_BY),
                Check(LOAD_HALF, 12, EQUAL, 0x86dd),
                // ICMPv6 right after the header, of type 133 or 134.
                Check(LOAD_BYTE, 20, EQUAL, 58),
                Check(LOAD_BYTE, 54, BELOW, 135),
                Check(LOAD_BYTE, 54, AT_LEAST, 133),
            ]),
            Self::DhcpReplies => program.extend([
                Check(LOAD_BYTE, PACKET_TYPE, BELOW, PASSING_BY),
                Check(LOAD_HALF, 12, EQUAL, 0x0800),
                Check(LOAD_BYTE, 23, EQUAL, 17),
                // No fragment but the first.
                Check(LOAD_HALF, 20, NO_BIT, 0x1fff),
                HeaderLength(14),
                Check(LOAD_HALF_AFTER_HEADER, 14, EQUAL, 67),
                Check(LOAD_HALF_AFTER_HEADER, 16, EQUAL, 68),
            ]),
        }
        assemble(&program)
    }
}

/// The part of classic BPF that is used (Documentation/networking/filter.rst of Linux).
mod bpf {
    use socket2::SockFilter;

    use super::MAX_FRAME;

    pub(super) const LOAD_BYTE: u16 = 0x30;
    pub(super) const LOAD_HALF: u16 = 0x28;
    pub(super) const LOAD_HALF_AFTER_HEADER: u16 = 0x48;
    const LOAD_HEADER_LENGTH: u16 = 0xb1;
    const RETURN: u16 = 0x06;

    // What the kernel knows of a packet besides its bytes: offsets from `SKF_AD_OFF` (-0x1000).
    pub(super) const PACKET_TYPE: u32 = 0xffff_f000 + 4;
    pub(super) const VLAN_TAG: u32 = 0xffff_f000 + 48;
    /// The packet type of what is for another machine (`PACKET_OTHERHOST`). Below it is what is for this
    /// one, a group or all; above it what this machine sends.
    pub(super) const PASSING_BY: u32 = 3;

    /// A comparison: its code, and whether the packet goes on when it is false.
    #[derive(Clone, Copy)]
    pub(super) struct Test(u16, bool);
    pub(super) const EQUAL: Test = Test(0x15, false);
    pub(super) const OTHER_THAN: Test = Test(0x15, true);
    pub(super) const AT_LEAST: Test = Test(0x35, false);
    pub(super) const BELOW: Test = Test(0x35, true);
    pub(super) const NO_BIT: Test = Test(0x45, true);

    #[derive(Clone, Copy)]
    pub(super) enum Step {
        /// Load from this offset and compare with this value; otherwise the packet is dropped.
        Check(u16, u32, Test, u32),
        /// Remember the length of the IPv4 header at this offset.
        HeaderLength(u32),
    }
    pub(super) use Step::{Check, HeaderLength};

    /// Steps one after another; what passes all of them is taken.
    pub(super) fn assemble(steps: &[Step]) -> Vec<SockFilter> {
        let mut program = Vec::new();
        for step in steps {
            match *step {
                Check(load, offset, Test(code, when_false), value) => {
                    // Over the `RETURN`, or into it.
                    let (yes, no) = if when_false { (0, 1) } else { (1, 0) };
                    program.extend([
                        SockFilter::new(load, 0, 0, offset),
                        SockFilter::new(code, yes, no, value),
                        SockFilter::new(RETURN, 0, 0, 0),
                    ]);
                }
                HeaderLength(offset) => {
                    program.push(SockFilter::new(LOAD_HEADER_LENGTH, 0, 0, offset));
                }
            }
        }
        let all = u32::try_from(MAX_FRAME).unwrap_or(u32::MAX);
        program.push(SockFilter::new(RETURN, 0, 0, all));
        program
    }
}

/// An open packet socket on one Ethernet interface, not yet in the runtime's hands.
#[derive(Debug)]
pub(super) struct Opened {
    /// The interface's name.
    pub(super) iface: Arc<str>,
    /// Its index: an interface that is put back has another one.
    pub(super) index: u32,
    /// The interface's own hardware address.
    pub(super) hardware: [u8; 6],
    socket: Socket,
}

impl Opened {
    /// Opens it; the error is one sentence. Needs `NET_RAW`.
    pub(super) fn open(interface: &Interface, wanted: Wanted) -> Result<Self, String> {
        let (Some(hardware), Some(link)) = (interface.ethernet(), interface.link) else {
            return Err(format!("{} is no Ethernet", interface.name));
        };
        let open = || -> io::Result<Socket> {
            // In the byte order of the network (packet(7)).
            let protocol = u16::try_from(wanted.protocol()).unwrap_or_default();
            let protocol = Protocol::from(i32::from(protocol.to_be()));
            let socket = Socket::new(Domain::PACKET, Type::RAW, Some(protocol))?;
            socket.set_nonblocking(true)?;
            if wanted == Wanted::Nothing {
                bind(socket.as_raw_fd(), &link)?;
                return Ok(socket);
            }
            socket.attach_filter(&wanted.filter())?;
            socket.set_recv_buffer_size(RECEIVE_BUFFER)?;
            bind(socket.as_raw_fd(), &link)?;
            // What came in from anywhere before the filter and the interface were set.
            let mut scrap = [0; 1];
            while (&socket).read(&mut scrap).is_ok() {}
            Ok(socket)
        };
        match open() {
            Ok(socket) => Ok(Self {
                iface: Arc::clone(&interface.name),
                index: interface.index,
                hardware,
                socket,
            }),
            Err(error) if error.kind() == io::ErrorKind::PermissionDenied => Err(format!(
                "a packet socket on {} is not permitted; give the program cap_net_raw",
                interface.name
            )),
            Err(error) => Err(format!("no packet socket on {}: {error}", interface.name)),
        }
    }

    /// Hands it to the runtime.
    pub(super) fn listen(self) -> io::Result<PacketSocket> {
        Ok(PacketSocket {
            socket: UdpSocket::from_std(self.socket.into())?,
        })
    }

    /// For sending only, without a runtime.
    pub(super) fn into_fd(self) -> OwnedFd {
        self.socket.into()
    }
}

/// A packet socket in the runtime's hands.
#[derive(Debug)]
pub(super) struct PacketSocket {
    /// The runtime's way of waiting for a socket, of whichever kind; nothing of UDP is used.
    socket: UdpSocket,
}

/// A frame that came in, or that this machine sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Received {
    /// How many bytes of the buffer it fills.
    pub(super) length: usize,
    /// Whether this machine sends it: another program, or the system.
    pub(super) is_sent_here: bool,
}

impl PacketSocket {
    /// Opens it at once; the error is one sentence. Needs `NET_RAW`, and a runtime.
    pub(super) fn open(interface: &Interface, wanted: Wanted) -> Result<Self, String> {
        let name = &interface.name;
        Opened::open(interface, wanted)?
            .listen()
            .map_err(|error| format!("no packet socket on {name}: {error}"))
    }

    /// The next frame.
    pub(super) async fn recv(&self, frame: &mut [u8]) -> io::Result<Received> {
        self.socket
            .async_io(Interest::READABLE, || {
                let (length, from) = recvfrom::<LinkAddr>(self.socket.as_raw_fd(), frame)?;
                Ok(Received {
                    length: length.min(frame.len()),
                    is_sent_here: from.is_some_and(|from| i32::from(from.pkttype()) == OUTGOING),
                })
            })
            .await
    }

    /// Sends a frame; one that finds the queue full is lost.
    pub(super) fn send(&self, frame: &[u8]) -> io::Result<()> {
        send_frame(self.socket.as_raw_fd(), frame)
    }
}

/// The packet type of what this machine sends (`PACKET_OUTGOING`).
const OUTGOING: i32 = 4;

/// Sends a frame by a packet socket; one that finds the queue full is lost.
pub(super) fn send_frame(socket: RawFd, frame: &[u8]) -> io::Result<()> {
    if frame.is_empty() || send(socket, frame, MsgFlags::MSG_DONTWAIT)? != frame.len() {
        return Err(io::ErrorKind::WriteZero.into());
    }
    Ok(())
}

/// A packet socket of which a bounded number of frames is taken in a second.
#[derive(Debug)]
pub(super) struct Frames {
    socket: PacketSocket,
    budget: Budget,
}

/// Pause after an error of the socket itself.
const PAUSE: Duration = Duration::from_millis(200);

impl Frames {
    /// Hands a socket to the runtime; the error is one sentence.
    pub(super) fn new(opened: Opened, per_second: u32) -> Result<Self, String> {
        Ok(Self {
            socket: opened
                .listen()
                .map_err(|error| format!("its socket cannot be used: {error}"))?,
            budget: Budget::new(per_second),
        })
    }

    /// The next frame; `None` when the interface was taken away. Nothing is lost when it is not waited for to
    /// its end.
    pub(super) async fn next(&mut self, frame: &mut [u8]) -> Option<Received> {
        loop {
            if let Some(until) = self.budget.wait_until(Instant::now()) {
                tokio::time::sleep_until(until).await;
            }
            match self.socket.recv(frame).await {
                Ok(received) => {
                    self.budget.used += 1;
                    return Some(received);
                }
                Err(error) if is_gone(&error) => return None,
                Err(error) => {
                    tracing::debug!(%error, "a packet socket");
                    tokio::time::sleep(PAUSE).await;
                }
            }
        }
    }

    /// Sends a frame; one that finds the queue full is lost.
    pub(super) fn send(&self, frame: &[u8]) -> io::Result<()> {
        self.socket.send(frame)
    }
}

/// Whether the socket is of no more use: its interface was taken away.
fn is_gone(error: &io::Error) -> bool {
    matches!(
        error.raw_os_error().map(Errno::from_raw),
        Some(Errno::ENODEV | Errno::ENXIO | Errno::EBADF)
    )
}

/// How many frames are worked on in a second.
#[derive(Debug)]
struct Budget {
    per_second: u32,
    used: u32,
    since: Instant,
}

impl Budget {
    fn new(per_second: u32) -> Self {
        Self {
            per_second,
            used: 0,
            since: Instant::now(),
        }
    }

    /// Until when to wait before the next frame is taken; nothing when there is room for it now.
    fn wait_until(&mut self, now: Instant) -> Option<Instant> {
        const SECOND: Duration = Duration::from_secs(1);
        if now.saturating_duration_since(self.since) >= SECOND {
            self.since = now;
            self.used = 0;
        }
        (self.used >= self.per_second).then(|| self.since + SECOND)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::host::links::Links;

    #[test]
    fn the_loopback_is_no_ethernet() {
        let lo = Links::read().unwrap().for_interface("lo").unwrap();
        let error = Opened::open(&lo, Wanted::Ndp).unwrap_err();
        assert_eq!(error, "lo is no Ethernet");
    }

    #[test]
    fn a_flood_is_worked_on_at_a_bounded_rate() {
        let mut budget = Budget::new(10);
        let began = budget.since;
        let mut now = began;
        for _ in 0..35 {
            if let Some(until) = budget.wait_until(now) {
                now = until;
                assert_eq!(budget.wait_until(now), None);
            }
            budget.used += 1;
        }
        assert_eq!(now - began, Duration::from_secs(3));
        let later = now + Duration::from_secs(5);
        assert_eq!(budget.wait_until(later), None);
        assert_eq!((budget.used, budget.since), (0, later));
    }
}
