//! Reservations as written: `[defaults]`, `[groups.NAME]`, `[hosts.NAME]`.

use std::net::Ipv4Addr;
use std::ops::Deref;
use std::sync::Arc;

use toml::de::{DeTable, DeValue};

use super::{Written, options};
use crate::base::{
    AfterEvent, Architecture, GroupName, HardwareAddr, HostName, ProfileName, SubnetName, Uuid,
};
use crate::config::options::ConfiguredOption;
use crate::config::problem::Problem;
use crate::config::snapshot::{InstallPolicy, LocalBoot};
use crate::config::source::Span;
use crate::config::table::{Choice, Context, Keys, Reader};
use crate::config::values::{self, Bad};
use crate::config::vars::{self, Vars};

/// What defaults, groups and hosts have in common.
#[derive(Debug, Clone, Default)]
pub(crate) struct Layer {
    pub profile: Option<Written<ProfileName>>,
    pub arch: Option<Written<Architecture>>,
    pub loader: Option<Written<String>>,
    pub local_boot: Option<Written<LocalBoot>>,
    pub install: Option<Written<InstallPolicy>>,
    pub secure_boot: Option<Written<bool>>,
    pub options: Vec<Written<ConfiguredOption>>,
    /// Names of snippets; `None` stands for the inherited ones.
    pub snippets: Option<Vec<Written<Option<String>>>>,
    pub vars: Vars,
    /// Whether everything in it could be read.
    pub ok: bool,
}

/// One `[groups.NAME]`.
#[derive(Debug)]
pub(crate) struct GroupEntry {
    pub name: Written<GroupName>,
    /// The group that it is nested in.
    pub group: Option<Written<GroupName>>,
    pub layer: Layer,
}

/// One `[hosts.NAME]`. There may be a hundred thousand: what most of them lack takes no room.
#[derive(Debug)]
pub(crate) struct HostEntry {
    pub name: Written<HostName>,
    /// The hardware addresses of its first network card.
    pub macs: Vec<Written<HardwareAddr>>,
    pub ip: Option<Written<Ipv4Addr>>,
    pub group: Option<Written<GroupName>>,
    /// What it writes of what groups may write as well.
    pub layer: Arc<Layer>,
    /// Read as if it were the entry's own.
    uncommon: Option<Box<Uncommon>>,
}

/// What few hosts write.
#[derive(Debug)]
pub(crate) struct Uncommon {
    /// The subnet that it belongs to, by name.
    pub subnet: Option<Written<SubnetName>>,
    /// Its further network cards.
    pub nics: Vec<NicEntry>,
    pub fqdn: Option<Written<String>>,
    pub uuid: Option<Written<Uuid>>,
    pub serial: Option<Written<String>>,
    pub notes: Option<Written<String>>,
    pub after: Option<AfterEntry>,
}

impl Uncommon {
    const NOTHING: Self = Self {
        subnet: None,
        nics: Vec::new(),
        fqdn: None,
        uuid: None,
        serial: None,
        notes: None,
        after: None,
    };

    const fn is_empty(&self) -> bool {
        self.subnet.is_none()
            && self.nics.is_empty()
            && self.fqdn.is_none()
            && self.uuid.is_none()
            && self.serial.is_none()
            && self.notes.is_none()
            && self.after.is_none()
    }
}

impl Deref for HostEntry {
    type Target = Uncommon;

    fn deref(&self) -> &Uncommon {
        static NOTHING: Uncommon = Uncommon::NOTHING;
        self.uncommon.as_deref().unwrap_or(&NOTHING)
    }
}

/// One `[[hosts.NAME.nic]]`.
#[derive(Debug)]
pub(crate) struct NicEntry {
    pub macs: Vec<Written<HardwareAddr>>,
    pub ip: Option<Written<Ipv4Addr>>,
    pub name: Option<Written<String>>,
    pub boot: bool,
}

/// `after = { host = "…", event = "…" }`.
#[derive(Debug)]
pub(crate) struct AfterEntry {
    pub host: Written<HostName>,
    pub event: Written<AfterEvent>,
}

/// One file of reservations.
#[derive(Debug, Default)]
pub(crate) struct ReservationsFile {
    pub defaults: Option<Written<Layer>>,
    pub groups: Vec<GroupEntry>,
    pub hosts: Vec<HostEntry>,
    /// Whether something that may be a group could not be read.
    pub groups_unsure: bool,
    /// Whether something that may be a host could not be read.
    pub hosts_unsure: bool,
}

pub(crate) const TABLES: Keys = Keys {
    known: &["defaults", "groups", "hosts"],
    later: &[],
    hints: &[
        ("subnet", "subnets stand in bootwright.toml"),
        ("server", "[server] stands in bootwright.toml"),
        ("host", "did you mean [hosts.NAME]?"),
        ("group", "did you mean [groups.NAME]?"),
        ("vars", "variables of all hosts stand in [defaults.vars]"),
        ("profile", "the profile of all hosts stands in [defaults]"),
    ],
};

pub(crate) const DEFAULTS: Keys = Keys {
    known: &[
        "profile",
        "arch",
        "loader",
        "local_boot",
        "install",
        "secure_boot",
        "options",
        "snippets",
        "vars",
    ],
    later: &[],
    hints: &[
        (
            "group",
            "[defaults] is below all groups: a group stands at a host or at another group",
        ),
        ("mac", "it belongs to one host: [hosts.NAME]"),
        ("ip", "it belongs to one host: [hosts.NAME]"),
        ("after", "it belongs to one host: [hosts.NAME]"),
        (
            "domain",
            "it belongs to [server] or to a [[subnet]] of bootwright.toml",
        ),
    ],
};

pub(crate) const GROUP: Keys = Keys {
    known: &[
        "group",
        "profile",
        "arch",
        "loader",
        "local_boot",
        "install",
        "secure_boot",
        "options",
        "snippets",
        "vars",
    ],
    later: &[],
    hints: &[
        ("mac", "it belongs to one host: [hosts.NAME]"),
        ("ip", "it belongs to one host: [hosts.NAME]"),
        ("after", "it belongs to one host: [hosts.NAME]"),
        ("parent", "did you mean `group`?"),
        (
            "hosts",
            "each host names its group: `group = \"…\"` in [hosts.NAME]",
        ),
    ],
};

pub(crate) const HOST: Keys = Keys {
    known: &[
        "mac",
        "ip",
        "subnet",
        "group",
        "fqdn",
        "profile",
        "arch",
        "loader",
        "local_boot",
        "install",
        "secure_boot",
        "uuid",
        "serial",
        "notes",
        "after",
        "options",
        "snippets",
        "vars",
        "nic",
    ],
    later: &["bmc"],
    hints: &[
        (
            "domain",
            "write the whole name as `fqdn`, or the domain in [server] or [[subnet]] of bootwright.toml",
        ),
        (
            "hostname",
            "the host's name is what follows `hosts.` in its header",
        ),
        (
            "name",
            "the host's name is what follows `hosts.` in its header",
        ),
        (
            "groups",
            "a host has one `group`, which may be nested in others",
        ),
        ("address", "did you mean `ip`?"),
        ("macs", "did you mean `mac`?"),
        ("nics", "did you mean [[hosts.NAME.nic]]?"),
        ("dns", "it belongs to a [[subnet]] of bootwright.toml"),
        ("router", "it belongs to a [[subnet]] of bootwright.toml"),
        (
            "gateway",
            "the router belongs to a [[subnet]] of bootwright.toml",
        ),
    ],
};

pub(crate) const NIC: Keys = Keys {
    known: &["mac", "ip", "name", "boot"],
    later: &[],
    hints: &[
        ("macs", "did you mean `mac`?"),
        ("address", "did you mean `ip`?"),
        (
            "subnet",
            "the subnet of a network card is the one that holds its `ip`",
        ),
        (
            "vlan",
            "a network card is in the subnet that holds its `ip`; write one [[hosts.NAME.nic]] for each VLAN",
        ),
        ("profile", "it belongs to the host: [hosts.NAME]"),
        (
            "options",
            "they belong to the host: [hosts.NAME], or to a [[subnet]] of bootwright.toml",
        ),
    ],
};

pub(crate) const AFTER: Keys = Keys {
    known: &["host", "event"],
    later: &[],
    hints: &[
        ("name", "did you mean `host`?"),
        ("state", "did you mean `event`?"),
    ],
};

/// `local_boot` of hosts, groups and defaults.
pub(crate) const LOCAL_BOOT: [(&str, Choice<LocalBoot>); 4] = [
    ("auto", Choice::Is(LocalBoot::Auto)),
    ("no-file", Choice::Is(LocalBoot::NoFile)),
    ("exit", Choice::Is(LocalBoot::Exit)),
    ("sanboot", Choice::Is(LocalBoot::Sanboot)),
];

/// `install` of hosts, groups and defaults.
pub(crate) const INSTALL: [(&str, Choice<InstallPolicy>); 3] = [
    ("once", Choice::Is(InstallPolicy::Once)),
    ("never", Choice::Is(InstallPolicy::Never)),
    ("always", Choice::Is(InstallPolicy::Always)),
];

/// Whether a host has a key of this name, in this version or a later one.
pub(crate) fn is_key(name: &str) -> bool {
    HOST.known.contains(&name) || HOST.later.contains(&name)
}

impl ReservationsFile {
    /// Reads the file and reports what is wrong with each key.
    pub(crate) fn read(cx: &mut Context<'_>, document: &DeTable<'_>) -> Self {
        let mut file = Self::default();
        file.take_in(cx, document);
        file
    }

    /// Reads one part of the file more.
    pub(crate) fn take_in(&mut self, cx: &mut Context<'_>, document: &DeTable<'_>) {
        let file = self;
        let top = cx.span(0..0);
        let mut root = Reader::open(cx, document, "the reservations", top, &TABLES);
        file.groups_unsure |= !cx.is_sure_of("groups");
        file.hosts_unsure |= !cx.is_sure_of("hosts");
        // One for all hosts that write nothing of the kind.
        let no_layer = Arc::new(Layer {
            ok: true,
            ..Layer::default()
        });
        if let (Some(span), Some(table)) =
            (root.key_span(cx, "defaults"), root.table(cx, "defaults"))
        {
            let mut reader = Reader::open(cx, table, "[defaults]", span, &DEFAULTS);
            let layer = Layer::read(cx, &mut reader);
            file.defaults = Some(Written { value: layer, span });
        }
        for (name, span, table) in root.named(cx, "groups") {
            let mut reader = Reader::open(cx, table, format!("[groups.{name}]"), span, &GROUP);
            let group = group_of(cx, &mut reader);
            let layer = Layer::read(cx, &mut reader);
            match values::name("a group", name) {
                Ok(value) => file.groups.push(GroupEntry {
                    name: Written { value, span },
                    group,
                    layer,
                }),
                Err(bad) => {
                    file.groups_unsure = true;
                    reader.bad(cx, span, bad);
                }
            }
        }
        for (name, span, table) in root.named(cx, "hosts") {
            let mut reader = Reader::open(cx, table, format!("[hosts.{name}]"), span, &HOST);
            let host = HostEntry::read(cx, &mut reader, name, span, &no_layer);
            file.hosts_unsure |= host.is_none();
            file.hosts.extend(host);
        }
    }
}

impl HostEntry {
    /// Whether it has nothing but what every host has, and what layers give.
    pub(crate) fn is_plain(&self) -> bool {
        self.uncommon.is_none()
    }

    fn read(
        cx: &mut Context<'_>,
        reader: &mut Reader<'_, '_>,
        name: &str,
        span: Span,
        no_layer: &Arc<Layer>,
    ) -> Option<Self> {
        let macs = macs(cx, reader);
        let ip = reader.parsed(cx, "ip", values::machine_address);
        let subnet = reader.parsed(cx, "subnet", |text| values::name("a subnet", text));
        if !reader.has("ip") && !reader.has("subnet") {
            reader.missing(
                cx,
                "ip",
                "write the address that is reserved for it, such as `ip = \"10.99.0.11\"`; where another server gives the addresses (mode \"proxy\" or \"off\") `subnet = \"NAME\"` does",
            );
        } else if !reader.has("ip") && !reader.has("mac") {
            reader.missing(
                cx,
                "mac",
                "without `ip` the machine is known by its hardware address alone: write `mac`, or the address that is held for it",
            );
        }
        let group = group_of(cx, reader);
        let fqdn = reader.parsed(cx, "fqdn", values::fqdn);
        let uuid = reader.parsed(cx, "uuid", values::uuid);
        let serial = reader.parsed(cx, "serial", values::line);
        let notes = reader.text(cx, "notes");
        let after = after(cx, reader, name);
        let nics = nics(cx, reader, name);
        let mut layer = Layer::read(cx, reader);
        let name = values::name("a host", name);
        match name {
            Ok(value) => {
                layer.ok = reader.ok;
                let uncommon = Uncommon {
                    subnet,
                    nics,
                    fqdn,
                    uuid,
                    serial,
                    notes,
                    after,
                };
                Some(Self {
                    name: Written { value, span },
                    macs,
                    ip,
                    group,
                    layer: if layer.ok && layer.is_empty() {
                        Arc::clone(no_layer)
                    } else {
                        Arc::new(layer)
                    },
                    uncommon: (!uncommon.is_empty()).then(|| Box::new(uncommon)),
                })
            }
            Err(bad) => {
                reader.bad(cx, span, bad);
                None
            }
        }
    }
}

impl Layer {
    /// Whether it says nothing.
    pub(crate) fn is_empty(&self) -> bool {
        self.profile.is_none()
            && self.arch.is_none()
            && self.loader.is_none()
            && self.local_boot.is_none()
            && self.install.is_none()
            && self.secure_boot.is_none()
            && self.options.is_empty()
            && self.snippets.is_none()
            && self.vars.is_empty()
    }

    fn read(cx: &mut Context<'_>, reader: &mut Reader<'_, '_>) -> Self {
        Self {
            profile: reader.parsed(cx, "profile", |text| values::name("a profile", text)),
            arch: reader.parsed(cx, "arch", values::arch),
            loader: reader.parsed(cx, "loader", values::loader),
            local_boot: reader.choice(cx, "local_boot", &LOCAL_BOOT),
            install: reader.choice(cx, "install", &INSTALL),
            secure_boot: reader.flag(cx, "secure_boot"),
            options: options::read(cx, reader),
            snippets: reader
                .list(cx, "snippets", false, snippet_name)
                .map(|list| list.value),
            vars: vars::read(cx, reader),
            ok: reader.ok,
        }
    }
}

/// The name of a snippet; `"..."` stands for the inherited ones.
fn snippet_name(text: &str) -> Result<Option<String>, Bad> {
    if text == vars::INHERITED {
        return Ok(None);
    }
    if text.ends_with(".sh.j2") || text.contains('/') {
        let bad = Bad::new(
            "bad-name",
            format!("`{text}` is no name of a snippet"),
            "as a file's name",
        );
        let name = text.rsplit('/').next().unwrap_or(text);
        let name = name.trim_end_matches(".j2").trim_end_matches(".sh");
        return Err(bad.help(format!(
            "write \"{name}\" for templates/snippets/{name}.sh.j2"
        )));
    }
    values::line(text).map(Some)
}

fn group_of(cx: &mut Context<'_>, reader: &mut Reader<'_, '_>) -> Option<Written<GroupName>> {
    if let Some(value) = reader.value("group")
        && matches!(value.get_ref(), DeValue::Array(_))
    {
        let help = "a host is in one group; that group may be nested in another by its own `group`";
        reader.wrong_type(cx, "group", value, "a text", Some(help.to_owned()));
        return None;
    }
    reader.parsed(cx, "group", |text| values::name("a group", text))
}

/// What the host waits for before an order arms it.
fn after(cx: &mut Context<'_>, reader: &mut Reader<'_, '_>, host: &str) -> Option<AfterEntry> {
    let value = reader.value("after")?;
    let DeValue::Table(table) = value.get_ref() else {
        let help = match value.get_ref() {
            DeValue::String(text) if text.contains(':') => {
                let (host, event) = text.split_once(':').unwrap_or_default();
                format!("write after = {{ host = \"{host}\", event = \"{event}\" }}")
            }
            _ => "write after = { host = \"NAME\", event = \"up\" }".to_owned(),
        };
        reader.wrong_type(cx, "after", value, "a table", Some(help));
        return None;
    };
    let place = reader.key_span(cx, "after").unwrap_or(reader.header);
    let title = format!("`after` of [hosts.{host}]");
    let mut inner = Reader::open(cx, table, title, place, &AFTER);
    // What seems to be missing may be there under a misspelt name.
    let sure = inner.ok;
    let other = inner.parsed(cx, "host", |text| values::name("a host", text));
    let event = inner.choice(
        cx,
        "event",
        &AfterEvent::ALL.map(|event| (event.as_str(), Choice::Is(event))),
    );
    if sure && !inner.has("host") {
        inner.missing(cx, "host", "name the host that has to come first");
    }
    if sure && !inner.has("event") {
        let help = "say what it has to come to: booting, started, installed, up or failed";
        inner.missing(cx, "event", help);
    }
    reader.ok &= inner.ok;
    Some(AfterEntry {
        host: other?,
        event: event?,
    })
}

/// One address, or a list: the ports of a bond, or ports of which any may boot.
fn macs(cx: &mut Context<'_>, reader: &mut Reader<'_, '_>) -> Vec<Written<HardwareAddr>> {
    match reader.value("mac").map(toml::Spanned::get_ref) {
        None => return Vec::new(),
        Some(DeValue::Array(_)) => {}
        Some(_) => return reader.parsed(cx, "mac", values::mac).into_iter().collect(),
    }
    let before = reader.ok;
    let Some(list) = reader.list(cx, "mac", false, values::mac) else {
        return Vec::new();
    };
    if list.value.is_empty() && reader.ok == before {
        let bad = Bad::new("empty-list", "`mac` is an empty list", "no address");
        reader.bad(
            cx,
            list.span,
            bad.help("leave `mac` out to hold name and address until the machine is known"),
        );
    }
    for (index, mac) in list.value.iter().enumerate() {
        let earlier = list.value.iter().take(index);
        if let Some(first) = earlier.into_iter().find(|first| first.value == mac.value) {
            let problem = Problem::error(
                "duplicate-mac",
                format!("the MAC address {} stands twice in one list", mac.value),
            )
            .at(mac.span, "the second one")
            .at(first.span, "the first one")
            .help("write each port's own address");
            reader.report(cx, problem);
        }
    }
    list.value
}

/// The further network cards.
fn nics(cx: &mut Context<'_>, reader: &mut Reader<'_, '_>, host: &str) -> Vec<NicEntry> {
    let mut found: Vec<NicEntry> = Vec::new();
    for (table, header) in reader.tables(cx, "nic") {
        let title = format!("[[hosts.{host}.nic]]");
        let mut inner = Reader::open(cx, table, title, header, &NIC);
        let sure = inner.ok;
        let nic = NicEntry {
            macs: macs(cx, &mut inner),
            ip: inner.parsed(cx, "ip", values::machine_address),
            name: inner.parsed(cx, "name", values::line),
            boot: inner.flag(cx, "boot").is_some_and(|flag| flag.value),
        };
        if sure && !inner.has("mac") && !inner.has("ip") {
            inner.missing(
                cx,
                "mac",
                "write its MAC address; `mac` may be left out only where an `ip` is held for it",
            );
        }
        if sure && nic.boot && !inner.has("ip") {
            let place = inner.key_span(cx, "boot").unwrap_or(header);
            let problem = Problem::error(
                "boot-without-address",
                format!("a network card of `{host}` is to boot it and has no `ip`"),
            )
            .at(place, "without an address it is never answered")
            .help("give it an `ip`; a port that is to boot with the host's own address belongs into the list `mac` of the host");
            inner.report(cx, problem);
        }
        if let Some(name) = &nic.name
            && let Some(first) = found
                .iter()
                .filter_map(|first| first.name.as_ref())
                .find(|first| first.value == name.value)
        {
            let problem = Problem::error(
                "duplicate-name",
                format!(
                    "two network cards of `{host}` have the name `{}`",
                    name.value
                ),
            )
            .at(name.span, "the second one")
            .at(first.span, "the first one")
            .help("give each network card a name of its own");
            inner.report(cx, problem);
        }
        reader.ok &= inner.ok;
        found.push(nic);
    }
    found
}
