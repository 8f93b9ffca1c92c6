//! The shipped Debian 12 profile: what it renders to, and what the tools of its formats say.

use std::ffi::OsStr;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Command, Output};
use std::time::{Duration, Instant};

use bootwright::base::{Architecture, Token};
use bootwright::config::source::DiskFiles;
use bootwright::render::load::load;
use bootwright::render::{RenderedBoot, View, preseed, scripts};
use tempfile::TempDir;

use crate::fixture::{Draft, check_shell, host, root, run, shipped};

const PLAIN: &str = "disk = '/dev/vda'\ntimezone = 'Europe/Oslo'\npackages = ['nginx-light']\nconsole = 'ttyS0,115200n8'";

/// Values that break whatever is not quoted.
const NASTY: &str = r#"
disk = "/dev/disk/by-id/scsi-$(reboot)'\"& ü"
root_password_hash = "$6$salt$a/b.c&'\"`id`"
ssh_authorized_keys = ["ssh-ed25519 AAAA o'brien@ünï \"x\" $HOME `id` \\", "ssh-rsa BBBB & two  spaces"]
"#;

/// As an operator reads it: everything that the shipped files give their first host.
#[test]
fn the_shipped_configuration() {
    let config = root().join("config/bootwright.toml");
    let loaded = load(&DiskFiles, &config, 1);
    let mut codes: Vec<&str> = loaded.problems.iter().map(|problem| problem.code).collect();
    // Boot files are there or not; nobody's key is shipped.
    codes.retain(|code| *code != "boot-file-missing");
    assert_eq!(codes, ["nobody-gets-in"], "{:?}", loaded.problems);
    let config = loaded.config.unwrap();
    let token = Token::parse("abcdefghijklmnopqrstuvwxyz").unwrap();
    for name in ["web01", "web02"] {
        let host = config.snapshot.host(&name.parse().unwrap()).unwrap();
        let view = View {
            snapshot: &config.snapshot,
            host,
            profile: config
                .snapshot
                .profile(host.profile.as_ref().unwrap())
                .unwrap(),
            arch: Architecture::X86_64,
            server: config.snapshot.subnet_of(host).unwrap().example_server,
            token: Some(&token),
        };
        let answer = |name| config.renderer.answer(&view, name).unwrap().unwrap().text;
        check_preseed(&answer("preseed.cfg"));
        check_shell(&answer("install.sh"));
        if name == "web01" {
            let boot = config.renderer.boot(&view).unwrap();
            insta::assert_snapshot!("boot.ipxe", scripts::install(&view, &boot, 1, 3));
            insta::assert_snapshot!("preseed.cfg", answer("preseed.cfg"));
            insta::assert_snapshot!("install.sh", answer("install.sh"));
        }
    }
}

#[test]
fn nothing_but_a_name_and_an_address_is_needed() {
    let site = shipped("");
    let RenderedBoot::Linux { cmdline, .. } = site.renderer.boot(&site.view(None)).unwrap() else {
        panic!("a Linux kernel");
    };
    insta::assert_snapshot!(cmdline, @r#"auto=true priority=critical url=http://10.99.0.2:8080/answers/example/preseed.cfg interface=auto netcfg/link_wait_timeout=30 netcfg/dhcp_timeout=60 firmware=never hostname=web01 domain=lab.example ---"#);
    assert!(
        site.answer("preseed.cfg")
            .contains("root-password-crypted password !\n")
    );
    check_preseed(&site.answer("preseed.cfg"));
    check_shell(&site.answer("install.sh"));
}

#[test]
fn where_no_name_server_is_told_the_installer_does_not_ask_for_one() {
    let mut draft = Draft::shipped().host(host("web01", 11, ""));
    draft.subnet.dns.clear();
    let site = draft.build();
    let RenderedBoot::Linux { cmdline, .. } = site.renderer.boot(&site.view(None)).unwrap() else {
        panic!("a Linux kernel");
    };
    assert!(
        cmdline.to_string().contains(" netcfg/get_nameservers= "),
        "{cmdline}"
    );
}

/// Where another server gives the address, the system goes on asking for it by DHCP.
#[test]
fn a_host_without_an_address_keeps_what_the_installer_wrote() {
    let mut host = host("web01", 0x8e, PLAIN);
    host.ip = None;
    let site = Draft::shipped().host(host).build();
    let script = site.answer("install.sh");
    check_preseed(&site.answer("preseed.cfg"));
    check_shell(&script);
    assert!(!script.contains("inet static"), "{script}");
    let machine = Machine::new(&script);
    machine.run("late");
    assert!(!machine.path("target/etc/network/interfaces").exists());
}

/// With Debian's own reader, where this is a Debian, and with ours.
pub(crate) fn check_preseed(text: &str) {
    assert_eq!(preseed::check(text), []);
    let folder = TempDir::new().unwrap();
    let file = folder.path().join("preseed.cfg");
    fs::write(&file, text).unwrap();
    if Path::new("/etc/debian_version").exists() {
        // A database of its own: the system's is locked by whoever reads it.
        let rc = folder.path().join("debconf.conf");
        let place = folder.path().display();
        fs::write(
            &rc,
            format!(
                "Config: c\nTemplates: t\n\nName: c\nDriver: File\nFilename: {place}/c.dat\n\n\
                 Name: t\nDriver: File\nFilename: {place}/t.dat\n"
            ),
        )
        .unwrap();
        let out = run(Command::new("debconf-set-selections")
            .arg("--checkonly")
            .arg(&file)
            .env("DEBCONF_SYSTEMRC", &rc));
        assert_eq!(String::from_utf8_lossy(&out.stderr), "");
    }
}

/// A text in place of a list of one is what people write; its letters are no packages.
#[test]
fn one_package_may_be_a_text_and_a_list_is_no_console() {
    for vars in ["packages = 'htop'", "packages = ['htop']"] {
        let preseed = shipped(vars).answer("preseed.cfg");
        assert!(
            preseed.contains("\nd-i pkgsel/include string openssh-server wget htop\n"),
            "{preseed}"
        );
    }
    for vars in ["console = ['ttyS0']", "kernel_args = [['quiet']]"] {
        let site = shipped(vars);
        let error = site.renderer.boot(&site.view(None)).unwrap_err();
        assert!(error.message.contains("takes a text"), "{error}");
    }
}

#[test]
fn answers_are_valid_for_plain_nasty_and_lvm_values() {
    for vars in [
        PLAIN,
        NASTY,
        "partition_method = 'lvm'\nsecurity_host = 'mirror.lab.example'\nmirror_proxy = 'http://10.0.0.1:3128'",
    ] {
        let site = shipped(vars);
        check_preseed(&site.answer("preseed.cfg"));
        check_shell(&site.answer("install.sh"));
    }
}

#[test]
fn a_line_break_cannot_add_a_statement() {
    let site = shipped(r#"timezone = "UTC\nd-i partman-auto/disk string /dev/sda""#);
    let error = site
        .renderer
        .answer(&site.view(None), "preseed.cfg")
        .unwrap()
        .unwrap_err();
    insta::assert_snapshot!(error, @r#"debian/preseed.cfg.j2:10: this place takes one line, and the value has a line break in it"#);
}

/// A machine in a folder: `/proc`, `/sys`, `/target`, and commands that only take notes.
struct Machine {
    folder: TempDir,
}

impl Machine {
    fn new(script: &str) -> Self {
        let machine = Self {
            folder: TempDir::new().unwrap(),
        };
        for folder in [
            "bin",
            "tmp",
            "proc",
            "dev",
            "var/log",
            "target/etc",
            "target/root",
        ] {
            fs::create_dir_all(machine.path(folder)).unwrap();
        }
        fs::create_dir_all(machine.path("target/etc/network")).unwrap();
        fs::create_dir_all(machine.path("sys/block")).unwrap();
        machine.file("sys/class/net/lo/address", "00:00:00:00:00:00\n");
        machine.file("sys/class/net/ens3/address", "52:54:00:47:86:8d\n");
        machine.file("sys/class/net/ens3/device/vendor", "0x1af4\n");
        machine.file("sys/class/net/ens4/address", "52:54:00:47:86:8e\n");
        machine.file("sys/class/net/ens4/device/vendor", "0x1af4\n");
        machine.file("var/log/syslog", "Jan  1 00:00:00 main-menu[1]: a line\n");
        machine.file("proc/consoles", "ttyS0 -W- (EC p a) 4:64\n");
        machine.file("install.sh", script);
        machine.command("wget", "case $1 in --help) echo '  --post-data=STRING';; *) printf '%s\\n' \"$*\" >>$BOOTWRIGHT_ROOT/wget;; esac");
        machine.command("debconf-set", "echo \"$*\" >>$BOOTWRIGHT_ROOT/debconf");
        machine.command("logger", ":");
        // Whoever waits for somebody to come need not wait here.
        machine.command("sleep", "exit 1");
        machine
    }

    fn path(&self, name: &str) -> std::path::PathBuf {
        self.folder.path().join(name)
    }

    fn file(&self, name: &str, text: &str) {
        let path = self.path(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }

    fn command(&self, name: &str, body: &str) {
        let path = self.path(&format!("bin/{name}"));
        fs::write(&path, format!("#!/bin/sh\n{body}\n")).unwrap();
        fs::set_permissions(path, fs::Permissions::from_mode(0o755)).unwrap();
    }

    fn read(&self, name: &str) -> String {
        fs::read_to_string(self.path(name)).unwrap_or_default()
    }

    fn run(&self, mode: &str) {
        let script = self.path("install.sh");
        let output = self.output(Path::new("sh"), &[script.as_os_str(), OsStr::new(mode)]);
        assert!(output.status.success(), "{output:?}");
    }

    /// Runs a program to its end, and to that of whoever holds its output.
    fn output(&self, program: &Path, args: &[&OsStr]) -> Output {
        let path = format!(
            "{}:{}",
            self.path("bin").display(),
            std::env::var("PATH").unwrap()
        );
        Command::new(program)
            .args(args)
            .env("PATH", path)
            .env(
                "BOOTWRIGHT_ROOT",
                self.folder.path().canonicalize().unwrap(),
            )
            .env("BOOTWRIGHT_PATIENCE", "0")
            .output()
            .unwrap()
    }
}

#[test]
fn the_late_command_leaves_address_keys_and_report_behind() {
    let machine = Machine::new(&shipped(NASTY).answer("install.sh"));
    machine.run("late");
    insta::assert_snapshot!("interfaces", machine.read("target/etc/network/interfaces"));
    assert_eq!(
        machine.read("target/etc/resolv.conf"),
        "search lab.example\nnameserver 10.99.0.1\n"
    );
    // What went in through TOML, the template and a shell is what came out.
    assert_eq!(
        machine.read("target/root/.ssh/authorized_keys"),
        "ssh-ed25519 AAAA o'brien@ünï \"x\" $HOME `id` \\\nssh-rsa BBBB & two  spaces\n"
    );
    let mode = fs::metadata(machine.path("target/usr/local/sbin/bootwright-up")).unwrap();
    assert_eq!(mode.permissions().mode() & 0o777, 0o600);
    let wants = "target/etc/systemd/system/multi-user.target.wants/bootwright-up.service";
    assert!(
        fs::symlink_metadata(machine.path(wants))
            .unwrap()
            .is_symlink()
    );
    assert!(machine.path(wants).exists(), "the link leads to the unit");
    check_shell(&machine.read("target/usr/local/sbin/bootwright-up"));
    let told = machine.read("wget");
    assert!(told.contains("/report/example/logs/syslog"), "{told}");
    assert!(
        told.ends_with(
            "--post-data=message=installed http://10.99.0.2:8080/report/example/installed\n"
        ),
        "{told}"
    );
}

#[test]
fn the_first_start_reports_up_and_takes_its_unit_away() {
    let machine = Machine::new(&shipped("").answer("install.sh"));
    machine.run("late");
    let script = machine.read("target/usr/local/sbin/bootwright-up");
    assert!(script.contains("http://10.99.0.2:8080/report/example/up"));
    // Its `rm` is aimed at the real system: only looked at.
    for path in [
        "system/bootwright-up.service",
        "multi-user.target.wants/bootwright-up.service",
    ] {
        assert!(script.contains(path));
    }
}

#[test]
fn early_reports_the_start() {
    let machine = Machine::new(&shipped("").answer("install.sh"));
    machine.run("early");
    let told = machine.read("wget");
    assert!(told.contains("/report/example/started"), "{told}");
}

/// The installer waits for the end of all pipes that its commands were given: a watcher that holds one
/// would stop it for good.
#[test]
fn the_watch_holds_nothing_of_the_installers_open() {
    let mut shells = vec!["sh"];
    if Command::new("busybox").arg("true").output().is_ok() {
        shells.push("busybox ash");
    }
    for shell in shells {
        let machine = Machine::new(&shipped("").answer("install.sh"));
        // The first thing the watch does is to sleep: what does it hold then?
        machine.command(
            "sleep",
            "if [ ! -e $BOOTWRIGHT_ROOT/held ]; then ls -l /proc/$PPID/fd >$BOOTWRIGHT_ROOT/holds; mv $BOOTWRIGHT_ROOT/holds $BOOTWRIGHT_ROOT/held; fi; exit 1",
        );
        let script = machine.path("install.sh");
        // Descriptors as debconf and the installer's `log-output` leave them.
        let begin = format!(
            "out=$(readlink /proc/$$/fd/1) err=$(readlink /proc/$$/fd/2)\n\
             printf '%s\\n' \"$out\" \"$err\" >$BOOTWRIGHT_ROOT/pipes\n\
             exec {shell} {} early 3>&1 4>&1 5>&1 6>&1",
            script.display()
        );
        machine.command("begin", &begin);
        let output = machine.output(&machine.path("bin/begin"), &[]);
        assert!(output.status.success(), "{shell}: {output:?}");
        // The watch goes on by itself.
        let began = Instant::now();
        while !machine.path("held").exists() {
            assert!(
                began.elapsed() < Duration::from_secs(20),
                "{shell}: no watch"
            );
            std::thread::sleep(Duration::from_millis(10));
        }
        let held = machine.read("held");
        assert!(held.contains("/dev/null"), "{shell}: {held}");
        let pipes = machine.read("pipes");
        assert_eq!(
            pipes
                .lines()
                .filter(|line| line.starts_with("pipe:"))
                .count(),
            2,
            "{pipes}"
        );
        for pipe in pipes.lines() {
            assert!(!held.contains(pipe), "{shell} holds {pipe}: {held}");
        }
    }
}

#[test]
fn one_disk_is_handed_to_the_partitioner() {
    let machine = Machine::new(&shipped("").answer("install.sh"));
    machine.file("sys/block/vda/size", "41943040\n");
    machine.file("sys/block/vda/device/vendor", "0x1af4\n");
    machine.run("disk");
    assert_eq!(
        machine.read("debconf"),
        "partman-auto/disk /dev/vda\ngrub-installer/bootdev /dev/vda\n"
    );
    let told = machine.read("wget");
    assert!(
        told.contains("message=installing%20on%20/dev/vda"),
        "{told}"
    );
}

#[test]
fn without_a_clear_choice_nothing_is_partitioned_and_the_failure_lists_the_disks() {
    let machine = Machine::new(&shipped("").answer("install.sh"));
    for (disk, model) in [("sda", "ACME  SSD & Co "), ("sdb", "Other 100%")] {
        machine.file(&format!("sys/block/{disk}/size"), "41943040\n");
        machine.file(&format!("sys/block/{disk}/device/model"), model);
    }
    machine.run("disk");
    assert_eq!(machine.read("debconf"), "");
    let said = machine.read("dev/ttyS0");
    insta::assert_snapshot!(said.replace('\r', ""), @r#"
    *** Bootwright: nothing was written to any disk: there are 2 disks, and vars.disk does not say which. Disks: sda (21 GB, ACME SSD & Co); sdb (21 GB, Other 100%)
    "#);
    let told = machine.read("wget");
    assert!(
        told.contains(
            "sda%20(21%20GB,%20ACME%20SSD%20%26%20Co)%3B%20sdb%20(21%20GB,%20Other%20100%25)"
        ),
        "{told}"
    );
    assert!(told.contains("/report/example/failed"), "{told}");
    assert!(told.contains("/report/example/logs/syslog"), "{told}");
}

#[test]
fn a_wget_without_post_reports_by_get() {
    let machine = Machine::new(&shipped("").answer("install.sh"));
    machine.command("wget", "case $1 in --help) echo 'BusyBox';; *) printf '%s\\n' \"$*\" >>$BOOTWRIGHT_ROOT/wget;; esac");
    machine.run("late");
    assert_eq!(
        machine.read("wget"),
        "-q -O /dev/null http://10.99.0.2:8080/report/example/installed?message=installed\n"
    );
}

#[test]
fn the_shipped_files_name_no_password_and_no_key() {
    for file in ["config/bootwright.toml", "config/reservations.toml"] {
        let table: toml::Table = fs::read_to_string(root().join(file))
            .unwrap()
            .parse()
            .unwrap();
        let text = format!("{table:?}");
        assert!(
            !text.contains("password") && !text.contains("ssh-"),
            "{file}"
        );
    }
}
