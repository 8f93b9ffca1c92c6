//! One plan for three boot loaders: each text is read back by a reader of its loader's language, and what
//! comes out is the same kernel, the same initial RAM disks and the same arguments.
//!
//! The readers share nothing with what writes the texts. GRUB's follows `grub-core/script/yylex.l` and
//! `grub-core/lib/cmdline.c`, PXELINUX's `com32/elflink/ldlinux/readconfig.c`, the kernel's `next_arg` of
//! `lib/cmdline.c`.

use std::collections::{BTreeMap, BTreeSet};

use bootwright::base::{BootLoader, HardwareAddr, Token};
use bootwright::config::snapshot::{Boot, LocalBoot};
use bootwright::config::source::DiskFiles;
use bootwright::render::load::load;
use bootwright::render::loaders::{Boots, Texts, Transport};
use bootwright::render::{AssetRef, RenderedBoot, View, cmdline, files};
use proptest::prelude::*;

use crate::fixture::{host, shipped};
use crate::{hosts, profiles};

/// What a kernel is started with.
#[derive(Debug, PartialEq, Eq)]
struct Start {
    kernel: String,
    initrds: Vec<String>,
    args: Vec<String>,
}

/// The arguments of a kernel's command line, without those by which loaders name their files.
fn arguments(line: &str) -> Vec<String> {
    let (mut list, mut word, mut quoted) = (Vec::new(), String::new(), false);
    for c in line.chars().chain([' ']) {
        match c {
            ' ' if !quoted => {
                if !word.is_empty() {
                    list.push(std::mem::take(&mut word));
                }
            }
            '"' => {
                quoted = !quoted;
                word.push(c);
            }
            c => word.push(c),
        }
    }
    assert!(!quoted, "an open quote: {line}");
    list.iter()
        .map(|word| match word.split_once('=') {
            _ if word.starts_with('"') => word[1..]
                .strip_suffix('"')
                .unwrap_or_else(|| &word[1..])
                .into(),
            Some((name, value)) if value.starts_with('"') => {
                let value = &value[1..];
                format!("{name}={}", value.strip_suffix('"').unwrap_or(value))
            }
            _ => word.clone(),
        })
        .filter(|word| !word.starts_with("initrd=") && !word.starts_with("BOOT_IMAGE="))
        .collect()
}

/// A file of this server by its path, anything else by its URL.
fn of_url(url: &str) -> String {
    let own = "http://10.99.0.2:8080/assets/";
    let path = url.strip_prefix(own).unwrap_or(url);
    percent_encoding::percent_decode_str(path)
        .decode_utf8()
        .unwrap()
        .into_owned()
}

fn read_ipxe(script: &str, nic: HardwareAddr) -> Start {
    let expand = |line: &str| {
        line.replace("${netX/mac:hexhyp}", &nic.dashed())
            .replace("${empty:string}", "")
    };
    let mut start = Start {
        kernel: String::new(),
        initrds: Vec::new(),
        args: Vec::new(),
    };
    for line in script.lines().map(expand) {
        let line = line.strip_suffix(" || goto again").unwrap_or(&line);
        if let Some(rest) = line.strip_prefix("kernel --name linux ") {
            let (url, rest) = rest.split_once(' ').unwrap_or((rest, ""));
            start.kernel = of_url(url);
            start.args = arguments(rest);
        } else if let Some(rest) = line.strip_prefix("initrd --name ") {
            start.initrds.push(of_url(rest.split_once(' ').unwrap().1));
        }
    }
    start
}

/// The commands of a GRUB script, each as its words; `$` keeps its name.
pub(crate) fn grub_commands(script: &str) -> Vec<Vec<String>> {
    let (mut commands, mut words, mut word) = (Vec::new(), Vec::new(), None::<String>);
    let mut chars = script.chars().peekable();
    while let Some(c) = chars.next() {
        let mut end = false;
        match c {
            '\'' => {
                let word = word.get_or_insert_default();
                loop {
                    match chars.next().expect("an open single quote") {
                        '\'' => break,
                        c => word.push(c),
                    }
                }
            }
            '"' => {
                let word = word.get_or_insert_default();
                loop {
                    match chars.next().expect("an open double quote") {
                        '"' => break,
                        '\\' => word.push(chars.next().unwrap()),
                        c => word.push(c),
                    }
                }
            }
            '\\' => word.get_or_insert_default().push(chars.next().unwrap()),
            '#' if word.is_none() => while chars.next_if(|c| *c != '\n').is_some() {},
            '\n' | ';' => end = true,
            ' ' | '\t' => words.extend(word.take()),
            '{' | '}' | '|' | '&' | '<' | '>' => panic!("`{c}` means something to GRUB: {script}"),
            c => word.get_or_insert_default().push(c),
        }
        if end {
            words.extend(word.take());
            while let Some("if" | "then" | "do" | "else" | "for" | "in") =
                words.first().map(String::as_str)
            {
                words.remove(0);
            }
            if !words.is_empty() {
                commands.push(std::mem::take(&mut words));
            }
        }
    }
    assert!(
        words.is_empty() && word.is_none(),
        "no line break at the end"
    );
    commands
}

/// A file of this server by its path, anything else by its URL.
fn of_grub(name: &str) -> String {
    if let Some(path) = name.strip_prefix("(tftp,10.99.0.2)/") {
        return path.to_owned();
    }
    let (device, path) = name.strip_prefix('(').unwrap().split_once(')').unwrap();
    let (scheme, server) = device.split_once(',').unwrap();
    of_url(&format!("{scheme}://{server}{path}"))
}

fn read_grub(script: &str) -> Start {
    let mut found = BTreeMap::new();
    for words in grub_commands(script) {
        if matches!(words[0].as_str(), "linux" | "initrd") {
            assert!(
                found
                    .insert(words[0].clone(), words[1..].to_vec())
                    .is_none()
            );
        }
    }
    let linux = &found["linux"];
    // What GRUB makes of its words for the kernel.
    let line = linux[1..]
        .iter()
        .map(|word| {
            let escaped: String = word
                .chars()
                .flat_map(|c| {
                    let back = matches!(c, '\\' | '\'' | '"').then_some('\\');
                    back.into_iter().chain([c])
                })
                .collect();
            if word.contains(' ') {
                format!("\"{escaped}\"")
            } else {
                escaped
            }
        })
        .collect::<Vec<_>>()
        .join(" ");
    let initrds = found.get("initrd").cloned().unwrap_or_default();
    Start {
        kernel: of_grub(&linux[0]),
        initrds: initrds.iter().map(|name| of_grub(name)).collect(),
        args: arguments(&line),
    }
}

fn of_pxelinux(name: &str) -> String {
    match name.strip_prefix("10.99.0.2::") {
        Some(path) => path.to_owned(),
        None => of_url(name),
    }
}

/// The directives of a PXELINUX configuration, by label; those before the first one under "".
fn pxelinux_labels(text: &str) -> BTreeMap<String, BTreeMap<String, String>> {
    let mut labels: BTreeMap<String, BTreeMap<String, String>> = BTreeMap::new();
    let mut current = String::new();
    for line in text.lines() {
        assert!(line.len() < 4_096, "longer than PXELINUX reads");
        let line = line.trim_start();
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        let (name, rest) = line.split_once(' ').unwrap_or((line, ""));
        let (name, rest) = (name.to_ascii_lowercase(), rest.trim_start().to_owned());
        match name.as_str() {
            "label" => current = rest,
            "say" => {}
            _ => {
                let of = labels.entry(current.clone()).or_default();
                assert_eq!(of.insert(name, rest), None, "{line}");
            }
        }
    }
    labels
}

fn read_pxelinux(text: &str) -> Start {
    let labels = pxelinux_labels(text);
    let label = &labels[&labels[""]["default"]];
    let initrd = label.get("initrd").map_or("", String::as_str);
    let append = label.get("append").map_or("", String::as_str);
    // What a kernel is handed in the end fits.
    let line = format!("BOOT_IMAGE={} {append} initrd={initrd}", label["linux"]);
    assert!(line.len() <= 2_047 + " initrd=".len());
    let initrds = initrd.split(',').filter(|name| !name.is_empty());
    Start {
        kernel: of_pxelinux(&label["linux"]),
        initrds: initrds.map(of_pxelinux).collect(),
        args: arguments(&line),
    }
}

fn texts(loader: BootLoader, transport: Transport) -> Texts {
    Texts { loader, transport }
}

/// What the three loaders start, by TFTP and by HTTP; `None` for those that cannot.
fn starts(view: &View<'_>, boot: &RenderedBoot) -> Vec<(String, Result<Start, String>)> {
    let nic = view.host.mac();
    let boots = Boots {
        view,
        attempt: 1,
        max_attempts: 3,
        nic,
    };
    let mut list = Vec::new();
    for loader in BootLoader::ALL {
        for transport in [Transport::Tftp, Transport::Http] {
            let text = texts(loader, transport).install(&boots, boot);
            let start = text.map_err(|unable| unable.to_string()).map(|text| {
                let read = match (loader, transport) {
                    (BootLoader::Ipxe, Transport::Tftp) => {
                        text.replace("tftp://10.99.0.2/", "http://10.99.0.2:8080/assets/")
                    }
                    _ => text,
                };
                match loader {
                    BootLoader::Ipxe => read_ipxe(&read, nic.unwrap()),
                    BootLoader::Grub => read_grub(&read),
                    BootLoader::Pxelinux => read_pxelinux(&read),
                }
            });
            list.push((format!("{loader} by {transport:?}"), start));
        }
    }
    list
}

#[test]
fn three_loaders_start_the_same_kernel_with_the_same_arguments() {
    let folder = tempfile::tempdir().unwrap();
    let mut compared = BTreeSet::new();
    let mut unable = BTreeSet::new();
    for profile in profiles::PROFILES {
        let shipped = crate::fixture::shipped_profile(profile.name);
        let main = hosts::write(profile, &shipped.family, &folder.path().join(profile.name));
        let config = load(&DiskFiles, &main, 1).config.expect(profile.name);
        let token = Token::parse("abcdefghijklmnopqrstuvwxyz").unwrap();
        for host in config.snapshot.hosts() {
            let found = config.snapshot.profile(host.profile.as_ref().unwrap());
            let found = found.unwrap();
            let view = View {
                snapshot: &config.snapshot,
                host,
                profile: found,
                arch: files::usual_architecture(host, Some(found)),
                server: [10, 99, 0, 2].into(),
                token: Some(&token),
            };
            let boot = config.renderer.boot(&view).unwrap();
            if !matches!(found.boot, Boot::Linux { .. }) {
                let boots = Boots {
                    view: &view,
                    attempt: 1,
                    max_attempts: 3,
                    nic: host.mac(),
                };
                for loader in [BootLoader::Grub, BootLoader::Pxelinux] {
                    match texts(loader, Transport::Tftp).install(&boots, &boot) {
                        Ok(_) => compared.insert(format!("{} {loader}", profile.name)),
                        Err(_) => unable.insert(format!("{} {loader}", profile.name)),
                    };
                }
                continue;
            }
            let mut starts = starts(&view, &boot);
            let (_, first) = starts.remove(0);
            let first = first.unwrap();
            for (loader, start) in starts {
                let told = format!("{}/{} by {loader}", profile.name, host.name);
                let start = start.unwrap_or_else(|why| panic!("{told}: {why}"));
                assert_eq!(start, first, "{told}");
            }
            // It is no comparison of nothing.
            assert!(!first.kernel.is_empty() && first.args[0].starts_with("BOOTIF=01-"));
            compared.insert(profile.name.to_owned());
        }
    }
    assert!(compared.len() > 25, "{compared:?}");
    insta::assert_debug_snapshot!("unable", unable);
}

/// A view of web01, and what it boots.
fn start_of(boot: &RenderedBoot) -> Vec<(String, Result<Start, String>)> {
    let site = shipped("");
    starts(&site.view(None), boot)
}

fn linux(kernel: &str, initrds: &[&str], args: &[&str]) -> RenderedBoot {
    let asset = |text: &str| AssetRef::parse(text).unwrap();
    let arch = bootwright::base::Architecture::X86_64;
    RenderedBoot::Linux {
        kernel: asset(kernel),
        initrd: initrds.iter().map(|text| asset(text)).collect(),
        cmdline: cmdline::compose(args.iter().copied(), initrds.len(), arch).unwrap(),
    }
}

#[test]
fn what_means_something_to_a_loader_reaches_the_kernel() {
    let args = [
        "ds=nocloud;s=http://10.99.0.2/seed/",
        "a={b}",
        "c=$HOME",
        "d=|&<>*?[x]",
        "e=two words",
        "three words here",
        "#f",
        "---",
        "g=ü",
    ];
    let boot = linux(
        "a/linux",
        &["a/one.gz", "http://other:81/two%20x.gz"],
        &args,
    );
    for (loader, start) in start_of(&boot) {
        let start = start.unwrap();
        assert_eq!(start.kernel, "a/linux");
        assert_eq!(start.initrds, ["a/one.gz", "http://other:81/two x.gz"]);
        assert_eq!(start.args[0], "BOOTIF=01-52-54-00-47-86-8e", "{loader}");
        assert_eq!(start.args[1..], args, "{loader}");
    }
    // An own BOOTIF is the only one.
    for (_, start) in start_of(&linux("k", &[], &["BOOTIF=x"])) {
        assert_eq!(start.unwrap().args, ["BOOTIF=x"]);
    }
}

#[test]
fn what_a_loader_cannot_do_is_said() {
    let why = |boot: &RenderedBoot, loader: &str| {
        let list = start_of(boot);
        let found = list.into_iter().find(|(name, _)| name == loader).unwrap();
        found.1.unwrap_err()
    };
    let quote = linux("k", &[], &["a='b'"]);
    assert!(why(&quote, "grub by Tftp").contains("`a='b'`"));
    let spaced = linux("a b/linux", &[], &[]);
    assert!(why(&spaced, "pxelinux by Tftp").contains("10.99.0.2::a b/linux"));
    let https = linux("https://x/linux", &[], &[]);
    for loader in ["grub by Http", "pxelinux by Tftp"] {
        assert_eq!(
            why(&https, loader).split_once(": ").unwrap().1,
            "it loads by http and tftp only, and https://x/linux is neither"
        );
    }
    let long = "x".repeat(2_000);
    let long = linux("k", &["i"], &[&long]);
    assert!(why(&long, "pxelinux by Tftp").contains("kernels take 2047"));
    let script = RenderedBoot::Script("#!ipxe\n".to_owned());
    assert_eq!(
        why(&script, "grub by Tftp"),
        "GRUB cannot boot this: the profile is a whole script of iPXE's"
    );
    assert!(why(&script, "pxelinux by Http").starts_with("PXELINUX cannot boot this"));
}

#[test]
fn the_texts_as_they_are() {
    let site = shipped("console = 'ttyS0'");
    let view = site.view(None);
    let boot = site.renderer.boot(&view).unwrap();
    let boots = Boots {
        view: &view,
        attempt: 2,
        max_attempts: 3,
        nic: "52:54:00:47:86:8e".parse().ok(),
    };
    let mut web01 = host("web01", 11, "");
    for loader in [BootLoader::Grub, BootLoader::Pxelinux] {
        let name = loader.text_name();
        let of = |transport| texts(loader, transport).install(&boots, &boot).unwrap();
        insta::assert_snapshot!(format!("tftp-{name}"), of(Transport::Tftp));
        insta::assert_snapshot!(format!("http-{name}"), of(Transport::Http));
        let by_tftp = texts(loader, Transport::Tftp);
        web01.local_boot = LocalBoot::Auto;
        let why = "web01: failed after 3 attempts; bootwright install web01";
        insta::assert_snapshot!(format!("disk-{name}"), by_tftp.disk(&web01, why));
        web01.local_boot = LocalBoot::Sanboot;
        insta::assert_snapshot!(format!("sanboot-{name}"), by_tftp.disk(&web01, why));
        let unknown = by_tftp.unknown("52:54:00:47:86:99".parse().unwrap());
        insta::assert_snapshot!(format!("unknown-{name}"), unknown);
    }
}

proptest! {
    /// A text may come from a machine's report. It is printed, whatever it holds, and nothing else happens.
    #[test]
    fn no_text_is_more_than_a_text(text in "(?s).{0,120}|([ #|&;${}\\\\a-z\n\"'-]{1,4} ?){0,12}") {
        let script = texts(BootLoader::Grub, Transport::Tftp).trouble(&text);
        let commands = grub_commands(&script);
        let names: Vec<&str> = commands.iter().map(|words| words[0].as_str()).collect();
        prop_assert_eq!(names, ["set", "echo", "echo", "sleep", "exit"]);
        prop_assert_eq!(commands[1].len(), 2);
        prop_assert_eq!(&commands[4][1], "1");
        let pxelinux = texts(BootLoader::Pxelinux, Transport::Tftp).trouble(&text);
        let quiet = texts(BootLoader::Pxelinux, Transport::Tftp).trouble("");
        prop_assert_eq!(pxelinux_labels(&pxelinux), pxelinux_labels(&quiet));
    }

    /// A command line reaches the kernel argument by argument, whichever loader brings it.
    #[test]
    fn any_command_line_arrives(args in prop::collection::vec("[^\u{0}-\u{1f}\u{7f}-\u{a0}\"'\\\\]{1,20}", 0..8)) {
        let arch = bootwright::base::Architecture::X86_64;
        let Ok(composed) = cmdline::compose(args.iter().map(String::as_str), 1, arch) else {
            return Ok(());
        };
        let boot = RenderedBoot::Linux {
            kernel: AssetRef::parse("linux").unwrap(),
            initrd: vec![AssetRef::parse("initrd").unwrap()],
            cmdline: composed,
        };
        let site = shipped("");
        let mut starts = starts(&site.view(None), &boot);
        let (_, first) = starts.remove(0);
        let first = first.unwrap();
        for (loader, start) in starts {
            prop_assert_eq!(&start.unwrap(), &first, "{}", loader);
        }
    }
}
