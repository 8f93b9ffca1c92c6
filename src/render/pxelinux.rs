//! PXELINUX configurations (wiki.syslinux.org, "Config"): one label that is booted at once, and the disk
//! when it cannot be loaded.
//!
//! A directive takes the rest of its line as it stands, so there is no quoting: what a kernel is to have
//! is written as the kernel reads it, and names that would end early are refused. PXELINUX adds
//! `BOOT_IMAGE=` and, of `INITRD`, `initrd=` to the command line by itself.
//!
//! Files on this server are named `10.99.0.2::path`, which does not begin at the folder that the loader
//! stands in.

use std::fmt::Write as _;

use super::loaders::{Boots, PAUSE, Place, Places, Transport, file_name, printable};
use super::{AssetRef, Cmdline, RenderedBoot};
use crate::config::snapshot::{Host, ImageKind, LocalBoot};

/// What BIOS kernels take of a command line without the NUL at its end.
const LONGEST: usize = 2_047;

/// Boots the installer. The error says what PXELINUX cannot do.
pub(super) fn install(
    boots: &Boots<'_>,
    boot: &RenderedBoot,
    transport: Transport,
) -> Result<String, String> {
    let places = Places::of(boots.view, transport);
    let label = label(boots, boot, &places)?;
    let mut text = begun("boot");
    say(&mut text, &boots.headline());
    text.push_str("\nLABEL boot\n");
    for (directive, value) in label {
        let _ = writeln!(text, "  {directive} {value}");
    }
    text.push('\n');
    label_disk(&mut text, boots.view.host);
    Ok(text)
}

/// The lines of the label.
fn label(
    boots: &Boots<'_>,
    boot: &RenderedBoot,
    places: &Places,
) -> Result<Vec<(&'static str, String)>, String> {
    let mut lines = Vec::new();
    let mut append = String::new();
    match boot {
        RenderedBoot::Linux {
            kernel,
            initrd,
            cmdline,
        } => {
            let kernel = file(places, kernel)?;
            let _ = write!(append, "{}", boots.boot_interface(cmdline));
            append.push_str(&cmdline.for_pxelinux());
            let files = initrd.iter().map(|it| file(places, it));
            let files = files.collect::<Result<Vec<_>, _>>()?.join(",");
            let own = "BOOT_IMAGE= ".len() + kernel.len();
            let ram = match files.len() {
                0 => 0,
                len => " initrd=".len() + len,
            };
            let len = own + append.trim_end().len() + ram;
            if len > LONGEST {
                return Err(format!(
                    "its command line has {len} characters with what PXELINUX adds, and kernels take {LONGEST}"
                ));
            }
            lines.push(("LINUX", kernel));
            if !files.is_empty() {
                lines.push(("INITRD", files));
            }
        }
        RenderedBoot::Image {
            kind,
            image,
            files,
            cmdline,
        } => match kind {
            ImageKind::Multiboot => {
                lines.push(("COM32", "mboot.c32".to_owned()));
                let mut part = |asset: &AssetRef, cmdline: &Cmdline| {
                    let words = cmdline.for_pxelinux();
                    if format!(" {words} ").contains(" --- ") {
                        return Err("`---` separates the modules of mboot.c32".to_owned());
                    }
                    if !append.is_empty() {
                        append.push_str(" --- ");
                    }
                    append.push_str(&file(places, asset)?);
                    if !words.is_empty() {
                        append.push(' ');
                        append.push_str(&words);
                    }
                    Ok(())
                };
                part(image, cmdline)?;
                for (module, cmdline) in files {
                    part(module, cmdline)?;
                }
            }
            ImageKind::Wimboot => {
                // linux.c32 gives each file the name that wimboot looks for.
                lines.push(("COM32", "linux.c32".to_owned()));
                let named = files.iter().map(|(it, _)| {
                    Ok::<_, String>(format!("{}@{}", file(places, it)?, file_name(it)))
                });
                let named = named.collect::<Result<Vec<_>, _>>()?.join(",");
                let _ = write!(append, "{} initrdfile={named}", file(places, image)?);
                let words = cmdline.for_pxelinux();
                if !words.is_empty() {
                    let _ = write!(append, " {words}");
                }
            }
            ImageKind::Memdisk => {
                lines.push(("LINUX", file(places, image)?));
                let files_ = files.iter().map(|(it, _)| file(places, it));
                lines.push(("INITRD", files_.collect::<Result<Vec<_>, _>>()?.join(",")));
                append = cmdline.for_pxelinux();
                if append.is_empty() {
                    super::scripts::memdisk_arguments(files).clone_into(&mut append);
                }
            }
            ImageKind::Efi => return Err("it starts no EFI programs".to_owned()),
        },
        RenderedBoot::San(_) => {
            return Err("it attaches no disks over the network; that takes iPXE".to_owned());
        }
        RenderedBoot::Local { drive: 0x80 } => lines.push(("LOCALBOOT", "0".to_owned())),
        RenderedBoot::Local { drive } => {
            lines.push(("COM32", "chain.c32".to_owned()));
            append = format!("hd{}", drive.saturating_sub(0x80));
        }
        RenderedBoot::Chain {
            signature: Some(_), ..
        } => {
            return Err("only iPXE verifies the signature that the profile names".to_owned());
        }
        RenderedBoot::Chain { script: next, .. } => {
            let name = file_name(next).to_ascii_lowercase();
            let directive = match name.rsplit_once('.') {
                Some((_, "0" | "kpxe" | "pxe")) => "PXE",
                Some((_, "cfg")) => "CONFIG",
                _ => {
                    return Err(
                        "the profile chains to what is no network boot program (.0, .kpxe, .pxe) and no configuration of PXELINUX's (.cfg)"
                            .to_owned(),
                    );
                }
            };
            lines.push((directive, file(places, next)?));
        }
        RenderedBoot::Script(_) => {
            return Err("the profile is a whole script of iPXE's".to_owned());
        }
    }
    let append = append.trim();
    if !append.is_empty() {
        // A lone `-` is "nothing".
        lines.push(("APPEND", append.to_owned()));
    }
    Ok(lines)
}

/// Boots the disk and says why on the screen.
pub(super) fn disk(host: &Host, why: &str) -> String {
    let mut text = begun("disk");
    say(&mut text, why);
    say(&mut text, &format!("{} boots its disk", host.name));
    text.push('\n');
    label_disk(&mut text, host);
    text
}

/// Shows lines, waits, and leaves the network boot.
pub(super) fn message(lines: &[&str]) -> String {
    // Without anything to boot it asks at its prompt, until the time is over.
    let mut text = format!(
        "# PXELINUX, by Bootwright\nPROMPT 1\nTIMEOUT {0}\nTOTALTIMEOUT {0}\nDEFAULT disk\nONTIMEOUT disk\nNOESCAPE 1\nALLOWOPTIONS 0\n",
        PAUSE * 10
    );
    for line in lines {
        say(&mut text, line);
    }
    say(
        &mut text,
        &format!("going on with the next boot device in {PAUSE} s"),
    );
    text.push_str("\nLABEL disk\n  LOCALBOOT 0\n");
    text
}

/// The label of the disk, which is also what is left when the other one cannot be loaded.
fn label_disk(text: &mut String, host: &Host) {
    text.push_str("LABEL disk\n");
    text.push_str(match host.local_boot {
        LocalBoot::Auto | LocalBoot::NoFile | LocalBoot::Exit => "  LOCALBOOT 0\n",
        LocalBoot::Sanboot => "  COM32 chain.c32\n  APPEND hd0\n",
    });
}

fn begun(label: &str) -> String {
    // The time is for the prompt that comes when something could not be loaded; in tenths of a second.
    format!(
        "# PXELINUX, by Bootwright\nDEFAULT {label}\nPROMPT 0\nNOESCAPE 1\nALLOWOPTIONS 0\nTIMEOUT {}\nONTIMEOUT disk\n",
        PAUSE * 10
    )
}

fn say(text: &mut String, line: &str) {
    let line = printable(line);
    let _ = writeln!(text, "SAY Bootwright: {}", line.trim_end());
}

/// A boot file as PXELINUX names it.
fn file(places: &Places, asset: &AssetRef) -> Result<String, String> {
    let name = match places.place(asset)? {
        Place::Tftp(path) => format!("{}::{path}", places.server),
        Place::OtherTftp(server, path) => format!("tftp://{server}/{path}"),
        Place::Http(server, path) => format!("http://{server}{path}"),
    };
    // These end a name in one directive or the other.
    if name.contains(|c: char| c.is_whitespace() || matches!(c, ',' | '@')) {
        return Err(format!(
            "it cannot write the name {name}, because of the space, comma or `@` in it"
        ));
    }
    Ok(name)
}
