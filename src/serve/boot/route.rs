//! Request path → what is meant. Pure.
//!
//! The path is cut at its slashes first and each part is percent-decoded once, so that `%2F` never
//! becomes a separator. Doubled slashes count as one: loaders join URLs carelessly.

use hyper::Method;
use percent_encoding::percent_decode_str;

use crate::base::{BootLoader, HardwareAddr, Token, Uuid, without_tokens};
use crate::config::signed::is_companion;
use crate::decide::configs::{ConfigName, Whose};
use crate::record::ReportKind;

/// What a request of the boot plane is for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Route {
    /// `/boot/boot.ipxe`, and `autoexec.ipxe` in any folder: the script that every machine may have.
    Chain,
    /// `/boot/{mac}/boot.ipxe`.
    Script(HardwareAddr),
    /// A configuration of GRUB's or PXELINUX's: `/boot/{mac}/grub.cfg`, and the names under which they ask
    /// for it themselves, in any folder; with the path below `boot_assets` of a file of that name.
    Config(ConfigName, Option<String>),
    /// `/assets/{path}`: the path below `boot_assets`, decoded, without a leading slash.
    Asset(String),
    /// `/answers/{token}/{name}`.
    Answer {
        /// The capability; `None` when the text is no token at all.
        token: Option<Token>,
        /// The file's name.
        name: String,
    },
    /// `/answers/{token}/secrets/{name}`.
    Secret {
        /// The capability; `None` when the text is no token at all.
        token: Option<Token>,
        /// The secret's name.
        name: String,
    },
    /// `/answers/{token}/` and `/answers/{token}/secrets/`: nothing is there.
    NoAnswer,
    /// `/report/{token}/{event}`.
    Report {
        /// The capability; `None` when the text is no token at all.
        token: Option<Token>,
        /// What is reported.
        kind: ReportKind,
    },
    /// `/report/{token}/webhook`.
    Webhook {
        /// The capability; `None` when the text is no token at all.
        token: Option<Token>,
    },
    /// `/unattended/built?token=…` and `/unattended/failed?token=…`, as installers made for Foreman report.
    Unattended(ReportKind),
    /// `/report/{token}/logs/{name}`.
    Log {
        /// The capability; `None` when the text is no token at all.
        token: Option<Token>,
        /// The log's name, not yet checked.
        name: String,
    },
    /// `/healthz`.
    Health,
    /// No such thing.
    NotFound,
}

impl Route {
    /// Reads a path.
    pub fn of(path: &str) -> Self {
        let folder = path.ends_with('/');
        let Some(parts) = parts(path) else {
            return Self::NotFound;
        };
        let parts: Vec<&str> = parts.iter().map(String::as_str).collect();
        match parts.as_slice() {
            ["healthz"] => Self::Health,
            // An EFI build of iPXE looks for the second one beside the file that it was itself loaded from.
            ["boot", "boot.ipxe"]
            | ["autoexec.ipxe"]
            | ["boot" | "assets", .., "autoexec.ipxe"] => Self::Chain,
            ["boot", mac, "boot.ipxe"] => mac.parse().map_or(Self::NotFound, Self::Script),
            // shim asks for GRUB beside itself in spellings of its own.
            [path @ .., name] if !folder && is_companion(&name.to_ascii_lowercase()) => {
                let path = path.strip_prefix(&["assets"]).unwrap_or(path);
                let path: Vec<&str> = path.iter().chain([name]).copied().collect();
                Self::Asset(path.join("/"))
            }
            ["boot", mac, "grub.cfg" | "pxelinux.cfg"] if mac.parse::<HardwareAddr>().is_ok() => {
                let loader = match parts.last() {
                    Some(&"grub.cfg") => BootLoader::Grub,
                    _ => BootLoader::Pxelinux,
                };
                mac.parse().map_or(Self::NotFound, |mac| {
                    let whose = Whose::Mac(mac);
                    Self::Config(ConfigName { loader, whose }, None)
                })
            }
            ["assets", path @ ..] if !path.is_empty() && !folder => {
                let path = path.join("/");
                match ConfigName::read(&path) {
                    Some(name) => Self::Config(name, Some(path)),
                    None => Self::Asset(path),
                }
            }
            ["answers", token, "secrets", name] if !folder => Self::Secret {
                token: Token::parse(token),
                name: (*name).to_owned(),
            },
            ["answers", _, "secrets", ..] | ["answers", _] => Self::NoAnswer,
            ["answers", token, name] if !folder => Self::Answer {
                token: Token::parse(token),
                name: (*name).to_owned(),
            },
            ["report", token, "logs", name] => Self::Log {
                token: Token::parse(token),
                name: (*name).to_owned(),
            },
            ["report", token, "webhook"] => Self::Webhook {
                token: Token::parse(token),
            },
            ["unattended", "built"] => Self::Unattended(ReportKind::Installed),
            ["unattended", "failed"] => Self::Unattended(ReportKind::Failed),
            ["report", token, event] => match event_kind(event) {
                Some(kind) => Self::Report {
                    token: Token::parse(token),
                    kind,
                },
                None => Self::NotFound,
            },
            // A loader whose root is this server.
            [first, ..] if !folder && !matches!(*first, "answers" | "report" | "unattended") => {
                match ConfigName::read(&parts.join("/")) {
                    Some(name) => Self::Config(name, None),
                    None => Self::NotFound,
                }
            }
            _ => Self::NotFound,
        }
    }

    /// The methods that it knows.
    pub fn methods(&self) -> &'static [Method] {
        const READ: &[Method] = &[Method::GET, Method::HEAD];
        const ANSWER: &[Method] = &[Method::GET, Method::HEAD, Method::POST];
        const REPORT: &[Method] = &[Method::GET, Method::POST];
        const WEBHOOK: &[Method] = &[Method::POST];
        const LOG: &[Method] = &[Method::PUT, Method::POST];
        match self {
            Self::Chain
            | Self::Script(_)
            | Self::Config(..)
            | Self::Asset(_)
            | Self::Secret { .. }
            | Self::Health
            | Self::NotFound => READ,
            Self::Answer { .. } | Self::NoAnswer => ANSWER,
            Self::Report { .. } | Self::Unattended(_) => REPORT,
            Self::Webhook { .. } => WEBHOOK,
            Self::Log { .. } => LOG,
        }
    }
}

fn event_kind(event: &str) -> Option<ReportKind> {
    Some(match event {
        "started" => ReportKind::Started,
        "progress" => ReportKind::Progress,
        "installed" => ReportKind::Installed,
        "failed" => ReportKind::Failed,
        "up" => ReportKind::Up,
        _ => return None,
    })
}

/// The parts between the slashes, each decoded once; `None` when one is no UTF-8, or holds a slash
/// or a control character once decoded.
fn parts(path: &str) -> Option<Vec<String>> {
    path.split('/')
        .filter(|part| !part.is_empty())
        .map(|part| {
            let text = percent_decode_str(part).decode_utf8().ok()?;
            (!text.contains(|c: char| c == '/' || c.is_control())).then(|| text.into_owned())
        })
        .collect()
}

/// The path as the journal may show it: what stands where a token belongs, and every run of
/// characters that could hold one, is cut to its first four characters.
pub fn shown(path: &str) -> String {
    let mut previous = String::new();
    let mut text = String::with_capacity(path.len().min(200));
    for part in path.split('/').filter(|part| !part.is_empty()) {
        text.push('/');
        let decoded = percent_decode_str(part).decode_utf8_lossy();
        if matches!(previous.as_str(), "answers" | "report") {
            text.extend(decoded.chars().take(4));
            text.push('…');
        } else {
            let part = without_tokens(&decoded);
            text.push_str(&without_controls(&part));
        }
        previous = decoded.into_owned();
        if text.len() > 300 {
            text.push('…');
            break;
        }
    }
    if text.is_empty() {
        text.push('/');
    }
    text
}

/// What comes from a machine goes into logs and onto screens.
fn without_controls(text: &str) -> String {
    text.replace(char::is_control, " ")
}

/// What a machine tells of itself in the query of its script's URL.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Identity {
    /// Its UUID, when it reads as one.
    pub uuid: Option<Uuid>,
    /// Its serial number, when it is not empty.
    pub serial: Option<String>,
    /// Whether both were told, even if empty.
    pub told: bool,
    /// Whether it waits to be adopted.
    pub waiting: bool,
}

/// Reads `uuid`, `serial` and `waiting` of a query.
pub fn identity(query: Option<&str>) -> Identity {
    let pairs = pairs(query.unwrap_or_default());
    let field = |name: &str| {
        pairs
            .iter()
            .find(|(key, _)| key == name)
            .map(|(_, value)| without_controls(value).trim().to_owned())
    };
    Identity {
        uuid: field("uuid").and_then(|text| text.parse().ok()),
        serial: field("serial").filter(|text| !text.is_empty()),
        told: field("uuid").is_some() && field("serial").is_some(),
        waiting: field("waiting").is_some(),
    }
}

/// The token in a query, as Foreman's URLs have it.
pub fn token_of(query: Option<&str>) -> Option<Token> {
    pairs(query.unwrap_or_default())
        .iter()
        .find(|(key, _)| key == "token")
        .and_then(|(_, value)| Token::parse(value.trim()))
}

/// The pairs of an `application/x-www-form-urlencoded` text (WHATWG URL, section 5), decoded once;
/// at most 64 of them.
pub fn pairs(text: &str) -> Vec<(String, String)> {
    let decode = |part: &str| {
        let spaced = part.replace('+', " ");
        percent_decode_str(&spaced).decode_utf8_lossy().into_owned()
    };
    text.split('&')
        .filter(|pair| !pair.is_empty())
        .take(64)
        .map(|pair| {
            let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
            (decode(key), decode(value))
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const TOKEN: &str = "abcdefghijklmnopqrstuvwxyz";

    #[test]
    fn the_urls_of_the_contract() {
        let mac: HardwareAddr = "52:54:00:47:86:8e".parse().unwrap();
        let token = Token::parse(TOKEN);
        for chain in [
            "/boot/boot.ipxe",
            "/autoexec.ipxe",
            "/assets/ipxe/autoexec.ipxe",
            "//assets//ipxe/x/autoexec.ipxe",
            "/boot/52-54-00-47-86-8e/autoexec.ipxe",
        ] {
            assert_eq!(Route::of(chain), Route::Chain, "{chain}");
        }
        assert!(matches!(
            Route::of("/assets/autoexec.ipxe/x"),
            Route::Asset(_)
        ));
        for spelling in [
            "52-54-00-47-86-8e",
            "52:54:00:47:86:8E",
            "52%3a54%3A00:47:86:8e",
        ] {
            assert_eq!(
                Route::of(&format!("/boot/{spelling}/boot.ipxe")),
                Route::Script(mac)
            );
        }
        assert_eq!(
            Route::of("//assets//debian/12///linux"),
            Route::Asset("debian/12/linux".into())
        );
        for (shim, path) in [
            ("//grubx64.efi", "grubx64.efi"),
            ("/assets/debian//GRUBX64.EFI", "debian/GRUBX64.EFI"),
            ("/EFI/BOOT/mmx64.efi", "EFI/BOOT/mmx64.efi"),
        ] {
            assert_eq!(Route::of(shim), Route::Asset(path.into()), "{shim}");
        }
        assert_eq!(
            Route::of(&format!("/answers/{TOKEN}/preseed.cfg")),
            Route::Answer {
                token: token.clone(),
                name: "preseed.cfg".into()
            }
        );
        assert_eq!(Route::of(&format!("/answers/{TOKEN}/")), Route::NoAnswer);
        assert_eq!(
            Route::of(&format!("/answers/{TOKEN}/secrets/disk%2Ekey")),
            Route::Secret {
                token: token.clone(),
                name: "disk.key".into()
            }
        );
        for nothing in ["secrets", "secrets/", "secrets/key/", "secrets/a/b"] {
            assert_eq!(
                Route::of(&format!("/answers/{TOKEN}/{nothing}")),
                Route::NoAnswer,
                "{nothing}"
            );
        }
        assert_eq!(
            Route::of(&format!("/report/{TOKEN}/installed")),
            Route::Report {
                token: token.clone(),
                kind: ReportKind::Installed
            }
        );
        assert_eq!(
            Route::of(&format!("/report/{TOKEN}/logs/syslog")),
            Route::Log {
                token,
                name: "syslog".into()
            }
        );
        let token = Token::parse(TOKEN);
        assert_eq!(
            Route::of(&format!("/report/{TOKEN}/webhook")),
            Route::Webhook { token }
        );
        assert_eq!(
            Route::of("/unattended/built"),
            Route::Unattended(ReportKind::Installed)
        );
        assert_eq!(Route::of("/healthz"), Route::Health);
        for other in [
            "/",
            "",
            "/assets/",
            "/assets/debian/",
            "/boot/x/boot.ipxe",
            "/boot",
        ] {
            assert_eq!(Route::of(other), Route::NotFound, "{other}");
        }
    }

    #[test]
    fn an_encoded_slash_is_no_separator_and_is_decoded_once() {
        assert_eq!(Route::of("/assets/a%2f..%2fb"), Route::NotFound);
        assert_eq!(Route::of("/assets/%00"), Route::NotFound);
        assert_eq!(Route::of("/assets/%ff"), Route::NotFound);
        assert_eq!(
            Route::of("/assets/a%252fb"),
            Route::Asset("a%2fb".to_owned())
        );
        // What the tree of boot files does with such names is its own affair: it refuses them.
        assert_eq!(Route::of("/assets/../x"), Route::Asset("../x".to_owned()));
    }

    #[test]
    fn a_machine_tells_who_it_is() {
        let told = identity(Some(
            "uuid=e2e00000-0000-0000-0000-000000000001&serial=A%20B+C",
        ));
        assert_eq!(told.serial.as_deref(), Some("A B C"));
        assert!(told.uuid.is_some() && told.told);
        let broken = identity(Some("serial=A%0Aexit%1b%5b2J%0D"));
        assert_eq!(broken.serial.as_deref(), Some("A exit [2J"));
        let empty = identity(Some("uuid=&serial="));
        assert_eq!((empty.uuid, empty.serial, empty.told), (None, None, true));
        assert!(!identity(None).told);
    }

    proptest! {
        #[test]
        fn no_path_panics_and_no_token_is_shown(path in "[/a-z2-7%.]{0,80}", tail in "\\PC{0,20}") {
            let _ = Route::of(&path);
            let token = Token::from_bytes([u8::try_from(path.len()).unwrap(); 16]);
            for path in [
                format!("/answers/{}/{tail}", token.reveal()),
                format!("{path}/{}", token.reveal()),
                format!("{path}/{}.cfg", token.reveal()),
                format!("{path}x{}y{tail}", token.reveal()),
            ] {
                prop_assert!(!shown(&path).contains(token.reveal()));
            }
        }
    }
}
