//! iPXE scripts: what they say, and that iPXE understands them. The reader below follows iPXE's
//! `src/core/exec.c` and `src/image/script.c`.

use std::collections::BTreeSet;

use bootwright::base::Token;
use bootwright::config::snapshot::{Boot, LocalBoot, TemplateText};
use bootwright::render::{AssetRef, RenderedBoot, scripts};
use proptest::prelude::*;

use crate::fixture::{Draft, host, profile, shipped};

/// The commands of every build, BIOS ones and Debian's of 2019 included (probed under QEMU).
const COMMANDS: &[&str] = &[
    "boot",
    "chain",
    "dhcp",
    "echo",
    "exit",
    "goto",
    "ifstat",
    "imgfetch",
    "imgfree",
    "inc",
    "initrd",
    "iseq",
    "isset",
    "kernel",
    "module",
    "route",
    "sanboot",
    "set",
    "sleep",
    // Only where a profile names a signature: no machine boots without it then.
    "imgverify",
];

/// The commands of one line as iPXE separates them, each as its words, with the separator after it.
fn commands(line: &str) -> Vec<(Vec<&str>, &str)> {
    let mut list = Vec::new();
    let mut words = Vec::new();
    for word in line.split_ascii_whitespace() {
        if word.starts_with('#') {
            break;
        }
        if matches!(word, "||" | "&&" | ";") {
            list.push((std::mem::take(&mut words), word));
        } else {
            words.push(word);
        }
    }
    list.push((words, ""));
    list
}

/// What `echo` prints of these words when every setting is empty.
fn expanded(words: &[&str]) -> String {
    let expand = |word: &str| {
        let mut word = word.to_owned();
        while let Some(end) = word.find("${").and_then(|_| word.find('}')) {
            let Some(start) = word[..end].rfind("${") else {
                break;
            };
            word.replace_range(start..=end, "");
        }
        word
    };
    words
        .iter()
        .map(|word| expand(word))
        .collect::<Vec<_>>()
        .join(" ")
}

/// Reads a script as iPXE does and checks what must hold of every one.
pub(crate) fn check(script: &str) {
    assert!(script.starts_with("#!ipxe\n"), "{script}");
    assert!(script.ends_with("\nexit 1\n"), "{script}");
    assert!(script.is_ascii());
    let labels: BTreeSet<&str> = script
        .lines()
        .filter_map(|line| line.strip_prefix(':'))
        .collect();
    for line in script.lines().filter(|line| !line.starts_with(':')) {
        let commands = commands(line);
        for (at, (words, separator)) in commands.iter().enumerate() {
            let Some(command) = words.first() else {
                // Only after a last `||`: "and it does not matter if it fails".
                assert!(
                    line.is_empty() || line.starts_with('#') || at + 1 == commands.len(),
                    "{line}"
                );
                continue;
            };
            assert!(COMMANDS.contains(command), "{command} in {line}");
            match *command {
                "exit" => assert_eq!(words[1..], ["1"], "a plain `exit` is a success to firmware"),
                "goto" if !words[1].starts_with("${") => {
                    assert!(labels.contains(words[1]), "{line}");
                }
                // A failing command ends the script, and with it the way to `exit 1`.
                "imgfetch" | "kernel" | "initrd" | "chain" | "boot" | "sanboot" | "dhcp"
                | "iseq" | "isset" | "ifstat" | "route" | "imgfree" => {
                    assert!(
                        matches!(*separator, "||" | "&&") && line.contains("||"),
                        "`{line}` would end the script when it fails"
                    );
                }
                _ => {}
            }
        }
    }
}

fn disk(local_boot: LocalBoot, why: &str) -> String {
    let mut host = host("web01", 11, "");
    host.local_boot = local_boot;
    scripts::disk(&host, why)
}

#[test]
fn every_script_can_be_read_and_ends_in_exit_1() {
    let base = "http://10.99.0.2:8080";
    for script in [
        scripts::not_this_machine(),
        scripts::unknown("52:54:00:47:86:99".parse().unwrap()),
        scripts::identify("http://10.99.0.2:8080/boot/52-54-00-47-86-8e/boot.ipxe"),
        scripts::chain(base),
        scripts::trouble("the answer cannot be rendered"),
        disk(LocalBoot::Auto, "web01 is not armed"),
        disk(LocalBoot::NoFile, ""),
        disk(LocalBoot::Exit, ""),
        disk(LocalBoot::Sanboot, ""),
    ] {
        check(&script);
    }
    let site = shipped("console = 'ttyS0'");
    let view = site.view(None);
    check(&scripts::install(
        &view,
        &site.renderer.boot(&view).unwrap(),
        2,
        3,
    ));
    let by_tftp = scripts::install_by_tftp(&view, &site.renderer.boot(&view).unwrap(), 2, 3);
    check(&by_tftp);
    assert!(by_tftp.contains(" tftp://10.99.0.2/debian/"), "{by_tftp}");
    let next = RenderedBoot::Chain {
        script: AssetRef::parse("http://other/x.ipxe").unwrap(),
        signature: None,
    };
    check(&scripts::install(&view, &next, 1, 3));
}

#[test]
fn only_the_script_of_any_machine_asks_for_an_address() {
    let site = shipped("");
    let view = site.view(None);
    let install = scripts::install(&view, &site.renderer.boot(&view).unwrap(), 1, 3);
    for script in [
        install,
        disk(LocalBoot::Auto, ""),
        scripts::not_this_machine(),
    ] {
        assert!(
            !script.contains("dhcp "),
            "a DHCP packet after the script counts as a further boot"
        );
    }
    assert!(scripts::chain("http://x").contains("dhcp"));
}

#[test]
fn the_small_scripts() {
    insta::assert_snapshot!(
        "disk.ipxe",
        disk(
            LocalBoot::Auto,
            "web01: failed after 3 attempts; bootwright install web01"
        )
    );
    insta::assert_snapshot!(
        "unknown.ipxe",
        scripts::unknown("52:54:00:47:86:99".parse().unwrap())
    );
    insta::assert_snapshot!("chain.ipxe", scripts::chain("http://10.99.0.2:8080"));
    insta::assert_snapshot!(
        "identify.ipxe",
        scripts::identify("http://10.99.0.2:8080/boot/52-54-00-47-86-8e/boot.ipxe")
    );
    insta::assert_snapshot!("not-this-machine.ipxe", scripts::not_this_machine());
}

#[test]
fn local_boot_forms() {
    let sanboot = |form| disk(form, "").contains("sanboot --no-describe --drive 0x80 ||\n");
    assert!(sanboot(LocalBoot::Auto) && sanboot(LocalBoot::Sanboot));
    assert!(!sanboot(LocalBoot::Exit) && !sanboot(LocalBoot::NoFile));
    assert!(disk(LocalBoot::Auto, "").contains("iseq ${platform} efi && goto firmware ||\n"));
    assert!(!disk(LocalBoot::Sanboot, "").contains("iseq"));
}

#[test]
fn trouble_is_reported_as_progress_and_never_as_failed() {
    let site = shipped("");
    let token = Token::parse("abcdefghijklmnopqrstuvwxyz").unwrap();
    let view = site.view(Some(&token));
    let script = scripts::install(&view, &site.renderer.boot(&view).unwrap(), 1, 3);
    assert!(
        script.contains("/report/abcdefghijklmnopqrstuvwxyz/progress?stage=ipxe-${step}&message=")
    );
    assert!(!script.contains("/failed"));
}

#[test]
fn a_whole_script_of_the_operators_is_served_as_it_is() {
    let mut draft = Draft::shipped().host(host("web01", 11, "profile = 1"));
    draft.template(
        "rescue.ipxe.j2",
        "#!ipxe\nchain {{ asset('tools/x y.efi') }} || exit 1\n",
    );
    draft.template("no-script.j2", "echo\n");
    let mut rescue = profile("debian-12", "rescue.ipxe.j2");
    rescue.boot = Boot::Script {
        template: "rescue.ipxe.j2".to_owned(),
    };
    draft.profiles = vec![rescue.clone()];
    let site = draft.build();
    let view = site.view(None);
    let boot = site.renderer.boot(&view).unwrap();
    assert_eq!(
        scripts::install(&view, &boot, 1, 3),
        "#!ipxe\nchain http://10.99.0.2:8080/assets/tools/x%20y.efi || exit 1\n"
    );

    let mut draft = Draft::shipped().host(host("web01", 11, ""));
    draft.template("no-script.j2", "echo\n");
    rescue.boot = Boot::Script {
        template: "no-script.j2".to_owned(),
    };
    draft.profiles = vec![rescue];
    let site = draft.build();
    assert!(
        site.renderer
            .boot(&site.view(None))
            .unwrap_err()
            .message
            .contains("begins with `#!ipxe`")
    );
}

#[test]
fn several_initial_ram_disks_are_named_in_order() {
    let mut draft = Draft::shipped().host(host("web01", 11, ""));
    let mut profile = profile("debian-12", "debian/preseed.cfg.j2");
    let text = |text: &str| TemplateText {
        text: text.to_owned(),
        span: None,
    };
    profile.boot = Boot::Linux {
        kernel: text("/a/linux"),
        initrd: vec![text("a/one.gz"), text("https://mirror.example/two.gz?x=1")],
        cmdline: text("a # b || c ; d && #e").into(),
    };
    draft.profiles = vec![profile];
    let site = draft.build();
    let view = site.view(None);
    let boot = site.renderer.boot(&view).unwrap();
    assert_eq!(boot.paths(), ["a/linux", "a/one.gz"]);
    let script = scripts::install(&view, &boot, 1, 3);
    check(&script);
    let line = script
        .lines()
        .find(|line| line.starts_with("kernel "))
        .unwrap();
    let words = &commands(line)[0].0;
    assert_eq!(
        expanded(&words[4..]),
        "initrd=initrd.img initrd=initrd1.img BOOTIF=01- a # b || c ; d && #e",
        "{line}"
    );
    assert!(
        script.contains(
            "\ninitrd --name initrd1.img https://mirror.example/two.gz?x=1 || goto again\n"
        )
    );
}

proptest! {
    /// A text may come from a machine's report. It is printed, whatever it holds, and nothing else
    /// happens.
    #[test]
    fn no_text_is_more_than_a_text(text in "(?s).{0,120}|([ #|&;${}a-z\n\"'-]{1,4} ?){0,12}") {
        for script in [scripts::trouble(&text), disk(LocalBoot::Exit, &text)] {
            check(&script);
            let line = script.lines().nth(1).unwrap();
            let commands = commands(line);
            prop_assert_eq!(commands.len(), 1, "{}", line);
            let said = expanded(&commands[0].0);
            let plain: String = text
                .chars()
                .map(|c| match c {
                    c if c.is_control() || c.is_whitespace() => ' ',
                    c if !c.is_ascii() => '?',
                    c => c,
                })
                .collect();
            let plain: Vec<String> =
                plain.split_whitespace().map(|word| word.replace("${", "$(")).collect();
            let expected = format!("echo Bootwright: {}", plain.join(" "));
            prop_assert_eq!(said.trim_end(), expected.trim_end());
        }
    }

    /// A command line reaches the kernel word by word.
    #[test]
    fn any_command_line_arrives(line in "([ #|&;${a-z=\"'-]{1,5} ?){0,20}") {
        let site = shipped("");
        let view = site.view(None);
        let Ok(cmdline) = bootwright::render::cmdline::check(&line, 1, view.arch) else {
            return Ok(());
        };
        let boot = RenderedBoot::Linux {
            kernel: AssetRef::parse("linux").unwrap(),
            initrd: vec![AssetRef::parse("initrd").unwrap()],
            cmdline: cmdline.clone(),
        };
        let script = scripts::install(&view, &boot, 1, 3);
        check(&script);
        let line = script.lines().find(|line| line.starts_with("kernel ")).unwrap();
        let words = &commands(line)[0].0;
        prop_assert_eq!(expanded(&words[6..]), cmdline.to_string());
    }
}
