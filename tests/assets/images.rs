//! Images as xorriso and genisoimage make them: read whole, recognised, taken apart. And images that no
//! honest program makes.

use std::fs;
use std::io::Cursor;
use std::path::{Path, PathBuf};
use std::process::Command;

use bootwright::assets::fetch::From;
use bootwright::assets::image::{copy_tree, declaration, profile_text};
use bootwright::assets::iso::{Image, IsoError, Limits, Node, exercise};
use bootwright::assets::manifest::Manifest;
use bootwright::assets::recognise::{Recognised, recognise};
use bootwright::assets::source::open_image;
use bootwright::base::Architecture;
use proptest::prelude::*;

use crate::site::{Place, initrd, kernel, run};

/// The files of an image that is to be made.
pub(crate) fn tree(files: &[(&str, &[u8])]) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    for (path, bytes) in files {
        let path = folder.path().join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, bytes).unwrap();
    }
    folder
}

/// Makes an image of a folder. `tool` is `xorrisofs` or `genisoimage`, and `how` its arguments.
pub(crate) fn make(tool: &str, how: &[&str], folder: &Path) -> PathBuf {
    let image = folder.with_extension("iso");
    let mut command = Command::new(tool);
    if tool == "genisoimage" {
        command.arg("-quiet");
    } else {
        command.args(["-quiet", "-no-pad"]);
    }
    run(command.args(how).arg("-o").arg(&image).arg(folder));
    image
}

fn known(image: &Path) -> Recognised {
    recognise(&mut open_image(image).unwrap()).unwrap().unwrap()
}

fn bytes_of(image: &Path, path: &str) -> Vec<u8> {
    let mut out = Vec::new();
    open_image(image).unwrap().copy(path, &mut out).unwrap();
    out
}

/// Each way of writing names, by each tool.
const WAYS: [(&str, &[&str]); 8] = [
    ("xorrisofs", &["-r"]),
    ("xorrisofs", &["-r", "-J"]),
    ("xorrisofs", &["-J", "-joliet-long"]),
    ("xorrisofs", &["-iso-level", "3"]),
    ("genisoimage", &["-R", "-J"]),
    ("genisoimage", &["-R", "-D"]),
    ("genisoimage", &["-J", "-joliet-long"]),
    ("genisoimage", &["-l", "-allow-lowercase"]),
];

#[test]
fn files_come_out_as_they_went_in_however_names_are_written() {
    let long = "a-name-that-is-longer-than-what-plain-names-may-be.with.dots";
    let (linux, ram) = (kernel(7), initrd(7));
    let empty: &[u8] = b"";
    let files = [
        ("boot/vmlinuz", linux.as_slice()),
        ("boot/initrd.gz", &ram),
        ("empty.txt", empty),
    ];
    let folder = tree(&files);
    let image_of = |(tool, how): (&str, &[&str])| make(tool, how, folder.path());
    for way in WAYS {
        let image = image_of(way);
        for (path, bytes) in files {
            let path = if way.1.contains(&"-R") || way.1.contains(&"-r") {
                path
            } else {
                // Plain names may lack what does not fit into them.
                path.trim_end_matches(".gz")
            };
            let mut opened = open_image(&image).unwrap();
            let found = opened
                .find(path)
                .or_else(|| opened.find(&format!("{path}.gz")));
            let found = found
                .unwrap_or_else(|| panic!("{way:?}: {path} in {:?}", opened.nodes()))
                .to_owned();
            let mut out = Vec::new();
            opened.copy(&found, &mut out).unwrap();
            assert_eq!(out, bytes, "{way:?} {path}");
        }
        fs::remove_file(image).unwrap();
    }
    // Long names, and more of them than a sector holds.
    for number in 0..200 {
        fs::write(
            folder.path().join(format!("boot/{number}-{long}")),
            number.to_string(),
        )
        .unwrap();
    }
    for way in [WAYS[0], WAYS[4], WAYS[2], WAYS[6]] {
        let image = image_of(way);
        let opened = open_image(&image).unwrap();
        assert_eq!(opened.nodes().len(), 203, "{way:?}");
        assert_eq!(
            bytes_of(&image, &format!("boot/123-{long}")),
            b"123",
            "{way:?}"
        );
        fs::remove_file(image).unwrap();
    }
}

#[test]
fn deep_folders_and_links() {
    let deep = "1/2/3/4/5/6/7/8/9/10/11/12/file";
    let folder = tree(&[(deep, b"deep"), ("dists/bookworm/Release", b"release")]);
    let link =
        |to: &str, name: &str| std::os::unix::fs::symlink(to, folder.path().join(name)).unwrap();
    link("bookworm", "dists/stable");
    link("dists/bookworm/Release", "to-release");
    link("../../etc/passwd", "out");
    link("/etc/passwd", "absolute");
    link(&format!("{}/x", "part-of-a-long-link/".repeat(30)), "long");
    link(&"three/".repeat(3), "short");
    for (tool, how) in [("xorrisofs", &["-r"][..]), ("genisoimage", &["-R"])] {
        let image = make(tool, how, folder.path());
        // Folders deeper than eight were moved up, and stand where they belong again.
        assert_eq!(bytes_of(&image, deep), b"deep", "{tool}");
        assert_eq!(bytes_of(&image, "to-release"), b"release", "{tool}");
        let opened = open_image(&image).unwrap();
        assert_eq!(opened.find("out"), None);
        assert_eq!(opened.find("absolute"), None);
        let points_to = |name: &str| match opened.nodes().get(name) {
            Some(Node::Link(to)) => to.clone(),
            other => panic!("{tool}: {name} is {other:?}"),
        };
        assert_eq!(points_to("short"), "three/three/three", "{tool}");
        // genisoimage writes wrong lengths when a link does not fit into one entry.
        if tool == "xorrisofs" {
            assert_eq!(
                points_to("long").matches("part-of-a-long-link/").count(),
                30
            );
        }

        let place = Place::new();
        fs::create_dir_all(place.path()).unwrap();
        let done = copy_tree(&image, "os/tree", &place.path(), "os", "now", &mut |_| ()).unwrap();
        assert_eq!(done.files, 2);
        // Four lead out of it, or to nothing in it.
        assert_eq!(done.passed_over, 4, "{tool}");
        assert_eq!(
            place.read("os/tree/dists/stable/Release").unwrap(),
            b"release"
        );
        assert!(fs::symlink_metadata(place.path().join("os/tree/out")).is_err());
        assert_eq!(Manifest::read(&place.path()).unwrap().files.len(), 2);
        fs::remove_file(image).unwrap();
    }
}

type Files<'a> = Vec<(&'a str, &'a [u8])>;

#[test]
fn distributions_are_recognised() {
    let (linux, ram) = (kernel(1), initrd(1));
    let (linux, ram) = (linux.as_slice(), ram.as_slice());
    let treeinfo = b"[general]\nfamily = Rocky Linux\nversion = 9.4\narch = x86_64\n[images-x86_64]\nkernel = images/pxeboot/vmlinuz\ninitrd = images/pxeboot/initrd.img\n";
    let cases: Vec<(Files<'_>, &str, &str, &str)> = vec![
        (
            vec![
                (".disk/info", b"Debian GNU/Linux 12.11.0 \"Bookworm\" - Official amd64 NETINST with firmware 20250517-09:52"),
                ("install.amd/vmlinuz", linux),
                ("install.amd/initrd.gz", ram),
            ],
            "debian-12",
            "debian",
            "install.amd/vmlinuz",
        ),
        (
            vec![
                (".disk/info", b"Ubuntu-Server 24.04.3 LTS \"Noble Numbat\" - Release amd64 (20250805.1)"),
                ("casper/vmlinuz", linux),
                ("casper/initrd", ram),
            ],
            "ubuntu-24.04",
            "ubuntu",
            "casper/vmlinuz",
        ),
        (
            vec![
                (".treeinfo", treeinfo),
                ("images/pxeboot/vmlinuz", linux),
                ("images/pxeboot/initrd.img", ram),
            ],
            "rocky-9",
            "redhat",
            "images/pxeboot/vmlinuz",
        ),
        (
            vec![
                ("media.1/media", b"openSUSE - openSUSE-Leap-15.6-x86_64-Build709.1\nopenSUSE-Leap-15.6-x86_64-Build709.1-Media\n1\n"),
                ("boot/x86_64/loader/linux", linux),
                ("boot/x86_64/loader/initrd", ram),
            ],
            "opensuse-leap-15.6",
            "suse",
            "boot/x86_64/loader/linux",
        ),
        (
            vec![
                ("media.1/media", b"SUSE - SLE-15-SP6-Full-x86_64-Build83.1\nSLE-15-SP6-Full-x86_64-Build83.1-Media\n2\n"),
                ("boot/x86_64/loader/linux", linux),
                ("boot/x86_64/loader/initrd", ram),
            ],
            "sles-15-sp6",
            "suse",
            "boot/x86_64/loader/linux",
        ),
        (
            vec![
                (".alpine-release", b"alpine-standard-3.22.1 250715\n"),
                ("boot/vmlinuz-lts", linux),
                ("boot/initramfs-lts", ram),
                ("boot/modloop-lts", b"hsqs"),
            ],
            "alpine-3.22",
            "alpine",
            "boot/vmlinuz-lts",
        ),
        (
            vec![
                ("images/pxeboot/vmlinuz", linux),
                ("images/pxeboot/initrd.img", ram),
                ("images/pxeboot/rootfs.img", b"rootfs"),
            ],
            "fedora-coreos",
            "coreos",
            "images/pxeboot/vmlinuz",
        ),
        (
            vec![
                ("arch/boot/x86_64/vmlinuz-linux", linux),
                ("arch/boot/x86_64/initramfs-linux.img", ram),
            ],
            "arch",
            "tool",
            "arch/boot/x86_64/vmlinuz-linux",
        ),
        (
            vec![
                ("isolinux/isolinux.cfg", b"default x\nlabel x\n kernel vmlinuz\n append initrd=core.gz quiet\n"),
                ("isolinux/vmlinuz", linux),
                ("isolinux/core.gz", ram),
            ],
            "some-tool",
            "other",
            "isolinux/vmlinuz",
        ),
    ];
    for (files, name, family, kernel) in cases {
        let folder = tree(&files);
        let image = make("xorrisofs", &["-r", "-J", "-V", "Some_Tool"], folder.path());
        let found = known(&image);
        assert_eq!(found.profile_name(), name);
        assert_eq!(
            (found.family, found.kernel.as_str()),
            (family, kernel),
            "{name}"
        );
        assert_eq!(found.arch, Architecture::X86_64, "{name}");
        // What is written is a profile, and what it loads is there.
        let text = profile_text(&found, true);
        let table: toml::Table = text.parse().unwrap();
        let boot = table["boot"].as_table().unwrap();
        let mut place = Place::new();
        let brought = place.fetch(&declaration(&found), From::Local(&image));
        if name == "fedora-coreos" || name == "alpine-3.22" || !found.whole {
            brought.unwrap();
        } else {
            let whole = brought.unwrap();
            assert!(whole.iter().any(|file| file.path.ends_with("/image.iso")));
        }
        assert!(place.read(boot["kernel"].as_str().unwrap()).is_some());
        assert!(place.read(boot["initrd"][0].as_str().unwrap()).is_some());
        fs::remove_file(image).unwrap();
    }
}

#[test]
fn nothing_known_is_told() {
    let folder = tree(&[("README.TXT", b"This disc contains a \"UDF\" file system")]);
    let image = make("genisoimage", &[], folder.path());
    assert_eq!(recognise(&mut open_image(&image).unwrap()).unwrap(), None);
    fs::remove_file(image).unwrap();
}

#[test]
fn an_image_that_was_cut_off_is_told() {
    let folder = tree(&[("boot/vmlinuz", &kernel(1))]);
    let image = make("xorrisofs", &["-r"], folder.path());
    let whole = fs::read(&image).unwrap();
    fs::write(&image, &whole[..whole.len() - 4_096]).unwrap();
    let error = open_image(&image).unwrap_err().to_string();
    assert!(error.contains("cut off"), "{error}");
    fs::remove_file(image).unwrap();
}

/// An image made by hand: these records in the root directory, which lies in sector 20.
fn by_hand(records: &[Vec<u8>], sectors: u32) -> Vec<u8> {
    let mut bytes = vec![0; sectors as usize * 2_048];
    let both = |number: u32| [number.to_le_bytes(), number.to_be_bytes()].concat();
    let root = record(b"\0", 20, 2_048, 2);
    let descriptor = &mut bytes[16 * 2_048..];
    descriptor[..7].copy_from_slice(b"\x01CD001\x01");
    descriptor[80..88].copy_from_slice(&both(sectors));
    descriptor[128..132].copy_from_slice(&[0, 8, 8, 0]);
    descriptor[156..156 + root.len()].copy_from_slice(&root);
    bytes[17 * 2_048..17 * 2_048 + 6].copy_from_slice(b"\xffCD001");
    let mut at = 20 * 2_048;
    for record in [root.clone(), record(b"\x01", 20, 2_048, 2)]
        .iter()
        .chain(records)
    {
        bytes[at..at + record.len()].copy_from_slice(record);
        at += record.len();
    }
    bytes
}

fn record(name: &[u8], block: u32, size: u32, flags: u8) -> Vec<u8> {
    let mut bytes = vec![0; 33 + name.len() + usize::from(name.len().is_multiple_of(2))];
    bytes[0] = u8::try_from(bytes.len()).unwrap();
    bytes[2..6].copy_from_slice(&block.to_le_bytes());
    bytes[10..14].copy_from_slice(&size.to_le_bytes());
    bytes[25] = flags;
    bytes[32] = u8::try_from(name.len()).unwrap();
    bytes[33..33 + name.len()].copy_from_slice(name);
    bytes
}

#[test]
fn a_file_of_several_extents_is_one() {
    let mut bytes = by_hand(
        &[
            record(b"BIG.BIN;1", 24, 2_048, 0x80),
            record(b"BIG.BIN;1", 22, 2_048, 0x80),
            record(b"BIG.BIN;1", 23, 5, 0),
            record(b"Z.;1", 23, 1, 0),
        ],
        25,
    );
    for (sector, byte) in [(24, b'a'), (22, b'b'), (23, b'c')] {
        bytes[sector * 2_048..(sector + 1) * 2_048].fill(byte);
    }
    let mut image = Image::open(Cursor::new(bytes)).unwrap();
    let mut out = Vec::new();
    assert_eq!(image.copy("big.bin", &mut out).unwrap(), 4_101);
    assert_eq!([out[0], out[2_048], out[4_096]], *b"abc");
    assert_eq!(image.file_size("z"), Some(1));
}

#[test]
fn hostile_images_are_refused_or_harmless() {
    let open = |records: &[Vec<u8>]| Image::open(Cursor::new(by_hand(records, 30)));
    // A folder that is its own child.
    let image = open(&[record(b"LOOP", 20, 2_048, 2), record(b"A.;1", 22, 1, 0)]).unwrap();
    assert_eq!(image.nodes().len(), 1);
    // Names that would lead out of a folder.
    let image = open(&[
        record(b"..", 22, 1, 0),
        record(b"a/b", 22, 1, 0),
        record(b"../../etc/x", 22, 1, 0),
        record(b"a\nb", 22, 1, 0),
        record(b";1", 22, 1, 0),
    ])
    .unwrap();
    assert_eq!(image.nodes().len(), 0);
    assert_eq!(image.passed_over, 5);
    // A file and a folder that lie outside.
    let mut image = open(&[
        record(b"FAR.;1", 4_000_000, 10, 0),
        record(b"LONG.;1", 22, u32::MAX, 0),
    ])
    .unwrap();
    for name in ["far", "long"] {
        let error = image.copy(name, &mut std::io::sink()).unwrap_err();
        assert!(matches!(error, IsoError::Outside { .. }), "{error}");
    }
    let error = open(&[record(b"FAR", 4_000_000, 2_048, 2)]).unwrap_err();
    assert!(matches!(error, IsoError::Outside { .. }), "{error}");
    // A folder of 4 GiB.
    let error = open(&[record(b"HUGE", 22, u32::MAX, 2)]).unwrap_err();
    assert!(
        matches!(error, IsoError::TooMuch { .. } | IsoError::Outside { .. }),
        "{error}"
    );
    // More parts than a file has.
    let parts = vec![record(b"P.;1", 22, 1, 0x80); 50];
    let limits = Limits {
        parts: 10,
        ..Limits::default()
    };
    let error = Image::open_within(Cursor::new(by_hand(&parts, 30)), limits).unwrap_err();
    assert!(matches!(error, IsoError::TooMuch { .. }), "{error}");
}

/// A small real image with everything in it, from its first descriptor on.
fn seed() -> Vec<u8> {
    let folder = tree(&[
        (".disk/info", b"Debian GNU/Linux 12.0 amd64"),
        ("1/2/3/4/5/6/7/8/9/file", b"deep"),
        (
            "a-long-name-that-needs-more-room-than-a-plain-one-has.txt",
            b"x",
        ),
    ]);
    std::os::unix::fs::symlink("1/2", folder.path().join("link")).unwrap();
    let image = make("genisoimage", &["-R", "-J", "-no-pad"], folder.path());
    let bytes = fs::read(&image).unwrap();
    fs::remove_file(image).unwrap();
    bytes[BEGIN..].to_vec()
}

/// What comes before the first descriptor is not looked at.
const BEGIN: usize = 16 * 2_048;

#[test]
fn the_seeds_of_the_fuzz_target_are_images() {
    exercise(&seed()).unwrap();
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/seeds/iso_image");
    let mut count = 0;
    for entry in fs::read_dir(folder).unwrap().flatten() {
        let bytes = [vec![0; BEGIN], fs::read(entry.path()).unwrap()].concat();
        exercise(&bytes[BEGIN..]).unwrap();
        let image = Image::open(Cursor::new(bytes)).unwrap();
        assert!(!image.nodes().is_empty(), "{:?}", entry.path());
        count += 1;
    }
    assert!(count >= 3);
}

#[test]
fn whatever_is_changed_in_an_image_it_is_read_to_an_end() {
    let seed = seed();
    let change = (0..seed.len(), any::<u8>());
    let changes = proptest::collection::vec(change, 1..24);
    let mut runner = proptest::test_runner::TestRunner::new(ProptestConfig {
        cases: 3_000,
        failure_persistence: None,
        ..ProptestConfig::default()
    });
    runner
        .run(&changes, |changes| {
            let mut bytes = seed.clone();
            for (at, byte) in changes {
                bytes[at] = byte;
            }
            exercise(&bytes).map_err(TestCaseError::fail)
        })
        .unwrap();
}

proptest! {
    #[test]
    fn any_records_are_read_to_an_end(
        records in proptest::collection::vec((
            proptest::collection::vec(any::<u8>(), 0..20), 0_u32..40, 0_u32..5_000, any::<u8>(),
        ), 0..20)
    ) {
        let records: Vec<Vec<u8>> = records.iter().map(|(name, block, size, flags)| record(name, *block, *size, *flags)).collect();
        exercise(&by_hand(&records, 30)[BEGIN..]).map_err(TestCaseError::fail)?;
    }
}
