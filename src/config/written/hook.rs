//! `[[hook]]` as written: who is told of which events.

use std::time::Duration;

use toml::de::DeTable;

use super::Written;
use crate::base::suggest;
use crate::config::problem::Problem;
use crate::config::snapshot::{Hook, HookTarget};
use crate::config::source::Span;
use crate::config::table::{Context, Keys, Reader};
use crate::config::values::{self, Bad};
use crate::journal::event::Kind;

/// The bounds of one delivery.
const TIMEOUT: std::ops::RangeInclusive<Duration> =
    Duration::from_secs(1)..=Duration::from_secs(600);

/// What one delivery may take where the file does not say.
const USUAL_TIMEOUT: Duration = Duration::from_secs(30);

/// What is told where the file does not say.
const USUAL_EVENTS: &str = "install.*";

pub(crate) const HOOK: Keys = Keys {
    known: &["url", "exec", "events", "secret", "timeout"],
    later: &[],
    hints: &[
        ("event", "did you mean `events`?"),
        ("command", "did you mean `exec`?"),
        (
            "key",
            "keys stand in secrets.toml; `secret` names one of them",
        ),
        (
            "headers",
            "a receiver knows who calls by the signature: see `secret`",
        ),
    ],
};

/// Reads one `[[hook]]`; `None` where it is of no use.
pub(crate) fn read(cx: &mut Context<'_>, table: &DeTable<'_>, header: Span) -> Option<Hook> {
    let mut hook = Reader::open(cx, table, "[[hook]]", header, &HOOK);
    let url = hook.parsed(cx, "url", url);
    let exec = exec(cx, &mut hook);
    let events = hook.list(cx, "events", true, pattern);
    if let Some(events) = &events
        && events.value.is_empty()
        && hook.ok
    {
        let bad = Bad::new(
            "empty-list",
            "`events` in [[hook]] is empty",
            "nothing is told",
        );
        let help = "name events or patterns, such as [\"install.*\"], or leave the key out";
        hook.bad(cx, events.span, bad.help(help));
    }
    let secret = hook.parsed(cx, "secret", values::line);
    let timeout = hook.parsed(cx, "timeout", |text| {
        let timeout = values::duration(text)?;
        if TIMEOUT.contains(&timeout) {
            return Ok(timeout);
        }
        Err(Bad::new(
            "out-of-range",
            format!("`timeout = \"{text}\"` is out of range"),
            "not from 1s to 10m",
        )
        .help("the default is \"30s\""))
    });
    match (
        hook.key_span(cx, "url"),
        hook.key_span(cx, "exec"),
        hook.key_span(cx, "secret"),
    ) {
        (None, None, _) => {
            let problem = Problem::error("missing-key", "a [[hook]] has neither `url` nor `exec`")
                .at(header, "nobody to tell")
                .help("write `url = \"https://…\"` to have events posted there, or `exec = [\"/usr/local/bin/told\"]` to have a program run");
            hook.report(cx, problem);
        }
        (Some(url), Some(exec), _) => {
            let problem = Problem::error("not-together", "a [[hook]] has both `url` and `exec`")
                .at(exec, "either this")
                .at(url, "or this")
                .help("write two [[hook]], one for each");
            hook.report(cx, problem);
        }
        (None, Some(_), Some(secret)) => {
            let problem = Problem::error("not-together", "`secret` does not go with `exec`")
                .at(secret, "nothing is signed for a program")
                .help("leave it out: a program is run by the daemon itself");
            hook.report(cx, problem);
        }
        _ => {}
    }
    if !hook.ok {
        return None;
    }
    let target = match (url, exec) {
        (Some(url), _) => HookTarget::Url(url.value),
        (None, exec) => HookTarget::Exec(exec?),
    };
    Some(Hook {
        target,
        events: match events {
            Some(events) => events.value.into_iter().map(|event| event.value).collect(),
            None => vec![USUAL_EVENTS.to_owned()],
        },
        secret: secret.map(|secret| secret.value),
        timeout: timeout.map_or(USUAL_TIMEOUT, |timeout| timeout.value),
        span: Some(header),
    })
}

/// The program and its arguments.
fn exec(cx: &mut Context<'_>, hook: &mut Reader<'_, '_>) -> Option<Vec<String>> {
    let help = "write the program with its whole path, then its arguments: [\"/usr/local/bin/told\", \"--quiet\"]";
    let list = hook.list(cx, "exec", false, |text| {
        if text.contains('\0') {
            return Err(Bad::new(
                "bad-text",
                "an argument of a program cannot hold a NUL",
                "holds a NUL",
            ));
        }
        Ok(text.to_owned())
    })?;
    match list.value.first() {
        Some(program) if program.value.starts_with('/') && !program.value.ends_with('/') => {
            Some(list.value.into_iter().map(|text| text.value).collect())
        }
        Some(program) => {
            let bad = Bad::new(
                "bad-path",
                format!("`{}` is no whole path of a program", program.value),
                "it must begin with `/` and name a file",
            );
            let span = program.span;
            hook.bad(cx, span, bad.help(help));
            None
        }
        None => {
            if hook.ok {
                let bad = Bad::new(
                    "empty-list",
                    "`exec` in [[hook]] is empty",
                    "no program is named",
                );
                hook.bad(cx, list.span, bad.help(help));
            }
            None
        }
    }
}

/// A URL that events are posted to.
fn url(text: &str) -> Result<String, Bad> {
    let bad = |label: &str, help: &str| {
        Bad::new(
            "bad-url",
            format!("`{text}` is no URL that events can be posted to"),
            label,
        )
        .help(help)
    };
    let example = "write it such as \"https://cmdb.example/bootwright\"";
    if text
        .chars()
        .any(|c| c.is_whitespace() || c.is_control() || !c.is_ascii())
    {
        return Err(bad(
            "holds a blank or a character that is not ASCII",
            "percent-encode it, such as %20 for a blank",
        ));
    }
    if text.contains('#') {
        return Err(bad("holds a `#`", "leave it out with what follows it"));
    }
    let uri: hyper::Uri = text
        .parse()
        .map_err(|_| bad("it cannot be read as a URL", example))?;
    if !matches!(uri.scheme_str(), Some("http" | "https")) {
        return Err(bad("neither http nor https", example));
    }
    let Some(authority) = uri.authority().filter(|_| uri.host() != Some("")) else {
        return Err(bad("the server is missing", example));
    };
    if authority.as_str().contains('@') {
        return Err(bad(
            "holds a user name",
            "leave it out: a receiver knows who calls by the signature, see `secret`",
        ));
    }
    let after_host = authority
        .as_str()
        .get(authority.host().len()..)
        .unwrap_or("");
    if !after_host.is_empty() && matches!(uri.port_u16(), None | Some(0)) {
        return Err(bad(
            "the port is no number from 1 to 65535",
            "write such as \":9000\", or leave it out",
        ));
    }
    Ok(text.to_owned())
}

/// A name of events, or a pattern with `*`. It must stand for at least one event that there is.
fn pattern(text: &str) -> Result<String, Bad> {
    let matched = || {
        Kind::ALL
            .iter()
            .filter(|kind| Hook::matches_pattern(text, kind.as_str()))
    };
    if matched().next().is_none() {
        let bad = Bad::new(
            "unknown-event",
            format!("there is no event `{text}`"),
            "stands for no event",
        );
        let families = Kind::ALL
            .iter()
            .filter_map(|kind| kind.as_str().split_once('.').map(|(family, _)| family));
        let nearest = match text.strip_suffix(".*") {
            Some(family) => suggest::nearest(family, families).map(|family| format!("{family}.*")),
            None => suggest::nearest(text, Kind::ALL.iter().map(|kind| kind.as_str()))
                .map(str::to_owned),
        };
        return Err(match nearest {
            Some(nearest) => bad
                .help(format!("did you mean `{nearest}`?"))
                .meant(&nearest),
            None => bad.help("docs/events.md lists them all, such as `install.installed`; `*` stands for any run of characters"),
        });
    }
    if matched().all(|kind| !kind.is_for_hooks()) {
        return Err(Bad::new(
            "unknown-event",
            format!("`{text}` is never told to hooks"),
            "an event about hooks themselves",
        )
        .help("what fails at a hook is in `bootwright events`; told to hooks it would go round in circles"));
    }
    Ok(text.to_owned())
}

/// Reports hooks for a receiver that an earlier one is for, and leaves them out.
pub(crate) fn different(cx: &mut Context<'_>, hooks: Vec<Hook>) -> Vec<Written<Hook>> {
    let mut kept: Vec<Written<Hook>> = Vec::new();
    for hook in hooks {
        let Some(span) = hook.span else { continue };
        match kept.iter().find(|other| other.value.target == hook.target) {
            None => kept.push(Written { value: hook, span }),
            Some(first) => cx.problems.push(
                Problem::error("written-twice", "two [[hook]] are for the same receiver")
                    .at(span, "the second one")
                    .at(first.span, "the first one")
                    .help("name the events of both in one `events`"),
            ),
        }
    }
    kept
}
