//! Secrets in templates: `secret(name)`, `secret_url(name)` and `sha512_crypt(text)`; and which secrets a
//! host's answers need.
//!
//! **Invariant:** everything is rendered with [`MASK`] in the place of a secret, and of whatever is made of
//! one, but the answer that goes to the machine itself ([`Renderer::answer_for_machine`]), and the passwords
//! by which its script logs in at an iSCSI target ([`super::san::Passwords`]). The error of such an answer is told from a masked rendering of it, so that no error holds a value either.
//!
//! [`Renderer::answer_for_machine`]: super::Renderer::answer_for_machine

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, PoisonError};

use minijinja::value::{Rest, ValueKind};
use minijinja::{Error, ErrorKind, Value};
use sha_crypt::{ROUNDS_DEFAULT, Sha512Params, sha512_crypt_b64};
use sha2::{Digest as _, Sha512};

use super::context::Urls;
use super::load::InForce;
use super::{View, check};
use crate::base::{Architecture, HostName, Token};
use crate::config::secrets::is_name;
use crate::config::snapshot::{Host, Profile};
use crate::config::{Problem, Secrets, Snapshot};

/// What stands for a secret wherever it is not the machine itself that reads it.
pub const MASK: &str = "••••";

/// The functions of this module.
pub(super) const FUNCTIONS: [&str; 3] = ["secret", "secret_url", "sha512_crypt"];

/// Whether secrets are shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Shown {
    /// [`MASK`] stands for them, and for those that are not there.
    Masked,
    /// They are written out: for the machine itself.
    Revealed,
}

/// The secrets that a rendering asked for and that are not there.
#[derive(Debug, Clone, Default)]
pub(super) struct Missing(Arc<Mutex<BTreeSet<String>>>);

impl Missing {
    fn add(&self, name: &str) {
        let mut names = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        names.insert(name.to_owned());
    }

    /// Their names.
    pub(super) fn names(&self) -> BTreeSet<String> {
        let names = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        names.clone()
    }
}

/// What the functions stand on.
#[derive(Clone)]
struct Vault {
    secrets: Secrets,
    host: HostName,
    urls: Urls,
    shown: Shown,
    missing: Missing,
}

fn refused(message: String) -> Error {
    Error::new(ErrorKind::InvalidOperation, message)
}

/// The only argument, as text.
fn text_of(function: &str, value: &Value, rest: &Rest<Value>) -> Result<String, Error> {
    if !rest.is_empty() {
        return Err(Error::from(ErrorKind::TooManyArguments));
    }
    match value.kind() {
        // The attribute of an undefined value is minijinja's own error, which names the variable.
        ValueKind::Undefined => Err(value
            .get_attr("")
            .err()
            .unwrap_or_else(|| ErrorKind::UndefinedError.into())),
        ValueKind::String | ValueKind::Number => Ok(value.to_string()),
        kind => Err(refused(format!(
            "`{function}` takes a text, this is a {kind}"
        ))),
    }
}

impl Vault {
    /// The name that a function was given.
    fn name(&self, function: &str, value: &Value, rest: &Rest<Value>) -> Result<String, Error> {
        let name = text_of(function, value, rest)?;
        if is_name(&name) {
            return Ok(name);
        }
        // What is no name may be a secret itself.
        Err(refused(match self.shown {
            Shown::Masked => format!("`{}` is no name of a secret", name.escape_debug()),
            Shown::Revealed => "this is no name of a secret".to_owned(),
        }))
    }

    /// Notes a secret that is not there: a preview goes on without it, an answer does not.
    fn is_missing(&self, name: &str) -> Result<(), Error> {
        match self.shown {
            Shown::Masked => {
                if self.secrets.lacks(Some(&self.host), name) {
                    self.missing.add(name);
                }
                Ok(())
            }
            Shown::Revealed => Err(refused(format!("the secret `{name}` is not there"))),
        }
    }

    fn secret(&self, value: &Value, rest: &Rest<Value>) -> Result<String, Error> {
        let name = self.name("secret", value, rest)?;
        match self.secrets.get(Some(&self.host), &name) {
            Some(secret) if secret.once => Err(refused(format!(
                "the secret `{name}` is marked `once` and is not written into an answer; \
                 `secret_url(\"{name}\")` gives the URL at which the machine gets it"
            ))),
            Some(secret) if self.shown == Shown::Revealed => Ok(secret.reveal().to_owned()),
            Some(_) => Ok(MASK.to_owned()),
            None => self.is_missing(&name).map(|()| MASK.to_owned()),
        }
    }

    fn secret_url(&self, value: &Value, rest: &Rest<Value>) -> Result<String, Error> {
        let name = self.name("secret_url", value, rest)?;
        match self.secrets.get(Some(&self.host), &name) {
            Some(secret) if !secret.once => {
                return Err(refused(format!(
                    "the secret `{name}` is not marked `once` and has no URL; `secret(\"{name}\")` \
                     writes it into the answer, or give it `once = true` in the file of secrets"
                )));
            }
            Some(_) => {}
            None => self.is_missing(&name)?,
        }
        Ok(self.urls.secret(&name))
    }

    fn sha512_crypt(&self, salt: &str, value: &Value, rest: &Rest<Value>) -> Result<String, Error> {
        let text = text_of("sha512_crypt", value, rest)?;
        // A hash lets the password be guessed; and hashing every preview would take its time.
        if self.shown == Shown::Masked {
            return if text.is_empty() {
                Err(refused(EMPTY.to_owned()))
            } else {
                Ok(MASK.to_owned())
            };
        }
        sha512_crypt(&text, salt).map_err(refused)
    }
}

const EMPTY: &str = "`sha512_crypt` of an empty text: anybody could log in without a password";

/// The functions of an answer file.
pub(super) fn of_answers(
    view: &View<'_>,
    urls: &Urls,
    shown: Shown,
    missing: &Missing,
) -> [(&'static str, Value); 3] {
    let vault = Vault {
        secrets: view.snapshot.secrets.clone(),
        host: view.host.name.clone(),
        urls: urls.clone(),
        shown,
        missing: missing.clone(),
    };
    let [secret, url] = [vault.clone(), vault.clone()];
    let salted = (view.host.name.clone(), view.token.cloned());
    [
        (
            "secret",
            Value::from_function(move |name: &Value, rest: Rest<Value>| secret.secret(name, &rest)),
        ),
        (
            "secret_url",
            Value::from_function(move |name: &Value, rest: Rest<Value>| {
                url.secret_url(name, &rest)
            }),
        ),
        (
            "sha512_crypt",
            Value::from_function(move |text: &Value, rest: Rest<Value>| {
                vault.sha512_crypt(&salt(&salted.0, salted.1.as_ref()), text, &rest)
            }),
        ),
    ]
}

/// Takes note of a secret that a login of `[boot]` needs. The error is a sentence.
pub(super) fn needed_by_login(prepared: &super::Prepared<'_>, name: &str) -> Result<(), String> {
    let view = &prepared.view;
    let (secrets, host) = (&view.snapshot.secrets, &view.host.name);
    match secrets.get(Some(host), name) {
        Some(secret) if secret.once => Err(format!(
            "the secret `{name}` is marked `once`, and a boot script is asked for again: take `once` away"
        )),
        Some(_) => Ok(()),
        None => {
            if secrets.lacks(Some(host), name) {
                prepared.missing.add(name);
            }
            Ok(())
        }
    }
}

/// The same names in the texts of `[boot]` and in boot scripts, where they are refused: these are shown on
/// screens, and every process of the machine reads its command line.
pub(super) fn of_boot() -> [(&'static str, Value); 3] {
    FUNCTIONS.map(|function| {
        let refuse = move |_: Rest<Value>| -> Result<Value, Error> {
            Err(refused(format!(
                "`{function}` belongs into an answer file: boot scripts and command lines are shown on the \
                 machine's screen and in /proc/cmdline"
            )))
        };
        (function, Value::from_function(refuse))
    })
}

/// The salt of a host's password hashes: 16 characters of crypt(5)'s alphabet.
///
/// It is made from the host and the token of its arming, so that rendering stays pure: the same answer has
/// the same hash however often it is fetched, and the next arming has another. The text that is hashed is
/// left out on purpose. A salt can be read by whoever reads the hash, and one derived from the password
/// would let it be guessed at the speed of a plain SHA-512 instead of that of crypt.
fn salt(host: &HostName, token: Option<&Token>) -> String {
    const ALPHABET: &[u8; 64] = b"./0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
    let mut digest = Sha512::new();
    digest.update(b"bootwright sha512_crypt salt\0");
    digest.update(host.as_str());
    digest.update(b"\0");
    digest.update(token.map_or("", Token::reveal));
    digest
        .finalize()
        .iter()
        .take(16)
        .filter_map(|byte| ALPHABET.get(usize::from(byte & 0x3f)))
        .map(|letter| char::from(*letter))
        .collect()
}

/// SHA-512-crypt with the usual 5,000 rounds, as crypt(5) writes it: `$6$SALT$HASH`. The error never holds the text.
fn sha512_crypt(text: &str, salt: &str) -> Result<String, String> {
    if text.is_empty() {
        return Err(EMPTY.to_owned());
    }
    if text.contains(['\0', '\n', '\r']) {
        return Err(
            "a password with a line break or a NUL byte in it could not be typed".to_owned(),
        );
    }
    let hash = Sha512Params::new(ROUNDS_DEFAULT)
        .and_then(|params| sha512_crypt_b64(text.as_bytes(), salt.as_bytes(), &params))
        .map_err(|_| "the password cannot be hashed".to_owned())?;
    Ok(format!("$6${salt}${hash}"))
}

/// The secrets that a profile's answers need for a host and that are not there, by name. What fails for
/// another reason fails when it is checked or served.
pub fn missing_for(
    config: &InForce,
    host: &Host,
    profile: &Profile,
    arch: Architecture,
) -> BTreeSet<String> {
    let snapshot = &config.snapshot;
    let Some(subnet) = snapshot
        .subnet_of(host)
        .filter(|_| config.renderer.uses_secrets())
    else {
        return BTreeSet::new();
    };
    let prepared = config.renderer.prepare(&View {
        snapshot,
        host,
        profile,
        arch,
        server: subnet.server.unwrap_or(subnet.example_server),
        token: None,
    });
    for answer in &profile.answers {
        // Only what it asks for counts.
        let _ = config.renderer.prepared_answer(&prepared, &answer.name);
    }
    let _ = config.renderer.prepared_boot(&prepared);
    prepared.missing_secrets()
}

/// How a secret that is not there is brought.
pub fn remedy(snapshot: &Snapshot, host: Option<&Host>, name: &str) -> String {
    // A bare key has no dot in TOML.
    let key = if name.contains('.') {
        format!("\"{name}\"")
    } else {
        name.to_owned()
    };
    let alone = host.map_or_else(String::new, |host| {
        format!(", for this host alone below [hosts.{}]", host.name)
    });
    match &snapshot.server.secrets {
        Some(file) => format!("add `{key} = \"…\"` to {}{alone}", file.display()),
        None => format!(
            "name a file by `secrets = \"secrets.toml\"` in [server], for the daemon alone (chmod 600), and write `{key} = \"…\"` into it{alone}"
        ),
    }
}

/// A warning for each secret that some host's answers need and that is not there.
pub(super) fn problems(
    snapshot: &Snapshot,
    missing: &BTreeMap<String, Vec<&Host>>,
) -> Vec<Problem> {
    missing
        .iter()
        .map(|(name, hosts)| {
            let names = check::host_names(hosts);
            let problem = Problem::warning(
                "secret-missing",
                format!(
                    "the secret `{name}` is not there, and {names} cannot be installed without it"
                ),
            )
            .help(remedy(snapshot, hosts.first().copied(), name));
            check::at_host(problem, hosts)
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hashes_are_those_of_crypt() {
        // As `openssl passwd -6 -salt saltstring 'Hello world!'` prints it.
        assert_eq!(
            sha512_crypt("Hello world!", "saltstring").unwrap(),
            "$6$saltstring$svn8UoSVapNtMuq1ukKS4tPQd8iKwSMHWjl/O817G3uBnIFNjnQJuesI68u4OTLiBFdcbYEdFCoEOfaS35inz1"
        );
        for bad in ["", "two\nlines", "nul\0"] {
            let error = sha512_crypt(bad, "saltstring").unwrap_err();
            assert!(bad.is_empty() || !error.contains(bad));
        }
    }
}
