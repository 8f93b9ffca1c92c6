//! `bootwright doctor`: whether this machine lets others boot from it. Looks at the machine, asks the running daemon
//! where there is one, and has [`crate::diagnose::doctor`] judge.

mod dhcp;
mod reach;

use std::io::Write;
use std::path::Path;
use std::sync::Arc;

use clap::ValueEnum;
use clap::builder::PossibleValue;
use serde::Serialize;

use super::busy::busy;
use super::client::Client;
use super::output::Format;
use super::runtime;
use crate::base::Transport;
use crate::base::suggest::nearest;
use crate::config::problem::{Problem, Severity};
use crate::config::source::DiskFiles;
use crate::diagnose::doctor::{Check, Daemon, Facts, Finding, Level, judge, services};
use crate::host::surroundings::{Wanted, look};
use crate::render::load::{self, InForce};
use crate::serve::admin::Status;
use crate::serve::admin::probe::Report;

/// Warnings about boot files and secrets that are told one by one.
const TOLD: usize = 5;

/// Width of the columns before the sentence.
const COLUMNS: [usize; 2] = [9, 12];

/// `doctor`.
#[derive(Debug, Clone, clap::Args)]
pub struct Doctor {
    /// Only look at this
    #[arg(value_name = "CHECK", value_enum)]
    pub check: Option<Check>,
    /// Only on this interface; may be given again
    #[arg(long = "interface", value_name = "INTERFACE")]
    pub interfaces: Vec<String>,
}

impl ValueEnum for Check {
    fn value_variants<'a>() -> &'a [Self] {
        &Self::ALL
    }

    fn to_possible_value(&self) -> Option<PossibleValue> {
        Some(PossibleValue::new(self.as_str()).help(match self {
            Self::Files => "the configuration and the boot files that it needs",
            Self::Privileges => "as whom the daemon runs, and what that account may read",
            Self::Interfaces => "links, addresses, bridges, sizes of packets",
            Self::Ports => "who holds the ports that machines ask",
            Self::Firewall => "rules that close them",
            Self::Disk => "room for records and journal",
            Self::Clock => "whether it is synchronised",
            Self::Answers => "whether the running daemon answers at its addresses",
            Self::Dhcp => "other DHCP servers, which the running daemon looks for",
        }))
    }
}

/// What a program is told.
#[derive(Debug, Serialize)]
struct Told<'a> {
    findings: &'a [Finding],
}

/// Looks, and shows what was found. Exit status 1 when something keeps machines from booting; of `doctor dhcp` also
/// when there was no search.
pub fn run(
    config: &Path,
    asked: &Doctor,
    format: Format,
    out: &mut dyn Write,
) -> anyhow::Result<u8> {
    if asked.check == Some(Check::Dhcp) {
        return dhcp::run(&Client::of(config)?, &asked.interfaces, format, out);
    }
    let working = busy("looking");
    let findings = runtime()?.block_on(found(config, asked));
    drop(working);
    let mut findings = findings?;
    if let Some(check) = asked.check {
        only(&mut findings, check);
    }
    findings.sort_by_key(|finding| finding.check);
    match format {
        Format::Json => {
            let told = Told {
                findings: &findings,
            };
            writeln!(out, "{}", serde_json::to_string_pretty(&told)?)?;
        }
        Format::Text => write!(out, "{}", shown(&findings))?,
    }
    let is_bad = findings.iter().any(|finding| finding.level == Level::Error);
    Ok(u8::from(is_bad))
}

/// Leaves what was asked for. That the configuration does not load is told whatever was asked: nothing else was looked
/// at then.
fn only(findings: &mut Vec<Finding>, check: Check) {
    let keeps_from_looking =
        |finding: &Finding| finding.check == Check::Files && finding.level == Level::Error;
    findings.retain(|finding| finding.check == check || keeps_from_looking(finding));
    if findings.is_empty() {
        findings.push(Finding::new(
            check,
            Level::Unseen,
            "nothing was found to look at",
            "see `bootwright doctor`",
        ));
    }
}

async fn found(config: &Path, asked: &Doctor) -> anyhow::Result<Vec<Finding>> {
    let loaded = load::load(&DiskFiles, config, 0);
    let mut findings = files(&loaded.problems);
    let Some(in_force) = loaded.config else {
        return Ok(findings);
    };
    let in_force = limited(in_force, &asked.interfaces)?;
    let snapshot = &in_force.snapshot;
    let client = Client::of(config)?;
    let daemon = daemon(&client).await;
    let services = services(snapshot);
    let ports: Vec<(Transport, u16)> = services
        .iter()
        .map(|service| (service.transport, service.port))
        .collect();
    let facts = look(Wanted {
        ports: &ports,
        user: snapshot.server.user.as_deref(),
        state_dir: &snapshot.server.state_dir,
        boot_assets: &snapshot.server.boot_assets,
        daemon,
    })
    .await?;
    findings.extend(judge(snapshot, &facts));
    let wants = |check| asked.check.is_none_or(|asked| asked == check);
    if !matches!(facts.daemon, Daemon::Runs(_)) {
        findings.extend(without_daemon(&facts.daemon));
        return Ok(findings);
    }
    if wants(Check::Answers) {
        findings.extend(reach::ask(snapshot, &served(&in_force, &facts)).await);
    }
    if wants(Check::Dhcp) {
        let report = dhcp::ask(&client, &asked.interfaces).await;
        findings.extend(searched(report));
    }
    Ok(findings)
}

/// What only a daemon that runs can tell.
fn without_daemon(daemon: &Daemon) -> [Finding; 2] {
    let (asked, remedy) = match daemon {
        Daemon::Unseen(_) => (
            "nothing can be asked of a daemon that cannot be seen",
            "run it with sudo",
        ),
        Daemon::Off | Daemon::Runs(_) => (
            "nothing can be asked of a daemon that does not run",
            "start it: bootwright serve",
        ),
    };
    let other = "other DHCP servers are looked for by the running daemon";
    [(Check::Answers, asked), (Check::Dhcp, other)]
        .map(|(check, what)| Finding::new(check, Level::Unseen, what, remedy))
}

/// What the search found; why there was none.
fn searched(report: anyhow::Result<Report>) -> Vec<Finding> {
    match report {
        Ok(report) if report.probed.is_empty() => vec![Finding::new(
            Check::Dhcp,
            Level::Unseen,
            "no interface was searched for other DHCP servers",
            "see `bootwright doctor interfaces`",
        )],
        Ok(report) => other_servers(&report),
        Err(error) => {
            let text = error.to_string();
            let why = text.lines().next().unwrap_or_default();
            vec![Finding::new(
                Check::Dhcp,
                Level::Unseen,
                format!("other DHCP servers were not looked for: {why}"),
                "see `bootwright doctor dhcp` and `bootwright events`",
            )]
        }
    }
}

/// The configuration with these interfaces only.
fn limited(in_force: Arc<InForce>, only: &[String]) -> anyhow::Result<InForce> {
    let mut in_force = Arc::unwrap_or_clone(in_force);
    let served = &mut in_force.snapshot.server.interfaces;
    if let Some(other) = only.iter().find(|name| !served.contains(name)) {
        let near = nearest(other, served.iter().map(String::as_str));
        anyhow::bail!(
            "{other} is not among [server] interfaces\n  {}",
            match near {
                Some(near) => format!("did you mean {near}?"),
                None => format!("they are {}", served.join(", ")),
            }
        );
    }
    if !only.is_empty() {
        served.retain(|name| only.contains(name));
    }
    Ok(in_force)
}

/// The addresses at which machines are served.
fn served(in_force: &InForce, facts: &Facts) -> Vec<std::net::Ipv4Addr> {
    let interfaces = &in_force.snapshot.server.interfaces;
    let links = facts.links.iter();
    links
        .filter(|link| interfaces.contains(&link.name))
        .flat_map(|link| link.addresses.iter().map(ipnet::Ipv4Net::addr))
        .collect()
}

async fn daemon(client: &Client) -> Daemon {
    let unseen = |error: &anyhow::Error| {
        let text = error.to_string();
        Daemon::Unseen(text.lines().next().unwrap_or_default().to_owned())
    };
    match client.is_there() {
        Ok(false) => Daemon::Off,
        Ok(true) => match client.get::<Status>("/status").await {
            Ok(status) => Daemon::Runs(status.pid),
            Err(error) => unseen(&error),
        },
        Err(error) => unseen(&error),
    }
}

/// What `check` says of what machines would be given.
fn files(problems: &[Problem]) -> Vec<Finding> {
    let errors = problems
        .iter()
        .filter(|problem| problem.severity == Severity::Error)
        .count();
    if errors > 0 {
        let what = match errors {
            1 => "the configuration has 1 error".to_owned(),
            many => format!("the configuration has {many} errors"),
        };
        return vec![Finding::new(
            Check::Files,
            Level::Error,
            what,
            "see `bootwright check`",
        )];
    }
    let missing: Vec<&Problem> = problems
        .iter()
        .filter(|problem| {
            matches!(
                problem.code,
                "boot-file-missing" | "boot-file-partial" | "secret-missing"
            )
        })
        .collect();
    if missing.is_empty() {
        let what = "the configuration has no errors, and the boot files that it names are there";
        return vec![Finding::ok(Check::Files, what)];
    }
    let mut findings: Vec<Finding> = missing
        .iter()
        .take(TOLD)
        .map(|problem| {
            let remedy = problem.help.as_deref().unwrap_or("see `bootwright check`");
            Finding::new(
                Check::Files,
                Level::Warning,
                problem.message.clone(),
                remedy,
            )
        })
        .collect();
    if let Some(more @ 1..) = missing.len().checked_sub(TOLD) {
        let what = format!("{more} more boot files or secrets are missing");
        findings.push(Finding::new(
            Check::Files,
            Level::Warning,
            what,
            "see `bootwright check`",
        ));
    }
    findings
}

fn other_servers(report: &Report) -> Vec<Finding> {
    let mut findings = Vec::new();
    for probed in &report.probed {
        let name = &probed.interface;
        if let Some(trouble) = &probed.trouble {
            let what = format!("{name} was not searched: {trouble}");
            findings.push(Finding::new(
                Check::Dhcp,
                Level::Unseen,
                what,
                "see `bootwright events`",
            ));
        } else if probed.servers.is_empty() {
            let what = format!("no other DHCP server answered on {name}");
            findings.push(Finding::ok(Check::Dhcp, what));
        }
        findings.extend(probed.servers.iter().map(|found| {
            let what = format!("{name}: {}", dhcp::server(found));
            if found.expected {
                Finding::ok(Check::Dhcp, what)
            } else {
                Finding::new(Check::Dhcp, Level::Error, what, dhcp::REMEDY)
            }
        }));
    }
    findings
}

fn shown(findings: &[Finding]) -> String {
    let [level, check] = COLUMNS;
    let mut lines = Vec::new();
    for finding in findings {
        let (how, what) = (finding.level.as_str(), finding.check.as_str());
        lines.push(format!("{how:level$}{what:check$}{}", finding.what));
        if let Some(remedy) = &finding.remedy {
            let indent = level + check + 2;
            lines.push(format!("{:indent$}{remedy}", ""));
        }
    }
    let count = |level| {
        findings
            .iter()
            .filter(|finding| finding.level == level)
            .count()
    };
    let some = |count: usize, one: &str, many: &str| match count {
        0 => None,
        1 => Some(format!("1 {one}")),
        more => Some(format!("{more} {many}")),
    };
    let told: Vec<String> = [
        some(count(Level::Error), "error", "errors"),
        some(count(Level::Warning), "warning", "warnings"),
        some(count(Level::Unseen), "thing not seen", "things not seen"),
    ]
    .into_iter()
    .flatten()
    .collect();
    lines.push(if told.is_empty() {
        "nothing is in the way".to_owned()
    } else {
        told.join(", ")
    });
    lines.push(String::new());
    lines.join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::HardwareAddr;
    use crate::serve::heard::{Found, Probed};

    #[test]
    fn findings_are_shown_with_their_remedies() {
        let mut findings = vec![Finding::ok(Check::Clock, "the clock is synchronised")];
        assert_eq!(
            shown(&findings),
            "ok       clock       the clock is synchronised\nnothing is in the way\n"
        );
        findings.push(Finding::new(Check::Ports, Level::Error, "a", "b"));
        findings.push(Finding::new(Check::Disk, Level::Unseen, "c", "d"));
        findings.push(Finding::new(Check::Disk, Level::Unseen, "e", "f"));
        let text = shown(&findings);
        assert!(
            text.contains("error    ports       a\n                       b\n"),
            "{text}"
        );
        assert!(text.ends_with("\n1 error, 2 things not seen\n"), "{text}");
    }

    #[test]
    fn other_servers_are_errors_unless_they_are_expected() {
        let found = |expected| Found {
            ip: [10, 99, 0, 5].into(),
            mac: HardwareAddr::ethernet([2, 0, 0, 0, 0, 5]),
            address: None,
            expected,
        };
        let probed = |servers, trouble| Probed {
            interface: "br0".into(),
            servers,
            trouble,
        };
        let report = Report {
            probed: vec![
                probed(Vec::new(), None),
                probed(vec![found(true), found(false)], None),
                probed(Vec::new(), Some("br0 is no Ethernet".to_owned())),
            ],
            proxied: Vec::new(),
        };
        let levels: Vec<Level> = other_servers(&report)
            .iter()
            .map(|found| found.level)
            .collect();
        assert_eq!(levels, [Level::Ok, Level::Ok, Level::Error, Level::Unseen]);
    }

    #[test]
    fn what_was_not_looked_at_is_never_good() {
        let broken = || files(&[Problem::error("bad-value", "x".to_owned())]);
        let mut findings = broken();
        only(&mut findings, Check::Ports);
        assert_eq!(findings, broken());
        // Other mistakes are told where they are asked for.
        let mut findings = vec![
            Finding::new(Check::Files, Level::Warning, "a", "b"),
            Finding::ok(Check::Clock, "c"),
        ];
        only(&mut findings, Check::Clock);
        assert_eq!(findings, [Finding::ok(Check::Clock, "c")]);
        only(&mut findings, Check::Ports);
        assert_eq!(
            (findings[0].check, findings[0].level),
            (Check::Ports, Level::Unseen)
        );
        assert!(shown(&findings).ends_with("\n1 thing not seen\n"));
    }

    #[test]
    fn a_search_that_was_none_is_told_as_such() {
        let nowhere = Report {
            probed: Vec::new(),
            proxied: Vec::new(),
        };
        assert_eq!(searched(Ok(nowhere))[0].level, Level::Unseen);
        let error = anyhow::anyhow!("the daemon did not answer\n  wait");
        let findings = searched(Err(error));
        assert_eq!(
            findings[0].what,
            "other DHCP servers were not looked for: the daemon did not answer"
        );
        assert_eq!(findings[0].level, Level::Unseen);
    }

    #[test]
    fn a_daemon_that_cannot_be_seen_is_not_started_again() {
        for (daemon, remedy) in [
            (Daemon::Off, "start it: bootwright serve"),
            (Daemon::Unseen("no".to_owned()), "run it with sudo"),
        ] {
            for finding in without_daemon(&daemon) {
                assert_eq!(finding.level, Level::Unseen);
                assert_eq!(finding.remedy.as_deref(), Some(remedy));
            }
        }
    }

    #[test]
    fn of_missing_files_the_first_are_told() {
        assert_eq!(files(&[])[0].level, Level::Ok);
        let missing =
            || Problem::warning("boot-file-missing", "a is not there".to_owned()).help("fetch it");
        let many: Vec<Problem> = std::iter::repeat_with(missing).take(TOLD + 2).collect();
        let told = files(&many);
        assert_eq!(told.len(), TOLD + 1);
        assert_eq!(told[0].remedy.as_deref(), Some("fetch it"));
        assert_eq!(told[TOLD].what, "2 more boot files or secrets are missing");
        let error = Problem::error("bad-value", "x".to_owned());
        assert_eq!(files(&[error])[0].level, Level::Error);
    }
}
