//! `bootwright.toml`.

use serde_json::{Value, json};

use super::forms::{self, BOOT_FILE, DOMAIN, INTERFACE, NETWORK, POOL, SUBNET, URL, WORD};
use super::node::{Node, size, time, words};
use super::options::options;
use crate::base::Firmware;
use crate::config::mirror::Mirror;
use crate::config::problem::WARNINGS;
use crate::config::snapshot::{Mode, Server};
use crate::config::written::server::{
    ADVERTISEMENT, ENGINES, MODES, OF_ADDRESSES, SECURE, STORES, UNKNOWN, WHEN_NEW,
};
use crate::journal::event::Kind;

/// The whole file.
pub(super) fn file() -> Node {
    let usual = Server::default();
    Node::table(
        "",
        [
            ("server", server(&usual)),
            ("dhcp", dhcp(&usual)),
            ("boot", boot(&usual)),
            ("tftp", tftp(&usual)),
            (
                "http",
                Node::table(
                    "Boot files, scripts, answers and reports by HTTP.",
                    [("port", port("The TCP port.", usual.http_port))],
                ),
            ),
            (
                "admin",
                Node::table("The operators' API by TCP. It has no keys yet.", []),
            ),
            ("install", install(&usual)),
            (
                "journal",
                Node::table(
                    "What happened, kept on disk.",
                    [(
                        "keep",
                        forms::bytes("How much is kept, at least 1MiB; the oldest goes first.")
                            .default(size(usual.journal_keep)),
                    )],
                ),
            ),
            (
                "assets",
                Node::table(
                    "Boot files.",
                    [(
                        "cache",
                        forms::bytes("The memory that boot files may take; \"0MiB\" for none.")
                            .default(size(usual.asset_cache)),
                    )],
                ),
            ),
            (
                "store",
                Node::table(
                    "Where installation records are kept.",
                    [(
                        "kind",
                        Node::word(
                            "The kind of store.",
                            words(&STORES, |_| "a file in `state_dir`"),
                        )
                        .default("embedded"),
                    )],
                ),
            ),
            ("check", check()),
            (
                "subnet",
                Node::list("The networks whose machines are answered.", subnet()),
            ),
            ("hook", Node::list("Who is told what happens.", hook())),
            (
                "mirror",
                Node::list("Folders of boot files that are another server's.", mirror()),
            ),
        ],
    )
    .required(["server"])
}

fn port(description: &str, usual: u16) -> Node {
    Node::whole(description, 1..=65_535).default(usual)
}

/// A path; relative ones begin at the folder of this file.
fn path(description: &str) -> Node {
    Node::text(description).with("minLength", 1)
}

fn server(usual: &Server) -> Node {
    let interface = Node::like("", INTERFACE).example("eth0");
    Node::table(
        "The daemon itself. Relative paths begin at the folder of this file.",
        [
            (
                "interfaces",
                Node::list(
                    "The network interfaces that machines are plugged into: DHCP, TFTP and HTTP are served there.",
                    interface,
                )
                .with("minItems", 1)
                .with("uniqueItems", true)
                .example(json!(["eth0"])),
            ),
            (
                "domain",
                domain("The domain of hosts that have no `fqdn` and whose subnet has no `domain`."),
            ),
            (
                "state_dir",
                path("Installation records, journal and the operators' socket.")
                    .default(usual.state_dir.display().to_string()),
            ),
            (
                "boot_assets",
                path("The folder of boot files.").default("../boot-assets"),
            ),
            (
                "profiles",
                path("The folder of profiles.").default("profiles"),
            ),
            (
                "templates",
                path("The folder of templates and snippets.").default("templates"),
            ),
            (
                "reservations",
                Node::one_or_more(
                    "Files with hosts, groups and defaults; a folder stands for all its *.toml files.",
                    path(""),
                )
                .default(json!(["reservations.toml"])),
            ),
            (
                "user",
                Node::like("The account that a start as root becomes.", "^[A-Za-z0-9_.$][A-Za-z0-9_.$-]*$")
                    .example("bootwright"),
            ),
            (
                "secrets",
                path("The file of passwords and keys; its mode must be 600, or 640 with the daemon's group.")
                    .example("secrets.toml"),
            ),
        ],
    )
    .required(["interfaces"])
}

fn domain(description: &str) -> Node {
    Node::like(description, DOMAIN)
        .with("maxLength", 253)
        .example("lab.example")
}

fn unknown() -> Node {
    Node::word(
        "What machines without a reservation get.",
        words(&UNKNOWN, |word| match word {
            "ignore" => "nothing",
            "lease" => "an address of the subnet's pool",
            "discover" => "an address, and the discovery profile when they boot from the network",
            _ => "",
        }),
    )
}

fn profile(description: &str) -> Node {
    Node::like(description, WORD)
}

fn dhcp(usual: &Server) -> Node {
    Node::table(
        "DHCP.",
        [
            ("port", port("The UDP port.", usual.dhcp_port)),
            (
                "proxy_port",
                port(
                    "Where UEFI asks for its boot file beside another DHCP server.",
                    usual.proxy_port,
                ),
            ),
            (
                "lease_time",
                forms::duration("How long an address is leased.").default(time(usual.lease_time)),
            ),
            ("unknown", unknown().default("ignore")),
            (
                "discovery_profile",
                profile(
                    "The profile of machines that nobody knows, with `unknown = \"discover\"`.",
                )
                .example("discovery"),
            ),
            (
                "conflict_probe",
                Node::flag("Before an address is first offered its link is asked who has it.")
                    .default(usual.conflict_probe),
            ),
        ],
    )
}

fn boot(usual: &Server) -> Node {
    let loader = |description: String| Node::like(&description, BOOT_FILE);
    let mut loaders: Vec<(&'static str, Node)> = Vec::new();
    for firmware in Firmware::ALL {
        let mut node = loader(format!(
            "The boot loader of `{firmware}`: a path under `boot_assets`, a whole URL, or `grub`, `pxelinux` or `ipxe`."
        ));
        if let Some(file) = usual.loaders.get(&firmware) {
            node = node.default(file.as_str());
        }
        loaders.push((firmware.as_str(), node));
    }
    let by_code = loader(
        "The boot loader of firmware that names itself by this number in DHCP option 93."
            .to_owned(),
    );
    let shims = SECURE.map(|firmware| {
        let mut node = loader(format!("The shim of `{firmware}`."));
        if let Some(file) = usual.secure.get(&firmware) {
            node = node.default(file.as_str());
        }
        (firmware.as_str(), node)
    });
    Node::table(
        "What machines load first.",
        [
            (
                "loaders",
                Node::table(
                    "Boot loaders, by firmware or by a number of DHCP option 93 in quotes.",
                    loaders,
                )
                .with("patternProperties", json!({ "^[0-9]+$": Value::from(by_code) })),
            ),
            (
                "secure",
                Node::table(
                    "What firmware with Secure Boot loads first, where the profile has no shim of its own.",
                    shims,
                ),
            ),
            (
                "router_advertisement",
                Node::word(
                    "Whether iPXE is told that there is no IPv6 router here, in place of waiting for one.",
                    words(&ADVERTISEMENT, |word| match word {
                        "off" => "nobody is told anything",
                        "ipxe" => "iPXE is told, nobody else",
                        _ => "",
                    }),
                )
                .default("off"),
            ),
        ],
    )
}

fn tftp(usual: &Server) -> Node {
    Node::table(
        "TFTP.",
        [
            ("port", port("The UDP port.", usual.tftp_port)),
            (
                "max_blksize",
                Node::whole(
                    "The largest block that is agreed to, in bytes (RFC 2348).",
                    8..=65_464,
                )
                .default(usual.tftp_max_blksize),
            ),
            (
                "max_windowsize",
                Node::whole(
                    "The most blocks that are sent at once (RFC 7440).",
                    1..=65_535,
                )
                .default(usual.tftp_max_windowsize),
            ),
            (
                "engine",
                Node::word(
                    "What sends the files.",
                    words(&ENGINES, |word| match word {
                        "native" => "the server's own",
                        "async-tftp" => "the crate async-tftp",
                        _ => "",
                    }),
                )
                .default("native"),
            ),
        ],
    )
}

fn install(usual: &Server) -> Node {
    Node::table(
        "Installations.",
        [
            (
                "when_new",
                Node::word(
                    "What becomes of hosts that a reload adds and that were never known here.",
                    words(&WHEN_NEW, |word| match word {
                        "local" => "they boot their disks",
                        "install" => "they are armed: their next network boot installs them",
                        _ => "",
                    }),
                )
                .default("local"),
            ),
            (
                "armed_for",
                forms::duration("An arming that no machine has taken up by then lapses.")
                    .default(time(usual.armed_for)),
            ),
            (
                "max_attempts",
                Node::whole("Boots of the installer per arming.", 1..=1_000)
                    .default(usual.max_attempts),
            ),
            (
                "stalled_after",
                forms::duration("Without a sign of life for so long an installation has failed.")
                    .default(time(usual.stalled_after)),
            ),
        ],
    )
}

fn check() -> Node {
    let codes = WARNINGS.iter().map(|(code, what)| (*code, *what));
    Node::table(
        "What `bootwright check` tells.",
        [(
            "allow",
            Node::list(
                "Warnings that are not told, by their codes.",
                Node::word("", codes),
            )
            .default(json!([])),
        )],
    )
}

fn subnet() -> Node {
    let addresses = |description: &str| Node::one_or_list(description, forms::machine_address(""));
    let mut without = serde_json::Map::new();
    for key in OF_ADDRESSES {
        without.insert(key.to_owned(), false.into());
    }
    Node::table(
        "A network whose machines are answered.",
        [
            (
                "name",
                Node::like("What it is called; without it the network as written.", SUBNET)
                    .example("lab"),
            ),
            (
                "network",
                Node::like("Address and prefix length.", NETWORK).example("10.99.0.0/24"),
            ),
            (
                "mode",
                Node::word(
                    "Who gives the addresses here.",
                    words(&MODES, |word| match word {
                        "authoritative" => "this server",
                        "proxy" => "another DHCP server: this one tells machines what to boot",
                        "off" => "another DHCP server, which sends machines here; this one says nothing by DHCP",
                        _ => "",
                    }),
                )
                .default(Mode::Authoritative.as_str()),
            ),
            (
                "server",
                forms::machine_address("This server as the machines see it; without it the address that they ask."),
            ),
            ("router", forms::machine_address("The machines' way out.")),
            ("dns", addresses("Name servers.")),
            ("ntp", addresses("Time servers.")),
            (
                "nat",
                addresses("Addresses that machines of this subnet come from where they are hidden behind NAT."),
            ),
            ("domain", domain("The domain of this subnet's hosts.")),
            (
                "lease_time",
                forms::duration("How long an address is leased here; without it as [dhcp] says."),
            ),
            ("unknown", unknown()),
            (
                "pool",
                Node::like("Addresses for machines without a reservation.", POOL)
                    .example("10.99.0.200-10.99.0.250"),
            ),
            (
                "secure_boot",
                Node::flag("The machines here run signed programs only, unless hosts, groups or profiles say otherwise."),
            ),
            (
                "dns_search",
                Node::one_or_list("Domains that names without dots are looked up in.", domain("")),
            ),
            ("options", options("DHCP options of this subnet.")),
        ],
    )
    .required(["network"])
    .also(json!({
        "if": { "properties": { "mode": { "enum": ["proxy", "off"] } }, "required": ["mode"] },
        "then": { "properties": without },
    }))
}

fn hook() -> Node {
    let mut events: Vec<String> = Kind::ALL
        .iter()
        .filter(|kind| kind.is_for_hooks())
        .map(|kind| kind.as_str().to_owned())
        .collect();
    let families = Kind::ALL
        .iter()
        .filter(|kind| kind.is_for_hooks())
        .filter_map(|kind| kind.as_str().split_once('.'))
        .map(|(family, _)| format!("{family}.*"));
    events.extend(families);
    events.sort_unstable();
    events.dedup();
    let event = Node::text("A name of events, or a pattern with `*`.")
        .with("anyOf", json!([{ "enum": events }, { "pattern": "\\*" }]));
    Node::table(
        "A receiver of events: a URL, or a program.",
        [
            (
                "url",
                Node::like("Events are posted there as JSON.", URL)
                    .example("https://cmdb.example/bootwright"),
            ),
            (
                "exec",
                Node::list(
                    "A program that is run with them, by its whole path, and its arguments.",
                    Node::text(""),
                )
                .with("minItems", 1)
                .example(json!(["/usr/local/bin/told"])),
            ),
            (
                "events",
                Node::one_or_more("Which events.", event).default(json!(["install.*"])),
            ),
            (
                "secret",
                Node::like(
                    "The name of a secret that signs what is posted.",
                    forms::LINE,
                )
                .example("hook-key"),
            ),
            (
                "timeout",
                forms::duration("What one delivery may take, from 1s to 10m.").default("30s"),
            ),
        ],
    )
    .also(json!({ "oneOf": [{ "required": ["url"] }, { "required": ["exec"] }] }))
    .apart("exec", "secret")
}

fn mirror() -> Node {
    Node::table(
        "A folder of boot files that is another server's.",
        [
            (
                "path",
                Node::like("The folder that machines find it in, below /assets/.", "^[^/.\\\\ :][^\\\\ :]*$")
                    .example("debian-mirror"),
            ),
            (
                "url",
                Node::like("Where it is brought from.", "^https?://[^/@?#\\s][^@?#\\s]*$")
                    .example("http://deb.debian.org/debian"),
            ),
            (
                "keep",
                forms::bytes("How much of it is kept, at least 64MiB; what was not used for longest goes first.")
                    .default(size(Mirror::KEEP)),
            ),
            (
                "fresh_for",
                forms::duration("For so long a file is given out again without a question to its server, at most 30d.")
                    .default(time(Mirror::FRESH_FOR)),
            ),
            (
                "stale",
                Node::flag("A file is given out also when its server cannot be asked about it.")
                    .default(true),
            ),
        ],
    )
    .required(["path", "url"])
}
