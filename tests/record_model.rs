//! Random lives of a host, held against what must never happen (design section 4).
//!
//! The model keeps its own account of what was asked for, beside the record: how many installations an
//! operator armed, how many boots of the installer each of them was given.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::net::Ipv4Addr;
use std::time::Duration;

use bootwright::base::{After, AfterEvent, HardwareAddr, HostName, Timestamp, Token};
use bootwright::journal::event::{Kind, Reason};
use bootwright::record::{
    Armament, Input, InstallState, Policy, Record, ReportKind, Step, describe, step,
};
use proptest::prelude::*;

const ARMED_FOR: Duration = Duration::from_secs(86_400);

fn host() -> HostName {
    "web01".parse().unwrap()
}

fn mac(n: u8) -> HardwareAddr {
    HardwareAddr::ethernet([2, 0, 0, 0, 0, n])
}

fn ip(n: u8) -> Ipv4Addr {
    Ipv4Addr::new(10, 99, 0, n)
}

/// What may happen in a life.
#[derive(Debug, Clone)]
enum Happening {
    Install {
        force: bool,
        waits: bool,
    },
    /// What it waits for comes.
    Released,
    Cancel {
        force: bool,
    },
    Local {
        force: bool,
    },
    /// Power on: a boot that asks for its script once, or several times.
    Boot {
        scripts: u8,
    },
    /// The script again, within the same boot.
    ScriptAgain,
    Asset {
        kernel: bool,
    },
    Answer,
    Secret(u8),
    Report(ReportKind, Option<String>, Option<u8>),
    Look,
    /// A reload that leaves the host as it is, changes it, or drops it.
    Reload {
        change: u8,
    },
    Time(u64),
    /// Somebody, or NTP, sets the clock back.
    ClockBack(u64),
    /// The daemon ends and starts: the record goes through its stored form.
    Restart,
}

fn happening() -> impl Strategy<Value = Happening> {
    let report = prop_oneof![
        Just(ReportKind::Started),
        Just(ReportKind::Progress),
        Just(ReportKind::Installed),
        Just(ReportKind::Failed),
        Just(ReportKind::Up),
    ];
    prop_oneof![
        2 => (any::<bool>(), any::<bool>()).prop_map(|(force, waits)| Happening::Install { force, waits }),
        1 => Just(Happening::Released),
        2 => (0_u8..3).prop_map(Happening::Secret),
        1 => any::<bool>().prop_map(|force| Happening::Cancel { force }),
        1 => any::<bool>().prop_map(|force| Happening::Local { force }),
        6 => (0_u8..4).prop_map(|scripts| Happening::Boot { scripts }),
        2 => Just(Happening::ScriptAgain),
        3 => any::<bool>().prop_map(|kernel| Happening::Asset { kernel }),
        4 => Just(Happening::Answer),
        5 => (report, proptest::option::of(".{0,20}"), proptest::option::of(any::<u8>()))
            .prop_map(|(kind, message, percent)| Happening::Report(kind, message, percent)),
        1 => Just(Happening::Look),
        1 => (0_u8..5).prop_map(|change| Happening::Reload { change }),
        3 => prop_oneof![0_u64..60, 2_000_u64..4_000, 80_000_u64..90_000].prop_map(Happening::Time),
        1 => prop_oneof![0_u64..60, 80_000_u64..9_000_000].prop_map(Happening::ClockBack),
        2 => Just(Happening::Restart),
    ]
}

/// The account.
#[derive(Debug, Clone)]
struct Life {
    record: Record,
    policy: Policy,
    now: Timestamp,
    tokens: u8,
    /// An operator's arming is in force: none of the ends of one has come since.
    asked_for: bool,
    /// Boots that were given the installer under it.
    boots: u32,
}

impl Life {
    fn new(policy: Policy) -> Self {
        Self {
            record: Record::new(host()),
            policy,
            now: Timestamp::from_secs(1_800_000_000),
            tokens: 0,
            asked_for: false,
            boots: 0,
        }
    }

    fn live(&mut self, happening: &Happening) {
        match happening {
            Happening::Install { force, waits } => {
                self.tokens += 1;
                let input = Input::Install {
                    with: Armament {
                        profile: "debian-12".parse().unwrap(),
                        file_profile: "debian-12".parse().ok(),
                        macs: vec![mac(1), mac(2)],
                        ip: Some(ip(1)),
                        token: Token::from_bytes([self.tokens; 16]),
                        armed_for: ARMED_FOR,
                        after: waits.then(|| After {
                            host: "hv".parse().unwrap(),
                            event: AfterEvent::Up,
                        }),
                    },
                    force: *force,
                    by: "kari".to_owned(),
                };
                self.apply(&input);
            }
            Happening::Cancel { force } => self.apply(&Input::Cancel {
                force: *force,
                by: "kari".to_owned(),
            }),
            Happening::Local { force } => self.apply(&Input::Local {
                force: *force,
                by: "kari".to_owned(),
            }),
            Happening::Boot { scripts } => {
                // The boot's DHCP packets move nothing; its first script is one of a further boot
                // when there was one before.
                for i in 0..*scripts {
                    self.script(i == 0);
                }
            }
            Happening::ScriptAgain => self.script(false),
            Happening::Asset { kernel } => self.apply(&Input::Asset { kernel: *kernel }),
            Happening::Answer => self.apply(&Input::Answer),
            Happening::Released => self.apply(&Input::Released),
            Happening::Secret(name) => {
                let name = format!("s{name}");
                let before = self.record.clone();
                self.apply(&Input::Secret { name: name.clone() });
                if self.record.secrets.len() > before.secrets.len() {
                    assert!(
                        !before.secrets.contains(&name),
                        "given twice in one attempt"
                    );
                    assert!(self.record.state.boots_installer());
                }
            }
            Happening::Report(kind, message, percent) => self.apply(&Input::Report {
                kind: *kind,
                message: message.clone(),
                percent: *percent,
            }),
            Happening::Look => self.apply(&Input::Look),
            Happening::Reload { change } => {
                let (macs, address, profile) = match change {
                    0 => (vec![mac(2), mac(9)], Some(ip(1)), Some("debian-12")),
                    1 => (vec![mac(9)], Some(ip(1)), Some("debian-12")),
                    2 => (vec![mac(1)], Some(ip(7)), Some("debian-12")),
                    3 => (vec![mac(1)], Some(ip(1)), Some("rocky-9")),
                    _ => (vec![], None, None),
                };
                self.apply(&Input::Reload {
                    macs,
                    ip: address,
                    profile: profile.map(|name| name.parse().unwrap()),
                });
            }
            Happening::Time(secs) => self.now = self.now.plus(Duration::from_secs(*secs)),
            Happening::ClockBack(secs) => {
                self.now = self.now.minus(Duration::from_secs(*secs));
                self.apply(&Input::Look);
                let left = self.record.armed_until.map(|until| until.since(self.now));
                assert!(
                    self.record.state != InstallState::Armed || left <= Some(ARMED_FOR),
                    "armed for {left:?}"
                );
            }
            Happening::Restart => {
                let bytes = postcard::to_stdvec(&self.record).unwrap();
                let back: Record = postcard::from_bytes(&bytes).unwrap();
                assert_eq!(back, self.record);
                self.record = back;
            }
        }
    }

    /// A script is asked for; a machine gets its installer when the record says so after the step.
    fn script(&mut self, further_boot: bool) {
        let before = self.record.clone();
        self.apply(&Input::Script { further_boot });
        let served = self.record.state.boots_installer();
        if served && (further_boot || before.state == InstallState::Armed) {
            assert!(self.asked_for, "nobody asked for this installation");
            self.boots += 1;
            assert!(
                self.boots <= self.policy.max_attempts.max(1),
                "{} boots of the installer",
                self.boots
            );
            assert_eq!(self.record.attempt, self.boots);
            assert_eq!(self.record.script_at, Some(self.now));
        }
        if !served && self.record.state != InstallState::Waiting {
            assert!(!self.asked_for);
        }
    }

    fn apply(&mut self, input: &Input) {
        let before = self.record.clone();
        let outcome = step(&before, input, self.policy, self.now);
        assert_eq!(
            outcome,
            step(&before, input, self.policy, self.now),
            "the same twice"
        );
        let transition = match outcome {
            Step::Change(transition) => *transition,
            Step::Same(_) => {
                assert!(!matches!(input, Input::Install { .. }));
                return;
            }
            Step::Refused(refusal) => {
                assert!(
                    matches!(
                        input,
                        Input::Install { force: false, .. }
                            | Input::Cancel { .. }
                            | Input::Local { force: false, .. }
                    ),
                    "{input:?}: {refusal}"
                );
                // Time may have ended it all the same: that is told by a look of its own.
                return;
            }
        };
        let after = transition.next.clone();
        self.check_change(input, &before, &after);
        match transition.event {
            Some(event) => {
                assert!(
                    describe(&before, &transition, self.policy)
                        .is_some_and(|text| !text.is_empty()),
                    "{event:?} has no sentence"
                );
            }
            None => assert_eq!(
                before.state, after.state,
                "a state changed without an event"
            ),
        }
        if matches!(
            transition.event,
            Some((Kind::InstallArmed | Kind::InstallWaiting, Reason::Operator))
        ) {
            self.asked_for = true;
            self.boots = 0;
        } else if after.state != InstallState::Waiting && !after.state.boots_installer() {
            self.asked_for = false;
        }
        self.record = after;
    }

    fn check_change(&self, input: &Input, before: &Record, after: &Record) {
        use InstallState::{Armed, Booting, Failed, Installed, Installing, Local, Waiting};
        assert_eq!(before.host, after.host);
        let is_install = matches!(input, Input::Install { .. });
        let is_release = *input == Input::Released && before.state == Waiting;
        if after.state == Armed && !is_install && !is_release {
            assert_eq!(before.state, Armed, "{input:?} armed a host");
        }
        if is_install {
            assert!(matches!(after.state, Armed | Waiting));
            assert_eq!(after.attempt, 0);
            assert_ne!(after.token, before.token, "a new token for each arming");
            assert!(after.script_at.is_none() && after.message.is_none());
        } else if after.state == Local {
            assert_eq!(after.token, None, "a token that opens nothing is gone");
        } else {
            assert_eq!(after.token, before.token, "one token for all of one arming");
            assert_eq!(after.macs, before.macs);
            assert_eq!(after.profile, before.profile);
        }
        // The arrows of the table, and no others; each of them passes through no state in between but
        // the failure by silence.
        let allowed = match (before.state, after.state) {
            (one, other) if one == other => true,
            (_, Armed) => is_install || is_release,
            (_, Waiting) => is_install,
            (_, Local) if matches!(input, Input::Reload { ip: None, .. }) => true,
            (Armed, Booting) => matches!(input, Input::Script { .. }),
            (Booting, Installing) => matches!(
                input,
                Input::Answer
                    | Input::Report {
                        kind: ReportKind::Started,
                        ..
                    }
            ),
            (Booting | Installing | Failed, Installed) => matches!(
                input,
                Input::Report {
                    kind: ReportKind::Installed | ReportKind::Up,
                    ..
                }
            ),
            (Booting | Installing, Failed) | (Armed | Waiting, Local) => true,
            (Booting | Installing | Installed | Failed, Local) => {
                matches!(input, Input::Cancel { .. } | Input::Local { .. })
            }
            _ => false,
        };
        assert!(allowed, "{input:?}: {} -> {}", before.state, after.state);
        if before.state != after.state {
            assert_eq!(after.changed_at, Some(self.now));
        }
        assert!(after.percent.is_none_or(|percent| percent <= 100));
        assert!(
            after.state != Failed || after.message.is_some(),
            "it failed and does not say why"
        );
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 1_500, ..ProptestConfig::default() })]

    /// No sequence arms a host that nobody armed, boots an installer more often than allowed, or installs
    /// again without being asked.
    #[test]
    fn no_life_installs_what_nobody_asked_for(
        life in proptest::collection::vec(happening(), 0..120),
        max_attempts in 1_u32..5,
        stalled in prop_oneof![Just(2_700_u64), 1_u64..100],
    ) {
        let mut host = Life::new(Policy { max_attempts, stalled_after: Duration::from_secs(stalled), ..Policy::default() });
        for happening in &life {
            host.live(happening);
        }
    }

    /// Without an operator's word, a host stays local whatever comes.
    #[test]
    fn nobody_asks_and_nothing_happens(
        life in proptest::collection::vec(happening(), 0..60),
    ) {
        let mut host = Life::new(Policy::default());
        let record = host.record.clone();
        for happening in life.iter().filter(|it| !matches!(it, Happening::Install { .. })) {
            host.live(happening);
            prop_assert_eq!(&host.record, &record);
        }
    }

    /// What time does is done once: a look changes nothing after a look, and any input after it finds
    /// the record as if it had come without the look.
    #[test]
    fn time_is_judged_the_same_with_or_without_a_look(
        life in proptest::collection::vec(happening(), 0..60),
        secs in prop_oneof![0_u64..100, 2_000_u64..100_000],
    ) {
        let policy = Policy::default();
        let mut host = Life::new(policy);
        for happening in &life {
            host.live(happening);
        }
        host.now = host.now.plus(Duration::from_secs(secs));
        let mut looked = host.clone();
        looked.apply(&Input::Look);
        prop_assert_eq!(
            step(&looked.record, &Input::Look, policy, looked.now),
            Step::Same(Reason::NoChange)
        );
        for input in [
            Input::Script { further_boot: true },
            Input::Answer,
            Input::Report { kind: ReportKind::Installed, message: None, percent: None },
            Input::Report { kind: ReportKind::Progress, message: None, percent: None },
            Input::Local { force: true, by: "kari".to_owned() },
        ] {
            let result = |record: &Record| match step(record, &input, policy, host.now) {
                Step::Change(transition) => transition.next,
                Step::Same(_) | Step::Refused(_) => record.clone(),
            };
            prop_assert_eq!(result(&host.record), result(&looked.record), "{:?}", input);
        }
    }

    /// Bytes that are no record are an error and nothing worse.
    #[test]
    fn no_bytes_panic_the_stored_form(bytes in proptest::collection::vec(any::<u8>(), 0..400)) {
        let _ = postcard::from_bytes::<Record>(&bytes);
    }
}
