//! What is booted that is no Linux kernel, from the profile to the script.

use std::sync::Arc;

use bootwright::base::Architecture;
use bootwright::config::Problem;
use bootwright::config::source::MemoryFiles;
use bootwright::render::load::InForce;
use bootwright::render::{View, load, scripts};

use crate::ipxe::check;

const MAIN: &str = r#"
[server]
interfaces = ["br0"]
state_dir = "/var/lib/bootwright"
secrets = "secrets.toml"
boot_assets = "boot-assets"
profiles = "profiles"
templates = "templates"
reservations = ["reservations.toml"]
[[subnet]]
name = "lab"
network = "10.99.0.0/24"
server = "10.99.0.2"
"#;

const HOSTS: &str = r#"
[hosts.web01]
mac = "52:54:00:47:86:8e"
ip = "10.99.0.11"
profile = "it"
[hosts.web01.vars]
build = "20260101T000000Z"
console = "ttyb,ttyb-mode=\"115200,8,n,1,-\""
"#;

const SECRETS: &str =
    "iscsi = \"not ${secret} \\\"at\\\" all\"\nmutual = \"abc\"\n[hosts.web01]\nown = \"xyz\"\n";

/// The script that boots a profile with this `[boot]`.
fn script(boot: &str) -> String {
    scripts_of("install", boot).0
}

/// The script as it is shown, and as the machine gets it.
fn scripts_of(lifecycle: &str, boot: &str) -> (String, String) {
    let (in_force, told) = loaded(lifecycle, boot, SECRETS);
    let in_force = in_force.unwrap_or_else(|| panic!("{told:?}"));
    let snapshot = &in_force.snapshot;
    let host = &snapshot.hosts()[0];
    let view = View {
        snapshot,
        host,
        profile: snapshot.profile(host.profile.as_ref().unwrap()).unwrap(),
        arch: Architecture::X86_64,
        server: [10, 99, 0, 2].into(),
        token: None,
    };
    let boot = in_force.renderer.boot(&view).unwrap();
    let script = scripts::install(&view, &boot, 1, 3);
    check(&script);
    check(&scripts::install_by_tftp(&view, &boot, 1, 3));
    let real = scripts::install_for_machine(&view, &boot, 1, 3, false);
    check(&real);
    check(&scripts::install_for_machine(&view, &boot, 1, 3, true));
    (script, real)
}

/// The configuration with a profile of this `[boot]`, and the problems that it has.
fn loaded(lifecycle: &str, boot: &str, secrets: &str) -> (Option<Arc<InForce>>, Vec<Problem>) {
    let profile =
        format!("title = \"It\"\nfamily = \"other\"\nlifecycle = \"{lifecycle}\"\n{boot}");
    let files: MemoryFiles = [
        ("/c/bootwright.toml", MAIN),
        ("/c/reservations.toml", HOSTS),
        ("/c/secrets.toml", secrets),
        ("/c/profiles/it.toml", profile.as_str()),
        ("/c/templates/unattend.j2", "<unattend/>"),
    ]
    .into_iter()
    .collect();
    let loaded = load::load(&files, "/c/bootwright.toml".as_ref(), 1);
    (loaded.config, loaded.problems)
}

#[test]
fn a_multiboot_kernel_and_its_modules() {
    insta::assert_snapshot!(script(
        r#"
[boot]
kind = "multiboot"
kernel = "smartos/{{ vars.build }}/platform/i86pc/kernel/amd64/unix"
modules = [
    "smartos/{{ vars.build }}/platform/i86pc/amd64/boot_archive type=rootfs name=ramdisk",
    "smartos/{{ vars.build }}/platform/i86pc/amd64/boot_archive.hash type=hash name=ramdisk",
]
cmdline = ["-B", "smartos=true,console=text,hostname={{ host.name }}"]
"#
    ));
}

#[test]
fn an_efi_binary() {
    insta::assert_snapshot!(script(
        "[boot]\nkind = \"efi\"\nfile = \"memtest/memtest.efi\"\ncmdline = \"console=ttyS0,115200\""
    ));
}

#[test]
fn windows_out_of_files_and_answers() {
    insta::assert_snapshot!(script(
        r#"
[boot]
kind = "wimboot"
files = [
    "windows/11/boot/bcd", "windows/11/boot/boot.sdi", "windows/11/sources/boot.wim",
    "{{ answers.folder }}unattend.xml",
]
[[answers]]
name = "unattend.xml"
template = "unattend.j2"
"#
    ));
}

#[test]
fn images_of_disks_and_of_cds() {
    let disk = "[boot]\nkind = \"memdisk\"\nimage = \"tools/freedos.img\"";
    insta::assert_snapshot!(script(disk));
    let kernel = |boot: &str| {
        let script = script(boot);
        let line = script.lines().find(|line| line.starts_with("kernel "));
        line.unwrap().to_owned()
    };
    assert!(
        kernel(&disk.replace(".img", ".ISO")).ends_with("/memdisk/memdisk iso raw || goto again")
    );
    let own = format!("{disk}\nkernel = \"syslinux/memdisk\"\ncmdline = \"harddisk c=80\"");
    assert!(kernel(&own).ends_with("/syslinux/memdisk harddisk c=80 || goto again"));
}

#[test]
fn an_image_that_is_read_as_a_disk() {
    let boot =
        "[boot]\nkind = \"sanboot\"\nimage = \"iso/{{ vars.build }}/rescue.iso\"\ndrive = 0x81";
    let (shown, real) = scripts_of("once", boot);
    assert_eq!(shown, real);
    insta::assert_snapshot!(shown);
    // No iPXE reads an image in pieces by TFTP.
    let line = "sanboot --drive 0x81 http://10.99.0.2:8080/assets/iso/20260101T000000Z/rescue.iso";
    assert!(shown.contains(line), "{shown}");
}

const ISCSI: &str = r#"
[boot]
kind = "sanboot"
target = "iscsi:10.99.0.5::::iqn.2026-01.example.lab:{{ host.name }}"
username = "{{ host.name }}"
password_secret = "iscsi"
target_username = "san"
target_password_secret = "mutual"
"#;

#[test]
fn an_iscsi_target_with_both_sides_proving_who_they_are() {
    let (shown, real) = scripts_of("live", ISCSI);
    insta::assert_snapshot!(shown);
    // The passwords, by their bytes, are in what the machine gets and nowhere else.
    let bytes = |text: &str| {
        let bytes: Vec<String> = text.bytes().map(|byte| format!("{byte:02x}")).collect();
        bytes.join(":")
    };
    for password in ["not ${secret} \"at\" all", "abc"] {
        assert!(real.contains(&bytes(password)), "{real}");
        assert!(!shown.contains(&bytes(password)), "{shown}");
        assert!(!shown.contains(password) && !real.contains(password));
    }
    let unlike: Vec<(&str, &str)> = shown
        .lines()
        .zip(real.lines())
        .filter(|(shown, real)| shown != real)
        .collect();
    assert_eq!(unlike.len(), 2, "{unlike:?}");
}

#[test]
fn a_host_has_a_password_of_its_own_and_a_name_of_its_own() {
    let own = ISCSI.replace("\"iscsi\"", "\"own\"");
    let named = own.replace(
        "username = \"{{",
        "initiator = \"iqn.2026-01.example.lab:{{ host.name }}\"\nusername = \"{{",
    );
    let (_, real) = scripts_of("live", &named);
    assert!(real.contains("set password:hex 78:79:7a\n"), "{real}");
    assert!(real.contains("set initiator-iqn iqn.2026-01.example.lab:web01\n"));
    assert!(real.contains("set reverse-username san\nset reverse-password:hex 61:62:63\n"));
}

#[test]
fn what_a_login_lacks_is_told_before_a_machine_needs_it() {
    let (in_force, problems) = loaded("live", ISCSI, "mutual = \"abc\"\n");
    let told: Vec<&str> = problems.iter().map(|problem| problem.code).collect();
    assert!(told.contains(&"secret-missing"), "{problems:?}");
    // It is a warning: the file may come later.
    let in_force = in_force.unwrap();
    let snapshot = &in_force.snapshot;
    let host = &snapshot.hosts()[0];
    let profile = snapshot.profile(host.profile.as_ref().unwrap()).unwrap();
    let missing =
        bootwright::render::secrets::missing_for(&in_force, host, profile, Architecture::X86_64);
    assert_eq!(missing.into_iter().collect::<Vec<_>>(), ["iscsi"]);

    let once = "iscsi = { value = \"x\", once = true }\nmutual = \"abc\"\n";
    let (in_force, problems) = loaded("live", ISCSI, once);
    assert!(in_force.is_none());
    assert!(problems.iter().any(|problem| problem.code == "secret-once"));
}

#[test]
fn what_a_template_makes_of_a_target_is_checked() {
    for (old, new, code) in [
        (
            "iscsi:10.99.0.5::::",
            "iscsi:{{ host.name }} ::::",
            "bad-root-path",
        ),
        (
            "iqn.2026-01.example.lab:{{ host.name }}",
            "{{ host.name }}",
            "bad-root-path",
        ),
        (
            "username = \"{{ host.name }}\"",
            "username = \"{{ host.name }} x\"",
            "bad-name",
        ),
    ] {
        let boot = ISCSI.replacen(old, new, 1);
        assert_ne!(boot, ISCSI);
        let (in_force, problems) = loaded("live", &boot, SECRETS);
        assert!(in_force.is_none(), "{boot}");
        assert!(problems.iter().any(|it| it.code == code), "{problems:?}");
    }
}

#[test]
fn a_disk_of_the_machines_own() {
    let boot = "[boot]\nkind = \"local\"\ndrive = 0x81";
    insta::assert_snapshot!(scripts_of("live", boot).0);
}

#[test]
fn a_chain_with_a_signature() {
    let boot = "[boot]\nkind = \"chain\"\nurl = \"https://boot.example/menu.ipxe\"\nsignature = \"menu/menu.ipxe.sig\"";
    let script = script(boot);
    let lines: Vec<&str> = script
        .lines()
        .filter(|line| line.ends_with("goto again"))
        .collect();
    assert_eq!(
        lines,
        [
            "imgfetch --name next https://boot.example/menu.ipxe || goto again",
            "imgverify next http://10.99.0.2:8080/assets/menu/menu.ipxe.sig || goto again",
        ]
    );
    assert!(script.contains("\nchain next ||\n"));
    // Both are files that the boot needs.
    let (in_force, _) = loaded("install", boot, SECRETS);
    let in_force = in_force.unwrap();
    let host = &in_force.snapshot.hosts()[0];
    let needed = bootwright::render::files::needed(&in_force, host);
    assert!(
        needed
            .iter()
            .any(|(file, _)| file.path() == Some("menu/menu.ipxe.sig"))
    );
}

#[test]
fn files_that_are_there_in_part_are_told_and_mirrored_ones_need_not_be_there() {
    let manifest = r#"{"version": 1, "files": {
        "a/linux": {"size": 10, "sha256": "00"}, "a/initrd.gz": {"size": 10, "sha256": "00"}
    }}"#;
    let boot = |folder: &str| {
        format!(
            "title = \"It\"\nfamily = \"other\"\n[boot]\nkind = \"linux\"\nkernel = \"{folder}/linux\"\ninitrd = [\"{folder}/initrd.gz\", \"{folder}/late.gz\"]\n"
        )
    };
    let told = |folder: &str| {
        let profile = boot(folder);
        let main = format!("{MAIN}[[mirror]]\npath = \"deb\"\nurl = \"http://deb.example\"\n");
        let files: MemoryFiles = [
            ("/c/bootwright.toml", main.as_str()),
            ("/c/reservations.toml", HOSTS),
            ("/c/secrets.toml", ""),
            ("/c/profiles/it.toml", profile.as_str()),
            ("/c/templates/unattend.j2", ""),
            ("/c/boot-assets/.manifest.json", manifest),
            ("/c/boot-assets/a/linux", "123456789"),
            ("/c/boot-assets/a/initrd.gz", "the operator's own, longer"),
            ("/c/boot-assets/a/late.gz.part", "half"),
            ("/c/boot-assets/deb/old", "behind the mirror"),
        ]
        .into_iter()
        .collect();
        let loaded = load::load(&files, "/c/bootwright.toml".as_ref(), 1);
        let told = loaded.problems.into_iter();
        let of_files = told.filter(|problem| problem.code.starts_with("boot-file"));
        of_files
            .map(|problem| format!("{}: {}", problem.code, problem.message))
            .filter(|text| !text.contains("loader"))
            .collect::<Vec<_>>()
    };
    let hidden = "boot-file-hidden: /c/boot-assets/deb is not what machines get: files of this folder come from http://deb.example";
    let mut of_folder = told("a");
    of_folder.sort();
    assert_eq!(
        of_folder,
        [
            hidden,
            "boot-file-partial: the boot file `a/late.gz` is there only in part (a/late.gz.part), and host web01 cannot be installed without it",
            "boot-file-partial: the boot file `a/linux` is there only in part: 9 of 10 bytes, and host web01 cannot be installed without it",
        ]
    );
    assert_eq!(told("deb"), [hidden]);
}
