//! `[fetch]` of `profiles/NAME.toml` as written.

use std::path::PathBuf;

use crate::config::fetch::{Fetch, FetchFile, Signature, SumList, unknown_placeholder};
use crate::config::problem::Problem;
use crate::config::table::{Choice, Context, Keys, Reader};
use crate::config::values::{self, Bad};
use crate::wire::looks::Looks;

pub(crate) const FETCH: Keys = Keys {
    known: &[
        "mirror",
        "by_hand",
        "package",
        "keyring",
        "keyring_package",
        "sums",
        "stream",
        "files",
    ],
    later: &[],
    hints: &[
        (
            "url",
            "did you mean `mirror`? each file's `from` is below it",
        ),
        ("file", "did you mean [[fetch.files]]?"),
        ("sha256", "it belongs to a file of [[fetch.files]]"),
        ("kernel", "each file is a [[fetch.files]]"),
    ],
};

pub(crate) const SUMS: Keys = Keys {
    known: &["path", "signature"],
    later: &[],
    hints: &[],
};

pub(crate) const FILE: Keys = Keys {
    known: &[
        "path",
        "from",
        "in_stream",
        "member",
        "in_package",
        "package",
        "is",
        "sha256",
        "signature",
        "optional",
    ],
    later: &[],
    hints: &[
        ("url", "did you mean `from`? it may be a whole URL"),
        (
            "to",
            "did you mean `path`? it is the place under boot_assets",
        ),
    ],
};

/// Reads the table where there is one.
pub(crate) fn read(cx: &mut Context<'_>, profile: &mut Reader<'_, '_>) -> Option<Fetch> {
    let header = profile.key_span(cx, "fetch")?;
    let table = profile.table(cx, "fetch")?;
    let mut reader = Reader::open(cx, table, "[fetch]", header, &FETCH);
    let mirror = reader.parsed(cx, "mirror", mirror);
    let by_hand = reader.parsed(cx, "by_hand", values::line);
    let package = reader.parsed(cx, "package", package);
    let keyring = reader.list(cx, "keyring", true, keyring);
    let keyring_package = reader.parsed(cx, "keyring_package", package_name);
    let stream = reader.parsed(cx, "stream", remote);
    let mut sums = Vec::new();
    for (table, header) in reader.tables(cx, "sums") {
        let mut list = Reader::open(cx, table, "[[fetch.sums]]", header, &SUMS);
        let path = list.parsed(cx, "path", remote);
        if !list.has("path") {
            list.missing(
                cx,
                "path",
                "write where the list is below the mirror, such as \"SHA256SUMS\"",
            );
        }
        let signature = list.parsed(cx, "signature", signature);
        reader.ok &= list.ok;
        if let Some(path) = path {
            sums.push(SumList {
                path: path.value,
                signature: signature.map(|signature| signature.value),
            });
        }
    }
    let mut files: Vec<FetchFile> = Vec::new();
    for (table, header) in reader.tables(cx, "files") {
        let mut entry = Reader::open(cx, table, "[[fetch.files]]", header, &FILE);
        let file = file(cx, &mut entry, stream.is_some());
        reader.ok &= entry.ok;
        let Some(file) = file else { continue };
        if files.iter().any(|other| other.path == file.path) {
            let problem = Problem::error(
                "duplicate-name",
                format!("two files are to come to `{}`", file.path),
            )
            .at(header, "the second one")
            .help("give each file a path of its own");
            reader.report(cx, problem);
        } else {
            files.push(file);
        }
    }
    if files.is_empty() && by_hand.is_none() && reader.ok {
        reader.missing(
            cx,
            "files",
            "add a [[fetch.files]] with `path` and `from`, say in `by_hand` how the files are had, or leave [fetch] out",
        );
    }
    profile.ok &= reader.ok;
    reader.ok.then(|| Fetch {
        mirror: mirror.map(|mirror| mirror.value),
        by_hand: by_hand.map(|by_hand| by_hand.value),
        package: package.map(|package| package.value),
        keyring: keyring.map_or_else(Vec::new, |list| {
            list.value.into_iter().map(|file| file.value).collect()
        }),
        keyring_package: keyring_package.map(|package| package.value),
        sums,
        stream: stream.map(|stream| stream.value),
        files,
    })
}

fn file(cx: &mut Context<'_>, entry: &mut Reader<'_, '_>, streamed: bool) -> Option<FetchFile> {
    let path = entry.parsed(cx, "path", fetched);
    if !entry.has("path") {
        entry.missing(cx, "path", "write where the file belongs under boot_assets");
    }
    let words = Looks::WORDS.map(|(word, looks)| (word, Choice::Is(looks)));
    let looks = entry.choice(cx, "is", &words);
    let from = entry.parsed(cx, "from", remote);
    let in_stream = entry.parsed(cx, "in_stream", pointer);
    let member = entry.parsed(cx, "member", fetched);
    let in_package = entry.parsed(cx, "in_package", fetched);
    let own_package = entry.parsed(cx, "package", package);
    let sha256 = entry.parsed(cx, "sha256", sha256);
    let signature = entry.parsed(cx, "signature", signature);
    let optional = entry.flag(cx, "optional");
    if !["from", "in_stream", "in_package"]
        .into_iter()
        .any(|key| entry.has(key))
    {
        entry.missing(
            cx,
            "from",
            "write where the file is below the mirror, or a whole URL",
        );
    }
    if let Some(both) = in_stream
        .as_ref()
        .filter(|_| entry.has("from") || !streamed)
    {
        let (label, help) = if streamed {
            ("`from` says so too", "write one of the two")
        } else {
            (
                "there is no `stream` in [fetch]",
                "name the document in `stream` of [fetch]",
            )
        };
        let problem = Problem::error(
            "bad-value",
            "`in_stream` tells where a file is in a document of addresses",
        )
        .at(both.span, label)
        .help(help);
        entry.report(cx, problem);
    }
    let value = |written: Option<super::Written<String>>| written.map(|written| written.value);
    Some(FetchFile {
        path: path?.value,
        from: value(from),
        in_stream: value(in_stream),
        member: value(member),
        in_package: value(in_package),
        package: value(own_package),
        looks: looks.map_or(Looks::Any, |looks| looks.value),
        sha256: value(sha256),
        signature: signature.map(|signature| signature.value),
        optional: optional.is_some_and(|optional| optional.value),
    })
}

/// A text whose placeholders there are.
fn placeholders(text: &str, with_vars: bool) -> Result<(), Bad> {
    unknown_placeholder(text, with_vars).map_or(Ok(()), |name| {
        let (label, more) = if with_vars {
            ("only the architecture and variables can be put in", ", or a variable as {{ vars.NAME }}")
        } else {
            ("only the architecture can be put in", "")
        };
        Err(Bad::new(
            "bad-value",
            format!("`{name}` cannot be put in here"),
            label,
        )
        .help(format!("write {{{{ arch }}}} (x86_64, aarch64), {{{{ debian_arch }}}} (amd64, arm64) or {{{{ efi_arch }}}} (x64, aa64){more}")))
    })
}

fn bare(text: &str) -> String {
    text.replace("{{", "").replace("}}", "").replace(' ', "")
}

/// A path, as boot files have it; the placeholders apart.
pub(super) fn place(text: &str) -> Result<String, Bad> {
    placeholders(text, false)?;
    path(text)
}

/// The same in `[fetch]`, where variables may be put in.
fn fetched(text: &str) -> Result<String, Bad> {
    placeholders(text, true)?;
    path(text)
}

fn path(text: &str) -> Result<String, Bad> {
    if values::is_url(text) {
        return Err(
            Bad::new("bad-path", format!("`{text}` is no path"), "a URL").help(
                "write the path below the folder boot_assets, or within the package or image",
            ),
        );
    }
    // A blank stands in placeholders only.
    let tight = text.replace("{{ ", "{{").replace(" }}", "}}");
    values::boot_file(if text.contains("{{") { &tight } else { text }).map(|_| text.to_owned())
}

/// A path below the mirror (a part of it may begin with a dot), or a whole URL.
fn remote(text: &str) -> Result<String, Bad> {
    placeholders(text, true)?;
    if values::is_url(text) {
        return mirror(text);
    }
    let bad = |label: &str| {
        Bad::new(
            "bad-path",
            format!("`{text}` is no path below a mirror"),
            label,
        )
        .help("write it without `/` before it, such as \"images/pxeboot/vmlinuz\"")
    };
    let plain = bare(text);
    if plain.is_empty() {
        return Err(bad("empty"));
    }
    if plain
        .chars()
        .any(|c| c.is_control() || c == '\\' || c == '#')
    {
        return Err(bad("holds a character that must not stand in it"));
    }
    if text.split('/').any(|part| matches!(part, "" | "." | "..")) {
        return Err(bad("a part of it is empty or leads out of it"));
    }
    Ok(text.to_owned())
}

/// An address that files can be fetched from.
fn mirror(text: &str) -> Result<String, Bad> {
    placeholders(text, true)?;
    let bad = |label: &str| {
        Bad::new(
            "bad-url",
            format!("`{text}` is no address to fetch files from"),
            label,
        )
        .help("write such as \"https://mirror.example/debian\"")
    };
    let scheme = text.split_once("://").map(|(scheme, _)| scheme);
    if !matches!(scheme, Some("http" | "https")) {
        return Err(bad("begins with neither http:// nor https://"));
    }
    let parsed = bare(text).parse::<hyper::Uri>();
    if !parsed.is_ok_and(|uri| uri.host().is_some_and(|host| !host.is_empty())) {
        return Err(bad(
            "names no server, or holds what must not stand in an address",
        ));
    }
    Ok(text.trim_end_matches('/').to_owned())
}

fn pointer(text: &str) -> Result<String, Bad> {
    placeholders(text, true)?;
    if text.starts_with('/') {
        return Ok(text.to_owned());
    }
    Err(Bad::new(
        "bad-value",
        format!("`{text}` is no JSON pointer"),
        "does not begin with `/`",
    )
    .help("write the names of the members with `/` before each"))
}

fn keyring(text: &str) -> Result<PathBuf, Bad> {
    if text.starts_with('/') {
        return Ok(PathBuf::from(text));
    }
    Err(Bad::new(
        "bad-path",
        format!("`{text}` is no whole path"),
        "does not begin with `/`",
    )
    .help("write such as \"/usr/share/keyrings/debian-archive-keyring.gpg\""))
}

fn package(text: &str) -> Result<String, Bad> {
    placeholders(text, true)?;
    package_name(&bare(text)).map(|_| text.to_owned())
}

/// A package's name (Debian policy section 5.6.1).
pub(crate) fn package_name(text: &str) -> Result<String, Bad> {
    let fits = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || "+-._".contains(c);
    if text.len() > 1 && text.chars().all(fits) && !text.starts_with(['-', '.', '+', '_']) {
        return Ok(text.to_owned());
    }
    Err(Bad::new(
        "bad-name",
        format!("`{text}` is no name of a package"),
        "no such name",
    ))
}

fn sha256(text: &str) -> Result<String, Bad> {
    let text = text.to_ascii_lowercase();
    if text.len() == 64 && text.chars().all(|c| c.is_ascii_hexdigit()) {
        return Ok(text);
    }
    Err(Bad::new(
        "bad-value",
        "a SHA-256 has 64 hexadecimal digits",
        "no such sum",
    )
    .help("`sha256sum FILE` prints it"))
}

fn signature(text: &str) -> Result<Signature, Bad> {
    if text == "inline" {
        return Ok(Signature::Inline);
    }
    remote(text).map(Signature::Detached)
}
