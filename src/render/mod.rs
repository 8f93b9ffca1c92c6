//! L3, texts: answer files, boot scripts, kernel command lines, and the proof that all of them render.
//!
//! Templates are Jinja2 syntax (minijinja) with strict undefined values and without auto-escaping: a
//! template quotes by the filter of its format. Blocks take their line's break and indentation with
//! them (`trim_blocks`, `lstrip_blocks`).
//!
//! Secrets are masked in everything but [`Renderer::answer_for_machine`] and [`Renderer::answer_to_inject`].
//!
//! **Invariant:** pure, but for reading configuration through [`crate::config::Files`] in [`load`]. A
//! view without a token renders the same texts with example URLs.

pub mod check;
pub mod cmdline;
pub mod compare;
mod context;
mod env;
pub mod files;
pub mod filters;
mod grub;
pub mod injected;
mod kinds;
pub mod lint;
pub mod load;
pub mod loaders;
mod mentions;
pub mod needs;
pub mod paths;
pub mod preseed;
mod pxelinux;
pub mod san;
pub mod scripts;
pub mod secrets;
mod unused;
mod uses;

use std::collections::BTreeSet;
use std::net::Ipv4Addr;
use std::sync::Arc;

use minijinja::Value;

use crate::base::{Architecture, Token};
use crate::config::Snapshot;
use crate::config::options::{ConfiguredOption, MAX_VALUE};
use crate::config::snapshot::{
    Arguments, Boot, Host, ImageKind, Profile, ProfileOption, ProfileValue, list_key,
};

use self::context::Named;
use self::secrets::{Missing, Shown};

pub use cmdline::Cmdline;
pub use context::Urls;
pub use paths::AssetRef;
pub use san::{RenderedSan, RenderedTarget};

/// The templates of one snapshot, parsed. Cheap to clone.
#[derive(Debug, Clone, Default)]
pub struct Renderer {
    templates: Arc<env::Templates>,
    found: needs::Found,
}

/// For whom a text is rendered.
#[derive(Debug, Clone, Copy)]
pub struct View<'a> {
    /// The configuration.
    pub snapshot: &'a Snapshot,
    /// The host.
    pub host: &'a Host,
    /// Its profile, as armed or as the file says.
    pub profile: &'a Profile,
    /// The architecture it boots for.
    pub arch: Architecture,
    /// This server as the machine sees it.
    pub server: Ipv4Addr,
    /// The token of its URLs; without one they are examples.
    pub token: Option<&'a Token>,
}

/// A rendered answer file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RenderedAnswer {
    /// Content-Type.
    pub content_type: String,
    /// The text.
    pub text: String,
}

/// The `[boot]` of a profile, rendered for one host.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RenderedBoot {
    /// A Linux kernel.
    Linux {
        /// The kernel.
        kernel: AssetRef,
        /// The initial RAM disks, in order.
        initrd: Vec<AssetRef>,
        /// The command line, without `initrd=`.
        cmdline: Cmdline,
    },
    /// Something else that a boot loader starts.
    Image {
        /// What it is.
        kind: ImageKind,
        /// What is started.
        image: AssetRef,
        /// What it finds beside it, each with its arguments.
        files: Vec<(AssetRef, Cmdline)>,
        /// Its command line.
        cmdline: Cmdline,
    },
    /// A disk or CD over the network.
    San(Box<RenderedSan>),
    /// A disk of the machine's own.
    Local {
        /// Its number as the BIOS counts.
        drive: u8,
    },
    /// Another script.
    Chain {
        /// The script, or a loader.
        script: AssetRef,
        /// Its signature, without which it is not started.
        signature: Option<AssetRef>,
    },
    /// A whole iPXE script.
    Script(String),
}

impl RenderedBoot {
    /// The paths under `boot_assets` that it loads; the kernel first.
    pub fn paths(&self) -> Vec<&str> {
        self.assets()
            .into_iter()
            .filter_map(AssetRef::path)
            .collect()
    }

    /// Everything that it loads; the kernel first.
    pub fn assets(&self) -> Vec<&AssetRef> {
        match self {
            Self::Linux { kernel, initrd, .. } => std::iter::once(kernel).chain(initrd).collect(),
            Self::Image { image, files, .. } => {
                let files = files.iter().map(|(file, _)| file);
                std::iter::once(image).chain(files).collect()
            }
            Self::San(san) => match &san.target {
                RenderedTarget::Image(image) => vec![image],
                RenderedTarget::Iscsi(_) => Vec::new(),
            },
            Self::Chain { script, signature } => std::iter::once(script).chain(signature).collect(),
            Self::Local { .. } | Self::Script(_) => Vec::new(),
        }
    }

    /// The command line that the kernel is started with, a Linux kernel's with `initrd=` and `BOOTIF=`. `None`:
    /// no kernel is started.
    pub fn command_line(&self, host: &Host) -> Option<String> {
        match self {
            Self::Linux {
                initrd, cmdline, ..
            } => {
                let prefix = cmdline::prefix(cmdline, initrd.len(), &boot_nic(host));
                Some(format!("{prefix}{cmdline}").trim_end().to_owned())
            }
            Self::Image { cmdline, .. } => Some(cmdline.to_string()),
            Self::San(_) | Self::Local { .. } | Self::Chain { .. } | Self::Script(_) => None,
        }
    }
}

/// The address of the NIC that a host usually boots by, as `BOOTIF=` writes it; a word in its place while
/// the host has none.
fn boot_nic(host: &Host) -> String {
    host.mac()
        .map_or_else(|| "MAC".to_owned(), |mac| mac.dashed())
}

/// Why a text could not be rendered.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{template}:{line}: {message}")]
pub struct RenderError {
    /// The template, or the profile's key such as `profiles/debian-12.toml [boot] cmdline`.
    pub template: String,
    /// Its line, from 1.
    pub line: usize,
    /// What is wrong: one sentence.
    pub message: String,
    /// Bytes within the template, when known.
    pub range: Option<(usize, usize)>,
    /// A stable name for it, as problems have one: `undefined-variable`, `template-syntax`, ….
    pub code: &'static str,
    /// What to do about it.
    pub help: Option<String>,
}

impl RenderError {
    fn new(template: String, code: &'static str, message: impl Into<String>) -> Self {
        Self {
            template,
            line: 1,
            message: message.into(),
            range: None,
            code,
            help: None,
        }
    }
}

/// A view with its template contexts, for rendering several texts of it.
#[derive(Debug, Clone)]
pub struct Prepared<'a> {
    view: View<'a>,
    answers: Value,
    boot: Value,
    missing: Missing,
    named: Named,
}

impl<'a> Prepared<'a> {
    /// With nothing in its contexts.
    fn empty(view: &View<'a>) -> Self {
        Self {
            view: *view,
            answers: Value::UNDEFINED,
            boot: Value::UNDEFINED,
            missing: Missing::default(),
            named: Named::default(),
        }
    }

    fn new(view: &View<'a>, urls: &Urls, shown: Shown) -> Self {
        let empty = Self::empty(view);
        let (answers, boot) = context::build(view, urls, shown, &empty.missing, &empty.named);
        Self {
            answers,
            boot,
            ..empty
        }
    }

    /// For answers alone.
    fn for_answers(view: &View<'a>, urls: &Urls, shown: Shown) -> Self {
        let empty = Self::empty(view);
        let answers = context::build_answers(view, urls, shown, &empty.missing, &empty.named);
        Self { answers, ..empty }
    }

    /// What it was made of.
    pub const fn view(&self) -> &View<'a> {
        &self.view
    }

    /// The secrets that were asked for so far and that are not there.
    pub fn missing_secrets(&self) -> BTreeSet<String> {
        self.missing.names()
    }

    /// The boot files, and folders of them, that were named by `asset()` so far as what has to be there.
    pub fn named_files(&self) -> BTreeSet<String> {
        self.named.paths()
    }
}

impl Renderer {
    /// Parses all templates and boot texts of a snapshot. Templates that do not parse are reported by
    /// [`load::load`]; here they fail when they are rendered.
    pub fn new(snapshot: &Snapshot) -> Self {
        Self {
            templates: Arc::new(env::Templates::new(snapshot)),
            found: needs::Found::default(),
        }
    }

    /// The errors of templates and boot texts that do not parse, used or not.
    pub fn broken(&self) -> impl Iterator<Item = &RenderError> {
        self.templates.broken()
    }

    /// Builds what templates see once, for rendering several texts of one view.
    pub fn prepare<'a>(&self, view: &View<'a>) -> Prepared<'a> {
        Prepared::new(view, &Urls::of(view), Shown::Masked)
    }

    /// The same for an installation whose answers lie in its initial RAM disk ([`injected`]).
    pub fn prepare_injected<'a>(&self, view: &View<'a>) -> Prepared<'a> {
        Prepared::new(view, &Urls::injected(view), Shown::Masked)
    }

    /// Whether some template may need a secret.
    pub fn uses_secrets(&self) -> bool {
        self.templates.uses_secrets
    }

    /// Renders one answer file of the view's profile for the machine itself: with its secrets. No error
    /// holds one. `None`: the profile has none of this name.
    pub fn answer_for_machine(
        &self,
        view: &View<'_>,
        name: &str,
    ) -> Option<Result<RenderedAnswer, RenderError>> {
        self.with_secrets(view, &Urls::of(view), name)
    }

    /// The same for an installation whose answers lie in its initial RAM disk ([`injected`]).
    pub fn answer_to_inject(
        &self,
        view: &View<'_>,
        name: &str,
    ) -> Option<Result<RenderedAnswer, RenderError>> {
        self.with_secrets(view, &Urls::injected(view), name)
    }

    fn with_secrets(
        &self,
        view: &View<'_>,
        urls: &Urls,
        name: &str,
    ) -> Option<Result<RenderedAnswer, RenderError>> {
        view.profile
            .answers
            .iter()
            .find(|answer| answer.name == name)?;
        let prepared = Prepared::for_answers(view, urls, Shown::Revealed);
        let rendered = self.prepared_answer(&prepared, name)?;
        Some(rendered.map_err(|hidden| self.without_secrets(view, name, &hidden)))
    }

    /// What may be told of an error that may hold a secret: the error of a preview of the same.
    fn without_secrets(&self, view: &View<'_>, name: &str, hidden: &RenderError) -> RenderError {
        let masked = self.prepare(view);
        if let Some(Err(error)) = self.prepared_answer(&masked, name) {
            return error;
        }
        let place = |code, message| RenderError {
            line: hidden.line,
            ..RenderError::new(hidden.template.clone(), code, message)
        };
        match masked.missing_secrets().first() {
            Some(name) => RenderError {
                help: Some(secrets::remedy(view.snapshot, Some(view.host), name)),
                ..place(
                    "secret-missing",
                    format!("the secret `{name}` is not in the file of secrets"),
                )
            },
            None => place(
                "secret-value",
                "it fails on the value of a secret, which is not shown".to_owned(),
            ),
        }
    }

    /// Renders one answer file of the view's profile as a preview, secrets masked; `None`: it has none of
    /// this name.
    pub fn answer(
        &self,
        view: &View<'_>,
        name: &str,
    ) -> Option<Result<RenderedAnswer, RenderError>> {
        // Told before the context is built: anybody may ask for any name.
        view.profile
            .answers
            .iter()
            .find(|answer| answer.name == name)?;
        let prepared = Prepared::for_answers(view, &Urls::of(view), Shown::Masked);
        self.prepared_answer(&prepared, name)
    }

    /// The same for a prepared view.
    pub fn prepared_answer(
        &self,
        prepared: &Prepared<'_>,
        name: &str,
    ) -> Option<Result<RenderedAnswer, RenderError>> {
        let answers = &prepared.view.profile.answers;
        let answer = answers.iter().find(|answer| answer.name == name)?;
        Some(
            self.templates
                .render(&answer.template, &prepared.answers)
                .map(|text| RenderedAnswer {
                    content_type: answer.content_type.clone(),
                    text,
                }),
        )
    }

    /// Renders the DHCP options that the view's profile has for the system that installs. What comes out empty is
    /// left out.
    pub fn options(&self, view: &View<'_>) -> Result<Vec<ConfiguredOption>, RenderError> {
        if view.profile.options.is_empty() {
            return Ok(Vec::new());
        }
        self.prepared_options(&self.prepare_boot(view))
    }

    /// The same for a prepared view.
    pub fn prepared_options(
        &self,
        prepared: &Prepared<'_>,
    ) -> Result<Vec<ConfiguredOption>, RenderError> {
        let profile = prepared.view.profile;
        let mut options = Vec::new();
        for ProfileOption { code, value, force } in &profile.options {
            let data: Arc<[u8]> = match value {
                ProfileValue::Bytes(bytes) => Arc::clone(bytes),
                ProfileValue::Text(_) => {
                    let name = env::option_text_name(profile, *code);
                    let text = self.templates.render(&name, &prepared.boot)?;
                    if text.len() > MAX_VALUE {
                        let message = format!(
                            "option {code} comes out with {} bytes, which find no room in a reply",
                            text.len()
                        );
                        return Err(RenderError {
                            help: Some(format!("make it {MAX_VALUE} bytes at most")),
                            ..RenderError::new(name, "bad-option-value", message)
                        });
                    }
                    text.into_bytes().into()
                }
            };
            if !data.is_empty() {
                options.push(ConfiguredOption {
                    code: *code,
                    data,
                    force: *force,
                });
            }
        }
        Ok(options)
    }

    /// Renders what the view's profile loads.
    pub fn boot(&self, view: &View<'_>) -> Result<RenderedBoot, RenderError> {
        self.prepared_boot(&self.prepare_boot(view))
    }

    /// For the texts of the view's `[boot]` and its options alone: with what they mention.
    fn prepare_boot<'a>(&self, view: &View<'a>) -> Prepared<'a> {
        let empty = Prepared::empty(view);
        let mentions = self.templates.mentions(view.profile);
        let boot = context::build_boot(view, &Urls::of(view), &empty.named, mentions);
        Prepared { boot, ..empty }
    }

    /// The same for a prepared view.
    pub fn prepared_boot(&self, prepared: &Prepared<'_>) -> Result<RenderedBoot, RenderError> {
        let Prepared {
            view,
            boot: context,
            ..
        } = prepared;
        let name = |key: &str| env::boot_text_name(view.profile, key);
        let asset = |key: &str| {
            let text = self.templates.render(&name(key), context)?;
            AssetRef::parse(&text)
                .map_err(|message| RenderError::new(name(key), "boot-path", message))
        };
        let composed = |arguments: &Arguments, initrds: usize| {
            let cmdline = match arguments {
                Arguments::Text(_) => {
                    let text = self.templates.render(&name("cmdline"), context)?;
                    cmdline::check(&text, initrds, view.arch)
                }
                Arguments::List(list) => {
                    let texts = (0..list.len())
                        .map(|index| {
                            let name = name(&list_key("cmdline", index));
                            self.templates.render(&name, context)
                        })
                        .collect::<Result<Vec<_>, _>>()?;
                    cmdline::compose(texts.iter().map(String::as_str), initrds, view.arch)
                }
            };
            cmdline.map_err(|error| cmdline_error(name("cmdline"), &error))
        };
        match &view.profile.boot {
            Boot::Linux {
                initrd,
                cmdline: arguments,
                ..
            } => {
                let kernel = asset("kernel")?;
                let initrd = (0..initrd.len())
                    .map(|index| asset(&list_key("initrd", index)))
                    .collect::<Result<Vec<_>, _>>()?;
                let cmdline = composed(arguments, initrd.len())?;
                Ok(RenderedBoot::Linux {
                    kernel,
                    initrd,
                    cmdline,
                })
            }
            Boot::Image {
                kind,
                files,
                cmdline: arguments,
                ..
            } => {
                let image = asset(kind.image_key())?;
                let file = |index: usize| {
                    let key = name(&list_key(kind.files_key(), index));
                    let text = self.templates.render(&key, context)?;
                    let (path, args) = match kind {
                        ImageKind::Multiboot => {
                            let text = text.trim();
                            text.split_once(char::is_whitespace).unwrap_or((text, ""))
                        }
                        _ => (text.as_str(), ""),
                    };
                    let asset = AssetRef::parse(path)
                        .map_err(|message| RenderError::new(key.clone(), "boot-path", message))?;
                    let args = cmdline::check(args, 0, view.arch)
                        .map_err(|error| cmdline_error(key, &error))?;
                    Ok((asset, args))
                };
                Ok(RenderedBoot::Image {
                    kind: *kind,
                    image,
                    files: (0..files.len())
                        .map(file)
                        .collect::<Result<_, RenderError>>()?,
                    cmdline: composed(arguments, 0)?,
                })
            }
            Boot::San(written) => {
                let text = |key: &str| self.templates.render(&name(key), context);
                san::render(prepared, written, &text).map(|san| RenderedBoot::San(Box::new(san)))
            }
            Boot::Local { drive } => Ok(RenderedBoot::Local { drive: *drive }),
            Boot::Chain { signature, .. } => Ok(RenderedBoot::Chain {
                script: asset("url")?,
                signature: signature.as_ref().map(|_| asset("signature")).transpose()?,
            }),
            Boot::Script { template } => {
                let script = self.templates.render(template, context)?;
                if !script.starts_with("#!ipxe") {
                    return Err(RenderError {
                        help: Some("begin it with the line `#!ipxe`".to_owned()),
                        ..RenderError::new(
                            template.clone(),
                            "boot-script",
                            "an iPXE script begins with `#!ipxe`; iPXE would not take this for one",
                        )
                    });
                }
                Ok(RenderedBoot::Script(script))
            }
        }
    }
}

fn cmdline_error(template: String, error: &cmdline::CmdlineError) -> RenderError {
    RenderError {
        help: error.help().map(str::to_owned),
        ..RenderError::new(template, "cmdline", error.to_string())
    }
}

/// `http://ADDRESS[:PORT]`: the boot plane as a machine reaches it; the port only when it is not 80.
pub fn base_url(server: Ipv4Addr, port: u16) -> String {
    if port == 80 {
        format!("http://{server}")
    } else {
        format!("http://{server}:{port}")
    }
}
