//! `profiles/NAME.toml` as written.

use std::time::Duration;

use toml::de::{DeTable, DeValue};

use super::{Written, fetch, options, san};
use crate::base::{Architecture, Lifecycle, ProfileName};
use crate::config::fetch::Fetch;
use crate::config::problem::Problem;
use crate::config::snapshot::{
    Arguments, Boot, ImageKind, ProfileOption, SignedLoaders, TemplateText,
};
use crate::config::source::Span;
use crate::config::table::{Choice, Context, Keys, Reader};
use crate::config::values::{self, Bad};
use crate::config::vars::{self, Vars};

/// One profile.
#[derive(Debug)]
pub(crate) struct ProfileFile {
    pub name: ProfileName,
    /// The beginning of its file.
    pub span: Span,
    pub title: Option<Written<String>>,
    pub family: Option<Written<&'static str>>,
    pub arch: Option<Written<Vec<Written<Architecture>>>>,
    pub lifecycle: Option<Written<Lifecycle>>,
    pub secure_boot: Option<Written<bool>>,
    pub boot: Option<WrittenBoot>,
    pub answers: Vec<AnswerEntry>,
    /// DHCP options for the system that installs.
    pub options: Vec<Written<ProfileOption>>,
    pub stalled_after: Option<Written<Duration>>,
    /// The files that declare its variables, by path under `templates`.
    pub variables: Vec<Written<String>>,
    /// What it gives its variables.
    pub vars: Vars,
    pub fetch: Option<Fetch>,
    /// Whether everything in it could be read.
    pub ok: bool,
}

/// The `[boot]` of a profile; a script's template still has to be looked up.
#[derive(Debug)]
pub(crate) struct WrittenBoot {
    pub boot: Boot,
    /// The template that a script names.
    pub template: Option<Written<String>>,
    /// The distribution's signed loaders.
    pub signed: Option<SignedLoaders>,
}

/// One `[[answers]]`.
#[derive(Debug)]
pub(crate) struct AnswerEntry {
    pub name: Written<String>,
    pub template: Written<String>,
    pub content_type: Option<Written<String>>,
}

pub(crate) const PROFILE: Keys = Keys {
    known: &[
        "title",
        "family",
        "arch",
        "lifecycle",
        "secure_boot",
        "boot",
        "answers",
        "options",
        "stalled_after",
        "variables",
        "vars",
        "fetch",
    ],
    later: &[],
    hints: &[
        (
            "name",
            "a profile's name is the name of its file; one line for people is its `title`",
        ),
        ("kernel", "it belongs to [boot]"),
        ("initrd", "it belongs to [boot]"),
        ("cmdline", "it belongs to [boot]"),
        ("kind", "it belongs to [boot]"),
        ("answer", "did you mean [[answers]]?"),
        ("snippets", "snippets stand at hosts and groups"),
    ],
};

pub(crate) const BOOT: Keys = Keys {
    known: &[
        "kind",
        "kernel",
        "initrd",
        "cmdline",
        "url",
        "template",
        "modules",
        "file",
        "files",
        "image",
        "target",
        "initiator",
        "username",
        "password_secret",
        "target_username",
        "target_password_secret",
        "drive",
        "signature",
        "shim",
        "grub",
        "grub_http",
    ],
    later: &[],
    hints: &[
        ("secure_boot", "it stands above [boot]"),
        ("args", "did you mean `cmdline`?"),
        ("append", "did you mean `cmdline`?"),
        (
            "password",
            "passwords stand in the file of secrets; `password_secret` names one of them",
        ),
        ("root_path", "did you mean `target`?"),
    ],
};

pub(crate) const ANSWER: Keys = Keys {
    known: &["name", "template", "content_type"],
    later: &[],
    hints: &[],
};

/// The families of operating systems.
pub(crate) const FAMILIES: [&str; 12] = [
    "debian", "ubuntu", "redhat", "suse", "smartos", "coreos", "flatcar", "alpine", "windows",
    "esxi", "tool", "other",
];

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Linux,
    Image(ImageKind),
    San,
    Local,
    Chain,
    Script,
}

pub(crate) const KINDS: [(&str, Choice<Kind>); 9] = [
    ("linux", Choice::Is(Kind::Linux)),
    ("sanboot", Choice::Is(Kind::San)),
    ("local", Choice::Is(Kind::Local)),
    ("chain", Choice::Is(Kind::Chain)),
    ("script", Choice::Is(Kind::Script)),
    (
        ImageKind::Multiboot.as_str(),
        Choice::Is(Kind::Image(ImageKind::Multiboot)),
    ),
    (
        ImageKind::Efi.as_str(),
        Choice::Is(Kind::Image(ImageKind::Efi)),
    ),
    (
        ImageKind::Wimboot.as_str(),
        Choice::Is(Kind::Image(ImageKind::Wimboot)),
    ),
    (
        ImageKind::Memdisk.as_str(),
        Choice::Is(Kind::Image(ImageKind::Memdisk)),
    ),
];

/// `lifecycle` of a profile.
pub(crate) const LIFECYCLES: [(&str, Choice<Lifecycle>); 3] = [
    (Lifecycle::Install.as_str(), Choice::Is(Lifecycle::Install)),
    (Lifecycle::Live.as_str(), Choice::Is(Lifecycle::Live)),
    (Lifecycle::Once.as_str(), Choice::Is(Lifecycle::Once)),
];

impl Kind {
    /// The keys of `[boot]` that a profile of this kind has, `kind` and those of signed loaders apart.
    pub(crate) const fn keys(self) -> &'static [&'static str] {
        match self {
            Self::Linux => &["kernel", "initrd", "cmdline"],
            Self::Image(ImageKind::Multiboot) => &["kernel", "modules", "cmdline"],
            Self::Image(ImageKind::Efi) => &["file", "cmdline"],
            Self::Image(ImageKind::Wimboot) => &["files", "kernel", "cmdline"],
            Self::Image(ImageKind::Memdisk) => &["image", "kernel", "cmdline"],
            Self::San => san::KEYS,
            Self::Local => &["drive"],
            Self::Chain => &["url", "signature"],
            Self::Script => &["template"],
        }
    }

    /// Whether GRUB loads what it starts.
    pub(crate) const fn can_be_signed(self) -> bool {
        matches!(self, Self::Linux | Self::Image(ImageKind::Efi))
    }
}

impl ProfileFile {
    /// Reads the file and reports what is wrong with each key.
    pub(crate) fn read(cx: &mut Context<'_>, name: ProfileName, document: &DeTable<'_>) -> Self {
        let span = cx.span(0..0);
        let mut reader = Reader::open(cx, document, format!("profile {name}"), span, &PROFILE);
        let title = reader.parsed(cx, "title", values::line);
        let families = FAMILIES.map(|family| (family, Choice::Is(family)));
        let family = reader.choice(cx, "family", &families);
        let arch = reader.list(cx, "arch", true, values::arch);
        if let Some(arch) = &arch
            && arch.value.is_empty()
            && reader.ok
        {
            let bad = Bad::new("empty-list", "`arch` is an empty list", "runs on nothing");
            reader.bad(
                cx,
                arch.span,
                bad.help("leave `arch` out: the profile can then be used on all architectures"),
            );
        }
        let lifecycle = reader.choice(cx, "lifecycle", &LIFECYCLES);
        let secure_boot = reader.flag(cx, "secure_boot");
        let stalled_after = reader.parsed(cx, "stalled_after", values::duration);
        let variables = reader.list(cx, "variables", true, values::line);
        let vars = vars::read(cx, &mut reader);
        let boot = Self::boot(cx, &mut reader);
        if let Some(boot) = &boot
            && san::local_installs(boot, lifecycle.as_ref())
        {
            let problem = Problem::error(
                "lifecycle",
                "a profile that boots a disk of the machine's own installs nothing",
            )
            .at(
                lifecycle.as_ref().map_or(span, |lifecycle| lifecycle.span),
                "would be waited for without end",
            )
            .help("write `lifecycle = \"live\"` for every boot, or `lifecycle = \"once\"` for one");
            reader.report(cx, problem);
        }
        let options = options::read_of_profile(cx, &mut reader);
        if let (Some(span), Some(lifecycle)) = (reader.key_span(cx, "options"), &lifecycle)
            && lifecycle.value != Lifecycle::Install
        {
            let bad = Bad::new(
                "profile-options",
                format!(
                    "`options` are for what installs, and this profile's `lifecycle` is \"{}\"",
                    lifecycle.value.as_str()
                ),
                "is never sent",
            );
            let help = "give them to the hosts, their group or the subnet";
            reader.bad(cx, span, bad.help(help));
        }
        let fetch = fetch::read(cx, &mut reader);
        let mut answers: Vec<AnswerEntry> = Vec::new();
        for (table, header) in reader.tables(cx, "answers") {
            let mut answer = Reader::open(cx, table, "[[answers]]", header, &ANSWER);
            let entry = AnswerEntry::read(cx, &mut answer);
            reader.ok &= answer.ok;
            let Some(entry) = entry else { continue };
            if let Some(first) = answers
                .iter()
                .find(|first| first.name.value == entry.name.value)
            {
                let problem = Problem::error(
                    "duplicate-name",
                    format!("two answers have the name `{}`", entry.name.value),
                )
                .at(entry.name.span, "the second one")
                .at(first.name.span, "the first one")
                .help("give each answer a name of its own");
                reader.report(cx, problem);
            } else {
                answers.push(entry);
            }
        }
        Self {
            name,
            span,
            title,
            family,
            arch,
            lifecycle,
            secure_boot,
            boot,
            answers,
            options,
            stalled_after,
            variables: variables.map(|list| list.value).unwrap_or_default(),
            vars,
            fetch,
            ok: reader.ok,
        }
    }

    fn boot(cx: &mut Context<'_>, profile: &mut Reader<'_, '_>) -> Option<WrittenBoot> {
        if !profile.has("boot") {
            profile.missing(
                cx,
                "boot",
                "add a table [boot] with `kind` and what it loads",
            );
            return None;
        }
        let header = profile.key_span(cx, "boot")?;
        let table = profile.table(cx, "boot")?;
        let mut boot = Reader::open(cx, table, "[boot]", header, &BOOT);
        let kind = boot.choice(cx, "kind", &KINDS);
        if !boot.has("kind") {
            let guess = [
                "multiboot",
                "efi",
                "wimboot",
                "sanboot",
                "memdisk",
                "linux",
                "chain",
                "script",
            ]
            .into_iter()
            .zip([
                "modules", "file", "files", "target", "image", "kernel", "url", "template",
            ])
            .find(|(_, key)| boot.has(key))
            .map_or("linux", |(kind, _)| kind);
            boot.missing(cx, "kind", format!("write `kind = \"{guess}\"`"));
        }
        let mut read = kind.and_then(|kind| kind_of_boot(cx, &mut boot, kind.value));
        let signed = signed(cx, &mut boot);
        if let Some(read) = &mut read {
            read.signed = signed;
        }
        profile.ok &= boot.ok;
        read
    }
}

/// The keys that name signed loaders.
pub(crate) const SIGNED: [&str; 3] = ["shim", "grub", "grub_http"];

/// The distribution's signed loaders.
fn signed(cx: &mut Context<'_>, boot: &mut Reader<'_, '_>) -> Option<SignedLoaders> {
    let shim = boot.parsed(cx, "shim", fetch::place);
    let grub = boot.parsed(cx, "grub", fetch::place);
    let http = boot.flag(cx, "grub_http");
    for key in ["grub", "grub_http"] {
        if let Some(span) = boot.key_span(cx, key).filter(|_| !boot.has("shim")) {
            let problem = Problem::error("missing-key", format!("`{key}` without `shim`"))
                .at(span, "shim is what loads GRUB")
                .help("write where the distribution's shim lies under boot_assets: `shim = \"…\"`");
            boot.report(cx, problem);
        }
    }
    Some(SignedLoaders {
        shim: shim?.value,
        grub: grub.map(|grub| grub.value),
        http: http.is_none_or(|http| http.value),
    })
}

fn kind_of_boot(
    cx: &mut Context<'_>,
    boot: &mut Reader<'_, '_>,
    kind: Kind,
) -> Option<WrittenBoot> {
    let name = KINDS
        .iter()
        .find(|(_, choice)| matches!(choice, Choice::Is(named) if *named == kind))
        .map_or("", |(word, _)| word);
    let keys = kind.keys();
    for key in BOOT
        .known
        .iter()
        .filter(|key| **key != "kind" && !keys.contains(key))
        .filter(|key| !(SIGNED.contains(key) && kind.can_be_signed()))
    {
        if let Some(span) = boot.key_span(cx, key) {
            let problem = Problem::error(
                "unknown-key",
                format!("`{key}` does not belong to `kind = \"{name}\"`"),
            )
            .at(span, "belongs to another kind")
            .help(format!(
                "the keys of this kind are {}",
                crate::config::table::list_words(keys.iter().copied(), "and")
            ));
            boot.report(cx, problem);
        }
    }
    match kind {
        Kind::Linux => {
            let kernel = needed(
                cx,
                boot,
                "kernel",
                "the path of the kernel under boot_assets, or a URL",
            );
            let initrd = boot.list(cx, "initrd", true, template_path);
            let cmdline = cmdline(cx, boot);
            Some(WrittenBoot {
                boot: Boot::Linux {
                    kernel: template(kernel?),
                    initrd: initrd
                        .map(|list| list.value.into_iter().map(template).collect())
                        .unwrap_or_default(),
                    cmdline,
                },
                template: None,
                signed: None,
            })
        }
        Kind::Image(kind) => image(cx, boot, kind),
        Kind::San => san::read(cx, boot),
        Kind::Local => Some(WrittenBoot {
            boot: Boot::Local {
                drive: san::drive(cx, boot),
            },
            template: None,
            signed: None,
        }),
        Kind::Chain => {
            let url = needed(
                cx,
                boot,
                "url",
                "the URL of the script or loader, or its path under boot_assets",
            )?;
            Some(WrittenBoot {
                boot: Boot::Chain {
                    url: template(url),
                    signature: boot.parsed(cx, "signature", template_path).map(template),
                },
                template: None,
                signed: None,
            })
        }
        Kind::Script => {
            if !boot.has("template") {
                boot.missing(
                    cx,
                    "template",
                    "name the template that is the whole iPXE script",
                );
            }
            let name = boot.parsed(cx, "template", values::line)?;
            Some(WrittenBoot {
                boot: Boot::Script {
                    template: name.value.clone(),
                },
                template: Some(name),
                signed: None,
            })
        }
    }
}

/// What is started and what it finds beside it.
fn image(cx: &mut Context<'_>, boot: &mut Reader<'_, '_>, kind: ImageKind) -> Option<WrittenBoot> {
    let image = match kind.default_image() {
        Some(path) if !boot.has(kind.image_key()) => TemplateText {
            text: path.to_owned(),
            span: None,
        },
        _ => template(needed(
            cx,
            boot,
            kind.image_key(),
            "its path under boot_assets, or a URL",
        )?),
    };
    let files = match kind {
        ImageKind::Efi => Vec::new(),
        ImageKind::Memdisk => vec![template(needed(
            cx,
            boot,
            "image",
            "the path of the disk's or CD's image under boot_assets, or a URL",
        )?)],
        ImageKind::Multiboot => boot
            .list(cx, "modules", true, module)
            .map(|list| list.value.into_iter().map(template).collect())
            .unwrap_or_default(),
        ImageKind::Wimboot => {
            if !boot.has("files") {
                boot.missing(
                    cx,
                    "files",
                    "write the paths of BCD, boot.sdi and boot.wim under boot_assets, or URLs",
                );
            }
            let files = boot.list(cx, "files", true, template_path)?;
            files.value.into_iter().map(template).collect()
        }
    };
    Some(WrittenBoot {
        boot: Boot::Image {
            kind,
            image,
            files,
            cmdline: cmdline(cx, boot),
        },
        template: None,
        signed: None,
    })
}

/// A multiboot module: its path or URL, and after it its arguments.
fn module(text: &str) -> Result<String, Bad> {
    // A template's own spaces end no path.
    let path = match text.split_once(char::is_whitespace) {
        Some((path, _)) if !path.contains("{{") => path,
        _ => text,
    };
    template_path(path).map(|_| text.to_owned())
}

/// One text, or a list of arguments.
fn cmdline(cx: &mut Context<'_>, boot: &mut Reader<'_, '_>) -> Arguments {
    if let Some(DeValue::Array(_)) = boot.value("cmdline").map(toml::Spanned::get_ref) {
        let list = boot.list(cx, "cmdline", false, |text| Ok(text.to_owned()));
        let list = list.map(|list| list.value).unwrap_or_default();
        return Arguments::List(list.into_iter().map(template).collect());
    }
    let text = boot.text(cx, "cmdline").unwrap_or(Written {
        value: String::new(),
        span: boot.header,
    });
    Arguments::Text(template(text))
}

pub(super) fn needed(
    cx: &mut Context<'_>,
    boot: &mut Reader<'_, '_>,
    key: &str,
    what: &str,
) -> Option<Written<String>> {
    if !boot.has(key) {
        boot.missing(cx, key, format!("write {what}"));
    }
    boot.parsed(cx, key, template_path)
}

pub(super) fn template(text: Written<String>) -> TemplateText {
    TemplateText {
        text: text.value,
        span: Some(text.span),
    }
}

/// A path or URL that may hold `{{ … }}`: what stands outside of them can be told now.
pub(super) fn template_path(text: &str) -> Result<String, Bad> {
    if !text.contains("{{") && !text.contains("{%") {
        return values::boot_file(text);
    }
    if text.starts_with('/') || text.split('/').any(|part| part == "..") {
        return Err(Bad::new(
            "bad-path",
            format!("`{text}` is no path under boot_assets and no URL"),
            "leads out of the folder",
        )
        .help("write the path from the folder boot_assets on"));
    }
    Ok(text.to_owned())
}

impl AnswerEntry {
    fn read(cx: &mut Context<'_>, answer: &mut Reader<'_, '_>) -> Option<Self> {
        let name = answer.parsed(cx, "name", values::answer_name);
        if !answer.has("name") {
            answer.missing(
                cx,
                "name",
                "write the name under which the installer fetches it, such as \"preseed.cfg\"",
            );
        }
        if let Some(value) = answer.value("template")
            && matches!(value.get_ref(), DeValue::String(text) if text.starts_with('/') || text.contains(".."))
        {
            let span = cx.span(value.span());
            let bad = Bad::new(
                "bad-path",
                "a template is named by its path under the folder `templates`",
                "not such a path",
            );
            answer.bad(
                cx,
                span,
                bad.help("write such as \"debian/preseed.cfg.j2\""),
            );
            return None;
        }
        let template = answer.parsed(cx, "template", values::line);
        if !answer.has("template") {
            answer.missing(cx, "template", "write the template's path under the folder `templates`, such as \"debian/preseed.cfg.j2\"");
        }
        Some(Self {
            content_type: answer.parsed(cx, "content_type", values::content_type),
            name: name?,
            template: template?,
        })
    }
}
