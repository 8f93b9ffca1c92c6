//! What templates see (design section 2): host, subnet, server, vars, profile, arch, answers and
//! install.
//!
//! **Invariant:** what a host does not have is absent, so that `is defined` tells and any other use is
//! an error. Nothing in here is a guess.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, PoisonError};

use minijinja::value::{Kwargs, Rest};
use minijinja::{Error, ErrorKind, Value};

use super::mentions::Mentions;
use super::paths::{self, AssetRef};
use super::secrets::{self, Missing, Shown};
use super::{View, base_url};
use crate::base::Token;
use crate::config::snapshot::{Host, Nic, Subnet};
use crate::config::{Snapshot, variables};

/// What stands in place of a token where there is none.
const EXAMPLE_TOKEN: &str = "example";

/// Where the answers are that were put into the installer's initial RAM disk.
pub(super) const INJECTED: &str = "file:///";

/// What an installer reports, under `install`.
const INSTALL: [&str; 7] = [
    "started",
    "progress",
    "installed",
    "failed",
    "up",
    "logs",
    "webhook",
];

/// The names that templates see under each object, for "did you mean" and the manual.
pub(super) const FIELDS: &[(&str, &[&str])] = &[
    (
        "host",
        &[
            "name", "fqdn", "domain", "mac", "macs", "ip", "arch", "group", "uuid", "serial",
            "nics", "links",
        ],
    ),
    (
        "subnet",
        &[
            "name", "network", "netmask", "prefix", "router", "dns", "ntp", "domain",
        ],
    ),
    ("server", &["ip", "url"]),
    ("profile", &["name", "title", "family"]),
    ("answers", &["url", "folder"]),
    ("install", &INSTALL),
];

/// The names at the root of the context.
pub(super) const ROOTS: &[&str] = &[
    "host", "subnet", "server", "vars", "profile", "arch", "answers", "install", "snippets",
];

/// The URLs that a host's texts hold.
#[derive(Debug, Clone)]
pub struct Urls {
    base: String,
    /// `None`: they are examples.
    token: Option<Token>,
    /// What stands before the path of a boot file.
    files: String,
    /// The answers lie in the installer's own initial RAM disk, and nobody waits for reports.
    injected: bool,
}

impl Urls {
    /// Those of a view.
    pub fn of(view: &View<'_>) -> Self {
        let base = base_url(view.server, view.snapshot.server.http_port);
        Self {
            files: format!("{base}/assets"),
            base,
            token: view.token.cloned(),
            injected: false,
        }
    }

    /// Those of an installation without an arming, whose answers were put into its initial RAM disk: its
    /// answers are at `file:///`, and what only an arming has is empty.
    pub fn injected(view: &View<'_>) -> Self {
        Self {
            injected: true,
            ..Self::of(view)
        }
    }

    /// The same with boot files by TFTP, for an iPXE without HTTP.
    pub fn files_by_tftp(view: &View<'_>) -> Self {
        /// The port that stands in no URL (RFC 3617).
        const TFTP: u16 = 69;
        let files = match view.snapshot.server.tftp_port {
            TFTP => format!("tftp://{}", view.server),
            port => format!("tftp://{}:{port}", view.server),
        };
        Self {
            files,
            ..Self::of(view)
        }
    }

    fn token(&self) -> &str {
        self.token.as_ref().map_or(EXAMPLE_TOKEN, Token::reveal)
    }

    /// `http://ADDRESS[:PORT]`.
    pub fn base(&self) -> &str {
        &self.base
    }

    /// The folder of the answers, with a slash at its end.
    pub fn answers(&self) -> String {
        if self.injected {
            return INJECTED.to_owned();
        }
        format!("{}/answers/{}/", self.base, self.token())
    }

    /// The URL of one answer.
    pub fn answer(&self, name: &str) -> String {
        format!("{}{}", self.answers(), paths::encode(name))
    }

    /// The URL of a secret that is given once; empty where nobody serves it.
    pub fn secret(&self, name: &str) -> String {
        if self.injected {
            return String::new();
        }
        format!("{}secrets/{}", self.answers(), paths::encode(name))
    }

    /// Where an event is reported; with `logs`, below which logs are taken; with `webhook`, where curtin
    /// and subiquity post. Empty where nobody waits for it.
    pub fn report(&self, event: &str) -> String {
        if self.injected {
            return String::new();
        }
        format!("{}/report/{}/{event}", self.base, self.token())
    }

    /// The URL of a boot file.
    pub fn asset(&self, asset: &AssetRef) -> String {
        paths::url(&self.files, asset)
    }
}

fn object(fields: impl IntoIterator<Item = (&'static str, Option<Value>)>) -> Value {
    fields
        .into_iter()
        .filter_map(|(name, value)| Some((name, value?)))
        .collect::<BTreeMap<&'static str, Value>>()
        .into()
}

fn text(value: impl std::fmt::Display) -> Value {
    value.to_string().into()
}

fn list<T: std::fmt::Display>(values: &[T]) -> Value {
    values.iter().map(text).collect::<Vec<_>>().into()
}

/// The further network cards of a host, each with the subnet that it is in.
fn nics(snapshot: &Snapshot, host: &Host) -> Value {
    let nic = |nic: &Nic| {
        let subnet = nic.subnet.and_then(|index| snapshot.subnets.get(index));
        object([
            ("name", nic.name.as_deref().map(Value::from)),
            ("mac", nic.macs.first().map(text)),
            ("macs", Some(list(&nic.macs))),
            ("ip", nic.ip.map(text)),
            ("boot", Some(nic.boot.into())),
            ("subnet", subnet.map(subnet_object)),
        ])
    };
    host.nics.iter().map(nic).collect::<Vec<_>>().into()
}

/// The variables that connections are made of: all that [`links`] reads.
const OF_LINKS: [&str; 2] = ["bond_mode", "vlans"];

/// How the installed system is to be connected: one for each card that has an address or asks for one, the
/// one that it boots by first. Several ports of one card are a bond, unless `vars.bond_mode` says otherwise.
fn links(snapshot: &Snapshot, host: &Host, vars: &toml::Table) -> Value {
    let [mode, vlans] = OF_LINKS.map(|name| vars.get(name));
    let mode = mode.and_then(toml::Value::as_str);
    let vlans = vlans.and_then(toml::Value::as_table);
    let mut links = Vec::new();
    let mut routed = false;
    for (index, card) in host.cards().enumerate() {
        // A card that is known and never answered.
        if index > 0 && card.ip.is_none() {
            continue;
        }
        let subnet = card.subnet.and_then(|index| snapshot.subnets.get(index));
        let name = match (card.name, index) {
            (Some(name), _) => name.to_owned(),
            (None, 0) => "main".to_owned(),
            (None, index) => format!("nic{index}"),
        };
        let vlan = vlans.and_then(|vlans| vlans.get(&name)).map(from_toml);
        let router = subnet.and_then(|subnet| subnet.router);
        // Only one way out of the networks that it is in.
        let default_route = router.is_some() && card.ip.is_some() && !routed;
        routed |= default_route;
        let bond = card.macs.len() > 1 && mode != Some("none");
        links.push(object([
            ("name", Some(name.into())),
            ("mac", card.macs.first().map(text)),
            ("macs", Some(list(card.macs))),
            ("ip", card.ip.map(text)),
            ("dhcp", Some(card.ip.is_none().into())),
            ("boot", Some(card.boot.into())),
            ("bond", Some(bond.into())),
            (
                "bond_mode",
                bond.then(|| mode.unwrap_or("active-backup").into()),
            ),
            ("vlan", vlan),
            ("default_route", Some(default_route.into())),
            ("router", router.map(text)),
            (
                "network",
                subnet.map(|subnet| text(subnet.network.network())),
            ),
            (
                "netmask",
                subnet.map(|subnet| text(subnet.network.netmask())),
            ),
            (
                "prefix",
                subnet.map(|subnet| subnet.network.prefix_len().into()),
            ),
            (
                "dns",
                Some(list(subnet.map_or(&[][..], |subnet| &subnet.dns))),
            ),
            (
                "domain",
                subnet.and_then(|subnet| subnet.domain.as_deref().map(Value::from)),
            ),
        ]));
    }
    links.into()
}

fn subnet_object(subnet: &Subnet) -> Value {
    object([
        ("name", Some(text(&subnet.name))),
        ("network", Some(text(subnet.network.network()))),
        ("netmask", Some(text(subnet.network.netmask()))),
        ("prefix", Some(subnet.network.prefix_len().into())),
        ("router", subnet.router.map(text)),
        ("dns", Some(list(&subnet.dns))),
        ("ntp", Some(list(&subnet.ntp))),
        ("domain", subnet.domain.as_deref().map(Value::from)),
    ])
}

/// A TOML value as templates see it; dates are texts.
fn from_toml(value: &toml::Value) -> Value {
    match value {
        toml::Value::String(text) => text.as_str().into(),
        toml::Value::Integer(number) => (*number).into(),
        toml::Value::Float(number) => (*number).into(),
        toml::Value::Boolean(truth) => (*truth).into(),
        toml::Value::Datetime(date) => date.to_string().into(),
        toml::Value::Array(values) => values.iter().map(from_toml).collect::<Vec<_>>().into(),
        toml::Value::Table(table) => from_table(table),
    }
}

fn from_table(table: &toml::Table) -> Value {
    table
        .iter()
        .map(|(key, value)| (key.clone(), from_toml(value)))
        .collect::<BTreeMap<String, Value>>()
        .into()
}

/// The boot files and folders of them that a rendering named by `asset()`.
#[derive(Debug, Clone, Default)]
pub(super) struct Named(Arc<Mutex<BTreeSet<String>>>);

impl Named {
    /// Their paths under `boot_assets`.
    pub(super) fn paths(&self) -> BTreeSet<String> {
        let paths = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        paths.clone()
    }

    fn add(&self, path: &str) {
        let mut paths = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        paths.insert(path.trim_end_matches('/').to_owned());
    }
}

/// `fail(text)`: an error where it stands, in the template's own words.
fn fail_function() -> Value {
    Value::from_function(|text: &str, rest: Rest<Value>| -> Result<String, Error> {
        if !rest.is_empty() {
            return Err(Error::from(ErrorKind::TooManyArguments));
        }
        Err(Error::new(ErrorKind::InvalidOperation, text.to_owned()))
    })
}

/// `asset(path)`: the URL of a boot file, which has to be there; with `required=false` it need not.
fn asset_function(urls: Urls, named: Named) -> Value {
    Value::from_function(move |path: &Value, options: Kwargs| {
        let required = options.get::<Option<bool>>("required")?.unwrap_or(true);
        options.assert_all_used()?;
        let path = match path.as_str() {
            Some(path) => path,
            None if path.is_undefined() => return path.get_attr("").map(|_| String::new()),
            None => {
                return Err(Error::new(
                    ErrorKind::InvalidOperation,
                    "`asset` takes the path of a boot file as text",
                ));
            }
        };
        let asset = AssetRef::parse(path)
            .map_err(|message| Error::new(ErrorKind::InvalidOperation, message))?;
        if let Some(path) = asset.path().filter(|_| required) {
            named.add(path);
        }
        Ok(urls.asset(&asset))
    })
}

/// The contexts of one view with these URLs: what its answers see, and what its boot texts and scripts see.
pub(super) fn build(
    view: &View<'_>,
    urls: &Urls,
    shown: Shown,
    missing: &Missing,
    named: &Named,
) -> (Value, Value) {
    let functions = secrets::of_answers(view, urls, shown, missing);
    let mut answers = common(view, urls, named, &Mentions::ALL);
    let mut boot = answers.clone();
    boot.extend(secrets::of_boot());
    answers.extend(functions);
    (answers.into(), boot.into())
}

/// What the answers of one view see.
pub(super) fn build_answers(
    view: &View<'_>,
    urls: &Urls,
    shown: Shown,
    missing: &Missing,
    named: &Named,
) -> Value {
    let mut answers = common(view, urls, named, &Mentions::ALL);
    answers.extend(secrets::of_answers(view, urls, shown, missing));
    answers.into()
}

/// What the boot texts of one view see that mention so much.
pub(super) fn build_boot(
    view: &View<'_>,
    urls: &Urls,
    named: &Named,
    mentions: &Mentions,
) -> Value {
    let mut boot = common(view, urls, named, mentions);
    boot.extend(secrets::of_boot());
    boot.into()
}

/// What answers and boot texts see alike.
fn common(
    view: &View<'_>,
    urls: &Urls,
    named: &Named,
    mentions: &Mentions,
) -> BTreeMap<&'static str, Value> {
    let View {
        snapshot,
        host,
        profile,
        arch,
        server,
        ..
    } = *view;
    let wants = |root: &str| mentions.has(root);
    let with_links = mentions.has_field("host", "links");
    let vars = variables::effective_of(snapshot, host, profile, |name| {
        mentions.has_field("vars", name) || (with_links && OF_LINKS.contains(&name))
    });
    let host_object = || {
        let field = |name: &'static str, value: &dyn Fn() -> Option<Value>| {
            let value = mentions.has_field("host", name).then(value);
            (name, value.flatten())
        };
        object([
            field("name", &|| Some(text(&host.name))),
            field("fqdn", &|| host.fqdn().map(|fqdn| Value::from(&*fqdn))),
            field("domain", &|| host.domain.as_deref().map(Value::from)),
            field("mac", &|| host.mac().map(text)),
            field("macs", &|| Some(list(&host.macs))),
            field("ip", &|| host.ip.map(text)),
            field("arch", &|| host.arch.map(text)),
            field("group", &|| host.groups.first().map(text)),
            field("uuid", &|| host.uuid.map(text)),
            field("serial", &|| host.serial.as_deref().map(Value::from)),
            field("nics", &|| Some(nics(snapshot, host))),
            field("links", &|| Some(links(snapshot, host, &vars))),
        ])
    };
    let subnet = || snapshot.subnet_of(host).map(subnet_object);
    let server_object = || object([("ip", Some(text(server))), ("url", Some(text(urls.base())))]);
    let profile_object = || {
        object([
            ("name", Some(text(&profile.name))),
            ("title", Some(profile.title.as_str().into())),
            ("family", Some(profile.family.as_str().into())),
        ])
    };
    let answers = || {
        let first = profile.answers.first();
        object([
            ("url", first.map(|first| urls.answer(&first.name).into())),
            ("folder", Some(urls.answers().into())),
        ])
    };
    let install = || object(INSTALL.map(|event| (event, Some(urls.report(event).into()))));
    let snippets = || host.snippets.iter().map(text).collect::<Vec<_>>().into();
    [
        ("host", wants("host").then(host_object)),
        ("subnet", wants("subnet").then(subnet).flatten()),
        ("server", wants("server").then(server_object)),
        ("vars", wants("vars").then(|| from_table(&vars))),
        ("snippets", wants("snippets").then(snippets)),
        ("profile", wants("profile").then(profile_object)),
        ("arch", wants("arch").then(|| text(arch))),
        ("answers", wants("answers").then(answers)),
        ("install", wants("install").then(install)),
        ("asset", Some(asset_function(urls.clone(), named.clone()))),
        ("fail", Some(fail_function())),
    ]
    .into_iter()
    .filter_map(|(name, value)| Some((name, value?)))
    .collect()
}
