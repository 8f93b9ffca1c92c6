//! The shipped snippets: what they leave behind in a system that is a folder, with commands that only take
//! notes, and what becomes of one that fails.

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::PathBuf;
use std::process::Command;

use bootwright::base::{HostName, Token};
use bootwright::config::Secret;
use tempfile::TempDir;

use crate::fixture::{Draft, Site, check_shell, host, shipped_snapshot};

/// Values that break whatever is not quoted.
const NASTY: &str = r#"
ssh_authorized_keys = ["ssh-ed25519 AAAA o'brien@ünï \"x\" $HOME `id` & \\x", "ssh-rsa BBBB two  spaces"]
ntp_servers = ["ntp1.lab.example", "10.99.0.1"]
rsyslog_server = 'log"$(id)\x.lab.example'
snmp_community_secret = "snmp"
snmp_location = "Rack 3 & 4, Zoë's"
puppet_server = "puppet.lab.example"
puppet_challenge_secret = "puppet"
salt_master = "salt'\"$(id).lab.example"
salt_autosign_secret = "salt"
ipa_domain = "lab.example"
ipa_otp_secret = "ipa"
ansible_callback_url = "https://awx.lab.example/api/v2/job_templates/7/callback/?a=b&c='d'"
ansible_callback_secret = "awx"
katello_server = "katello.lab.example"
katello_org = "Zoë's & \"Co\" $HOME"
katello_activation_secret = "katello"
extra_packages = ["htop", "a'b"]
[salt_grains]
"ro'le" = ["web & db", "$x"]
rack = 7
[users.zoe]
full_name = "Zoë O'Brien: \"root\" $HOME & `id`"
password_hash = "$6$salt$a/b.c"
ssh_authorized_keys = ["ssh-ed25519 CCCC zoë's & \"key\" $HOME \\"]
groups = ["wheel", "docker"]
sudo = "nopasswd"
uid = 1500
[users.max]
password_secret = "max"
ssh_authorized_keys = "ssh-rsa DDDD max"
sudo = true
[extra_disks."Zoë's data"]
device = "/dev/disk/by-id/data"
mount = "/srv/data"
filesystem = "xfs"
[extra_disks.logs]
device = "/dev/sdc"
mount = "/srv/logs"
"#;

/// A family in which a snippet works.
const FAMILIES: [&str; 4] = ["debian", "ubuntu", "redhat", "suse"];

fn site(snippets: &[&str], vars: &str) -> Site {
    let mut host = host("web01", 0x8e, vars);
    host.snippets = snippets.iter().map(|name| (*name).to_owned()).collect();
    let mut draft = Draft::shipped().host(host);
    for name in ["snmp", "puppet", "salt", "ipa", "awx", "katello", "max"] {
        let value = format!("{name}'s \"secret\" & $HOME");
        draft
            .secrets
            .insert(None::<&HostName>, name, Secret::new(value, false));
    }
    draft.build()
}

/// As the machine itself gets it.
fn script(site: &Site) -> String {
    let token = Token::from_bytes([7; 16]);
    let view = site.view(Some(&token));
    let answer = site.renderer.answer_for_machine(&view, "postinstall.sh");
    answer.unwrap().unwrap().text
}

/// An installed system in a folder.
struct System {
    folder: TempDir,
}

impl System {
    fn new() -> Self {
        let system = Self {
            folder: TempDir::new().unwrap(),
        };
        for folder in ["bin", "etc/chrony", "root", "home", "dev/disk/by-id"] {
            fs::create_dir_all(system.path(folder)).unwrap();
        }
        fs::write(
            system.path("etc/passwd"),
            "root:x:0:0:root:/root:/bin/bash\n",
        )
        .unwrap();
        fs::write(system.path("etc/group"), "root:x:0:\nwheel:x:10:\n").unwrap();
        fs::write(
            system.path("etc/chrony/chrony.conf"),
            "pool 2.debian.pool.ntp.org iburst\nmakestep 1 3\n",
        )
        .unwrap();
        // Nothing else of the machine that runs this test can be reached.
        for tool in [
            "sh", "cat", "mkdir", "dirname", "mv", "chmod", "grep", "cut", "sed", "tail", "head",
            "touch", "rm", "ln", "sort",
        ] {
            let real = ["/usr/bin", "/bin"]
                .iter()
                .map(|folder| PathBuf::from(folder).join(tool))
                .find(|path| path.exists());
            symlink(real.unwrap(), system.path("bin").join(tool)).unwrap();
        }
        for tool in [
            "apt-get",
            "systemctl",
            "groupadd",
            "usermod",
            "chown",
            "rpm",
            "subscription-manager",
        ] {
            system.command(tool, "");
        }
        system.command(
            "useradd",
            "for name; do :; done; echo \"$name:x:1:1::/home/$name:/bin/sh\" >>$BOOTWRIGHT_ROOT/etc/passwd; mkdir -p $BOOTWRIGHT_ROOT/home/$name",
        );
        system.command("chpasswd", "cat >>$BOOTWRIGHT_ROOT/passwords");
        system
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn command(&self, name: &str, body: &str) {
        let path = self.path(&format!("bin/{name}"));
        let text = format!(
            "#!/bin/sh\nprintf '%s' {name} >>$BOOTWRIGHT_ROOT/commands\nfor word; do printf ' <%s>' \"$word\" >>$BOOTWRIGHT_ROOT/commands; done\necho >>$BOOTWRIGHT_ROOT/commands\n{body}\n"
        );
        fs::write(&path, text).unwrap();
        fs::set_permissions(path, fs::Permissions::from_mode(0o755)).unwrap();
    }

    fn read(&self, name: &str) -> String {
        fs::read_to_string(self.path(name)).unwrap_or_default()
    }

    fn mode(&self, name: &str) -> u32 {
        fs::metadata(self.path(name)).unwrap().permissions().mode() & 0o7777
    }

    fn run(&self, script: &str) {
        fs::write(self.path("postinstall.sh"), script).unwrap();
        let out = Command::new("/bin/sh")
            .arg(self.path("postinstall.sh"))
            .env_clear()
            .env("BOOTWRIGHT_ROOT", self.folder.path())
            .env("BOOTWRIGHT_PATH", self.path("bin"))
            .output()
            .unwrap();
        assert!(out.status.success(), "{out:?}");
        assert_eq!(String::from_utf8_lossy(&out.stderr), "");
    }

    fn failed(&self) -> String {
        self.read("var/log/bootwright/failed")
    }
}

#[test]
fn each_snippet_is_a_clean_script_whatever_the_values() {
    let known = &shipped_snapshot().snippets;
    assert!(known.len() >= 12, "{known:?}");
    for (name, snippet) in known {
        check_shell(&script(&site(&[name], NASTY)));
        assert_ne!(snippet.title, *name, "{name} has a line that explains it");
        assert!(
            snippet.families.is_empty()
                || snippet
                    .families
                    .iter()
                    .any(|family| FAMILIES.contains(family)),
            "{name} works somewhere"
        );
    }
    let all: Vec<&str> = known.keys().map(String::as_str).collect();
    let text = script(&site(&all, NASTY));
    check_shell(&text);
    // The preview of the same holds no secret.
    let preview = site(&all, NASTY).answer("postinstall.sh");
    check_shell(&preview);
    assert!(text.contains("katello") && !preview.contains("secret\""));
}

#[test]
fn without_snippets_it_only_reports_the_first_start() {
    let text = script(&site(&[], ""));
    check_shell(&text);
    let system = System::new();
    system.run(&text);
    assert_eq!(system.failed(), "");
    assert_eq!(system.read("commands"), "");
    let up = system.read("usr/local/sbin/bootwright-up");
    check_shell(&up);
    assert!(up.contains("/report/"), "{up}");
    assert_eq!(system.mode("usr/local/sbin/bootwright-up"), 0o600);
    assert!(
        system
            .path("etc/systemd/system/multi-user.target.wants/bootwright-up.service")
            .exists()
    );
}

#[test]
fn users_get_their_passwords_keys_groups_and_rights() {
    let system = System::new();
    // They need not be named as a snippet.
    system.run(&script(&site(&[], NASTY)));
    assert_eq!(system.failed(), "", "{}", system.read("commands"));
    let commands = system.read("commands");
    assert!(
        commands.contains(
            "useradd <-m> <-c> <Zoë O'Brien  \"root\" $HOME & `id`> <-s> </bin/bash> <-u> <1500> <zoe>\n"
        ),
        "{commands}"
    );
    assert!(
        commands.contains("groupadd <docker>\nusermod <-a> <-G> <docker> <zoe>\n")
            && !commands.contains("groupadd <wheel>"),
        "{commands}"
    );
    let passwords = system.read("passwords");
    assert!(
        passwords.contains("zoe:$6$salt$a/b.c\n") && passwords.contains("max:$6$"),
        "{passwords}"
    );
    assert_eq!(
        system.read("home/zoe/.ssh/authorized_keys"),
        "ssh-ed25519 CCCC zoë's & \"key\" $HOME \\\n"
    );
    assert_eq!(
        system.read("home/max/.ssh/authorized_keys"),
        "ssh-rsa DDDD max\n"
    );
    assert_eq!(system.mode("home/zoe/.ssh/authorized_keys"), 0o600);
    assert_eq!(
        system.read("etc/sudoers.d/zoe"),
        "zoe ALL=(ALL:ALL) NOPASSWD: ALL\n"
    );
    assert_eq!(system.read("etc/sudoers.d/max"), "max ALL=(ALL:ALL) ALL\n");
    assert_eq!(system.mode("etc/sudoers.d/zoe"), 0o440);
}

#[test]
fn a_name_that_is_no_users_is_refused() {
    let system = System::new();
    let vars = "[users.\"a b;reboot\"]\nsudo = true\n";
    let text = script(&site(&[], vars));
    check_shell(&text);
    system.run(&text);
    assert!(
        system.failed().starts_with(
            "sudo-user: status 1: a b;reboot is no name of a user: small letters, digits, - and _"
        ),
        "{}",
        system.failed()
    );
    assert!(!system.path("etc/sudoers.d").exists());
}

#[test]
fn configuration_files_hold_the_values_as_given() {
    let system = System::new();
    system.command(
        "blkid",
        "case \"$*\" in *'-s UUID'*) echo 1234-ABCD;; *) exit 2;; esac",
    );
    system.command("mkfs.xfs", "");
    system.command("mkfs.ext4", "");
    system.run(&script(&site(
        &[
            "ssh-keys",
            "chrony",
            "rsyslog-forward",
            "snmpd",
            "puppet-agent",
            "salt-minion",
        ],
        NASTY,
    )));
    assert_eq!(system.failed(), "", "{}", system.read("commands"));
    assert_eq!(
        system.read("root/.ssh/authorized_keys"),
        "ssh-ed25519 AAAA o'brien@ünï \"x\" $HOME `id` & \\x\nssh-rsa BBBB two  spaces\n"
    );
    assert_eq!(
        system.read("etc/chrony/chrony.conf"),
        "# pool 2.debian.pool.ntp.org iburst\nmakestep 1 3\nserver ntp1.lab.example iburst\nserver 10.99.0.1 iburst\n"
    );
    let forward = system.read("etc/rsyslog.d/90-forward.conf");
    assert!(
        forward.contains(r#"target="log\"$(id)\\x.lab.example" port="514""#),
        "{forward}"
    );
    let snmpd = system.read("etc/snmp/snmpd.conf");
    assert!(
        snmpd.contains("\nsysLocation Rack 3 & 4, Zoë's\n"),
        "{snmpd}"
    );
    assert_eq!(system.mode("etc/snmp/snmpd.conf"), 0o600);
    insta::assert_snapshot!("puppet.conf", system.read("etc/puppet/puppet.conf"));
    insta::assert_snapshot!(
        "salt.conf",
        system.read("etc/salt/minion.d/90-bootwright.conf")
    );
    assert_eq!(system.mode("etc/salt/minion.d/90-bootwright.conf"), 0o600);
    let commands = system.read("commands");
    assert!(
        commands.contains("<install> <chrony>") && commands.contains("systemctl <enable> <snmpd>"),
        "{commands}"
    );
}

#[test]
fn what_wants_a_running_system_waits_for_the_first_start() {
    let system = System::new();
    system.run(&script(&site(
        &["freeipa-client", "ansible-callback", "katello-register"],
        NASTY,
    )));
    assert_eq!(system.failed(), "", "{}", system.read("commands"));
    let commands = system.read("commands");
    assert!(
        commands.contains("<--org=Zoë's & \"Co\" $HOME>")
            && commands.contains("<--activationkey=katello's \"secret\" & $HOME>"),
        "{commands}"
    );
    for step in ["freeipa-client", "ansible-callback"] {
        let path = format!("usr/local/lib/bootwright/first-boot.d/{step}");
        let text = system.read(&path);
        check_shell(&format!("#!/bin/sh\n{text}"));
        assert_eq!(system.mode(&path), 0o700);
        assert!(text.contains(r"'\''s "), "the secret is quoted: {text}");
    }
}

#[test]
fn one_that_fails_is_told_and_stops_no_other() {
    let system = System::new();
    system.command("apt-get", "echo 'E: Unable to locate package'; exit 100");
    system.run(&script(&site(&["snmpd", "ssh-keys", "chrony"], NASTY)));
    let failed = system.failed();
    assert!(
        failed.contains("snmpd: status 100: E: Unable to locate package\n")
            && failed.contains("chrony: status 100: ")
            && !failed.contains("ssh-keys"),
        "{failed}"
    );
    assert!(!system.path("etc/snmp/snmpd.conf").exists());
    assert!(system.path("root/.ssh/authorized_keys").exists());
    assert!(system.path("usr/local/sbin/bootwright-up").exists());
}

/// A disk with something on it is never formatted.
#[test]
fn further_disks_are_formatted_only_when_they_are_empty() {
    // No block device can be made without rights: a missing one is told.
    let system = System::new();
    system.run(&script(&site(&["extra-disks"], NASTY)));
    let failed = system.failed();
    assert!(
        failed.starts_with("extra-disks: status 1: there is no disk /dev/disk/by-id/data"),
        "{failed}"
    );
    // With `-b` taken for `-e`, on files.
    let text = script(&site(&["extra-disks"], NASTY)).replace("[ ! -b ", "[ ! -e ");
    let with_blkid = |answer: &str| {
        let system = System::new();
        system.command("blkid", answer);
        system.command("mkfs.xfs", "");
        system.command("mkfs.ext4", "");
        for disk in ["dev/disk/by-id/data", "dev/sdc"] {
            fs::write(system.path(disk), "").unwrap();
        }
        system.run(&text);
        system
    };
    let empty = with_blkid("case \"$*\" in *'-s UUID'*) echo 1234-$$;; *) exit 2;; esac");
    assert_eq!(empty.failed(), "");
    let commands = empty.read("commands");
    assert!(
        commands.contains("\nmkfs.xfs <") && commands.contains("\nmkfs.ext4 <"),
        "{commands}"
    );
    let fstab = empty.read("etc/fstab");
    assert!(
        fstab.contains(" /srv/data xfs defaults,nofail 0 2\n"),
        "{fstab}"
    );

    let formatted =
        with_blkid("case \"$*\" in *'-s UUID'*) echo 1234;; *'-s TYPE'*) echo xfs;; esac");
    assert!(!formatted.read("commands").contains("mkfs"));
    assert!(
        formatted
            .failed()
            .contains("on /dev/sdc lies xfs, not ext4, and it is left as it is"),
        "{}",
        formatted.failed()
    );

    let partitioned = with_blkid("case \"$*\" in *'-s '*) exit 0;; *) echo PTTYPE=gpt;; esac");
    assert!(!partitioned.read("commands").contains("mkfs"));
    assert!(
        partitioned.failed().contains("something lies on"),
        "{}",
        partitioned.failed()
    );
}
