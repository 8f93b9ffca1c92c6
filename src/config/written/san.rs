//! `kind = "sanboot"` as written: an image by HTTP or an iSCSI target, and how the machine logs in there.

use super::Written;
use super::profile::{WrittenBoot, needed, template, template_path};
use crate::config::problem::Problem;
use crate::config::secrets::is_name;
use crate::config::snapshot::{Boot, Chap, San, SanTarget};
use crate::config::table::{Context, Reader};
use crate::config::values::{self, Bad};
use crate::wire::iscsi::{RootPath, check_name};

/// The keys of this kind.
pub(crate) const KEYS: &[&str] = &[
    "image",
    "target",
    "initiator",
    "username",
    "password_secret",
    "target_username",
    "target_password_secret",
    "drive",
];

/// The keys that only an iSCSI target has.
pub(crate) const OF_TARGETS: &[&str] = &[
    "initiator",
    "username",
    "password_secret",
    "target_username",
    "target_password_secret",
];

/// The first disk, as the BIOS counts.
const FIRST_DRIVE: u8 = 0x80;

/// Reads the keys of the kind.
pub(super) fn read(cx: &mut Context<'_>, boot: &mut Reader<'_, '_>) -> Option<WrittenBoot> {
    let spans = (boot.key_span(cx, "image"), boot.key_span(cx, "target"));
    let target = match spans {
        (Some(image), Some(target)) => {
            let problem = Problem::error("not-together", "[boot] has both `image` and `target`")
                .at(target, "either this")
                .at(image, "or this")
                .help(
                    "an image is read by HTTP, a target is a disk by iSCSI: leave one of them out",
                );
            boot.report(cx, problem);
            None
        }
        (None, Some(_)) => {
            let target = boot.parsed(cx, "target", root_path);
            target.map(|target| SanTarget::Iscsi(template(target)))
        }
        (Some(_), None) => {
            for key in OF_TARGETS {
                if let Some(span) = boot.key_span(cx, key) {
                    let problem =
                        Problem::error("not-together", format!("`{key}` does not go with `image`"))
                            .at(span, "is for an iSCSI target")
                            .help("an image is read by HTTP, without a login: leave it out");
                    boot.report(cx, problem);
                }
            }
            let image = boot.parsed(cx, "image", template_path);
            image.map(|image| SanTarget::Image(template(image)))
        }
        (None, None) => {
            needed(
                cx,
                boot,
                "image",
                "the path of the disk's or CD's image under boot_assets, or a URL; or `target = \"iscsi:SERVER::::TARGET\"`",
            );
            None
        }
    };
    let initiator = boot.parsed(cx, "initiator", initiator).map(template);
    let login = chap(cx, boot, "username", "password_secret");
    let target_login = chap(cx, boot, "target_username", "target_password_secret");
    if let (Some(span), None) = (
        boot.key_span(cx, "target_username"),
        boot.key_span(cx, "username"),
    ) {
        let problem = Problem::error(
            "missing-key",
            "the target is to prove who it is, and the machine is not",
        )
        .at(span, "needs `username` as well")
        .help("CHAP proves the target only beside the machine (RFC 7143 section 12.1.3): write `username` and `password_secret` too");
        boot.report(cx, problem);
    }
    let drive = drive(cx, boot);
    Some(WrittenBoot {
        boot: Boot::San(Box::new(San {
            target: target?,
            initiator,
            login,
            target_login,
            drive,
        })),
        template: None,
        signed: None,
    })
}

/// The number of a disk.
pub(super) fn drive(cx: &mut Context<'_>, boot: &mut Reader<'_, '_>) -> u8 {
    let number = boot.integer(
        cx,
        "drive",
        0x80..=0xff,
        "disks are counted as the BIOS does: 0x80 is the first one, 0x81 the second",
    );
    number
        .and_then(|number| u8::try_from(number.value).ok())
        .unwrap_or(FIRST_DRIVE)
}

/// A name and the name of a secret: both, or none.
fn chap(
    cx: &mut Context<'_>,
    boot: &mut Reader<'_, '_>,
    user_key: &str,
    secret_key: &str,
) -> Option<Chap> {
    let user = boot.parsed(cx, user_key, values::line);
    let secret = boot.parsed(cx, secret_key, secret_name);
    for (there, other) in [(user_key, secret_key), (secret_key, user_key)] {
        if let (Some(span), false) = (boot.key_span(cx, there), boot.has(other)) {
            let problem = Problem::error("missing-key", format!("`{there}` stands without `{other}`"))
                .at(span, "half of a login")
                .help(format!(
                    "write `{other}` as well: a login is a name and the name of a secret in secrets.toml"
                ));
            boot.report(cx, problem);
        }
    }
    Some(Chap {
        user: template(user?),
        secret: secret?.value,
    })
}

fn secret_name(text: &str) -> Result<String, Bad> {
    if is_name(text) {
        return Ok(text.to_owned());
    }
    // It may be a password that somebody wrote here.
    Err(
        Bad::new("bad-name", "this is no name of a secret", "not such a name")
            .help("write the name that the password has in secrets.toml, such as \"iscsi\""),
    )
}

fn is_template(text: &str) -> bool {
    text.contains("{{") || text.contains("{%")
}

/// A root path, as far as it is known now.
fn root_path(text: &str) -> Result<String, Bad> {
    let bad = |why: String| {
        Bad::new(
            "bad-root-path",
            format!("`{text}` is no iSCSI root path: {why}"),
            "not a root path",
        )
        .help("write such as \"iscsi:10.99.0.5::::iqn.2026-01.example.lab:web01\" (RFC 4173)")
    };
    if !is_template(text) {
        RootPath::parse(text).map_err(|why| bad(why.to_string()))?;
    }
    Ok(text.to_owned())
}

fn initiator(text: &str) -> Result<String, Bad> {
    if !is_template(text) {
        check_name(text).map_err(|why| {
            Bad::new("bad-name", why.to_string(), "not such a name")
                .help("leave `initiator` out: the name is then made of the host's")
        })?;
    }
    Ok(text.to_owned())
}

/// A profile that boots a disk of the machine's own installs nothing.
pub(crate) fn local_installs(
    boot: &WrittenBoot,
    lifecycle: Option<&Written<crate::base::Lifecycle>>,
) -> bool {
    matches!(boot.boot, Boot::Local { .. })
        && lifecycle.is_none_or(|lifecycle| lifecycle.value == crate::base::Lifecycle::Install)
}
