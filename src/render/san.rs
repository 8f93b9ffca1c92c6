//! A disk or CD over the network, rendered for one host.
//!
//! **Invariant:** what is rendered holds the names of secrets. Their values come in by [`Passwords`] alone,
//! when the script is written for the machine itself.

use super::{AssetRef, Prepared, RenderError, View, env, secrets};
use crate::config::snapshot::{Chap, Host, San, SanTarget};
use crate::config::{Secret, Secrets};
use crate::wire::iscsi::{RootPath, check_name};

/// A disk or CD over the network.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RenderedSan {
    /// Where it is.
    pub target: RenderedTarget,
    /// The name that the machine has at an iSCSI target.
    pub initiator: String,
    /// How the machine proves who it is.
    pub login: Option<Login>,
    /// How the target proves who it is.
    pub target_login: Option<Login>,
    /// The number that the BIOS has it under.
    pub drive: u8,
}

/// Where a disk over the network is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RenderedTarget {
    /// An image, by HTTP.
    Image(AssetRef),
    /// An iSCSI target.
    Iscsi(RootPath),
}

/// A name, and the name of the secret that goes with it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Login {
    /// The name.
    pub user: String,
    /// The secret's name.
    pub secret: String,
}

/// Which passwords a script is written with.
#[derive(Debug, Clone, Copy)]
pub enum Passwords<'a> {
    /// None: a preview.
    Masked,
    /// Those of a host: for the machine itself.
    Of(&'a Secrets, &'a Host),
}

impl Passwords<'_> {
    /// The value of a login's secret; `None`: it is not shown, or not there.
    pub(super) fn of(&self, login: &Login) -> Option<&str> {
        match self {
            Self::Masked => None,
            Self::Of(secrets, host) => secrets
                .get(Some(&host.name), &login.secret)
                .map(Secret::reveal),
        }
    }
}

/// Renders it; `text` renders the text of a key.
pub(super) fn render(
    prepared: &Prepared<'_>,
    san: &San,
    text: &dyn Fn(&str) -> Result<String, RenderError>,
) -> Result<RenderedSan, RenderError> {
    let view = &prepared.view;
    let refused = |key: &str, code, why: String| {
        RenderError::new(env::boot_text_name(view.profile, key), code, why)
    };
    let target = match &san.target {
        SanTarget::Image(_) => RenderedTarget::Image(
            AssetRef::parse(&text("image")?).map_err(|why| refused("image", "boot-path", why))?,
        ),
        SanTarget::Iscsi(_) => {
            let written = text("target")?;
            let path = RootPath::parse(written.trim()).map_err(|why| {
                let why = format!("`{}` is no iSCSI root path: {why}", written.trim());
                refused("target", "bad-root-path", why)
            })?;
            RenderedTarget::Iscsi(path)
        }
    };
    let initiator = if san.initiator.is_none() {
        usual_initiator(view)
    } else {
        let written = text("initiator")?.trim().to_owned();
        check_name(&written).map_err(|why| refused("initiator", "bad-name", why.to_string()))?;
        written
    };
    let login = |chap: &Option<Chap>, key: &str| {
        let Some(chap) = chap else {
            return Ok(None);
        };
        let user = text(key)?.trim().to_owned();
        if user.is_empty()
            || user.len() > 255
            || user.contains("${")
            || !user.chars().all(|c| c.is_ascii_graphic())
        {
            let why = format!(
                "`{}` is no name to log in by: it is empty, too long, or holds a blank or `${{`",
                user.escape_debug()
            );
            return Err(refused(key, "bad-name", why));
        }
        secrets::needed_by_login(prepared, &chap.secret)
            .map_err(|why| refused(key, "secret-once", why))?;
        Ok(Some(Login {
            user,
            secret: chap.secret.clone(),
        }))
    };
    Ok(RenderedSan {
        target,
        initiator,
        login: login(&san.login, "username")?,
        target_login: login(&san.target_login, "target_username")?,
        drive: san.drive,
    })
}

/// iPXE's own prefix, and the host's name, so that a target can tell machines apart.
fn usual_initiator(view: &View<'_>) -> String {
    let host = view.host;
    let name = host
        .fqdn()
        .map_or_else(|| host.name.to_string(), std::borrow::Cow::into_owned);
    let name: String = name
        .to_ascii_lowercase()
        .chars()
        .filter(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || matches!(c, '-' | '.'))
        .take(190)
        .collect();
    format!("iqn.2010-04.org.ipxe:{name}")
}
