use std::fs;
use std::io::Write as _;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, symlink};
use std::path::{Path, PathBuf};
use std::time::Duration;

use tempfile::TempDir;

use super::write::{Lock, Step};
use super::*;

use crate::config::draft::HostDraft;
use crate::config::edit::Key;

const HOSTS: &str = "# Ours.\n\n[groups.web]\n\n# The first.\n[hosts.web01]\nmac   = \"52:54:00:00:00:01\"\nip    = \"10.99.0.1\"\ngroup = \"web\"   # for now\n\n\
    # The second.\n[hosts.web02]\nmac   = \"52:54:00:00:00:02\"\nip    = \"10.99.0.2\"\n# Its end.\n";

struct Site {
    folder: TempDir,
}

impl Site {
    fn new(reservations: &str, files: &[(&str, &str)]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let site = Self { folder };
        let main = format!(
            "[server]\ninterfaces = [\"lo\"]\nreservations = {reservations}\n[[subnet]]\nnetwork = \"10.99.0.0/24\"\nserver = \"10.99.0.254\"\n"
        );
        fs::write(site.config(), main).unwrap();
        for (name, text) in files {
            let path = site.path(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        }
        site
    }

    fn usual() -> Self {
        Self::new("[\"r.toml\"]", &[("r.toml", HOSTS)])
    }

    fn config(&self) -> PathBuf {
        self.path("bootwright.toml")
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn text(&self, name: &str) -> String {
        fs::read_to_string(self.path(name)).unwrap()
    }

    fn set(&self, host: &str, key: &str, value: &str) -> Result<Applied<()>, Error> {
        apply(&self.config(), Mode::Write, &mut set(host, key, value))
    }

    /// Nothing but the configuration is there.
    fn is_tidy(&self) {
        for entry in fs::read_dir(self.folder.path()).unwrap() {
            let name = entry.unwrap().file_name().into_string().unwrap();
            assert!(!name.starts_with('.'), "{name} was left behind");
        }
    }
}

fn entry(host: &str) -> Entry {
    Entry::Host(host.parse().unwrap())
}

fn draft(host: &str, number: u8) -> HostDraft {
    let mut draft = HostDraft::new(host.parse().unwrap());
    draft.macs = vec![format!("52:54:00:00:01:{number:02x}").parse().unwrap()];
    draft.ip = Some([10, 99, 0, number].into());
    draft
}

fn set(host: &str, key: &str, value: &str) -> impl FnMut(&mut Reservations) -> Result<(), Error> {
    let (entry, key, value) = (entry(host), Key::parse(key).unwrap(), value.to_owned());
    move |reservations| reservations.set(&entry, &key, &value.as_str().into())
}

/// As an editor saves: a new file in place of the old one.
fn save(path: &Path, text: &str) {
    let new = path.with_extension("new");
    fs::write(&new, text).unwrap();
    fs::rename(new, path).unwrap();
}

#[test]
fn an_edit_is_written_with_the_mode_and_through_links() {
    let site = Site::new("[\"r.toml\"]", &[("real/hosts", HOSTS)]);
    symlink("real/hosts", site.path("r.toml")).unwrap();
    fs::set_permissions(site.path("real/hosts"), fs::Permissions::from_mode(0o640)).unwrap();
    let before = fs::metadata(site.path("real/hosts")).unwrap();
    let applied = site.set("web02", "ip", "10.99.0.22").unwrap();
    assert!(applied.written);
    assert_eq!(
        site.text("real/hosts"),
        HOSTS.replace("10.99.0.2\"", "10.99.0.22\"")
    );
    assert!(
        fs::symlink_metadata(site.path("r.toml"))
            .unwrap()
            .is_symlink()
    );
    let after = fs::metadata(site.path("real/hosts")).unwrap();
    assert_eq!((after.mode(), after.uid()), (before.mode(), before.uid()));
    assert_eq!(fs::read_dir(site.path("real")).unwrap().count(), 1);
    assert_eq!(applied.touched[0].line, 12);
    assert_eq!(applied.touched[0].what, What::Changed);
    let diff = &applied.files[0].diff;
    assert!(
        diff.contains("-ip    = \"10.99.0.2\"\n+ip    = \"10.99.0.22\"\n"),
        "{diff}"
    );
}

#[test]
fn what_a_killed_command_left_behind_is_in_nobodys_way() {
    let site = Site::usual();
    let left = |count: u32| {
        let name = format!(".r.toml.bootwright-{}-{count}", std::process::id());
        site.path(&name)
    };
    // Other tests of this process count on meanwhile.
    for count in 0..2_000 {
        fs::write(left(count), "half a te").unwrap();
    }
    assert!(site.set("web02", "ip", "10.99.0.22").unwrap().written);
    assert!(site.text("r.toml").contains("10.99.0.22"));
    let there = (0..2_000).filter(|count| left(*count).exists()).count();
    assert_eq!(there, 2_000);
}

#[test]
fn attributes_are_kept_and_further_names_are_told() {
    use rustix::fs::{XattrFlags, getxattr, setxattr};
    let site = Site::usual();
    let path = site.path("r.toml");
    let marked = setxattr(&path, "user.owner", b"team-a", XattrFlags::empty());
    fs::hard_link(&path, site.path("other")).unwrap();
    let applied = site.set("web02", "ip", "10.99.0.22").unwrap();
    assert_eq!(applied.notes.len(), 1, "{:?}", applied.notes);
    assert!(applied.notes[0].contains("2 names"), "{:?}", applied.notes);
    assert_eq!(site.text("other"), HOSTS);
    match marked {
        Ok(()) => {
            let mut value = [0; 16];
            let length = getxattr(&path, "user.owner", &mut value).unwrap();
            assert_eq!(&value[..length], b"team-a");
        }
        // No file system for attributes.
        Err(error) => assert_eq!(error, rustix::io::Errno::NOTSUP),
    }
    assert!(
        site.set("web02", "ip", "10.99.0.23")
            .unwrap()
            .notes
            .is_empty()
    );
}

#[test]
fn a_dry_run_writes_nothing() {
    let site = Site::usual();
    let applied = apply(
        &site.config(),
        Mode::DryRun,
        &mut set("web01", "ip", "10.99.0.9"),
    )
    .unwrap();
    assert!(!applied.written && !applied.files.is_empty());
    assert_eq!(site.text("r.toml"), HOSTS);
    // What is so already is not written either.
    let inode = fs::metadata(site.path("r.toml")).unwrap().ino();
    let applied = site.set("web01", "ip", "10.99.0.1").unwrap();
    assert!(!applied.written && applied.files.is_empty());
    assert_eq!(fs::metadata(site.path("r.toml")).unwrap().ino(), inode);
}

#[test]
fn what_check_would_say_refuses_the_edit_with_places_in_the_new_text() {
    let site = Site::usual();
    let mut new = draft("web03", 1);
    new.group = Some("web".parse().unwrap());
    let error = apply(&site.config(), Mode::Write, &mut |all| all.add_host(&new)).unwrap_err();
    let Error::Problems(refusal) = error else {
        panic!("{error}");
    };
    assert_eq!(refusal.new.len(), 1, "{:?}", refusal.new);
    assert_eq!(refusal.new[0].code, "duplicate-address");
    let place = refusal.new[0].place(&refusal.sources).unwrap();
    // Below web01, whose group it is in: not where the file as it is has anything of the kind.
    assert!(place.ends_with("r.toml:13:9"), "{place}");
    assert_eq!(site.text("r.toml"), HOSTS);
    site.is_tidy();
    for (key, value) in [
        ("profil", "x"),
        ("profile", "none"),
        ("mac", "52:54"),
        ("ip", "10.98.0.1"),
    ] {
        assert!(
            matches!(site.set("web01", key, value), Err(Error::Problems(_))),
            "{key}"
        );
    }
    assert_eq!(site.text("r.toml"), HOSTS);
}

#[test]
fn problems_that_were_there_do_not_stand_in_the_way() {
    let text = format!("{HOSTS}\n[hosts.bad]\nmac = \"no\"\nip = \"10.99.0.50\"\n");
    let site = Site::new("[\"r.toml\"]", &[("r.toml", &text)]);
    let applied = site.set("web01", "notes", "moved\nlines").unwrap();
    assert!(applied.written);
    assert_eq!(applied.errors_before.len(), 1);
    assert!(applied.warnings.is_empty(), "{:?}", applied.warnings);
    // A second error of the same kind is new.
    assert!(matches!(
        site.set("web02", "mac", "no"),
        Err(Error::Problems(_))
    ));
    // The edit that mends it.
    let applied = site.set("bad", "mac", "52:54:00:00:00:50").unwrap();
    assert!(applied.errors_before.is_empty());
    // A file that is no TOML is told by its line, and stays.
    let broken = format!("{HOSTS}[hosts.x\n");
    fs::write(site.path("r.toml"), &broken).unwrap();
    let error = site
        .set("web01", "ip", "10.99.0.9")
        .unwrap_err()
        .to_string();
    assert!(error.contains("r.toml: line 16 has a mistake"), "{error}");
    assert_eq!(site.text("r.toml"), broken);
}

#[test]
fn a_change_in_between_is_kept_at_every_step() {
    let theirs = HOSTS.replace("# The second.", "# The second, by hand.");
    for step in 0..4 {
        let site = Site::usual();
        let path = site.path("r.toml");
        // Somebody who has the file open and writes into it.
        let mut open = fs::OpenOptions::new().append(true).open(&path).unwrap();
        let mut done = false;
        let mut watch = |at: Step<'_>| {
            let now = match (step, at) {
                (0, Step::Checked) | (1, Step::Replace(_)) => {
                    if !done {
                        save(&path, &theirs);
                    }
                    true
                }
                (2, Step::Replace(_)) | (3, Step::Replaced(_)) => {
                    if !done {
                        open.write_all(b"# by hand\n").unwrap();
                    }
                    true
                }
                _ => false,
            };
            done |= now;
        };
        let mut calls = 0;
        let mut edit = set("web01", "ip", "10.99.0.9");
        let applied = apply_watched(
            &site.config(),
            Mode::Write,
            &mut |all| {
                calls += 1;
                edit(all)
            },
            &mut watch,
        )
        .unwrap();
        assert!(applied.written && done);
        assert_eq!(calls, 2, "step {step}");
        let wanted = match step {
            0 | 1 => theirs.clone(),
            _ => format!("{HOSTS}# by hand\n"),
        };
        assert_eq!(
            site.text("r.toml"),
            wanted.replace("10.99.0.1\"", "10.99.0.9\""),
            "step {step}"
        );
        site.is_tidy();
    }
}

#[test]
fn a_change_in_between_that_stands_against_the_edit_refuses_it() {
    let site = Site::usual();
    let path = site.path("r.toml");
    let taken = HOSTS.replace("10.99.0.2\"", "10.99.0.9\"");
    let error = apply_watched(
        &site.config(),
        Mode::Write,
        &mut set("web01", "ip", "10.99.0.9"),
        &mut |step| {
            if step == Step::Checked {
                save(&path, &taken);
            }
        },
    )
    .unwrap_err();
    assert!(matches!(error, Error::Problems(_)), "{error}");
    assert_eq!(site.text("r.toml"), taken);
    // Saved all the time: given up, and nothing of it is lost.
    let mut count = 0;
    let error = apply_watched(
        &site.config(),
        Mode::Write,
        &mut set("web01", "ip", "10.99.0.19"),
        &mut |step| {
            if step == Step::Checked {
                count += 1;
                save(&path, &format!("{taken}# {count}\n"));
            }
        },
    )
    .unwrap_err();
    assert!(matches!(error, Error::Changed { .. }), "{error}");
    assert_eq!(site.text("r.toml"), format!("{taken}# {count}\n"));
    // The file is taken away.
    let error = apply_watched(
        &site.config(),
        Mode::Write,
        &mut set("web01", "ip", "10.99.0.19"),
        &mut |step| {
            if matches!(step, Step::Replace(_)) {
                fs::remove_file(&path).unwrap();
            }
        },
    )
    .unwrap_err();
    assert!(matches!(error, Error::NoEntry { .. }), "{error}");
    assert!(!path.exists());
    site.is_tidy();
}

#[test]
fn several_files_are_written_all_or_none() {
    let other = "[hosts.db01]\nmac = \"52:54:00:00:00:03\"\nip = \"10.99.0.3\"\n";
    let site = Site::new(
        "[\"r.toml\", \"more\"]",
        &[("r.toml", HOSTS), ("more/db.toml", other)],
    );
    let second = site.path("more/db.toml");
    let (mut one, mut two) = (set("web01", "notes", "x"), set("db01", "notes", "y"));
    let mut seen_between = None;
    let mut first = true;
    let applied = apply_watched(
        &site.config(),
        Mode::Write,
        &mut |all| {
            // Taken back before it is tried again.
            let text = site.text("r.toml");
            seen_between = Some(text == HOSTS);
            one(all)?;
            two(all)
        },
        &mut |step| {
            if std::mem::take(&mut first) {
                return;
            }
            if matches!(step, Step::Replace(path) if path.ends_with("db.toml"))
                && !second.with_extension("done").exists()
            {
                fs::write(second.with_extension("done"), "").unwrap();
                save(&second, &format!("# by hand\n{other}"));
            }
        },
    )
    .unwrap();
    assert_eq!(applied.files.len(), 2);
    assert_eq!(seen_between, Some(true));
    assert!(site.text("r.toml").contains("notes = \"x\""));
    assert_eq!(
        site.text("more/db.toml"),
        format!("# by hand\n{other}notes = \"y\"\n")
    );
    site.is_tidy();
}

#[test]
fn a_new_host_goes_to_the_file_of_its_group_or_the_last_one() {
    let db = "[groups.db]\n\n[hosts.db01]\nmac = \"52:54:00:00:00:03\"\nip = \"10.99.0.3\"\ngroup = \"db\"\n";
    let site = Site::new(
        "[\"r.toml\", \"more\"]",
        &[
            ("r.toml", HOSTS),
            ("more/a.toml", db),
            ("more/b.toml", "# nobody yet\n"),
        ],
    );
    let add = |name: &str, number, group: Option<&str>| {
        let mut new = draft(name, number);
        new.group = group.map(|group| group.parse().unwrap());
        let applied = apply(&site.config(), Mode::Write, &mut |all| all.add_host(&new)).unwrap();
        applied.files[0]
            .path
            .strip_prefix(site.folder.path())
            .unwrap()
            .to_owned()
    };
    assert_eq!(add("web09", 9, Some("web")), Path::new("r.toml"));
    assert_eq!(add("db09", 10, Some("db")), Path::new("more/a.toml"));
    assert_eq!(add("x", 11, None), Path::new("more/a.toml"));
    // Twice is told with the place, by its MAC it is found, by a wrong name what was meant.
    let error = apply(&site.config(), Mode::Write, &mut |all| {
        all.add_host(&draft("web09", 9))
    });
    let error = error.unwrap_err().to_string();
    assert!(
        error.starts_with("[hosts.web09] is there already: ") && error.ends_with("r.toml:11"),
        "{error}"
    );
    let found = apply(&site.config(), Mode::DryRun, &mut |all| {
        all.hosts_of(&[
            "web*".to_owned(),
            "52-54-00-00-00-01".to_owned(),
            "10.99.0.3".to_owned(),
        ])
    });
    let found: Vec<String> = found
        .unwrap()
        .value
        .iter()
        .map(ToString::to_string)
        .collect();
    assert_eq!(found, ["web01", "web09", "web02", "db01"]);
    let error = site.set("web1", "ip", "x").unwrap_err().to_string();
    assert!(error.contains("did you mean web01?"), "{error}");
}

#[test]
fn the_first_host_makes_its_file() {
    for (named, file) in [
        ("[\"r.toml\"]", "r.toml"),
        ("[\"hosts\"]", "hosts/reservations.toml"),
    ] {
        let site = Site::new(named, &[]);
        fs::create_dir(site.path("hosts")).unwrap();
        let applied = apply(&site.config(), Mode::Write, &mut |all| {
            all.add_host(&draft("a", 5))
        })
        .unwrap();
        assert!(applied.files[0].created && applied.files[0].diff.starts_with("--- /dev/null"));
        assert_eq!(
            site.text(file),
            "[hosts.a]\nmac = \"52:54:00:00:01:05\"\nip = \"10.99.0.5\"\n"
        );
        // Somebody else makes it at the same moment.
        fs::remove_file(site.path(file)).unwrap();
        let path = site.path(file);
        apply_watched(
            &site.config(),
            Mode::Write,
            &mut |all| all.add_host(&draft("a", 5)),
            &mut |step| {
                if matches!(step, Step::Replace(_)) && !path.exists() {
                    fs::write(&path, "# by hand\n").unwrap();
                }
            },
        )
        .unwrap();
        assert!(
            site.text(file).starts_with("# by hand\n\n[hosts.a]\n"),
            "{}",
            site.text(file)
        );
    }
}

#[test]
fn what_is_new_goes_where_it_is_told_to() {
    let site = Site::new(
        "[\"r.toml\", \"more\"]",
        &[("r.toml", HOSTS), ("more/a.toml", "[hosts]\n")],
    );
    let into = |name: &str| {
        let path = site.path(name);
        apply(&site.config(), Mode::DryRun, &mut |all| {
            all.put_new_into(&path)?;
            all.add_host(&draft("x", 9))
        })
        .map(|applied| {
            applied.files[0]
                .path
                .strip_prefix(site.folder.path())
                .unwrap()
                .to_owned()
        })
    };
    assert_eq!(into("r.toml").unwrap(), Path::new("r.toml"));
    assert_eq!(into("more/a.toml").unwrap(), Path::new("more/a.toml"));
    assert_eq!(into("more/new.toml").unwrap(), Path::new("more/new.toml"));
    for none in [
        "new.toml",
        "more/new.txt",
        "more/.new.toml",
        "bootwright.toml",
    ] {
        assert!(matches!(into(none), Err(Error::NotOurs { .. })), "{none}");
    }
    // From elsewhere the name of the file is enough, as long as it is the only one.
    let by_name = |name: &str| {
        apply(&site.config(), Mode::DryRun, &mut |all| {
            all.put_new_into(Path::new(name))?;
            all.add_host(&draft("x", 9))
        })
        .map(|applied| applied.files[0].path.clone())
    };
    assert_eq!(by_name("a.toml").unwrap(), site.path("more/a.toml"));
    assert!(matches!(by_name("b.toml"), Err(Error::NotOurs { .. })));
}

#[test]
fn commands_wait_for_each_other_and_not_for_ever() {
    let site = Site::usual();
    let held = Lock::take(&site.config(), Duration::ZERO).unwrap();
    let error = Lock::take(&site.config(), Duration::from_millis(30)).unwrap_err();
    assert!(matches!(error, Error::Locked { .. }), "{error}");
    drop(held);
    drop(Lock::take(&site.config(), Duration::ZERO).unwrap());
    // Two at once: each one's edits are all there.
    std::thread::scope(|scope| {
        for writer in 0..2_u8 {
            let site = &site;
            scope.spawn(move || {
                for count in 0..10 {
                    let number = 100 + writer * 50 + count;
                    let new = draft(&format!("w{number}"), number);
                    let applied = apply(&site.config(), Mode::Write, &mut |all| all.add_host(&new));
                    assert!(applied.unwrap().written);
                }
            });
        }
    });
    let text = site.text("r.toml");
    for number in (100..110).chain(150..160) {
        assert!(text.contains(&format!("[hosts.w{number}]\n")), "{number}");
    }
    assert!(text.starts_with(HOSTS));
    site.is_tidy();
}

/// A hundred edits, about half of them refused, between them saves by hand: each comment is kept, and the hosts are those of
/// the edits that were made.
#[test]
fn a_storm_of_edits_keeps_every_comment_and_every_good_edit() {
    let site = Site::usual();
    let mut random = 7_u64;
    let mut next = |below: u64| {
        random = random
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        (random >> 33) % below
    };
    let mut addresses =
        std::collections::BTreeMap::from([("web01".to_owned(), 1), ("web02".to_owned(), 2)]);
    let mut comments: Vec<String> = HOSTS
        .lines()
        .filter(|line| line.starts_with('#'))
        .map(str::to_owned)
        .collect();
    let (mut made, mut refused) = (0, 0);
    for round in 0..100 {
        if round % 10 == 9 {
            let comment = format!("# by hand {round}");
            save(
                &site.path("r.toml"),
                &format!("{}\n{comment}\n", site.text("r.toml")),
            );
            comments.push(comment);
        }
        let before = site.text("r.toml");
        let host = format!("h{:02}", next(12));
        let number = u8::try_from(3 + next(14)).unwrap();
        let is_there = addresses.contains_key(&host);
        let is_taken = addresses
            .iter()
            .any(|(name, taken)| *taken == number && *name != host);
        let (result, good) = match next(4) {
            0 | 1 => {
                let mut new = draft(&host, number);
                new.macs = vec![format!("52:54:00:00:02:{}", &host[1..]).parse().unwrap()];
                let result =
                    apply(&site.config(), Mode::Write, &mut |all| all.add_host(&new)).map(|_| ());
                let good = !is_there && !is_taken;
                if good {
                    addresses.insert(host, number);
                }
                (result, good)
            }
            2 => {
                let result = site
                    .set(&host, "ip", &format!("10.99.0.{number}"))
                    .map(|_| ());
                let good = is_there && !is_taken;
                if good {
                    addresses.insert(host, number);
                }
                (result, good)
            }
            _ => {
                let gone = entry(&host);
                let result = apply(&site.config(), Mode::Write, &mut |all| {
                    all.remove(std::slice::from_ref(&gone))
                })
                .map(|_| ());
                addresses.remove(&host);
                (result, is_there)
            }
        };
        assert_eq!(result.is_ok(), good, "{result:?}\n{before}");
        if good {
            made += 1;
        } else {
            refused += 1;
            assert_eq!(site.text("r.toml"), before);
        }
    }
    assert!(made > 25 && refused > 25, "{made} made, {refused} refused");
    let text = site.text("r.toml");
    let kept: Vec<&str> = text.lines().filter(|line| line.starts_with('#')).collect();
    assert_eq!(
        kept,
        comments.iter().map(String::as_str).collect::<Vec<_>>()
    );
    let loaded = load::load(&DiskFiles, &site.config(), 0);
    let config = loaded.config.unwrap();
    let found: std::collections::BTreeMap<String, u8> = config
        .snapshot
        .hosts()
        .iter()
        .map(|host| (host.name.to_string(), host.ip.unwrap().octets()[3]))
        .collect();
    assert_eq!(found, addresses);
    site.is_tidy();
}
