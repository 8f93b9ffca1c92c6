//! The choice of the disk, by the rendered script under `sh` in folders that look like machines.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::PathBuf;
use std::process::Command;

use tempfile::TempDir;

use crate::fixture::shipped;

/// A `/sys` and a `/dev`.
struct Tree(TempDir);

impl Tree {
    fn new() -> Self {
        let tree = Self(TempDir::new().unwrap());
        fs::create_dir_all(tree.path("sys/block")).unwrap();
        fs::create_dir_all(tree.path("dev/disk/by-id")).unwrap();
        fs::create_dir_all(tree.path("dev/disk/by-path")).unwrap();
        tree
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn write(self, name: &str, text: &str) -> Self {
        let path = self.path(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
        self
    }

    /// A disk of 20 GB at a place under /sys/devices, as the kernel shows it.
    fn disk_at(self, place: &str, name: &str) -> Self {
        let device = format!("sys/devices/{place}");
        let block = format!("{device}/block/{name}");
        let tree = self
            .write(&format!("{block}/size"), "39062500\n")
            .write(&format!("{block}/removable"), "0\n")
            .write(&format!("{block}/ro"), "0\n")
            .write(&format!("{device}/model"), "DISK            \n")
            .write(&format!("dev/{}", name.replace('!', "/")), "");
        symlink("../..", tree.path(&format!("{block}/device"))).unwrap();
        symlink(
            format!("../devices/{place}/block/{name}"),
            tree.path(&format!("sys/block/{name}")),
        )
        .unwrap();
        tree
    }

    fn disk(self, name: &str) -> Self {
        self.disk_at(&format!("pci0000:00/{name}0"), name)
    }

    /// A device without hardware under it: a loop device, an array.
    fn virtual_disk(self, name: &str) -> Self {
        self.write(&format!("sys/block/{name}/size"), "1000\n")
            .write(&format!("dev/{name}"), "")
    }

    fn set(self, name: &str, file: &str, text: &str) -> Self {
        let path = self.path(&format!("sys/block/{name}/{file}"));
        fs::write(path, format!("{text}\n")).unwrap();
        self
    }

    fn link(self, name: &str, to: &str) -> Self {
        symlink(to, self.path(name)).unwrap();
        self
    }

    /// What the script chooses when the host's vars name `disk`.
    fn choose(&self, disk: &str) -> Result<String, String> {
        let vars = if disk.is_empty() {
            String::new()
        } else {
            format!("disk = {disk:?}")
        };
        let script = self.path("install.sh");
        fs::write(&script, shipped(&vars).answer("install.sh")).unwrap();
        let mut answers = Vec::new();
        // The installer's shell where there is one, and the one that is everywhere.
        let busybox = Command::new("busybox").arg("true").output().is_ok();
        for shell in [&["sh"][..], &["busybox", "ash"][..]] {
            if shell.len() == 2 && !busybox {
                continue;
            }
            let output = Command::new(shell[0])
                .args(&shell[1..])
                .arg(&script)
                .arg("which-disk")
                .env("BOOTWRIGHT_ROOT", self.0.path().canonicalize().unwrap())
                .env("BOOTWRIGHT_PATIENCE", "0")
                .output()
                .unwrap();
            let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap().trim().to_owned();
            answers.push(if output.status.success() {
                Ok(text(&output.stdout))
            } else {
                Err(text(&output.stderr))
            });
        }
        answers.dedup();
        assert_eq!(answers.len(), 1, "the shells agree: {answers:?}");
        answers.remove(0)
    }
}

#[test]
fn the_only_fixed_disk_is_taken() {
    let tree = Tree::new()
        .disk("vda")
        .virtual_disk("loop0")
        .virtual_disk("md0")
        .disk("sr0")
        .disk_at("pci0000:00/usb1/1-1/host0", "sda")
        .disk("sdb")
        .set("sdb", "removable", "1")
        .disk("sdc")
        .set("sdc", "ro", "1")
        .disk("sdd")
        .set("sdd", "size", "0")
        .disk("mmcblk0")
        .set("mmcblk0", "device/type", "SD")
        .disk("mmcblk1boot0")
        .disk("sde")
        .set("sde", "device/type", "5")
        .disk("nvme0c0n1")
        .write("sys/block/nvme0c0n1/hidden", "1\n");
    assert_eq!(tree.choose(""), Ok("/dev/vda".to_owned()));
}

#[test]
fn an_emmc_or_a_raid_volume_is_a_fixed_disk_too() {
    assert_eq!(
        Tree::new()
            .disk("mmcblk0")
            .set("mmcblk0", "device/type", "MMC")
            .choose(""),
        Ok("/dev/mmcblk0".to_owned())
    );
    assert_eq!(
        Tree::new().disk("cciss!c0d0").choose(""),
        Ok("/dev/cciss/c0d0".to_owned())
    );
    assert_eq!(
        Tree::new()
            .disk("sda")
            .set("sda", "device/type", "0")
            .choose(""),
        Ok("/dev/sda".to_owned())
    );
}

#[test]
fn several_disks_or_none_are_told_with_what_there_is() {
    let error = Tree::new()
        .disk("sda")
        .disk("nvme0n1")
        .choose("")
        .unwrap_err();
    insta::assert_snapshot!(error, @r#"there are 2 disks, and vars.disk does not say which. Disks: nvme0n1 (20 GB, DISK); sda (20 GB, DISK)"#);
    let tree = Tree::new()
        .disk_at("pci0000:00/usb1/1-1/host0", "sda")
        .disk("sdb")
        .set("sdb", "removable", "1")
        .set("sdb", "size", "2000");
    insta::assert_snapshot!(tree.choose("").unwrap_err(), @r#"there is no fixed, writable disk. Disks: sda (20 GB, DISK, USB); sdb (1 MB, DISK, removable)"#);
    insta::assert_snapshot!(Tree::new().choose("").unwrap_err(), @r#"there is no fixed, writable disk. Disks: none"#);
}

#[test]
fn a_named_disk_is_found_by_any_of_its_names() {
    let tree = Tree::new()
        .disk("sda")
        .disk("sdb")
        .link("dev/disk/by-id/ata-ACME_123", "../../sdb")
        .link("dev/disk/by-path/pci-0000:00:1f.2-ata-1", "../../sdb");
    for name in [
        "/dev/sdb",
        "sdb",
        "/dev/disk/by-id/ata-ACME_123",
        "disk/by-id/ata-ACME_123",
        "by-id/ata-ACME_123",
        "ata-ACME_123",
        "by-path/pci-0000:00:1f.2-ata-1",
    ] {
        assert_eq!(tree.choose(name), Ok("/dev/sdb".to_owned()), "{name}");
    }
}

#[test]
fn a_usb_disk_is_taken_when_it_is_named() {
    let tree = Tree::new()
        .disk("sda")
        .disk_at("pci0000:00/usb1/1-1/host0", "sdb");
    assert_eq!(tree.choose("sdb"), Ok("/dev/sdb".to_owned()));
}

#[test]
fn a_name_that_leads_to_no_whole_disk_is_refused() {
    let tree = Tree::new()
        .disk("sda")
        .write("dev/sda1", "")
        .disk("sr0")
        .disk("sdb")
        .set("sdb", "ro", "1")
        .virtual_disk("loop0");
    let mut told = Vec::new();
    for name in [
        "/dev/sdz",
        "sda1",
        "sr0",
        "sdb",
        "loop0",
        "by-id/../../sda/../x",
        "$(touch gone)' \"",
    ] {
        told.push(format!("{name}: {}", tree.choose(name).unwrap_err()));
    }
    insta::assert_snapshot!(told.join("\n"), @r#"
    /dev/sdz: there is no /dev/sdz. Disks: sda (20 GB, DISK); sdb (20 GB, DISK, read-only)
    sda1: /dev/sda1 is a partition or no disk at all; name the whole disk. Disks: sda (20 GB, DISK); sdb (20 GB, DISK, read-only)
    sr0: /dev/sr0 is no disk that can be installed on. Disks: sda (20 GB, DISK); sdb (20 GB, DISK, read-only)
    sdb: /dev/sdb is read-only. Disks: sda (20 GB, DISK); sdb (20 GB, DISK, read-only)
    loop0: /dev/loop0 is no disk that can be installed on. Disks: sda (20 GB, DISK); sdb (20 GB, DISK, read-only)
    by-id/../../sda/../x: there is no /dev/disk/by-id/../../sda/../x. Disks: sda (20 GB, DISK); sdb (20 GB, DISK, read-only)
    $(touch gone)' ": there is no /dev/$(touch gone)' ". Disks: sda (20 GB, DISK); sdb (20 GB, DISK, read-only)
    "#);
}
