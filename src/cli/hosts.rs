//! `bootwright hosts`, `bootwright host show`.

use std::io::Write;

use super::args::HostShow;
use super::client::{Client, part, standing as standing_of_daemon};
use super::output::Format;
use super::{runtime, show_events, table};
use crate::diagnose::Diagnosis;
use crate::record::InstallState;
use crate::serve::admin::hosts::{HostView, NicView};
use crate::serve::admin::logs::{Kept, LATEST};

/// Lists all hosts.
pub fn list(client: &Client, format: Format, out: &mut dyn Write) -> anyhow::Result<u8> {
    let hosts: Vec<HostView> = runtime()?.block_on(client.get("/hosts"))?;
    tell_standing(format, out)?;
    if format == Format::Json {
        writeln!(out, "{}", serde_json::to_string_pretty(&hosts)?)?;
        return Ok(0);
    }
    let rows: Vec<_> = hosts
        .iter()
        .map(|host| {
            [
                host.name.to_string(),
                host.state.to_string(),
                host.ip.map_or_else(|| "-".to_owned(), |ip| ip.to_string()),
                host.macs
                    .first()
                    .map_or_else(|| "-".to_owned(), ToString::to_string),
                host.profile
                    .as_ref()
                    .map_or_else(|| "-".to_owned(), ToString::to_string),
                remark(host),
            ]
        })
        .collect();
    table::write(out, ["NAME", "STATE", "IP", "MAC", "PROFILE", ""], &rows)?;
    if let Some(unheard) = unheard(&hosts) {
        writeln!(out, "\n{unheard}")?;
    }
    Ok(0)
}

/// Says above a listing that the files are not what it is about. In JSON each host says so by `configuration`, and the
/// sentence goes to standard error.
fn tell_standing(format: Format, out: &mut dyn Write) -> anyhow::Result<()> {
    if format == Format::Text
        && let Some(standing) = standing_of_daemon()
    {
        writeln!(out, "{standing}\n")?;
    }
    Ok(())
}

/// Where its installation stands, and who else has its address.
fn remark(host: &HostView) -> String {
    let conflict = host
        .conflict
        .map(|conflict| format!("{} is in use by {}", conflict.ip, conflict.holder));
    let told = [
        Some(standing(host)).filter(|text| !text.is_empty()),
        conflict,
    ];
    told.into_iter().flatten().collect::<Vec<_>>().join("; ")
}

/// Hosts that were never heard of, where others were: perhaps their MAC addresses are mistyped.
fn unheard(hosts: &[HostView]) -> Option<String> {
    const NAMED: usize = 5;
    let silent: Vec<&str> = hosts
        .iter()
        .filter(|host| host.heard_at.is_none())
        .map(|host| host.name.as_str())
        .collect();
    if silent.is_empty() || silent.len() == hosts.len() {
        return None;
    }
    let names: Vec<&str> = silent.iter().take(NAMED).copied().collect();
    let more = match silent.len() - names.len() {
        0 => String::new(),
        more => format!(" and {more} more"),
    };
    Some(format!(
        "not heard of since the daemon started, {} of {}: {}{more}",
        silent.len(),
        hosts.len(),
        names.join(", ")
    ))
}

/// Where an installation stands, in a few words.
pub fn standing(host: &HostView) -> String {
    // Where nothing is under way, the file alone says what the machine boots.
    if host.state == InstallState::Local {
        return match host.install.as_str() {
            "always" => "its live system at every boot".to_owned(),
            "never" => "never installed".to_owned(),
            _ => String::new(),
        };
    }
    let Some(install) = &host.installation else {
        return String::new();
    };
    let attempt = format!("attempt {} of {}", install.attempt, install.max_attempts);
    let said = install
        .message
        .as_ref()
        .map(|message| format!(": {message}"))
        .unwrap_or_default();
    match host.state {
        InstallState::Local => String::new(),
        InstallState::Waiting => install
            .after
            .as_ref()
            .map(|after| format!("for {after}"))
            .unwrap_or_default(),
        InstallState::Armed => install
            .armed_until
            .map(|until| format!("until {}", table::time(until)))
            .unwrap_or_default(),
        InstallState::Booting => format!("{attempt}{said}"),
        InstallState::Installing => match install.percent {
            Some(percent) => format!("{attempt}, {percent}%{said}"),
            None => format!("{attempt}{said}"),
        },
        InstallState::Installed => match (install.up_at, install.installed_at) {
            (Some(up), _) => format!("up since {}", table::time(up)),
            (None, Some(at)) => format!("since {}", table::time(at)),
            (None, None) => String::new(),
        },
        InstallState::Failed => install.message.clone().unwrap_or_default(),
    }
}

/// Shows one host, or what its installers have sent.
pub fn show(
    client: &Client,
    asked: &HostShow,
    format: Format,
    out: &mut dyn Write,
) -> anyhow::Result<u8> {
    if let Some(file) = &asked.log {
        let attempt = asked.attempt.as_deref().unwrap_or(LATEST);
        let path = format!(
            "/hosts/{}/logs/{}/{}",
            part(&asked.host),
            part(attempt),
            part(file)
        );
        // As it came: a log need not be text.
        runtime()?.block_on(client.bytes(&path, |bytes| Ok(out.write_all(bytes)?)))?;
        return Ok(0);
    }
    if asked.logs {
        let path = format!("/hosts/{}/logs", part(&asked.host));
        let kept: Kept = runtime()?.block_on(client.get(&path))?;
        return show_logs(&kept, format, out);
    }
    one(client, &asked.host, format, out)
}

fn show_logs(kept: &Kept, format: Format, out: &mut dyn Write) -> anyhow::Result<u8> {
    if format == Format::Json {
        writeln!(out, "{}", serde_json::to_string_pretty(kept)?)?;
        return Ok(0);
    }
    let rows: Vec<_> = kept
        .attempts
        .iter()
        .flat_map(|attempt| attempt.logs.iter().map(move |log| (attempt, log)))
        .map(|(attempt, log)| {
            [
                attempt.id.clone(),
                log.name.clone(),
                log.bytes.to_string(),
                table::time(log.at),
            ]
        })
        .collect();
    if rows.is_empty() {
        writeln!(out, "no installer of {} has sent a log", kept.host)?;
        return Ok(0);
    }
    table::write(out, ["ATTEMPT", "LOG", "BYTES", "WRITTEN"], &rows)?;
    writeln!(
        out,
        "`bootwright host show {} --log LOG [--attempt ATTEMPT]` prints one.",
        kept.host
    )?;
    Ok(0)
}

/// A further network card in one line.
fn nic(nic: &NicView) -> String {
    let macs: Vec<String> = nic.macs.iter().map(ToString::to_string).collect();
    let mut words: Vec<String> = nic.name.iter().cloned().collect();
    words.push(if macs.is_empty() {
        "no MAC yet".to_owned()
    } else {
        macs.join(" ")
    });
    words.push(match (nic.ip, &nic.subnet) {
        (Some(ip), Some(subnet)) => format!("{ip} in {subnet}"),
        (Some(ip), None) => ip.to_string(),
        (None, _) => "never answered".to_owned(),
    });
    if nic.boot {
        words.push("boots".to_owned());
    }
    words.join(" ")
}

fn one(client: &Client, host: &str, format: Format, out: &mut dyn Write) -> anyhow::Result<u8> {
    let host: HostView = runtime()?.block_on(client.get(&format!("/hosts/{}", part(host))))?;
    tell_standing(format, out)?;
    if format == Format::Json {
        writeln!(out, "{}", serde_json::to_string_pretty(&host)?)?;
        return Ok(0);
    }
    let list = |items: Vec<String>| (!items.is_empty()).then(|| items.join(", "));
    let install = host.installation.as_ref();
    let at =
        |pick: fn(&crate::serve::admin::hosts::Installation) -> Option<crate::base::Timestamp>| {
            install.and_then(pick).map(table::time)
        };
    table::pairs(
        out,
        &[
            ("name", Some(host.name.to_string())),
            ("fqdn", host.fqdn.clone()),
            (
                "mac",
                list(host.macs.iter().map(ToString::to_string).collect()),
            ),
            ("ip", host.ip.map(|ip| ip.to_string())),
            ("subnet", host.subnet.as_ref().map(ToString::to_string)),
            ("nics", list(host.nics.iter().map(nic).collect())),
            (
                "groups",
                list(host.groups.iter().map(ToString::to_string).collect()),
            ),
            ("profile", host.profile.as_ref().map(ToString::to_string)),
            ("arch", Some(host.arch.to_string())),
            ("install", Some(host.install.clone())),
            ("after", host.after.clone()),
            ("notes", host.notes.clone()),
            (
                "conflict",
                host.conflict.map(|conflict| {
                    format!(
                        "{} is in use by {}, seen {}",
                        conflict.ip,
                        conflict.holder,
                        table::time(conflict.at)
                    )
                }),
            ),
            ("state", Some(host.state.to_string())),
            (
                "attempt",
                install
                    .filter(|install| install.attempt > 0)
                    .map(|install| format!("{} of {}", install.attempt, install.max_attempts)),
            ),
            (
                "percent",
                install
                    .and_then(|install| install.percent)
                    .map(|percent| percent.to_string()),
            ),
            (
                "message",
                install.and_then(|install| install.message.clone()),
            ),
            (
                "armed with",
                install
                    .and_then(|install| install.profile.as_ref())
                    .map(ToString::to_string),
            ),
            (
                match host.state {
                    InstallState::Waiting => "waiting for",
                    _ => "waited for",
                },
                install.and_then(|install| install.after.clone()),
            ),
            ("token", install.and_then(|install| install.token.clone())),
            ("by", install.and_then(|install| install.by.clone())),
            ("armed", at(|install| install.armed_at)),
            ("armed until", at(|install| install.armed_until)),
            ("script served", at(|install| install.script_at)),
            ("kernel fetched", at(|install| install.kernel_at)),
            ("installing", at(|install| install.started_at)),
            ("installed", at(|install| install.installed_at)),
            ("up", at(|install| install.up_at)),
            ("failed", at(|install| install.failed_at)),
            ("last heard of", host.heard_at.map(table::time)),
            ("last change", at(|install| install.changed_at)),
        ],
    )?;
    Ok(0)
}

/// Says why a host does not boot.
pub fn why(client: &Client, host: &str, format: Format, out: &mut dyn Write) -> anyhow::Result<u8> {
    let path = format!("/hosts/{}/why", part(host));
    let found: Diagnosis = runtime()?.block_on(client.get(&path))?;
    match format {
        Format::Json => writeln!(out, "{}", serde_json::to_string_pretty(&found)?)?,
        Format::Text => write!(out, "{}", show_events::diagnosis(&found))?,
    }
    Ok(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hosts_that_were_never_heard_of_are_named_where_others_were() {
        let host = |n: usize, heard: bool| -> HostView {
            let mut view = serde_json::json!({
                "name": format!("web{n:02}"), "macs": [], "groups": [],
                "arch": "x86_64", "install": "once", "state": "local",
            });
            if heard {
                view["heard_at"] = "2026-01-01T00:00:00Z".into();
            }
            serde_json::from_value(view).unwrap()
        };
        assert_eq!(unheard(&[]), None);
        assert_eq!(unheard(&[host(1, true), host(2, true)]), None);
        // A daemon that has just started has heard of nobody.
        assert_eq!(unheard(&[host(1, false), host(2, false)]), None);
        let mut hosts: Vec<HostView> = (1..9).map(|n| host(n, n == 1)).collect();
        assert_eq!(
            unheard(&hosts).unwrap(),
            "not heard of since the daemon started, 7 of 8: web02, web03, web04, web05, web06 and 2 more"
        );
        hosts.truncate(2);
        assert_eq!(
            unheard(&hosts).unwrap(),
            "not heard of since the daemon started, 1 of 2: web02"
        );
    }

    #[test]
    fn logs_are_listed_by_attempt() {
        let shown = |attempts: serde_json::Value| {
            let kept = serde_json::json!({ "host": "web01", "attempts": attempts });
            let mut out = Vec::new();
            let kept = serde_json::from_value(kept).unwrap();
            show_logs(&kept, Format::Text, &mut out).unwrap();
            String::from_utf8(out).unwrap()
        };
        let text = shown(serde_json::json!([
            { "id": "20261121T085238Z-2", "attempt": 2, "logs": [
                { "name": "syslog", "bytes": 12345, "at": "2026-11-21T09:00:00Z" },
            ]},
            { "id": "20261121T085238Z-1", "attempt": 1, "logs": [] },
        ]));
        let mut lines = text.lines();
        assert_eq!(
            lines.next(),
            Some("ATTEMPT             LOG     BYTES  WRITTEN")
        );
        let row = lines.next().unwrap();
        assert!(
            row.starts_with("20261121T085238Z-2  syslog  12345  2026-11-21"),
            "{row}"
        );
        assert!(lines.next().unwrap().contains("--log LOG"), "{text}");
        assert_eq!(
            shown(serde_json::json!([])),
            "no installer of web01 has sent a log\n"
        );
    }
}
