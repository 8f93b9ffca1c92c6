//! What a reload changes: for its event, and for what must be done about it.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use super::mirror::Mirror;
use super::snapshot::{Boot, Hook, Host, Nic, Own, Profile, San, Server, Snapshot, Subnet};
use super::variables::Declarations;
use crate::base::{HostName, ProfileName, SubnetName, pace};

/// How a difference reads where there is none.
pub const NOTHING: &str = "nothing changed";

/// A host that stands in both configurations, and which of its keys differ.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HostChange {
    /// The host.
    pub name: HostName,
    /// The keys, by their names in the file.
    pub what: Vec<&'static str>,
}

/// A subnet that stands in both configurations, and which of its keys differ.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SubnetChange {
    /// The subnet.
    pub name: SubnetName,
    /// The keys, by their names in the file.
    pub what: Vec<&'static str>,
}

/// The difference of two configurations. Its `Display` is one line for the event `config.reloaded`.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
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
    pub server: Vec<&'static str>,
    /// Settings that differ and take effect only when the daemon is started again.
    pub restart: Vec<&'static str>,
}

impl SnapshotDiff {
    /// Compares two configurations. Only meaning counts: a line added above a host changes nothing.
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
            diff.server.push("[[hook]]");
        }
        if !same_mirrors(&old.mirrors, &new.mirrors) {
            diff.server.push("[[mirror]]");
        }
        diff
    }

    /// Whether nothing differs.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    fn hosts(&mut self, old: &Snapshot, new: &Snapshot) {
        let mut owns = SameOwn::default();
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
                    let mut what = changed_keys(before, host);
                    if network(old, before) != network(new, host) {
                        what.push("subnet");
                    }
                    if !what.is_empty() {
                        self.hosts_changed.push(HostChange {
                            name: host.name.clone(),
                            what,
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
                    let what = changed_subnet_keys(before, subnet);
                    if !what.is_empty() {
                        self.subnets_changed.push(SubnetChange {
                            name: subnet.name.clone(),
                            what,
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
        self.server = differences(&[
            ("[server] interfaces", old.interfaces == new.interfaces),
            ("[server] domain", old.domain == new.domain),
            ("[server] boot_assets", old.boot_assets == new.boot_assets),
            ("[server] profiles", old.profiles == new.profiles),
            ("[server] templates", old.templates == new.templates),
            (
                "[server] reservations",
                old.reservations == new.reservations,
            ),
            ("[server] secrets", old.secrets == new.secrets),
            ("[dhcp] lease_time", old.lease_time == new.lease_time),
            (
                "[dhcp] discovery_profile",
                old.discovery_profile == new.discovery_profile,
            ),
            (
                "[dhcp] conflict_probe",
                old.conflict_probe == new.conflict_probe,
            ),
            (
                "[boot] router_advertisement",
                old.advertise_to_ipxe == new.advertise_to_ipxe,
            ),
            (
                "[boot] loaders",
                old.loaders == new.loaders && old.loaders_by_code == new.loaders_by_code,
            ),
            (
                "[tftp] max_blksize",
                old.tftp_max_blksize == new.tftp_max_blksize,
            ),
            (
                "[tftp] max_windowsize",
                old.tftp_max_windowsize == new.tftp_max_windowsize,
            ),
            ("[tftp] engine", old.tftp_engine == new.tftp_engine),
            ("[install] armed_for", old.armed_for == new.armed_for),
            ("[install] when_new", old.install_new == new.install_new),
            (
                "[install] max_attempts",
                old.max_attempts == new.max_attempts,
            ),
            (
                "[install] stalled_after",
                old.stalled_after == new.stalled_after,
            ),
            ("[journal] keep", old.journal_keep == new.journal_keep),
            ("[assets] cache", old.asset_cache == new.asset_cache),
        ]);
        // The store is locked, privileges are gone, and low ports may be out of reach.
        self.restart = differences(&[
            ("[server] state_dir", old.state_dir == new.state_dir),
            ("[server] user", old.user == new.user),
            ("[dhcp] port", old.dhcp_port == new.dhcp_port),
            ("[dhcp] proxy_port", old.proxy_port == new.proxy_port),
            ("[tftp] port", old.tftp_port == new.tftp_port),
            ("[http] port", old.http_port == new.http_port),
        ]);
    }
}

fn differences(same: &[(&'static str, bool)]) -> Vec<&'static str> {
    same.iter()
        .filter(|(_, same)| !same)
        .map(|(name, _)| *name)
        .collect()
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

fn changed_keys(old: &Host, new: &Host) -> Vec<&'static str> {
    differences(&[
        ("mac", old.macs == new.macs),
        ("ip", old.ip == new.ip),
        ("nic", same_nics(old, new)),
        ("group", old.groups == new.groups),
        ("fqdn", old.fqdn() == new.fqdn()),
        (
            "domain",
            old.domain == new.domain || old.fqdn() != new.fqdn(),
        ),
        ("profile", old.profile == new.profile),
        ("arch", old.arch == new.arch),
        ("loader", old.loader == new.loader),
        ("local_boot", old.local_boot == new.local_boot),
        ("install", old.install == new.install),
        ("secure_boot", old.secure_boot == new.secure_boot),
        ("after", old.after == new.after),
        ("uuid", old.uuid == new.uuid),
        ("serial", old.serial == new.serial),
        ("options", old.options == new.options),
        ("snippets", old.snippets == new.snippets),
        ("vars", old.vars == new.vars),
        ("notes", old.notes == new.notes),
    ])
}

fn changed_subnet_keys(old: &Subnet, new: &Subnet) -> Vec<&'static str> {
    differences(&[
        ("network", old.network == new.network),
        ("mode", old.mode == new.mode),
        ("server", old.server == new.server),
        ("router", old.router == new.router),
        ("dns", old.dns == new.dns),
        ("ntp", old.ntp == new.ntp),
        ("domain", old.domain == new.domain),
        ("lease_time", old.lease_time == new.lease_time),
        ("nat", old.nat == new.nat),
        ("dns_search", old.dns_search == new.dns_search),
        ("options", old.options == new.options),
        ("unknown", old.unknown == new.unknown),
        ("pool", old.pool == new.pool),
        ("secure_boot", old.secure_boot == new.secure_boot),
    ])
}

fn same_profile(old: &Arc<Profile>, new: &Arc<Profile>) -> bool {
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
        && answers(old) == answers(new)
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

fn words<T: ToString>(names: &[T]) -> Vec<String> {
    names.iter().map(ToString::to_string).collect()
}

/// How many names a line of text tells before it counts.
const TOLD: usize = 5;

impl fmt::Display for SnapshotDiff {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut parts: Vec<String> = Vec::new();
        let mut tell = |what: &str, names: Vec<String>| {
            if names.is_empty() {
                return;
            }
            let mut listed = names
                .iter()
                .take(TOLD)
                .cloned()
                .collect::<Vec<_>>()
                .join(", ");
            if names.len() > TOLD {
                listed = format!("{listed} and {} more", names.len() - TOLD);
            }
            parts.push(format!("{what}: {listed}"));
        };
        tell("hosts added", words(&self.hosts_added));
        tell("hosts removed", words(&self.hosts_removed));
        let hosts = self.hosts_changed.iter();
        tell(
            "hosts changed",
            hosts
                .map(|change| format!("{} ({})", change.name, change.what.join(", ")))
                .collect(),
        );
        tell("subnets added", words(&self.subnets_added));
        tell("subnets removed", words(&self.subnets_removed));
        let subnets = self.subnets_changed.iter();
        tell(
            "subnets changed",
            subnets
                .map(|change| format!("{} ({})", change.name, change.what.join(", ")))
                .collect(),
        );
        tell("profiles changed", words(&self.profiles));
        tell("templates changed", words(&self.templates));
        tell("secrets changed", words(&self.secrets));
        tell("settings changed", words(&self.server));
        tell("needs a restart", words(&self.restart));
        if parts.is_empty() {
            f.write_str(NOTHING)
        } else {
            f.write_str(&parts.join("; "))
        }
    }
}
