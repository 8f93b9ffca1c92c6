use std::net::SocketAddrV4;
use std::sync::Arc;

use tokio::net::UdpSocket;

use super::*;
use crate::decide::testing;
use crate::host::links::Interface;

fn ip(last: u8) -> Ipv4Addr {
    Ipv4Addr::new(10, 99, 0, last)
}

/// A subnet of no network of this machine, and an interface that is none.
fn site() -> (Snapshot, LinkTable) {
    let mut snapshot = testing::snapshot();
    let subnet = &mut snapshot.subnets[0];
    subnet.network = "10.99.0.0/24".parse().unwrap();
    (subnet.server, subnet.router) = (Some(ip(2)), Some(ip(1)));
    let links = [Interface {
        name: "none0".into(),
        index: 1,
        up: true,
        hardware: None,
        addresses: vec!["10.99.0.3/24".parse().unwrap()].into(),
        link_local: None,
        link: None,
    }];
    (snapshot, links.into_iter().collect())
}

/// As [`suggest`], without a ping: the addresses of the test may be somebody's.
async fn suggested(
    snapshot: &Snapshot,
    wanted: Wanted,
    links: &LinkTable,
    leased: Leased,
) -> Suggestion {
    let without = BTreeMap::from([(Test::Ping, "not in this test".to_owned())]);
    let around = Around {
        snapshot,
        subnet: &snapshot.subnets[0],
        links,
    };
    suggest_but(without, around, wanted, leased).await
}

/// A name server that says this of each address: a name, nothing, or no answer.
async fn name_server(told: impl Fn(Ipv4Addr) -> Option<u8> + Send + 'static) -> SocketAddrV4 {
    let socket = Arc::new(UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap());
    let std::net::SocketAddr::V4(at) = socket.local_addr().unwrap() else {
        panic!("no IPv4")
    };
    tokio::spawn(async move {
        let mut buffer = [0; 512];
        while let Ok((length, from)) = socket.recv_from(&mut buffer).await {
            let mut message = buffer[..length].to_vec();
            // The last octet of the address is the first label.
            let digits = usize::from(message[12]);
            let last: u8 = String::from_utf8_lossy(&message[13..13 + digits])
                .parse()
                .unwrap();
            let Some(code) = told(ip(last)) else {
                continue;
            };
            message[2] |= 0x80;
            message[3] = code;
            if code == 0 {
                message[7] = 1;
                message.extend_from_slice(&[0xc0, 12, 0, 12, 0, 1, 0, 0, 0, 60, 0, 6]);
                message.extend_from_slice(b"\x04used\x00");
            }
            socket.send_to(&message, from).await.unwrap();
        }
    });
    at
}

#[tokio::test]
async fn names_are_asked_of_the_name_server() {
    let server = name_server(|ip| Some(if ip.octets()[3] == 7 { 0 } else { 3 })).await;
    let asked = names::by_server(&[ip(7), ip(8), ip(9)], server)
        .await
        .unwrap();
    assert_eq!(asked.taken, [(ip(7), "used".to_owned())].into());
    assert_eq!(asked.trouble, None);
    let refusing = name_server(|_| Some(5)).await;
    let asked = names::by_server(&[ip(7)], refusing).await.unwrap();
    assert_eq!(
        asked.trouble.unwrap(),
        "name server 127.0.0.1 cannot tell (code 5)"
    );
    let half = name_server(|ip| (ip.octets()[3] == 7).then_some(3)).await;
    let asked = names::by_server(&[ip(7), ip(8)], half).await.unwrap();
    assert_eq!(
        asked.trouble.unwrap(),
        "name server 127.0.0.1 gave no answer about 10.99.0.8"
    );
    let silent = name_server(|_| None).await;
    assert_eq!(
        names::by_server(&[ip(7)], silent).await.unwrap_err(),
        "name server 127.0.0.1 does not answer"
    );
}

#[tokio::test]
async fn leases_rule_out_and_what_could_not_be_asked_is_told() {
    let (mut snapshot, links) = site();
    // Where nobody serves names.
    snapshot.subnets[0].dns = vec![Ipv4Addr::new(127, 0, 0, 53)];
    let leased: Leased = Ok([(ip(4), "leased by 52:54:00:00:00:01".to_owned())].into());
    let found = suggested(&snapshot, Wanted::Free(2), &links, leased).await;
    assert_eq!(found.free, [ip(5), ip(6)]);
    let told: Vec<_> = found
        .ruled_out
        .iter()
        .map(|out| (out.first, out.by))
        .collect();
    assert_eq!(
        told,
        [
            (ip(0), Test::Network),
            (ip(1), Test::Router),
            (ip(2), Test::Server),
            (ip(3), Test::Server),
            (ip(4), Test::Lease),
        ]
    );
    let not: BTreeMap<Test, &str> = found
        .not_made
        .iter()
        .map(|not| (not.test, not.why.as_str()))
        .collect();
    assert_eq!(not[&Test::Arp], "none0 is no Ethernet");
    assert!(
        not[&Test::Ptr].contains("name server 127.0.0.53"),
        "{not:?}"
    );
    assert!(found.made.contains(&Test::Lease), "{found:?}");
    assert!(!found.broken_off);
}

#[tokio::test]
async fn without_a_daemon_the_leases_are_not_known() {
    let (mut snapshot, _) = site();
    snapshot.subnets[0].dns = vec![Ipv4Addr::new(127, 0, 0, 53)];
    let none = LinkTable::default();
    let leased = || Err("bootwright is not running".to_owned());
    let found = suggested(&snapshot, Wanted::This(ip(30)), &none, leased()).await;
    assert_eq!(found.free, [ip(30)]);
    assert_eq!(found.not_made[0].test, Test::Lease);
    assert_eq!(found.not_made[0].why, "bootwright is not running");
    assert_eq!(
        found.not_made[1].why,
        "this machine is not on the link of 10.99.0.0/24"
    );
    let taken = suggested(&snapshot, Wanted::This(ip(11)), &none, leased()).await;
    assert_eq!(taken.free, [] as [Ipv4Addr; 0]);
    assert_eq!(
        taken.ruled_out,
        [RuledOut::one(ip(11), Test::Reservation, "web01")]
    );
}

#[tokio::test]
async fn a_full_subnet_gives_what_there_is() {
    let (mut snapshot, links) = site();
    let subnet = &mut snapshot.subnets[0];
    subnet.network = "10.99.0.0/29".parse().unwrap();
    subnet.dns = vec![Ipv4Addr::new(127, 0, 0, 53)];
    subnet.ntp = vec![ip(6)];
    let found = suggested(&snapshot, Wanted::Free(9), &links, Ok(HashMap::new())).await;
    assert_eq!(found.free, [ip(4), ip(5)]);
    assert_eq!(found.ruled_out.len(), 6, "{found:?}");
}

#[tokio::test]
async fn whoever_answers_a_ping_has_the_address() {
    // The whole of it is this machine's.
    let asked = ask::ping(&[Ipv4Addr::new(127, 9, 9, 9)]).await;
    match asked.trouble {
        None => assert_eq!(asked.taken.len(), 1),
        // Without the privilege.
        Some(why) => assert!(
            asked.taken.is_empty() && why.contains("not permitted"),
            "{why}"
        ),
    }
    assert_eq!(ask::ping(&[]).await, Asked::default());
}
