//! Another DHCP server on the cable: overheard, and looked for.

use std::net::Ipv4Addr;
use std::time::{Duration, Instant};

use bootwright::base::HardwareAddr;
use bootwright::config::snapshot::Mode;
use bootwright::journal::event::{Event, Kind, Reason};
use bootwright::serve::heard::{Found, Probed};
use bootwright::wire::dhcp::{MessageType, Reply, Request};
use bootwright::wire::frame::dhcp_frame;

use super::services::{Lab, PATIENCE, SERVER, WEB01_MAC};
use super::wire::{Card, DISCOVER, REQUEST, message};

const OTHER_MAC: [u8; 6] = [2, 0, 0, 0, 0, 5];
const OTHER_IP: Ipv4Addr = Ipv4Addr::new(10, 99, 0, 5);
const ELSEWHERE: Ipv4Addr = Ipv4Addr::new(10, 99, 0, 77);
const NOBODY: Ipv4Addr = Ipv4Addr::UNSPECIFIED;

/// What the other server says, in a broadcast frame.
fn says(kind: MessageType, request: &Request, server: Ipv4Addr) -> Vec<u8> {
    let mut reply = Reply::to(request, kind);
    reply.yiaddr = match kind {
        MessageType::Nak => NOBODY,
        _ => ELSEWHERE,
    };
    let mut payload = reply.encode();
    // Its identifier, before the end of the options.
    let end = payload
        .iter()
        .rposition(|byte| *byte == 255)
        .expect("an end");
    payload.splice(end..end, [[54, 4].as_slice(), &server.octets()].concat());
    dhcp_frame(
        OTHER_MAC,
        [0xff; 6],
        OTHER_IP,
        Ipv4Addr::BROADCAST,
        &payload,
    )
}

fn request_of(mac: [u8; 6], xid: u32) -> Request {
    Request::parse(&message(mac, xid, DISCOVER, true, NOBODY)).expect("a request")
}

/// Repeats what may be lost while the listener is not there yet.
fn until(lab: &mut Lab, mut again: impl FnMut(), reason: Reason) -> Event {
    let deadline = Instant::now() + PATIENCE;
    while Instant::now() < deadline {
        again();
        std::thread::sleep(Duration::from_millis(50));
        if let Some(event) = lab.find(|event| event.reason == reason) {
            return event;
        }
    }
    panic!("no {reason}");
}

#[test]
fn what_another_server_says_to_a_reserved_machine_is_told() {
    let Some(mut lab) = Lab::of(SERVER, |_, _| {}) else {
        return;
    };
    let card = lab.card();
    let web01 = request_of(WEB01_MAC, 1);
    // Our own offer, passed on by a relay on the same cable: nobody's news.
    card.send(&says(MessageType::Offer, &web01, [10, 99, 0, 1].into()));
    let offer = says(MessageType::Offer, &web01, OTHER_IP);
    let event = until(&mut lab, || card.send(&offer), Reason::ForeignOffer);
    assert_eq!(event.kind, Kind::DhcpForeign);
    assert_eq!(event.host.as_ref().unwrap().as_str(), "web01");
    assert_eq!(event.mac, Some(HardwareAddr::ethernet(WEB01_MAC)));
    assert_eq!(
        (event.iface.as_deref(), event.ip),
        (Some("srv0"), Some(OTHER_IP))
    );
    let foreign = event.foreign.expect("the server");
    assert_eq!(foreign.mac, Some(HardwareAddr::ethernet(OTHER_MAC)));
    assert_eq!((foreign.address, foreign.chosen), (Some(ELSEWHERE), false));

    // The machine says whom it chose; the acknowledgement says it again and is no event of its own.
    let mut chooses = message(WEB01_MAC, 2, REQUEST, true, NOBODY);
    let at = chooses
        .windows(6)
        .position(|bytes| bytes == [54, 4, 10, 99, 0, 1])
        .expect("its server");
    chooses[at + 5] = 5;
    card.broadcast(&chooses);
    let ack = says(MessageType::Ack, &web01, OTHER_IP);
    let event = until(&mut lab, || {}, Reason::ForeignChosen);
    let foreign = event.foreign.expect("the server");
    assert_eq!(foreign.mac, Some(HardwareAddr::ethernet(OTHER_MAC)));
    assert!(foreign.chosen);
    card.send(&ack);
    card.send(&says(MessageType::Nak, &web01, OTHER_IP));
    let event = lab.event(&[Kind::DhcpForeign]);
    assert_eq!(event.reason, Reason::ForeignNak);
    assert_eq!(
        event.detail.as_deref(),
        Some("10.99.0.5 (02:00:00:00:00:05)")
    );
    assert_eq!(
        lab.find(|event| event.reason == Reason::ForeignChosen),
        None
    );

    // Many servers that do not exist: told to a bound, and nothing of it keeps a machine from its address.
    for n in 0..600_u32 {
        let [_, _, high, low] = n.to_be_bytes();
        let stranger = request_of([2, 0, 0, 1, high, low], n);
        card.send(&says(
            MessageType::Offer,
            &stranger,
            Ipv4Addr::new(172, 16, high, low),
        ));
    }
    let forged = until(&mut lab, || {}, Reason::ForeignServer);
    assert_eq!(forged.host, None);
    card.broadcast(&message(WEB01_MAC, 9, DISCOVER, true, NOBODY));
    let mut told = 1;
    let offered = loop {
        let event = lab.event(&[Kind::DhcpForeign, Kind::DhcpOffer]);
        match event.kind {
            Kind::DhcpOffer => break event,
            _ => told += 1,
        }
    };
    assert_eq!(offered.xid, Some(9));
    assert!(told <= 21, "{told}");
}

/// Another server that offers every asking machine the same address, until the test ends.
fn serve(lab: &Lab) -> std::sync::mpsc::Sender<()> {
    let (stop, stopped) = std::sync::mpsc::channel::<()>();
    lab.machine.run(move || {
        let card = Card::open("cli0");
        std::thread::spawn(move || {
            while stopped.try_recv() == Err(std::sync::mpsc::TryRecvError::Empty) {
                let asked = card.find(Duration::from_millis(100), |frame| {
                    let payload = frame.get(42..)?;
                    Request::parse(payload)
                        .ok()
                        .filter(|request| request.message_type() == Some(MessageType::Discover))
                });
                if let Some(request) = asked {
                    card.send(&says(MessageType::Offer, &request, OTHER_IP));
                }
            }
        });
    });
    stop
}

fn probe(lab: &Lab) -> Probed {
    let others = lab.site.ctx.memory.others().clone();
    let runtime = tokio::runtime::Builder::new_current_thread()
        .build()
        .unwrap();
    runtime.block_on(others.probe("srv0"))
}

#[test]
fn another_server_is_looked_for_at_the_start_and_on_request() {
    let Some(mut lab) = Lab::of(SERVER, |_, _| {}) else {
        return;
    };
    // Nobody is there at the start.
    let event = lab.event(&[Kind::DhcpProbed]);
    assert_eq!(event.reason, Reason::NoForeignServer);
    assert_eq!(event.iface.as_deref(), Some("srv0"));

    let _stop = serve(&lab);
    let found = probe(&lab);
    let other = |expected| Found {
        ip: OTHER_IP,
        mac: HardwareAddr::ethernet(OTHER_MAC),
        address: Some(ELSEWHERE),
        expected,
    };
    assert_eq!(found.servers, [other(false)]);
    let event = lab.event(&[Kind::DhcpForeign]);
    assert_eq!((event.reason, event.host), (Reason::ForeignServer, None));
    assert_eq!(lab.event(&[Kind::DhcpProbed]).reason, Reason::ForeignServer);

    // Where another server is to give the addresses it is no alarm.
    lab.site.change(|snapshot| {
        for subnet in &mut snapshot.subnets {
            subnet.mode = Mode::Proxy;
        }
    });
    assert_eq!(probe(&lab).servers, [other(true)]);
    let event = lab.event(&[Kind::DhcpForeign, Kind::DhcpProbed]);
    assert_eq!(
        (event.kind, event.reason),
        (Kind::DhcpProbed, Reason::NoForeignServer)
    );
    assert!(event.detail.unwrap().ends_with(", as expected"));
}
