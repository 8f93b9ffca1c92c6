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
    /// Another boot script.
    Chain {
        /// Its URL or path.
        url: TemplateText,
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
        let listed = |key: &str, list: &'_ [TemplateText]| -> Vec<String> {
            (0..list.len()).map(|index| list_key(key, index)).collect()
        };
        let arguments = |arguments: &Arguments| match arguments {
            Arguments::Text(_) => vec!["cmdline".to_owned()],
            Arguments::List(list) => listed("cmdline", list),
        };
        let all = |image: &str, files: &str, of: &[TemplateText], cmdline: &Arguments| {
            let mut keys = vec![image.to_owned()];
            keys.extend(listed(files, of));
            keys.extend(arguments(cmdline));
            keys
        };
        let (keys, image, files, cmdline): (_, _, &[TemplateText], &[TemplateText]) = match self {
            Self::Linux {
                kernel,
                initrd,
                cmdline,
            } => (
                all("kernel", "initrd", initrd, cmdline),
                kernel,
                initrd,
                cmdline.texts(),
            ),
            Self::Image {
                kind,
                image,
                files,
                cmdline,
            } => (
                all(kind.image_key(), kind.files_key(), files, cmdline),
                image,
                files,
                cmdline.texts(),
            ),
            Self::Chain { url } => (vec!["url".to_owned()], url, &[], &[]),
            Self::Script { .. } => return Vec::new(),
        };
        let texts = std::iter::once(image).chain(files).chain(cmdline);
        keys.into_iter().zip(texts).collect()
    }
}

/// The name of one text of a list, as [`Boot::texts`] gives it.
pub fn list_key(key: &str, index: usize) -> String {
    format!("{key}[{index}]")
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
