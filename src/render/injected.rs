//! Answers for an installer that finds them in its own initial RAM disk, where `virt-install
//! --initrd-inject` puts them: how its kernel is told, and the note that such a file begins with.
//!
//! Nobody was armed for such an installation: there is no token, so no report URL and nothing to fetch.
//! Templates see `answers.folder` as `file:///` and empty report URLs.

use super::context::INJECTED;
use super::{AssetRef, RenderedBoot, cmdline};
use crate::config::snapshot::Host;

/// What the note says.
const NOTE: [&str; 2] = [
    "Rendered without an armed installation, to be put into the installer's initial RAM disk:",
    "report URLs are left out, and the boot server is told nothing of this installation.",
];

/// What has an installer find its answers in the initial RAM disk.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Location {
    /// The folder that kernel and initial RAM disk are in, as a path under `boot_assets` or a URL, without a
    /// slash at its end.
    pub folder: AssetRef,
    /// The kernel's name in it.
    pub kernel: String,
    /// The initial RAM disk's name in it.
    pub initrd: String,
    /// The kernel's command line.
    pub extra_args: String,
}

/// Arguments that name an answer by its URL, how they name a file of the initial RAM disk, and whether the
/// installer keeps that disk, so that it finds the other answers there as well.
const FILES: &[(&str, &str, bool)] = &[
    // debian-installer runs from it: preseed/file.
    ("url=", "file=", true),
    ("preseed/url=", "preseed/file=", true),
    // Anaconda and YaST run from another image, and take only this file over.
    ("inst.ks=", "inst.ks=file:", false),
    ("ks=", "ks=file:", false),
    ("autoyast=", "autoyast=file://", false),
    ("autoyast2=", "autoyast2=file://", false),
];

/// How a profile with so many answers is started so, its boot texts rendered by `prepare_injected`. The error
/// is a sentence: why it cannot be.
pub fn location(boot: &RenderedBoot, host: &Host, answers: usize) -> Result<Location, String> {
    let RenderedBoot::Linux {
        kernel,
        initrd,
        cmdline,
    } = boot
    else {
        return Err("its profile starts no Linux kernel".to_owned());
    };
    let [initrd] = initrd.as_slice() else {
        return Err(format!(
            "its profile loads {} initial RAM disks, and --location takes one",
            initrd.len()
        ));
    };
    let (folder, [kernel, initrd]) = common_folder(kernel, initrd)
        .ok_or("kernel and initial RAM disk of its profile are in no folder in common")?;
    let line = format!(
        "{}{cmdline}",
        cmdline::prefix(cmdline, 0, &super::boot_nic(host))
    );
    let words = line.trim().split(' ').map(|word| local(word, answers));
    Ok(Location {
        folder,
        kernel,
        initrd,
        extra_args: words.collect::<Result<Vec<_>, _>>()?.join(" "),
    })
}

/// A word of the command line, told of a file where it was told of a URL.
fn local(word: &str, answers: usize) -> Result<String, String> {
    if !word.contains(INJECTED) {
        return Ok(word.to_owned());
    }
    let name = word.split_once('=').map_or(word, |(name, _)| name);
    let file = FILES.iter().find_map(|(by_url, by_file, keeps)| {
        let file = word.strip_prefix(by_url)?.strip_prefix(INJECTED)?;
        Some((format!("{by_file}/{file}"), *keeps))
    });
    match file {
        None => Err(format!(
            "its installer takes `{name}=` from a server only; boot it over the network instead"
        )),
        Some((_, false)) if answers > 1 => Err(format!(
            "its installer finds only the file of `{name}=` in its initial RAM disk, and the profile has {answers} answers; boot it over the network instead"
        )),
        Some((word, _)) => Ok(word),
    }
}

fn common_folder(kernel: &AssetRef, initrd: &AssetRef) -> Option<(AssetRef, [String; 2])> {
    let split = |text: &str| {
        let (folder, name) = text.rsplit_once('/')?;
        // What virt-install would take for the end of the value or for another one.
        let plain = !name.is_empty() && !name.contains([',', '?', '#']);
        plain.then(|| (folder.to_owned(), name.to_owned()))
    };
    let (folder, names) = match (kernel, initrd) {
        (AssetRef::Path(kernel), AssetRef::Path(initrd)) => {
            let (kernel, initrd) = (split(kernel)?, split(initrd)?);
            (
                (kernel.0 == initrd.0).then_some(AssetRef::Path(kernel.0))?,
                [kernel.1, initrd.1],
            )
        }
        (AssetRef::Url(kernel), AssetRef::Url(initrd)) => {
            let (kernel, initrd) = (split(kernel)?, split(initrd)?);
            (
                (kernel.0 == initrd.0).then_some(AssetRef::Url(kernel.0))?,
                [kernel.1, initrd.1],
            )
        }
        _ => return None,
    };
    Some((folder, names))
}

/// The text with the note at its beginning, as a comment of its format; `None`: its format knows no
/// comments.
pub fn with_note(text: &str) -> Option<String> {
    let start = text.trim_start();
    if start.starts_with(['{', '[']) {
        return None;
    }
    let (comment, first_line_first) = if start.starts_with('<') {
        (
            format!("<!-- {} {} -->\n", NOTE[0], NOTE[1]),
            start.starts_with("<?xml"),
        )
    } else {
        // What tells the format stays first: `#!`, `#_preseed_V1`, `#cloud-config`.
        (
            format!("# {}\n# {}\n", NOTE[0], NOTE[1]),
            ["#!", "#_", "#cloud-config"]
                .iter()
                .any(|sign| text.starts_with(sign)),
        )
    };
    if !first_line_first {
        return Some(format!("{comment}{text}"));
    }
    let end = text.find('\n').map_or(text.len(), |end| end + 1);
    let (first, rest) = text.split_at_checked(end)?;
    let line_break = if first.ends_with('\n') { "" } else { "\n" };
    Some(format!("{first}{line_break}{comment}{rest}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_are_named_by_file() {
        let local = |word| local(word, 1);
        assert_eq!(local("quiet").unwrap(), "quiet");
        assert_eq!(
            local("url=file:///preseed.cfg").unwrap(),
            "file=/preseed.cfg"
        );
        assert_eq!(
            local("inst.ks=file:///ks.cfg").unwrap(),
            "inst.ks=file:/ks.cfg"
        );
        assert_eq!(
            local("autoyast=file:///autoinst.xml").unwrap(),
            "autoyast=file:///autoinst.xml"
        );
        assert_eq!(
            super::local("url=file:///preseed.cfg", 3).unwrap(),
            "file=/preseed.cfg"
        );
        let why = super::local("inst.ks=file:///ks.cfg", 2).unwrap_err();
        assert!(why.contains("only the file of `inst.ks=`"), "{why}");
        let why = local("ds=nocloud-net;s=file:///").unwrap_err();
        assert!(why.contains("`ds=` from a server only"), "{why}");
    }

    #[test]
    fn kernel_and_initrd_share_a_folder() {
        let asset = |text| AssetRef::parse(text).unwrap();
        let folder = |kernel, initrd| common_folder(&asset(kernel), &asset(initrd));
        assert_eq!(
            folder("debian/12/linux", "debian/12/initrd.gz"),
            Some((
                asset("debian/12"),
                ["linux".to_owned(), "initrd.gz".to_owned()]
            ))
        );
        assert!(folder("http://m/a/linux", "http://m/a/initrd").is_some());
        for (kernel, initrd) in [
            ("a/linux", "b/initrd"),
            ("linux", "initrd"),
            ("a/linux", "http://m/a/initrd"),
            ("a/x,y", "a/initrd"),
        ] {
            assert_eq!(folder(kernel, initrd), None);
        }
    }

    #[test]
    fn the_note_stands_where_comments_may() {
        let note = |text| with_note(text).unwrap();
        assert!(note("#_preseed_V1\nx\n").starts_with("#_preseed_V1\n# Rendered"));
        assert!(note("#!/bin/sh").starts_with("#!/bin/sh\n# Rendered"));
        assert!(note("lang en\n").starts_with("# Rendered"));
        assert!(note("<?xml?>\n<profile/>").starts_with("<?xml?>\n<!-- Rendered"));
        assert!(note("<profile/>").starts_with("<!-- Rendered"));
        assert_eq!(with_note("{}"), None);
    }
}
