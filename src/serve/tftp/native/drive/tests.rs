use std::net::{Ipv4Addr, SocketAddr};
use std::sync::atomic::AtomicU64;

use arc_swap::ArcSwap;
use tokio::runtime::Handle;
use tokio_util::sync::CancellationToken;

use super::*;
use crate::base::SystemClock;
use crate::decide::transfer::Terms;
use crate::host::links::{LinkTable, Links};
use crate::journal::Journal;
use crate::journal::event::{Event, Kind};
use crate::render::load::InForce;
use crate::serve::assets::AssetTree;
use crate::serve::context::Context;
use crate::serve::installs::Installs;
use crate::serve::memory::Memory;
use crate::serve::tftp::body::About;
use crate::serve::tftp::limits::{Holder, Limits};
use crate::store::AnyStore;
use crate::wire::tftp::{Options, Packet, USUAL_BLKSIZE};

fn context() -> Context {
    let (journal, clock) = (Journal::in_memory(), Arc::new(SystemClock));
    let store = Arc::new(AnyStore::in_memory());
    Context {
        in_force: Arc::new(ArcSwap::new(Arc::new(InForce::default()))),
        installs: Installs::new(store, journal.clone(), clock.clone()),
        journal,
        clock,
        assets: AssetTree::new("boot-assets"),
        memory: Memory::new(),
        links: Links::fixed(LinkTable::default()),
    }
}

/// A transfer of a text by lockstep, and its client's socket.
fn transfer(ctx: &Context, text: String) -> (Box<Drive>, std::net::UdpSocket) {
    let client = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
    let peer = client.local_addr().unwrap();
    let SocketAddr::V4(to) = peer else {
        panic!("an IPv4 socket")
    };
    let socket = Connected::open(Ipv4Addr::LOCALHOST, to).unwrap();
    client
        .connect(socket.socket().local_addr().unwrap())
        .unwrap();
    let began = std::time::Instant::now();
    let about = About {
        ctx: Arc::new(ctx.clone()),
        runtime: Handle::current(),
        peer,
        iface: "lo".into(),
        file: "file".to_owned(),
        host: None,
        mac: None,
        began,
        hint: None,
    };
    let permit = Limits::default().take(peer.ip(), None).unwrap();
    let terms = Terms {
        blksize: USUAL_BLKSIZE,
        windowsize: 1,
        timeout: None,
        granted: Options::default(),
    };
    let drive = Box::new(Drive {
        transfer: Transfer::new(terms, Duration::ZERO),
        body: Box::new(Body::text(about, permit, text, Reason::ChainScript).told()),
        socket,
        is_netascii: false,
        running: Arc::new(Running {
            request: Vec::new(),
            began,
            holder: Arc::new(Holder::new(CancellationToken::new())),
            moved_ms: AtomicU64::new(0),
        }),
        out: Arc::default(),
    });
    (drive, client)
}

async fn event(events: &mut tokio::sync::broadcast::Receiver<Arc<Event>>) -> Arc<Event> {
    let event = tokio::time::timeout(Duration::from_secs(20), events.recv());
    event.await.expect("an event in time").expect("an event")
}

/// On one thread: whoever has all acknowledgements ready, and more of them, does not keep it.
#[tokio::test]
async fn who_sends_without_a_pause_is_no_obstacle_to_others_nor_to_the_end() {
    let ctx = context();
    let mut events = ctx.journal.follow();
    let (drive, client) = transfer(&ctx, "x".repeat(100 * 512));
    let holder = Arc::clone(&drive.running.holder);
    for block in 1..=101 {
        client.send(&Packet::Ack(block).bytes()).unwrap();
    }
    let served = tokio::spawn(drive.run());
    while !holder.is_heard() {
        tokio::task::yield_now().await;
    }
    holder.stop(Stop::AskedAnew);
    let told = event(&mut events).await;
    assert_eq!(
        (told.kind, told.reason),
        (Kind::TftpFailed, Reason::Aborted)
    );
    served.await.unwrap();
}

/// A packet that was repeated in vain finds the port closed, before the last acknowledgement was read.
#[tokio::test]
async fn the_last_acknowledgement_counts_when_the_port_is_closed_already() {
    let ctx = context();
    let mut events = ctx.journal.follow();
    let (drive, client) = transfer(&ctx, "a script".to_owned());
    client.send(&Packet::Ack(1).bytes()).unwrap();
    drop(client);
    drive.run().await;
    let told = event(&mut events).await;
    assert_eq!(told.kind, Kind::TftpSent, "{told:?}");
}
