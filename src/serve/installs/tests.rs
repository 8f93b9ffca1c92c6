use super::*;
use crate::base::{After, TestClock};
use crate::config::snapshot::{Answer, Host, Mode, Profile, Server, Subnet, TemplateText, Unknown};
use crate::journal::Filter;
use crate::record::{Armament, ReportKind};
use crate::store::Switches;

struct Bench {
    installs: Installs,
    journal: Journal,
    clock: Arc<TestClock>,
    switches: Switches,
    snapshot: Snapshot,
}

fn host(name: &str) -> HostName {
    name.parse().unwrap()
}

fn mac(n: u8) -> HardwareAddr {
    HardwareAddr::ethernet([2, 0, 0, 0, 0, n])
}

fn ip(n: u8) -> Ipv4Addr {
    Ipv4Addr::new(10, 99, 0, n)
}

fn snapshot(profile: &str, hosts: &[(&str, u8)]) -> Snapshot {
    let subnet = Subnet {
        name: "lab".parse().unwrap(),
        network: "10.99.0.0/24".parse().unwrap(),
        server: None,
        example_server: ip(2),
        router: None,
        dns: Vec::new(),
        ntp: Vec::new(),
        domain: None,
        lease_time: Duration::from_secs(3_600),
        nat: Vec::new(),
        dns_search: Vec::new(),
        mode: Mode::Authoritative,
        unknown: Unknown::Ignore,
        pool: None,
        options: Vec::new(),
        secure_boot: None,
        span: None,
    };
    let hosts = hosts
        .iter()
        .map(|(name, n)| {
            let mut host = Host::new(host(name), 0);
            host.macs = mac(*n).into();
            host.ip = Some(ip(*n));
            host.profile = Some(profile.parse().unwrap());
            host
        })
        .collect();
    Snapshot::new(
        Server::default(),
        vec![subnet],
        hosts,
        Vec::new(),
        std::collections::BTreeMap::new(),
    )
}

impl Bench {
    fn new() -> Self {
        let (store, switches) = AnyStore::broken();
        let journal = Journal::in_memory();
        let clock = Arc::new(TestClock::new(Timestamp::from_secs(1_800_000_000)));
        Self {
            installs: Installs::new(
                Arc::new(store),
                journal.clone(),
                Arc::clone(&clock) as Arc<dyn Clock>,
            ),
            journal,
            clock,
            switches,
            snapshot: snapshot("debian-12", &[("web01", 11), ("web02", 12)]),
        }
    }

    fn install(&self, n: u8) -> Input {
        Input::Install {
            with: Armament {
                profile: "debian-12".parse().unwrap(),
                file_profile: "debian-12".parse().ok(),
                macs: vec![mac(n)],
                ip: Some(ip(n)),
                token: Token::from_bytes([n; 16]),
                armed_for: self.snapshot.server.armed_for,
                after: None,
            },
            force: false,
            by: "kari".to_owned(),
        }
    }

    async fn apply(&self, name: &str, input: &Input) -> Result<Applied, ApplyError> {
        self.installs
            .apply(&self.snapshot, &host(name), input, &Context::default())
            .await
    }

    async fn state(&self, name: &str) -> InstallState {
        self.installs
            .known(&self.snapshot, &host(name))
            .await
            .unwrap()
            .map_or(InstallState::Local, |record| record.state)
    }

    async fn kinds(&self) -> Vec<Kind> {
        let events = self.journal.query(&Filter::default()).await;
        events.iter().map(|event| event.kind).collect()
    }
}

const SCRIPT: Input = Input::Script {
    further_boot: false,
};

fn report(kind: ReportKind) -> Input {
    Input::Report {
        kind,
        message: None,
        percent: None,
    }
}

#[tokio::test]
async fn one_event_for_each_change_and_none_without() {
    let bench = Bench::new();
    assert!(
        bench
            .installs
            .known(&bench.snapshot, &host("web01"))
            .await
            .unwrap()
            .is_none()
    );
    let same = bench.apply("web01", &SCRIPT).await.unwrap();
    assert!(matches!(same, Applied::Same(_, Reason::NoChange)));
    for input in [
        bench.install(11),
        SCRIPT,
        SCRIPT,
        Input::Answer,
        Input::Answer,
        report(ReportKind::Installed),
        report(ReportKind::Installed),
        report(ReportKind::Up),
    ] {
        bench.apply("web01", &input).await.unwrap();
    }
    assert_eq!(
        bench.kinds().await,
        [
            Kind::InstallArmed,
            Kind::InstallBooting,
            Kind::InstallStarted,
            Kind::InstallInstalled,
            Kind::InstallUp
        ]
    );
    let events = bench.journal.query(&Filter::default()).await;
    assert_eq!(events[1].detail.as_deref(), Some("attempt 1 of 3"));
    assert_eq!(events[1].mac, Some(mac(11)));
    assert_eq!(bench.state("web01").await, InstallState::Installed);
    let by_token = bench
        .installs
        .by_token(&bench.snapshot, &Token::from_bytes([11; 16]))
        .await;
    assert_eq!(by_token.unwrap().unwrap().host, host("web01"));
}

#[tokio::test]
async fn a_stall_is_told_once_and_a_late_report_makes_it_good() {
    let bench = Bench::new();
    for input in [bench.install(11), SCRIPT, Input::Answer] {
        bench.apply("web01", &input).await.unwrap();
    }
    bench.clock.advance(Duration::from_secs(3_000));
    for _ in 0..3 {
        assert_eq!(bench.state("web01").await, InstallState::Failed);
    }
    bench.installs.judge_all(&bench.snapshot).await.unwrap();
    let kinds = bench.kinds().await;
    assert_eq!(
        kinds
            .iter()
            .filter(|kind| **kind == Kind::InstallStalled)
            .count(),
        1
    );

    let bench = Bench::new();
    for input in [bench.install(11), SCRIPT, Input::Answer] {
        bench.apply("web01", &input).await.unwrap();
    }
    bench.clock.advance(Duration::from_secs(3_000));
    bench
        .apply("web01", &report(ReportKind::Installed))
        .await
        .unwrap();
    assert_eq!(
        bench.kinds().await[3..],
        [Kind::InstallStalled, Kind::InstallInstalled]
    );
}

#[tokio::test]
async fn a_lapsed_token_opens_nothing() {
    let bench = Bench::new();
    bench.apply("web01", &bench.install(11)).await.unwrap();
    let token = Token::from_bytes([11; 16]);
    let found = bench
        .installs
        .by_token(&bench.snapshot, &token)
        .await
        .unwrap();
    assert_eq!(found.unwrap().state, InstallState::Armed);
    bench.clock.advance(Duration::from_secs(86_401));
    assert_eq!(
        bench
            .installs
            .by_token(&bench.snapshot, &token)
            .await
            .unwrap(),
        None
    );
    assert_eq!(
        bench.kinds().await,
        [Kind::InstallArmed, Kind::InstallLapsed]
    );
}

#[tokio::test]
async fn what_comes_under_an_old_token_does_not_touch_a_new_arming() {
    let bench = Bench::new();
    let (old, new) = (Token::from_bytes([11; 16]), Token::from_bytes([12; 16]));
    bench.apply("web01", &bench.install(11)).await.unwrap();
    bench.apply("web01", &SCRIPT).await.unwrap();
    let local = Input::Local {
        force: true,
        by: "kari".to_owned(),
    };
    bench.apply("web01", &local).await.unwrap();
    bench.apply("web01", &bench.install(12)).await.unwrap();
    bench.apply("web01", &SCRIPT).await.unwrap();
    let before = bench.kinds().await;
    let under = async |token: &Token, input: &Input| {
        let host = host("web01");
        let make = |_: &Record| input.clone();
        let about = Context::default();
        let applied = bench
            .installs
            .apply_under(&bench.snapshot, token, &host, make, &about);
        applied.await.unwrap()
    };
    for input in [
        report(ReportKind::Installed),
        report(ReportKind::Up),
        Input::Answer,
        Input::Asset { kernel: true },
        Input::Script { further_boot: true },
    ] {
        let applied = under(&old, &input).await;
        assert!(
            matches!(&applied, Applied::Same(_, Reason::VoidToken)),
            "{input:?}: {applied:?}"
        );
    }
    assert_eq!(bench.state("web01").await, InstallState::Booting);
    assert_eq!(bench.kinds().await, before);
    let applied = under(&new, &Input::Answer).await;
    assert_eq!(applied.record().state, InstallState::Installing);
}

#[tokio::test]
async fn a_conflict_is_tried_again_and_told_once() {
    let bench = Bench::new();
    bench.switches.conflict(5);
    bench.apply("web01", &bench.install(11)).await.unwrap();
    assert_eq!(bench.kinds().await, [Kind::InstallArmed]);
}

#[tokio::test]
async fn without_a_store_nothing_changes_and_it_is_told_now_and_then() {
    let bench = Bench::new();
    bench.apply("web01", &bench.install(11)).await.unwrap();
    bench.switches.fail_commits(true);
    for _ in 0..20 {
        assert!(matches!(
            bench.apply("web01", &SCRIPT).await,
            Err(ApplyError::Store(_))
        ));
    }
    assert_eq!(bench.state("web01").await, InstallState::Armed);
    assert_eq!(
        bench.kinds().await,
        [Kind::InstallArmed, Kind::ServerTrouble]
    );
    bench.clock.advance(Duration::from_secs(31));
    assert!(bench.apply("web01", &SCRIPT).await.is_err());
    assert_eq!(bench.kinds().await.len(), 3);

    // What time has changed is seen although it cannot be stored, and told once it can.
    bench.clock.advance(Duration::from_secs(90_000));
    assert_eq!(bench.state("web01").await, InstallState::Local);
    assert!(!bench.kinds().await.contains(&Kind::InstallLapsed));
    bench.switches.fail_commits(false);
    assert_eq!(bench.state("web01").await, InstallState::Local);
    assert_eq!(bench.kinds().await.last(), Some(&Kind::InstallLapsed));

    bench.switches.fail_reads(true);
    assert!(
        bench
            .installs
            .known(&bench.snapshot, &host("web01"))
            .await
            .is_err()
    );
    assert!(bench.installs.all(&bench.snapshot).await.is_err());
    assert!(bench.installs.reload(&bench.snapshot).await.is_err());
}

#[tokio::test]
async fn several_hosts_are_armed_together_or_not_at_all() {
    let bench = Bench::new();
    for input in [bench.install(12), SCRIPT] {
        bench.apply("web02", &input).await.unwrap();
    }
    let both = [
        (host("web01"), bench.install(11)),
        (host("web02"), bench.install(12)),
    ];
    let refused = bench
        .installs
        .apply_all(&bench.snapshot, &both, &Context::default())
        .await;
    assert!(matches!(
        refused,
        Err(ApplyError::Refused(Refusal::UnderWay { .. }))
    ));
    assert_eq!(bench.state("web01").await, InstallState::Local);
    assert_eq!(
        bench.kinds().await,
        [Kind::InstallArmed, Kind::InstallBooting]
    );

    // The refusal stands beside what time has changed meanwhile, which is stored and told.
    bench.apply("web01", &bench.install(11)).await.unwrap();
    bench.clock.advance(Duration::from_secs(2_000));
    bench
        .apply("web02", &report(ReportKind::Progress))
        .await
        .unwrap();
    bench.clock.advance(Duration::from_secs(85_000));
    bench.apply("web02", &Input::Look).await.unwrap();
    let refused = bench
        .installs
        .apply_all(
            &bench.snapshot,
            &[
                (
                    host("web01"),
                    Input::Cancel {
                        force: false,
                        by: "kari".to_owned(),
                    },
                ),
                (host("web02"), bench.install(12)),
            ],
            &Context::default(),
        )
        .await;
    assert!(matches!(
        refused,
        Err(ApplyError::Refused(Refusal::NothingToCancel { .. }))
    ));
    let kinds = bench.kinds().await;
    assert_eq!(kinds.last(), Some(&Kind::InstallLapsed));
    assert_eq!(bench.state("web02").await, InstallState::Failed);

    let applied = bench
        .installs
        .apply_all(
            &bench.snapshot,
            &[
                (host("web01"), bench.install(11)),
                (host("web02"), bench.install(12)),
            ],
            &Context::default(),
        )
        .await
        .unwrap();
    assert_eq!(applied.len(), 2);
    assert!(
        applied
            .iter()
            .all(|applied| applied.record().state == InstallState::Armed)
    );
}

#[tokio::test]
async fn a_reload_disarms_what_no_longer_fits_and_arms_nothing() {
    let mut bench = Bench::new();
    bench.apply("web01", &bench.install(11)).await.unwrap();
    bench.apply("web02", &bench.install(12)).await.unwrap();
    bench.installs.reload(&bench.snapshot).await.unwrap();
    assert_eq!(bench.kinds().await.len(), 2, "nothing has changed");

    bench.snapshot = snapshot("debian-12", &[("web01", 11), ("web03", 13)]);
    bench.snapshot.generation = 2;
    bench.installs.reload(&bench.snapshot).await.unwrap();
    assert_eq!(bench.state("web01").await, InstallState::Armed);
    assert_eq!(bench.state("web02").await, InstallState::Local);
    assert_eq!(bench.state("web03").await, InstallState::Local);
    let events = bench.journal.query(&Filter::default()).await;
    assert_eq!(events.len(), 3);
    assert_eq!(
        (events[2].kind, events[2].reason),
        (Kind::InstallCancelled, Reason::NoLongerFits)
    );
    assert_eq!(events[2].generation, 2);

    // What a reload could not store is made good by the timer.
    bench.snapshot = snapshot("rocky-9", &[("web01", 11)]);
    bench.switches.fail_commits(true);
    assert!(bench.installs.reload(&bench.snapshot).await.is_err());
    bench.switches.fail_commits(false);
    assert_eq!(bench.state("web01").await, InstallState::Armed);
    bench.installs.judge_all(&bench.snapshot).await.unwrap();
    assert_eq!(bench.state("web01").await, InstallState::Local);
    bench.snapshot = snapshot("debian-12", &[("web01", 11), ("web02", 12)]);
    bench.installs.reload(&bench.snapshot).await.unwrap();
    for name in ["web01", "web02"] {
        assert_eq!(bench.state(name).await, InstallState::Local);
    }
    assert_eq!(
        bench.installs.all(&bench.snapshot).await.unwrap().len(),
        2,
        "kept in mind"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn of_many_that_ask_at_once_one_begins_the_boot() {
    let bench = Arc::new(Bench::new());
    bench.apply("web01", &bench.install(11)).await.unwrap();
    let mut tasks = tokio::task::JoinSet::new();
    for _ in 0..50 {
        let bench = Arc::clone(&bench);
        tasks.spawn(async move {
            matches!(
                bench.apply("web01", &SCRIPT).await.unwrap(),
                Applied::Changed(_)
            )
        });
    }
    let changed = tasks
        .join_all()
        .await
        .into_iter()
        .filter(|changed| *changed)
        .count();
    assert_eq!(changed, 1);
    let record = bench
        .installs
        .known(&bench.snapshot, &host("web01"))
        .await
        .unwrap()
        .unwrap();
    assert_eq!(record.attempt, 1);
}

impl Bench {
    fn install_after(&self, n: u8, after: &str, event: AfterEvent) -> Input {
        let Input::Install { with, force, by } = self.install(n) else {
            panic!("no order");
        };
        let after = Some(After {
            host: host(after),
            event,
        });
        Input::Install {
            with: Armament { after, ..with },
            force,
            by,
        }
    }

    async fn play(&self, name: &str, inputs: &[Input]) {
        for input in inputs {
            self.apply(name, input).await.unwrap();
        }
    }
}

#[tokio::test]
async fn a_host_is_armed_by_the_event_it_waits_for_in_the_same_change() {
    let bench = Bench::new();
    let (hv, guest) = ("web01", "web02");
    let order = [
        (host(guest), bench.install_after(12, hv, AfterEvent::Up)),
        (host(hv), bench.install(11)),
    ];
    let context = Context::default();
    bench
        .installs
        .apply_all(&bench.snapshot, &order, &context)
        .await
        .unwrap();
    bench
        .play(hv, &[SCRIPT, Input::Answer, report(ReportKind::Installed)])
        .await;
    assert_eq!(bench.state(guest).await, InstallState::Waiting);
    // What cannot be recorded has not come.
    bench.switches.fail_commits(true);
    assert!(bench.apply(hv, &report(ReportKind::Up)).await.is_err());
    bench.switches.fail_commits(false);
    assert_eq!(bench.state(guest).await, InstallState::Waiting);
    bench.play(hv, &[report(ReportKind::Up)]).await;
    assert_eq!(bench.state(guest).await, InstallState::Armed);
    let kinds = bench.kinds().await;
    assert_eq!(
        kinds[kinds.len() - 2..],
        [Kind::InstallUp, Kind::InstallArmed]
    );
}

#[tokio::test]
async fn what_has_come_already_is_not_waited_for() {
    let bench = Bench::new();
    bench
        .play(
            "web01",
            &[bench.install(11), SCRIPT, report(ReportKind::Up)],
        )
        .await;
    let waiting = bench.install_after(12, "web01", AfterEvent::Up);
    let applied = bench.apply("web02", &waiting).await.unwrap();
    assert_eq!(applied.record().state, InstallState::Armed);
    // Unless the same order begins the other one anew.
    let order = [
        (host("web02"), waiting.clone()),
        (host("web01"), bench.install(11)),
    ];
    let context = Context::default();
    bench
        .installs
        .apply_all(&bench.snapshot, &order, &context)
        .await
        .unwrap();
    assert_eq!(bench.state("web02").await, InstallState::Waiting);
}

#[tokio::test]
async fn silence_is_an_event_to_wait_for_too() {
    let bench = Bench::new();
    let waiting = bench.install_after(12, "web01", AfterEvent::Failed);
    bench.play("web01", &[bench.install(11), SCRIPT]).await;
    bench.play("web02", &[waiting]).await;
    bench.clock.advance(Duration::from_secs(2_701));
    assert_eq!(bench.state("web02").await, InstallState::Waiting);
    bench.installs.judge_all(&bench.snapshot).await.unwrap();
    assert_eq!(bench.state("web01").await, InstallState::Failed);
    assert_eq!(bench.state("web02").await, InstallState::Armed);
}

#[tokio::test]
async fn an_order_that_no_longer_fits_is_not_released() {
    let mut bench = Bench::new();
    bench
        .play(
            "web02",
            &[bench.install_after(12, "web01", AfterEvent::Installed)],
        )
        .await;
    bench
        .play("web01", &[bench.install(11), SCRIPT, Input::Answer])
        .await;
    bench.snapshot = snapshot("debian-12", &[("web01", 11), ("web02", 99)]);
    bench.play("web01", &[report(ReportKind::Installed)]).await;
    assert_eq!(bench.state("web02").await, InstallState::Local);
    assert_eq!(bench.kinds().await.last(), Some(&Kind::InstallCancelled));
}

#[tokio::test]
async fn a_host_is_new_once() {
    let bench = Bench::new();
    let remember = async |hosts: &[(&str, u8)]| {
        bench
            .installs
            .remember(&snapshot("debian-12", hosts))
            .await
            .map(|hosts| hosts.iter().map(ToString::to_string).collect::<Vec<_>>())
    };
    assert_eq!(
        remember(&[("web01", 11), ("web02", 12)]).await.unwrap(),
        ["web01", "web02"]
    );
    // Under another name, at another machine, or come back: nothing of it may be known.
    for known in [("web01", 99), ("web03", 12), ("web02", 12), ("web04", 99)] {
        assert_eq!(
            remember(&[known]).await.unwrap(),
            Vec::<String>::new(),
            "{known:?}"
        );
    }
    assert_eq!(remember(&[("web05", 55)]).await.unwrap(), ["web05"]);
    bench.switches.fail_commits(true);
    assert!(remember(&[("web06", 66)]).await.is_err());
    bench.switches.fail_commits(false);
    bench.switches.fail_reads(true);
    assert!(remember(&[("web06", 66)]).await.is_err());
}

fn profile(lifecycle: Lifecycle, boot: Boot) -> Profile {
    Profile {
        name: "debian-12".parse().unwrap(),
        title: "A live system".to_owned(),
        family: "other".to_owned(),
        arch: Vec::new(),
        lifecycle,
        boot,
        answers: Vec::new(),
        stalled_after: None,
        variables: std::collections::BTreeMap::new(),
        vars: toml::Table::new(),
        options: Vec::new(),
        secure_boot: None,
        signed: None,
        fetch: None,
        span: None,
    }
}

/// The host is `local` again, and the tool that runs meanwhile still fetches its answers.
#[tokio::test]
async fn a_tool_gets_its_answers_after_its_kernel() {
    let mut bench = Bench::new();
    let text = |text: &str| TemplateText {
        text: text.to_owned(),
        span: None,
    };
    let mut tool = profile(
        Lifecycle::Once,
        Boot::Linux {
            kernel: text("tool/linux"),
            initrd: Vec::new(),
            cmdline: text("quiet").into(),
        },
    );
    tool.answers = vec![Answer {
        name: "answers".to_owned(),
        template: "answers.j2".to_owned(),
        content_type: "text/plain".to_owned(),
        span: None,
    }];
    let with = |bench: &mut Bench, profile: &Profile| {
        bench.snapshot = Snapshot::new(
            Server::default(),
            bench.snapshot.subnets.clone(),
            bench
                .snapshot
                .hosts()
                .iter()
                .map(|host| (**host).clone())
                .collect(),
            vec![profile.clone()],
            std::collections::BTreeMap::new(),
        );
    };
    with(&mut bench, &tool);
    let token = Token::from_bytes([11; 16]);
    async fn opens(bench: &Bench, token: &Token) -> Option<InstallState> {
        let found = bench.installs.by_token(&bench.snapshot, token).await;
        found.unwrap().map(|record| record.state)
    }
    async fn under(bench: &Bench, token: &Token, input: Input) -> bool {
        let input = |_: &Record| input.clone();
        let applied = bench
            .installs
            .apply_under(
                &bench.snapshot,
                token,
                &host("web01"),
                input,
                &Context::default(),
            )
            .await;
        matches!(applied, Ok(Applied::Changed(_)))
    }
    let boot = async |bench: &Bench| {
        bench.apply("web01", &bench.install(11)).await.unwrap();
        bench.apply("web01", &SCRIPT).await.unwrap();
        bench
            .apply("web01", &Input::Asset { kernel: true })
            .await
            .unwrap();
        assert_eq!(bench.state("web01").await, InstallState::Local);
    };
    boot(&bench).await;
    assert_eq!(opens(&bench, &token).await, Some(InstallState::Booting));
    assert!(under(&bench, &token, Input::Answer).await);
    assert_eq!(opens(&bench, &token).await, Some(InstallState::Installing));
    // Nothing of that makes the host anything but local.
    assert_eq!(bench.state("web01").await, InstallState::Local);
    assert_eq!(opens(&bench, &Token::from_bytes([9; 16])).await, None);
    // Not for ever.
    bench.clock.advance(Duration::from_secs(86_401));
    assert_eq!(opens(&bench, &token).await, None);
    // Nor once something else is asked for.
    boot(&bench).await;
    assert!(opens(&bench, &token).await.is_some());
    bench.apply("web01", &bench.install(12)).await.unwrap();
    assert_eq!(opens(&bench, &token).await, None);
    // An order that takes the tool back leaves nothing behind, and a tool without answers has none to give.
    bench.apply("web01", &SCRIPT).await.unwrap();
    let cancel = Input::Cancel {
        force: true,
        by: "kari".to_owned(),
    };
    bench.apply("web01", &cancel).await.unwrap();
    assert_eq!(opens(&bench, &Token::from_bytes([12; 16])).await, None);
    tool.answers.clear();
    with(&mut bench, &tool);
    boot(&bench).await;
    assert_eq!(opens(&bench, &token).await, None);
}

#[tokio::test]
async fn a_live_system_leaves_nothing_in_the_store() {
    let mut bench = Bench::new();
    let profile = profile(
        Lifecycle::Live,
        Boot::Script {
            template: "live.ipxe".to_owned(),
        },
    );
    let hosts = bench.snapshot.hosts().iter().map(|host| {
        let mut host = (**host).clone();
        host.install = crate::config::snapshot::InstallPolicy::Always;
        host
    });
    bench.snapshot = Snapshot::new(
        Server::default(),
        bench.snapshot.subnets.clone(),
        hosts.collect(),
        vec![profile],
        std::collections::BTreeMap::new(),
    );
    let live = Arc::clone(bench.snapshot.host(&host("web01")).unwrap());
    let (first, second) = (Token::from_bytes([1; 16]), Token::from_bytes([2; 16]));
    bench.installs.begin_live(&live, first.clone());
    // Nothing of it needs the store.
    bench.switches.fail_commits(true);
    bench.switches.fail_reads(true);
    let found = async |token: &Token| {
        let found = bench.installs.by_token(&bench.snapshot, token).await;
        found.ok().flatten().map(|record| record.state)
    };
    let apply = async |token: &Token, input: &Input| {
        let input = |_: &Record| input.clone();
        let (name, about) = (host("web01"), Context::default());
        bench
            .installs
            .apply_under(&bench.snapshot, token, &name, input, &about)
            .await
            .map(|applied| matches!(applied, Applied::Changed(_)))
    };
    assert_eq!(found(&first).await, Some(InstallState::Booting));
    assert!(apply(&first, &Input::Answer).await.unwrap());
    assert!(apply(&first, &report(ReportKind::Up)).await.unwrap());
    assert_eq!(found(&first).await, Some(InstallState::Installing));
    let secret = Input::Secret {
        name: "luks".to_owned(),
    };
    assert!(apply(&first, &secret).await.unwrap());
    assert!(!apply(&first, &secret).await.unwrap());
    bench.installs.begin_live(&live, second.clone());
    assert_eq!(found(&second).await, Some(InstallState::Booting));
    assert_eq!(found(&first).await, None);
    assert!(apply(&first, &Input::Answer).await.is_err());
    bench.switches.fail_reads(false);
    assert_eq!(found(&first).await, None);
    assert!(
        bench
            .installs
            .known(&bench.snapshot, &host("web01"))
            .await
            .unwrap()
            .is_none()
    );
    // A host that is no longer served this way has no such token any more.
    bench.snapshot = snapshot("debian-12", &[("web01", 11)]);
    let found = bench.installs.by_token(&bench.snapshot, &second).await;
    assert_eq!(found.unwrap(), None);
}

#[tokio::test]
async fn what_a_kill_kept_from_the_journal_is_told_at_the_next_start_and_once() {
    let bench = Bench::new();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("journal.redb");
    // The journal of the first run ends with something else; what follows is on disk in the records only.
    let (journal, _) = Journal::open(&path, 1 << 20);
    journal.append(Event::new(
        bench.clock.now(),
        Kind::ServerStarted,
        Reason::Done,
    ));
    drop(journal);
    for (name, n) in [("web01", 11), ("web02", 12)] {
        bench.apply(name, &bench.install(n)).await.unwrap();
        bench.clock.advance(Duration::from_secs(40));
    }
    let restart = async || {
        let (journal, _) = Journal::open(&path, 1 << 20);
        let installs = Installs {
            journal: journal.clone(),
            ..bench.installs.clone()
        };
        installs.make_up(&bench.snapshot).await.unwrap();
        journal.flush().await;
        let told = journal.query(&Filter::default()).await;
        let told = told
            .into_iter()
            .filter(|event| event.kind == Kind::InstallArmed);
        told.map(|event| event.host.unwrap().to_string())
            .collect::<Vec<_>>()
    };
    assert_eq!(restart().await, ["web01", "web02"]);
    assert_eq!(restart().await, ["web01", "web02"], "nothing is told twice");
}
