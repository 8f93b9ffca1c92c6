//! The commands and their arguments.

use std::ffi::OsString;
use std::path::PathBuf;

use clap::builder::PossibleValue;
use clap::{Parser, Subcommand, ValueEnum};

use super::output::Format;

/// Network boot from a file of MAC reservations: DHCP, TFTP, HTTP, and each machine's own answers.
#[derive(Debug, Parser)]
#[command(name = "bootwright", version, max_term_width = 100)]
pub struct Args {
    /// The configuration [default: $BOOTWRIGHT_CONFIG, config/bootwright.toml, /etc/bootwright/bootwright.toml]
    #[arg(long, global = true, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// How results are printed
    #[arg(
        long,
        global = true,
        value_enum,
        value_name = "FORMAT",
        default_value = "text"
    )]
    pub format: Format,
    /// What to do
    #[command(subcommand)]
    pub command: Command,
}

impl ValueEnum for Format {
    fn value_variants<'a>() -> &'a [Self] {
        &[Self::Text, Self::Json]
    }

    fn to_possible_value(&self) -> Option<PossibleValue> {
        Some(match self {
            Self::Text => PossibleValue::new("text"),
            Self::Json => PossibleValue::new("json"),
        })
    }
}

/// What can be typed.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Run the daemon in the foreground; log to standard error
    Serve(super::serve::Serve),
    /// Take changed files up now and wait for the result
    Reload,
    /// Check the whole configuration; exit status 1 on an error
    Check(super::check::Check),
    /// List all hosts and where they stand
    Hosts,
    /// One host
    Host {
        /// What about it
        #[command(subcommand)]
        command: HostCommand,
    },
    /// Give a host that is held by name and address its machine's MAC address
    Bind(super::edit::Bind),
    /// Arm hosts: their next network boot installs them, once
    Install(Install),
    /// Take an arming back
    Cancel(Order),
    /// Have hosts boot their disks, whatever they stand at
    Local(Order),
    /// Show what happened
    Events(Events),
    /// Say why a machine does not boot: its last boot, step by step, and the step that did not come
    Why {
        /// Name, MAC or address
        host: String,
    },
    /// Show the files that are being sent, by TFTP and HTTP, how far they are and how fast
    Transfers,
    /// Machines without a reservation that were seen: who, where, and whose they may be
    Unknown(super::unknown::Unknown),
    /// Make a machine without a reservation a host, or the new network card of one
    Adopt(super::adopt::Adopt),
    /// Addresses for hosts
    Ip {
        /// What about them
        #[command(subcommand)]
        command: super::ip::Ip,
    },
    /// Show what a machine would get, without serving it
    Render(Render),
    /// Tell each packet and file that a machine would get and why, from the files alone
    Simulate(super::simulate::Simulate),
    /// Write hosts, groups and subnets as a file of another program
    Export(super::export::Export),
    /// Print the lines that have another DHCP server send its machines here
    RouterConfig(super::router_config::RouterConfig),
    /// Boot a virtual machine through the configuration, in a network of its own
    Rehearse(super::rehearse::Rehearse),
    /// Look for what keeps machines from booting in this machine and its network
    Doctor(super::doctor::Doctor),
    /// Boot files: what is needed, what is there, and bringing it
    Assets {
        /// What about them
        #[command(subcommand)]
        command: super::assets::Assets,
    },
    /// Bring hosts, groups and subnets over from another server's or tool's files
    Import(super::import::Import),
    /// Print what makes a shell complete commands and names
    Completions(super::complete::Completions),
    /// Print a manual page, or write all of them
    Man(super::man::ManPages),
    /// Print the JSON Schema of a file, which editors complete and check with
    Schema(super::schema::Schema),

    // Of the contract, not yet in this version.
    #[command(hide = true, disable_help_flag = true)]
    #[expect(missing_docs, reason = "refused by name")]
    Capture(Later),
}

impl Command {
    /// As it was typed, for commands that are refused by name.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Capture(_) => "capture",
            _ => "this command",
        }
    }
}

/// About one host.
#[derive(Debug, Subcommand)]
pub enum HostCommand {
    /// Show what the file says of it and where its installation stands
    Show(HostShow),
    /// Write a new one into the reservations
    Add(super::edit::Add),
    /// Set or take away keys of one in the reservations
    Set(super::edit::Set),
    /// Take hosts out of the reservations, with the comments above them
    Remove(super::edit::Remove),
}

/// `host show`.
#[derive(Debug, clap::Args)]
pub struct HostShow {
    /// Name, MAC or address
    pub host: String,
    /// Tell for each setting and variable which layer gives it; needs no daemon
    #[arg(long, conflicts_with_all = ["logs", "log"])]
    pub explain: bool,
    /// List the logs that its installers have sent, by attempt
    #[arg(long, conflicts_with = "log")]
    pub logs: bool,
    /// Print one of these logs as it came
    #[arg(long, value_name = "FILE")]
    pub log: Option<String>,
    /// Of this attempt, as --logs names it [default: the newest that has the log]
    #[arg(long, value_name = "ATTEMPT", requires = "log")]
    pub attempt: Option<String>,
}

/// `render`.
#[derive(Debug, clap::Args)]
pub struct Render {
    /// Name, MAC or address
    #[arg(required_unless_present = "all", conflicts_with = "all")]
    pub host: Option<String>,
    /// One answer file, boot.ipxe, grub.cfg, pxelinux.cfg or cmdline; without it all of them
    pub name: Option<String>,
    /// The text for this boot loader: ipxe, grub or pxelinux
    #[arg(long, value_name = "STAGE", conflicts_with = "all")]
    pub stage: Option<String>,
    /// Write into this file, or this folder, instead of printing
    #[arg(long, value_name = "FILE|DIR")]
    pub into: Option<PathBuf>,
    /// With secrets in clear, in files of mode 0600; needs --into
    #[arg(long)]
    pub with_secrets: bool,
    /// Every file of every host, as DIR/HOST/NAME with secrets masked; only what changed is written
    #[arg(long)]
    pub all: bool,
    /// The virt-install lines of a virtual machine: by network boot, and with the answers in its initrd
    #[arg(long, conflicts_with = "all")]
    pub virt_install: bool,
}

impl From<Render> for super::render::Asked {
    fn from(render: Render) -> Self {
        Self {
            host: render.host,
            name: render.name,
            stage: render.stage,
            with_secrets: render.with_secrets,
            into: render.into,
            all: render.all,
            virt_install: render.virt_install,
        }
    }
}

/// `install`.
#[derive(Debug, clap::Args)]
pub struct Install {
    /// Names, MACs, addresses, or quoted globs such as 'web*'
    #[arg(value_name = "HOST", required_unless_present_any = ["group"])]
    pub hosts: Vec<String>,
    /// How long the arming holds, such as 7d [default: `[install] armed_for`]
    #[arg(long = "for", value_name = "TIME")]
    pub armed_for: Option<String>,
    /// Do not ask before arming more than one host
    #[arg(long)]
    pub yes: bool,
    /// Also while an installation is under way: it begins anew
    #[arg(long)]
    pub force: bool,
    /// All hosts of a group and of the groups nested in it
    #[arg(long, value_name = "GROUP")]
    pub group: Option<String>,
    /// With another profile than the file's
    #[arg(long, value_name = "PROFILE")]
    pub profile: Option<String>,
    /// Armed only when that host has come to it: booting, started, installed, up or failed; `none`: at
    /// once, whatever the file says
    #[arg(long, value_name = "HOST:EVENT")]
    pub after: Option<String>,
    /// Only show what each host would get; exit status 1 when one would be refused
    #[arg(long)]
    pub dry_run: bool,
}

/// `cancel` and `local`.
#[derive(Debug, clap::Args)]
pub struct Order {
    /// Names, MACs, addresses, or quoted globs such as 'web*'
    #[arg(value_name = "HOST", required_unless_present_any = ["group"])]
    pub hosts: Vec<String>,
    /// All hosts of a group and of the groups nested in it
    #[arg(long, value_name = "GROUP")]
    pub group: Option<String>,
    /// Also when the installer is running already
    #[arg(long)]
    pub force: bool,
}

/// `events`.
#[derive(Debug, clap::Args)]
pub struct Events {
    /// Go on with what comes, until interrupted
    #[arg(long, short)]
    pub follow: bool,
    /// Only of this host: name, MAC or address
    #[arg(long, value_name = "HOST")]
    pub host: Option<String>,
    /// At most so many, the newest
    #[arg(long, value_name = "COUNT", default_value_t = 200)]
    pub limit: usize,
}

/// Whatever follows a command that is not in this version.
#[derive(Debug, clap::Args)]
pub struct Later {
    /// Anything.
    #[arg(
        trailing_var_arg = true,
        allow_hyphen_values = true,
        num_args = 0..,
        hide = true
    )]
    pub rest: Vec<OsString>,
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    use super::*;

    #[test]
    fn the_definition_is_sound() {
        Args::command().debug_assert();
    }

    #[test]
    fn what_comes_later_takes_anything() {
        let line = "bootwright capture web01 --for 1h";
        assert!(Args::try_parse_from(line.split(' ')).is_ok(), "{line}");
    }

    #[test]
    fn wrong_usage() {
        for line in [
            "bootwright",
            "bootwright instal web01",
            "bootwright install",
            "bootwright events --limit many",
            "bootwright hosts --format yaml",
            "bootwright host add web09 --ip 10.0.0.900",
            "bootwright host set web01",
            "bootwright bind web01",
            "bootwright bind web01 52:54:00:00:00:01 --domain vm1",
        ] {
            let error = Args::try_parse_from(line.split(' ')).unwrap_err();
            assert_eq!(error.exit_code(), 2, "{line}");
        }
    }
}
