//! Packet sockets (`AF_PACKET`) that receive: the frames of one interface that pass a filter in the kernel.
//!
//! **Invariant:** what the filter does not want never reaches the process, and of what it wants no more than
//! the [`Budget`] allows is worked on in a second: a flood costs a bounded share of a processor, and
//! the rest is dropped in the kernel.

use std::io::{self, Read as _};
use std::os::fd::AsRawFd as _;
use std::time::Duration;

use nix::errno::Errno;
use nix::sys::socket::{MsgFlags, bind, send};
use socket2::{Domain, Protocol, SockFilter, Socket, Type};
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
    /// IPv6 router solicitations and advertisements (RFC 4861).
    Ndp,
    /// DHCP messages from servers to clients: UDP from port 67 to port 68.
    DhcpReplies,
}

impl Wanted {
    /// The protocol of the frames (`ETH_P_IP`, `ETH_P_IPV6`).
    const fn ethertype(self) -> u16 {
        match self {
            Self::Ndp => 0x86dd,
            Self::DhcpReplies => 0x0800,
        }
    }

    /// The filter, in the kernel's classic BPF.
    fn filter(self) -> Vec<SockFilter> {
        use bpf::*;
        let mut program = vec![
            // To this machine, to a group or to all: neither our own (4) nor what passes by (3).
            Check(LOAD_BYTE, PACKET_TYPE, BELOW, 3),
            // Of no VLAN that has no interface here.
            Check(LOAD_BYTE, VLAN_TAG, EQUAL, 0),
            Check(LOAD_HALF, 12, EQUAL, u32::from(self.ethertype())),
        ];
        match self {
            Self::Ndp => program.extend([
                // ICMPv6 right after the header, of type 133 or 134.
                Check(LOAD_BYTE, 20, EQUAL, 58),
                Check(LOAD_BYTE, 54, BELOW, 135),
                Check(LOAD_BYTE, 54, AT_LEAST, 133),
            ]),
            Self::DhcpReplies => program.extend([
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

    /// A comparison: its code, and whether the packet goes on when it is false.
    #[derive(Clone, Copy)]
    pub(super) struct Test(u16, bool);
    pub(super) const EQUAL: Test = Test(0x15, false);
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

/// A packet socket on one Ethernet interface.
#[derive(Debug)]
pub(super) struct PacketSocket {
    /// The runtime's way of waiting for a socket, of whichever kind; nothing of UDP is used.
    socket: UdpSocket,
}

impl PacketSocket {
    /// Opens it; the error is one sentence. Needs `NET_RAW`, and a runtime.
    pub(super) fn open(interface: &Interface, wanted: Wanted) -> Result<Self, String> {
        let (Some(_), Some(link)) = (interface.ethernet(), interface.link) else {
            return Err(format!("{} is no Ethernet", interface.name));
        };
        let open = || -> io::Result<UdpSocket> {
            let protocol = Protocol::from(i32::from(wanted.ethertype().to_be()));
            let socket = Socket::new(Domain::PACKET, Type::RAW, Some(protocol))?;
            socket.attach_filter(&wanted.filter())?;
            socket.set_recv_buffer_size(RECEIVE_BUFFER)?;
            socket.set_nonblocking(true)?;
            bind(socket.as_raw_fd(), &link)?;
            // What came in from anywhere before the filter and the interface were set.
            let mut scrap = [0; 1];
            while (&socket).read(&mut scrap).is_ok() {}
            UdpSocket::from_std(socket.into())
        };
        match open() {
            Ok(socket) => Ok(Self { socket }),
            Err(error) if error.kind() == io::ErrorKind::PermissionDenied => Err(format!(
                "a packet socket on {} is not permitted; give the program cap_net_raw",
                interface.name
            )),
            Err(error) => Err(format!("no packet socket on {}: {error}", interface.name)),
        }
    }

    /// The next frame: how many bytes of the buffer it fills.
    pub(super) async fn recv(&self, frame: &mut [u8]) -> io::Result<usize> {
        self.socket.recv(frame).await
    }

    /// Sends a frame; one that finds the queue full is lost.
    pub(super) fn send(&self, frame: &[u8]) -> io::Result<()> {
        let sent = send(self.socket.as_raw_fd(), frame, MsgFlags::MSG_DONTWAIT)?;
        if sent == frame.len() && sent > 0 {
            Ok(())
        } else {
            Err(io::ErrorKind::WriteZero.into())
        }
    }
}

/// Whether the socket is of no more use: its interface was taken away.
pub(super) fn is_gone(error: &io::Error) -> bool {
    matches!(
        error.raw_os_error().map(Errno::from_raw),
        Some(Errno::ENODEV | Errno::ENXIO | Errno::EBADF)
    )
}

/// How many frames are worked on in a second.
#[derive(Debug)]
pub(super) struct Budget {
    per_second: u32,
    used: u32,
    since: Instant,
}

impl Budget {
    /// So many.
    pub(super) fn new(per_second: u32) -> Self {
        Self {
            per_second,
            used: 0,
            since: Instant::now(),
        }
    }

    /// Takes one; waits for the next second when this one's are used up.
    pub(super) async fn take(&mut self) {
        const SECOND: Duration = Duration::from_secs(1);
        if self.used >= self.per_second {
            tokio::time::sleep_until(self.since + SECOND).await;
        }
        if self.since.elapsed() >= SECOND {
            self.since = Instant::now();
            self.used = 0;
        }
        self.used += 1;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::host::links::Links;

    #[tokio::test]
    async fn the_loopback_is_no_ethernet() {
        let lo = Links::read().unwrap().for_interface("lo").unwrap();
        let error = PacketSocket::open(&lo, Wanted::Ndp).unwrap_err();
        assert_eq!(error, "lo is no Ethernet");
    }

    #[tokio::test(start_paused = true)]
    async fn a_flood_is_worked_on_at_a_bounded_rate() {
        let began = Instant::now();
        let mut budget = Budget::new(10);
        for _ in 0..35 {
            budget.take().await;
        }
        assert_eq!(began.elapsed().as_secs(), 3);
        tokio::time::advance(Duration::from_secs(5)).await;
        budget.take().await;
        assert_eq!(budget.used, 1);
    }
}
