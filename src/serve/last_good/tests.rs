use std::os::unix::fs::PermissionsExt as _;

use super::*;
use crate::render::load::{Loaded, load};

const MAIN: &str = r#"
    [server]
    interfaces = ["lo"]
    reservations = ["reservations.toml", "../more"]
    secrets = "secrets.toml"
    boot_assets = "../assets"

    [[subnet]]
    name = "lab"
    network = "127.0.0.0/24"
    server = "127.0.0.1"
"#;

struct Site(tempfile::TempDir);

impl Site {
    fn new() -> Self {
        let site = Self(tempfile::tempdir().unwrap());
        for folder in ["c/templates", "more", "state"] {
            fs::create_dir_all(site.at(folder)).unwrap();
        }
        site.put("c/bootwright.toml", MAIN);
        site.put("c/reservations.toml", &host("web1", 11));
        site.put("more/extra.toml", &host("db1", 21));
        site.put("c/secrets.toml", "root = \"hunter2\"\n");
        site.set_mode("c/secrets.toml", 0o600);
        site
    }

    fn at(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn put(&self, name: &str, text: &str) {
        fs::write(self.at(name), text).unwrap();
    }

    fn set_mode(&self, name: &str, mode: u32) {
        fs::set_permissions(self.at(name), fs::Permissions::from_mode(mode)).unwrap();
    }

    fn main(&self) -> PathBuf {
        self.at("c/bootwright.toml")
    }

    fn load(&self) -> Loaded {
        load(&DiskFiles, &self.main(), 1)
    }

    fn stage(&self, at: i64) -> (Keeper, Staged) {
        let keeper = Keeper::new(self.at("state"), self.main());
        let loaded = self.load();
        let config = loaded
            .config
            .as_ref()
            .unwrap_or_else(|| panic!("{:?}", loaded.problems));
        let now = Timestamp::from_secs(at);
        let staged = keeper.stage(&loaded.sources, &config.snapshot.server, now);
        (keeper, staged.unwrap())
    }

    fn keep(&self, at: i64) {
        let (keeper, staged) = self.stage(at);
        keeper.commit(staged).unwrap();
    }

    fn open(&self) -> Result<LastGood, NoLastGood> {
        LastGood::open(&self.at("state"), &self.main())
    }

    /// The hosts of what is kept.
    fn hosts(&self) -> Vec<String> {
        let loaded = load(&self.open().unwrap().files(&self.main()), &self.main(), 1);
        let config = loaded
            .config
            .unwrap_or_else(|| panic!("{:?}", loaded.problems));
        let hosts = config.snapshot.hosts().iter();
        hosts.map(|host| host.name.to_string()).collect()
    }
}

fn host(name: &str, last: u8) -> String {
    format!("[hosts.{name}]\nmac = \"52:54:00:00:00:{last}\"\nip = \"127.0.0.{last}\"\n")
}

/// Every file below a folder with its mode.
fn modes(folder: &Path) -> Vec<(PathBuf, u32)> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let mode = fs::metadata(&path).unwrap().permissions().mode() & 0o777;
        if path.is_dir() {
            found.extend(modes(&path));
        }
        found.push((path, mode));
    }
    found
}

#[test]
fn what_took_effect_is_there_when_the_files_are_broken() {
    let site = Site::new();
    assert!(matches!(site.open(), Err(NoLastGood::Nothing(_))));
    site.keep(60);
    for file in [
        "c/bootwright.toml",
        "c/reservations.toml",
        "more/extra.toml",
    ] {
        site.put(file, "[[[");
    }
    // A file that came later is none of it.
    site.put("more/later.toml", "[[[");
    assert!(site.load().config.is_none());
    assert_eq!(site.hosts(), ["web1", "db1"]);
    let kept = site.open().unwrap();
    assert_eq!(kept.manifest.kept_at, Timestamp::from_secs(60));
    // By hand: the very files.
    let by_hand = fs::read_to_string(site.at("state/last-good/files/bootwright.toml")).unwrap();
    assert_eq!(by_hand, MAIN);
}

#[test]
fn no_secret_is_kept_and_nobody_else_can_read_it() {
    let site = Site::new();
    site.keep(60);
    let all = modes(&site.at("state/last-good"));
    assert!(all.len() > 4, "{all:?}");
    for (path, mode) in &all {
        let wanted = if path.is_dir() { 0o700 } else { 0o600 };
        assert_eq!(*mode, wanted, "{}", path.display());
        if path.is_file() {
            let text = fs::read_to_string(path).unwrap();
            assert!(!text.contains("hunter2"), "{}", path.display());
        }
    }
    assert!(!all.iter().any(|(path, _)| path.ends_with("secrets.toml")));
    // A file of secrets that is no good by now keeps nobody from starting without it.
    site.set_mode("c/secrets.toml", 0o644);
    let files = site.open().unwrap().files(&site.main());
    assert!(load(&files, &site.main(), 1).config.is_none());
    assert!(
        load(&files.without_secrets(), &site.main(), 1)
            .config
            .is_some()
    );
}

#[test]
fn a_stop_at_any_step_leaves_a_whole_one() {
    let site = Site::new();
    site.keep(60);
    site.put("more/extra.toml", &host("db2", 22));
    // Written, and never put in its place.
    let (_, staged) = site.stage(70);
    std::mem::forget(staged);
    assert!(site.at("state/last-good.next-1").is_dir());
    assert_eq!(site.hosts(), ["web1", "db1"]);
    // Between the two renames.
    fs::rename(
        site.at("state/last-good"),
        site.at("state/last-good.before"),
    )
    .unwrap();
    assert_eq!(site.hosts(), ["web1", "db1"]);
    // Half of one in the place of it.
    fs::create_dir(site.at("state/last-good")).unwrap();
    assert_eq!(site.hosts(), ["web1", "db1"]);
    site.keep(80);
    assert_eq!(site.hosts(), ["web1", "db2"]);
    assert!(!site.at("state/last-good.before").exists());
    assert!(!site.at("state/last-good.next-1").exists());
}

#[test]
fn the_newest_is_kept_whichever_the_disk_has_first() {
    let site = Site::new();
    let (keeper, older) = site.stage(60);
    site.put("more/extra.toml", &host("db2", 22));
    let loaded = site.load();
    let server = &loaded.config.unwrap().snapshot.server;
    let newer = keeper.stage(&loaded.sources, server, Timestamp::from_secs(70));
    keeper.commit(newer.unwrap()).unwrap();
    keeper.commit(older).unwrap();
    assert_eq!(site.hosts(), ["web1", "db2"]);
}

#[test]
fn what_is_kept_already_is_not_written_again() {
    let site = Site::new();
    site.keep(60);
    site.keep(90);
    assert_eq!(
        site.open().unwrap().manifest.kept_at,
        Timestamp::from_secs(60)
    );
    // One that is dropped leaves nothing.
    site.put("more/extra.toml", &host("db2", 22));
    drop(site.stage(95));
    assert!(!site.at("state/last-good.next-1").exists());
    site.keep(99);
    assert_eq!(
        site.open().unwrap().manifest.kept_at,
        Timestamp::from_secs(99)
    );
}

#[test]
fn what_is_not_whole_or_another_daemons_is_not_started_on() {
    let site = Site::new();
    site.keep(60);
    let other = LastGood::open(&site.at("state"), &site.at("other/bootwright.toml"));
    assert!(matches!(other, Err(NoLastGood::Other { .. })), "{other:?}");
    site.put("state/last-good/files/reservations.toml", &host("evil", 66));
    let error = site.open().unwrap_err();
    assert!(
        error.to_string().contains("files/reservations.toml"),
        "{error}"
    );
    // Nor is it taken for what is kept.
    site.keep(70);
    assert_eq!(site.hosts(), ["web1", "db1"]);
    fs::remove_file(
        site.at("state/last-good/outside")
            .join(site.at("more/extra.toml").strip_prefix("/").unwrap()),
    )
    .unwrap();
    assert!(matches!(site.open(), Err(NoLastGood::Damaged { .. })));
}

#[test]
fn paths_are_kept_as_they_were_named() {
    let main = Path::new("config/bootwright.toml");
    let named = |path: &str| as_named(main, Path::new(path));
    assert_eq!(
        named("config/profiles/a.toml"),
        Path::new("profiles/a.toml")
    );
    assert_eq!(named("config/../more/x.toml"), Path::new("../more/x.toml"));
    assert_eq!(named("/srv/x.toml"), Path::new("/srv/x.toml"));
    assert_eq!(
        place_of(
            Path::new("/etc/b/bootwright.toml"),
            Path::new("/etc/b/../more/x.toml")
        ),
        Path::new("outside/etc/more/x.toml")
    );
    assert_eq!(
        place_of(
            Path::new("/etc/b/bootwright.toml"),
            Path::new("/etc/b/p/x.toml")
        ),
        Path::new("files/p/x.toml")
    );
    // A file that is named by its whole path, in the folder of the main file.
    let bare = Path::new("bootwright.toml");
    assert_eq!(as_named(bare, Path::new("a.toml")), Path::new("a.toml"));
    assert_eq!(
        as_named(bare, Path::new("/srv/a.toml")),
        Path::new("/srv/a.toml")
    );
}
