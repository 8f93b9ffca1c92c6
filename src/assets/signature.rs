//! Signatures of lists of sums and of files, by `gpgv` (the package of this name, which Debian's apt brings).
//!
//! Only what `gpgv` says on its status line counts. A file may be signed by several keys, as Debian's are
//! while keys change: one that is known and good is enough, and one that is bad is enough to refuse.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use data_encoding::BASE64;

use super::AssetError;
use super::origin::Scratch;

/// What became of a signature.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// Good, by the key of this user id.
    Good(String),
    /// Nothing could be checked; the sentence tells why.
    Unchecked(String),
}

/// The keys by which something may be signed.
#[derive(Debug, Clone, Copy)]
pub struct Keys<'a> {
    /// Files of keys, binary or in ASCII armour. Those that are there are used.
    pub files: &'a [PathBuf],
    /// The package that has them.
    pub package: Option<&'a str>,
}

/// Checks a file against its detached signature.
pub fn detached(file: &Path, signature: &Path, keys: Keys<'_>) -> Result<Verdict, AssetError> {
    check(file, Some(signature), keys).map(|(verdict, _)| verdict)
}

/// Checks a clear-signed text; the text is what was signed, or without a check what seems to be.
pub fn inline(file: &Path, keys: Keys<'_>) -> Result<(Verdict, Vec<u8>), AssetError> {
    let (verdict, text) = check(file, None, keys)?;
    let text = match text {
        Some(text) => text,
        None => fs::read(file).map_err(|source| AssetError::Io {
            action: "cannot read",
            path: file.to_owned(),
            source,
        })?,
    };
    Ok((verdict, text))
}

fn check(
    file: &Path,
    signature: Option<&Path>,
    keys: Keys<'_>,
) -> Result<(Verdict, Option<Vec<u8>>), AssetError> {
    let present: Vec<&PathBuf> = keys.files.iter().filter(|file| file.is_file()).collect();
    if present.is_empty() {
        let why = match (keys.package, keys.files.first()) {
            (Some(package), _) => {
                format!("the keys are not there: install the package {package}")
            }
            (None, Some(file)) => format!("the keys are not there: {}", file.display()),
            (None, None) => "the profile names no keys (`keyring`)".to_owned(),
        };
        return Ok((Verdict::Unchecked(why), None));
    }
    let io = |action, path: &Path| {
        let path = path.to_owned();
        move |source: io::Error| AssetError::Io {
            action,
            path,
            source,
        }
    };
    let scratch =
        Scratch::new("keys").map_err(io("cannot make a folder in", &std::env::temp_dir()))?;
    let mut command = Command::new("gpgv");
    command
        .args(["--quiet", "--status-fd", "1", "--homedir"])
        .arg(scratch.path())
        .env("LC_ALL", "C")
        .stdin(Stdio::null());
    for (index, keyring) in present.into_iter().enumerate() {
        let bytes = fs::read(keyring).map_err(io("cannot read", keyring))?;
        let plain = dearmoured(&bytes).ok_or_else(|| AssetError::Keyring(keyring.clone()))?;
        // A name of its own for each: keyrings of other folders are not looked for by their names.
        let copy = scratch.path().join(format!("{index}.gpg"));
        fs::write(&copy, plain).map_err(io("cannot write", &copy))?;
        command.arg("--keyring").arg(copy);
    }
    let text = scratch.path().join("signed");
    match signature {
        Some(signature) => {
            command.arg("--").arg(signature).arg(file);
        }
        None => {
            command.arg("--output").arg(&text).arg("--").arg(file);
        }
    }
    let output = match command.output() {
        Ok(output) => output,
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            let why = "gpgv is not there: install the package gpgv".to_owned();
            return Ok((Verdict::Unchecked(why), None));
        }
        Err(error) => {
            return Err(AssetError::Tool {
                command: "gpgv".to_owned(),
                message: error.to_string(),
            });
        }
    };
    let signer =
        judge(&String::from_utf8_lossy(&output.stdout)).map_err(|why| AssetError::Signature {
            file: file
                .file_name()
                .map_or_else(String::new, |name| name.to_string_lossy().into_owned()),
            why,
            package: keys.package.map(str::to_owned),
        })?;
    let signed = match signature {
        Some(_) => None,
        None => Some(fs::read(&text).map_err(io("cannot read", &text))?),
    };
    Ok((Verdict::Good(signer), signed))
}

/// What the lines of `--status-fd` come to: who signed, or why it does not count.
fn judge(status: &str) -> Result<String, String> {
    let mut good = None;
    let mut unknown = Vec::new();
    let mut other = None;
    let mut texts = 0;
    for line in status.lines() {
        let Some(line) = line.strip_prefix("[GNUPG:] ") else {
            continue;
        };
        let (word, rest) = line.split_once(' ').unwrap_or((line, ""));
        let who = rest.split_once(' ').map_or(rest, |(_, who)| who);
        match word {
            "BADSIG" => {
                return Err(format!(
                    "the signature by {who} is bad: these are not the bytes that were signed"
                ));
            }
            "GOODSIG" => good = Some(who.to_owned()),
            "NO_PUBKEY" => unknown.push(rest.to_owned()),
            "EXPKEYSIG" => other = Some(format!("the key of {who} has expired")),
            "EXPSIG" => other = Some(format!("the signature by {who} has expired")),
            "REVKEYSIG" => other = Some(format!("the key of {who} has been revoked")),
            "PLAINTEXT" => texts += 1,
            "NODATA" => other = Some("there is no signature in it".to_owned()),
            _ => {}
        }
    }
    match good {
        // More than one text in one file: which of them was signed?
        Some(_) if texts > 1 => Err("it holds more than one text".to_owned()),
        Some(who) => Ok(who),
        None => Err(other.unwrap_or_else(|| {
            if unknown.is_empty() {
                "it has no signature that can be read".to_owned()
            } else {
                format!(
                    "it is signed by a key that is not among the keys here ({})",
                    unknown.join(", ")
                )
            }
        })),
    }
}

/// Keys as `gpgv` wants them: without ASCII armour (RFC 9580 section 6). `None`: armour that cannot be read.
fn dearmoured(bytes: &[u8]) -> Option<Vec<u8>> {
    if !bytes.trim_ascii_start().starts_with(b"-----BEGIN PGP") {
        return Some(bytes.to_owned());
    }
    let text = std::str::from_utf8(bytes).ok()?;
    let mut out = Vec::new();
    let mut lines = text.lines().map(str::trim);
    while lines.any(|line| line.starts_with("-----BEGIN PGP")) {
        let mut base64 = String::new();
        let body = lines
            .by_ref()
            .take_while(|line| !line.starts_with("-----END PGP"))
            // Headers, the blank line behind them, the checksum.
            .filter(|line| !line.is_empty() && !line.contains(':') && !line.starts_with('='));
        for line in body {
            base64.push_str(line);
        }
        out.extend(BASE64.decode(base64.as_bytes()).ok()?);
    }
    (!out.is_empty()).then_some(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_good_signature_and_no_bad_one_counts() {
        let good = "[GNUPG:] NEWSIG\n[GNUPG:] GOODSIG 0123 Debian <d@x>\n[GNUPG:] VALIDSIG AB\n";
        assert_eq!(judge(good).unwrap(), "Debian <d@x>");
        let second = "[GNUPG:] ERRSIG 9 1 1\n[GNUPG:] NO_PUBKEY 99\n";
        assert!(judge(&format!("{good}{second}")).is_ok());
        assert!(judge(second).unwrap_err().contains("99"));
        assert!(judge(&format!("{good}[GNUPG:] BADSIG 1 X\n")).is_err());
        assert!(
            judge("[GNUPG:] EXPKEYSIG 1 X\n")
                .unwrap_err()
                .contains("expired")
        );
        let twice = "[GNUPG:] PLAINTEXT 74 0 \n[GNUPG:] PLAINTEXT 74 0 \n";
        assert!(judge(&format!("{twice}{good}")).is_err());
        assert!(judge("GOODSIG 1 X").is_err());
        assert!(judge("").is_err());
    }

    #[test]
    fn armour_is_taken_off() {
        let armoured = "-----BEGIN PGP PUBLIC KEY BLOCK-----\nVersion: x\n\nYWJj\nZGVm\n=abcd\n-----END PGP PUBLIC KEY BLOCK-----\n";
        assert_eq!(dearmoured(armoured.as_bytes()).unwrap(), b"abcdef");
        let two = format!("{armoured}\n{armoured}");
        assert_eq!(dearmoured(two.as_bytes()).unwrap(), b"abcdefabcdef");
        assert_eq!(dearmoured(b"\x99\x01").unwrap(), b"\x99\x01");
        assert_eq!(
            dearmoured(b"-----BEGIN PGP X-----\n!!\n-----END PGP X-----"),
            None
        );
    }
}
