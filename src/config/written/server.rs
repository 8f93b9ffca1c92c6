//! `bootwright.toml` as written.

use std::collections::BTreeMap;
use std::net::Ipv4Addr;
use std::time::Duration;

use ipnet::Ipv4Net;
use toml::de::{DeTable, DeValue};

use super::{Written, hook, mirror, options};
use crate::base::{Firmware, ProfileName, SubnetName, suggest};
use crate::config::mirror::Mirror;
use crate::config::options::ConfiguredOption;
use crate::config::problem::{Problem, WARNINGS};
use crate::config::snapshot::{Hook, Mode, Pool, TftpEngine, Unknown};
use crate::config::source::Span;
use crate::config::table::{Choice, Context, Keys, Reader, list_words};
use crate::config::values::{self, Bad};

/// The whole file; `None` where nothing (or nothing usable) was written.
#[derive(Debug, Default)]
pub(crate) struct ServerFile {
    pub interfaces: Option<Vec<Written<String>>>,
    pub domain: Option<Written<String>>,
    pub state_dir: Option<Written<String>>,
    pub boot_assets: Option<Written<String>>,
    pub profiles: Option<Written<String>>,
    pub templates: Option<Written<String>>,
    pub reservations: Option<Vec<Written<String>>>,
    pub user: Option<Written<String>>,
    pub secrets: Option<Written<String>>,
    pub dhcp_port: Option<Written<u16>>,
    pub proxy_port: Option<Written<u16>>,
    pub lease_time: Option<Written<Duration>>,
    pub unknown: Option<Written<Unknown>>,
    pub discovery_profile: Option<Written<ProfileName>>,
    pub conflict_probe: Option<Written<bool>>,
    pub loaders: BTreeMap<Firmware, Written<String>>,
    pub loaders_by_code: BTreeMap<u16, Written<String>>,
    pub secure: BTreeMap<Firmware, Written<String>>,
    pub advertise_to_ipxe: Option<Written<bool>>,
    pub tftp_port: Option<Written<u16>>,
    pub max_blksize: Option<Written<u16>>,
    pub max_windowsize: Option<Written<u16>>,
    pub tftp_engine: Option<Written<TftpEngine>>,
    pub http_port: Option<Written<u16>>,
    pub armed_for: Option<Written<Duration>>,
    pub max_attempts: Option<Written<u32>>,
    pub stalled_after: Option<Written<Duration>>,
    pub install_new: Option<Written<bool>>,
    pub journal_keep: Option<Written<u64>>,
    pub asset_cache: Option<Written<u64>>,
    /// Warnings that are not told.
    pub allow: Vec<&'static str>,
    pub subnets: Vec<SubnetEntry>,
    pub hooks: Vec<Written<Hook>>,
    pub mirrors: Vec<Mirror>,
    /// Whether there is a `[[subnet]]`, readable or not.
    pub has_subnets: bool,
}

/// One `[[subnet]]`.
#[derive(Debug)]
pub(crate) struct SubnetEntry {
    /// Its header.
    pub header: Span,
    pub name: Option<Written<SubnetName>>,
    pub network: Option<Written<Ipv4Net>>,
    pub mode: Option<Written<Mode>>,
    pub server: Option<Written<Ipv4Addr>>,
    pub router: Option<Written<Ipv4Addr>>,
    pub dns: Vec<Ipv4Addr>,
    pub ntp: Vec<Ipv4Addr>,
    pub domain: Option<Written<String>>,
    pub lease_time: Option<Written<Duration>>,
    pub nat: Vec<Ipv4Addr>,
    pub dns_search: Vec<String>,
    pub unknown: Option<Written<Unknown>>,
    pub pool: Option<Written<Pool>>,
    /// Whether a pool is written, readable or not.
    pub has_pool: bool,
    pub secure_boot: Option<Written<bool>>,
    pub options: Vec<Written<ConfiguredOption>>,
}

pub(crate) const TABLES: Keys = Keys {
    known: &[
        "server", "dhcp", "boot", "tftp", "http", "admin", "install", "journal", "store", "subnet",
        "hook", "assets", "mirror", "check",
    ],
    later: &[],
    hints: &[
        ("hosts", "hosts stand in the reservations file"),
        ("groups", "groups stand in the reservations file"),
        ("defaults", "[defaults] stands in the reservations file"),
        ("subnets", "did you mean [[subnet]]?"),
        ("hooks", "did you mean [[hook]]?"),
        ("mirrors", "did you mean [[mirror]]?"),
        ("interfaces", "it belongs to [server]"),
        ("state_dir", "it belongs to [server]"),
        ("boot_assets", "it belongs to [server]"),
        ("reservations", "it belongs to [server]"),
        ("lease_time", "it belongs to [dhcp] or to a [[subnet]]"),
        ("network", "it belongs to a [[subnet]]"),
    ],
};

pub(crate) const SERVER: Keys = Keys {
    known: &[
        "interfaces",
        "domain",
        "state_dir",
        "boot_assets",
        "profiles",
        "templates",
        "reservations",
        "user",
        "secrets",
    ],
    later: &[],
    hints: &[
        ("port", "ports belong to [dhcp], [tftp] and [http]"),
        ("lease_time", "it belongs to [dhcp] or to a [[subnet]]"),
        ("loaders", "it belongs to [boot]"),
        (
            "group",
            "what the daemon becomes is the account in `user`, with that account's group",
        ),
    ],
};

pub(crate) const DHCP: Keys = Keys {
    known: &[
        "port",
        "proxy_port",
        "lease_time",
        "unknown",
        "discovery_profile",
        "conflict_probe",
    ],
    later: &[],
    hints: &[
        ("domain", "it belongs to [server] or to a [[subnet]]"),
        ("dns", "it belongs to a [[subnet]]"),
        ("router", "it belongs to a [[subnet]]"),
    ],
};

pub(crate) const BOOT: Keys = Keys {
    known: &["loaders", "secure", "router_advertisement"],
    later: &[],
    hints: &[(
        "secure_boot",
        "it belongs to a host, a group, [defaults], a profile or a [[subnet]]",
    )],
};

/// The firmware that distributions sign a shim for.
pub(crate) const SECURE: [Firmware; 2] = [Firmware::UefiX64, Firmware::UefiArm64];

pub(crate) const TFTP: Keys = Keys {
    known: &["port", "max_blksize", "max_windowsize", "engine"],
    later: &[],
    hints: &[],
};

pub(crate) const HTTP: Keys = Keys {
    known: &["port"],
    later: &[],
    hints: &[(
        "listen",
        "the boot plane listens on every address of `interfaces`; only its `port` can be chosen",
    )],
};

pub(crate) const ADMIN: Keys = Keys {
    known: &[],
    later: &["listen", "tokens"],
    hints: &[],
};

pub(crate) const INSTALL: Keys = Keys {
    known: &["when_new", "armed_for", "max_attempts", "stalled_after"],
    later: &[],
    hints: &[],
};

pub(crate) const ASSETS: Keys = Keys {
    known: &["cache"],
    later: &[],
    hints: &[(
        "boot_assets",
        "the folder of boot files is `boot_assets` in [server]",
    )],
};

pub(crate) const JOURNAL: Keys = Keys {
    known: &["keep"],
    later: &[],
    hints: &[],
};

pub(crate) const STORE: Keys = Keys {
    known: &["kind"],
    later: &["endpoints", "prefix", "ca", "cert", "key"],
    hints: &[],
};

pub(crate) const CHECK: Keys = Keys {
    known: &["allow"],
    later: &[],
    hints: &[
        ("ignore", "did you mean `allow`?"),
        (
            "strict",
            "`bootwright check --strict` makes errors of all warnings",
        ),
        (
            "deny",
            "`bootwright check --strict` makes errors of all warnings",
        ),
    ],
};

pub(crate) const SUBNET: Keys = Keys {
    known: &[
        "name",
        "network",
        "mode",
        "server",
        "router",
        "dns",
        "ntp",
        "nat",
        "domain",
        "lease_time",
        "unknown",
        "pool",
        "secure_boot",
        "dns_search",
        "options",
    ],
    later: &[],
    hints: &[
        ("gateway", "did you mean `router`?"),
        (
            "netmask",
            "the prefix length belongs to `network`, such as \"10.99.0.0/24\"",
        ),
        (
            "interface",
            "interfaces stand in [server]; a subnet belongs to the interface that has an address in it",
        ),
    ],
};

pub(crate) const UNKNOWN: [(&str, Choice<Unknown>); 3] = [
    ("ignore", Choice::Is(Unknown::Ignore)),
    ("lease", Choice::Is(Unknown::Lease)),
    ("discover", Choice::Is(Unknown::Discover)),
];

/// `mode` of a `[[subnet]]`.
pub(crate) const MODES: [(&str, Choice<Mode>); 3] = [
    ("authoritative", Choice::Is(Mode::Authoritative)),
    ("proxy", Choice::Is(Mode::Proxy)),
    ("off", Choice::Is(Mode::Off)),
];

/// What has no meaning in a `[[subnet]]` where another server gives the addresses.
pub(crate) const OF_ADDRESSES: [&str; 4] = ["pool", "lease_time", "dns_search", "options"];

/// `router_advertisement` of `[boot]`.
pub(crate) const ADVERTISEMENT: [(&str, Choice<bool>); 2] =
    [("off", Choice::Is(false)), ("ipxe", Choice::Is(true))];

/// `engine` of `[tftp]`.
pub(crate) const ENGINES: [(&str, Choice<TftpEngine>); 2] = [
    ("native", Choice::Is(TftpEngine::Native)),
    ("async-tftp", Choice::Is(TftpEngine::AsyncTftp)),
];

/// `when_new` of `[install]`.
pub(crate) const WHEN_NEW: [(&str, Choice<bool>); 2] =
    [("local", Choice::Is(false)), ("install", Choice::Is(true))];

/// `kind` of `[store]`.
pub(crate) const STORES: [(&str, Choice<()>); 2] =
    [("embedded", Choice::Is(())), ("etcd", Choice::Later)];

impl ServerFile {
    /// Reads the file and reports what is wrong with each key.
    pub(crate) fn read(cx: &mut Context<'_>, document: &DeTable<'_>) -> Self {
        let top = cx.span(0..0);
        let mut root = Reader::open(cx, document, "bootwright.toml", top, &TABLES);
        let mut file = Self::default();
        file.server(cx, &mut root);
        file.dhcp(cx, &mut root);
        file.boot(cx, &mut root);
        file.tftp(cx, &mut root);
        if let Some(mut http) = section(cx, &mut root, "http", &HTTP) {
            file.http_port = port(cx, &mut http, "8080");
        }
        section(cx, &mut root, "admin", &ADMIN);
        file.install(cx, &mut root);
        if let Some(mut journal) = section(cx, &mut root, "journal", &JOURNAL) {
            file.journal_keep = journal.parsed(cx, "keep", |text| {
                let size = values::size(text)?;
                if size < 1 << 20 {
                    return Err(Bad::new(
                        "out-of-range",
                        "the journal is too small to be of use",
                        "less than 1MiB",
                    )
                    .help("the default is \"256MiB\""));
                }
                Ok(size)
            });
        }
        if let Some(mut assets) = section(cx, &mut root, "assets", &ASSETS) {
            file.asset_cache = assets.parsed(cx, "cache", values::size);
        }
        if let Some(mut check) = section(cx, &mut root, "check", &CHECK)
            && let Some(list) = check.list(cx, "allow", false, warning)
        {
            file.allow = list.value.into_iter().map(|code| code.value).collect();
        }
        if let Some(mut store) = section(cx, &mut root, "store", &STORE) {
            store.choice(cx, "kind", &STORES);
        }
        file.has_subnets = root.has("subnet");
        for (table, header) in root.tables(cx, "subnet") {
            file.subnets.push(SubnetEntry::read(cx, table, header));
        }
        let mut hooks = Vec::new();
        for (table, header) in root.tables(cx, "hook") {
            hooks.extend(hook::read(cx, table, header));
        }
        file.hooks = hook::different(cx, hooks);
        let mut mirrors = Vec::new();
        for (table, header) in root.tables(cx, "mirror") {
            mirrors.extend(mirror::read(cx, table, header));
        }
        file.mirrors = mirror::apart(cx, mirrors);
        file
    }

    fn server(&mut self, cx: &mut Context<'_>, root: &mut Reader<'_, '_>) {
        let Some(mut server) = section(cx, root, "server", &SERVER) else {
            if !root.has("server") {
                let problem = Problem::error("missing-key", "the table [server] is missing")
                    .at(root.header, "")
                    .help("begin with [server] and `interfaces = [\"eth0\"]`: where machines are served");
                root.report(cx, problem);
            }
            return;
        };
        let help =
            "name the interfaces that machines are plugged into, such as `interfaces = [\"eth0\"]`";
        match server.list(cx, "interfaces", false, values::interface) {
            Some(list) => {
                if list.value.is_empty() && server.ok {
                    let bad = Bad::new(
                        "empty-list",
                        "`interfaces` in [server] is empty",
                        "no interface is served",
                    );
                    server.bad(cx, list.span, bad.help(help));
                }
                self.interfaces = Some(twice(cx, &mut server, list.value, "interface"));
            }
            None if !server.has("interfaces") => server.missing(cx, "interfaces", help),
            None => {}
        }
        self.domain = server.parsed(cx, "domain", values::domain);
        self.state_dir = server.parsed(cx, "state_dir", values::path);
        self.boot_assets = server.parsed(cx, "boot_assets", values::path);
        self.profiles = server.parsed(cx, "profiles", values::path);
        self.templates = server.parsed(cx, "templates", values::path);
        self.user = server.parsed(cx, "user", values::account);
        self.secrets = server.parsed(cx, "secrets", values::path);
        if let Some(list) = server.list(cx, "reservations", true, values::path) {
            if list.value.is_empty() && server.ok {
                let bad = Bad::new(
                    "empty-list",
                    "`reservations` in [server] is empty",
                    "no file is named",
                );
                server.bad(
                    cx,
                    list.span,
                    bad.help("name a file, such as [\"reservations.toml\"], or leave the key out"),
                );
            }
            self.reservations = Some(list.value);
        }
    }

    fn dhcp(&mut self, cx: &mut Context<'_>, root: &mut Reader<'_, '_>) {
        let Some(mut dhcp) = section(cx, root, "dhcp", &DHCP) else {
            return;
        };
        self.dhcp_port = port(cx, &mut dhcp, "67");
        self.proxy_port = number(
            cx,
            &mut dhcp,
            "proxy_port",
            1..=65_535,
            "the default is 4011, which firmware asks",
        );
        self.lease_time = dhcp.parsed(cx, "lease_time", values::duration);
        self.unknown = dhcp.choice(cx, "unknown", &UNKNOWN);
        self.discovery_profile = dhcp.parsed(cx, "discovery_profile", |text| {
            values::name("a profile", text)
        });
        self.conflict_probe = dhcp.flag(cx, "conflict_probe");
    }

    fn boot(&mut self, cx: &mut Context<'_>, root: &mut Reader<'_, '_>) {
        let Some(mut boot) = section(cx, root, "boot", &BOOT) else {
            return;
        };
        self.advertise_to_ipxe = boot.choice(cx, "router_advertisement", &ADVERTISEMENT);
        self.secure(cx, &mut boot);
        let Some(loaders) = boot.table(cx, "loaders") else {
            return;
        };
        for (key, value) in crate::config::table::in_order(loaders) {
            let name = key.get_ref().as_ref();
            let span = cx.span(key.span());
            let DeValue::String(text) = value.get_ref() else {
                boot.wrong_type(cx, name, value, "a text", None);
                continue;
            };
            let place = cx.span(value.span());
            let loader = match values::loader(text) {
                Ok(value) => Written { value, span: place },
                Err(bad) => {
                    boot.bad(cx, place, bad);
                    continue;
                }
            };
            if let Ok(firmware) = name.parse::<Firmware>() {
                self.loaders.insert(firmware, loader);
            } else if name.bytes().all(|b| b.is_ascii_digit())
                && let Ok(code) = name.parse::<u16>()
            {
                if let Some(first) = self.loaders_by_code.insert(code, loader) {
                    let problem = Problem::error(
                        "written-twice",
                        format!("option 93 number {code} is written twice"),
                    )
                    .at(place, "the second time")
                    .at(first.span, "first written here")
                    .help("keep one of the two");
                    boot.report(cx, problem);
                }
            } else {
                let names = Firmware::ALL.map(Firmware::as_str);
                let bad = Bad::new(
                    "unknown-firmware",
                    format!("`{name}` is no firmware"),
                    "unknown firmware",
                );
                let bad = match suggest::nearest(name, names) {
                    Some(nearest) => bad
                        .help(format!("did you mean `{nearest}`?"))
                        .meant_key(nearest),
                    None => bad.help(format!(
                        "write {} or a number of DHCP option 93 in quotes, such as \"9\"",
                        list_words(names, "or")
                    )),
                };
                boot.bad(cx, span, bad);
            }
        }
    }

    /// Shim, by the firmware that has Secure Boot.
    fn secure(&mut self, cx: &mut Context<'_>, boot: &mut Reader<'_, '_>) {
        let Some(table) = boot.table(cx, "secure") else {
            return;
        };
        for (key, value) in crate::config::table::in_order(table) {
            let name = key.get_ref().as_ref();
            let DeValue::String(text) = value.get_ref() else {
                boot.wrong_type(cx, name, value, "a text", None);
                continue;
            };
            let place = cx.span(value.span());
            match (name.parse::<Firmware>(), values::loader(text)) {
                (Ok(firmware), Ok(value)) if SECURE.contains(&firmware) => {
                    self.secure.insert(firmware, Written { value, span: place });
                }
                (Ok(_), Err(bad)) => boot.bad(cx, place, bad),
                _ => {
                    let bad = Bad::new(
                        "unknown-firmware",
                        format!("there is no shim for `{name}`"),
                        "no firmware with Secure Boot",
                    );
                    let names = SECURE.map(Firmware::as_str);
                    boot.bad(
                        cx,
                        cx.span(key.span()),
                        bad.help(format!("write {}", list_words(names, "or"))),
                    );
                }
            }
        }
    }

    fn tftp(&mut self, cx: &mut Context<'_>, root: &mut Reader<'_, '_>) {
        let Some(mut tftp) = section(cx, root, "tftp", &TFTP) else {
            return;
        };
        self.tftp_port = port(cx, &mut tftp, "69");
        self.max_blksize = number(
            cx,
            &mut tftp,
            "max_blksize",
            8..=65_464,
            "the default is 1468: what fits into one Ethernet frame",
        );
        self.max_windowsize = number(
            cx,
            &mut tftp,
            "max_windowsize",
            1..=65_535,
            "the default is 64",
        );
        self.tftp_engine = tftp.choice(cx, "engine", &ENGINES);
    }

    fn install(&mut self, cx: &mut Context<'_>, root: &mut Reader<'_, '_>) {
        let Some(mut install) = section(cx, root, "install", &INSTALL) else {
            return;
        };
        self.install_new = install.choice(cx, "when_new", &WHEN_NEW);
        self.armed_for = install.parsed(cx, "armed_for", values::duration);
        self.stalled_after = install.parsed(cx, "stalled_after", values::duration);
        self.max_attempts = number(
            cx,
            &mut install,
            "max_attempts",
            1..=1_000,
            "the default is 3",
        );
    }
}

impl SubnetEntry {
    fn read(cx: &mut Context<'_>, table: &DeTable<'_>, header: Span) -> Self {
        let mut subnet = Reader::open(cx, table, "[[subnet]]", header, &SUBNET);
        let network = subnet.parsed(cx, "network", values::network);
        if !subnet.has("network") {
            subnet.missing(
                cx,
                "network",
                "write the network whose machines are served, such as `network = \"10.99.0.0/24\"`",
            );
        }
        let mode = subnet.choice(cx, "mode", &MODES);
        without_meaning(cx, &mut subnet, mode.as_ref());
        let unknown = subnet.choice(cx, "unknown", &UNKNOWN);
        let pool = subnet.parsed(cx, "pool", values::pool);
        let secure_boot = subnet.flag(cx, "secure_boot");
        let mut addresses = |cx: &mut Context<'_>, key: &str| {
            let list = subnet.list(cx, key, true, values::machine_address);
            list.map(|list| {
                list.value
                    .into_iter()
                    .map(|address| address.value)
                    .collect()
            })
            .unwrap_or_default()
        };
        let (dns, ntp, nat) = (
            addresses(cx, "dns"),
            addresses(cx, "ntp"),
            addresses(cx, "nat"),
        );
        let dns_search = subnet.list(cx, "dns_search", true, values::domain);
        Self {
            header,
            dns_search: dns_search
                .map(|list| list.value.into_iter().map(|name| name.value).collect())
                .unwrap_or_default(),
            options: options::read(cx, &mut subnet),
            unknown,
            has_pool: subnet.has("pool"),
            pool,
            secure_boot,
            name: subnet.parsed(cx, "name", |text| values::name("a subnet", text)),
            network,
            mode,
            server: subnet.parsed(cx, "server", values::machine_address),
            router: subnet.parsed(cx, "router", values::machine_address),
            dns,
            ntp,
            domain: subnet.parsed(cx, "domain", values::domain),
            lease_time: subnet.parsed(cx, "lease_time", values::duration),
            nat,
        }
    }
}

/// What a subnet cannot have where another server gives the addresses: nothing is accepted and ignored.
fn without_meaning(
    cx: &mut Context<'_>,
    subnet: &mut Reader<'_, '_>,
    mode: Option<&Written<Mode>>,
) {
    let Some(mode) = mode.filter(|mode| mode.value != Mode::Authoritative) else {
        return;
    };
    for key in OF_ADDRESSES {
        let Some(span) = subnet.key_span(cx, key) else {
            continue;
        };
        let problem = Problem::error(
            "no-addresses-here",
            format!(
                "`{key}` has no meaning in a [[subnet]] with mode = \"{}\"",
                mode.value.as_str()
            ),
        )
        .at(span, "the other DHCP server's business")
        .at(mode.span, "another server gives the addresses here")
        .help(format!(
            "take `{key}` out and set it on the DHCP server that gives the addresses, or let this server give them: mode = \"authoritative\""
        ));
        subnet.report(cx, problem);
    }
}

/// The code of a warning.
fn warning(text: &str) -> Result<&'static str, Bad> {
    let codes = || WARNINGS.iter().map(|(code, _)| *code);
    codes().find(|code| *code == text).ok_or_else(|| {
        let bad = Bad::new(
            "unknown-warning",
            format!("there is no warning `{text}`"),
            "no code of a warning",
        );
        match suggest::nearest(text, codes()) {
            Some(nearest) => bad
                .help(format!("did you mean \"{nearest}\"?"))
                .meant(nearest),
            None => bad.help("write the code that stands in brackets after `warning`, such as \"unread-variable\"; errors cannot be allowed"),
        }
    })
}

/// Opens `[key]`, when it is there.
fn section<'t, 'i>(
    cx: &mut Context<'_>,
    root: &mut Reader<'t, 'i>,
    key: &str,
    keys: &Keys,
) -> Option<Reader<'t, 'i>> {
    let header = root.key_span(cx, key)?;
    let table = root.table(cx, key)?;
    Some(Reader::open(cx, table, format!("[{key}]"), header, keys))
}

fn port(cx: &mut Context<'_>, reader: &mut Reader<'_, '_>, usual: &str) -> Option<Written<u16>> {
    number(
        cx,
        reader,
        "port",
        1..=65_535,
        &format!("the default is {usual}"),
    )
}

fn number<T: TryFrom<i64>>(
    cx: &mut Context<'_>,
    reader: &mut Reader<'_, '_>,
    key: &str,
    bounds: std::ops::RangeInclusive<i64>,
    help: &str,
) -> Option<Written<T>> {
    let number = reader.integer(cx, key, bounds, help)?;
    Some(Written {
        value: T::try_from(number.value).ok()?,
        span: number.span,
    })
}

/// Reports what stands twice in a list and leaves the second one out.
fn twice(
    cx: &mut Context<'_>,
    reader: &mut Reader<'_, '_>,
    list: Vec<Written<String>>,
    what: &str,
) -> Vec<Written<String>> {
    let mut seen: Vec<Written<String>> = Vec::new();
    for item in list {
        if let Some(first) = seen.iter().find(|first| first.value == item.value) {
            let problem = Problem::error(
                "written-twice",
                format!("{what} `{}` is named twice", item.value),
            )
            .at(item.span, "the second time")
            .at(first.span, "first named here")
            .help("keep one of the two");
            reader.report(cx, problem);
        } else {
            seen.push(item);
        }
    }
    seen
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_key_is_both_known_and_later() {
        for keys in [
            &TABLES,
            &SERVER,
            &DHCP,
            &BOOT,
            &TFTP,
            &HTTP,
            &ADMIN,
            &INSTALL,
            &STORE,
            &CHECK,
            &SUBNET,
            &hook::HOOK,
            &mirror::MIRROR,
        ] {
            for later in keys.later {
                assert!(!keys.known.contains(later), "{later}");
            }
        }
    }
}
