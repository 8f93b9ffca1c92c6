//! `[[mirror]]` as written: a folder of boot files that is another server's.

use std::time::Duration;

use toml::de::DeTable;

use super::Written;
use crate::config::mirror::Mirror;
use crate::config::problem::Problem;
use crate::config::source::Span;
use crate::config::table::{Context, Keys, Reader};
use crate::config::values::{self, Bad};

/// Less is no use: the kernel and initial RAM disk of one installer have as much.
const LEAST: u64 = 64 << 20;

pub(crate) const MIRROR: Keys = Keys {
    known: &["path", "url", "keep", "fresh_for", "stale"],
    later: &[],
    hints: &[
        ("name", "did you mean `path`?"),
        ("size", "did you mean `keep`?"),
        (
            "cache",
            "did you mean `keep`? The memory for boot files is `cache` in [assets]",
        ),
    ],
};

/// Reads one `[[mirror]]`; `None` where it is of no use.
pub(crate) fn read(
    cx: &mut Context<'_>,
    table: &DeTable<'_>,
    header: Span,
) -> Option<Written<Mirror>> {
    let mut mirror = Reader::open(cx, table, "[[mirror]]", header, &MIRROR);
    if !mirror.has("path") {
        mirror.missing(
            cx,
            "path",
            "write the folder that machines find it in, such as \"debian-mirror\": they ask for /assets/debian-mirror/…",
        );
    }
    let path = mirror.parsed(cx, "path", folder);
    if !mirror.has("url") {
        mirror.missing(
            cx,
            "url",
            "write where it is brought from, such as \"http://deb.debian.org/debian\"",
        );
    }
    let url = mirror.parsed(cx, "url", url);
    let keep = mirror.parsed(cx, "keep", |text| {
        let size = values::size(text)?;
        if size < LEAST {
            return Err(Bad::new(
                "out-of-range",
                "the mirror is too small to be of use",
                "less than 64MiB",
            )
            .help("the default is \"20GiB\""));
        }
        Ok(size)
    });
    let fresh_for = mirror.parsed(cx, "fresh_for", |text| {
        let time = values::duration(text)?;
        if time > Duration::from_secs(30 * 86_400) {
            return Err(Bad::new(
                "out-of-range",
                format!("`fresh_for = \"{text}\"` is out of range"),
                "more than 30d",
            )
            .help("the default is \"1m\": after that its server is asked whether it has changed"));
        }
        Ok(time)
    });
    let stale = mirror.flag(cx, "stale");
    let ok = mirror.ok;
    let (path, url) = (path?, url?);
    ok.then(|| Written {
        span: path.span,
        value: Mirror {
            path: path.value,
            url: url.value,
            keep: keep.map_or(Mirror::KEEP, |keep| keep.value),
            fresh_for: fresh_for.map_or(Mirror::FRESH_FOR, |time| time.value),
            stale: stale.is_none_or(|stale| stale.value),
            span: Some(header),
        },
    })
}

/// Reports mirrors of which one lies in the other, and leaves the later one out.
pub(crate) fn apart(cx: &mut Context<'_>, mirrors: Vec<Written<Mirror>>) -> Vec<Mirror> {
    let mut kept: Vec<Written<Mirror>> = Vec::new();
    for mirror in mirrors {
        let (path, span) = (mirror.value.path.clone(), mirror.span);
        let clash = kept.iter().find(|other| {
            let other = &other.value;
            other.path == path
                || other.below(&path).is_some()
                || mirror.value.below(&other.path).is_some()
        });
        match clash {
            None => kept.push(mirror),
            Some(first) => cx.problems.push(
                Problem::error(
                    "written-twice",
                    "two [[mirror]] have the same folder, or one lies in the other's",
                )
                .at(span, "this folder")
                .at(first.span, "and this one")
                .help("give each a folder of its own"),
            ),
        }
    }
    kept.into_iter().map(|mirror| mirror.value).collect()
}

/// The path of a folder under `boot_assets`.
fn folder(text: &str) -> Result<String, Bad> {
    let trimmed = text.trim_end_matches('/');
    if values::is_url(text) {
        return Err(Bad::new(
            "bad-path",
            format!("`{text}` is no path under boot_assets"),
            "a URL",
        )
        .help("the URL is `url`; `path` is the folder that machines ask for"));
    }
    values::boot_file(trimmed)
}

/// Where a mirror begins.
fn url(text: &str) -> Result<String, Bad> {
    let bad = |label: &str, help: &str| {
        Bad::new(
            "bad-url",
            format!("`{text}` is no URL that files can be brought from"),
            label,
        )
        .help(help)
    };
    let example = "write it such as \"http://deb.debian.org/debian\"";
    if text
        .chars()
        .any(|c| c.is_whitespace() || c.is_control() || !c.is_ascii())
    {
        return Err(bad(
            "holds a blank or a character that is not ASCII",
            "percent-encode it, such as %20 for a blank",
        ));
    }
    if text.contains(['?', '#']) {
        return Err(bad(
            "holds a query or a fragment",
            "names of files are added at its end",
        ));
    }
    let uri: hyper::Uri = text
        .parse()
        .map_err(|_| bad("it cannot be read as a URL", example))?;
    if !matches!(uri.scheme_str(), Some("http" | "https")) {
        return Err(bad("neither http nor https", example));
    }
    match uri.authority() {
        None => return Err(bad("the server is missing", example)),
        Some(authority) if authority.host().is_empty() => {
            return Err(bad("the server is missing", example));
        }
        Some(authority) if authority.as_str().contains('@') => {
            return Err(bad(
                "holds a user name",
                "only servers that ask for no login can be mirrored",
            ));
        }
        Some(_) => {}
    }
    Ok(text.trim_end_matches('/').to_owned())
}
