//! The check: every host's every file, and problems that can be read.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::sync::Arc;

use bootwright::base::{Architecture, Firmware, Token};
use bootwright::config::fetch::{Fetch, FetchFile};
use bootwright::config::snapshot::{Boot, ProfileOption, ProfileValue, TemplateText};
use bootwright::config::{Problem, Severity, SourceMap, Span};
use bootwright::render::load::InForce;
use bootwright::render::{check, files};

use crate::fixture::{Draft, Site, host, profile, shipped_profile, shipped_snapshot};

const KEYS: &str = "ssh_authorized_keys = ['ssh-ed25519 A']\n";

fn problems(site: &Site) -> Vec<Problem> {
    let mut problems = Vec::new();
    check::check(&site.snapshot, &site.renderer, &site.sources, &mut problems);
    problems
}

/// Problems as text: place, underlined text, message, help.
fn shown(problems: &[Problem], sources: &SourceMap) -> String {
    let mut out = String::new();
    for problem in problems {
        let severity = match problem.severity {
            Severity::Error => "error",
            Severity::Warning => "warning",
        };
        let _ = writeln!(out, "{severity}[{}]: {}", problem.code, problem.message);
        for label in &problem.labels {
            let (line, column) = sources.line_column(label.span).unwrap();
            let source = sources.get(label.span.source).unwrap();
            let text = &source.text[label.span.range()];
            let _ = writeln!(
                out,
                "  {}:{line}:{column} `{text}` {}",
                source.path.display(),
                label.text
            );
        }
        if let Some(help) = &problem.help {
            let _ = writeln!(out, "  help: {help}");
        }
    }
    out
}

/// Hosts with places of their own in a reservations file.
fn with_hosts(draft: &mut Draft, hosts: &[(&str, &str)]) {
    let tables: Vec<String> = hosts
        .iter()
        .map(|(name, _)| {
            format!(
                "[hosts.{name}]
"
            )
        })
        .collect();
    let text = tables.concat();
    let source = draft.sources.add("config/reservations.toml", text.as_str());
    for (index, (name, vars)) in hosts.iter().enumerate() {
        let mut host = host(name, 11 + u8::try_from(index).unwrap(), vars);
        let start = text.find(&format!(".{name}]")).unwrap() + 1;
        host.span = Some(Span::new(source, start..start + name.len()));
        draft.hosts.push(host);
    }
}

fn one_template(template: &str, hosts: &[(&str, &str)]) -> Site {
    let mut draft = Draft::shipped();
    draft.template("site/answer.j2", template);
    draft.profiles = vec![profile("debian-12", "site/answer.j2")];
    with_hosts(&mut draft, hosts);
    draft.build()
}

#[test]
fn the_shipped_profile_is_without_fault() {
    let mut draft = Draft::shipped();
    with_hosts(&mut draft, &[("web01", KEYS)]);
    assert_eq!(shown(&problems(&draft.build()), &SourceMap::default()), "");
}

#[test]
fn a_variable_that_nobody_gives_is_one_problem_for_all_its_hosts() {
    let hosts: Vec<(String, &str)> = (1..=12).map(|n| (format!("web{n:02}"), "")).collect();
    let hosts: Vec<(&str, &str)> = hosts
        .iter()
        .map(|(name, vars)| (name.as_str(), *vars))
        .collect();
    let site = one_template("one\ntwo {{ vars.rootpw | shq }}\n", &hosts);
    insta::assert_snapshot!("undefined-variable", shown(&problems(&site), &site.sources));
}

#[test]
fn a_misspelt_variable_is_recognised() {
    let site = one_template(
        "{{ vars.root_pasword_hash }}\n",
        &[
            ("web01", "root_password_hash = '$6$salt$hash'"),
            ("web02", "root_password_hash = '$6$salt$hash'"),
        ],
    );
    insta::assert_snapshot!("misspelt-variable", shown(&problems(&site), &site.sources));
    let site = one_template("{{ subnet.gateway }} {{ host.nmae }}\n", &[("web01", "")]);
    insta::assert_snapshot!("misspelt-field", shown(&problems(&site), &site.sources));
}

#[test]
fn templates_that_do_not_parse_are_told_even_when_unused() {
    let mut draft = Draft::shipped();
    draft.template("site/unused.j2", "fine\n{% if x %}\n");
    draft.template("site/answer.j2", "{% include 'site/unused.j2' %}");
    draft.profiles = vec![profile("debian-12", "site/answer.j2")];
    with_hosts(&mut draft, &[("web01", ""), ("web02", "")]);
    let site = draft.build();
    insta::assert_snapshot!("template-syntax", shown(&problems(&site), &site.sources));
}

#[test]
fn missing_templates_filters_and_functions() {
    let site = one_template("{% include 'site/other.j2' %}", &[("web01", "")]);
    insta::assert_snapshot!("template-missing", shown(&problems(&site), &site.sources));
    let site = one_template("a\n{{ host.name | nosuch }}", &[("web01", "")]);
    insta::assert_snapshot!("filter-unknown", shown(&problems(&site), &site.sources));
    let site = one_template("a\n{{ secrte('x') }}", &[("web01", "")]);
    insta::assert_snapshot!("function-unknown", shown(&problems(&site), &site.sources));
}

#[test]
fn boot_texts_are_underlined_in_the_profile() {
    let written = "[boot]\nkernel  = \"../linux\"\ninitrd  = \"i\"\ncmdline = \"a={{ vars.b }}\"\n";
    let mut draft = Draft::shipped();
    let source = draft.sources.add("config/profiles/debian-12.toml", written);
    let text = |value: &str| {
        let start = written.find(&format!("\"{value}\"")).unwrap();
        TemplateText {
            text: value.to_owned(),
            span: Some(Span::new(source, start..start + value.len() + 2)),
        }
    };
    let mut own = profile("debian-12", "debian/preseed.cfg.j2");
    own.boot = Boot::Linux {
        kernel: text("../linux"),
        initrd: vec![text("i")],
        cmdline: text("a={{ vars.b }}").into(),
    };
    draft.profiles = vec![own.clone()];
    with_hosts(&mut draft, &[("web01", KEYS)]);
    let site = draft.build();
    let mut told = shown(&problems(&site), &site.sources);

    let mut draft = Draft::shipped();
    draft.sources = site.sources.clone();
    own.boot = Boot::Linux {
        kernel: text("i"),
        initrd: vec![],
        cmdline: text("a={{ vars.b }}").into(),
    };
    draft.profiles = vec![own];
    with_hosts(&mut draft, &[("web01", KEYS)]);
    let site = draft.build();
    told.push_str(&shown(&problems(&site), &site.sources));
    insta::assert_snapshot!("boot-texts", told);
}

#[test]
fn a_command_line_too_long_for_the_kernel() {
    let mut draft = Draft::shipped();
    let mut own = profile("debian-12", "debian/preseed.cfg.j2");
    let text = |text: String| TemplateText { text, span: None };
    own.boot = Boot::Linux {
        kernel: text("k".into()),
        initrd: vec![],
        cmdline: text("x".repeat(2_100)).into(),
    };
    draft.profiles = vec![own.clone()];
    with_hosts(&mut draft, &[("web01", KEYS)]);
    let found = problems(&draft.build());
    assert_eq!(found.len(), 1);
    assert_eq!(found[0].code, "cmdline");

    let words = (0..32)
        .map(|n| format!("a{n}=b"))
        .collect::<Vec<_>>()
        .join(" ");
    own.boot = Boot::Linux {
        kernel: text("k".into()),
        initrd: vec![],
        cmdline: text(words).into(),
    };
    let mut draft = Draft::shipped();
    draft.profiles = vec![own];
    with_hosts(&mut draft, &[("web01", KEYS)]);
    let found = problems(&draft.build());
    assert_eq!(found.len(), 1);
    assert_eq!(
        (found[0].code, found[0].severity),
        ("init-environment", Severity::Warning)
    );
}

#[test]
fn a_preseed_file_with_a_broken_line() {
    let mut draft = Draft::shipped();
    draft.template(
        "site/answer.j2",
        "#_preseed_V1\nd-i time/zone {{ vars.zone }}\n",
    );
    let mut own = profile("debian-12", "site/answer.j2");
    own.family = "debian".to_owned();
    draft.profiles = vec![own];
    with_hosts(
        &mut draft,
        &[("web01", "zone = 'Oslo'"), ("web02", "zone = 'Oslo'")],
    );
    let site = draft.build();
    insta::assert_snapshot!("preseed-syntax", shown(&problems(&site), &site.sources));
}

#[test]
fn nobody_gets_in() {
    let mut draft = Draft::shipped();
    with_hosts(
        &mut draft,
        &[
            ("web01", ""),
            ("web02", KEYS),
            ("web03", "root_password_hash = '$6$salt$hash'"),
            ("web04", "ssh_authorized_keys = []\nroot_password_hash = ''"),
            ("web05", "[users.zoe]\nsudo = true"),
        ],
    );
    let site = draft.build();
    insta::assert_snapshot!("nobody-gets-in", shown(&problems(&site), &site.sources));
    // Of each family whose installed systems lock root.
    for name in [
        "alma-9",
        "ubuntu-24.04",
        "leap-15",
        "fedora-coreos",
        "alpine-3.22",
    ] {
        let mut draft = Draft::shipped();
        draft.profiles = vec![shipped_profile(name)];
        let mut host = host("web01", 11, "");
        host.profile = name.parse().ok();
        draft.hosts = vec![host];
        let site = draft.build();
        let told = problems(&site);
        let codes: Vec<_> = told.iter().map(|problem| problem.code).collect();
        assert_eq!(codes, ["nobody-gets-in"], "{name}");
    }
    // A profile that has no use for them is left alone.
    let site = one_template("nothing", &[("web01", "")]);
    assert_eq!(problems(&site), []);
}

#[test]
fn both_architectures_of_a_profile_are_tried() {
    let mut draft = Draft::shipped();
    draft.template(
        "site/answer.j2",
        "{% if arch == 'aarch64' %}{{ vars.arm }}{% endif %}",
    );
    let mut own = profile("debian-12", "site/answer.j2");
    own.arch = vec![Architecture::X86_64, Architecture::Aarch64];
    draft.profiles = vec![own];
    with_hosts(&mut draft, &[("web01", "")]);
    assert_eq!(problems(&draft.build()).len(), 1);
}

fn in_force(site: &Site) -> InForce {
    InForce {
        snapshot: site.snapshot.clone(),
        renderer: site.renderer.clone(),
    }
}

#[test]
fn what_boots_need_is_found_out_once_under_a_configuration() {
    let mut draft = Draft::shipped();
    draft.template("site/answer.j2", "{{ secret('disk') }}");
    draft.profiles.push(profile("site-own", "site/answer.j2"));
    with_hosts(&mut draft, &[("web01", ""), ("web02", "")]);
    let site = draft.build();
    let config = in_force(&site);
    let needs = |host: usize, profile: &str, arch| {
        let profile = config.snapshot.profile(&profile.parse().unwrap()).unwrap();
        config
            .needs(&config.snapshot.hosts()[host], profile, arch)
            .unwrap()
    };
    let first = needs(0, "debian-12", Architecture::X86_64);
    let paths = ["debian/12/x86_64/linux", "debian/12/x86_64/initrd.gz"];
    assert_eq!(first.paths, Ok(paths.map(str::to_owned).to_vec()));
    assert_eq!(first.lacks_secret, None);
    for host in [0, 1] {
        let again = needs(host, "debian-12", Architecture::X86_64);
        assert!(Arc::ptr_eq(&first, &again), "hosts of a kind share it");
    }
    let arm = needs(0, "debian-12", Architecture::Aarch64);
    assert_ne!(arm.paths, first.paths);
    let own = needs(0, "site-own", Architecture::X86_64);
    assert_eq!(own.lacks_secret.as_deref(), Some("disk"));

    // Another configuration: what was found out before is nothing to it.
    let other = config.clone();
    let host = &other.snapshot.hosts()[0];
    let debian = other.snapshot.profile(&"debian-12".parse().unwrap());
    let found = other.needs(host, debian.unwrap(), Architecture::X86_64);
    assert!(!Arc::ptr_eq(&first, &found.unwrap()));
}

#[test]
fn missing_boot_files_are_told_with_the_command_that_brings_them() {
    let mut draft = Draft::shipped();
    with_hosts(&mut draft, &[("web01", ""), ("web02", ""), ("web03", "")]);
    draft.hosts[2].loader = Some("site/own.kpxe".to_owned());
    let site = draft.build();
    let config = in_force(&site);
    let all = files::missing(&config, &|_| false, &|_| None);
    insta::assert_snapshot!("boot-files-missing", shown(&all, &site.sources));
    assert_eq!(files::missing(&config, &|_| true, &|_| None), []);
    let kernel = files::missing(&config, &|path| path != "debian/12/x86_64/linux", &|_| None);
    assert_eq!(kernel.len(), 1);
}

#[test]
fn missing_files_that_no_command_brings_are_told_with_where_they_come_from() {
    // The remedies for files that one host with a shipped profile and this loader lacks.
    let remedies = |name: &str, loader: &str| -> BTreeMap<String, String> {
        let mut draft = Draft::shipped();
        draft.profiles = vec![shipped_profile(name)];
        let mut own = host("web01", 11, "");
        own.profile = name.parse().ok();
        own.loader = Some(loader.to_owned());
        draft.hosts.push(own);
        let found = files::missing(&in_force(&draft.build()), &|_| false, &|_| None);
        let told = found.into_iter().map(|problem| {
            let path = problem.message.split('`').nth(1).unwrap_or_default();
            (path.to_owned(), problem.help.unwrap_or_default())
        });
        told.collect()
    };
    let own = "site/own.efi";
    let windows = remedies("windows-11", own);
    assert_eq!(
        windows["wimboot/wimboot"],
        "put it at boot-assets/wimboot/wimboot: it comes from ipxe.org/wimboot"
    );
    let image = "`bootwright assets fetch windows-11 --from FILE` brings it";
    assert!(windows["windows/11/x86_64/boot.wim"].starts_with(image));
    for (profile, image) in [
        ("windows-11", "microsoft"),
        ("esxi-8", "Broadcom"),
        ("rhel-9", "Red Hat"),
    ] {
        let told = remedies(profile, own);
        assert_eq!(told[own], "put it at boot-assets/site/own.efi", "{profile}");
        for (path, remedy) in &told {
            assert!(!remedy.contains("FILE is"), "{path}: {remedy}");
            let of_image = path.starts_with("esxi/");
            assert_eq!(remedy.contains(image), of_image, "{path}: {remedy}");
        }
    }
    let of_image = |path: &String| path.starts_with("esxi/");
    assert!(remedies("esxi-8", own).keys().any(of_image));
}

/// What is told to be missing of one host with this template and command line.
fn missing_of(cmdline: &str, template: &str, is_there: &dyn Fn(&str) -> bool) -> Vec<String> {
    let mut draft = Draft::shipped();
    draft.template("site/answer.j2", template);
    let mut own = profile("debian-12", "site/answer.j2");
    if let Boot::Linux { cmdline: line, .. } = &mut own.boot {
        *line = TemplateText {
            text: cmdline.to_owned(),
            span: None,
        }
        .into();
    }
    let fetched = |path: &str, optional| FetchFile {
        path: path.to_owned(),
        optional,
        ..FetchFile::default()
    };
    own.fetch = Some(Box::new(Fetch {
        mirror: Some("http://mirror.example".to_owned()),
        files: vec![
            fetched("some/linux", false),
            fetched("some/images/stage2-{{ arch }}.img", false),
            fetched("some/images/more.img", true),
        ],
        ..Fetch::default()
    }));
    draft.profiles = vec![own];
    with_hosts(&mut draft, &[("web01", ""), ("web02", "")]);
    let found = files::missing(&in_force(&draft.build()), is_there, &|_| None);
    found
        .iter()
        .map(|problem| {
            let names = problem.message.split('`').nth(1).unwrap();
            assert!(
                problem.message.contains("web01 and web02"),
                "{}",
                problem.message
            );
            let command = problem.help.as_deref().unwrap_or_default();
            format!(
                "{names}: {}",
                command.split('`').nth(1).unwrap_or("by hand")
            )
        })
        .collect()
}

#[test]
fn files_that_texts_name_are_needed_as_well() {
    let but = |missing: &'static [&'static str]| move |path: &str| !missing.contains(&path);
    let line = "root=live:{{ asset('live/squashfs.img') }}";
    assert_eq!(missing_of(line, "x", &|_| true), [""; 0]);
    assert_eq!(
        missing_of(
            line,
            "x",
            &but(&["live/squashfs.img", "live/squashfs.img/"])
        ),
        ["live/squashfs.img: by hand"]
    );
    // Of answers too, and of what they bring in.
    let answer = "{% if true %}{{ asset('tree/' ~ arch) }}{% endif %}";
    let none = but(&["tree/x86_64", "tree/x86_64/"]);
    assert_eq!(missing_of("quiet", answer, &none), ["tree/x86_64: by hand"]);
    // A folder is enough where nobody knows what belongs into it.
    assert_eq!(missing_of("quiet", answer, &but(&["tree/x86_64"])), [""; 0]);
    let optional = "{{ asset('tree/' ~ arch, required=false) }}";
    assert_eq!(missing_of("quiet", optional, &none), [""; 0]);
    // What the profile brings into a folder has to be there, but for what it may do without.
    let stage2 = but(&[
        "some/images/stage2-x86_64.img",
        "some/images/stage2-x86_64.img/",
        "some/images/more.img",
        "some/images/more.img/",
    ]);
    assert_eq!(
        missing_of("inst.stage2={{ asset('some') }}", "x", &stage2),
        ["some/images/stage2-x86_64.img: bootwright assets fetch debian-12"]
    );
    // The same file by both ways is told once.
    assert_eq!(
        missing_of(
            "a={{ asset('some/linux') }}",
            "x",
            &but(&["some/linux", "some/linux/"])
        ),
        ["some/linux: bootwright assets fetch debian-12"]
    );
}

#[test]
fn the_installer_of_proxmox_ve_is_told_its_answers_by_dhcp() {
    let mut draft = Draft::shipped();
    draft.profiles = vec![shipped_profile("proxmox-ve-9")];
    let mut own = host(
        "pve01",
        11,
        "disk = '/dev/sda'\nroot_password_hash = '$6$salt$hash'",
    );
    own.profile = "proxmox-ve-9".parse().ok();
    draft.hosts = vec![own];
    let site = draft.build();
    let token = Token::from_bytes([7; 16]);
    let options = site.renderer.options(&site.view(Some(&token))).unwrap();
    let [option] = options.as_slice() else {
        panic!("{options:?}");
    };
    let url = format!(
        "http://10.99.0.2:8080/answers/{}/answer.toml",
        token.reveal()
    );
    assert_eq!((option.code, option.force), (250, true));
    assert_eq!(std::str::from_utf8(&option.data), Ok(url.as_str()));
    // What comes out empty is not sent, what is too long is told.
    let mut draft = Draft::shipped();
    let mut own = profile("debian-12", "debian/preseed.cfg.j2");
    let text = |code, text: &str| ProfileOption {
        code,
        value: ProfileValue::Text(TemplateText {
            text: text.to_owned(),
            span: None,
        }),
        force: false,
    };
    own.options = vec![
        text(250, "{% if vars.x is defined %}x{% endif %}"),
        text(251, "{{ 'x' * 1025 }}"),
    ];
    draft.profiles = vec![own];
    with_hosts(&mut draft, &[("web01", KEYS)]);
    let site = draft.build();
    let found = shown(&problems(&site), &site.sources);
    assert!(
        found.contains("option 251 comes out with 1025 bytes"),
        "{found}"
    );
    assert!(!found.contains("250"), "{found}");
}

#[test]
fn a_template_can_refuse_in_its_own_words() {
    let site = one_template(
        "x\n{% if vars.disk is undefined %}{{ fail('name a disk for ' ~ host.name) }}{% endif %}\n",
        &[("web01", ""), ("web02", "disk = '/dev/sda'")],
    );
    let found = problems(&site);
    assert_eq!(found.len(), 1, "{found:?}");
    let shown = shown(&found, &site.sources);
    assert!(
        shown.contains("name a disk for web01, for host web01"),
        "{shown}"
    );
    assert!(shown.contains("site/answer.j2:2:"), "{shown}");
    for call in [
        "asset('a', 'b')",
        "asset('a', needed=true)",
        "fail('a', 'b')",
    ] {
        let site = one_template(&format!("{{{{ {call} }}}}"), &[("web01", "")]);
        let found = problems(&site);
        assert_eq!(found.len(), 1, "{call}: {found:?}");
        assert_eq!(found[0].code, "template-error", "{call}");
    }
}

#[test]
fn a_host_without_a_profile_needs_no_file() {
    let mut draft = Draft::shipped();
    with_hosts(&mut draft, &[("web01", "")]);
    draft.hosts[0].profile = None;
    assert_eq!(
        files::missing(&in_force(&draft.build()), &|_| false, &|_| None),
        []
    );
}

#[test]
fn loaders_are_needed_for_the_architecture_of_the_host() {
    for (arch, loaders) in [
        (
            Architecture::X86_64,
            &[Firmware::Bios, Firmware::UefiX64][..],
        ),
        (Architecture::Aarch64, &[Firmware::UefiArm64]),
    ] {
        let mut draft = Draft::shipped();
        with_hosts(&mut draft, &[("web01", "")]);
        draft.hosts[0].arch = Some(arch);
        let config = in_force(&draft.build());
        let needed: BTreeSet<String> = files::needed(&config, &config.snapshot.hosts()[0])
            .into_iter()
            .map(|(asset, for_arch)| {
                assert_eq!(for_arch, arch);
                asset.path().unwrap().to_owned()
            })
            .collect();
        let mut expected: BTreeSet<String> = loaders
            .iter()
            .map(|firmware| config.snapshot.server.loaders[firmware].clone())
            .collect();
        expected.insert(format!("debian/12/{arch}/linux"));
        expected.insert(format!("debian/12/{arch}/initrd.gz"));
        assert_eq!(needed, expected);
    }
}

#[test]
fn a_password_in_place_of_its_hash_is_told() {
    for (hash, told) in [
        ("hunter2", true),
        ("…", true),
        ("$6$…", true),
        ("$6$salt$a b", true),
        (
            "$y$j9T$F5Jx5fExrKuPp53xLKQ..1$X3DX6M94c7o.9agCG9G317fhZg9SqC.5i5rd.RhAtQ7",
            false,
        ),
        ("$6$rounds=5000$salt$a/b.c", false),
        ("!", false),
        ("", false),
    ] {
        let mut draft = Draft::shipped();
        with_hosts(
            &mut draft,
            &[("web01", &format!("{KEYS}\nroot_password_hash = '{hash}'"))],
        );
        let codes: Vec<_> = problems(&draft.build()).iter().map(|p| p.code).collect();
        assert_eq!(codes == ["no-password-hash"], told, "{hash}: {codes:?}");
        assert!(codes.len() < 2, "{hash}: {codes:?}");
    }
}

#[test]
fn boot_files_behind_a_rendered_name_are_told() {
    let mut draft = Draft::shipped();
    with_hosts(&mut draft, &[("web01", "")]);
    draft.hosts[0].loader = Some("site/own.kpxe".to_owned());
    let mut second = draft.hosts[0].clone();
    second.name = "web02".parse().unwrap();
    second.macs = vec!["52:54:00:47:86:99".parse().unwrap()].into();
    second.loader = Some("pxelinux".to_owned());
    draft.hosts.push(second);
    let config = in_force(&draft.build());
    let mac = config.snapshot.hosts()[0].mac().unwrap().dashed();
    let mut asked = BTreeSet::new();
    let asked_for = std::cell::RefCell::new(&mut asked);
    let stranger = "52-54-00-ff-ff-ff".to_owned();
    let at_top = [mac.clone(), stranger, "debian".to_owned()];
    let is_there = |path: &str| asked_for.borrow_mut().insert(path.to_owned());
    let all = files::hidden(&config, &is_there, &at_top);
    assert_eq!(all.len(), asked.len());
    let script = format!("{mac}/boot.ipxe");
    for path in [
        "boot.ipxe",
        "autoexec.ipxe",
        "ipxe/autoexec.ipxe",
        "site/autoexec.ipxe",
        script.as_str(),
        "grub.cfg",
        "grub/grub.cfg",
        "boot/grub/grub.cfg",
        "pxelinux.cfg/default",
        "pxelinux/pxelinux.cfg/default",
        "pxelinux/efi64/pxelinux.cfg/default",
        "pxelinux/efi32/pxelinux.cfg/default",
    ] {
        assert!(asked.remove(path), "{path}");
    }
    assert_eq!(asked, BTreeSet::new());
    let machines = all
        .iter()
        .filter(|problem| problem.message.contains("only other machines"));
    assert_eq!(machines.count(), 7);
    assert_eq!(files::hidden(&config, &|_| false, &at_top), []);
}

/// A site of hosts that have everything but name and addresses in common.
fn alike(template: &str, cmdline: &str, names: &[&str]) -> Site {
    let mut draft = Draft::shipped();
    let hosts: Vec<(&str, &str)> = names.iter().map(|name| (*name, KEYS)).collect();
    with_hosts(&mut draft, &hosts);
    let own = draft.hosts[0].own.clone();
    for host in &mut draft.hosts {
        host.own = own.clone();
    }
    draft.template("site/answer.j2", template);
    draft.profiles = vec![profile("debian-12", "site/answer.j2")];
    let Boot::Linux { cmdline: text, .. } = &mut draft.profiles[0].boot else {
        panic!("it boots a Linux");
    };
    *text = TemplateText {
        text: cmdline.to_owned(),
        span: None,
    }
    .into();
    draft.build()
}

#[test]
fn hosts_that_are_alike_are_told_of_by_name() {
    let names = ["web01", "web02", "web03", "web04"];
    let told = |template: &str| {
        let found = problems(&alike(template, "quiet", &names));
        let messages = found.into_iter().map(|problem| problem.message);
        messages.collect::<Vec<_>>()
    };
    assert_eq!(told("{{ host.name }} {{ host.mac | shq }}"), [""; 0]);
    // What looks at the name is rendered for each of them.
    let one = told("{% if host.name == 'web03' %}{{ vars.nobody }}{% endif %}");
    assert_eq!(one.len(), 1, "{one:?}");
    assert!(one[0].ends_with("for host web03"), "{one:?}");
    // What looks at something that they share is rendered with it.
    let shared = told("{% if host.domain == 'lab.example' %}{{ vars.nobody }}{% endif %}");
    assert_eq!(shared.len(), 1, "{shared:?}");
    let all = told("{{ host.name }} {{ vars.nobody }}");
    assert_eq!(all.len(), 1, "{all:?}");
    assert!(
        all[0].ends_with("for host web01 and 3 other hosts"),
        "{all:?}"
    );
}

#[test]
fn the_longest_name_is_what_has_to_fit() {
    let long = "w".repeat(63);
    let names = ["web01", &long, "web03"];
    // With what is added at boot, there is room for 50 more characters or so.
    let cmdline = format!("{} {{{{ host.name }}}}", "y".repeat(1_950));
    let found = problems(&alike("{{ host.name }}", &cmdline, &names));
    assert_eq!(found.len(), 1, "{found:?}");
    let expected = format!("for host {long}");
    assert!(found[0].message.ends_with(&expected), "{found:?}");
    assert_eq!(problems(&alike("x", &cmdline, &names[..1])), []);
}

#[test]
fn a_template_that_includes_itself_is_told() {
    let site = one_template("{% include 'site/answer.j2' %}", &[("web01", "")]);
    let found = problems(&site);
    assert_eq!(found.len(), 1);
    assert!(found[0].message.contains("nested too deeply"), "{found:?}");
    assert!(found[0].help.is_some());
}

#[test]
fn offline_commands_say_which_address_they_show() {
    let mut draft = Draft::shipped();
    assert_eq!(check::offline_note(&draft.subnet_only(), None), None);
    draft.subnet.server = None;
    insta::assert_snapshot!(check::offline_note(&draft.subnet_only(), None).unwrap(), @r#"URLs are shown with 10.99.0.2 for subnet lab, because `server` is not set there; the daemon uses the address that machines reach it by"#);
}

/// Not a measurement, a bound that a mistake such as parsing templates for each host would break by
/// far: unoptimised, on a shared machine.
#[test]
fn a_thousand_hosts_are_checked_in_reasonable_time() {
    let mut draft = Draft::shipped();
    for n in 0..1_000_u16 {
        let mut host = host(&format!("web{n:04}"), 11, KEYS);
        host.ip = Some([10, 99, n.to_be_bytes()[0], n.to_be_bytes()[1]].into());
        draft.hosts.push(host);
    }
    let site = draft.build();
    let begin = std::time::Instant::now();
    assert_eq!(problems(&site), []);
    let took = begin.elapsed();
    assert!(took.as_secs() < 20, "{took:?}");
}

#[test]
fn the_length_of_a_whole_name_is_that_of_its_text() {
    let mut draft = Draft::shipped();
    draft.hosts = vec![host("web001", 11, KEYS)];
    let mut host = (*draft.build().snapshot.hosts()[0]).clone();
    let names = [
        (None, None),
        (None, Some("lab.example")),
        (Some("a.b"), None),
        (Some("a.b.c"), Some("lab.example")),
    ];
    for (written, domain) in names {
        host.written_fqdn = written.map(str::to_owned);
        host.domain = domain.map(str::to_owned);
        assert_eq!(host.fqdn_len(), host.fqdn().map(|fqdn| fqdn.len()));
    }
}

/// Many hosts are proven by one rendering only as long as the templates do nothing with a host's own values but print
/// them. A text that does more (it compares hardware addresses, or hands texts on) is rendered for each host, the
/// others are not.
#[test]
fn the_shipped_templates_look_at_few_hosts_own_values() {
    for name in shipped_snapshot().profiles().keys() {
        let mut draft = Draft::shipped();
        draft.profiles = vec![shipped_profile(name.as_str())];
        let mut hosts: Vec<_> = (1..=20)
            .map(|last| {
                let mut host = host(&format!("web{last:03}"), last, KEYS);
                host.profile = Some(name.clone());
                host
            })
            .collect();
        let own = hosts[0].own.clone();
        for host in &mut hosts {
            host.own = own.clone();
        }
        draft.hosts = hosts;
        let site = draft.build();
        let (kinds, texts) = check::kinds_of(&site.snapshot);
        assert_eq!(kinds, 1, "{name}: each kind is rendered by itself");
        let is_of = |families: &[&str]| families.iter().any(|of| name.as_str().starts_with(of));
        let expected: Option<&[&str]> = if is_of(&["debian-"]) {
            Some(&[])
        } else if is_of(&["ubuntu-"]) {
            Some(&["netplan.yaml"])
        } else if is_of(&["rhel-", "alma-", "rocky-", "centos-", "fedora-4"]) {
            Some(&["install.sh", "ks.cfg"])
        } else {
            None
        };
        if let Some(expected) = expected {
            assert_eq!(texts.iter().collect::<Vec<_>>(), expected, "{name}");
        }
        assert!(!texts.contains("postinstall.sh"), "{name}: {texts:?}");
    }
}
