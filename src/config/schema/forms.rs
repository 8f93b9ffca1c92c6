//! The forms of texts as regular expressions (ECMA 262).
//!
//! **Invariant:** each takes whatever the reader of such a text (`config::values`) takes; the reader may
//! refuse more.

use super::node::Node;

/// A number from 0 to 255.
macro_rules! octet {
    () => {
        "(25[0-5]|2[0-4][0-9]|1[0-9][0-9]|[1-9]?[0-9])"
    };
}

/// What follows the first number of an IPv4 address.
macro_rules! rest {
    () => {
        concat!("\\.", octet!(), "\\.", octet!(), "\\.", octet!())
    };
}

/// That no placeholder but those of the architecture, and what else is named here, follows.
macro_rules! arch_only {
    ($($more:literal)?) => {
        concat!(
            "(?!.*\\{\\{(?!\\s*(arch|debian_arch|efi_arch|grub_arch",
            $($more,)?
            ")\\s*\\}\\}))"
        )
    };
}

/// The same with variables.
macro_rules! arch_or_variables {
    () => {
        arch_only!("|vars\\.[A-Za-z0-9_]+")
    };
}

/// A MAC address in its spellings; the second digit is even, or many machines would be meant.
pub(super) const MAC: &str = "^\\s*[0-9A-Fa-f][02468ACEace]([0-9A-Fa-f]{10}|[0-9A-Fa-f]{4}([:.-])[0-9A-Fa-f]{6}|[0-9A-Fa-f]{2}([:.-][0-9A-Fa-f]{4}){2}|([:.-][0-9A-Fa-f]{2}){5})\\s*$";
/// An IPv4 address.
pub(super) const ADDRESS: &str = concat!("^", octet!(), rest!(), "$");
/// An IPv4 address that is not a multicast one.
pub(super) const MACHINE_ADDRESS: &str = concat!(
    "^(25[0-5]|24[0-9]|22[0-3]|2[01][0-9]|1[0-9][0-9]|[1-9]?[0-9])",
    rest!(),
    "$"
);
/// A network.
pub(super) const NETWORK: &str = concat!(
    "^(22[0-3]|2[01][0-9]|1[0-9][0-9]|[1-9][0-9]?)",
    rest!(),
    "/(3[0-2]|[12][0-9]|0?[1-9])$"
);
/// A pool.
pub(super) const POOL: &str = concat!(
    "^\\s*",
    octet!(),
    rest!(),
    "\\s*-\\s*",
    octet!(),
    rest!(),
    "\\s*$"
);
/// A length of time that is not nothing.
pub(super) const DURATION: &str =
    "^\\s*([0-9]+[smhdw])*[0-9]*[1-9][0-9]*[smhdw]([0-9]+[smhdw])*\\s*$";
/// A size.
pub(super) const SIZE: &str = "^\\s*[0-9]+\\s*(KiB|MiB|GiB|TiB|kB|KB|MB|GB|TB)\\s*$";
/// A host's name.
pub(super) const HOST: &str = "^[A-Za-z0-9]([A-Za-z0-9-]{0,61}[A-Za-z0-9])?$";
/// The name of a group or profile.
pub(super) const WORD: &str = "^[A-Za-z0-9_-][A-Za-z0-9._-]{0,63}$";
/// The name of a subnet.
pub(super) const SUBNET: &str = "^[A-Za-z0-9._/-]{1,64}$";
/// A domain.
pub(super) const DOMAIN: &str = "^[A-Za-z0-9_]([A-Za-z0-9_-]{0,61}[A-Za-z0-9_])?(\\.[A-Za-z0-9_]([A-Za-z0-9_-]{0,61}[A-Za-z0-9_])?)*$";
/// A host's name with its domain.
pub(super) const FQDN: &str = "^[A-Za-z0-9]([A-Za-z0-9-]{0,61}[A-Za-z0-9])?(\\.[A-Za-z0-9_]([A-Za-z0-9_-]{0,61}[A-Za-z0-9_])?)+$";
/// The name of an interface.
pub(super) const INTERFACE: &str = "^[^/:\\s]{1,15}$";
/// A UUID.
pub(super) const UUID: &str = "^-*([0-9A-Fa-f]-*){32}$";
/// One line that says something.
pub(super) const LINE: &str =
    "^[^\\u0000-\\u001f\\u007f]*[^\\s\\u0000-\\u001f\\u007f][^\\u0000-\\u001f\\u007f]*$";
/// A path under `boot_assets`, or a URL.
pub(super) const BOOT_FILE: &str = "^((https?|tftp|ftp|nfs)://[^/ ][^ ]*|(?!.*(^|/)\\.(?!(tree|disc)info(/|$)))[^/ \\\\]+(/[^/ \\\\]+)*)$";
/// The same, with placeholders of templates or without.
pub(super) const TEMPLATE_PATH: &str = "^[^/]";
/// A path under `boot_assets` with placeholders for the architecture, or without.
pub(super) const PLACE: &str = concat!("^(?!.*://)", arch_only!(), "[^/.\\\\][^\\\\]*$");
/// The same, with variables too.
pub(super) const FETCHED: &str = concat!(
    "^(?!.*://)",
    arch_or_variables!(),
    "(\\.(tree|disc)info$|[^/.\\\\][^\\\\]*$)"
);
/// A path below a mirror, or a URL.
pub(super) const REMOTE: &str = concat!("^", arch_or_variables!(), "[^/\\\\#]+(/[^\\\\]*)?$");
/// An address that files are fetched from.
pub(super) const URL: &str = "^https?://[^/]";
/// A whole path.
pub(super) const WHOLE_PATH: &str = "^/";
/// A name of an answer file.
pub(super) const ANSWER: &str = "^[A-Za-z0-9_-][A-Za-z0-9._-]{0,63}$";
/// A media type.
pub(super) const MEDIA_TYPE: &str = "^[ -~]+/[ -~]+$";
/// The name of a secret.
pub(super) const SECRET: &str = "^[A-Za-z0-9_-][A-Za-z0-9._-]{0,63}$";
/// A SHA-256.
pub(super) const SHA256: &str = "^[0-9A-Fa-f]{64}$";
/// Bytes in hexadecimal digits.
pub(super) const HEX: &str = "^[0-9A-Fa-f: -]*[0-9A-Fa-f][0-9A-Fa-f: -]*$";
/// The name of a variable.
pub(super) const VARIABLE: &str = "^[a-z_][a-z0-9_]*$";
/// The name of a Debian package, with placeholders or without.
pub(super) const PACKAGE: &str = "^[a-z0-9{][a-z0-9+._{} -]*$";

/// An IPv4 address of a machine.
pub(super) fn machine_address(description: &str) -> Node {
    Node::like(description, MACHINE_ADDRESS)
}

/// A length of time.
pub(super) fn duration(description: &str) -> Node {
    Node::like(description, DURATION)
}

/// A number of bytes.
pub(super) fn bytes(description: &str) -> Node {
    Node::like(description, SIZE)
}

/// One line.
pub(super) fn line(description: &str) -> Node {
    Node::like(description, LINE)
}
