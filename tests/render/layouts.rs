//! The Debian profiles for a range of machines: firmware, disks, cards. The texts are golden files, reviewed
//! as text; what the scripts do is tried on machines in folders.

use std::fmt::Write as _;
use std::fs;
use std::path::PathBuf;
use std::process::Command;

use bootwright::config::snapshot::{Host, Nic};
use bootwright::render::scripts;
use tempfile::TempDir;

use crate::debian::check_preseed;
use crate::fixture::{Draft, Site, check_shell, host, shipped_profile};

/// A host with two ports, and two more cards in networks of their own.
fn with_cards(vars: &str) -> Host {
    let mut host = host("web01", 0x8e, vars);
    host.macs = [&*host.macs, &["52:54:00:47:86:8f".parse().unwrap()]]
        .concat()
        .into();
    host.nics = vec![
        Nic {
            macs: ["52:54:00:47:86:90".parse().unwrap()].into(),
            ip: Some([10, 98, 0, 11].into()),
            subnet: Some(1),
            name: Some("storage".to_owned()),
            boot: false,
        },
        // The same port again, in another VLAN.
        Nic {
            macs: ["52:54:00:47:86:8e", "52:54:00:47:86:8f"]
                .map(|mac| mac.parse().unwrap())
                .into(),
            ip: Some([10, 97, 0, 11].into()),
            subnet: Some(2),
            name: Some("backup".to_owned()),
            boot: false,
        },
        // Known, and never answered.
        Nic {
            macs: ["52:54:00:47:86:91".parse().unwrap()].into(),
            ip: None,
            subnet: None,
            name: Some("bmc".to_owned()),
            boot: false,
        },
    ]
    .into();
    host
}

fn site(host: Host) -> Site {
    let mut draft = Draft::shipped().host(host);
    for (name, network) in [("storage", "10.98.0.0/24"), ("backup", "10.97.0.0/24")] {
        let mut subnet = draft.subnet.clone();
        subnet.name = name.parse().unwrap();
        subnet.network = network.parse().unwrap();
        draft.more_subnets.push(subnet);
    }
    draft.profiles.push(shipped_profile("debian-13"));
    draft.build()
}

/// The part of a preseed file that divides the disk.
fn partman(site: &Site) -> String {
    let preseed = site.answer("preseed.cfg");
    check_preseed(&preseed);
    let start = preseed.find("d-i partman-auto/method").unwrap();
    let end = preseed.find("tasksel").unwrap();
    preseed[start..end].to_owned()
}

#[test]
fn layouts() {
    let mut shown = String::new();
    for vars in [
        "",
        "layout = 'lvm'",
        "layout = 'raid1'",
        "root_size = '20GiB'\nswap_size = '4GiB'",
        "layout = 'lvm'\nroot_size = '20GiB'\nvolume_group = 'system'",
        "layout = 'raid1'\nroot_size = '20GiB'\nswap_size = '0MiB'",
        // As profiles had it before there were layouts.
        "partition_method = 'lvm'\npartition_recipe = 'multi'",
    ] {
        let text = partman(&site(host("web01", 0x8e, vars)));
        let _ = writeln!(shown, "### {}\n{text}", vars.replace('\n', ", "));
    }
    insta::assert_snapshot!("layouts", shown);
}

#[test]
fn whole_answers_of_a_range_of_hosts() {
    for (name, host) in [
        ("plain", host("web01", 0x8e, "")),
        (
            "raid",
            host(
                "web01",
                0x8e,
                "layout = 'raid1'\ndisks = ['/dev/disk/by-id/a', 'sdb']\nconsole = 'ttyS1,115200n8'\nkernel_args = ['quiet', 'x=\"two words\"']\nmirror = 'https://mirror.lab.example/debian'\nproxy = 'http://10.99.0.1:3128'\nntp_servers = 'ntp.lab.example'",
            ),
        ),
        (
            "bond",
            with_cards(
                "bond_mode = '802.3ad'\ndisk = 'smallest'\nlayout = 'lvm'\n[vlans]\nbackup = 20\n[users.zoe]\nsudo = true",
            ),
        ),
        ("trixie", {
            let mut host = host("web01", 0x8e, "");
            host.profile = Some("debian-13".parse().unwrap());
            host
        }),
    ] {
        let site = site(host);
        let boot = site.renderer.boot(&site.view(None)).unwrap();
        let preseed = site.answer("preseed.cfg");
        check_preseed(&preseed);
        check_shell(&site.answer("install.sh"));
        check_shell(&site.answer("postinstall.sh"));
        let script = scripts::install(&site.view(None), &boot, 1, 3);
        let kernel = script
            .lines()
            .find(|line| line.starts_with("kernel "))
            .unwrap();
        insta::assert_snapshot!(format!("host-{name}"), format!("{kernel}\n\n{preseed}"));
    }
}

/// A machine with these cards and disks, and its installer's script.
struct Machine {
    folder: TempDir,
}

impl Machine {
    fn new(site: &Site, cards: &[(&str, &str)], disks: &[(&str, u64)]) -> Self {
        let machine = Self {
            folder: TempDir::new().unwrap(),
        };
        for folder in [
            "bin",
            "tmp",
            "dev",
            "var/log",
            "target/etc/network",
            "target/root",
        ] {
            fs::create_dir_all(machine.path(folder)).unwrap();
        }
        for (name, mac) in cards {
            machine.file(
                &format!("sys/class/net/{name}/address"),
                &format!("{mac}\n"),
            );
            machine.file(&format!("sys/class/net/{name}/device/vendor"), "0x1af4\n");
        }
        fs::create_dir_all(machine.path("sys/block")).unwrap();
        for (name, sectors) in disks {
            machine.file(&format!("sys/block/{name}/size"), &format!("{sectors}\n"));
            machine.file(&format!("sys/block/{name}/device/vendor"), "0x1af4\n");
            machine.file(&format!("dev/{name}"), "");
        }
        machine.file("install.sh", &site.answer("install.sh"));
        machine.command("wget", "case $1 in --help) echo '  --post-data=STRING';; *) printf '%s\\n' \"$*\" >>$BOOTWRIGHT_ROOT/wget;; esac");
        machine.command("debconf-set", "echo \"$*\" >>$BOOTWRIGHT_ROOT/debconf");
        machine.command("logger", ":");
        machine.command("sleep", "exit 1");
        machine
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn file(&self, name: &str, text: &str) {
        let path = self.path(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }

    fn command(&self, name: &str, body: &str) {
        use std::os::unix::fs::PermissionsExt;
        let path = self.path(&format!("bin/{name}"));
        fs::write(&path, format!("#!/bin/sh\n{body}\n")).unwrap();
        fs::set_permissions(path, fs::Permissions::from_mode(0o755)).unwrap();
    }

    fn read(&self, name: &str) -> String {
        fs::read_to_string(self.path(name)).unwrap_or_default()
    }

    /// Runs a part of the script: what it printed, and whether it went well.
    fn run(&self, mode: &str) -> (String, bool) {
        let path = format!(
            "{}:{}",
            self.path("bin").display(),
            std::env::var("PATH").unwrap()
        );
        let out = Command::new("sh")
            .arg(self.path("install.sh"))
            .arg(mode)
            .env("PATH", path)
            .env(
                "BOOTWRIGHT_ROOT",
                self.folder.path().canonicalize().unwrap(),
            )
            .env("BOOTWRIGHT_PATIENCE", "0")
            .output()
            .unwrap();
        let text = [out.stdout, out.stderr].concat();
        (
            String::from_utf8_lossy(&text).trim().to_owned(),
            out.status.success(),
        )
    }
}

const CARDS: [(&str, &str); 4] = [
    ("ens3", "52:54:00:47:86:90"),
    ("ens4", "52:54:00:47:86:8f"),
    ("ens5", "52:54:00:47:86:8e"),
    ("lo", "00:00:00:00:00:00"),
];

#[test]
fn bonds_vlans_and_further_cards_are_written_for_the_installed_system() {
    let machine = Machine::new(
        &site(with_cards("[vlans]\nbackup = 20")),
        &CARDS,
        &[("vda", 1)],
    );
    machine.run("late");
    insta::assert_snapshot!(
        "interfaces-bond",
        machine.read("target/etc/network/interfaces")
    );

    // Without a number the second address of the same ports cannot be told from the first.
    let machine = Machine::new(&site(with_cards("")), &CARDS, &[("vda", 1)]);
    machine.run("late");
    assert!(
        !machine
            .read("target/etc/network/interfaces")
            .contains("10.97")
    );
    assert!(machine.read("wget").contains("vars.vlans"));

    // Without a bond the port with a cable has the address.
    let machine = Machine::new(
        &site(with_cards("bond_mode = 'none'\n[vlans]\nbackup = 20")),
        &CARDS,
        &[("vda", 1)],
    );
    machine.file("sys/class/net/ens4/carrier", "1\n");
    machine.run("late");
    insta::assert_snapshot!(
        "interfaces-ports",
        machine.read("target/etc/network/interfaces")
    );

    // A card that is not there keeps none of the others from its address.
    let machine = Machine::new(&site(with_cards("")), &CARDS[..1], &[("vda", 1)]);
    machine.run("late");
    let text = machine.read("target/etc/network/interfaces");
    assert!(
        text.contains("iface ens3 inet static") && !text.contains("bond"),
        "{text}"
    );
}

#[test]
fn the_smallest_and_the_largest_disk_are_found() {
    let disks = [("sda", 3_000_000), ("sdb", 900_000), ("sdc", 20_000_000)];
    for (vars, found) in [
        ("disk = 'smallest'", "/dev/sdb"),
        ("disk = 'largest'", "/dev/sdc"),
        ("disk = 'sda'", "/dev/sda"),
        ("layout = 'raid1'\ndisk = 'smallest'", "/dev/sdb /dev/sda"),
        ("layout = 'raid1'\ndisks = ['largest']", "/dev/sda /dev/sdc"),
        (
            "layout = 'raid1'\ndisks = ['sdc', '/dev/sdb']",
            "/dev/sdc /dev/sdb",
        ),
    ] {
        let machine = Machine::new(&site(host("web01", 0x8e, vars)), &CARDS, &disks);
        assert_eq!(
            machine.run("which-disk"),
            (found.to_owned(), true),
            "{vars}"
        );
        machine.run("disk");
        assert_eq!(
            machine.read("debconf"),
            format!("partman-auto/disk {found}\ngrub-installer/bootdev {found}\n"),
        );
    }
}

#[test]
fn a_raid_without_two_disks_is_refused() {
    let disks = [("sda", 3_000_000), ("sdb", 900_000), ("sdc", 20_000_000)];
    for (vars, count, trouble) in [
        (
            "",
            3,
            "a RAID1 needs two disks, there are 3, and vars.disks does not say which. Disks: sda",
        ),
        ("", 1, "a RAID1 needs two disks, there are 1"),
        (
            "disk = 'sda'",
            3,
            "a RAID1 needs two disks, and only sda is named",
        ),
        (
            "disk = 'largest'",
            1,
            "there are not 2 fixed, writable disks",
        ),
        (
            "disks = ['sda', '/dev/sda']",
            3,
            "/dev/sda is a disk that is named twice",
        ),
        ("disks = ['sda', 'sdx']", 3, "there is no /dev/sdx"),
    ] {
        let host = host("web01", 0x8e, &format!("layout = 'raid1'\n{vars}"));
        let machine = Machine::new(&site(host), &CARDS, &disks[..count]);
        let (said, good) = machine.run("which-disk");
        assert!(!good && said.starts_with(trouble), "{vars}: {said}");
        machine.run("disk");
        assert_eq!(machine.read("debconf"), "", "{vars}");
    }
    // With just two it is plain which.
    let host = host("web01", 0x8e, "layout = 'raid1'");
    let machine = Machine::new(&site(host), &CARDS, &disks[..2]);
    assert_eq!(
        machine.run("which-disk"),
        ("/dev/sdb /dev/sda".to_owned(), true)
    );
}

/// With UEFI the other disk's partition of the same number gets a copy.
#[test]
fn the_efi_partition_of_a_raid_is_there_twice() {
    for (disks, partitions) in [
        (["sda", "sdb"], ["sda2", "sdb2"]),
        (["nvme0n1", "nvme1n1"], ["nvme0n1p2", "nvme1n1p2"]),
    ] {
        let host = host("web01", 0x8e, "layout = 'raid1'");
        let machine = Machine::new(&site(host), &CARDS, &disks.map(|disk| (disk, 3_000_000)));
        let root = machine.folder.path().canonicalize().unwrap();
        machine.file(&format!("dev/{}", partitions[0]), "the boot loader");
        machine.file(&format!("dev/{}", partitions[1]), "");
        for partition in partitions {
            machine.file(&format!("sys/class/block/{partition}/size"), "1048576\n");
        }
        machine.file(
            "proc/mounts",
            &format!(
                "/dev/md0 {0}/target ext4 rw 0 0\n/dev/{1} {0}/target/boot/efi vfat rw 0 0\n",
                root.display(),
                partitions[0]
            ),
        );
        // Its paths are those of the machine: below the folder here.
        let script = machine.read("install.sh").replace(
            "cat \"$partition\" >\"$other\"",
            "cat \"$root$partition\" >\"$root$other\"",
        );
        machine.file("install.sh", &script);
        machine.run("late");
        assert_eq!(
            machine.read(&format!("dev/{}", partitions[1])),
            "the boot loader",
            "{}",
            machine.read("wget")
        );
        let told = machine.read("wget");
        assert!(told.contains("message=installed "), "{told}");
    }
}

/// Snippets are run inside the new system, and what failed is in the last report.
#[test]
fn failed_snippets_are_in_the_report() {
    let mut host = host("web01", 0x8e, "");
    host.snippets = vec!["chrony".to_owned()];
    let machine = Machine::new(&site(host), &CARDS, &[("vda", 1)]);
    machine.command(
        "in-target",
        "echo \"in-target $*\" >>$BOOTWRIGHT_ROOT/wget\nmkdir -p $BOOTWRIGHT_ROOT/target/var/log/bootwright\nprintf 'chrony: status 100: E: no such package\\n' >$BOOTWRIGHT_ROOT/target/var/log/bootwright/failed\necho a line >$BOOTWRIGHT_ROOT/target/var/log/bootwright/chrony.log",
    );
    // `wget -q -O FILE URL`.
    machine.command("wget", "case $1 in --help) echo '  --post-data=STRING'; exit;; esac\nprintf '%s\\n' \"$*\" >>$BOOTWRIGHT_ROOT/wget\nif [ \"$2\" = -O ] && [ \"$3\" != /dev/null ]; then echo : >\"$3\"; fi");
    machine.run("late");
    let told = machine.read("wget");
    assert!(
        told.contains("in-target sh /root/bootwright-postinstall.sh\n"),
        "{told}"
    );
    assert!(told.contains("/report/example/logs/chrony.log"), "{told}");
    assert!(
        told.contains(
            "message=installed,%20but:%20chrony:%20status%20100:%20E:%20no%20such%20package%3B"
        ),
        "{told}"
    );
    assert!(
        !machine
            .path("target/root/bootwright-postinstall.sh")
            .exists()
    );

    // One that never came is told as well.
    machine.command("in-target", ":");
    fs::remove_dir_all(machine.path("target/var")).unwrap();
    machine.run("late");
    assert!(
        machine
            .read("wget")
            .contains("the%20snippets%20could%20not%20be%20run"),
    );
}
