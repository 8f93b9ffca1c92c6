use super::*;
use crate::decide::testing;

/// A machine on which all is well: `br0` in the subnet lab, whose server it is.
pub(crate) fn well() -> (Snapshot, Facts) {
    let mut snapshot = testing::snapshot();
    snapshot.server.interfaces = vec!["br0".to_owned()];
    snapshot.server.dhcp_port = 67;
    snapshot.server.proxy_port = 4011;
    snapshot.server.tftp_port = 69;
    snapshot.server.http_port = 8080;
    let facts = Facts {
        links: vec![Link {
            name: "br0".to_owned(),
            up: true,
            carrier: Some(true),
            addresses: vec!["10.99.0.2/24".parse().unwrap()],
            mtu: Some(1_500),
            ..Link::default()
        }],
        account: Account {
            name: "bootwright".to_owned(),
            ids: Some((990, 990)),
        },
        state: Some(Room {
            folder: "/var/lib/bootwright".into(),
            free: 10 << 30,
        }),
        assets: Some(Owned {
            uid: 0,
            gid: 0,
            mode: 0o755,
        }),
        synchronised: Some(true),
        ..Facts::default()
    };
    (snapshot, facts)
}

/// What is not well, after a change.
fn found(change: impl FnOnce(&mut Snapshot, &mut Facts)) -> Vec<(Check, Level, String)> {
    let (mut snapshot, mut facts) = well();
    change(&mut snapshot, &mut facts);
    judge(&snapshot, &facts)
        .into_iter()
        .filter(|finding| finding.level != Level::Ok)
        .inspect(|finding| assert!(finding.remedy.is_some(), "{finding:?}"))
        .map(|finding| (finding.check, finding.level, finding.what))
        .collect()
}

fn one(change: impl FnOnce(&mut Snapshot, &mut Facts)) -> (Check, Level, String) {
    let found = found(change);
    assert_eq!(found.len(), 1, "{found:?}");
    found.into_iter().next().unwrap()
}

#[test]
fn all_is_well() {
    let (snapshot, facts) = well();
    let all = judge(&snapshot, &facts);
    assert!(
        all.iter().all(|finding| finding.level == Level::Ok),
        "{all:?}"
    );
    let mut checks: Vec<Check> = all.iter().map(|finding| finding.check).collect();
    assert!(checks.is_sorted());
    checks.dedup();
    assert_eq!(checks, Check::ALL[1..7]);
}

#[test]
fn interfaces() {
    let link = |change: fn(&mut Link)| one(move |_, facts| change(&mut facts.links[0]));
    let is = |(check, level, what): (Check, Level, String), wanted: Level, part: &str| {
        assert_eq!((check, level), (Check::Interfaces, wanted), "{what}");
        assert!(what.contains(part), "{what}");
    };
    is(
        one(|_, facts| facts.links[0].name = "eth7".into()),
        Level::Error,
        "no interface br0; this machine has eth7",
    );
    is(
        link(|link| link.up = false),
        Level::Error,
        "br0 is switched off",
    );
    is(
        link(|link| link.carrier = Some(false)),
        Level::Warning,
        "no link",
    );
    is(
        link(|link| link.bridge = Some("br1".into())),
        Level::Error,
        "port of the bridge br1",
    );
    is(
        link(|link| link.addresses.clear()),
        Level::Error,
        "no IPv4 address",
    );
    is(
        link(|link| link.addresses = vec!["172.16.0.1/16".parse().unwrap()]),
        Level::Warning,
        "no [[subnet]] holds",
    );
    is(
        link(|link| link.mtu = Some(500)),
        Level::Warning,
        "at most 500 bytes",
    );
    // `far` is behind a relay.
    is(
        link(|link| link.strict_paths = true),
        Level::Warning,
        "rp_filter",
    );
    let bridge = |change: fn(&mut Bridge)| {
        one(move |_, facts| {
            let mut bridge = Bridge::default();
            change(&mut bridge);
            facts.links[0].is_bridge = Some(bridge);
        })
    };
    is(
        bridge(|bridge| bridge.waits = Some(Duration::from_secs(15))),
        Level::Warning,
        "forwards nothing for 30 s",
    );
    is(
        bridge(|bridge| bridge.silent = vec!["tap0".into()]),
        Level::Warning,
        "nothing now: tap0",
    );
    let filtered = |policy: &str| {
        let rules = format!("*filter\n:FORWARD {policy} [0:0]\nCOMMIT\n");
        found(move |_, facts| {
            facts.links[0].is_bridge = Some(Bridge::default());
            facts.filters_bridges = true;
            facts.rules = Rules::Seen {
                nft: String::new(),
                iptables: rules,
            };
        })
    };
    assert_eq!(filtered("ACCEPT"), []);
    is(
        filtered("DROP").remove(0),
        Level::Warning,
        "bridge-nf-call-iptables",
    );
    is(
        one(|snapshot, _| snapshot.subnets[0].server = Some([10, 99, 0, 9].into())),
        Level::Warning,
        "`server` of the subnet lab is 10.99.0.9",
    );
}

fn held(
    transport: Transport,
    port: u16,
    address: Option<[u8; 4]>,
    by: Option<(&str, u32)>,
) -> Held {
    Held {
        transport,
        port,
        address: address.map(Ipv4Addr::from),
        by: by.map(|(name, pid)| (name.to_owned(), pid)),
    }
}

#[test]
fn ports() {
    let with = |daemon: Daemon, held: Held| {
        found(move |_, facts| {
            facts.daemon = daemon;
            facts.held.push(held);
        })
    };
    let dnsmasq = Some(("dnsmasq", 812));
    let tftp = |address| held(Transport::Udp, 69, address, dnsmasq);
    let (check, level, what) = with(Daemon::Off, tftp(None)).remove(0);
    assert_eq!((check, level), (Check::Ports, Level::Error));
    assert_eq!(what, "dnsmasq (pid 812) holds UDP port 69 (TFTP)");
    assert_eq!(
        with(Daemon::Off, tftp(Some([192, 168, 122, 1]))),
        [],
        "not where machines are served"
    );
    let here = with(Daemon::Off, tftp(Some([10, 99, 0, 2])));
    assert_eq!(
        here[0].2,
        "dnsmasq (pid 812) holds UDP port 69 of 10.99.0.2 (TFTP)"
    );
    let shared = with(Daemon::Off, held(Transport::Udp, 67, None, dnsmasq));
    assert_eq!(
        shared[0].1,
        Level::Warning,
        "it may be kept to other interfaces"
    );
    let unnamed = with(Daemon::Off, held(Transport::Tcp, 8080, None, None));
    assert!(
        unnamed[0]
            .2
            .starts_with("another process holds TCP port 8080")
    );

    // The daemon's own.
    let ports = [
        (Transport::Udp, 67),
        (Transport::Udp, 4011),
        (Transport::Udp, 69),
        (Transport::Tcp, 8080),
    ];
    let of = |by: Option<(&'static str, u32)>| {
        found(move |_, facts| {
            facts.daemon = Daemon::Runs(7);
            facts.held = ports
                .map(|(transport, port)| held(transport, port, None, by))
                .to_vec();
        })
    };
    assert_eq!(of(Some(("bootwright", 7))), []);
    let unseen = of(None);
    assert!(
        unseen.len() == 4 && unseen.iter().all(|(_, level, _)| *level == Level::Unseen),
        "{unseen:?}"
    );
}

#[test]
fn account_disk_clock_and_firewall() {
    let (check, level, what) = one(|_, facts| facts.account.ids = None);
    assert_eq!(
        (check, level),
        (Check::Privileges, Level::Warning),
        "{what}"
    );
    let (_, level, _) = one(|snapshot, facts| {
        snapshot.server.user = Some("boot".to_owned());
        facts.account.ids = None;
    });
    assert_eq!(level, Level::Error);
    let (_, level, what) = one(|_, facts| facts.assets = None);
    assert!(
        level == Level::Error && what.contains("is not there"),
        "{what}"
    );
    let owned =
        |uid, gid, mode| found(move |_, facts| facts.assets = Some(Owned { uid, gid, mode }));
    assert_eq!(owned(990, 0, 0o700), []);
    assert_eq!(owned(0, 990, 0o750), []);
    assert_eq!(owned(0, 0, 0o750)[0].1, Level::Warning);
    let free = |free| {
        let (check, level, _) = one(move |_, facts| facts.state.as_mut().unwrap().free = free);
        assert_eq!(check, Check::Disk);
        level
    };
    assert_eq!(
        (free(100 << 20), free(1 << 20)),
        (Level::Warning, Level::Error)
    );
    assert_eq!(one(|_, facts| facts.state = None).1, Level::Unseen);
    assert_eq!(
        one(|_, facts| facts.synchronised = Some(false)).1,
        Level::Warning
    );
    assert_eq!(one(|_, facts| facts.synchronised = None).1, Level::Unseen);
    let (check, level, what) = one(|_, facts| {
        facts.rules = Rules::Seen {
            nft: String::new(),
            iptables: "*filter\n:INPUT ACCEPT [0:0]\n-A INPUT -p udp --dport 69 -j DROP\nCOMMIT\n"
                .to_owned(),
        };
    });
    assert_eq!((check, level), (Check::Firewall, Level::Error));
    assert_eq!(what, "UDP 69 is closed by the chain INPUT of iptables");
    assert_eq!(
        one(|_, facts| facts.rules = Rules::Unseen("no".into())).1,
        Level::Unseen
    );
}
