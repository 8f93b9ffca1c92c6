use proptest::prelude::*;

use super::*;

const PORTS: [(Transport, u16); 3] = [
    (Transport::Udp, 67),
    (Transport::Udp, 69),
    (Transport::Tcp, 8080),
];

fn closed(rules: &Rules) -> Vec<u16> {
    let closed = rules.closed(&PORTS, &["br0".to_owned()]).unwrap();
    closed.iter().map(|closed| closed.port).collect()
}

/// The rules of an input chain as `iptables-save` has them.
fn iptables(policy: &str, rules: &[&str]) -> Rules {
    let rules: Vec<String> = rules.iter().map(|rule| format!("-A {rule}\n")).collect();
    Rules::Seen {
        nft: String::new(),
        iptables: format!(
            "# Generated\n*nat\n:INPUT DROP [0:0]\nCOMMIT\n*filter\n:INPUT {policy} [0:0]\n:FORWARD ACCEPT [0:0]\n\
             :OUTPUT ACCEPT [0:0]\n:own - [0:0]\n:last - [0:0]\n{}COMMIT\n",
            rules.concat()
        ),
    }
}

#[test]
fn lines_of_iptables() {
    let own = |policy, rules: &[&str]| closed(&iptables(policy, rules));
    assert_eq!(own("ACCEPT", &[]), [0; 0]);
    assert_eq!(own("DROP", &[]), [67, 69, 8080]);
    assert_eq!(
        own(
            "DROP",
            &[
                "INPUT -i lo -j ACCEPT",
                "INPUT -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT",
                "INPUT -p udp -m udp --dport 67:68 -m comment --comment \"DHCP, -j DROP\" -j ACCEPT",
                "INPUT -p tcp -m multiport --dports 80,8080 -j ACCEPT",
            ]
        ),
        [69]
    );
    // By a chain of its own, as ufw has it.
    assert_eq!(
        own(
            "DROP",
            &[
                "INPUT -j own",
                "own -i br+ -p udp -j ACCEPT",
                "own -p tcp -j RETURN"
            ]
        ),
        [8080]
    );
    assert_eq!(own("ACCEPT", &["INPUT ! -i lo -p udp -j REJECT"]), [67, 69]);
    assert_eq!(own("ACCEPT", &["INPUT -i eth7 -j DROP"]), [0; 0]);
    // What comes after a chain that was gone to is passed over.
    assert_eq!(own("ACCEPT", &["INPUT -g last", "INPUT -j DROP"]), [0; 0]);
    assert_eq!(
        own("ACCEPT", &["INPUT -j last", "INPUT -j DROP"]),
        [67, 69, 8080]
    );
}

#[test]
fn of_what_is_not_understood_nothing_bad_is_told() {
    let own = |policy, rules: &[&str]| closed(&iptables(policy, rules));
    assert_eq!(
        own("ACCEPT", &["INPUT -m set --match-set bad src -j DROP"]),
        [0; 0]
    );
    assert_eq!(
        own("DROP", &["INPUT -m set --match-set good src -j ACCEPT"]),
        [0; 0]
    );
    assert_eq!(
        own(
            "DROP",
            &[
                "INPUT -j own",
                "own -m addrtype --dst-type LOCAL -j RETURN",
                "own -j DROP",
                "INPUT -j ACCEPT"
            ]
        ),
        [0; 0],
        "it may return before"
    );
    // A circle, which the kernel refuses.
    assert_eq!(own("ACCEPT", &["INPUT -j own", "own -j own"]), [0; 0]);
    let unseen = Rules::Unseen("you are not root".to_owned());
    assert!(unseen.closed(&PORTS, &[]).is_err());
    assert_eq!(unseen.forwards(), None);
    assert_eq!(closed(&Rules::None), [0; 0]);
}

fn nft(policy: &str, rules: &[&str]) -> Rules {
    let rules: Vec<String> = rules
        .iter()
        .map(|expr| {
            format!(r#",{{"rule":{{"family":"inet","table":"filter","chain":"input","expr":[{expr}]}}}}"#)
        })
        .collect();
    Rules::Seen {
        nft: format!(
            r#"{{"nftables":[{{"metainfo":{{"version":"1.0.6"}}}},{{"table":{{"family":"inet","name":"filter"}}}},
            {{"chain":{{"family":"inet","table":"filter","name":"input","type":"filter","hook":"input","prio":0,"policy":"{policy}"}}}},
            {{"chain":{{"family":"ip6","table":"six","name":"input","type":"filter","hook":"input","prio":0,"policy":"drop"}}}}{}]}}"#,
            rules.concat()
        ),
        iptables: String::new(),
    }
}

#[test]
fn rules_of_nftables() {
    let dport = |protocol: &str, right: &str| {
        format!(
            r#"{{"match":{{"op":"==","left":{{"payload":{{"protocol":"{protocol}","field":"dport"}}}},"right":{right}}}}}"#
        )
    };
    let accept = r#"{"accept":null}"#;
    let own = |policy, rules: &[String]| {
        let rules: Vec<&str> = rules.iter().map(String::as_str).collect();
        closed(&nft(policy, &rules))
    };
    assert_eq!(own("accept", &[]), [0; 0]);
    assert_eq!(own("drop", &[]), [67, 69, 8080]);
    let set = r#"{"set":[67,{"range":[4000,9000]}]}"#;
    assert_eq!(
        own(
            "drop",
            &[format!(
                r#"{},{{"counter":{{"packets":0,"bytes":0}}}},{accept}"#,
                dport("udp", set)
            )]
        ),
        [69, 8080]
    );
    assert_eq!(
        own("drop", &[format!("{},{accept}", dport("th", set))]),
        [69]
    );
    let established =
        r#"{"match":{"op":"in","left":{"ct":{"key":"state"}},"right":["established","related"]}}"#;
    assert_eq!(
        own("drop", &[format!("{established},{accept}")]),
        [67, 69, 8080]
    );
    let here = r#"{"match":{"op":"==","left":{"meta":{"key":"iifname"}},"right":"br0"}}"#;
    assert_eq!(own("drop", &[format!("{here},{accept}")]), [0; 0]);
    assert_eq!(
        own(
            "accept",
            &[format!(r#"{},{{"drop":null}}"#, dport("udp", "69"))]
        ),
        [69]
    );
    assert_eq!(
        own(
            "accept",
            &[format!(r#"{},{{"drop":null}}"#, dport("udp", "\"@ports\""))]
        ),
        [0; 0],
        "a set that is named elsewhere"
    );
    // As firewalld refuses at the end.
    let reject = r#"{"reject":{"type":"icmpx","expr":"admin-prohibited"}}"#.to_owned();
    assert_eq!(own("accept", &[reject]), [67, 69, 8080]);
    let vmap = r#"{"vmap":{"key":{"meta":{"key":"iifname"}},"data":{"set":[]}}}"#.to_owned();
    assert_eq!(own("drop", &[vmap]), [0; 0], "not understood");
    let by = nft("drop", &[]).closed(&PORTS, &[]).unwrap();
    assert_eq!(
        by[0].by,
        "the chain input of the nftables table inet filter"
    );
}

proptest! {
    #[test]
    fn whatever_is_printed_is_read(text in "[:*A-Za-z\\-\" \\\\!,0-9\n]{0,200}") {
        let _ = Rules::Seen { nft: String::new(), iptables: format!("*filter\n:INPUT DROP\n-A INPUT {text}") }
            .closed(&PORTS, &[]);
        let _ = Rules::Seen { nft: text, iptables: String::new() }.closed(&PORTS, &[]);
    }
}
