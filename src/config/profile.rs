//! Profiles: what a machine boots, which answers its installer gets, and the templates of both.

use std::sync::Arc;
use std::time::Duration;

use super::fetch::{Fetch, expand};
use super::source::Span;
use super::variables::Declarations;
use crate::base::{Architecture, Lifecycle, ProfileName};

/// An operating system to boot and the answers to give.
#[derive(Debug, Clone)]
pub struct Profile {
    /// Its name: the file's name without `.toml`.
    pub name: ProfileName,
    /// One line for people.
    pub title: String,
    /// The family of operating systems.
    pub family: String,
    /// Architectures that it can be used on; empty: all.
    pub arch: Vec<Architecture>,
    /// What it does with a machine.
    pub lifecycle: Lifecycle,
    /// What is loaded.
    pub boot: Boot,
    /// The answer files; `answers.url` is the first one's.
    pub answers: Vec<Answer>,
    /// DHCP options for the system that installs: sent under installation only, before all others.
    pub options: Vec<ProfileOption>,
    /// Silence after which an installation has failed, when this profile sets its own.
    pub stalled_after: Option<Duration>,
    /// The variables that it knows.
    pub variables: Declarations,
    /// What it gives to variables; `"..."` stands for the default.
    pub vars: toml::Table,
    /// Whether its machines have Secure Boot switched on, where neither host nor group says.
    pub secure_boot: Option<bool>,
    /// The distribution's own signed loaders, when it says where they lie.
    pub signed: Option<SignedLoaders>,
    /// Where its boot files come from, when it says so.
    pub fetch: Option<Box<Fetch>>,
    /// Where it stands.
    pub span: Option<Span>,
}

/// A DHCP option that a profile has for the system that installs.
#[derive(Debug, Clone)]
pub struct ProfileOption {
    /// Its code.
    pub code: u8,
    /// Its value.
    pub value: ProfileValue,
    /// Whether it is sent to a system that does not ask for it as well.
    pub force: bool,
}

/// The value of a profile's DHCP option.
#[derive(Debug, Clone)]
pub enum ProfileValue {
    /// Rendered for each host as a template.
    Text(TemplateText),
    /// As it stands on the wire.
    Bytes(Arc<[u8]>),
}

/// The signed loaders of a distribution, by which its signed kernel boots under Secure Boot. Paths are below
/// `boot_assets`, and may hold the placeholders of [`super::fetch`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SignedLoaders {
    /// What the firmware loads: shim, signed by Microsoft.
    pub shim: String,
    /// What shim loads, when it does not lie beside it under the name that shim asks for.
    pub grub: Option<String>,
    /// Whether GRUB can go on when firmware has loaded it by HTTP Boot. Debian's 2.06 cannot: it is left without
    /// an address, and waits at its prompt.
    pub http: bool,
}

impl SignedLoaders {
    /// Shim for an architecture.
    pub fn shim(&self, arch: Architecture) -> String {
        expand(&self.shim, arch)
    }

    /// GRUB for an architecture, where it is named.
    pub fn grub(&self, arch: Architecture) -> Option<String> {
        self.grub.as_ref().map(|grub| expand(grub, arch))
    }
}

/// A fragment of a shell script that is run inside the installed system.
#[derive(Debug, Clone, PartialEq)]
pub struct Snippet {
    /// One line for people.
    pub title: String,
    /// The families of operating systems that it works with; empty: all.
    pub families: Vec<&'static str>,
    /// The variables that it reads.
    pub variables: Declarations,
}

/// A text of a profile that is rendered as a template for each host, and its place.
#[derive(Debug, Clone)]
pub struct TemplateText {
    /// The text.
    pub text: String,
    /// Where it stands.
    pub span: Option<Span>,
}

/// A kernel's command line as a profile writes it.
#[derive(Debug, Clone)]
pub enum Arguments {
    /// One text; its words are the arguments.
    Text(TemplateText),
    /// Each argument by itself.
    List(Vec<TemplateText>),
}

impl Arguments {
    /// Its texts, in order.
    pub fn texts(&self) -> &[TemplateText] {
        match self {
            Self::Text(text) => std::slice::from_ref(text),
            Self::List(list) => list,
        }
    }
}

impl From<TemplateText> for Arguments {
    fn from(text: TemplateText) -> Self {
        Self::Text(text)
    }
}

/// What a profile loads. Paths and URLs are templates; a text that is a whole URL is used as it
/// stands, otherwise it is a path under `boot_assets`.
#[derive(Debug, Clone)]
pub enum Boot {
    /// A Linux kernel.
    Linux {
        /// The kernel.
        kernel: TemplateText,
        /// None, one or several.
        initrd: Vec<TemplateText>,
        /// Its command line without `initrd=`.
        cmdline: Arguments,
    },
    /// Something else that a boot loader starts.
    Image {
        /// What it is.
        kind: ImageKind,
        /// What is started: the kernel, the EFI binary, wimboot or memdisk itself.
        image: TemplateText,
        /// What it finds beside it, in order; of a multiboot module what follows its path are its arguments.
        files: Vec<TemplateText>,
        /// Its command line.
        cmdline: Arguments,
    },
    /// A disk or CD over the network that the machine boots as if it were its own.
    San(Box<San>),
    /// A disk of the machine's own.
    Local {
        /// Its number as the BIOS counts, from 0x80.
        drive: u8,
    },
    /// Another boot script.
    Chain {
        /// Its URL or path.
        url: TemplateText,
        /// Where its signature is, by which iPXE has to verify it; a URL or path.
        signature: Option<TemplateText>,
    },
    /// A whole iPXE script.
    Script {
        /// Name of the template.
        template: String,
    },
}

impl Boot {
    /// Its texts that are templates, with the keys that they stand under: `initrd[0]` in a list.
    pub fn texts(&self) -> Vec<(String, &TemplateText)> {
        let none: (&str, &[TemplateText], Option<&Arguments>) = ("", &[], None);
        let (single, (files_key, files, cmdline)) = match self {
            Self::Linux {
                kernel,
                initrd,
                cmdline,
            } => (
                vec![("kernel", kernel)],
                ("initrd", initrd.as_slice(), Some(cmdline)),
            ),
            Self::Image {
                kind,
                image,
                files,
                cmdline,
            } => (
                vec![(kind.image_key(), image)],
                (kind.files_key(), files.as_slice(), Some(cmdline)),
            ),
            Self::San(san) => {
                let all = [
                    (san.target.key(), Some(san.target.text())),
                    ("initiator", san.initiator.as_ref()),
                    ("username", san.login.as_ref().map(|login| &login.user)),
                    (
                        "target_username",
                        san.target_login.as_ref().map(|login| &login.user),
                    ),
                ];
                let there = all.into_iter();
                let there = there.filter_map(|(key, text)| Some((key, text?)));
                (there.collect(), none)
            }
            Self::Chain { url, signature } => {
                let signature = signature.iter().map(|text| ("signature", text));
                let url = std::iter::once(("url", url));
                (url.chain(signature).collect(), none)
            }
            Self::Local { .. } | Self::Script { .. } => (Vec::new(), none),
        };
        let single = single.into_iter();
        let mut texts: Vec<(String, &TemplateText)> =
            single.map(|(key, text)| (key.to_owned(), text)).collect();
        let listed = |key: &str, list: &'_ [TemplateText]| -> Vec<String> {
            (0..list.len()).map(|index| list_key(key, index)).collect()
        };
        texts.extend(listed(files_key, files).into_iter().zip(files));
        match cmdline {
            Some(Arguments::Text(text)) => texts.push(("cmdline".to_owned(), text)),
            Some(Arguments::List(list)) => {
                texts.extend(listed("cmdline", list).into_iter().zip(list));
            }
            None => {}
        }
        texts
    }
}

/// The name of one text of a list, as [`Boot::texts`] gives it.
pub fn list_key(key: &str, index: usize) -> String {
    format!("{key}[{index}]")
}

/// A disk or CD over the network (iPXE's `sanboot`).
#[derive(Debug, Clone)]
pub struct San {
    /// Where it is.
    pub target: SanTarget,
    /// The name by which the machine logs in at an iSCSI target; `None`: one made of the host's name.
    pub initiator: Option<TemplateText>,
    /// How the machine proves to the target who it is (CHAP, RFC 1994).
    pub login: Option<Chap>,
    /// How the target proves to the machine who it is.
    pub target_login: Option<Chap>,
    /// The number that the BIOS has it under.
    pub drive: u8,
}

/// Where a disk over the network is.
#[derive(Debug, Clone)]
pub enum SanTarget {
    /// The image of a disk or CD, read by HTTP as it is needed: its path under `boot_assets`, or a URL.
    Image(TemplateText),
    /// A root path (RFC 4173), see [`crate::wire::iscsi`].
    Iscsi(TemplateText),
}

impl SanTarget {
    /// Its key.
    pub const fn key(&self) -> &'static str {
        match self {
            Self::Image(_) => "image",
            Self::Iscsi(_) => "target",
        }
    }

    /// Its text.
    pub const fn text(&self) -> &TemplateText {
        match self {
            Self::Image(text) | Self::Iscsi(text) => text,
        }
    }
}

/// A name and a secret.
#[derive(Debug, Clone)]
pub struct Chap {
    /// The name.
    pub user: TemplateText,
    /// The name of the secret in the file of secrets.
    pub secret: String,
}

/// What a boot loader starts that is no Linux kernel.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ImageKind {
    /// A multiboot kernel with modules (Multiboot Specification 0.6.96). iPXE boots these on BIOS only.
    Multiboot,
    /// An EFI binary.
    Efi,
    /// Windows PE by wimboot, out of files that it sees as a disk.
    Wimboot,
    /// The image of a disk or CD by memdisk, on BIOS only.
    Memdisk,
}

impl ImageKind {
    /// As `kind` of a profile's `[boot]` says.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Multiboot => "multiboot",
            Self::Efi => "efi",
            Self::Wimboot => "wimboot",
            Self::Memdisk => "memdisk",
        }
    }

    /// The key of what is started.
    pub const fn image_key(self) -> &'static str {
        match self {
            Self::Efi => "file",
            Self::Multiboot | Self::Wimboot | Self::Memdisk => "kernel",
        }
    }

    /// The key of what it finds beside it.
    pub const fn files_key(self) -> &'static str {
        match self {
            Self::Multiboot => "modules",
            Self::Efi | Self::Wimboot => "files",
            Self::Memdisk => "image",
        }
    }

    /// Where what is started lies under `boot_assets` unless the profile says.
    pub const fn default_image(self) -> Option<&'static str> {
        match self {
            Self::Wimboot => Some("wimboot/wimboot"),
            Self::Memdisk => Some("memdisk/memdisk"),
            Self::Multiboot | Self::Efi => None,
        }
    }

    /// Whether only a BIOS can boot it.
    pub const fn needs_bios(self) -> bool {
        matches!(self, Self::Multiboot | Self::Memdisk)
    }
}

/// One answer file of a profile.
#[derive(Debug, Clone)]
pub struct Answer {
    /// Its name in the URL.
    pub name: String,
    /// Its template, by path under `templates`.
    pub template: String,
    /// Content-Type of the reply.
    pub content_type: String,
    /// Where it stands.
    pub span: Option<Span>,
}

/// A template file.
#[derive(Debug, Clone)]
pub struct Template {
    /// The text.
    pub text: Arc<str>,
    /// Where it came from: an empty span at its start.
    pub span: Option<Span>,
}
