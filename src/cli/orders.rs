//! `bootwright install`, `cancel`, `local`.

use std::io::{self, BufRead as _, IsTerminal as _, Write};

use super::args;
use super::client::Client;
use super::output::Format;
use super::{later, runtime, table};
use crate::serve::admin::hosts::HostView;
use crate::serve::admin::orders::{Done, Order};

/// Names listed in a question.
const LISTED: usize = 20;

/// Arms hosts.
pub fn install(
    client: &Client,
    install: args::Install,
    format: Format,
    out: &mut dyn Write,
) -> anyhow::Result<u8> {
    for (given, option) in [
        (install.group.is_some(), "install --group"),
        (install.profile.is_some(), "install --profile"),
        (install.after.is_some(), "install --after"),
        (install.dry_run, "install --dry-run"),
    ] {
        if given {
            return later::refuse(option);
        }
    }
    let runtime = runtime()?;
    let hosts = runtime.block_on(expand(client, install.hosts))?;
    if hosts.len() > 1 && !install.yes {
        ask(&hosts)?;
    }
    let order = Order {
        hosts,
        force: install.force,
        armed_for: install.armed_for,
        by: sudo_user(),
    };
    let done: Done = runtime.block_on(client.post("/install", &order))?;
    if format == Format::Json {
        writeln!(out, "{}", serde_json::to_string_pretty(&done)?)?;
        return Ok(0);
    }
    for host in &done.hosts {
        let view = &host.host;
        let install = view.installation.as_ref();
        let until = install
            .and_then(|install| install.armed_until)
            .map(|until| {
                format!(
                    "; it lapses at {} if the machine has not come by then",
                    table::time(until)
                )
            })
            .unwrap_or_default();
        let profile = install
            .and_then(|install| install.profile.as_ref())
            .map(|profile| format!(" with {profile}"))
            .unwrap_or_default();
        writeln!(out, "{}: {}{profile}{until}", view.name, view.state)?;
    }
    if let [host] = done.hosts.as_slice() {
        let name = &host.host.name;
        writeln!(
            out,
            "Now start {name} from the network. `bootwright events --follow --host {name}` shows how it goes."
        )?;
    } else {
        writeln!(
            out,
            "Now start them from the network. `bootwright hosts` shows where each stands."
        )?;
    }
    Ok(0)
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
        hosts: runtime.block_on(expand(client, order.hosts))?,
        force: order.force,
        armed_for: None,
        by: sudo_user(),
    };
    let done: Done = runtime.block_on(client.post(path, &order))?;
    if format == Format::Json {
        writeln!(out, "{}", serde_json::to_string_pretty(&done)?)?;
        return Ok(0);
    }
    for host in &done.hosts {
        let (name, state) = (&host.host.name, host.host.state);
        if host.changed {
            writeln!(out, "{name}: {state}; its next boot is from its disk")?;
        } else {
            writeln!(out, "{name}: {state} already")?;
        }
    }
    Ok(0)
}

/// Hosts as they were named, globs replaced by the names that they fit.
async fn expand(client: &Client, named: Vec<String>) -> anyhow::Result<Vec<String>> {
    let mut hosts: Vec<String> = Vec::new();
    let mut add = |name: String| {
        if !hosts.contains(&name) {
            hosts.push(name);
        }
    };
    let mut known: Option<Vec<HostView>> = None;
    for name in named {
        if !name.contains(['*', '?', '[']) {
            add(name);
            continue;
        }
        if known.is_none() {
            known = Some(client.get("/hosts").await?);
        }
        let mut fits = known
            .iter()
            .flatten()
            .filter(|host| glob_fits(&name, host.name.as_str()))
            .peekable();
        if fits.peek().is_none() {
            anyhow::bail!("no host fits {name:?}\n  `bootwright hosts` lists them");
        }
        fits.for_each(|host| add(host.name.to_string()));
    }
    Ok(hosts)
}

/// Asks before more than one host is armed.
fn ask(hosts: &[String]) -> anyhow::Result<()> {
    let mut names = hosts
        .iter()
        .take(LISTED)
        .map(String::as_str)
        .collect::<Vec<_>>()
        .join(", ");
    if hosts.len() > LISTED {
        names = format!("{names} and {} more", hosts.len() - LISTED);
    }
    let stdin = io::stdin();
    if !stdin.is_terminal() || !io::stderr().is_terminal() {
        anyhow::bail!(
            "{} hosts would be armed: {names}\n  say --yes to arm more than one without being asked",
            hosts.len()
        );
    }
    let mut stderr = io::stderr();
    write!(
        stderr,
        "Arm {} hosts: {names}? Their disks will be overwritten. [y/N] ",
        hosts.len()
    )?;
    stderr.flush()?;
    let mut reply = String::new();
    stdin.lock().read_line(&mut reply)?;
    if matches!(reply.trim(), "y" | "Y" | "yes") {
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

/// Whether a name fits a glob of `*`, `?` and `[…]`, upper and lower case alike.
fn glob_fits(glob: &str, name: &str) -> bool {
    let glob: Vec<char> = glob.to_lowercase().chars().collect();
    let name: Vec<char> = name.to_lowercase().chars().collect();
    fits(&glob, &name)
}

fn fits(glob: &[char], name: &[char]) -> bool {
    let (mut g, mut n) = (0, 0);
    // Where to go on when what follows the last star does not fit.
    let mut star: Option<(usize, usize)> = None;
    while n < name.len() {
        let step = glob.get(g).and_then(|c| match c {
            '*' => {
                star = Some((g + 1, n));
                Some((g + 1, n))
            }
            '?' => Some((g + 1, n + 1)),
            '[' => class(glob.get(g..)?, *name.get(n)?).map(|len| (g + len, n + 1)),
            c => (name.get(n) == Some(c)).then_some((g + 1, n + 1)),
        });
        match (step, &mut star) {
            (Some(next), _) => (g, n) = next,
            (None, Some((after, from))) => {
                *from += 1;
                (g, n) = (*after, *from);
            }
            (None, None) => return false,
        }
    }
    glob.get(g..)
        .is_some_and(|rest| rest.iter().all(|c| *c == '*'))
}

/// Matches one character against the class at the beginning of `glob`; how long the class is when it
/// fits. One without an end fits nothing.
fn class(glob: &[char], c: char) -> Option<usize> {
    let end = glob.iter().skip(2).position(|c| *c == ']')? + 2;
    let body = glob.get(1..end)?;
    let (not, body) = match body.split_first() {
        Some(('!' | '^', rest)) => (true, rest),
        _ => (false, body),
    };
    let mut found = false;
    let mut rest = body;
    while let [first, tail @ ..] = rest {
        rest = if let ['-', last, tail @ ..] = tail {
            found |= (*first..=*last).contains(&c);
            tail
        } else {
            found |= *first == c;
            tail
        };
    }
    (found != not).then_some(end + 1)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn globs() {
        for (glob, name, fits) in [
            ("web*", "web01", true),
            ("WEB*", "web01", true),
            ("*01", "web01", true),
            ("w*b*1", "web01", true),
            ("web?1", "web01", true),
            ("web0[1-3]", "web02", true),
            ("web0[!1-3]", "web02", false),
            ("web0[13]", "web02", false),
            ("web0[", "web0[", false),
            ("web", "web01", false),
            ("*", "", true),
            ("?", "", false),
            ("a*b", "acbc", false),
        ] {
            assert_eq!(glob_fits(glob, name), fits, "{glob} {name}");
        }
    }

    proptest! {
        #[test]
        fn any_glob_is_judged(glob in "[a-c*?\\[\\]!-]{0,12}", name in "[a-c]{0,12}") {
            let _ = glob_fits(&glob, &name);
            let starred = format!("*{name}*");
            prop_assert!(glob_fits(&starred, &name));
        }
    }
}
