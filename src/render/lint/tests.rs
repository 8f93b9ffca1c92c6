use proptest::prelude::*;

use super::*;

/// Findings as they are told, `!` before what is wrong and `?` before what is doubtful.
fn told(format: Format, text: &str) -> Vec<String> {
    let sign = |weight| match weight {
        Weight::Wrong => '!',
        Weight::Doubtful => '?',
    };
    check(format, text)
        .into_iter()
        .map(|found| format!("{} {}: {}", sign(found.weight), found.line, found.message))
        .collect()
}

const ALL: [Format; 11] = [
    Format::Preseed,
    Format::Kickstart,
    Format::AutoYast,
    Format::Agama,
    Format::Ignition,
    Format::UserData,
    Format::MetaData,
    Format::Xml,
    Format::Json,
    Format::Yaml,
    Format::Toml,
];

#[test]
fn formats_are_told_by_family_name_and_type() {
    let of = |family, name| format_of(family, name, "text/plain", "x");
    assert_eq!(of("debian", "preseed.cfg"), Some(Format::Preseed));
    assert_eq!(of("debian", "other.txt"), None);
    assert_eq!(
        format_of("ubuntu", "old.cfg", "text/plain", "d-i a/b string c\n"),
        Some(Format::Preseed)
    );
    assert_eq!(of("redhat", "ks.cfg"), Some(Format::Kickstart));
    // ESXi has another language of this name.
    assert_eq!(of("esxi", "ks.cfg"), None);
    assert_eq!(of("suse", "autoinst.xml"), Some(Format::AutoYast));
    assert_eq!(of("suse", "agama.json"), Some(Format::Agama));
    assert_eq!(of("coreos", "config.ign"), Some(Format::Ignition));
    assert_eq!(of("windows", "autounattend.xml"), Some(Format::Xml));
    assert_eq!(of("ubuntu", "user-data"), Some(Format::UserData));
    assert_eq!(of("other", "meta-data"), Some(Format::MetaData));
    assert_eq!(of("other", "answer.toml"), Some(Format::Toml));
    assert_eq!(
        format_of("other", "answers", "application/json; charset=utf-8", "x"),
        Some(Format::Json)
    );
    assert_eq!(
        format_of("redhat", "ks.cfg", "text/plain", "#!/bin/sh\n"),
        None
    );
    assert_eq!(of("other", "install.sh"), None);
}

#[test]
fn kickstart() {
    let good = "# a comment\nlang en_US.UTF-8\nkeyboard --xlayouts='us'\ntimezone Europe/Oslo --utc\n\
        rootpw --lock\nsshkey --username=root \"ssh-ed25519 AAAA o'brien\"\nautopart --type=lvm\n\n\
        %packages --ignoremissing\n@core\n-linux-firmware\n%end\n\
        %post --log=/root/post.log\ncat <<EOF\n%packages\nrootpw x\nEOF\n%end\n\
        %addon com_redhat_kdump --disable\n%end\n";
    assert_eq!(told(Format::Kickstart, good), [""; 0]);
    let bad = "lang en_US\nlang nb_NO\nrootpw a\nautopart\nfirewal --enabled\n%end\n\
        sshkey --username=ops k1\nsshkey --username \"ops\" k2\n\
        %packages\n@core\n%post\necho\n%end\n%pots\n%end\n%pre\necho";
    assert_eq!(
        told(Format::Kickstart, bad),
        [
            "? 1: nothing says the time zone (`timezone`), and the installer waits for an answer",
            "? 2: `lang` stands in line 1 too, and this one wins",
            "? 5: kickstart knows no command `firewal`; did you mean `firewall`?",
            "! 6: `%end` closes a section, and none is open",
            "! 8: `sshkey` for the same user stands in line 7, and one is the most",
            "! 9: the section `%packages` has no `%end`",
            "! 14: there is no section `%pots`; did you mean `%post`?",
            "! 16: the section `%pre` has no `%end`",
        ]
    );
    // What is included may say the rest.
    assert_eq!(
        told(Format::Kickstart, "lang en_US\n%include /tmp/part\n"),
        [""; 0]
    );
}

#[test]
fn autoinstall() {
    let good = "#cloud-config\n# zoë's & co\nautoinstall:\n  version: 1\n  identity: {hostname: web01, username: ops, password: \"$6$x\"}\n\
        \x20 storage:\n    layout: &l {name: lvm}\n    other: *l\n  late-commands:\n    - \"echo \\u0027x\\u0027\"\n    - |\n      two\n      lines\n";
    assert_eq!(told(Format::UserData, good), [""; 0]);
    assert_eq!(
        told(
            Format::UserData,
            "#cloud-config\nautoinstall:\n  version: 1\n  user-data: {}\n  early-commands: []\n"
        ),
        [""; 0]
    );
    let bad = "autoinstall:\n  version: 2\n  identify:\n    hostname: x\n  locale: a\n  locale: b\n  late-commands: reboot\n";
    assert_eq!(
        told(Format::UserData, bad),
        [
            "? 1: it does not begin with `#cloud-config`, without which cloud-init takes no user data",
            "! 2: the `version` of `autoinstall` is 1, there is no other",
            "? 2: `autoinstall` has neither `identity` nor `user-data`, and the installer asks for a user",
            "? 3: `autoinstall` knows no key `identify`; did you mean `identity`?",
            "? 6: the key `locale` stands twice in its mapping",
            "! 7: `late-commands` is a list of commands, and this is none",
        ]
    );
    assert_eq!(
        told(
            Format::UserData,
            "#cloud-config\nautoinstall:\n  identity: {username: x}\n"
        ),
        [
            "! 3: `autoinstall` has no `version`",
            "! 3: `identity` has no `hostname`",
            "! 3: `identity` has no `password`",
        ]
    );
    let broken = told(Format::UserData, "#cloud-config\na: 'b\nc: d\n");
    assert!(
        broken[0].starts_with("! ") && broken[0].contains("it is no YAML"),
        "{broken:?}"
    );
    // Of other kinds.
    for text in [
        "",
        "#!/bin/sh\n: [\n",
        "#include\nhttp://x\n",
        "#cloud-config\n{}\n",
    ] {
        assert_eq!(told(Format::UserData, text), [""; 0]);
    }
    assert_eq!(told(Format::MetaData, "instance-id: web01\n"), [""; 0]);
    assert_eq!(told(Format::MetaData, ""), [""; 0]);
    assert_eq!(told(Format::MetaData, "local-hostname: x\n").len(), 1);
    assert_eq!(
        told(Format::MetaData, "[]\n"),
        ["! 1: meta data are a mapping, and this is none"]
    );
}

#[test]
fn autoyast() {
    let profile = |inner: &str| {
        format!(
            "<?xml version=\"1.0\"?>\n<!DOCTYPE profile>\n<profile xmlns=\"http://www.suse.com/1.0/yast2ns\" xmlns:config=\"http://www.suse.com/1.0/configns\">\n{inner}\n</profile>\n"
        )
    };
    let good = profile(
        "<general><mode><confirm config:type=\"boolean\">false</confirm><final_halt t=\"boolean\">true</final_halt></mode></general>\n\
         <partitioning config:type=\"list\"><drive><device>/dev/disk/by-id/a&amp;b</device></drive></partitioning>\n\
         <users t=\"list\"/>\n\
         <scripts><chroot-scripts config:type=\"list\"><script><source><![CDATA[a && b]]></source></script></chroot-scripts></scripts>",
    );
    assert_eq!(told(Format::AutoYast, &good), [""; 0]);
    let bad = profile(
        "<general><mode><confirm config:type=\"boolean\">no</confirm></mode></general>\n\
         <partitioning><drive/></partitioning>\n\
         <general/>\n\
         <x config:type=\"bool\">true</x>\n\
         <scripts><post-script/>\n<init-scripts config:type=\"list\"><script/></init-scripts></scripts>\n\
         <y config:type=\"integer\">1 GB</y>",
    );
    assert_eq!(
        told(Format::AutoYast, &bad),
        [
            "! 4: <confirm> is a boolean, and `no` is neither true nor false",
            "! 5: <partitioning> is a list and does not say so",
            "? 6: <general> stands in line 4 too",
            "! 7: <x> has the type `bool`, which there is not; boolean, integer, list, map, string, symbol, disksize are the types",
            "? 8: <scripts> knows no <post-script>; pre-scripts, postpartitioning-scripts, chroot-scripts, post-scripts, init-scripts are its kinds",
            "! 9: a script of <init-scripts> has neither <source> nor <location>",
            "! 10: <y> is an integer, and `1 GB` is none",
        ]
    );
    let other = told(Format::AutoYast, "<profile/>");
    assert!(
        other[0].starts_with("! 1: an AutoYaST profile is an element"),
        "{other:?}"
    );
    assert_eq!(told(Format::Xml, "<a b='&amp;'>ü</a>"), [""; 0]);
    let broken = told(Format::Xml, "<a>\n<b>o & k</b>\n</a>");
    assert!(broken[0].starts_with("! 2: it is no XML"), "{broken:?}");
}

#[test]
fn ignition_and_agama() {
    let good = "{\n  \"ignition\": {\"version\": \"3.3.0\"},\n  \"storage\": {\"files\": [\n    {\"path\": \"/etc/motd\", \"contents\": {\"source\": \"data:,o\\u0027brien\"}},\n    {\"path\": \"/etc/x\"}]},\n  \"systemd\": {\"units\": [{\"name\": \"a.service\"}]}\n}\n";
    assert_eq!(told(Format::Ignition, good), [""; 0]);
    let bad = "{\n  \"ignition\": {\"version\": \"3\"},\n  \"storage\": {\"files\": [\n    {\"path\": \"etc/motd\"},\n    {\"mode\": 420},\n    {\"path\": \"/a\", \"contents\": {\"source\": \"hello\"}}]},\n  \"systemd\": {\"units\": [{\"name\": \"a\"},\n    {\"name\": \"a\"}]}\n}\n";
    assert_eq!(
        told(Format::Ignition, bad),
        [
            "! 2: `3` is no version of Ignition's configurations",
            "! 4: the path `etc/motd` does not begin with `/`",
            "! 5: an entry of `storage` has no `path`",
            "! 6: a `source` is a URL, and this is none",
            "! 7: `a` is no name of a unit: its kind is missing, such as `.service`",
            "! 8: `a` is no name of a unit: its kind is missing, such as `.service`",
            "! 8: the unit `a` stands twice",
        ]
    );
    assert_eq!(
        told(Format::Ignition, "[]"),
        ["! 1: an Ignition configuration is an object, and this is none"]
    );
    assert_eq!(
        told(Format::Json, "{\"a\": 1,\n}"),
        ["! 2: it is no JSON: trailing comma"]
    );
    assert_eq!(
        told(Format::Json, "{\"a\": 1,\n\"a\": 2}"),
        ["? 2: the key `a` stands twice in its mapping"]
    );
    // Tabs, as JSON is often indented.
    assert_eq!(
        told(Format::Json, "{\n\t\"a\": [\n\t\t1\n\t]\n}\n"),
        [""; 0]
    );

    let good = "{\"product\": {\"id\": \"SLES\"}, \"root\": {}, \"scripts\": {\"post\": [{\"name\": \"a\", \"url\": \"http://x\"}]}}";
    assert_eq!(told(Format::Agama, good), [""; 0]);
    let bad = "{\"product\": {\"mode2\": \"x\"},\n\"softwares\": {},\n\"scripts\": {\"init\": [{\"name\": \"a\"}]}}";
    assert_eq!(
        told(Format::Agama, bad),
        [
            "? 1: `product` knows no `mode2`; did you mean `mode`?",
            "? 1: `product` has no `id`",
            "? 2: an Agama profile knows no `softwares`; did you mean `software`?",
            "! 3: a script needs a `name`, and `content` or `url`",
        ]
    );
}

#[test]
fn the_disks_of_an_agama_profile() {
    let good = "{\"storage\": {\"boot\": {\"configure\": true, \"device\": \"disk\"},\n\
        \"drives\": [{\"alias\": \"disk\", \"ptableType\": \"gpt\", \"partitions\": [{\"search\": \"*\", \"delete\": true},\n\
        {\"id\": \"esp\", \"size\": \"512 MiB\", \"filesystem\": {\"path\": \"/boot/efi\"}}, {\"alias\": \"pv\", \"size\": {\"min\": \"1.5 TB\", \"max\": 7}}]}],\n\
        \"volumeGroups\": [{\"physicalVolumes\": [\"pv\"], \"logicalVolumes\": [{\"size\": [\"1 GiB\", \"current\"], \"filesystem\": {\"path\": \"/\"}}]}]}}";
    assert_eq!(told(Format::Agama, good), [""; 0]);
    // An alias stands for all devices that bear it.
    let shared = "{\"storage\": {\"drives\": [{\"search\": \"/dev/vda\", \"partitions\": [{\"alias\": \"raid\", \"id\": \"raid\"}]},\n\
        {\"search\": \"/dev/vdb\", \"partitions\": [{\"alias\": \"raid\", \"id\": \"raid\"}]}],\n\
        \"mdRaids\": [{\"devices\": [\"raid\"], \"level\": \"raid1\"}]}}";
    assert_eq!(told(Format::Agama, shared), [""; 0]);
    let bad = "{\"storage\": {\"boot\": {\"device\": \"disc\"},\n\
        \"drives\": [{\"alias\": \"disk\", \"ptableType\": \"mbr\"},\n\
        {\"alias\": \"disk\", \"partitions\": [{\"delete\": true},\n\
        {\"id\": \"efi\", \"size\": \"512 megs\", \"filesystem\": {\"path\": \"/\"}},\n\
        {\"size\": {\"min\": \"much\"}, \"filesystem\": {\"path\": \"/\"}}]}],\n\
        \"mdRaids\": [{\"devices\": [\"a\"]}], \"lvm\": true},\n\
        \"user\": {\"userName\": \"x\", \"fullName\": \"X\"}, \"software\": {\"extraRepositories\": [{\"url\": \"http://x\"}]}}";
    assert_eq!(
        told(Format::Agama, bad),
        [
            "! 1: `boot` has no `configure`",
            "! 1: no device has the alias `disc`",
            "! 2: `mbr` is no kind of a table of partitions: there are gpt, msdos, dasd",
            "! 3: `delete` of a partition needs a `search`",
            "! 4: `efi` is no kind of a partition: there are linux, swap, lvm, raid, esp, prep, bios_boot",
            "! 4: `512 megs` is no size, such as `8 GiB`",
            "! 5: `much` is no size, such as `8 GiB`",
            "! 5: two file systems are mounted at `/`",
            "? 6: `storage` knows no `lvm`",
            "! 6: no device has the alias `a`",
            "! 7: `user` has no `password`",
            "! 7: a repository has no `alias`",
        ]
    );
}

#[test]
fn toml_and_yaml() {
    assert_eq!(told(Format::Toml, "[global]\na = \"\\u0027\"\n"), [""; 0]);
    let broken = told(Format::Toml, "a = 1\n\nb = x\n");
    assert!(broken[0].starts_with("! 3: it is no TOML"), "{broken:?}");
    assert_eq!(told(Format::Yaml, "a: 1\n---\nb: [1, 2]\n"), [""; 0]);
    let broken = told(Format::Yaml, "a: 1\n---\nb: [1, 2\n");
    assert!(broken[0].contains("it is no YAML"), "{broken:?}");
    assert_eq!(told(Format::Yaml, "version: 2\n\tx: y\n").len(), 1);
}

#[test]
fn deep_texts_end() {
    for deep in ["[", "{\"a\":", "- ", "<a>", "a: {"] {
        let text = deep.repeat(100_000);
        for format in ALL {
            check(format, &text);
        }
    }
    let bomb = "a: &a [x, x]\nb: &b [*a, *a, *a, *a]\nc: [*b, *b, *b, *b]\n";
    assert_eq!(told(Format::Yaml, bomb), [""; 0]);
}

/// Pieces of these formats.
fn pieces() -> impl Strategy<Value = String> {
    let piece = prop::sample::select(vec![
        "autoinstall:\n",
        "  version: 1\n",
        "#cloud-config\n",
        "- ",
        "&a ",
        "*a",
        ": ",
        "\n",
        "  ",
        "{",
        "}",
        "[",
        "]",
        "\"",
        "'",
        "%packages",
        "%end\n",
        "sshkey --username",
        "=",
        "<profile",
        " xmlns=",
        "<!DOCTYPE a [",
        "<!ENTITY b '&b;'>",
        "]>",
        "/>",
        "<![CDATA[",
        "&amp;",
        "ignition",
        "version",
        "\\",
        "!tag ",
        "|\n",
        "ü",
        "\t",
    ]);
    prop::collection::vec(piece, 0..40).prop_map(|pieces| pieces.concat())
}

proptest! {
    #[test]
    fn any_text_is_read(text in any::<String>()) {
        for format in ALL {
            check(format, &text);
        }
    }

    #[test]
    fn pieces_are_read_and_lines_are_lines(text in pieces()) {
        for format in ALL {
            for found in check(format, &text) {
                prop_assert!(found.line >= 1 && found.line <= text.lines().count() + 2);
                prop_assert!(!found.message.contains('\n'));
            }
        }
    }

    #[test]
    fn quoted_values_are_no_mistake(value in "\\PC{0,40}") {
        let json = serde_json::to_string(&value).unwrap();
        prop_assert_eq!(told(Format::Json, &format!("{{\"a\": {json}}}")), [""; 0]);
        let yaml = format!("#cloud-config\nautoinstall:\n  version: 1\n  user-data: {{}}\n  locale: {json}\n");
        prop_assert_eq!(told(Format::UserData, &yaml), [""; 0]);
    }
}
