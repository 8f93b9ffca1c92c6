//! iPXE scripts (manual: ipxe.org/scripting, ipxe.org/cmd). All end in `boot` or `exit 1`: after a
//! plain `exit` firmware takes the network boot for a success and stops in its setup.
//!
//! Only commands that every build has are used, those of Debian's 1.0.0+git-20190125 and of BIOS
//! builds: no `params`, `console`, `ntp`, `poweroff`; `imgverify` only where a profile wants it. Scripts hold no `dhcp`, except [`chain`], which
//! runs before a machine has a script of its own: a DHCP packet after a script was served counts as a
//! further boot.
//!
//! How iPXE reads a line (`src/core/exec.c`): it splits at white space, without quotes; a word that
//! begins with `#` starts a comment; the words `||`, `&&` and `;` separate commands; then `${…}` is
//! expanded within each word, until none is left. [`words`] writes any text so that it comes out as
//! it is, by putting the empty setting `${}` where a word would mean something.

use std::fmt::Write as _;

use super::loaders::{PAUSE, file_name};
use super::san::Passwords;
use super::{AssetRef, Cmdline, RenderedBoot, RenderedSan, RenderedTarget, Urls, View, cmdline};
use crate::base::{HardwareAddr, Lifecycle};
use crate::config::snapshot::{Host, ImageKind, LocalBoot};

/// How the message of an iPXE begins that could not load its installer; the step follows.
pub const IPXE_FAILED_AT: &str = "iPXE failed at ";

/// Fetches of each file before the machine is given back to its firmware.
const TRIES: u32 = 5;
/// The first disk, as the BIOS counts.
const FIRST_DISK: u8 = 0x80;
/// A setting that nothing sets: it expands to nothing.
const NOTHING: &str = "${empty:string}";

/// Boots the installer; a preview, without passwords.
pub fn install(view: &View<'_>, boot: &RenderedBoot, attempt: u32, max_attempts: u32) -> String {
    let urls = Urls::of(view);
    installer(view, boot, attempt, max_attempts, &urls, Passwords::Masked)
}

/// The script for the machine itself, with the passwords that it logs in by at an iSCSI target. By TFTP: for an
/// iPXE without HTTP, as [`install_by_tftp`].
pub fn install_for_machine(
    view: &View<'_>,
    boot: &RenderedBoot,
    attempt: u32,
    max_attempts: u32,
    by_tftp: bool,
) -> String {
    let urls = if by_tftp {
        Urls::files_by_tftp(view)
    } else {
        Urls::of(view)
    };
    let passwords = Passwords::Of(&view.snapshot.secrets, view.host);
    installer(view, boot, attempt, max_attempts, &urls, passwords)
}

/// The same for an iPXE without HTTP: boot files by TFTP. What the installer itself fetches, it fetches
/// by HTTP all the same.
pub fn install_by_tftp(
    view: &View<'_>,
    boot: &RenderedBoot,
    attempt: u32,
    max_attempts: u32,
) -> String {
    let urls = Urls::files_by_tftp(view);
    installer(view, boot, attempt, max_attempts, &urls, Passwords::Masked)
}

fn installer(
    view: &View<'_>,
    boot: &RenderedBoot,
    attempt: u32,
    max_attempts: u32,
    urls: &Urls,
    passwords: Passwords<'_>,
) -> String {
    let mut steps: Vec<(String, String)> = Vec::new();
    match boot {
        // Written by the operator, whole.
        RenderedBoot::Script(script) => return script.clone(),
        RenderedBoot::Linux {
            kernel,
            initrd,
            cmdline: rest,
        } => {
            steps.push((
                "kernel".to_owned(),
                format!(
                    "kernel --name linux {} {}{}",
                    url(urls, kernel),
                    cmdline::prefix(rest, initrd.len(), "${netX/mac:hexhyp}"),
                    words(&rest.to_string())
                ),
            ));
            for (index, file) in initrd.iter().enumerate() {
                let name = cmdline::initrd_name(index);
                steps.push((
                    if index == 0 {
                        "initrd".to_owned()
                    } else {
                        format!("initrd{index}")
                    },
                    format!("initrd --name {name} {}", url(urls, file)),
                ));
            }
        }
        RenderedBoot::Image {
            kind,
            image,
            files,
            cmdline,
        } => steps = image_steps(*kind, image, files, cmdline, urls),
        RenderedBoot::San(san) => steps.push(("disk".to_owned(), sanboot(view, san))),
        RenderedBoot::Local { drive } => {
            let mut script = String::from("#!ipxe\n");
            let profile = view.profile;
            say(
                &mut script,
                &format!(
                    "{} boots {} ({})",
                    view.host.name, profile.name, profile.title
                ),
            );
            boot_disk(&mut script, view.host, *drive);
            return script;
        }
        RenderedBoot::Chain { script, signature } => {
            steps.push((
                "chain".to_owned(),
                format!("imgfetch --name next {}", url(urls, script)),
            ));
            if let Some(signature) = signature {
                steps.push((
                    "signature".to_owned(),
                    format!("imgverify next {}", url(urls, signature)),
                ));
            }
        }
    }

    let mut script = String::from("#!ipxe\n");
    let (host, profile, title) = (&view.host.name, &view.profile.name, &view.profile.title);
    say(
        &mut script,
        &match view.profile.lifecycle {
            Lifecycle::Install => format!(
                "{host} is to be installed with {profile} ({title}), attempt {attempt} of {max_attempts}"
            ),
            Lifecycle::Live => format!("{host} runs {profile} ({title}) from memory"),
            Lifecycle::Once => format!("{host} boots {profile} ({title}), this once"),
        },
    );
    script.push_str(
        "echo Bootwright: firmware ${platform} ${buildarch}, NIC ${netX/mac}, address ${netX/ip}\n",
    );
    if let RenderedBoot::Image { kind, .. } = boot
        && kind.needs_bios()
    {
        let _ = writeln!(
            script,
            "iseq ${{platform}} pcbios || echo Bootwright: {} is for BIOS firmware, and this is ${{platform}}",
            kind.as_str()
        );
    }
    // What an earlier script has loaded would be handed to the kernel as well.
    script.push_str("imgfree ||\nset tries:int32 0\n");
    if let RenderedBoot::San(san) = boot {
        log_in(&mut script, san, passwords);
    }

    for (step, command) in &steps {
        let _ = write!(
            script,
            "\n:{step}\nset step {step}\necho Bootwright: loading {step}\n{} || goto again\n",
            command.trim_end()
        );
    }
    script.push_str("\nset step boot\necho Bootwright: starting\n");
    // A signed iPXE holds the kernel against the keys of its distribution's shim (ipxe.org/cmd/shim); it does nothing
    // where there is no Secure Boot, and older builds do not know it.
    if let (RenderedBoot::Linux { .. }, Some(signed)) = (boot, &view.profile.signed)
        && view.snapshot.boots_signed(view.host)
    {
        let shim = AssetRef::Path(signed.shim(view.arch));
        let _ = writeln!(script, "shim {} ||", url(urls, &shim));
    }
    match boot {
        RenderedBoot::Chain { .. } => script.push_str("chain next ||\n"),
        // Its step has booted it, and it has come back.
        RenderedBoot::San(_) => {}
        _ => script.push_str("boot ||\n"),
    }
    script.push_str("set err ${errno}\ngoto failed\n");

    // `errno` is kept first: every later command overwrites it.
    let _ = write!(
        script,
        "\n:again\n\
         set err ${{errno}}\n\
         inc tries\n\
         iseq ${{tries}} {TRIES} && goto failed ||\n\
         set wait:int32 ${{tries}}\n\
         inc wait ${{tries}}\n\
         echo Bootwright: ${{step}} could not be loaded, error ${{err}}; trying again in ${{wait}} s\n\
         sleep ${{wait}}\n\
         goto ${{step}}\n"
    );
    let _ = write!(
        script,
        "\n:failed\n\
         echo\n\
         echo Bootwright: ${{step}} failed, error ${{err}}: https://ipxe.org/err/${{err}}\n\
         ifstat ||\n\
         route ||\n\
         imgfree ||\n\
         imgfetch --name report {report}?stage=ipxe-${{step}}&message={failed}${{step}},%20error%20${{err}}%20https://ipxe.org/err/${{err}} && imgfree report ||\n",
        report = urls.report("progress"),
        failed = IPXE_FAILED_AT.replace(' ', "%20"),
    );
    say(
        &mut script,
        &format!(
            "{} goes on with its next boot device in {PAUSE} s",
            view.host.name
        ),
    );
    let _ = write!(script, "sleep {PAUSE}\nexit 1\n");
    script
}

/// What is fetched, as steps with their commands.
fn image_steps(
    kind: ImageKind,
    image: &AssetRef,
    files: &[(AssetRef, Cmdline)],
    cmdline: &Cmdline,
    urls: &Urls,
) -> Vec<(String, String)> {
    let name = kind.as_str();
    let mut arguments = cmdline.to_string();
    if kind == ImageKind::Memdisk && arguments.is_empty() {
        arguments.push_str(memdisk_arguments(files));
    }
    let load = format!(
        "kernel --name {name} {} {}",
        url(urls, image),
        words(&arguments)
    );
    let mut steps = vec![("kernel".to_owned(), load)];
    for (index, (file, arguments)) in files.iter().enumerate() {
        let url = url(urls, file);
        let (step, command) = match kind {
            // Without `--name`, because a multiboot kernel is told a module's own name before its arguments.
            ImageKind::Multiboot => (
                "module",
                format!("module {url} {}", words(&arguments.to_string())),
            ),
            // By its name for UEFI; on BIOS wimboot takes the argument (ipxe.org/wimboot).
            ImageKind::Wimboot => {
                let name = words(&file_name(file));
                ("file", format!("initrd --name {name} {url} {name}"))
            }
            ImageKind::Memdisk => ("image", format!("initrd --name image {url}")),
            ImageKind::Efi => ("file", format!("initrd {url}")),
        };
        let step = if index == 0 {
            step.to_owned()
        } else {
            format!("{step}{index}")
        };
        steps.push((step, command));
    }
    steps
}

/// Attaches a disk and boots it. Images are read by HTTP only: no iPXE reads one in pieces by TFTP.
fn sanboot(view: &View<'_>, san: &RenderedSan) -> String {
    let uri = match &san.target {
        RenderedTarget::Image(image) => url(&Urls::of(view), image),
        RenderedTarget::Iscsi(path) => path.to_string(),
    };
    format!("sanboot --drive {:#x} {uri}", san.drive)
}

/// Settings by which iPXE logs in at an iSCSI target (ipxe.org/cfg). A password is written by its bytes: whatever
/// it holds, it is no part of the script's language.
fn log_in(script: &mut String, san: &RenderedSan, passwords: Passwords<'_>) {
    if let RenderedTarget::Image(_) = san.target {
        return;
    }
    let _ = writeln!(script, "set initiator-iqn {}", san.initiator);
    for (login, prefix) in [(&san.login, ""), (&san.target_login, "reverse-")] {
        let Some(login) = login else { continue };
        let _ = writeln!(script, "set {prefix}username {}", words(&login.user));
        let _ = match passwords.of(login) {
            Some(password) => {
                let bytes: Vec<String> =
                    password.bytes().map(|byte| format!("{byte:02x}")).collect();
                writeln!(script, "set {prefix}password:hex {}", bytes.join(":"))
            }
            None => writeln!(
                script,
                "set {prefix}password:hex ... the secret {}",
                login.secret
            ),
        };
    }
}

/// What memdisk is told where the profile says nothing.
pub(super) fn memdisk_arguments(files: &[(AssetRef, Cmdline)]) -> &'static str {
    let is_cd = |(file, _): &(AssetRef, Cmdline)| {
        let (AssetRef::Path(text) | AssetRef::Url(text)) = file;
        text.to_ascii_lowercase().ends_with(".iso")
    };
    // `raw` copies high memory by the BIOS call that works everywhere (memdisk.txt).
    if files.iter().any(is_cd) {
        "iso raw"
    } else {
        "raw"
    }
}

/// Boots the disk and says why on the screen (`why` is one line such as "web01: failed after 3
/// attempts; bootwright install web01").
pub fn disk(host: &Host, why: &str) -> String {
    let mut script = String::from("#!ipxe\n");
    say(&mut script, why);
    boot_disk(&mut script, host, FIRST_DISK);
    script
}

/// For an adopted machine that waits to be armed: asks for its script again, every few seconds.
pub fn waiting(host: &Host, script_url: &str) -> String {
    let mut script = String::from("#!ipxe\n");
    let name = &host.name;
    say(
        &mut script,
        &format!("{name}: nothing is asked for yet; bootwright install {name}"),
    );
    let _ = write!(
        script,
        ":again\n\
         prompt --key d --timeout 4000 Asking again every 5 s, the key d boots the disk && goto disk ||\n\
         sleep 1\n\
         chain --autofree --replace {script_url}?waiting=1 ||\n\
         echo Bootwright: no answer from the boot server, error ${{errno}}\n\
         goto again\n\
         :disk\n"
    );
    boot_disk(&mut script, host, FIRST_DISK);
    script
}

fn boot_disk(script: &mut String, host: &Host, drive: u8) {
    say(script, &format!("{} boots its disk", host.name));
    match host.local_boot {
        // Where there is no way but back: the firmware's next boot device.
        LocalBoot::NoFile | LocalBoot::Exit => {}
        LocalBoot::Sanboot => {
            let _ = writeln!(script, "sanboot --no-describe --drive {drive:#x} ||");
        }
        // On UEFI iPXE of 2019 boots no disk; the firmware's own order does.
        LocalBoot::Auto => {
            let _ = write!(
                script,
                "iseq ${{platform}} efi && goto firmware ||\n\
                 sanboot --no-describe --drive {drive:#x} ||\n\
                 :firmware\n"
            );
        }
    }
    script.push_str("exit 1\n");
}

/// For whoever asks for another machine's script.
pub fn not_this_machine() -> String {
    let mut script = String::from("#!ipxe\n");
    say(&mut script, "not this machine");
    script.push_str(
        "echo Bootwright: this script is for the machine with that MAC address, and ${netX/ip} is not its address\n",
    );
    ending(&mut script);
    script
}

/// For a machine without a reservation: prints MAC, UUID, serial number and how it becomes a host.
pub fn unknown(mac: HardwareAddr) -> String {
    let mut script = String::from("#!ipxe\n");
    say(
        &mut script,
        &format!("no host has the MAC address {mac}; nothing is installed"),
    );
    script.push_str(
        "echo Bootwright: UUID ${uuid}, serial number ${serial}, ${manufacturer} ${product}\n",
    );
    say(&mut script, "to adopt it, say on the server:");
    let _ = writeln!(script, "echo {NOTHING} bootwright adopt {mac} --name NAME");
    ending(&mut script);
    script
}

/// Asks for the machine's own script again, telling its UUID and serial number.
pub fn identify(script_url: &str) -> String {
    let mut script = String::from("#!ipxe\n");
    say(&mut script, "telling UUID and serial number");
    let _ = writeln!(
        script,
        "chain --autofree --replace {script_url}?uuid=${{uuid}}&serial=${{serial:uristring}} ||"
    );
    script.push_str("echo Bootwright: no answer from the boot server, error ${errno}\n");
    ending(&mut script);
    script
}

/// For any machine: chains to its own script, by the NIC that it booted from, else by its first one.
pub fn chain(base_url: &str) -> String {
    let mut script = String::from("#!ipxe\n");
    // As autoexec.ipxe it runs before any interface has an address.
    script.push_str("isset ${netX/ip} || dhcp || goto failed\n");
    for nic in ["netX", "net0"] {
        let _ = writeln!(
            script,
            "isset ${{{nic}/mac}} && chain --autofree --replace {base_url}/boot/${{{nic}/mac:hexhyp}}/boot.ipxe ||"
        );
    }
    script.push_str(":failed\necho Bootwright: no boot script came, error ${errno}\n");
    ending(&mut script);
    script
}

/// Shows a trouble of the server's on the screen, waits, and leaves the network boot.
pub fn trouble(text: &str) -> String {
    let mut script = String::from("#!ipxe\n");
    say(&mut script, text);
    ending(&mut script);
    script
}

fn ending(script: &mut String) {
    let _ = write!(
        script,
        "echo Bootwright: going on with the next boot device in {PAUSE} s\nsleep {PAUSE}\nexit 1\n"
    );
}

/// One line on the screen. The text may come from anywhere (a report's message, a template's error).
fn say(script: &mut String, text: &str) {
    let printable: String = text
        .chars()
        .take(400)
        .map(|c| match c {
            c if c.is_control() || c.is_whitespace() => ' ',
            // iPXE writes bytes to the firmware's console, which knows code page 437 at best.
            c if !c.is_ascii() => '?',
            c => c,
        })
        .collect();
    // Within one word `${…}` cannot be written; on a screen it need not.
    let _ = writeln!(
        script,
        "echo Bootwright: {}",
        words(&printable.replace("${", "$("))
    );
}

/// Words as iPXE's command line takes them. `${…}` within a word is the caller's to refuse.
fn words(text: &str) -> String {
    text.split_whitespace()
        .map(|word| {
            if word.starts_with('#') || matches!(word, "||" | "&&" | ";") {
                format!("{NOTHING}{word}")
            } else {
                word.to_owned()
            }
        })
        .collect::<Vec<_>>()
        .join(" ")
}

/// A boot file's URL as a word. One given as a whole URL may hold settings of iPXE's.
fn url(urls: &Urls, asset: &AssetRef) -> String {
    words(&urls.asset(asset))
}
