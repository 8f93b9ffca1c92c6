//! The commands as they are offered: the definition of [`Args`] with examples, and with what completes names.
//!
//! Both are put on here, by the paths of commands and the names of values, so that a command says no more than its
//! arguments.

use std::fmt::Write as _;

use clap::builder::StyledStr;
use clap::{Arg, Command, CommandFactory as _};
use clap_complete::ArgValueCompleter;

use super::args::Args;
use super::complete;

/// What the exit status says, for the help and the manual.
pub const EXIT_STATUS: [(&str, &str); 3] = [
    ("0", "done"),
    (
        "1",
        "refused or failed, the reason on standard error; or the check has found something",
    ),
    ("2", "wrong usage"),
];

/// Examples by command: what each is for, and the line.
pub const EXAMPLES: &[(&str, &[(&str, &str)])] = &[
    (
        "",
        &[
            ("Is the configuration good?", "bootwright check"),
            (
                "Install a machine at its next boot",
                "bootwright install web01",
            ),
            ("See what happens", "bootwright events --follow"),
        ],
    ),
    (
        "serve",
        &[(
            "Serve with another configuration",
            "bootwright serve --config /srv/lab/bootwright.toml",
        )],
    ),
    (
        "reload",
        &[(
            "Take changed files up, and see what is wrong with them",
            "bootwright reload",
        )],
    ),
    (
        "check",
        &[
            ("All mistakes, with their lines", "bootwright check"),
            (
                "In a pipeline: warnings fail it too",
                "bootwright check --strict",
            ),
            ("For an editor", "bootwright check --format json"),
        ],
    ),
    (
        "hosts",
        &[
            ("All hosts and where they stand", "bootwright hosts"),
            ("For programs", "bootwright hosts --format json"),
        ],
    ),
    (
        "host show",
        &[
            ("A host and its installation", "bootwright host show web01"),
            (
                "Which layer gives which setting",
                "bootwright host show web01 --explain",
            ),
            (
                "What its installers have sent",
                "bootwright host show web01 --logs",
            ),
        ],
    ),
    (
        "install",
        &[
            (
                "One host, at its next network boot",
                "bootwright install web01",
            ),
            (
                "A group, without being asked",
                "bootwright install --group web --yes",
            ),
            (
                "With another profile, and only when its hypervisor is up",
                "bootwright install guest7 --profile debian-13 --after hv-042:up",
            ),
            (
                "What would each get?",
                "bootwright install 'web*' --dry-run",
            ),
        ],
    ),
    (
        "cancel",
        &[("Take an arming back", "bootwright cancel web01")],
    ),
    (
        "local",
        &[(
            "Boot the disk, also while the installer runs",
            "bootwright local web01 --force",
        )],
    ),
    (
        "events",
        &[
            (
                "What one host does, as it happens",
                "bootwright events --follow --host web01",
            ),
            (
                "For programs, a line each",
                "bootwright events --limit 20 --format json",
            ),
        ],
    ),
    (
        "why",
        &[
            ("Why does it not boot?", "bootwright why web01"),
            ("By its MAC address", "bootwright why 52:54:00:47:86:8e"),
        ],
    ),
    (
        "transfers",
        &[("What is being sent", "bootwright transfers")],
    ),
    (
        "render",
        &[
            ("All that a machine would get", "bootwright render web01"),
            ("One of its files", "bootwright render web01 preseed.cfg"),
            (
                "Its configuration for GRUB",
                "bootwright render web01 --stage grub",
            ),
            (
                "Every file of every host, to compare in git",
                "bootwright render --all --into rendered",
            ),
        ],
    ),
    (
        "rehearse",
        &[
            (
                "Until the installer has its answers",
                "bootwright rehearse web01",
            ),
            (
                "With UEFI, and its console",
                "bootwright rehearse web01 --firmware uefi-x64 --console",
            ),
        ],
    ),
    (
        "doctor",
        &[
            (
                "What would keep machines from booting?",
                "bootwright doctor",
            ),
            ("Is there another DHCP server?", "bootwright doctor dhcp"),
        ],
    ),
    (
        "assets fetch",
        &[
            (
                "Boot loaders and an installer",
                "bootwright assets fetch ipxe debian-12",
            ),
            (
                "From a mirror nearby",
                "bootwright assets fetch debian-12 --mirror http://mirror.example/debian",
            ),
        ],
    ),
    (
        "assets add-iso",
        &[(
            "An image, and a profile for it",
            "bootwright assets add-iso Rocky-9-dvd.iso --name rocky-9-dvd",
        )],
    ),
    (
        "assets verify",
        &[("Is all there and whole?", "bootwright assets verify")],
    ),
    (
        "assets list",
        &[("What is there, and who needs it", "bootwright assets list")],
    ),
    (
        "assets prune",
        &[("What would go?", "bootwright assets prune --dry-run")],
    ),
    (
        "schema",
        &[
            ("For one kind of file", "bootwright schema reservations"),
            (
                "All, where an editor finds them",
                "bootwright schema --into schemas",
            ),
        ],
    ),
    (
        "completions",
        &[
            (
                "bash, in ~/.bashrc",
                "source <(bootwright completions bash)",
            ),
            ("zsh, in ~/.zshrc", "source <(bootwright completions zsh)"),
            (
                "fish",
                "bootwright completions fish > ~/.config/fish/completions/bootwright.fish",
            ),
        ],
    ),
    (
        "man",
        &[
            ("Read one", "bootwright man install | man -l -"),
            (
                "Write all",
                "bootwright man --into /usr/local/share/man/man1",
            ),
        ],
    ),
];

/// The examples of one command, named as `host show`.
pub fn examples(path: &str) -> &'static [(&'static str, &'static str)] {
    EXAMPLES
        .iter()
        .find(|(command, _)| *command == path)
        .map_or(&[], |(_, examples)| examples)
}

/// The whole command line.
pub fn command() -> Command {
    finished(Args::command(), "")
}

fn finished(mut command: Command, path: &str) -> Command {
    let own = examples(path);
    if !own.is_empty() && command.get_after_help().is_none() {
        command = command.after_help(shown(own, path.is_empty()));
    }
    let below = path.to_owned();
    command = command.mut_args(completing);
    let names: Vec<String> = command
        .get_subcommands()
        .map(|inner| inner.get_name().to_owned())
        .collect();
    for name in names {
        let inner_path = format!("{below} {name}");
        command = command.mut_subcommand(name, |inner| finished(inner, inner_path.trim()));
    }
    command
}

/// What stands above an example.
pub fn heading(what: &str) -> String {
    if what.ends_with('?') {
        what.to_owned()
    } else {
        format!("{what}:")
    }
}

/// Examples below a command's help.
fn shown(examples: &[(&str, &str)], whole: bool) -> StyledStr {
    let mut text = String::from("Examples:\n");
    for (what, line) in examples {
        let _ = writeln!(text, "  {}\n    {line}", heading(what));
    }
    if whole {
        text.push_str("\nExit status:\n");
        for (status, what) in EXIT_STATUS {
            let _ = writeln!(text, "  {status}  {what}");
        }
    }
    text.trim_end().to_owned().into()
}

/// An argument that stands for something of the configuration is completed with it.
fn completing(arg: Arg) -> Arg {
    if arg.get_value_parser().possible_values().is_some() || !arg.get_action().takes_values() {
        return arg;
    }
    let value = arg
        .get_value_names()
        .and_then(|names| names.first())
        .map_or_else(|| arg.get_id().as_str(), |name| name.as_str())
        .to_ascii_lowercase();
    let names: fn(&std::ffi::OsStr) -> Vec<clap_complete::CompletionCandidate> = match &*value {
        "host" | "hosts" => complete::hosts,
        "host:event" => complete::hosts_and_events,
        "group" => complete::groups,
        "profile" => complete::profiles,
        "subnet" => complete::subnets,
        "file" | "dir" | "file|dir" | "folder|file" => {
            return arg.add(ArgValueCompleter::new(clap_complete::PathCompleter::any()));
        }
        _ => return arg,
    };
    arg.add(ArgValueCompleter::new(names))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Each command with its path, but those that are hidden.
    fn all(command: &Command, path: &str, found: &mut Vec<(String, Command)>) {
        for inner in command
            .get_subcommands()
            .filter(|inner| !inner.is_hide_set())
        {
            let path = format!("{path} {}", inner.get_name()).trim().to_owned();
            if inner.get_name() != "help" {
                all(inner, &path, found);
                found.push((path, inner.clone()));
            }
        }
    }

    #[test]
    fn the_definition_is_sound() {
        command().debug_assert();
    }

    #[test]
    fn every_command_has_examples() {
        let mut found = Vec::new();
        all(&command(), "", &mut found);
        assert!(found.len() > 15);
        for (path, command) in found {
            let is_leaf = command.get_subcommands().next().is_none();
            assert!(
                !is_leaf || command.get_after_help().is_some(),
                "`{path}` has no examples: see cli::command::EXAMPLES"
            );
        }
    }

    #[test]
    fn every_example_can_be_typed() {
        for (path, examples) in EXAMPLES {
            for (_, line) in *examples {
                let line = line
                    .trim_start_matches("source <(")
                    .trim_end_matches(')')
                    .split([' ', '\''])
                    .filter(|word| !word.is_empty())
                    .take_while(|word| !matches!(*word, "|" | ">"));
                let words: Vec<&str> = line.collect();
                let matches = command().try_get_matches_from(&words);
                assert!(matches.is_ok(), "{words:?}: {}", matches.unwrap_err());
                let mut found = matches.unwrap();
                for name in path.split_whitespace() {
                    let (inner, matches) = found.remove_subcommand().expect(path);
                    assert_eq!(inner, name);
                    found = matches;
                }
            }
        }
    }

    #[test]
    fn names_of_the_configuration_are_completed() {
        let command = command();
        let install = command.find_subcommand("install").unwrap();
        for id in ["hosts", "group", "profile", "after"] {
            let arg = install.get_arguments().find(|arg| arg.get_id() == id);
            assert!(arg.unwrap().get::<ArgValueCompleter>().is_some(), "{id}");
        }
        let yes = install.get_arguments().find(|arg| arg.get_id() == "yes");
        assert!(yes.unwrap().get::<ArgValueCompleter>().is_none());
    }
}
