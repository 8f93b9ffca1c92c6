//! Disks and CDs over the network: an image read by HTTP, and targets of a real iSCSI server (`tgt`) that runs in the
//! rehearsal's own network. What is booted there says a word on the serial console; the machine's own disk is empty.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use bootwright::rehearse::disk::{SIGN, installed_bios, installed_uefi};
use nix::sys::signal::Signal;

use crate::site::{Running, Site, one_at_a_time};
use crate::{PATIENCE, assert_steps};

/// A CD whose boot sector says a word on the serial line and restarts the machine (El Torito 1.0, no emulation).
fn cd(word: &[u8]) -> Vec<u8> {
    const SECTOR: usize = 2_048;
    let mut image = vec![0; 40 * SECTOR];
    let mut put = |sector: usize, at: usize, bytes: &[u8]| {
        let at = sector * SECTOR + at;
        image[at..at + bytes.len()].copy_from_slice(bytes);
    };
    put(16, 0, b"\x01CD001\x01");
    // The boot record, and the catalog that it leads to: validation, with a sum of nought, and one entry.
    put(17, 0, b"\x00CD001\x01EL TORITO SPECIFICATION");
    put(17, 0x47, &19_u32.to_le_bytes());
    put(18, 0, b"\xffCD001\x01");
    put(19, 0, &[1]);
    put(19, 28, &0x55aa_u16.to_le_bytes());
    put(19, 30, &[0x55, 0xaa]);
    put(19, 32, &[0x88, 0, 0, 0, 0, 0, 4, 0]);
    put(19, 40, &20_u32.to_le_bytes());
    let code = [
        0x31, 0xc0, 0x8e, 0xd8, // xor ax, ax; mov ds, ax
        0xbe, 0x40, 0x7c, // mov si, 0x7c40
        0xac, 0x84, 0xc0, // next: lodsb; test al, al
        0x74, 0x06, // jz end
        0xba, 0xf8, 0x03, 0xee, // mov dx, 0x3f8; out dx, al
        0xeb, 0xf5, // jmp next
        0xea, 0xf0, 0xff, 0x00, 0xf0, // end: jmp 0xf000:0xfff0
    ];
    put(20, 0, &code);
    put(20, 0x40, word);
    image
}

#[test]
fn a_cd_is_booted_over_http() {
    let _turn = one_at_a_time();
    let site = Site::new();
    let assets = site.boot_assets();
    fs::write(assets.join("hello.iso"), cd(b"\r\nhello from the CD\r\n\0")).unwrap();
    site.write(
        "profiles/cd.toml",
        "title = \"A CD\"\nfamily = \"tool\"\n[boot]\nkind = \"sanboot\"\nimage = \"hello.iso\"\n\
         [[answers]]\nname = \"never.txt\"\ntemplate = \"never.j2\"\n",
    );
    site.write("templates/never.j2", "never asked for\n");
    site.set("web01", "profile = \"cd\"");
    let args = [
        "--firmware",
        "bios",
        "--console",
        "--until",
        "answers",
        "--timeout",
        PATIENCE,
    ];
    let ended = site.rehearse(&[&["web01"], &args[..]].concat());
    // The machine restarts, which ends it before the time is up.
    assert_eq!(ended.status, Some(1), "{}", ended.output);
    assert_steps(
        &ended,
        &[
            "boot script with the installer served",
            "hello.iso is read as a disk",
        ],
    );
    ended.assert_shows(&["hello from the CD"]);
    site.is_clean();
}

/// What the target is called, and how the machine proves who it is, and the target: name and password.
const TARGET: &str = "iqn.2026-01.example.lab:web01";
const MACHINE: (&str, &str) = ("web01", "machine ${net0/mac} 1");
const SERVER: (&str, &str) = ("disk1", "the target's word");

/// An iSCSI server in the network of a rehearsal; killed when this is dropped.
struct Tgt {
    daemon: Child,
    socket: PathBuf,
}

impl Tgt {
    /// Starts it where the rehearsal's bridge is.
    fn start(folder: &Path, rehearsal: &Running) -> Self {
        let socket = folder.join("tgt");
        let daemon = Command::new("nsenter")
            .arg(format!("--net=/proc/{}/ns/net", rehearsal.pid()))
            .args(["setpriv", "--pdeathsig", "KILL", "tgtd", "--foreground"])
            .args(["--control-port", "1", "--iscsi", "portal=10.99.0.2:3260"])
            .env("TGT_IPC_SOCKET", &socket)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("nsenter, of util-linux");
        let tgt = Self { daemon, socket };
        let began = Instant::now();
        while let Err(said) = tgt.ask("--op show --mode sys") {
            assert!(began.elapsed() < Duration::from_secs(20), "tgtd: {said}");
            std::thread::sleep(Duration::from_millis(20));
        }
        tgt
    }

    fn ask(&self, what: &str) -> Result<String, String> {
        let output = Command::new("tgtadm")
            .args(["--control-port", "1", "--lld", "iscsi"])
            .args(
                what.split('|')
                    .flat_map(|part| match part.strip_prefix('=') {
                        // As it is, with its blanks.
                        Some(word) => vec![word],
                        None => part.split_whitespace().collect(),
                    }),
            )
            .env("TGT_IPC_SOCKET", &self.socket)
            .output()
            .expect("tgtadm, of the package tgt");
        if output.status.success() {
            Ok(String::from_utf8_lossy(&output.stdout).into_owned())
        } else {
            Err(String::from_utf8_lossy(&output.stderr).into_owned())
        }
    }

    fn tell(&self, what: &str) {
        self.ask(what)
            .unwrap_or_else(|said| panic!("tgtadm {what}: {said}"));
    }

    /// One target with a disk, its unit 1: unit 0 of this server's targets is never one.
    fn serve(&self, disk: &Path) {
        self.tell(&format!(
            "--op new --mode target --tid 1 --targetname {TARGET}"
        ));
        self.tell(&format!(
            "--op new --mode logicalunit --tid 1 --lun 1 --backing-store {}",
            disk.display()
        ));
    }

    /// For a machine of this name, which this server needs: without it a target is nobody's.
    fn admit(&self, initiator: &str) {
        self.tell(&format!(
            "--op bind --mode target --tid 1 --initiator-name {initiator}"
        ));
    }

    /// Only with a login, of both sides.
    fn guard(&self) {
        for ((user, password), outgoing) in [(MACHINE, ""), (SERVER, " --outgoing")] {
            self.tell(&format!(
                "--op new --mode account --user {user} --password|={password}"
            ));
            self.tell(&format!(
                "--op bind --mode account --tid 1 --user {user}{outgoing}"
            ));
        }
    }
}

impl Drop for Tgt {
    fn drop(&mut self) {
        // It does not end by SIGTERM while it has targets.
        let _ = self.daemon.kill();
        let _ = self.daemon.wait();
    }
}

/// A disk without partitions, of FAT12, with one program: the one that UEFI looks for.
fn efi_disk(program: &[u8]) -> Vec<u8> {
    const SECTOR: usize = 512;
    /// Boot sector, two tables and the names of the root; what follows is cluster 2.
    const FILES: usize = 4;
    const EFI: u8 = 2;
    const BOOT: u8 = 3;
    const PROGRAM: u8 = 4;
    const IS_FOLDER: u8 = 0x10;
    let sectors: u16 = 320;
    let mut image = vec![0; usize::from(sectors) * SECTOR];
    let mut put = |sector: usize, at: usize, bytes: &[u8]| {
        let at = sector * SECTOR + at;
        image[at..at + bytes.len()].copy_from_slice(bytes);
    };
    put(0, 0, b"\xeb\x3c\x90MSDOS5.0");
    // Bytes in a sector, sectors in a cluster, reserved ones, tables, names in the root.
    put(0, 11, &[0, 2, 1, 1, 0, 2, 16, 0]);
    put(0, 19, &sectors.to_le_bytes());
    put(0, 21, &[0xf8, 1, 0, 32, 0, 2, 0]);
    put(0, 36, b"\x80\0\x29\x01\x02\x03\x04NETWORKDISKFAT12   ");
    put(0, 510, &[0x55, 0xaa]);
    // Entries of twelve bits: each folder ends with its first cluster, the program goes on to the next one.
    let clusters = u16::try_from(program.len().div_ceil(SECTOR)).unwrap();
    let mut entries = vec![0xff8, 0xfff, 0xfff, 0xfff];
    entries.extend((1..clusters).map(|next| u16::from(PROGRAM) + next));
    entries.push(0xfff);
    entries.resize(entries.len().next_multiple_of(2), 0);
    let table: Vec<u8> = entries
        .chunks(2)
        .flat_map(|two| {
            let both = u32::from(two[0]) | u32::from(two[1]) << 12;
            both.to_le_bytes()[..3].to_vec()
        })
        .collect();
    put(1, 0, &table);
    put(2, 0, &table);
    let entry = |name: &[u8; 11], attributes: u8, cluster: u8, size: usize| {
        let mut entry = name.to_vec();
        entry.push(attributes);
        entry.resize(26, 0);
        entry.extend([cluster, 0]);
        entry.extend(u32::try_from(size).unwrap().to_le_bytes());
        entry
    };
    put(3, 0, &entry(b"EFI        ", IS_FOLDER, EFI, 0));
    for (folder, above, name, attributes, size) in [
        (EFI, 0, b"BOOT       ", IS_FOLDER, 0),
        (BOOT, EFI, b"BOOTX64 EFI", 0, program.len()),
    ] {
        let sector = FILES + usize::from(folder - 2);
        put(sector, 0, &entry(b".          ", IS_FOLDER, folder, 0));
        put(sector, 32, &entry(b"..         ", IS_FOLDER, above, 0));
        put(sector, 64, &entry(name, attributes, folder + 1, size));
    }
    put(FILES + usize::from(PROGRAM - 2), 0, program);
    image
}

/// Boots a disk that says [`SIGN`], over iSCSI.
fn boots_from_iscsi(firmware: &str, keys: &str, prepare: impl FnOnce(&Tgt)) -> String {
    let _turn = one_at_a_time();
    let site = Site::new();
    let folder = tempfile::tempdir().unwrap();
    let disk = folder.path().join("disk");
    if firmware == "bios" {
        installed_bios(&disk).unwrap();
    } else {
        let files = installed_uefi(&folder.path().join("files")).unwrap();
        let program = fs::read(files.join("EFI/BOOT/BOOTX64.EFI")).unwrap();
        fs::write(&disk, efi_disk(&program)).unwrap();
    }
    site.write(
        "profiles/disk.toml",
        &format!(
            "title = \"A disk\"\nfamily = \"tool\"\n[boot]\nkind = \"sanboot\"\n\
             target = \"iscsi:10.99.0.2:::1:iqn.2026-01.example.lab:{{{{ host.name }}}}\"\n{keys}\n\
             [[answers]]\nname = \"never.txt\"\ntemplate = \"never.j2\"\n"
        ),
    );
    site.write("templates/never.j2", "never asked for\n");
    site.write(
        "secrets.toml",
        &format!("disk = {:?}\ntarget = {:?}\n", MACHINE.1, SERVER.1),
    );
    site.edit(
        "bootwright.toml",
        "[server]\n",
        "[server]\nsecrets = \"secrets.toml\"\n",
    );
    let secrets = site.config().join("secrets.toml");
    fs::set_permissions(secrets, fs::Permissions::from_mode(0o600)).unwrap();
    site.set("web01", "profile = \"disk\"");
    let args = ["web01", "--firmware", firmware, "--console"];
    let until = ["--until", "answers", "--timeout", PATIENCE];
    let mut rehearsal = site.start(&[&args[..], &until[..]].concat());
    rehearsal.wait_for("network namespace with bridge");
    // The daemon stands still until the target is there.
    rehearsal.signal(Signal::SIGSTOP);
    let tgt = Tgt::start(folder.path(), &rehearsal);
    tgt.serve(&disk);
    prepare(&tgt);
    rehearsal.signal(Signal::SIGCONT);
    rehearsal.wait_for_console(SIGN);
    let steps = rehearsal.steps();
    let script = "boot script with the installer served";
    assert!(steps.iter().any(|step| step.contains(script)), "{steps:?}");
    let seen = tgt.ask("--op show --mode target").unwrap();
    rehearsal.end(Signal::SIGTERM);
    drop(tgt);
    site.is_clean();
    seen
}

/// To a machine that gives the usual name.
#[test]
fn a_bios_machine_boots_from_iscsi() {
    let name = "iqn.2010-04.org.ipxe:web01.lab.example";
    let seen = boots_from_iscsi("bios", "", |tgt| tgt.admit(name));
    assert!(seen.contains(&format!("Initiator: {name} ")), "{seen}");
}

const LOGINS: &str = "initiator = \"iqn.2026-01.example.lab:box-{{ host.name }}\"\n\
    username = \"{{ host.name }}\"\npassword_secret = \"disk\"\n\
    target_username = \"disk1\"\ntarget_password_secret = \"target\"";

/// The name by which it logs in.
const BOX: &str = "iqn.2026-01.example.lab:box-web01";

fn guard(tgt: &Tgt) {
    tgt.admit(BOX);
    tgt.guard();
}

#[test]
fn a_bios_machine_and_its_target_prove_who_they_are() {
    let seen = boots_from_iscsi("bios", LOGINS, guard);
    assert!(seen.contains(&format!("Initiator: {BOX} ")), "{seen}");
}

#[test]
fn a_uefi_machine_and_its_target_prove_who_they_are() {
    let seen = boots_from_iscsi("uefi-x64", LOGINS, guard);
    assert!(seen.contains(&format!("Initiator: {BOX} ")), "{seen}");
}
