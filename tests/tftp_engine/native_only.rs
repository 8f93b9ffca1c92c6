//! What `async-tftp` cannot.

use std::net::Ipv4Addr;
use std::time::{Duration, Instant};

use bootwright::config::snapshot::TftpEngine;
use bootwright::journal::event::{Event, Kind, Reason};
use tokio_util::sync::CancellationToken;

use super::tftp::{Client, Packet};
use super::{Served, pattern};

fn served() -> Served {
    Served::new(TftpEngine::Native)
}

#[test]
fn a_rom_that_asks_again_from_its_port_is_heard_at_once() {
    let mut served = served();
    let bytes = pattern(20_000);
    served.write("loader", &bytes);
    served.write("other", b"other");
    let mut rom = served.client();
    rom.ask("loader", &[("blksize", "1468")]);
    assert!(matches!(rom.next(), Packet::Oack(_)));
    let begun = Instant::now();
    assert_eq!(rom.fetch("other", &[]).unwrap().bytes, b"other");
    assert!(begun.elapsed() < Duration::from_millis(400));
    let ends: Vec<_> = (0..2).map(|_| served.told()).collect();
    assert!(
        ends.contains(&(Kind::TftpFailed, Reason::Aborted, 0)),
        "{ends:?}"
    );
    assert!(
        ends.contains(&(Kind::TftpSent, Reason::Done, 5)),
        "{ends:?}"
    );
}

#[test]
fn who_forges_a_machines_address_takes_no_place_from_it() {
    let mut served = served();
    served.write("file", &pattern(5_000));
    // Asked for, and never answered to.
    let forged: Vec<_> = (0..128)
        .map(|_| {
            let mut client = served.client();
            client.ask("file", &[]);
            client.data(1);
            client
        })
        .collect();
    assert_eq!(served.fetch("file", &[]).unwrap().bytes.len(), 5_000);
    let ends: Vec<_> = (0..2).map(|_| served.told()).collect();
    assert!(
        ends.contains(&(Kind::TftpFailed, Reason::Busy, 0)),
        "{ends:?}"
    );
    assert!(
        ends.contains(&(Kind::TftpSent, Reason::Done, 5_000)),
        "{ends:?}"
    );
    drop(forged);
}

#[test]
fn a_rom_that_goes_on_to_the_next_file_has_the_last_one() {
    let mut served = served();
    served.write("loader", &pattern(1_000));
    served.write("other", b"other");
    let up_to_the_last_acknowledgement = |rom: &mut Client| {
        rom.ask("loader", &[]);
        rom.data(1);
        rom.ack(1);
        assert_eq!(rom.data(2).len(), 1_000 - 512);
    };
    let mut rom = served.client();
    up_to_the_last_acknowledgement(&mut rom);
    assert_eq!(rom.fetch("other", &[]).unwrap().bytes, b"other");
    let mut ends = [served.event(), served.event()];
    ends.sort_by_key(|event| event.file.as_deref() != Some("loader"));
    let [loader, other] = ends;
    let short = |event: &Event| (event.kind, event.reason, event.bytes);
    assert_eq!(short(&loader), (Kind::TftpSent, Reason::Done, Some(1_000)));
    assert!(loader.detail.unwrap().contains("another file"));
    assert_eq!(short(&other), (Kind::TftpSent, Reason::Done, Some(5)));

    // The same file again: it was not had.
    let mut rom = served.client();
    up_to_the_last_acknowledgement(&mut rom);
    let again = rom.fetch("loader", &[("blksize", "1400")]);
    assert_eq!(again.unwrap().bytes.len(), 1_000);
    let ends: Vec<_> = (0..2).map(|_| served.told()).collect();
    let failed = |(kind, reason, _): &&_| (kind, reason) == (&Kind::TftpFailed, &Reason::Aborted);
    assert_eq!(ends.iter().filter(failed).count(), 1, "{ends:?}");
}

#[test]
fn a_port_closed_before_any_block_was_acknowledged_is_no_whole_file() {
    let mut served = served();
    served.write("file", &pattern(1_000));
    let mut client = served.client();
    client.ask("file", &[("blksize", "1400")]);
    assert!(matches!(client.next(), Packet::Oack(_)));
    client.ack(0);
    drop(client);
    let event = served.event();
    assert_eq!(
        (event.kind, event.reason),
        (Kind::TftpFailed, Reason::Incomplete)
    );
    assert!(event.detail.unwrap().contains("closed its port"));
}

#[test]
fn a_request_that_comes_twice_gives_one_transfer() {
    let mut served = served();
    let bytes = pattern(3_000);
    served.write("file", &bytes);
    let mut client = served.client();
    client.ask("file", &[]);
    client.ask("file", &[]);
    let mut got = Vec::new();
    // The client takes packets of one port only.
    for block in 1..=6 {
        got.extend(client.data(block));
        client.ack(block);
    }
    assert_eq!(got, bytes);
    assert_eq!(served.told(), (Kind::TftpSent, Reason::Done, 3_000));
    served.write("last", b"x");
    served.fetch("last", &[]).unwrap();
    assert_eq!(served.event().file.as_deref(), Some("last"), "one event");
}

#[test]
fn a_lost_block_costs_little() {
    let served = served();
    served.write("file", &pattern(3_000));
    let mut client = served.client();
    client.ask("file", &[("blksize", "1000"), ("windowsize", "2")]);
    assert!(matches!(client.next(), Packet::Oack(_)));
    client.ack(0);
    client.data(1);
    client.data(2);
    let begun = Instant::now();
    client.data(1);
    assert!(
        begun.elapsed() < Duration::from_millis(450),
        "{:?}",
        begun.elapsed()
    );
}

#[test]
fn a_client_may_end_a_transfer() {
    let mut served = served();
    served.write("file", &pattern(3_000));
    let mut client = served.client();
    client.ask("file", &[]);
    client.data(1);
    client.ack(1);
    client.data(2);
    client.error(3, "no room");
    let event = served.event();
    assert_eq!(
        (event.kind, event.reason),
        (Kind::TftpFailed, Reason::Aborted)
    );
    let detail = event.detail.unwrap();
    assert!(
        detail.contains("after 512 bytes: ERROR 3 (no room)"),
        "{detail}"
    );
    assert_eq!(client.next_within(Duration::from_millis(300)), None);
}

#[test]
fn netascii_has_the_line_ends_of_the_network() {
    let mut served = served();
    let text = "one\ntwo\r\n".repeat(100);
    served.write("menu.txt", text.as_bytes());
    let mut client = served.client();
    client.request(
        1,
        "menu.txt",
        "NetASCII",
        &[("tsize", "0"), ("blksize", "512")],
    );
    let Packet::Oack(options) = client.next() else {
        panic!("no option acknowledgement");
    };
    assert_eq!(options, [("blksize".to_owned(), "512".to_owned())]);
    client.ack(0);
    let mut got = Vec::new();
    for block in 1.. {
        let part = client.data(block);
        client.ack(block);
        got.extend_from_slice(&part);
        if part.len() < 512 {
            break;
        }
    }
    let expected = "one\r\ntwo\r\0\r\n".repeat(100);
    assert_eq!(String::from_utf8(got).unwrap(), expected);
    let told = (Kind::TftpSent, Reason::Done, expected.len() as u64);
    assert_eq!(served.told(), told);
}

#[test]
fn requests_that_cannot_be_read_get_an_error_and_an_event() {
    let mut served = served();
    let mut client = served.client();
    client.request(1, "file", "mail", &[]);
    assert!(matches!(client.next(), Packet::Error(4, _)));
    assert_eq!(served.told(), (Kind::TftpFailed, Reason::Malformed, 0));
    client.request_bytes(b"\0\x01caf\xe9\0octet\0");
    assert!(matches!(client.next(), Packet::Error(2, _)));
    assert_eq!(served.told(), (Kind::TftpFailed, Reason::BadName, 0));
    // What is no request is not answered.
    for bytes in [
        &b""[..],
        b"\0",
        b"\0\x05\0\x01no\0",
        b"\0\x04\0\x01",
        b"\0\x09",
        b"\0\x01",
    ] {
        client.request_bytes(bytes);
    }
    assert_eq!(client.next_within(Duration::from_millis(300)), None);
}

#[test]
fn who_waits_for_a_place_gets_it_though_others_never_stop_asking() {
    let served = served();
    // Too large to lie in memory: each transfer takes the place of one that reads.
    let kernel = served.site.assets().join("kernel");
    std::fs::File::create(&kernel)
        .and_then(|file| file.set_len(5 << 20))
        .unwrap();
    served.write("loader", b"loader");
    let held: Vec<_> = (0..1_000_u16)
        .map(|n| {
            let ip = Ipv4Addr::new(127, 0, 1, u8::try_from(n % 200).unwrap() + 1);
            let mut client = Client::new(ip, served.address);
            client.ask("kernel", &[]);
            client.data(1);
            client
        })
        .collect();
    let asking = CancellationToken::new();
    let asks = {
        let (asking, address) = (asking.clone(), served.address);
        std::thread::spawn(move || {
            let socket = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
            while !asking.is_cancelled() {
                socket.send_to(b"\0\x04\0\x01", address).unwrap();
                std::thread::sleep(Duration::from_millis(5));
            }
        })
    };
    // Asked once. That nobody holds a place any more whose client was heard is known after a while.
    let mut machine = served.client();
    machine.ask("loader", &[]);
    let got = machine.next_within(Duration::from_secs(10));
    asking.cancel();
    asks.join().unwrap();
    assert!(matches!(got, Some(Packet::Data(1, _))), "{got:?}");
    drop(held);
}

#[test]
fn clients_that_take_their_time_keep_nobody_waiting() {
    let served = served();
    served.write("loader", &[7; 4_096]);
    let mut clients: Vec<_> = (0..300_u16)
        .map(|n| {
            let ip = Ipv4Addr::new(127, 0, 1, u8::try_from(n % 200).unwrap() + 1);
            Client::new(ip, served.address)
        })
        .collect();
    let began = Instant::now();
    for client in &mut clients {
        client.ask("loader", &[]);
    }
    // None of them goes on, and the thread that serves them has nothing to do.
    for client in &mut clients {
        let got = client.next_within(Duration::from_secs(10));
        assert!(matches!(got, Some(Packet::Data(1, _))), "{got:?}");
    }
    // Where it is busy they wait for longer.
    let took = began.elapsed();
    assert!(took < Duration::from_secs(3), "{took:?}");
}
