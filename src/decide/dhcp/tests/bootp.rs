//! Clients of BOOTP (RFC 951, RFC 1534): a reserved one has its address from here as well.

use super::*;
use crate::wire::dhcp::HEADER;

/// A BOOTP request of `web01` with options (RFC 1497), 300 bytes as BOOTP has.
fn bootp(options: &[u8]) -> Ask {
    let mut ask = Ask::new(1);
    ask.options = options.to_vec();
    ask.options.push(255);
    ask.options.resize(60, 0);
    ask
}

#[test]
fn a_reserved_client_gets_its_address_for_good() {
    let told = answer(&bootp(&[]));
    is(&told, Kind::DhcpAck, Reason::Bootp, link());
    assert_eq!(sent(&told).0.yiaddr, ip("10.99.0.11"));
    // Neither a message type nor a lease nor this server's identifier, and no more than BOOTP has.
    assert_eq!(codes(&told), [1, 3, 6, 12, 15, 28, 42]);
    assert_eq!(sent(&told).0.encode().len(), 300);
    assert_eq!((told.boot_file.as_deref(), told.detail), (None, None));
    let flagged = Ask {
        flags: 0x8000,
        ..bootp(&[])
    };
    is(
        &answer(&flagged),
        Kind::DhcpAck,
        Reason::Bootp,
        Destination::Broadcast,
    );
    // A system that is to be installed asks by DHCP; BOOTP is told no boot file.
    assert_eq!(answer_armed(&bootp(&[])).boot_file, None);
}

#[test]
fn what_finds_no_room_in_60_bytes_is_left_out_and_told() {
    let mut snapshot = testing::snapshot();
    snapshot.subnets[0].domain = Some("a-long-name-of-a-domain.lab.example".to_owned());
    let told = answer_with(
        &bootp(&[]),
        &testing::changed(|hosts| {
            hosts[0].domain = snapshot.subnets[0].domain.clone();
        }),
        Known::Nothing,
        &AllThere,
    );
    assert_eq!(sent(&told).0.encode().len(), 300);
    assert_eq!(codes(&told)[..3], [1, 3, 6]);
    let detail = told.detail.expect("a detail");
    assert!(detail.starts_with("no room for option "), "{detail}");
}

#[test]
fn without_the_cookie_there_are_no_options_at_all() {
    let mut bytes = vec![0; 300];
    bytes[..4].copy_from_slice(&[1, 1, 6, 0]);
    bytes[28..34].copy_from_slice(&[0x52, 0x54, 0, 0x47, 0x86, 0x8e]);
    bytes[236..244].copy_from_slice(&[9, 9, 9, 9, 53, 1, 1, 255]);
    let request = Request::parse(&bytes).expect("BOOTP");
    let facts = Facts {
        known: Known::Nothing,
        files: &AllThere,
        fetches: None,
        route_source: None,
    };
    let told = decide(&request, &arrival(BROADCAST), &testing::snapshot(), &facts);
    is(&told, Kind::DhcpAck, Reason::Bootp, link());
    let reply = sent(&told).0.encode();
    assert_eq!(reply.len(), 300);
    assert_eq!(reply[16..20], ip("10.99.0.11").octets());
    assert!(reply[HEADER - 4..].iter().all(|byte| *byte == 0));
}

#[test]
fn a_client_that_has_an_address_is_answered_there() {
    let has = |ciaddr, giaddr| Ask {
        ciaddr,
        giaddr,
        ..bootp(&[])
    };
    let client = Destination::Client(ip("10.99.0.11"));
    // RFC 1542 section 5.4: by BOOTP also where a relay has been.
    for giaddr in ["0.0.0.0", "10.99.0.250"] {
        let told = answer(&has("10.99.0.11", giaddr));
        is(&told, Kind::DhcpAck, Reason::Bootp, client);
        assert_eq!(sent(&told).0.ciaddr, ip("10.99.0.11"));
    }
    let relayed = answer(&has("0.0.0.0", "10.99.0.250"));
    is(
        &relayed,
        Kind::DhcpAck,
        Reason::Bootp,
        Destination::Relay(ip("10.99.0.250")),
    );
    // There is no way to refuse it another one.
    is_silent(&answer(&has("10.99.0.12", "0.0.0.0")), Reason::WrongAddress);
}

#[test]
fn others_hear_nothing() {
    let stranger = Ask {
        mac: "52:54:00:ff:ff:ff",
        ..bootp(&[])
    };
    is_silent(&answer(&stranger), Reason::UnknownHost);
    let away = Ask {
        mac: "52:54:00:00:50:01",
        ..bootp(&[])
    };
    is_silent(&answer(&away), Reason::WrongSubnet);
    // A message type without its byte is damaged, and nobody's BOOTP.
    is_silent(&answer(&bootp(&[53, 0])), Reason::MessageType);
}
