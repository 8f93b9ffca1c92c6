//! Each row of the table, in each state.

use std::net::Ipv4Addr;

use super::*;
use crate::base::{After, AfterEvent, HostName, Token};
use crate::record::reached;
use InstallState::{Armed, Booting, Failed, Installed, Installing, Local};

const START: i64 = 1_800_000_000;
const POLICY: Policy = Policy {
    max_attempts: 3,
    stalled_after: Duration::from_secs(2_700),
    lifecycle: Lifecycle::Install,
    kernel_is_known: true,
};
const STATES: [InstallState; 7] = [
    Local,
    InstallState::Waiting,
    Armed,
    Booting,
    Installing,
    Installed,
    Failed,
];

fn at(secs: i64) -> Timestamp {
    Timestamp::from_secs(START + secs)
}

fn mac() -> HardwareAddr {
    HardwareAddr::ethernet([0x52, 0x54, 0, 0x47, 0x86, 0x8e])
}

fn ip() -> Ipv4Addr {
    Ipv4Addr::new(10, 99, 0, 11)
}

fn profile(name: &str) -> ProfileName {
    name.parse().unwrap()
}

fn install(force: bool) -> Input {
    Input::Install {
        with: Armament {
            profile: profile("debian-12"),
            file_profile: Some(profile("debian-12")),
            macs: vec![mac()],
            ip: Some(ip()),
            token: Token::from_bytes([9; 16]),
            armed_for: Duration::from_secs(86_400),
            after: None,
        },
        force,
        by: "kari".to_owned(),
    }
}

fn install_after() -> Input {
    let Input::Install { with, force, by } = install(false) else {
        panic!("no order");
    };
    let after = Some(After {
        host: "hv".parse().unwrap(),
        event: AfterEvent::Up,
    });
    Input::Install {
        with: Armament { after, ..with },
        force,
        by,
    }
}

fn report(kind: ReportKind) -> Input {
    Input::Report {
        kind,
        message: None,
        percent: None,
    }
}

fn said(kind: ReportKind, message: &str) -> Input {
    Input::Report {
        kind,
        message: Some(message.to_owned()),
        percent: Some(40),
    }
}

const FIRST: Input = Input::Script {
    further_boot: false,
};
const FURTHER: Input = Input::Script { further_boot: true };
const KERNEL: Input = Input::Asset { kernel: true };

fn cancel(force: bool) -> Input {
    Input::Cancel {
        force,
        by: "kari".to_owned(),
    }
}

fn to_local(force: bool) -> Input {
    Input::Local {
        force,
        by: "kari".to_owned(),
    }
}

fn fresh() -> Record {
    Record::new("web01".parse::<HostName>().unwrap())
}

#[track_caller]
fn changed(record: &Record, input: &Input, now: Timestamp) -> Transition {
    match step(record, input, POLICY, now) {
        Step::Change(transition) => *transition,
        other => panic!("{input:?} in {}: {other:?}", record.state),
    }
}

#[track_caller]
fn play(record: Record, inputs: &[Input], now: Timestamp) -> Record {
    inputs
        .iter()
        .fold(record, |record, input| changed(&record, input, now).next)
}

/// A record in this state, as it comes about.
fn in_state(state: InstallState) -> Record {
    let armed = || play(fresh(), &[install(false)], at(0));
    match state {
        Local => fresh(),
        InstallState::Waiting => play(fresh(), &[install_after()], at(0)),
        Armed => armed(),
        Booting => play(armed(), &[FIRST], at(0)),
        Installing => play(armed(), &[FIRST, Input::Answer], at(0)),
        Installed => play(
            armed(),
            &[FIRST, Input::Answer, report(ReportKind::Installed)],
            at(0),
        ),
        Failed => play(
            armed(),
            &[FIRST, Input::Answer, said(ReportKind::Failed, "no disk")],
            at(0),
        ),
    }
}

/// A state and the event that leads to it.
type Outcome = (InstallState, Option<(Kind, Reason)>);

/// What an input does in every state: the state it leads to and the event, `None` where it changes
/// nothing, in the order of [`STATES`].
#[track_caller]
fn row(input: &Input, expected: [Option<Outcome>; 7]) {
    for (state, expected) in STATES.into_iter().zip(expected) {
        let record = in_state(state);
        let got = match step(&record, input, POLICY, at(60)) {
            Step::Change(transition) => {
                assert!(
                    transition.event.is_none() || describe(&record, &transition, POLICY).is_some(),
                    "{input:?} in {state} has no sentence"
                );
                if transition.next.state != state {
                    assert_eq!(
                        transition.next.changed_at,
                        Some(at(60)),
                        "{input:?} in {state}"
                    );
                }
                Some((transition.next.state, transition.event))
            }
            Step::Same(_) | Step::Refused(_) => None,
        };
        assert_eq!(got, expected, "{input:?} in {state}");
    }
}

#[test]
fn install_arms_and_only_force_interrupts() {
    let armed = Some((Armed, Some((Kind::InstallArmed, Reason::Operator))));
    row(
        &install(false),
        [armed, armed, armed, None, None, armed, armed],
    );
    row(&install(true), [armed; 7]);
    for state in [Booting, Installing] {
        let refused = step(&in_state(state), &install(false), POLICY, at(1));
        let Step::Refused(refusal) = refused else {
            panic!("{refused:?}")
        };
        assert_eq!(refusal.to_string(), format!("web01 is {state} (attempt 1)"));
    }
    let before = in_state(Failed);
    let after = changed(&before, &install(false), at(60)).next;
    assert_eq!(after.attempt, 0);
    assert_eq!(after.armed_at, Some(at(60)));
    assert_eq!(
        (
            after.script_at,
            after.failed_at,
            after.message,
            after.started_at
        ),
        (None, None, None, None)
    );
}

#[test]
fn a_script_begins_the_boot_and_only_a_further_boot_counts() {
    let first = Some((Booting, Some((Kind::InstallBooting, Reason::ScriptServed))));
    let again = Some((Kind::InstallBooting, Reason::FurtherBoot));
    row(&FIRST, [None, None, first, None, None, None, None]);
    row(
        &FURTHER,
        [
            None,
            None,
            first,
            Some((Booting, again)),
            Some((Installing, again)),
            None,
            None,
        ],
    );
    let booting = in_state(Booting);
    assert_eq!(booting.attempt, 1);
    assert_eq!(
        step(&booting, &FIRST, POLICY, at(1)),
        Step::Same(Reason::SameBoot)
    );
    let with_kernel = play(booting, &[KERNEL], at(10));
    assert_eq!(with_kernel.kernel_at, Some(at(10)));
    let second = changed(&with_kernel, &FURTHER, at(60)).next;
    assert_eq!(
        (second.attempt, second.kernel_at, second.script_at),
        (2, None, Some(at(60)))
    );
    assert_eq!(
        second.token,
        in_state(Armed).token,
        "one token for all attempts"
    );
    let third = changed(&second, &FURTHER, at(120)).next;
    let over = changed(&third, &FURTHER, at(180));
    assert_eq!(over.next.state, Failed);
    assert_eq!(
        over.event,
        Some((Kind::InstallFailed, Reason::AttemptsUsed))
    );
    assert!(
        over.next
            .message
            .as_ref()
            .unwrap()
            .starts_with("3 of 3 attempts used")
    );
    assert_eq!(
        step(&over.next, &FURTHER, POLICY, at(200)),
        Step::Same(Reason::NoChange)
    );
}

#[test]
fn an_answer_or_started_makes_it_installing() {
    let by = |reason| Some((Installing, Some((Kind::InstallStarted, reason))));
    row(
        &Input::Answer,
        [
            None,
            None,
            None,
            by(Reason::AnswerServed),
            Some((Installing, None)),
            None,
            None,
        ],
    );
    let ignored = Some((Installing, Some((Kind::ReportIgnored, Reason::SignOfLife))));
    row(
        &report(ReportKind::Started),
        [None, None, None, by(Reason::Reported), ignored, None, None],
    );
    assert_eq!(
        changed(&in_state(Installing), &Input::Answer, at(9))
            .next
            .seen_at,
        Some(at(9))
    );
}

#[test]
fn installed_and_up_make_good_what_was_taken_for_failed() {
    let installed = Some((Installed, Some((Kind::InstallInstalled, Reason::Reported))));
    let up = Some((Installed, Some((Kind::InstallUp, Reason::Reported))));
    row(
        &report(ReportKind::Installed),
        [None, None, None, installed, installed, None, installed],
    );
    row(&report(ReportKind::Up), [None, None, None, up, up, up, up]);
    let was_failed = changed(&in_state(Failed), &report(ReportKind::Installed), at(60)).next;
    assert_eq!((was_failed.failed_at, was_failed.message), (None, None));
    let started = changed(&in_state(Installed), &report(ReportKind::Up), at(60)).next;
    assert_eq!(
        (started.installed_at, started.up_at),
        (Some(at(0)), Some(at(60)))
    );
    assert_eq!(
        step(&started, &report(ReportKind::Up), POLICY, at(61)),
        Step::Same(Reason::NoChange)
    );
    assert!(started.token.is_some(), "reports and logs stay open");
}

#[test]
fn a_failure_counts_once_the_installer_runs() {
    let failed = Some((Failed, Some((Kind::InstallFailed, Reason::Reported))));
    let noted = Some((
        Booting,
        Some((Kind::InstallNote, Reason::FailedWhileBooting)),
    ));
    row(
        &report(ReportKind::Failed),
        [None, None, None, noted, failed, None, None],
    );
    let record = changed(
        &in_state(Booting),
        &said(ReportKind::Failed, "no network"),
        at(5),
    )
    .next;
    assert_eq!(record.message.as_deref(), Some("no network"));
    let record = in_state(Failed);
    assert_eq!(record.message.as_deref(), Some("no disk"));
    assert!(record.token.is_some());
}

#[test]
fn progress_is_noted_while_it_lasts() {
    let event = Some((Kind::InstallProgress, Reason::Reported));
    row(
        &said(ReportKind::Progress, "partitioning"),
        [
            None,
            None,
            None,
            Some((Booting, event)),
            Some((Installing, event)),
            None,
            None,
        ],
    );
    let record = in_state(Installing);
    let transition = changed(&record, &said(ReportKind::Progress, " a\u{7}b\nc "), at(5));
    assert_eq!(transition.next.message.as_deref(), Some("ab\nc"));
    assert_eq!(transition.next.percent, Some(40));
    assert_eq!(
        describe(&record, &transition, POLICY).as_deref(),
        Some("attempt 1 of 3, 40 %: ab\nc")
    );
    let long = "x".repeat(1 << 20);
    let record = changed(&record, &said(ReportKind::Progress, &long), at(5)).next;
    assert_eq!(record.message.unwrap().len(), MAX_MESSAGE);
}

#[test]
fn boot_files_are_signs_of_life_and_the_kernel_is_remembered() {
    row(
        &KERNEL,
        [
            None,
            None,
            None,
            Some((Booting, None)),
            Some((Installing, None)),
            None,
            None,
        ],
    );
    let record = in_state(Booting);
    let asset = Input::Asset { kernel: false };
    assert_eq!(
        step(&record, &asset, POLICY, at(1)),
        Step::Same(Reason::SignOfLife)
    );
    let record = changed(&record, &KERNEL, at(1)).next;
    assert_eq!(
        (record.kernel_at, record.seen_at),
        (Some(at(1)), Some(at(1)))
    );
    let record = changed(&record, &asset, at(30)).next;
    assert_eq!(
        (record.kernel_at, record.seen_at),
        (Some(at(1)), Some(at(30)))
    );
}

#[test]
fn cancel_and_local_ask_once_the_kernel_was_fetched() {
    let back = Some((Local, Some((Kind::InstallCancelled, Reason::Operator))));
    row(&cancel(false), [None, back, back, back, None, None, None]);
    row(&to_local(false), [None, back, back, back, None, back, back]);
    for state in [Booting, Installing] {
        let record = play(in_state(state), &[KERNEL], at(10));
        for input in [cancel(false), to_local(false)] {
            assert!(matches!(
                step(&record, &input, POLICY, at(20)),
                Step::Refused(Refusal::UnderWay { .. })
            ));
        }
        for input in [cancel(true), to_local(true)] {
            let next = changed(&record, &input, at(20)).next;
            assert_eq!((next.state, next.token), (Local, None));
        }
    }
    // An installer that runs has its kernel, wherever that came from; a further boot begins without.
    for heard in [Input::Answer, report(ReportKind::Started)] {
        for before in [vec![], vec![Input::Answer, FURTHER]] {
            let booting = play(play(in_state(Armed), &[FIRST], at(1)), &before, at(5));
            assert_eq!(booting.kernel_at, None);
            assert!(changed(&booting, &cancel(false), at(6)).event.is_some());
            let running = play(booting, std::slice::from_ref(&heard), at(10));
            assert_eq!(running.kernel_at, Some(at(10)), "{heard:?}");
            assert!(matches!(
                step(&running, &cancel(false), POLICY, at(20)),
                Step::Refused(Refusal::UnderWay { .. })
            ));
        }
    }
    for state in [Local, Installed, Failed] {
        assert!(matches!(
            step(&in_state(state), &cancel(true), POLICY, at(1)),
            Step::Refused(Refusal::NothingToCancel { .. })
        ));
    }
    assert_eq!(in_state(Installed).state, Installed);
    let next = changed(&in_state(Installed), &to_local(false), at(1)).next;
    assert_eq!((next.state, next.token), (Local, None));
}

#[test]
fn silence_and_lapse_are_judged_at_every_input() {
    let armed = in_state(Armed);
    assert_eq!(
        step(&armed, &Input::Look, POLICY, at(86_400)),
        Step::Same(Reason::NoChange)
    );
    let lapsed = changed(&armed, &Input::Look, at(86_401));
    assert_eq!(lapsed.event, Some((Kind::InstallLapsed, Reason::Lapsed)));
    assert_eq!(
        (lapsed.next.state, lapsed.next.token.clone()),
        (Local, None)
    );
    assert_eq!(
        changed(&armed, &FIRST, at(86_401)),
        lapsed,
        "too late for a script"
    );

    for state in [Booting, Installing] {
        let record = in_state(state);
        assert_eq!(
            step(&record, &Input::Look, POLICY, at(2_699)),
            Step::Same(Reason::NoChange)
        );
        let stalled = changed(&record, &Input::Look, at(2_700));
        assert_eq!(stalled.event, Some((Kind::InstallStalled, Reason::Stalled)));
        assert_eq!(stalled.next.state, Failed);
        assert_eq!(
            stalled.next.message.as_deref(),
            Some("no sign of life for 45 min")
        );
        assert_eq!(
            changed(&record, &FURTHER, at(2_700)),
            stalled,
            "its disk is booted"
        );
        assert_eq!(changed(&record, &Input::Answer, at(2_700)), stalled);
        let late = changed(&record, &report(ReportKind::Installed), at(9_000)).next;
        assert_eq!((late.state, late.message), (Installed, None));
        assert_eq!(
            changed(&record, &install(false), at(9_000)).next.state,
            Armed
        );
    }
    let alive = play(in_state(Booting), &[KERNEL], at(2_000));
    assert_eq!(
        step(&alive, &Input::Look, POLICY, at(4_000)),
        Step::Same(Reason::NoChange)
    );
    row(&Input::Look, [None; 7]);
}

#[test]
fn a_clock_that_was_set_back_ends_nothing_and_lets_nothing_live_on() {
    let looked = |record: &Record, now| {
        let transition = changed(record, &Input::Look, now);
        assert_eq!(transition.event, None);
        assert_eq!(transition.next.state, record.state);
        transition.next
    };
    let same = |record: &Record, now| {
        assert_eq!(
            step(record, &Input::Look, POLICY, now),
            Step::Same(Reason::NoChange)
        );
    };
    let armed = looked(&in_state(Armed), at(-255_600));
    assert_eq!(armed.armed_until, Some(at(-255_600 + 86_400)));
    same(&armed, at(-255_600 + 86_400));
    let lapsed = changed(&armed, &Input::Look, at(-255_600 + 86_401));
    assert_eq!(lapsed.event, Some((Kind::InstallLapsed, Reason::Lapsed)));

    for state in [Booting, Installing] {
        let record = play(in_state(state), &[KERNEL], at(2_000));
        let record = looked(&record, at(-90_000));
        assert_eq!(record.seen_at, Some(at(-90_000)));
        same(&record, at(-90_000 + 2_699));
        let stalled = changed(&record, &Input::Look, at(-90_000 + 2_700));
        assert_eq!(stalled.event, Some((Kind::InstallStalled, Reason::Stalled)));
        // Nor does it spare a further boot its attempt.
        let again = changed(&record, &FURTHER, at(-89_000)).next;
        assert_eq!(again.attempt, 2);
    }

    // The token of one that has ended is not good for longer: its days are counted from now.
    let installed = looked(&in_state(Installed), at(-255_600));
    assert_eq!(installed.installed_at, Some(at(-255_600)));
    let failed = looked(&in_state(Failed), at(-255_600));
    assert_eq!(failed.failed_at, Some(at(-255_600)));
    for record in [installed, failed] {
        same(&record, at(-255_600));
    }
}

#[test]
fn a_reload_takes_back_what_no_longer_fits_and_nothing_else() {
    let fits = |macs: Vec<HardwareAddr>, ip: Option<Ipv4Addr>, name: Option<&str>| Input::Reload {
        macs,
        ip,
        profile: name.map(profile),
    };
    let other = HardwareAddr::ethernet([2, 0, 0, 0, 0, 9]);
    row(
        &fits(vec![other, mac()], Some(ip()), Some("debian-12")),
        [None; 7],
    );
    let back = Some((Local, Some((Kind::InstallCancelled, Reason::NoLongerFits))));
    for misfit in [
        fits(vec![other], Some(ip()), Some("debian-12")),
        fits(
            vec![mac()],
            Some(Ipv4Addr::new(10, 99, 0, 12)),
            Some("debian-12"),
        ),
        fits(vec![mac()], Some(ip()), Some("rocky-9")),
        fits(vec![mac()], Some(ip()), None),
    ] {
        row(&misfit, [None, back, back, None, None, None, None]);
        let record = in_state(Armed);
        let transition = changed(&record, &misfit, at(1));
        let text = describe(&record, &transition, POLICY).unwrap();
        assert!(text.contains("bootwright install web01"), "{text}");
        assert_eq!(transition.next.token, None);
    }
}

#[test]
fn events_have_sentences_with_the_attempt() {
    let armed = in_state(Armed);
    let transition = changed(&armed, &FIRST, at(1));
    assert_eq!(
        describe(&armed, &transition, POLICY).as_deref(),
        Some("attempt 1 of 3")
    );
    let before = fresh();
    let transition = changed(&before, &install(false), at(0));
    assert_eq!(
        describe(&before, &transition, POLICY).as_deref(),
        Some("armed with debian-12 by kari until 2027-01-16T08:00:00.000Z")
    );
    assert!(!format!("{transition:?}").contains(Token::from_bytes([9; 16]).reveal()));
}

#[test]
fn a_host_that_is_gone_starts_anew_when_it_comes_back() {
    let gone = Input::Reload {
        macs: vec![],
        ip: None,
        profile: None,
    };
    let cancelled = Some((Local, Some((Kind::InstallCancelled, Reason::NoLongerFits))));
    let noted = Some((Local, Some((Kind::InstallNote, Reason::NoLongerFits))));
    row(
        &gone,
        [
            None, cancelled, cancelled, cancelled, cancelled, noted, noted,
        ],
    );
    let record = changed(&in_state(Installed), &gone, at(1)).next;
    assert_eq!((record.attempt, record.installed_at), (0, None));
    assert_eq!(record.token, None);
    // Nor is it `up` for those that wait for it because an earlier machine of its name was.
    let up = play(
        in_state(Installed),
        &[report(ReportKind::Up), to_local(false)],
        at(2),
    );
    assert!(up.state == Local && reached(&up, AfterEvent::Up));
    let forgotten = changed(&up, &gone, at(3));
    assert_eq!(forgotten.event, None);
    assert!(!reached(&forgotten.next, AfterEvent::Up));
    assert_eq!(
        step(&forgotten.next, &gone, POLICY, at(4)),
        Step::Same(Reason::NoChange)
    );
}

#[test]
fn what_a_host_waits_for_arms_it_and_nothing_else_does() {
    let order = changed(&fresh(), &install_after(), at(0));
    assert_eq!(order.event, Some((Kind::InstallWaiting, Reason::Operator)));
    assert_eq!(
        describe(&fresh(), &order, POLICY).as_deref(),
        Some("with debian-12 after hv:up, asked for by kari")
    );
    // It waits for as long as it takes.
    let waiting = order.next;
    assert_eq!(
        step(&waiting, &Input::Look, POLICY, at(9_000_000)),
        Step::Same(Reason::NoChange)
    );
    row(
        &Input::Released,
        [
            None,
            Some((Armed, Some((Kind::InstallArmed, Reason::AfterCame)))),
            None,
            None,
            None,
            None,
            None,
        ],
    );
    // The arming holds from then on.
    let armed = changed(&waiting, &Input::Released, at(9_000_000)).next;
    assert_eq!(armed.armed_until, Some(at(9_000_000 + 86_400)));
    assert_eq!(armed.token, waiting.token);
}

#[test]
fn an_event_is_reached_by_the_last_arming_only() {
    let events = |record: &Record| {
        AfterEvent::ALL
            .into_iter()
            .filter(|event| reached(record, *event))
            .map(AfterEvent::as_str)
            .collect::<Vec<_>>()
            .join(" ")
    };
    assert_eq!(events(&in_state(Armed)), "");
    assert_eq!(events(&in_state(Booting)), "booting");
    assert_eq!(events(&in_state(Installing)), "booting started");
    assert_eq!(events(&in_state(Failed)), "booting started failed");
    let up = play(in_state(Installed), &[report(ReportKind::Up)], at(1));
    assert_eq!(events(&up), "booting started installed up");
    assert_eq!(events(&play(up, &[install(false)], at(2))), "");
}

#[test]
fn a_secret_is_given_once_in_each_attempt() {
    let secret = |name: &str| Input::Secret {
        name: name.to_owned(),
    };
    let served = |state| Some((state, Some((Kind::SecretServed, Reason::Done))));
    row(
        &secret("luks"),
        [
            None,
            None,
            served(Armed),
            served(Booting),
            served(Installing),
            None,
            None,
        ],
    );
    let given = play(
        in_state(Installing),
        &[secret("luks"), secret("root")],
        at(1),
    );
    assert_eq!(
        step(&given, &secret("luks"), POLICY, at(2)),
        Step::Same(Reason::SecretGiven)
    );
    let again = play(given, &[FURTHER, secret("luks")], at(3));
    assert_eq!(again.secrets, ["luks"]);
}

#[test]
fn a_tool_is_served_for_one_boot() {
    let policy = Policy {
        lifecycle: Lifecycle::Once,
        ..POLICY
    };
    let step_of = |record: &Record, input: &Input, policy| match step(record, input, policy, at(5))
    {
        Step::Change(transition) => *transition,
        other => panic!("{input:?}: {other:?}"),
    };
    let booting = step_of(&in_state(Armed), &FIRST, policy).next;
    let served = step_of(&booting, &KERNEL, policy);
    assert_eq!(served.next.state, Local);
    assert_eq!(
        served.event,
        Some((Kind::InstallLapsed, Reason::OnceServed))
    );
    assert!(describe(&booting, &served, policy).is_some());
    // Its kernel did not arrive: the next boot tries again.
    assert_eq!(step_of(&booting, &FURTHER, policy).next.attempt, 2);
    // Where the kernel cannot be known, the next boot is from the disk.
    let unknown = Policy {
        kernel_is_known: false,
        ..policy
    };
    assert_eq!(step_of(&booting, &FURTHER, unknown).next.state, Local);
}

#[test]
fn an_armed_live_system_is_served_until_its_arming_ends() {
    let policy = Policy {
        lifecycle: Lifecycle::Live,
        ..POLICY
    };
    let mut record = in_state(Armed);
    for boot in 1..=9 {
        let Step::Change(transition) = step(&record, &FURTHER, policy, at(boot * 3_000)) else {
            panic!("boot {boot} was not served");
        };
        record = transition.next;
        assert_eq!(i64::from(record.attempt), boot);
    }
    let Step::Change(up) = step(&record, &report(ReportKind::Up), policy, at(30_000)) else {
        panic!("up was ignored");
    };
    assert_eq!((up.next.state, up.next.up_at), (Booting, Some(at(30_000))));
    assert_eq!(up.event, Some((Kind::InstallUp, Reason::Live)));
    assert_eq!(
        step(&record, &report(ReportKind::Installed), policy, at(30_000)),
        Step::Same(Reason::Live)
    );
    let Step::Change(lapsed) = step(&record, &Input::Look, policy, at(86_401)) else {
        panic!("it is served for ever");
    };
    assert_eq!(lapsed.next.state, Local);
    assert_eq!(lapsed.event, Some((Kind::InstallLapsed, Reason::Lapsed)));
}
