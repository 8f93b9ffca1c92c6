//! GRUB configurations (manual: gnu.org/software/grub/manual/grub, "Writing full configuration files
//! directly"). No menu: the commands run one after the other, and all ways lead to `boot` or `exit 1`,
//! after which the firmware goes on with its next boot device.
//!
//! Only commands that signed images have built in are used for Linux, because those load no modules.
//! Files are named with their server, `(tftp,10.99.0.2)/path`: what a loader takes for its root differs.
//!
//! A word is written so that GRUB's script language hands it on as it is ([`super::cmdline::grub_word`]).
//! Kernels get no `initrd=`: GRUB hands the RAM disk over itself, and an EFI kernel would look for a file
//! of that name.

use std::fmt::Write as _;

use super::cmdline::grub_word;
use super::loaders::{Boots, PAUSE, Place, Places, Transport, file_name, printable};
use super::{AssetRef, Cmdline, RenderedBoot};
use crate::base::has_extension;
use crate::config::snapshot::{Host, ImageKind, LocalBoot};

/// The waits between two tries, in seconds; after the last one the machine is given back to its firmware.
const WAITS: [u32; 4] = [2, 4, 6, 8];

/// GRUB's TFTP packs a name into one packet of this many bytes, options and all.
const LONGEST_NAME: usize = 400;

/// Boots the installer. The error says what GRUB cannot do.
pub(super) fn install(
    boots: &Boots<'_>,
    boot: &RenderedBoot,
    transport: Transport,
) -> Result<String, String> {
    if let RenderedBoot::Local { drive: 0x80 } = boot {
        return Ok(disk(boots.view.host, &boots.headline()));
    }
    let places = Places::of(boots.view, transport);
    let loaded = commands(boots, boot, &places)?;
    let mut text = begun();
    say(&mut text, &boots.headline());
    text.push_str(
        "echo \"Bootwright: firmware $grub_platform $grub_cpu, address $net_default_ip\"\n",
    );
    if let RenderedBoot::Image { kind, .. } = boot {
        let (platform, firmware) = match kind {
            ImageKind::Efi => ("efi", "UEFI"),
            ImageKind::Multiboot | ImageKind::Wimboot | ImageKind::Memdisk => ("pc", "BIOS"),
        };
        let _ = write!(text, "if [ \"$grub_platform\" != {platform} ]; then\n  ");
        say(
            &mut text,
            &format!("{} by GRUB is for {firmware} firmware", kind.as_str()),
        );
        text.push_str("fi\n");
    }
    // One try after the other: GRUB's language has no counter.
    let waits = WAITS.map(|wait| wait.to_string()).join(" ");
    let _ = write!(text, "\nfor wait in {waits} 0; do\n");
    let mut indent = "  ".to_owned();
    for (what, command) in &loaded {
        let _ = write!(
            text,
            "{indent}echo 'Bootwright: loading {what}'\n{indent}if {command}; then\n"
        );
        indent.push_str("  ");
    }
    let _ = write!(text, "{indent}echo 'Bootwright: starting'\n{indent}boot\n");
    for _ in &loaded {
        indent.truncate(indent.len().saturating_sub(2));
        let _ = writeln!(text, "{indent}fi");
    }
    text.push_str(
        "  if [ \"$wait\" != 0 ]; then\n    \
           echo \"Bootwright: it could not be loaded or started; trying again in $wait s\"\n    \
           sleep $wait\n  \
         fi\n\
         done\n\n",
    );
    say(
        &mut text,
        &format!(
            "{} could not be booted and goes on with its next boot device in {PAUSE} s",
            boots.view.host.name
        ),
    );
    let _ = write!(text, "sleep {PAUSE}\nexit 1\n");
    Ok(text)
}

/// What is loaded, each with its command; the last one is followed by `boot`.
fn commands(
    boots: &Boots<'_>,
    boot: &RenderedBoot,
    places: &Places,
) -> Result<Vec<(String, String)>, String> {
    let arguments = |cmdline: &Cmdline| {
        let words = cmdline.for_grub().map_err(|error| error.to_string())?;
        Ok::<_, String>(if words.is_empty() {
            words
        } else {
            format!(" {words}")
        })
    };
    let step = |what: &str, command: String| (what.to_owned(), command);
    Ok(match boot {
        RenderedBoot::Linux {
            kernel,
            initrd,
            cmdline,
        } => {
            let interface = boots.boot_interface(cmdline);
            let mut line = format!("linux {}", file(places, kernel)?);
            if !interface.is_empty() {
                let _ = write!(line, " {}", interface.trim_end());
            }
            line.push_str(&arguments(cmdline)?);
            let mut list = vec![step("the kernel", line)];
            if !initrd.is_empty() {
                let files = initrd.iter().map(|it| file(places, it));
                let files = files.collect::<Result<Vec<_>, _>>()?.join(" ");
                list.push(step("the initial RAM disk", format!("initrd {files}")));
            }
            list
        }
        RenderedBoot::Image {
            kind,
            image,
            files,
            cmdline,
        } => match kind {
            ImageKind::Multiboot => {
                // The first word of each is its name: kernels take what follows for their arguments.
                let named = |command: &str, asset: &AssetRef, cmdline: &Cmdline| {
                    let name = grub_word(&file_name(asset));
                    let rest = arguments(cmdline)?;
                    Ok::<_, String>(format!("{command} {} {name}{rest}", file(places, asset)?))
                };
                let mut list = vec![step("the kernel", named("multiboot", image, cmdline)?)];
                for (module, cmdline) in files {
                    list.push(step("a module", named("module", module, cmdline)?));
                }
                list
            }
            ImageKind::Efi => {
                if !files.is_empty() {
                    return Err("it can hand no further files to an EFI program".to_owned());
                }
                let line = format!(
                    "chainloader {}{}",
                    file(places, image)?,
                    arguments(cmdline)?
                );
                vec![step("the EFI program", line)]
            }
            ImageKind::Wimboot => {
                let files = files.iter().map(|(it, _)| {
                    let word = format!("newc:{}:{}", file_name(it), bare(places, it)?);
                    Ok::<_, String>(grub_word(&word))
                });
                let files = files.collect::<Result<Vec<_>, _>>()?.join(" ");
                let line = format!("linux16 {}{}", file(places, image)?, arguments(cmdline)?);
                vec![
                    step("wimboot", line),
                    step("its files", format!("initrd16 {files}")),
                ]
            }
            ImageKind::Memdisk => {
                let mut rest = arguments(cmdline)?;
                if rest.is_empty() {
                    rest.push(' ');
                    rest.push_str(super::scripts::memdisk_arguments(files));
                }
                let files = files.iter().map(|(it, _)| file(places, it));
                let files = files.collect::<Result<Vec<_>, _>>()?.join(" ");
                vec![
                    step("memdisk", format!("linux16 {}{rest}", file(places, image)?)),
                    step("the image", format!("initrd16 {files}")),
                ]
            }
        },
        RenderedBoot::San(_) => {
            return Err("it attaches no disks over the network; that takes iPXE".to_owned());
        }
        RenderedBoot::Local { drive } => {
            // On UEFI this fails, and the firmware's next boot device has its turn.
            let disk = drive.saturating_sub(0x80);
            vec![step("the disk", format!("chainloader (hd{disk})+1"))]
        }
        RenderedBoot::Chain {
            signature: Some(_), ..
        } => {
            return Err("only iPXE verifies the signature that the profile names".to_owned());
        }
        RenderedBoot::Chain { script: next, .. } => {
            let name = file_name(next);
            let command = if has_extension(&name, "efi") {
                "chainloader"
            } else if has_extension(&name, "cfg") {
                "configfile"
            } else {
                return Err(
                    "the profile chains to what is no EFI program (.efi) and no configuration of GRUB's (.cfg)"
                        .to_owned(),
                );
            };
            vec![step(
                "what comes next",
                format!("{command} {}", file(places, next)?),
            )]
        }
        RenderedBoot::Script(_) => {
            return Err("the profile is a whole script of iPXE's".to_owned());
        }
    })
}

/// Boots the disk and says why on the screen.
pub(super) fn disk(host: &Host, why: &str) -> String {
    let mut text = begun();
    say(&mut text, why);
    say(&mut text, &format!("{} boots its disk", host.name));
    match host.local_boot {
        // The firmware's next boot device.
        LocalBoot::Auto | LocalBoot::NoFile | LocalBoot::Exit => {}
        LocalBoot::Sanboot => text.push_str(
            "if [ \"$grub_platform\" = pc ]; then\n  \
               if chainloader (hd0)+1; then\n    \
                 boot\n  \
               fi\n\
             fi\n",
        ),
    }
    text.push_str("exit 1\n");
    text
}

/// Shows lines, waits, and leaves the network boot.
pub(super) fn message(lines: &[&str]) -> String {
    let mut text = begun();
    for line in lines {
        say(&mut text, line);
    }
    say(
        &mut text,
        &format!("going on with the next boot device in {PAUSE} s"),
    );
    let _ = write!(text, "sleep {PAUSE}\nexit 1\n");
    text
}

fn begun() -> String {
    // What the loader is built with may show a menu when this one fails.
    "# GRUB, by Bootwright\nset timeout=0\n".to_owned()
}

fn say(text: &mut String, line: &str) {
    // `echo` takes no escapes without -e; the quote is the one character that needs care.
    let line = format!("Bootwright: {}", printable(line)).replace('\'', "\"");
    let _ = writeln!(text, "echo '{}'", line.trim_end());
}

/// A boot file as GRUB names it, as one word of its language.
fn file(places: &Places, asset: &AssetRef) -> Result<String, String> {
    Ok(grub_word(&bare(places, asset)?))
}

fn bare(places: &Places, asset: &AssetRef) -> Result<String, String> {
    let (device, path) = match places.place(asset)? {
        Place::Tftp(path) => (format!("tftp,{}", places.server), format!("/{path}")),
        Place::OtherTftp(server, path) => (format!("tftp,{server}"), format!("/{path}")),
        Place::Http(server, path) => (format!("http,{server}"), path),
    };
    if path.len() > LONGEST_NAME {
        return Err(format!(
            "the name {path} is longer than {LONGEST_NAME} characters"
        ));
    }
    // What stands in a device's name ends at these.
    if device.contains([')', '(', '\'', '\\']) || path.contains(['\'', '\\']) {
        return Err(format!("it cannot write the name ({device}){path}"));
    }
    Ok(format!("({device}){path}"))
}
