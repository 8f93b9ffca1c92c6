//! `profiles/NAME.toml`.

use serde_json::{Map, Value, json};

use super::forms::{
    self, ANSWER, FETCHED, MEDIA_TYPE, PACKAGE, PLACE, REMOTE, SECRET, SHA256, TEMPLATE_PATH, URL,
    WHOLE_PATH,
};
use super::node::{Node, words};
use super::{options::options, vars};
use crate::base::Architecture;
use crate::config::table::Choice;
use crate::config::written::profile::{FAMILIES, KINDS, Kind, LIFECYCLES, SIGNED};
use crate::config::written::san::OF_TARGETS;
use crate::wire::looks::Looks;

/// The whole file.
pub(super) fn file() -> Node {
    let arch = Node::word("", Architecture::ALL.map(|arch| (arch.as_str(), "")));
    Node::table(
        "",
        [
            (
                "title",
                forms::line("What it is, in one line.").example("Debian 12 (bookworm), unattended"),
            ),
            (
                "family",
                Node::word(
                    "The family of operating systems.",
                    FAMILIES.map(|family| (family, "")),
                ),
            ),
            (
                "arch",
                Node::one_or_more("The architectures that it runs on; without it all.", arch)
                .example(json!(["x86_64", "aarch64"])),
            ),
            (
                "lifecycle",
                Node::word(
                    "What it does with a machine.",
                    words(&LIFECYCLES, |word| match word {
                        "install" => "writes a disk: served until that is done, then the disk is booted",
                        "live" => "runs from memory: served at every boot",
                        "once" => "a tool: served for one boot",
                        _ => "",
                    }),
                )
                .default("install"),
            ),
            (
                "secure_boot",
                Node::flag("Its machines have Secure Boot, unless hosts or groups say otherwise."),
            ),
            ("boot", boot()),
            (
                "answers",
                Node::list("The files that the installer fetches.", answer()),
            ),
            (
                "options",
                options("DHCP options for the system that installs; their texts are templates."),
            ),
            (
                "stalled_after",
                forms::duration("Without a sign of life for so long an installation has failed; without it as [install] says.")
                    .example("45m"),
            ),
            (
                "variables",
                Node::one_or_list(
                    "The files that declare its variables, by path under `templates`; a later one wins.",
                    forms::line(""),
                )
                .example(json!(["variables.toml", "debian/variables.toml"])),
            ),
            ("vars", vars("What it gives its variables.")),
            ("fetch", fetch()),
        ],
    )
    .required(["boot"])
    .also(json!({
        "if": { "properties": { "lifecycle": { "enum": ["live", "once"] } }, "required": ["lifecycle"] },
        "then": { "properties": { "options": false } },
    }))
    .also(json!({
        "if": { "properties": { "boot": { "properties": { "kind": { "const": "local" } }, "required": ["kind"] } }, "required": ["boot"] },
        "then": { "properties": { "lifecycle": { "enum": ["live", "once"] } }, "required": ["lifecycle"] },
    }))
}

/// A template of a path or URL.
fn path(description: &str) -> Node {
    Node::like(description, TEMPLATE_PATH)
}

fn kind_means(word: &str) -> &'static str {
    match word {
        "linux" => "a Linux kernel with initial RAM disks",
        "sanboot" => "a disk over the network: an image by HTTP, or an iSCSI target",
        "local" => "a disk of the machine's own",
        "chain" => "another script or loader",
        "script" => "an iPXE script of your own, a template",
        "multiboot" => "a multiboot kernel with modules (BIOS only)",
        "efi" => "an EFI binary",
        "wimboot" => "Windows PE by wimboot",
        "memdisk" => "the image of a disk or CD by memdisk (BIOS only)",
        _ => "",
    }
}

fn boot() -> Node {
    let drive = Node::whole(
        "The disk, as the BIOS counts: 0x80 is the first one.",
        0x80..=0xff,
    )
    .default(0x80);
    let mut boot = Node::table(
        "What is booted.",
        [
            ("kind", Node::word("What it is; says which further keys there are.", words(&KINDS, kind_means))),
            (
                "kernel",
                path("The kernel: a path under `boot_assets` or a URL, a template. For wimboot and memdisk the program itself, which has a usual place.")
                    .example("debian/12/{{ arch }}/linux"),
            ),
            (
                "initrd",
                Node::one_or_list("Initial RAM disks, templates.", path(""))
                    .example(json!(["debian/12/{{ arch }}/initrd.gz"])),
            ),
            (
                "cmdline",
                Node::one_or_list(
                    "The kernel's arguments, a template; as a list one element for each, and what comes out empty is left out.",
                    Node::text(""),
                ),
            ),
            (
                "url",
                path("The script or loader: a URL, or a path under `boot_assets`."),
            ),
            (
                "template",
                forms::line("The template that is the whole iPXE script, by path under `templates`."),
            ),
            (
                "modules",
                Node::one_or_list("Modules with their arguments, templates.", path("")),
            ),
            ("file", path("The EFI binary, a template.")),
            (
                "files",
                Node::one_or_list("The files that Windows PE finds: BCD, boot.sdi, boot.wim.", path("")),
            ),
            ("image", path("The image of a disk or CD.")),
            (
                "target",
                Node::text("The iSCSI target (RFC 4173).")
                    .example("iscsi:10.99.0.5::::iqn.2026-01.example.lab:{{ host.name }}"),
            ),
            (
                "initiator",
                Node::text("The name that the machine logs in with at the target; without it one made of the host's."),
            ),
            ("username", forms::line("Who the machine says it is (CHAP).")),
            (
                "password_secret",
                Node::like("The name of the secret that proves it.", SECRET).example("iscsi"),
            ),
            ("target_username", forms::line("Who the target says it is (mutual CHAP).")),
            (
                "target_password_secret",
                Node::like("The name of the secret that proves it.", SECRET),
            ),
            ("drive", drive),
            ("signature", path("The signature of the script that is chained; iPXE verifies it.")),
            (
                "shim",
                Node::like("The distribution's shim under `boot_assets`, for Secure Boot.", PLACE),
            ),
            ("grub", Node::like("The GRUB that shim loads.", PLACE)),
            (
                "grub_http",
                Node::flag("Whether that GRUB can fetch by HTTP.").default(true),
            ),
        ],
    )
    .required(["kind"])
    .needs("grub", "shim")
    .needs("grub_http", "shim")
    .needs("username", "password_secret")
    .needs("password_secret", "username")
    .needs("target_username", "target_password_secret")
    .needs("target_password_secret", "target_username")
    .needs("target_username", "username");
    for (word, choice) in KINDS {
        let Choice::Is(kind) = choice else { continue };
        boot = boot.also(json!({
            "if": { "properties": { "kind": { "const": word } }, "required": ["kind"] },
            "then": of_kind(kind),
        }));
    }
    boot
}

/// What holds for one kind of boot.
fn of_kind(kind: Kind) -> Value {
    let mut keys = vec!["kind"];
    keys.extend(kind.keys());
    if kind.can_be_signed() {
        keys.extend(SIGNED);
    }
    let mut then = Map::new();
    then.insert("propertyNames".to_owned(), json!({ "enum": keys }));
    let required: &[&str] = match kind {
        Kind::Linux => &["kernel"],
        Kind::Image(kind) => match kind.default_image() {
            Some(_) => &[kind.files_key()],
            None => &[kind.image_key()],
        },
        Kind::Chain => &["url"],
        Kind::Script => &["template"],
        Kind::San | Kind::Local => &[],
    };
    if !required.is_empty() {
        then.insert("required".to_owned(), json!(required));
    }
    if kind == Kind::San {
        let login: Vec<Value> = OF_TARGETS
            .iter()
            .map(|key| json!({ "required": [key] }))
            .collect();
        then.insert(
            "oneOf".to_owned(),
            json!([
                { "required": ["image"], "not": { "anyOf": login } },
                { "required": ["target"] },
            ]),
        );
    }
    then.into()
}

fn answer() -> Node {
    Node::table(
        "A file that the installer fetches.",
        [
            (
                "name",
                Node::like("Its name, the end of its URL.", ANSWER).example("preseed.cfg"),
            ),
            (
                "template",
                Node::like("Its template, by path under `templates`.", "^[^/]")
                    .example("debian/preseed.cfg.j2"),
            ),
            (
                "content_type",
                Node::like("Its media type.", MEDIA_TYPE).example("text/plain"),
            ),
        ],
    )
    .required(["name", "template"])
}

fn signature() -> Node {
    Node::like(
        "Its signature: \"inline\" where the file itself is signed, else a path below the mirror or a URL.",
        REMOTE,
    )
    .example("inline")
}

fn fetch() -> Node {
    let package = "A Debian package that has the files; `{{ arch }}`, `{{ debian_arch }}`, `{{ efi_arch }}`, `{{ grub_arch }}` and variables (`{{ vars.NAME }}`) are put in.";
    let sums = Node::table(
        "A list of sums.",
        [
            (
                "path",
                Node::like("Where it is: below the mirror, or a URL.", REMOTE)
                    .example("SHA256SUMS"),
            ),
            ("signature", signature()),
        ],
    )
    .required(["path"]);
    let looks = Looks::WORDS.map(|(word, _)| (word, ""));
    let file = Node::table(
        "A boot file.",
        [
            (
                "path",
                Node::like("Its place under `boot_assets`.", FETCHED)
                    .example("debian/12/{{ arch }}/linux"),
            ),
            (
                "from",
                Node::like("Where it is: below the mirror, or a URL.", REMOTE),
            ),
            (
                "in_stream",
                Node::like(
                    "Where its address is in the document `stream`: a JSON pointer.",
                    WHOLE_PATH,
                ),
            ),
            (
                "member",
                Node::like("Its path in the archive or image that is fetched.", FETCHED),
            ),
            (
                "in_package",
                Node::like("Its path in the package.", FETCHED),
            ),
            ("package", Node::like(package, PACKAGE)),
            (
                "is",
                Node::word("What it looks like when it is good.", looks).default("any"),
            ),
            ("sha256", Node::like("Its SHA-256.", SHA256)),
            ("signature", signature()),
            (
                "optional",
                Node::flag("The rest is good without it.").default(false),
            ),
        ],
    )
    .required(["path"])
    .also(json!({ "anyOf": [
        { "required": ["from"] },
        { "required": ["in_stream"] },
        { "required": ["in_package"] },
    ] }))
    .apart("in_stream", "from");
    Node::table(
        "Where its boot files come from (`bootwright assets fetch`).",
        [
            (
                "mirror",
                Node::like("The address that files are fetched below.", URL)
                    .example("https://mirror.example/debian"),
            ),
            (
                "by_hand",
                forms::line("How the files are had, where nothing can fetch them."),
            ),
            ("package", Node::like(package, PACKAGE)),
            (
                "keyring",
                Node::one_or_list(
                    "Keyrings that signatures are checked by, whole paths.",
                    Node::like("", WHOLE_PATH),
                ),
            ),
            (
                "keyring_package",
                Node::like("The package that has them.", PACKAGE),
            ),
            ("sums", Node::list("Lists of sums.", sums)),
            (
                "stream",
                Node::like("A JSON document that tells addresses of files.", REMOTE),
            ),
            (
                "files",
                Node::list("The boot files.", file).with("minItems", 1),
            ),
        ],
    )
    .with(
        "anyOf",
        ["files", "by_hand"]
            .map(|key| json!({ "required": [key] }))
            .to_vec(),
    )
}
