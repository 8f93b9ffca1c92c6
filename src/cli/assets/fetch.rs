//! `assets fetch`.

use std::borrow::Cow;
use std::io::Write;
use std::path::Path;

use anyhow::bail;
use serde::Serialize;

use super::progress::Progress;
use super::{configuration, now};
use crate::assets::choice::{Given, choose, given};
use crate::assets::fetch::{Brought, From, Order, fetch};
use crate::assets::http::Patience;
use crate::assets::keep::architectures;
use crate::assets::manifest::Checked;
use crate::assets::{AssetError, BUILTIN, builtin};
use crate::base::{Architecture, ProfileName, suggest};
use crate::cli::output::Format;
use crate::cli::runtime;
use crate::config::fetch::{Fetch, Values};
use crate::render::load::InForce;

/// What a name on the command line stands for.
struct Wanted<'c> {
    name: String,
    fetch: Cow<'c, Fetch>,
    arch: Vec<Architecture>,
    values: Vec<Values>,
}

pub(super) fn run(
    config: &Path,
    asked: &super::Fetch,
    format: Format,
    out: &mut dyn Write,
) -> anyhow::Result<u8> {
    let in_force = configuration(config)?;
    // All names first: nothing is brought when one is wrong, or when it is not known what.
    let wanted = asked
        .names
        .iter()
        .map(|name| named(&in_force, name, asked))
        .collect::<anyhow::Result<Vec<_>>>()?;
    let from = match (&asked.mirror, &asked.from) {
        (Some(mirror), _) => From::Mirror(mirror),
        (None, Some(path)) => From::Local(path),
        (None, None) => From::Usual,
    };
    let mut fetches: Vec<(&str, Fetch)> = Vec::new();
    for wanted in &wanted {
        for arch in &wanted.arch {
            for values in &wanted.values {
                fetches.push((&wanted.name, wanted.fetch.with(*arch, values)));
            }
        }
    }
    for (name, fetch) in &fetches {
        let order = Order {
            name,
            fetch,
            boot_assets: &in_force.snapshot.server.boot_assets,
            from,
            signatures: !asked.no_signature,
            patience: Patience::default(),
            now: now(),
        };
        let brought = carry_out(&order, format, out)?;
        show(&order, &brought, format, out)?;
    }
    Ok(0)
}

/// Fetches, and shows how far it is.
pub(super) fn carry_out(
    order: &Order<'_>,
    format: Format,
    out: &mut dyn Write,
) -> Result<Vec<Brought>, AssetError> {
    let mut progress = Progress::new(format);
    let runtime = runtime().map_err(|error| AssetError::Tool {
        command: "a runtime".to_owned(),
        message: error.to_string(),
    })?;
    let result = runtime.block_on(fetch(order, &mut |step| progress.show(&step, out)));
    progress.clear();
    result
}

#[derive(Serialize)]
struct Placed<'a> {
    event: &'static str,
    profile: &'a str,
    #[serde(flatten)]
    file: &'a Brought,
}

/// Shows what came and what that is worth.
pub(super) fn show(
    order: &Order<'_>,
    brought: &[Brought],
    format: Format,
    out: &mut dyn Write,
) -> anyhow::Result<()> {
    for file in brought {
        if format == Format::Json {
            let placed = Placed {
                event: "placed",
                profile: order.name,
                file,
            };
            serde_json::to_writer(&mut *out, &placed)?;
            writeln!(out)?;
            continue;
        }
        let note = if file.unchanged {
            "  (was there already)"
        } else {
            ""
        };
        writeln!(
            out,
            "{}  {} bytes  sha256 {}{note}\n    {}",
            order.boot_assets.join(&file.path).display(),
            file.size,
            file.sha256,
            file.note
        )?;
    }
    let unchecked = brought
        .iter()
        .filter(|file| file.checked == Checked::Nothing)
        .count();
    if unchecked > 0 && format == Format::Text {
        writeln!(
            out,
            "{}: {unchecked} of {} files could not be checked by a sum or a signature",
            order.name,
            brought.len()
        )?;
    }
    out.flush()?;
    Ok(())
}

fn named<'c>(
    in_force: &'c InForce,
    name: &str,
    asked: &super::Fetch,
) -> anyhow::Result<Wanted<'c>> {
    let snapshot = &in_force.snapshot;
    let profile = name
        .parse::<ProfileName>()
        .ok()
        .and_then(|name| snapshot.profile(&name));
    let usual = || match profile {
        Some(profile) => architectures(in_force, profile),
        None => vec![Architecture::X86_64],
    };
    let arch = asked.arch.map_or_else(usual, |arch| vec![arch]);
    let name = name.to_owned();
    let is_local = asked.from.is_some();
    if let Some((profile, fetch)) =
        profile.and_then(|profile| Some((profile, profile.fetch.as_deref()?)))
    {
        let arch = if fetch.is_per_arch() {
            arch
        } else {
            arch.into_iter().take(1).collect()
        };
        let given = given(in_force, profile);
        let values = choose(&name, fetch, given, &asked.vars, is_local)?;
        return Ok(Wanted {
            name,
            fetch: Cow::Borrowed(fetch),
            arch,
            values,
        });
    }
    if let Some(fetch) = builtin(&name) {
        let values = choose(&name, &fetch, vec![Given::default()], &asked.vars, is_local)?;
        return Ok(Wanted {
            name,
            fetch: Cow::Owned(fetch),
            arch,
            values,
        });
    }
    if profile.is_some() {
        bail!(
            "the profile {name} does not say where its boot files come from: add a [fetch] to {}/{name}.toml, or put them below {} by hand",
            snapshot.server.profiles.display(),
            snapshot.server.boot_assets.display()
        );
    }
    let mut known: Vec<&str> = BUILTIN.to_vec();
    for profile in snapshot.profiles().values() {
        if profile.fetch.is_some() && !known.contains(&profile.name.as_str()) {
            known.push(profile.name.as_str());
        }
    }
    match suggest::nearest(&name, known.iter().copied()) {
        Some(near) => bail!("there are no boot files `{name}` to fetch; did you mean {near}?"),
        None => bail!(
            "there are no boot files `{name}` to fetch; there are {}",
            known.join(", ")
        ),
    }
}
