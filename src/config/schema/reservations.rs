//! The reservations: defaults, groups and hosts.

use serde_json::json;

use super::forms::{self, BOOT_FILE, FQDN, HOST, MAC, SUBNET, UUID, WORD};
use super::node::{Node, words};
use super::{options::options, vars};
use crate::base::{AfterEvent, Architecture};
use crate::config::written::hosts::{INSTALL, LOCAL_BOOT};

/// The whole file.
pub(super) fn file() -> Node {
    Node::table(
        "",
        [
            (
                "defaults",
                Node::table(
                    "What holds for every host, below all groups.",
                    layer("all hosts"),
                ),
            ),
            (
                "groups",
                Node::named("Groups of hosts, by name.", WORD, group()),
            ),
            (
                "hosts",
                Node::named("The machines, by host name (without domain).", HOST, host()),
            ),
        ],
    )
}

/// What defaults, groups and hosts have in common.
fn layer(whose: &str) -> Vec<(&'static str, Node)> {
    vec![
        (
            "profile",
            Node::like(
                "What is installed or booted: the name of a file in `profiles`, without `.toml`.",
                WORD,
            )
            .example("debian-12"),
        ),
        ("arch", architecture()),
        (
            "loader",
            Node::like(
                "The boot loader: a path under `boot_assets` or a whole URL, or `grub`, `pxelinux` or `ipxe` for the usual one of the machine's firmware.",
                BOOT_FILE,
            )
            .example("ipxe/undionly.kpxe"),
        ),
        (
            "local_boot",
            Node::word(
                "How the machine is sent to its disk.",
                words(&LOCAL_BOOT, |word| match word {
                    "auto" => "what suits its firmware",
                    "no-file" => "no boot file is named: its firmware goes on by itself (BIOS)",
                    "exit" => "iPXE ends, and its firmware goes on with its next boot device",
                    "sanboot" => "iPXE boots the first disk itself (BIOS)",
                    _ => "",
                }),
            )
            .default("auto"),
        ),
        (
            "install",
            Node::word(
                "Whether it may be installed.",
                words(&INSTALL, |word| match word {
                    "once" => "when it is ordered (`bootwright install`), once",
                    "never" => "never: orders are refused",
                    "always" => "its profile is served at every boot: for live systems",
                    _ => "",
                }),
            )
            .default("once"),
        ),
        (
            "secure_boot",
            Node::flag("Its firmware runs signed programs only: it gets shim and the distribution's GRUB."),
        ),
        ("options", options(&format!("DHCP options of {whose}."))),
        (
            "snippets",
            Node::list(
                "Snippets that run after the installation, by the names of their files; \"...\" stands for the inherited ones.",
                Node::like("", "^[^/]+$"),
            )
            .example(json!(["...", "chrony"])),
        ),
        (
            "vars",
            vars("Variables for templates. Nearer layers cover farther ones: tables merge, lists replace, and an element \"...\" of a list stands for the inherited one."),
        ),
    ]
}

fn architecture() -> Node {
    let meaning = |arch| match arch {
        Architecture::X86_64 => "64-bit x86",
        Architecture::I386 => "32-bit x86",
        Architecture::Aarch64 => "64-bit ARM",
        Architecture::Arm => "32-bit ARM",
    };
    Node::word(
        "What the machine's processor runs; without it what its firmware tells.",
        Architecture::ALL.map(|arch| (arch.as_str(), meaning(arch))),
    )
}

fn group_name(description: &str) -> Node {
    Node::like(description, WORD).example("web")
}

fn group() -> Node {
    let mut keys = layer("all hosts of the group");
    keys.push(("group", group_name("The group that this one is nested in.")));
    Node::table("What holds for every host of the group.", keys)
}

fn macs(description: &str) -> Node {
    let mac = Node::like("", MAC).example("52:54:00:47:86:8e");
    Node::one_or_more(description, mac)
}

fn host() -> Node {
    let mut keys = layer("this host");
    keys.extend([
        (
            "mac",
            macs("The MAC address of its network card; of the ports of a bond: a list."),
        ),
        (
            "ip",
            forms::machine_address("The IPv4 address that is reserved for it.").example("10.99.0.11"),
        ),
        (
            "subnet",
            Node::like(
                "The subnet that it belongs to, by name: where another server gives the addresses, in place of `ip`.",
                SUBNET,
            ),
        ),
        (
            "group",
            group_name("The group whose settings it has."),
        ),
        (
            "fqdn",
            Node::like(
                "Its whole name; without it its name with the domain of its subnet or server.",
                FQDN,
            )
            .with("maxLength", 253)
            .example("web01.lab.example"),
        ),
        (
            "uuid",
            Node::like("The machine's UUID, as SMBIOS has it.", UUID),
        ),
        ("serial", forms::line("The machine's serial number.")),
        ("notes", Node::text("Anything, for people.")),
        ("after", after()),
        ("nic", Node::list("Its further network cards.", nic())),
    ]);
    Node::table("One machine.", keys)
        .with("x-taplo", json!({ "initKeys": ["mac", "ip"] }))
        .also(json!({ "anyOf": [{ "required": ["ip"] }, { "required": ["subnet", "mac"] }] }))
}

fn nic() -> Node {
    Node::table(
        "A further network card.",
        [
            (
                "mac",
                macs("Its MAC address; of the ports of a bond: a list."),
            ),
            (
                "ip",
                forms::machine_address("The IPv4 address that is reserved for it."),
            ),
            (
                "name",
                forms::line("What it is called on the installed system.").example("storage0"),
            ),
            (
                "boot",
                Node::flag("The machine may boot by this card too; it then needs an `ip`.")
                    .default(false),
            ),
        ],
    )
    .also(json!({ "anyOf": [{ "required": ["mac"] }, { "required": ["ip"] }] }))
    .also(json!({
        "if": { "properties": { "boot": { "const": true } }, "required": ["boot"] },
        "then": { "required": ["ip"] },
    }))
}

fn after() -> Node {
    let meaning = |event| match event {
        AfterEvent::Booting => "it has fetched its boot script",
        AfterEvent::Started => "its installer has begun",
        AfterEvent::Installed => "its installation is done",
        AfterEvent::Up => "its new system has reported",
        AfterEvent::Failed => "its installation has failed",
    };
    Node::table(
        "It is armed only when another host has come to an event.",
        [
            ("host", Node::like("The other host.", HOST)),
            (
                "event",
                Node::word(
                    "What that host has to come to.",
                    AfterEvent::ALL.map(|event| (event.as_str(), meaning(event))),
                ),
            ),
        ],
    )
    .required(["host", "event"])
}
