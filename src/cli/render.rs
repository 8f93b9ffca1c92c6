//! `bootwright render`: what a machine would get, without serving it, arming it or asking a daemon.

use std::io::Write;
use std::net::Ipv4Addr;
use std::path::Path;

use anyhow::{Context as _, bail};
use serde::Serialize;

use super::output::Format;
use crate::base::{HardwareAddr, suggest};
use crate::config::snapshot::{Host, Profile};
use crate::config::source::{DiskFiles, Files};
use crate::config::{Snapshot, show};
use crate::render::{View, check, files, load, scripts};

/// What is asked for.
#[derive(Debug, Clone, Default)]
pub struct Asked {
    /// The host: name, MAC or address.
    pub host: String,
    /// One answer file; otherwise all, and the script.
    pub name: Option<String>,
    /// The boot loader whose script is asked for: `ipxe`; `grub` and `pxelinux` come later.
    pub stage: Option<String>,
}

/// What is printed as JSON.
#[derive(Debug, Serialize)]
struct Report {
    host: String,
    profile: String,
    arch: &'static str,
    server: Ipv4Addr,
    #[serde(skip_serializing_if = "Option::is_none")]
    note: Option<String>,
    texts: Vec<Rendered>,
}

#[derive(Debug, Serialize)]
struct Rendered {
    name: String,
    content_type: String,
    text: String,
}

/// Renders what was asked for and prints it. The result is the exit status.
pub fn run(
    config: &Path,
    asked: &Asked,
    format: Format,
    out: &mut dyn Write,
    errors: &mut dyn Write,
) -> anyhow::Result<u8> {
    run_with(&DiskFiles, config, asked, format, out, errors)
}

/// As [`run`], over any files. What is to be told beside the texts goes to `errors`.
pub fn run_with(
    files: &dyn Files,
    config: &Path,
    asked: &Asked,
    format: Format,
    out: &mut dyn Write,
    errors: &mut dyn Write,
) -> anyhow::Result<u8> {
    match asked.stage.as_deref() {
        None | Some("ipxe") => {}
        Some(stage @ ("grub" | "pxelinux")) => {
            bail!("--stage {stage} is not available in this version; --stage ipxe is")
        }
        Some(other) => bail!("--stage {other}: ipxe, grub and pxelinux are the stages"),
    }
    if let (Some(stage), Some(name)) = (&asked.stage, &asked.name) {
        bail!("give either the answer {name} or --stage {stage}");
    }

    let loaded = load::load(files, config, 0);
    let Some(in_force) = &loaded.config else {
        writeln!(
            errors,
            "{}",
            show::text(&loaded.problems, &loaded.sources, false, false)
        )?;
        bail!("the configuration has errors");
    };
    let snapshot = &in_force.snapshot;
    let host = find(snapshot, &asked.host)?;
    let (name, profile) = profile_of(snapshot, host)?;
    let subnet = snapshot
        .subnet_of(host)
        .with_context(|| format!("{name} belongs to no subnet"))?;
    let view = View {
        snapshot,
        host,
        profile,
        arch: files::usual_architecture(host, Some(profile)),
        server: subnet.example_server,
        token: None,
    };

    let prepared = in_force.renderer.prepare(&view);
    let mut texts = Vec::new();
    if asked.name.is_none() {
        let boot = in_force.renderer.prepared_boot(&prepared)?;
        texts.push(Rendered {
            name: "boot.ipxe".to_owned(),
            content_type: "text/plain".to_owned(),
            text: scripts::install(&view, &boot, 1, snapshot.server.max_attempts),
        });
    }
    if asked.stage.is_none() {
        for answer in &profile.answers {
            if asked.name.as_ref().is_some_and(|name| *name != answer.name) {
                continue;
            }
            if let Some(rendered) = in_force.renderer.prepared_answer(&prepared, &answer.name) {
                let rendered = rendered?;
                texts.push(Rendered {
                    name: answer.name.clone(),
                    content_type: rendered.content_type,
                    text: rendered.text,
                });
            }
        }
    }
    if let (Some(name), true) = (&asked.name, texts.is_empty()) {
        bail!("{}", no_such_answer(profile, name));
    }

    // Only what concerns this host's URLs.
    let note = check::offline_note(snapshot, Some(host));
    match format {
        Format::Json => {
            let report = Report {
                host: name.to_owned(),
                profile: profile.name.to_string(),
                arch: view.arch.as_str(),
                server: view.server,
                note,
                texts,
            };
            serde_json::to_writer_pretty(&mut *out, &report)?;
            writeln!(out)?;
        }
        Format::Text => {
            if let Some(note) = note {
                writeln!(errors, "note: {note}")?;
            }
            print(out, host, &texts)?;
        }
    }
    Ok(0)
}

/// One text as it is, so that it can be piped into a file; several under headings.
fn print(out: &mut dyn Write, host: &Host, texts: &[Rendered]) -> std::io::Result<()> {
    if let [only] = texts {
        return out.write_all(only.text.as_bytes());
    }
    for (index, text) in texts.iter().enumerate() {
        if index > 0 {
            writeln!(out)?;
        }
        writeln!(
            out,
            "==> {}: {} ({}) <==",
            host.name, text.name, text.content_type
        )?;
        out.write_all(text.text.as_bytes())?;
        if !text.text.ends_with('\n') {
            writeln!(out)?;
        }
    }
    Ok(())
}

/// The host of this name, MAC or address.
pub(super) fn find<'a>(snapshot: &'a Snapshot, asked: &str) -> anyhow::Result<&'a Host> {
    let found = asked
        .parse()
        .ok()
        .and_then(|name| snapshot.host(&name))
        .or_else(|| {
            let mac: HardwareAddr = asked.parse().ok()?;
            snapshot.host_by_mac(mac)
        })
        .or_else(|| {
            let ip: Ipv4Addr = asked.parse().ok()?;
            snapshot.host_by_ip(ip)
        });
    if let Some(host) = found {
        return Ok(host);
    }
    let names = snapshot.hosts().iter().map(|host| host.name.as_str());
    match suggest::nearest(asked, names) {
        Some(near) => bail!("there is no host {asked}; did you mean {near}?"),
        None => bail!(
            "there is no host {asked}; HOST is a name, a MAC or an address of the reservations"
        ),
    }
}

fn profile_of<'a>(
    snapshot: &'a Snapshot,
    host: &'a Host,
) -> anyhow::Result<(&'a str, &'a Profile)> {
    let name = host.name.as_str();
    let Some(profile) = &host.profile else {
        bail!(
            "{name} has no profile: it only gets its address; give `profile` to it, its group or [defaults]"
        );
    };
    let profile = snapshot
        .profile(profile)
        .with_context(|| format!("{name} has the profile {profile}, which is not there"))?;
    Ok((name, profile))
}

fn no_such_answer(profile: &Profile, asked: &str) -> String {
    let names: Vec<&str> = profile
        .answers
        .iter()
        .map(|answer| answer.name.as_str())
        .collect();
    if names.is_empty() {
        return format!("the profile {} has no answers", profile.name);
    }
    format!(
        "the profile {} has no answer {asked}; it has {} (and --stage ipxe is the boot script)",
        profile.name,
        names.join(", ")
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::source::MemoryFiles;

    fn site(server: &str) -> MemoryFiles {
        MemoryFiles::from_iter([
            (
                "c/bootwright.toml",
                format!("[server]\ninterfaces = [\"br0\"]\n[[subnet]]\nnetwork = \"10.0.0.0/24\"\n{server}\n"),
            ),
            (
                "c/reservations.toml",
                "[hosts.a]\nmac = \"52:54:00:00:00:01\"\nip = \"10.0.0.5\"\nprofile = \"p\"\n\
                 [hosts.b]\nmac = \"52:54:00:00:00:02\"\nip = \"10.0.0.6\"\n"
                    .to_owned(),
            ),
            (
                "c/profiles/p.toml",
                "title = \"P\"\nfamily = \"other\"\n[boot]\nkind = \"linux\"\nkernel = \"k\"\n\
                 initrd = [\"i\"]\ncmdline = \"quiet\"\n\
                 [[answers]]\nname = \"one\"\ntemplate = \"one.j2\"\ncontent_type = \"text/plain\"\n\
                 [[answers]]\nname = \"two\"\ntemplate = \"two.j2\"\ncontent_type = \"text/plain\"\n"
                    .to_owned(),
            ),
            ("c/templates/one.j2", "one {{ host.name }}".to_owned()),
            ("c/templates/two.j2", "two {{ server.url }}\n".to_owned()),
        ])
    }

    fn render(
        server: &str,
        host: &str,
        name: Option<&str>,
        stage: Option<&str>,
        format: Format,
    ) -> Result<(String, String), String> {
        let asked = Asked {
            host: host.to_owned(),
            name: name.map(str::to_owned),
            stage: stage.map(str::to_owned),
        };
        let (mut out, mut errors) = (Vec::new(), Vec::new());
        let files = site(server);
        let config = Path::new("c/bootwright.toml");
        match run_with(&files, config, &asked, format, &mut out, &mut errors) {
            Ok(status) => {
                assert_eq!(status, 0);
                Ok((
                    String::from_utf8(out).unwrap(),
                    String::from_utf8(errors).unwrap(),
                ))
            }
            Err(error) => Err(format!("{}{error:#}", String::from_utf8(errors).unwrap())),
        }
    }

    const SERVER: &str = "server = \"10.0.0.1\"";

    #[test]
    fn one_text_is_printed_as_it_is() {
        for host in ["a", "52-54-00-00-00-01", "10.0.0.5"] {
            let (out, errors) = render(SERVER, host, Some("one"), None, Format::Text).unwrap();
            assert_eq!((out.as_str(), errors.as_str()), ("one a", ""));
        }
        let (out, _) = render(SERVER, "a", None, Some("ipxe"), Format::Text).unwrap();
        assert!(out.starts_with("#!ipxe\n"));
    }

    #[test]
    fn everything_is_printed_under_headings() {
        let (out, _) = render(SERVER, "a", None, None, Format::Text).unwrap();
        let headings: Vec<&str> = out.lines().filter(|line| line.starts_with("==>")).collect();
        assert_eq!(
            headings,
            [
                "==> a: boot.ipxe (text/plain) <==",
                "==> a: one (text/plain) <==",
                "==> a: two (text/plain) <==",
            ]
        );
        assert!(out.ends_with("two http://10.0.0.1:8080\n"));
    }

    #[test]
    fn json_holds_the_same_texts() {
        let (out, _) = render(SERVER, "a", Some("two"), None, Format::Json).unwrap();
        let report: serde_json::Value = serde_json::from_str(&out).unwrap();
        assert_eq!(report["host"], "a");
        assert_eq!(report["arch"], "x86_64");
        assert_eq!(report["texts"][0]["text"], "two http://10.0.0.1:8080\n");
        assert!(report.get("note").is_none());
    }

    #[test]
    fn an_address_that_nobody_gave_is_told_beside_the_text() {
        let (out, errors) = render("", "a", Some("two"), None, Format::Text).unwrap();
        assert_eq!(out, "two http://10.0.0.1:8080\n");
        assert!(
            errors.starts_with("note: URLs are shown with 10.0.0.1 "),
            "{errors}"
        );
        let (out, errors) = render("", "a", Some("two"), None, Format::Json).unwrap();
        assert!(out.contains("\"note\"") && errors.is_empty());
    }

    #[test]
    fn what_cannot_be_shown_says_why() {
        let why = |host, name, stage| render(SERVER, host, name, stage, Format::Text).unwrap_err();
        assert_eq!(
            why("a", Some("three"), None),
            "the profile p has no answer three; it has one, two (and --stage ipxe is the boot script)"
        );
        assert!(why("zzzzzz", None, None).starts_with("there is no host zzzzzz"));
        assert!(why("b", None, None).starts_with("b has no profile"));
        for stage in ["grub", "pxelinux"] {
            assert!(why("a", None, Some(stage)).contains("is not available in this version"));
        }
        assert!(why("a", None, Some("lilo")).contains("are the stages"));
        let wrong = render("server = 5", "a", None, None, Format::Text).unwrap_err();
        assert!(wrong.contains("c/bootwright.toml"), "{wrong}");
        assert!(wrong.ends_with("the configuration has errors"), "{wrong}");
    }
}
