//! What a reload changes: for its event, for whoever asks, and for what must be done about it.
//!
//! Values are told where they are harmless. Of variables only the names are in the line of the event, which goes to
//! logs and hooks, and no value of one whose name speaks of a secret is told anywhere.

mod told;

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::mirror::Mirror;
use super::snapshot::{
    Boot, Hook, Host, InstallPolicy, LocalBoot, Nic, Own, Profile, ProfileOption, ProfileValue,
    San, Server, Settings, Snapshot, Subnet,
};
use super::variables::Declarations;
use crate::base::time::show_duration;
use crate::base::{HostName, ProfileName, SubnetName, pace};

pub use self::told::NOTHING;

/// A key whose value differs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct KeyChange {
    /// Its name in the file; that of a variable begins with `vars.`.
    pub key: Cow<'static, str>,
    /// What it was; nothing where it was not there, or is not told.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub old: Option<String>,
    /// What it is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub new: Option<String>,
}

impl KeyChange {
    /// A change whose values are not told.
    fn untold(key: impl Into<Cow<'static, str>>) -> Self {
        Self {
            key: key.into(),
            old: None,
            new: None,
        }
    }

    /// A change of a value that is as good as its text; `None`: there is none.
    fn of<T: PartialEq>(
        key: &'static str,
        old: &T,
        new: &T,
        show: impl Fn(&T) -> Option<String>,
    ) -> Option<Self> {
        (old != new).then(|| Self {
            key: key.into(),
            old: show(old),
            new: show(new),
        })
    }

    /// The same for a value that always has a text.
    fn plain<T: PartialEq>(
        key: &'static str,
        old: &T,
        new: &T,
        show: impl Fn(&T) -> String,
    ) -> Option<Self> {
        Self::of(key, old, new, |value| Some(show(value)))
    }
}

/// A host that stands in both configurations, and which of its keys differ.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct HostChange {
    /// The host.
    pub name: HostName,
    /// The keys.
    pub keys: Vec<KeyChange>,
}

/// A subnet that stands in both configurations, and which of its keys differ.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SubnetChange {
    /// The subnet.
    pub name: SubnetName,
    /// The keys.
    pub keys: Vec<KeyChange>,
}

/// A rendered file that comes out differently for hosts which stand in both configurations.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FileChange {
    /// Its name: of an answer file, of a boot loader's text, or `DHCP options`.
    pub name: String,
    /// What has become of it.
    pub what: FileFate,
    /// The hosts, in the order of the file.
    pub hosts: Vec<HostName>,
}

/// What has become of a rendered file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum FileFate {
    /// Its text is another one.
    Changed,
    /// It was not there before.
    New,
    /// It is there no more.
    Gone,
}

/// The difference of two configurations. Its `Display` is one line for the event `config.reloaded`,
/// [`SnapshotDiff::lines`] all of it.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct SnapshotDiff {
    /// Hosts that are new.
    pub hosts_added: Vec<HostName>,
    /// Hosts that are gone.
    pub hosts_removed: Vec<HostName>,
    /// Hosts that differ.
    pub hosts_changed: Vec<HostChange>,
    /// Subnets that are new.
    pub subnets_added: Vec<SubnetName>,
    /// Subnets that are gone.
    pub subnets_removed: Vec<SubnetName>,
    /// Subnets that differ.
    pub subnets_changed: Vec<SubnetChange>,
    /// Profiles that are new, gone or differ.
    pub profiles: Vec<ProfileName>,
    /// Templates that are new, gone or differ, by path.
    pub templates: Vec<String>,
    /// Secrets that are new, gone or differ, by name: `name`, or `name (host)`.
    pub secrets: Vec<String>,
    /// Settings of `bootwright.toml` that differ and take effect at once.
    pub server: Vec<KeyChange>,
    /// Settings that differ and take effect only when the daemon is started again.
    pub restart: Vec<KeyChange>,
    /// Rendered files that differ, as `render::compare` finds them; secrets in them are masked.
    pub files: Vec<FileChange>,
}

impl SnapshotDiff {
    /// Compares what is meant by two configurations; their rendered files are left to `render::compare`. A line
    /// added above a host changes nothing.
    pub fn between(old: &Snapshot, new: &Snapshot) -> Self {
        let mut diff = Self::default();
        diff.hosts(old, new);
        diff.subnets(old, new);
        diff.profiles = differing(old.profiles(), new.profiles(), same_profile);
        diff.templates = differing(old.templates(), new.templates(), |old, new| {
            old.text == new.text
        });
        diff.secrets = old.secrets.differing(&new.secrets);
        diff.settings(&old.server, &new.server);
        if !same_hooks(&old.hooks, &new.hooks) {
            diff.server.push(KeyChange::untold("[[hook]]"));
        }
        if !same_mirrors(&old.mirrors, &new.mirrors) {
            diff.server.push(KeyChange::untold("[[mirror]]"));
        }
        diff
    }

    /// Whether nothing differs.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    fn hosts(&mut self, old: &Snapshot, new: &Snapshot) {
        let mut owns = SameOwn::default();
        let mut of_settings = OfSettings::default();
        for (count, host) in new.hosts().iter().enumerate() {
            pace::give_way(count);
            // The subnet's index may move; what counts is which network it is.
            let network = |snapshot: &Snapshot, host: &Host| {
                snapshot.subnet_of(host).map(|subnet| subnet.network)
            };
            match old.host(&host.name) {
                Some(before)
                    if before.ip == host.ip
                        && before.macs == host.macs
                        && owns.are_same(&before.own, &host.own)
                        && network(old, before) == network(new, host) => {}
                None => self.hosts_added.push(host.name.clone()),
                Some(before) => {
                    let mut keys = changed_keys(before, host);
                    keys.extend_from_slice(of_settings.changes(&before.settings, &host.settings));
                    let name = |subnet: Option<&Subnet>| Some(subnet?.name.to_string());
                    if network(old, before) != network(new, host) {
                        keys.push(KeyChange {
                            key: "subnet".into(),
                            old: name(old.subnet_of(before)),
                            new: name(new.subnet_of(host)),
                        });
                    }
                    if !keys.is_empty() {
                        self.hosts_changed.push(HostChange {
                            name: host.name.clone(),
                            keys,
                        });
                    }
                }
            }
        }
        self.hosts_removed = old
            .hosts()
            .iter()
            .filter(|host| new.host(&host.name).is_none())
            .map(|host| host.name.clone())
            .collect();
    }

    fn subnets(&mut self, old: &Snapshot, new: &Snapshot) {
        let find = |snapshot: &Snapshot, name: &SubnetName| {
            snapshot
                .subnets
                .iter()
                .position(|subnet| subnet.name == *name)
        };
        for subnet in &new.subnets {
            match find(old, &subnet.name).and_then(|index| old.subnets.get(index)) {
                None => self.subnets_added.push(subnet.name.clone()),
                Some(before) => {
                    let keys = changed_subnet_keys(before, subnet);
                    if !keys.is_empty() {
                        self.subnets_changed.push(SubnetChange {
                            name: subnet.name.clone(),
                            keys,
                        });
                    }
                }
            }
        }
        self.subnets_removed = old
            .subnets
            .iter()
            .filter(|subnet| find(new, &subnet.name).is_none())
            .map(|subnet| subnet.name.clone())
            .collect();
    }

    fn settings(&mut self, old: &Server, new: &Server) {
        let loaders = (&old.loaders, &old.loaders_by_code) != (&new.loaders, &new.loaders_by_code);
        self.server = [
            KeyChange::of(
                "[server] interfaces",
                &old.interfaces,
                &new.interfaces,
                list,
            ),
            KeyChange::of("[server] domain", &old.domain, &new.domain, optional),
            KeyChange::plain(
                "[server] boot_assets",
                &old.boot_assets,
                &new.boot_assets,
                path,
            ),
            KeyChange::plain("[server] profiles", &old.profiles, &new.profiles, path),
            KeyChange::plain("[server] templates", &old.templates, &new.templates, path),
            KeyChange::of(
                "[server] reservations",
                &old.reservations,
                &new.reservations,
                |list| {
                    let list: Vec<_> = list.iter().map(|path| path.display().to_string()).collect();
                    Some(list.join(", "))
                },
            ),
            KeyChange::of("[server] secrets", &old.secrets, &new.secrets, |file| {
                file.as_ref().map(path)
            }),
            KeyChange::plain("[dhcp] lease_time", &old.lease_time, &new.lease_time, time),
            KeyChange::of(
                "[dhcp] discovery_profile",
                &old.discovery_profile,
                &new.discovery_profile,
                optional,
            ),
            KeyChange::plain(
                "[dhcp] conflict_probe",
                &old.conflict_probe,
                &new.conflict_probe,
                text,
            ),
            KeyChange::of(
                "[boot] router_advertisement",
                &old.advertise_to_ipxe,
                &new.advertise_to_ipxe,
                |on| Some(if *on { "ipxe" } else { "off" }.to_owned()),
            ),
            loaders.then(|| KeyChange::untold("[boot] loaders")),
            (old.secure != new.secure).then(|| KeyChange::untold("[boot] secure")),
            KeyChange::plain(
                "[tftp] max_blksize",
                &old.tftp_max_blksize,
                &new.tftp_max_blksize,
                text,
            ),
            KeyChange::plain(
                "[tftp] max_windowsize",
                &old.tftp_max_windowsize,
                &new.tftp_max_windowsize,
                text,
            ),
            (old.tftp_engine != new.tftp_engine).then(|| KeyChange::untold("[tftp] engine")),
            KeyChange::plain("[install] armed_for", &old.armed_for, &new.armed_for, time),
            KeyChange::of(
                "[install] when_new",
                &old.install_new,
                &new.install_new,
                |on| Some(if *on { "install" } else { "local" }.to_owned()),
            ),
            KeyChange::plain(
                "[install] max_attempts",
                &old.max_attempts,
                &new.max_attempts,
                text,
            ),
            KeyChange::plain(
                "[install] stalled_after",
                &old.stalled_after,
                &new.stalled_after,
                time,
            ),
            KeyChange::plain("[journal] keep", &old.journal_keep, &new.journal_keep, text),
            KeyChange::plain("[assets] cache", &old.asset_cache, &new.asset_cache, text),
        ]
        .into_iter()
        .flatten()
        .collect();
        // The store is locked, privileges are gone, and low ports may be out of reach.
        self.restart = [
            KeyChange::plain("[server] state_dir", &old.state_dir, &new.state_dir, path),
            KeyChange::of("[server] user", &old.user, &new.user, optional),
            KeyChange::plain("[dhcp] port", &old.dhcp_port, &new.dhcp_port, text),
            KeyChange::plain("[dhcp] proxy_port", &old.proxy_port, &new.proxy_port, text),
            KeyChange::plain("[tftp] port", &old.tftp_port, &new.tftp_port, text),
            KeyChange::plain("[http] port", &old.http_port, &new.http_port, text),
        ]
        .into_iter()
        .flatten()
        .collect();
    }
}

fn text<T: ToString>(value: &T) -> String {
    value.to_string()
}

#[expect(
    clippy::ref_option,
    reason = "it shows what is compared, which are these"
)]
fn optional<T: ToString>(value: &Option<T>) -> Option<String> {
    value.as_ref().map(ToString::to_string)
}

fn list<L: AsRef<[T]>, T: ToString>(values: &L) -> Option<String> {
    let values: Vec<String> = values.as_ref().iter().map(ToString::to_string).collect();
    (!values.is_empty()).then(|| values.join(", "))
}

#[expect(clippy::ptr_arg, reason = "it shows what is compared, which are these")]
fn path(path: &std::path::PathBuf) -> String {
    path.display().to_string()
}

fn time(duration: &std::time::Duration) -> String {
    show_duration(*duration)
}

/// Whether hooks differ at most in their place in the file.
fn same_hooks(old: &[Hook], new: &[Hook]) -> bool {
    let without_place = |hook: &Hook| Hook {
        span: None,
        ..hook.clone()
    };
    old.iter()
        .map(without_place)
        .eq(new.iter().map(without_place))
}

/// Whether mirrors differ at most in their place in the file.
fn same_mirrors(old: &[Mirror], new: &[Mirror]) -> bool {
    let without_place = |mirror: &Mirror| Mirror {
        span: None,
        ..mirror.clone()
    };
    old.iter()
        .map(without_place)
        .eq(new.iter().map(without_place))
}

/// Whether what two hosts have is the same; the answer holds for all that share it.
#[derive(Default)]
struct SameOwn<'a>(Option<(&'a Own, &'a Own, bool)>);

impl<'a> SameOwn<'a> {
    fn are_same(&mut self, old: &'a Own, new: &'a Own) -> bool {
        match self.0 {
            Some((last_old, last_new, same))
                if std::ptr::eq(last_old, old) && std::ptr::eq(last_new, new) =>
            {
                same
            }
            _ => {
                let same = old == new;
                self.0 = Some((old, new, same));
                same
            }
        }
    }
}

/// Whether the further network cards are the same. The index of their subnets may move; which one it is
/// their addresses tell.
fn same_nics(old: &Host, new: &Host) -> bool {
    let without_index = |nic: &Nic| Nic {
        subnet: None,
        ..nic.clone()
    };
    old.nics
        .iter()
        .map(without_index)
        .eq(new.nics.iter().map(without_index))
}

/// What the changes of a host's settings are; those of the last two are kept for all that share them.
#[derive(Default)]
struct OfSettings<'a>(Option<(&'a Settings, &'a Settings, Vec<KeyChange>)>);

impl<'a> OfSettings<'a> {
    fn changes(&mut self, old: &'a Settings, new: &'a Settings) -> &[KeyChange] {
        let is_same = matches!(
            self.0,
            Some((last_old, last_new, _))
                if std::ptr::eq(last_old, old) && std::ptr::eq(last_new, new)
        );
        if !is_same {
            self.0 = Some((old, new, changed_settings(old, new)));
        }
        self.0.as_ref().map_or(&[], |(_, _, changes)| changes)
    }
}

/// The keys that are the host's own.
fn changed_keys(old: &Host, new: &Host) -> Vec<KeyChange> {
    let fqdn = |host: &Host| host.fqdn().map(Cow::into_owned);
    [
        KeyChange::of("mac", &old.macs, &new.macs, |macs| list(&&**macs)),
        KeyChange::of("ip", &old.ip, &new.ip, optional),
        (!same_nics(old, new)).then(|| KeyChange::untold("nic")),
        KeyChange::of("fqdn", &fqdn(old), &fqdn(new), optional),
        (old.domain != new.domain && old.fqdn() == new.fqdn()).then(|| KeyChange::untold("domain")),
        KeyChange::of("after", &old.after, &new.after, optional),
        KeyChange::of("uuid", &old.uuid, &new.uuid, optional),
        KeyChange::of("serial", &old.serial, &new.serial, optional),
        (old.notes != new.notes).then(|| KeyChange::untold("notes")),
    ]
    .into_iter()
    .flatten()
    .collect()
}

/// The keys that layers may give.
fn changed_settings(old: &Settings, new: &Settings) -> Vec<KeyChange> {
    let mut changes: Vec<KeyChange> = [
        KeyChange::of("group", &old.groups, &new.groups, list),
        KeyChange::of("profile", &old.profile, &new.profile, optional),
        KeyChange::of("arch", &old.arch, &new.arch, optional),
        KeyChange::of("loader", &old.loader, &new.loader, optional),
        KeyChange::of("local_boot", &old.local_boot, &new.local_boot, |form| {
            let form = match form {
                LocalBoot::Auto => "auto",
                LocalBoot::NoFile => "no-file",
                LocalBoot::Exit => "exit",
                LocalBoot::Sanboot => "sanboot",
            };
            Some(form.to_owned())
        }),
        KeyChange::of("install", &old.install, &new.install, |policy| {
            let policy = match policy {
                InstallPolicy::Once => "once",
                InstallPolicy::Never => "never",
                InstallPolicy::Always => "always",
            };
            Some(policy.to_owned())
        }),
        KeyChange::of("secure_boot", &old.secure_boot, &new.secure_boot, optional),
        (old.options != new.options).then(|| KeyChange::untold("options")),
        KeyChange::of("snippets", &old.snippets, &new.snippets, list),
    ]
    .into_iter()
    .flatten()
    .collect();
    changed_vars("vars", &old.vars, &new.vars, &mut changes);
    changes
}

/// Words by which the name of a variable tells that its value is nobody's business.
const DELICATE: [&str; 9] = [
    "pass",
    "secret",
    "token",
    "hash",
    "key",
    "credential",
    "login",
    "pin",
    "psk",
];

/// Whether a value holds nothing but numbers and words: no table, whose keys would have to be looked at, and no hash.
fn is_plain(value: &toml::Value) -> bool {
    match value {
        toml::Value::String(text) => !text.starts_with('$'),
        toml::Value::Array(values) => values.iter().all(is_plain),
        toml::Value::Table(_) => false,
        _ => true,
    }
}

/// The variables that differ, each by its whole name; tables key by key.
fn changed_vars(below: &str, old: &toml::Table, new: &toml::Table, changes: &mut Vec<KeyChange>) {
    let names: std::collections::BTreeSet<&String> = old.keys().chain(new.keys()).collect();
    for name in names {
        let key = format!("{below}.{name}");
        let delicate = DELICATE
            .iter()
            .any(|word| key.to_ascii_lowercase().contains(word));
        let shown = |value: Option<&toml::Value>| {
            value
                .filter(|value| !delicate && is_plain(value))
                .map(ToString::to_string)
        };
        match (old.get(name), new.get(name)) {
            (Some(toml::Value::Table(old)), Some(toml::Value::Table(new))) => {
                changed_vars(&key, old, new, changes);
            }
            (old, new) if old == new => {}
            (old, new) => changes.push(KeyChange {
                key: key.into(),
                old: shown(old),
                new: shown(new),
            }),
        }
    }
}

fn changed_subnet_keys(old: &Subnet, new: &Subnet) -> Vec<KeyChange> {
    [
        KeyChange::plain("network", &old.network, &new.network, text),
        KeyChange::of("mode", &old.mode, &new.mode, |mode| {
            Some(mode.as_str().to_owned())
        }),
        KeyChange::of("server", &old.server, &new.server, optional),
        KeyChange::of("router", &old.router, &new.router, optional),
        KeyChange::of("dns", &old.dns, &new.dns, list),
        KeyChange::of("ntp", &old.ntp, &new.ntp, list),
        KeyChange::of("domain", &old.domain, &new.domain, optional),
        KeyChange::plain("lease_time", &old.lease_time, &new.lease_time, time),
        KeyChange::of("nat", &old.nat, &new.nat, list),
        KeyChange::of("dns_search", &old.dns_search, &new.dns_search, list),
        (old.options != new.options).then(|| KeyChange::untold("options")),
        (old.unknown != new.unknown).then(|| KeyChange::untold("unknown")),
        KeyChange::of("pool", &old.pool, &new.pool, optional),
        KeyChange::of("secure_boot", &old.secure_boot, &new.secure_boot, optional),
    ]
    .into_iter()
    .flatten()
    .collect()
}

/// Whether two profiles mean the same, wherever they stand.
pub fn same_profile(old: &Arc<Profile>, new: &Arc<Profile>) -> bool {
    let answers = |profile: &Profile| {
        profile
            .answers
            .iter()
            .map(|answer| {
                (
                    answer.name.clone(),
                    answer.template.clone(),
                    answer.content_type.clone(),
                )
            })
            .collect::<Vec<_>>()
    };
    old.title == new.title
        && old.family == new.family
        && old.arch == new.arch
        && old.lifecycle == new.lifecycle
        && old.stalled_after == new.stalled_after
        && old.vars == new.vars
        && same_variables(&old.variables, &new.variables)
        && old.fetch == new.fetch
        && old.secure_boot == new.secure_boot
        && old.signed == new.signed
        && same_boot(&old.boot, &new.boot)
        && same_options(&old.options, &new.options)
        && answers(old) == answers(new)
}

/// Whether the DHCP options of profiles mean the same, wherever they stand.
fn same_options(old: &[ProfileOption], new: &[ProfileOption]) -> bool {
    fn meant(option: &ProfileOption) -> (u8, bool, Result<&str, &[u8]>) {
        let value = match &option.value {
            ProfileValue::Text(text) => Ok(text.text.as_str()),
            ProfileValue::Bytes(bytes) => Err(&**bytes),
        };
        (option.code, option.force, value)
    }
    old.iter().map(meant).eq(new.iter().map(meant))
}

/// Whether declarations mean the same, wherever they stand.
fn same_variables(old: &Declarations, new: &Declarations) -> bool {
    old.len() == new.len()
        && old.iter().zip(new).all(|((old_name, old), (name, new))| {
            old_name == name
                && old.kind == new.kind
                && old.default == new.default
                && old.required == new.required
                && old.one_of == new.one_of
        })
}

fn same_boot(old: &Boot, new: &Boot) -> bool {
    let texts = |boot: &Boot| -> Vec<(String, String)> {
        let texts = boot.texts().into_iter();
        texts.map(|(key, text)| (key, text.text.clone())).collect()
    };
    let kinds = match (old, new) {
        (Boot::Script { template }, Boot::Script { template: new }) => template == new,
        (Boot::Image { kind, .. }, Boot::Image { kind: new, .. }) => kind == new,
        (Boot::Local { drive }, Boot::Local { drive: new }) => drive == new,
        (Boot::San(old), Boot::San(new)) => {
            let secrets = |san: &San| {
                [&san.login, &san.target_login]
                    .map(|login| login.as_ref().map(|login| login.secret.clone()))
            };
            old.drive == new.drive && secrets(old) == secrets(new)
        }
        _ => std::mem::discriminant(old) == std::mem::discriminant(new),
    };
    kinds && texts(old) == texts(new)
}

/// The keys that only one of two maps has, or whose values differ.
fn differing<K: Ord + Clone, V>(
    old: &BTreeMap<K, V>,
    new: &BTreeMap<K, V>,
    same: impl Fn(&V, &V) -> bool,
) -> Vec<K> {
    let mut names: Vec<K> = new
        .iter()
        .filter(|(key, value)| !old.get(*key).is_some_and(|before| same(before, value)))
        .map(|(key, _)| key.clone())
        .collect();
    names.extend(old.keys().filter(|key| !new.contains_key(*key)).cloned());
    names.sort();
    names
}
