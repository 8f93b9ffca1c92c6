//! `bootwright install`, `cancel`, `local`.

use std::io::Write;
use std::time::Duration;

use super::args;
use super::client::{Client, Refused};
use super::output::{Format, agrees, on_a_terminal};
use super::{runtime, table};
use crate::base::time::show_duration;
use crate::base::{Lifecycle, glob};
use crate::record::InstallState;
use crate::serve::admin::error::{Body, RefusalOf};
use crate::serve::admin::hosts::HostView;
use crate::serve::admin::judge::{BootView, Preview, WouldGet};
use crate::serve::admin::orders::{Done, Order};

/// Names listed in a question.
const LISTED: usize = 20;
/// Where orders to install go.
const PATH: &str = "/install";

/// Arms hosts.
pub fn install(
    client: &Client,
    install: args::Install,
    format: Format,
    out: &mut dyn Write,
) -> anyhow::Result<u8> {
    let runtime = runtime()?;
    let mut order = Order {
        hosts: install.hosts,
        group: install.group,
        profile: install.profile,
        after: install.after,
        armed_for: install.armed_for,
        force: install.force,
        dry_run: install.dry_run,
        by: sudo_user(),
    };
    if install.dry_run {
        let preview: Preview = runtime.block_on(client.post(PATH, &order))?;
        return show_preview(&preview, format, out);
    }
    let several = order.group.is_some()
        || order.hosts.len() > 1
        || order.hosts.iter().any(|h| glob::is_glob(h));
    if several && !install.yes {
        // Asked about is what the daemon makes of the names, and that is what is ordered then.
        let question = Order {
            dry_run: true,
            ..order.clone()
        };
        let preview: Preview = runtime.block_on(client.post(PATH, &question))?;
        let names = preview.hosts.iter().map(|host| host.name.to_string());
        let names: Vec<String> = names.collect();
        if preview.refused > 0 {
            return Err(refused(preview).into());
        }
        if names.len() > 1 {
            // A host of which it is not known what its profile does is not called safe.
            let overwrites =
                |host: &WouldGet| host.lifecycle.unwrap_or_default() == Lifecycle::Install;
            ask(&names, preview.hosts.iter().any(overwrites))?;
        }
        order.hosts = names;
        order.group = None;
    }
    let done: Done = runtime.block_on(client.post(PATH, &order))?;
    if format == Format::Json {
        writeln!(out, "{}", serde_json::to_string_pretty(&done)?)?;
        return Ok(0);
    }
    for host in &done.hosts {
        writeln!(out, "{}", armed(&host.host))?;
    }
    let waiting = |host: &HostView| host.state == InstallState::Waiting;
    match done.hosts.as_slice() {
        [host] if waiting(&host.host) => {}
        [host] => {
            let name = &host.host.name;
            writeln!(
                out,
                "Now start {name} from the network. `bootwright events --follow --host {name}` shows how it goes."
            )?;
        }
        hosts if hosts.iter().all(|host| waiting(&host.host)) => {
            writeln!(out, "`bootwright hosts` shows where each stands.")?;
        }
        hosts => {
            let who = if hosts.iter().any(|host| waiting(&host.host)) {
                "those that are armed"
            } else {
                "them"
            };
            writeln!(
                out,
                "Now start {who} from the network. `bootwright hosts` shows where each stands."
            )?;
        }
    }
    Ok(0)
}

/// How a host stands once it was armed, in one line.
fn armed(view: &HostView) -> String {
    let install = view.installation.as_ref();
    let profile = install
        .and_then(|install| install.profile.as_ref())
        .map(ToString::to_string)
        .unwrap_or_default();
    let after = install.and_then(|install| install.after.as_deref());
    if let (InstallState::Waiting, Some(after)) = (view.state, after) {
        return format!(
            "{}: waiting for {after}, then armed with {profile}",
            view.name
        );
    }
    let until = install
        .and_then(|install| install.armed_until)
        .map(|until| {
            format!(
                "; it lapses at {} if the machine has not come by then",
                table::time(until)
            )
        })
        .unwrap_or_default();
    format!("{}: {} with {profile}{until}", view.name, view.state)
}

/// Shows what would be done. Status 1 when any host would be refused.
fn show_preview(preview: &Preview, format: Format, out: &mut dyn Write) -> anyhow::Result<u8> {
    let status = u8::from(preview.refused > 0);
    if format == Format::Json {
        writeln!(out, "{}", serde_json::to_string_pretty(preview)?)?;
        return Ok(status);
    }
    for host in &preview.hosts {
        show_one(host, out)?;
    }
    let hosts = |count: usize| match count {
        1 => "1 host".to_owned(),
        count => format!("{count} hosts"),
    };
    match preview.refused {
        0 => writeln!(
            out,
            "Nothing was changed. Without --dry-run {} would be armed.",
            hosts(preview.hosts.len())
        )?,
        refused => writeln!(
            out,
            "Nothing was changed. {} of {} would be refused, and so none would be armed.",
            refused,
            hosts(preview.hosts.len())
        )?,
    }
    Ok(status)
}

fn show_one(host: &WouldGet, out: &mut dyn Write) -> anyhow::Result<()> {
    let would = match (&host.refused, host.would_be, &host.after) {
        (Some(_), ..) => "would be refused".to_owned(),
        (None, Some(InstallState::Waiting), Some(after)) => {
            format!("would wait for {after}, then be armed")
        }
        (None, Some(state), _) => format!("would be {state}"),
        (None, None, _) => "would stay as it is".to_owned(),
    };
    writeln!(out, "{}: {would}", host.name)?;
    let mut rows: Vec<(&str, Option<String>)> = vec![("  now", Some(host.state.to_string()))];
    if let Some(refused) = &host.refused {
        rows.push(("  refused", Some(refused.message.clone())));
        rows.push(("  remedy", refused.remedy.clone()));
    }
    let profile = host.profile.as_ref().map(|profile| {
        let title = host.title.as_ref().map(|title| format!(" ({title})"));
        let arch = host.arch.map(|arch| format!(" for {arch}"));
        format!(
            "{profile}{}{}",
            title.unwrap_or_default(),
            arch.unwrap_or_default()
        )
    });
    rows.push(("  profile", profile));
    let does = host.lifecycle.map(|lifecycle| match lifecycle {
        Lifecycle::Install => "overwrites its disk",
        Lifecycle::Live => "runs from memory, at each boot until `bootwright local`",
        Lifecycle::Once => "a tool, for one boot",
    });
    rows.push(("  effect", does.map(str::to_owned)));
    let armed_for = host.armed_for.map(Duration::from_secs).map(show_duration);
    rows.push(("  armed for", armed_for));
    let list = |items: &[String]| (!items.is_empty()).then(|| items.join(", "));
    let text = |text: &str| (!text.is_empty()).then(|| text.to_owned());
    match &host.boot {
        Some(BootView::Linux {
            kernel,
            initrd,
            cmdline,
        }) => {
            rows.push(("  kernel", text(kernel)));
            rows.push(("  initrd", list(initrd)));
            rows.push(("  cmdline", text(cmdline)));
        }
        Some(BootView::Multiboot {
            kernel,
            modules,
            cmdline,
        }) => {
            rows.push(("  kernel", text(kernel)));
            rows.push(("  modules", list(modules)));
            rows.push(("  cmdline", text(cmdline)));
        }
        Some(BootView::Efi { file, cmdline }) => {
            rows.push(("  EFI file", text(file)));
            rows.push(("  cmdline", text(cmdline)));
        }
        Some(BootView::Wimboot { files }) => rows.push(("  wimboot", list(files))),
        Some(BootView::Memdisk { image }) => rows.push(("  memdisk", text(image))),
        Some(BootView::Sanboot {
            target,
            initiator,
            username,
        }) => {
            rows.push(("  disk", text(target)));
            rows.push(("  initiator", initiator.clone()));
            rows.push(("  username", username.clone()));
        }
        Some(BootView::Local { drive }) => {
            rows.push(("  disk", Some(format!("its own, {drive:#x}"))));
        }
        Some(BootView::Chain { url, signature }) => {
            rows.push(("  chain", Some(url.clone())));
            rows.push(("  signature", signature.clone()));
        }
        Some(BootView::Script { text }) => {
            rows.push((
                "  script",
                Some(format!("its own, {} lines", text.lines().count())),
            ));
        }
        None => {}
    }
    rows.push(("  answers", list(&host.answers)));
    rows.push(("  missing", list(&host.missing)));
    table::pairs(out, &rows)?;
    Ok(())
}

/// What stands against an order, before anybody was asked.
fn refused(preview: Preview) -> Refused {
    let mut refusals: Vec<RefusalOf> = preview
        .hosts
        .into_iter()
        .filter_map(|host| Some((host.name.to_string(), host.refused?)))
        .flat_map(|(host, refused)| {
            if !refused.refusals.is_empty() {
                return refused.refusals;
            }
            vec![RefusalOf {
                host,
                code: refused.code,
                message: refused.message,
                remedy: refused.remedy,
            }]
        })
        .collect();
    match (refusals.pop(), refusals.is_empty()) {
        (Some(only), true) => Refused(Body {
            code: only.code,
            message: only.message,
            remedy: only.remedy,
            refusals: Vec::new(),
        }),
        (last, _) => {
            refusals.extend(last);
            Refused(Body {
                code: "refused".to_owned(),
                message: format!(
                    "refused for {} reasons; nothing was changed",
                    refusals.len()
                ),
                remedy: None,
                refusals,
            })
        }
    }
}

/// Takes armings back.
pub fn cancel(
    client: &Client,
    order: args::Order,
    format: Format,
    out: &mut dyn Write,
) -> anyhow::Result<u8> {
    plain(client, "/cancel", order, format, out)
}

/// Has hosts boot their disks.
pub fn local(
    client: &Client,
    order: args::Order,
    format: Format,
    out: &mut dyn Write,
) -> anyhow::Result<u8> {
    plain(client, "/local", order, format, out)
}

fn plain(
    client: &Client,
    path: &str,
    order: args::Order,
    format: Format,
    out: &mut dyn Write,
) -> anyhow::Result<u8> {
    let runtime = runtime()?;
    let order = Order {
        hosts: order.hosts,
        group: order.group,
        force: order.force,
        by: sudo_user(),
        ..Order::default()
    };
    let done: Done = runtime.block_on(client.post(path, &order))?;
    if format == Format::Json {
        writeln!(out, "{}", serde_json::to_string_pretty(&done)?)?;
        return Ok(0);
    }
    for host in &done.hosts {
        let (name, state) = (&host.host.name, host.host.state);
        let already = if host.changed { "" } else { " already" };
        let next = match (host.host.install.as_str(), host.changed) {
            ("always", _) => "; its live system is served at every boot (install = \"always\")",
            (_, true) => "; its next boot is from its disk",
            (_, false) => "",
        };
        writeln!(out, "{name}: {state}{already}{next}")?;
    }
    Ok(0)
}

/// Asks before more than one host is armed.
fn ask(hosts: &[String], overwrites: bool) -> anyhow::Result<()> {
    let mut names = hosts
        .iter()
        .take(LISTED)
        .map(String::as_str)
        .collect::<Vec<_>>()
        .join(", ");
    if hosts.len() > LISTED {
        names = format!("{names} and {} more", hosts.len() - LISTED);
    }
    if !on_a_terminal() {
        anyhow::bail!(
            "{} hosts would be armed: {names}\n  say --yes to arm more than one without being asked",
            hosts.len()
        );
    }
    let question = format!(
        "Arm {} hosts: {names}?{}",
        hosts.len(),
        if overwrites {
            " Their disks will be overwritten."
        } else {
            ""
        }
    );
    if agrees(&question)? {
        Ok(())
    } else {
        anyhow::bail!("nothing was armed")
    }
}

/// Who stands behind root. The daemon takes it from root only.
fn sudo_user() -> Option<String> {
    if !nix::unistd::geteuid().is_root() {
        return None;
    }
    std::env::var("SUDO_USER")
        .ok()
        .filter(|user| !user.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_dry_run_as_people_read_it() {
        let preview: Preview = serde_json::from_value(serde_json::json!({
            "dry_run": true,
            "refused": 1,
            "hosts": [
                {
                    "name": "guest", "state": "local", "would_be": "waiting", "after": "hv:up",
                    "profile": "debian-12", "title": "Debian 12", "lifecycle": "install", "arch": "x86_64", "armed_for": 86400,
                    "boot": { "kind": "linux", "kernel": "d/linux", "initrd": ["d/initrd.gz"], "cmdline": "auto=true" },
                    "answers": ["preseed.cfg"],
                },
                {
                    "name": "never", "state": "local", "missing": ["d/linux"],
                    "refused": { "code": "install-never", "message": "never has install = \"never\"", "remedy": "take that out" },
                },
            ],
        }))
        .unwrap();
        let mut out = Vec::new();
        assert_eq!(show_preview(&preview, Format::Text, &mut out).unwrap(), 1);
        assert_eq!(
            String::from_utf8(out).unwrap(),
            "guest: would wait for hv:up, then be armed\n\
             \u{20} now        local\n\
             \u{20} profile    debian-12 (Debian 12) for x86_64\n\
             \u{20} effect     overwrites its disk\n\
             \u{20} armed for  24h\n\
             \u{20} kernel     d/linux\n\
             \u{20} initrd     d/initrd.gz\n\
             \u{20} cmdline    auto=true\n\
             \u{20} answers    preseed.cfg\n\
             never: would be refused\n\
             \u{20} now      local\n\
             \u{20} refused  never has install = \"never\"\n\
             \u{20} remedy   take that out\n\
             \u{20} missing  d/linux\n\
             Nothing was changed. 1 of 2 hosts would be refused, and so none would be armed.\n"
        );
        let error = refused(preview);
        assert_eq!(
            error.to_string(),
            "never has install = \"never\"\n  take that out"
        );
    }
}
