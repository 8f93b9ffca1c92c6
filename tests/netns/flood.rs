//! A flood on the wire, and a reserved machine beside it: strangers without number, relays that are none,
//! messages broken in every way.

use std::net::Ipv4Addr;
use std::os::fd::AsRawFd as _;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use bootwright::base::HardwareAddr;
use bootwright::host::links::Links;
use bootwright::journal::event::{Event, Kind, Reason};
use nix::sys::socket::{MsgFlags, bind, recv, send, setsockopt, sockopt};
use nix::sys::time::{TimeVal, TimeValLike as _};
use socket2::{Domain, Protocol, Socket, Type};
use tokio::sync::broadcast;

use super::services::{Lab, SERVER_IP, WEB01_IP, WEB01_MAC};
use super::wire::{DISCOVER, OFFER, REQUEST, message, read, reply};

const ACK: u8 = 5;
/// Packets of a burst, and the pause between two: about 14,000 in a second, more than a site of thousands of
/// machines sends when its power comes back.
const BURST: u64 = 32;
const PAUSE: Duration = Duration::from_millis(2);
/// The most that is sent, and for how long at most.
const MOST: u64 = 60_000;
const LONGEST: Duration = Duration::from_secs(40);
/// Handshakes that have to succeed meanwhile.
const HANDSHAKES: u32 = 40;
/// How often a machine asks, and how long it waits each time: iPXE gives up after about as much.
const TRIES: u32 = 5;
const WAIT: Duration = Duration::from_secs(2);
/// What the journal keeps of one class of events in a second.
const PER_SECOND: u64 = 2_000;

/// A packet socket on `cli0` that does not see what is sent here.
fn wire() -> Socket {
    const IPV4: u16 = 0x0800;
    let protocol = Protocol::from(i32::from(IPV4.to_be()));
    let socket = Socket::new(Domain::PACKET, Type::RAW, Some(protocol)).expect("a packet socket");
    let links = Links::read().expect("interfaces");
    let link = links.for_interface("cli0").expect("cli0").link;
    bind(socket.as_raw_fd(), &link.expect("an address")).expect("bound");
    setsockopt(&socket, sockopt::ReceiveTimeout, &TimeVal::milliseconds(50)).expect("patience");
    socket
}

fn put(socket: &Socket, mac: [u8; 6], source: Ipv4Addr, payload: &[u8]) {
    let frame = etherparse::PacketBuilder::ethernet2(mac, [0xff; 6])
        .ipv4(source.octets(), [255; 4], 64)
        .udp(68, 67);
    let mut bytes = Vec::new();
    frame.write(&mut bytes, payload).expect("a frame");
    // A full queue of the card's is no matter here.
    let _ = send(socket.as_raw_fd(), &bytes, MsgFlags::empty());
}

/// What a reserved machine does, with the patience of firmware; how often it had to ask.
fn handshake(socket: &Socket, xid: u32) -> Result<u32, String> {
    let mut asked = 0;
    for (ask, expected) in [(DISCOVER, OFFER), (REQUEST, ACK)] {
        let payload = message(WEB01_MAC, xid, ask, true, Ipv4Addr::UNSPECIFIED);
        let mut answered = false;
        for _ in 0..TRIES {
            asked += 1;
            put(socket, WEB01_MAC, Ipv4Addr::UNSPECIFIED, &payload);
            let deadline = Instant::now() + WAIT;
            while !answered && Instant::now() < deadline {
                let mut buf = [0; 2_048];
                let Ok(len) = recv(socket.as_raw_fd(), &mut buf, MsgFlags::empty()) else {
                    continue;
                };
                answered = read(&buf[..len])
                    .filter(|frame| frame.source.port() == 67)
                    .is_some_and(|frame| {
                        reply(&frame.payload) == (xid, WEB01_IP, expected, Some(SERVER_IP))
                    });
            }
            if answered {
                break;
            }
        }
        if !answered {
            return Err(format!("{ask} of {xid} was not answered"));
        }
    }
    Ok(asked)
}

/// The packet of this number: who sends it, whence, what, and whether it is told as a stranger's.
fn hostile(number: u64) -> ([u8; 6], Ipv4Addr, Vec<u8>, bool) {
    // Each machine another one: a number spread over the address, of no vendor.
    let spread = number.wrapping_mul(0x9e37_79b9_7f4a_7c15).to_be_bytes();
    let mac = [0x02, spread[0], spread[1], spread[2], spread[3], spread[4]];
    let [_, _, _, _, low @ ..] = number.to_be_bytes();
    let xid = u32::from_be_bytes(low) | 0x8000_0000;
    let [a, b] = [spread[5], spread[6]];
    let none = Ipv4Addr::UNSPECIFIED;
    let discover = |mac, giaddr| message(mac, xid, DISCOVER, true, giaddr);
    let with = |at: usize, byte: u8| {
        let mut bytes = discover(mac, none);
        bytes[at] = byte;
        bytes
    };
    let relay = Ipv4Addr::new(172, 16 | (a & 15), b, a);
    match number % 16 {
        // Relays that nobody has configured, of strangers and of the reserved machine.
        0 | 1 => (mac, relay, discover(mac, relay), true),
        2 => (mac, relay, discover(WEB01_MAC, relay), false),
        // One inside the subnet: it is answered, to whoever has that address.
        3 => {
            let near = Ipv4Addr::new(10, 99, 0, 2 + (a % 250));
            (mac, near, discover(WEB01_MAC, near), false)
        }
        // No hardware address, too long ones, no cookie, cut short, nothing at all.
        4 => (mac, none, with(2, 0), false),
        5 => (mac, none, with(2, 17 + (a & 127)), false),
        6 => (
            mac,
            none,
            with(236, 0)[..240 + usize::from(a % 24)].to_vec(),
            false,
        ),
        7 => {
            // With the cookie it is a message, of nobody's.
            let kept = usize::from(a);
            (mac, none, discover(mac, none)[..kept].to_vec(), kept >= 240)
        }
        // An option that runs over the end, and one that says the rest lies elsewhere.
        8 => {
            let mut bytes = discover(WEB01_MAC, none);
            bytes.truncate(243);
            bytes.extend([12, 255, b'x']);
            bytes[242] = 99;
            (mac, none, bytes, false)
        }
        9 => {
            let mut bytes = discover(mac, none);
            bytes.splice(240..243, [52, 1, 3]);
            bytes[108..236].fill(a);
            (mac, none, bytes, true)
        }
        // A reply of a server that is none.
        10 => (mac, none, with(0, 2), false),
        _ => (mac, none, discover(mac, none), true),
    }
}

/// What the journal was told, as it is told.
#[derive(Default)]
struct Told {
    kept: u64,
    counted: u64,
    summaries: u64,
    relays: u64,
    malformed: u64,
    by_second: std::collections::BTreeMap<i64, u64>,
}

impl Told {
    fn take(&mut self, event: &Event) {
        if event.kind == Kind::JournalSummary {
            self.summaries += 1;
            self.counted += event.count.unwrap_or_default();
            return;
        }
        self.kept += 1;
        self.relays += u64::from(event.reason == Reason::UnknownRelay);
        self.malformed += u64::from(event.kind == Kind::DhcpMalformed);
        let second = event.at.as_micros().div_euclid(1_000_000);
        *self.by_second.entry(second).or_default() += 1;
    }

    /// All that has come by now.
    fn drain(&mut self, events: &mut broadcast::Receiver<Arc<Event>>) {
        loop {
            match events.try_recv() {
                Ok(event) => self.take(&event),
                Err(broadcast::error::TryRecvError::Lagged(missed)) => self.kept += missed,
                Err(_) => return,
            }
        }
    }
}

impl Lab {
    /// What the kernel had no room for on the way to the server's sockets.
    fn dropped(&self) -> u64 {
        let sockets = self
            .server
            .run(|| std::fs::read_to_string("/proc/thread-self/net/udp"));
        let sockets = sockets.expect("the sockets");
        let drops = sockets
            .lines()
            .skip(1)
            .filter_map(|line| line.split_whitespace().last());
        drops
            .map(|drops| drops.parse::<u64>().expect("a number"))
            .sum()
    }
}

#[test]
fn a_reserved_machine_is_answered_whatever_else_is_on_the_wire() {
    let Some(mut lab) = Lab::new() else { return };
    let (stop, sent) = (
        Arc::new(AtomicBool::new(false)),
        Arc::new(AtomicU64::new(0)),
    );
    let strangers = Arc::new(AtomicU64::new(0));
    // Threads that are started in the namespace stay in it.
    let flood = {
        let (stop, sent, strangers) = (stop.clone(), sent.clone(), strangers.clone());
        lab.machine.run(move || {
            std::thread::spawn(move || {
                let socket = wire();
                let began = Instant::now();
                let mut number = 0;
                while !stop.load(Ordering::Relaxed) && number < MOST && began.elapsed() < LONGEST {
                    for _ in 0..BURST {
                        let (mac, source, payload, is_stranger) = hostile(number);
                        put(&socket, mac, source, &payload);
                        strangers.fetch_add(u64::from(is_stranger), Ordering::Relaxed);
                        number += 1;
                    }
                    sent.store(number, Ordering::Relaxed);
                    std::thread::sleep(PAUSE);
                }
                began.elapsed()
            })
        })
    };
    let machine = lab.machine.run(|| {
        std::thread::spawn(|| {
            let socket = wire();
            (0..HANDSHAKES)
                .map(|xid| {
                    // Spread over the flood, not before it.
                    std::thread::sleep(Duration::from_millis(50));
                    handshake(&socket, xid)
                })
                .collect::<Result<Vec<u32>, String>>()
        })
    });
    let mut told = Told::default();
    while !machine.is_finished() {
        told.drain(&mut lab.events);
        std::thread::sleep(Duration::from_millis(5));
    }
    let at_the_end = sent.load(Ordering::Relaxed);
    stop.store(true, Ordering::Relaxed);
    let lasted = flood.join().expect("the flood");
    let asked = machine.join().expect("the machine").expect("every answer");
    assert_eq!(asked.len(), usize::try_from(HANDSHAKES).expect("a number"));
    assert!(at_the_end > 2_000, "a flood of {at_the_end}");
    // The flood went on while the last handshake was made, or had its most.
    let (sent, strangers) = (
        sent.load(Ordering::Relaxed),
        strangers.load(Ordering::Relaxed),
    );

    // Each datagram is one event or is counted as one; a stranger's is announced besides.
    let expected = sent + strangers + u64::from(asked.iter().sum::<u32>());
    // What a busy machine's kernel had no room for is nobody's event.
    let dropped = lab.dropped();
    let told_of = expected - 2 * dropped..=expected - dropped;
    let deadline = Instant::now() + Duration::from_secs(20);
    while told.kept + told.counted < *told_of.start() && Instant::now() < deadline {
        told.drain(&mut lab.events);
        std::thread::sleep(Duration::from_millis(5));
    }
    let all = told.kept + told.counted;
    assert!(
        told_of.contains(&all),
        "{all} events of {expected}, {dropped} packets dropped, {sent} in {lasted:?}"
    );
    assert_eq!(lab.site.ctx.journal.dropped(), 0);
    // No storm: of each class what is allowed in a second, and a summary for the rest.
    let classes = 5;
    let most = told.by_second.values().max().copied().unwrap_or_default();
    assert!(most <= classes * PER_SECOND, "{most} in one second");
    assert!(told.counted == 0 || told.summaries > 0);
    assert!(told.relays > 0 && told.malformed > 0);

    // What was remembered of the first strangers has made room for the last; the machine's own has not.
    let seen = |number: u64| {
        let (mac, _, _, is_stranger) = hostile(number);
        assert!(is_stranger, "{number}");
        lab.site
            .ctx
            .memory
            .get(HardwareAddr::ethernet(mac))
            .is_some()
    };
    if strangers > 5_000 {
        assert!(!seen(11), "the first stranger of {strangers}");
    }
    assert!(seen((sent / 16 - 1) * 16 + 15), "the last one");
    assert!(
        lab.site
            .ctx
            .memory
            .get(HardwareAddr::ethernet(WEB01_MAC))
            .is_some()
    );
}
