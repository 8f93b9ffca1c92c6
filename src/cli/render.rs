//! `bootwright render`: what a machine would get, without serving it, arming it or asking a daemon.
//!
//! **Invariant:** what is printed never holds a secret. With `--with-secrets` they are written into files
//! of mode 0600, of one host, and what is printed is where.

mod folder;
mod items;
pub(super) mod place;
#[cfg(test)]
mod tests;
mod virt;

use std::io::Write;
use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::bail;
use serde::Serialize;

pub(super) use self::items::find;
use self::items::{How, Preview, Rendered};
use self::place::Mode;
use super::output::Format;
use crate::base::BootLoader;
use crate::config::show;
use crate::config::source::{DiskFiles, Files};
use crate::render::load::InForce;
use crate::render::{check, load};

/// What is asked for.
#[derive(Debug, Clone, Default)]
pub struct Asked {
    /// The host: name, MAC or address. `None`: all of them.
    pub host: Option<String>,
    /// One answer file, `boot.ipxe`, `grub.cfg`, `pxelinux.cfg` or `cmdline`; otherwise all of them.
    pub name: Option<String>,
    /// The boot loader whose script is asked for: `ipxe`, `grub` or `pxelinux`.
    pub stage: Option<String>,
    /// Secrets in clear, into a file.
    pub with_secrets: bool,
    /// The file or folder that is written instead of printing.
    pub into: Option<PathBuf>,
    /// Every file of every host.
    pub all: bool,
    /// The lines that make a virtual machine of the host.
    pub virt_install: bool,
}

/// What is printed as JSON.
#[derive(Debug, Serialize)]
struct Report<'a> {
    host: &'a str,
    profile: &'a str,
    arch: &'static str,
    server: Ipv4Addr,
    #[serde(skip_serializing_if = "Option::is_none")]
    note: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    texts: Option<Vec<Rendered>>,
    /// The files that were written instead.
    #[serde(skip_serializing_if = "Option::is_none")]
    files: Option<Vec<PathBuf>>,
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
    usage(asked)?;
    let in_force = &configuration(files, config, errors)?;
    match (&asked.host, &asked.into) {
        (Some(host), _) => one_host(in_force, host, asked, format, out, errors),
        (None, Some(into)) => folder::write(in_force, into, format, out, errors),
        (None, None) => bail!("name a host, or every host by --all --into DIR"),
    }
}

/// The configuration, without errors; those that there are go to `errors`.
pub(super) fn configuration(
    files: &dyn Files,
    config: &Path,
    errors: &mut dyn Write,
) -> anyhow::Result<Arc<InForce>> {
    let loaded = load::load(files, config, 0);
    let Some(in_force) = loaded.config else {
        writeln!(
            errors,
            "{}",
            show::text(&loaded.problems, &loaded.sources, false, false)
        )?;
        bail!("the configuration has errors");
    };
    Ok(in_force)
}

/// What makes no sense, or would show what must not be shown.
fn usage(asked: &Asked) -> anyhow::Result<()> {
    if let Some(other) = asked.stage.as_deref()
        && other.parse::<BootLoader>().is_err()
    {
        bail!("--stage {other}: ipxe, grub and pxelinux are the stages");
    }
    if let (Some(stage), Some(name)) = (&asked.stage, &asked.name) {
        bail!("give either the answer {name} or --stage {stage}");
    }
    if asked.with_secrets && asked.all {
        bail!(
            "--all is for reviews, and its secrets stay masked; --with-secrets is for one host at a time"
        );
    }
    if asked.with_secrets && asked.into.is_none() {
        bail!(
            "--with-secrets shows nothing on a terminal or in a pipe: it writes a file that only you can read; name it with --into FILE"
        );
    }
    if asked.all && asked.into.is_none() {
        bail!("--all writes a folder: name it with --into DIR");
    }
    if asked.virt_install && (asked.name.is_some() || asked.stage.is_some()) {
        bail!("--virt-install is about the whole host: give neither an answer's name nor --stage");
    }
    Ok(())
}

fn one_host(
    in_force: &InForce,
    host: &str,
    asked: &Asked,
    format: Format,
    out: &mut dyn Write,
    errors: &mut dyn Write,
) -> anyhow::Result<u8> {
    let host = find(&in_force.snapshot, host)?;
    let preview = Preview::of(in_force, host)?;
    if asked.virt_install {
        return virt::run(&preview, asked, format, out, errors);
    }
    let how = How {
        secrets: asked.with_secrets,
        injected: false,
    };
    let texts = match (&asked.name, &asked.stage) {
        (Some(name), _) => vec![preview.one(name, how)?],
        (None, Some(stage)) => vec![preview.script(stage.parse().unwrap_or_default())?],
        (None, None) => preview.all(how)?,
    };
    // Only what concerns this host's URLs.
    let note = check::offline_note(&in_force.snapshot, Some(host));
    let (texts, files) = match &asked.into {
        None => (Some(texts), None),
        Some(into) => {
            let written = place::write(into, &texts, Mode::of(asked.with_secrets))?;
            (None, Some(written))
        }
    };
    match format {
        Format::Json => {
            let report = Report {
                host: host.name.as_str(),
                profile: preview.view.profile.name.as_str(),
                arch: preview.view.arch.as_str(),
                server: preview.view.server,
                note,
                texts,
                files,
            };
            serde_json::to_writer_pretty(&mut *out, &report)?;
            writeln!(out)?;
        }
        Format::Text => {
            if let Some(note) = note {
                writeln!(errors, "note: {note}")?;
            }
            print(out, host.name.as_str(), &texts.unwrap_or_default())?;
            let mode = Mode::of(asked.with_secrets).told();
            for file in files.iter().flatten() {
                writeln!(out, "wrote {}{mode}", file.display())?;
            }
        }
    }
    Ok(0)
}

/// One text as it is, so that it can be piped into a file; several under headings.
fn print(out: &mut dyn Write, host: &str, texts: &[Rendered]) -> std::io::Result<()> {
    if let [only] = texts {
        return out.write_all(only.text.as_bytes());
    }
    for (index, text) in texts.iter().enumerate() {
        if index > 0 {
            writeln!(out)?;
        }
        writeln!(out, "==> {host}: {} ({}) <==", text.name, text.content_type)?;
        out.write_all(text.text.as_bytes())?;
        if !text.text.ends_with('\n') {
            writeln!(out)?;
        }
    }
    Ok(())
}
