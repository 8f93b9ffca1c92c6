//! `render --virt-install`: the lines that make a virtual machine of a host: one that boots from the network
//! with the reserved MAC address, and one that needs no boot server, with the answers put into the
//! installer's initial RAM disk.

use std::io::Write;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail};
use serde::Serialize;

use super::Asked;
use super::items::{How, Preview, Rendered};
use super::place::{self, Mode};
use crate::base::{Architecture, Lifecycle};
use crate::cli::output::Format;
use crate::render::filters::shell_quote;
use crate::render::injected::{self, Location};
use crate::render::secrets::MASK;
use crate::render::{Urls, check};

/// What is printed as JSON.
#[derive(Debug, Serialize)]
struct Report<'a> {
    host: &'a str,
    /// The line that boots from the network.
    pxe: String,
    /// The line that needs no boot server.
    #[serde(skip_serializing_if = "Option::is_none")]
    location: Option<String>,
    /// Why there is none.
    #[serde(skip_serializing_if = "Option::is_none")]
    location_refused: Option<String>,
    /// The files that were written.
    files: Vec<PathBuf>,
    notes: Vec<String>,
}

/// Prints the lines; with `into` the answers are written there.
pub(super) fn run(
    preview: &Preview<'_>,
    asked: &Asked,
    format: Format,
    out: &mut dyn Write,
    errors: &mut dyn Write,
) -> anyhow::Result<u8> {
    let host = preview.view.host;
    let name = host.name.as_str();
    if host.macs.is_empty() {
        bail!("{name} has no MAC address yet, by which its virtual machine would be known");
    }
    let mut notes = vec![format!(
        "memory, CPUs and disk are examples; with UEFI firmware add --boot uefi{}",
        match preview.view.snapshot.server.interfaces.first() {
            Some(link) => format!("; its network is {link}, which must be a bridge there"),
            None => String::new(),
        }
    )];
    let boot = preview.boot_of_injected()?;
    let found = match injected::location(&boot, host, preview.view.profile.answers.len()) {
        Ok(location) => Ok((location, inject(preview, asked, &mut notes)?)),
        Err(why) => Err(why),
    };
    let (line, refused, written) = match found {
        Ok((location, (paths, written))) => {
            let line = location_line(preview, &location, &paths);
            (Some(line), None, written)
        }
        Err(why) if asked.into.is_some() => {
            bail!("there is nothing to write for {name}: {why}")
        }
        Err(why) => (None, Some(why), Vec::new()),
    };
    let note = check::offline_note(preview.view.snapshot, Some(host));
    notes.extend(note.filter(|_| line.is_some()));
    let pxe = format!("virt-install {} --pxe", machine(preview).join(" "));
    if format == Format::Json {
        let report = Report {
            host: name,
            pxe,
            location: line,
            location_refused: refused,
            files: written,
            notes,
        };
        serde_json::to_writer_pretty(&mut *out, &report)?;
        writeln!(out)?;
        return Ok(0);
    }
    for note in &notes {
        writeln!(errors, "note: {note}")?;
    }
    writeln!(
        out,
        "# {name} from the network, as the boot server has it; it is installed once it is armed: bootwright install {name}\n{pxe}\n"
    )?;
    match (line, refused) {
        (Some(line), _) => writeln!(
            out,
            "# {name} without the boot server's DHCP and answers; nobody is told how far it is\n{line}"
        )?,
        (None, why) => writeln!(
            out,
            "# {name} cannot be installed from files put into its initial RAM disk: {}",
            why.unwrap_or_default()
        )?,
    }
    for file in &written {
        let mode = Mode::of(asked.with_secrets).told();
        writeln!(errors, "wrote {}{mode}", file.display())?;
    }
    Ok(0)
}

/// The paths of the answers as the line names them, and the files that were written.
fn inject(
    preview: &Preview<'_>,
    asked: &Asked,
    notes: &mut Vec<String>,
) -> anyhow::Result<(Vec<PathBuf>, Vec<PathBuf>)> {
    let name = preview.view.host.name.as_str();
    let masked = preview.answers(How {
        secrets: false,
        injected: true,
    })?;
    let hidden: Vec<&str> = masked
        .iter()
        .filter(|text| text.text.contains(MASK))
        .map(|text| text.name.as_str())
        .collect();
    if !hidden.is_empty() && !asked.with_secrets {
        notes.push(format!(
            "secrets are masked in {}, which makes no machine: --with-secrets writes them",
            hidden.join(", ")
        ));
    }
    let Some(into) = &asked.into else {
        notes.push(format!(
            "the files to put in are written by: bootwright render {name} --virt-install --into {name}"
        ));
        let paths = masked.iter().map(|text| Path::new(name).join(&text.name));
        return Ok((paths.collect(), Vec::new()));
    };
    let mut texts: Vec<Rendered> = if asked.with_secrets {
        preview.answers(How {
            secrets: true,
            injected: true,
        })?
    } else {
        masked
    };
    for text in &mut texts {
        match injected::with_note(&text.text) {
            Some(noted) => text.text = noted,
            None => notes.push(format!(
                "{} holds no report URLs; its format has no comments to say so",
                text.name
            )),
        }
    }
    let mode = Mode::of(asked.with_secrets);
    // A folder even for one file: virt-install puts it in by its own name.
    place::make_folder(into, mode)?;
    let folder = into
        .canonicalize()
        .with_context(|| format!("{} cannot be found", into.display()))?;
    let written = place::write(&folder.join(""), &texts, mode)?;
    Ok((written.clone(), written))
}

/// The arguments that both lines have, as shell words.
fn machine(preview: &Preview<'_>) -> Vec<String> {
    let view = &preview.view;
    let host = view.host;
    let mut args = vec![
        "--name".to_owned(),
        shell_quote(host.name.as_str()),
        "--memory 4096 --vcpus 2".to_owned(),
        "--os-variant detect=on,require=off".to_owned(),
    ];
    match view.arch {
        // What the machine that runs it is, mostly.
        Architecture::X86_64 => {}
        Architecture::I386 => args.push("--arch i686".to_owned()),
        Architecture::Aarch64 => args.push("--arch aarch64".to_owned()),
        Architecture::Arm => args.push("--arch armv7l".to_owned()),
    }
    args.push(match view.profile.lifecycle {
        Lifecycle::Live => "--disk none".to_owned(),
        Lifecycle::Install | Lifecycle::Once => "--disk size=20".to_owned(),
    });
    let network = match view.snapshot.server.interfaces.first() {
        Some(bridge) => format!("bridge={bridge}"),
        None => "network=default".to_owned(),
    };
    let further = host.nics.iter().flat_map(|nic| nic.macs.iter());
    for mac in host.macs.iter().chain(further) {
        args.push("--network".to_owned());
        args.push(shell_quote(&format!("{network},mac={mac},model=virtio")));
    }
    args
}

fn location_line(preview: &Preview<'_>, location: &Location, files: &[PathBuf]) -> String {
    let mut args = machine(preview);
    let folder = Urls::of(&preview.view).asset(&location.folder);
    args.push("--location".to_owned());
    args.push(shell_quote(&format!(
        "{folder}/,kernel={},initrd={}",
        location.kernel, location.initrd
    )));
    for file in files {
        args.push("--initrd-inject".to_owned());
        args.push(shell_quote(&file.to_string_lossy()));
    }
    args.push("--extra-args".to_owned());
    args.push(shell_quote(&location.extra_args));
    format!("virt-install {}", args.join(" "))
}
