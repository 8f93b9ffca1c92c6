//! Operators and machines at work, and what each of them was told.
//!
//! Every host has one client, so that what it was told last is what has to be remembered. The one
//! request that was under way when the daemon was killed may have been carried out or not; an order for
//! several hosts, for all of them or none.

use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};

use serde_json::{Value, json};

use crate::api;
use crate::daemon::answers_in;
use crate::random::Random;

/// Hosts of one client.
pub(crate) const HOSTS: usize = 3;

/// What has to be remembered of a host.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Stand {
    pub(crate) state: &'static str,
    pub(crate) attempt: u64,
    /// As long as it is the last thing that was said.
    pub(crate) percent: Option<u64>,
}

impl Stand {
    const LOCAL: Self = Self {
        state: "local",
        attempt: 0,
        percent: None,
    };

    fn at(&self, state: &'static str) -> Self {
        Self {
            state,
            attempt: self.attempt,
            percent: self.percent.filter(|_| state == "installing"),
        }
    }

    /// Whether this is what the daemon says. A host that is not armed may have any history.
    fn is(&self, shown: &Value) -> bool {
        let installation = &shown["installation"];
        let is_idle = ["local", "installed", "failed"].contains(&self.state);
        shown["state"] == self.state
            && (is_idle || installation["attempt"].as_u64() == Some(self.attempt))
            && (self.percent.is_none() || installation["percent"].as_u64() == self.percent)
    }
}

/// A host, its machine, and its operator.
#[derive(Debug)]
pub(crate) struct Machine {
    pub(crate) name: String,
    ip: Ipv4Addr,
    mac: String,
    stand: Stand,
    /// The path of its answers, once its machine has seen it.
    answers: Option<String>,
}

/// One client: some hosts, and what was under way when the daemon ended.
#[derive(Debug)]
pub(crate) struct Client {
    pub(crate) machines: Vec<Machine>,
    socket: PathBuf,
    /// Which hosts, and how they stand if it was carried out.
    under_way: Vec<(usize, Stand)>,
    pub(crate) acknowledged: u64,
}

#[derive(Debug, Clone, Copy)]
enum Act {
    Install,
    InstallAll,
    Cancel,
    Local,
    Script,
    Answer,
    Started,
    Progress,
    Installed,
    Failed,
}

impl Client {
    /// The hosts from number `first` on.
    pub(crate) fn new(first: usize, socket: &Path) -> Self {
        let machines = (first..first + HOSTS)
            .map(|number| Machine {
                name: name(number),
                ip: address(number),
                mac: mac(number).replace(':', "-"),
                stand: Stand::LOCAL,
                answers: None,
            })
            .collect();
        Self {
            machines,
            socket: socket.to_owned(),
            under_way: Vec::new(),
            acknowledged: 0,
        }
    }

    /// Works until told to stop, or until a request is not answered.
    pub(crate) fn work(&mut self, random: &mut Random, stop: &AtomicBool) {
        while !stop.load(Ordering::Relaxed) {
            if self.act(random).is_none() {
                return;
            }
        }
    }

    /// One request. `None`: it was not answered.
    fn act(&mut self, random: &mut Random) -> Option<()> {
        use Act::*;
        let at = usize::try_from(random.below(HOSTS as u64)).unwrap();
        let machine = &self.machines[at];
        let (name, stand) = (machine.name.clone(), machine.stand.clone());
        let is_seen = machine.answers.is_some();
        let act = random.pick(match stand.state {
            // The script was under way when the daemon was killed: its token was not seen.
            "booting" | "installing" if !is_seen => &[(1, Script)],
            "armed" => &[(14, Script), (2, Cancel), (2, Local), (1, InstallAll)],
            "booting" => &[
                (2, Script),
                (8, Answer),
                (5, Started),
                (2, Installed),
                (3, Cancel),
            ],
            "installing" => &[
                (9, Progress),
                (5, Installed),
                (2, Failed),
                (2, Script),
                (2, Local),
            ],
            _ => &[(14, Install), (4, Script), (2, Local), (1, InstallAll)],
        });
        let percent = random.below(100);
        let next = match act {
            Install | InstallAll => Stand {
                state: "armed",
                attempt: 0,
                percent: None,
            },
            Cancel | Local => stand.at("local"),
            Script if stand.state == "armed" => Stand {
                state: "booting",
                attempt: 1,
                percent: None,
            },
            Script => stand.clone(),
            Answer | Started => stand.at("installing"),
            Progress => Stand {
                percent: Some(percent),
                ..stand.at("installing")
            },
            Installed => stand.at("installed"),
            Failed => stand.at("failed"),
        };
        let whom: Vec<usize> = match act {
            InstallAll => (0..HOSTS).collect(),
            _ => vec![at],
        };
        self.under_way = whom.iter().map(|at| (*at, next.clone())).collect();

        let machine = &self.machines[at];
        let token = || {
            let answers = machine.answers.as_deref().expect("it was seen");
            answers.split('/').nth(2).expect("a token").to_owned()
        };
        let report = |event: &str| api::get(machine.ip, &format!("/report/{}/{event}", token()));
        let order = |verb: &str| {
            let route = format!("/hosts/{name}/{verb}");
            let (status, said) = api::post(&self.socket, &route, r#"{"force":true}"#)?;
            assert_eq!(status, 200, "{verb} {name} ({stand:?}): {said}");
            Some(())
        };
        let mut answers = None;
        match act {
            Install => order("install")?,
            Cancel => order("cancel")?,
            Local => order("local")?,
            InstallAll => {
                let names: Vec<_> = self.machines.iter().map(|machine| &machine.name).collect();
                let body = json!({ "hosts": names, "force": true }).to_string();
                let (status, said) = api::post(&self.socket, "/install", &body)?;
                assert_eq!(status, 200, "install {names:?}: {said}");
            }
            Script => {
                let path = format!("/boot/{}/boot.ipxe?uuid=&serial=", machine.mac);
                let (status, text) = api::get(machine.ip, &path)?;
                assert_eq!(status, 200, "{name}: {text}");
                let installs = ["booting", "installing"].contains(&next.state);
                assert_eq!(
                    text.contains("/answers/"),
                    installs,
                    "{name} ({stand:?}): {text}"
                );
                answers = installs.then(|| answers_in(&text));
            }
            Answer => {
                let path = machine.answers.clone().expect("it was seen");
                let (status, text) = api::get(machine.ip, &path)?;
                assert_eq!(status, 200, "{name} ({stand:?}): {text}");
            }
            Started | Progress | Installed | Failed => {
                let (status, text) = report(&match act {
                    Started => "started".to_owned(),
                    Progress => format!("progress?percent={percent}"),
                    Installed => "installed".to_owned(),
                    _ => "failed".to_owned(),
                })?;
                assert_eq!(
                    (status, &*text),
                    (200, "ok\n"),
                    "{act:?} {name} ({stand:?})"
                );
            }
        }
        self.acknowledged += 1;
        for (at, next) in std::mem::take(&mut self.under_way) {
            if matches!(act, Install | InstallAll) {
                self.machines[at].answers = None;
            }
            self.machines[at].stand = next;
        }
        if answers.is_some() {
            self.machines[at].answers = answers;
        }
        Some(())
    }

    /// Compares what the daemon says with what was acknowledged, and goes on from there.
    pub(crate) fn compare(&mut self, shown: &Value) {
        let of = |machine: &Machine| {
            let mut all = shown.as_array().expect("hosts").iter();
            all.find(|host| host["name"] == *machine.name)
                .unwrap_or_else(|| panic!("{} is gone", machine.name))
        };
        let under_way = std::mem::take(&mut self.under_way);
        let done = !under_way.is_empty()
            && under_way
                .iter()
                .all(|(at, next)| next.is(of(&self.machines[*at])));
        for (at, machine) in self.machines.iter_mut().enumerate() {
            let host = of(machine);
            let next = under_way.iter().find(|(whose, _)| *whose == at);
            let expected = match next {
                Some((_, next)) if done => next.clone(),
                _ => machine.stand.clone(),
            };
            assert!(
                expected.is(host),
                "{}: acknowledged {:?}, under way {next:?}, found {host}",
                machine.name,
                machine.stand
            );
            if machine.stand.state != "armed" && expected.state == "armed" {
                machine.answers = None;
            }
            if let (Some(answers), Some(hint)) =
                (&machine.answers, host["installation"]["token"].as_str())
            {
                let token = answers.split('/').nth(2).expect("a token");
                let is_same = token.starts_with(hint.trim_end_matches('…'));
                // Armed again with `force` while it was armed: the request that was under way.
                if !is_same {
                    assert!(next.is_some(), "{}: another token", machine.name);
                    machine.answers = None;
                }
            }
            machine.stand = expected;
        }
    }
}

/// The name of a host of the tests.
pub(crate) fn name(number: usize) -> String {
    format!("load{number:02}")
}

pub(crate) fn address(number: usize) -> Ipv4Addr {
    Ipv4Addr::new(10, 99, 0, 100 + u8::try_from(number).expect("few hosts"))
}

pub(crate) fn mac(number: usize) -> String {
    format!("52:54:00:10:00:{number:02x}")
}
