use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use arc_swap::ArcSwap;
use tokio::sync::broadcast;

use super::*;
use crate::base::SystemClock;
use crate::config::source::DiskFiles;
use crate::host::links::{LinkTable, Links};
use crate::journal::Journal;
use crate::render::load::load;
use crate::serve::assets::AssetTree;
use crate::serve::installs::Installs;
use crate::serve::memory::Memory;
use crate::store::AnyStore;

const MAIN: &str = r#"
    [server]
    interfaces = ["lo"]
    state_dir = "STATE"
    MORE

    [[subnet]]
    name = "lab"
    network = "127.0.0.0/24"
    server = "127.0.0.1"
"#;

const PROFILE: &str = r#"
    title = "TITLE"
    family = "debian"
    arch = ["x86_64"]

    [boot]
    kind = "linux"
    kernel = "debian/linux"
    initrd = ["debian/initrd.gz"]
    cmdline = "quiet"
"#;

/// A configuration on the disk and what takes it up.
struct Site {
    folder: tempfile::TempDir,
    ctx: Context,
    events: broadcast::Receiver<Arc<Event>>,
    health: Health,
    cancel: CancellationToken,
    reloader: Reloader,
}

impl Drop for Site {
    fn drop(&mut self) {
        self.cancel.cancel();
    }
}

impl Site {
    fn new() -> Self {
        Self::made(|folder| {
            std::fs::create_dir_all(folder.join("c/templates")).unwrap();
        })
    }

    /// In the folder `c`, which is made so.
    fn made(make: impl FnOnce(&Path)) -> Self {
        let folder = tempfile::tempdir().unwrap();
        make(folder.path());
        std::fs::create_dir(folder.path().join("state")).unwrap();
        let main = folder.path().join("c/bootwright.toml");
        fill(&folder.path().join("c"), &folder.path().join("state"), 1);
        let loaded = load(&DiskFiles, &main, 1);
        let config = loaded.config.expect("a good configuration");
        let journal = Journal::in_memory();
        let store = Arc::new(AnyStore::in_memory());
        let clock = Arc::new(SystemClock);
        let ctx = Context {
            in_force: Arc::new(ArcSwap::new(config)),
            installs: Installs::new(store, journal.clone(), clock.clone()),
            journal,
            clock,
            assets: AssetTree::new(folder.path().join("boot-assets")),
            memory: Memory::new(),
            links: Links::fixed(LinkTable::default()),
        };
        let settings = Settings {
            main,
            overrides: Overrides::default(),
            watch_files: true,
            texts: texts(&loaded.sources),
            start: Start::default(),
        };
        let cancel = CancellationToken::new();
        let (reloader, asks) = Reloader::new();
        let health = Health::default();
        let run = run(ctx.clone(), health.clone(), settings, asks, cancel.clone());
        let events = ctx.journal.follow();
        tokio::spawn(run);
        Self {
            folder,
            ctx,
            events,
            health,
            cancel,
            reloader,
        }
    }

    /// The main file, with more in it.
    fn main(&self, more: &str) -> String {
        let state = self.folder.path().join("state");
        MAIN.replace("STATE", state.to_str().unwrap())
            .replace("MORE", more)
    }

    /// Waits for what becomes of keeping what took effect.
    async fn until(&self, fits: impl Fn(&Kept) -> bool) {
        let wait = async {
            while !fits(&self.health.standing().kept()) {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        let wait = tokio::time::timeout(Duration::from_secs(30), wait).await;
        assert!(wait.is_ok(), "{:?}", self.health.standing().kept());
    }

    async fn is_kept(&self) {
        let generation = self.ctx.config().snapshot.generation;
        self.until(|kept| *kept == Kept::Generation(generation))
            .await;
    }

    /// That so far nothing else was taken up: what is asked for now finds nothing new, and is told next.
    async fn is_all(&mut self) {
        let outcome = self.reloader.reload(Cause::Signal).await.unwrap();
        assert!(outcome.accepted && outcome.diff.is_empty(), "{outcome:?}");
        let (kind, detail) = self.told().await;
        assert_eq!(kind, Kind::ConfigReloaded, "{detail}");
        assert!(detail.starts_with("nothing changed"), "{detail}");
    }

    fn at(&self, name: &str) -> PathBuf {
        self.folder.path().join("c").join(name)
    }

    /// What was told of the next reload.
    async fn told(&mut self) -> (Kind, String) {
        let event = tokio::time::timeout(Duration::from_secs(30), self.events.recv());
        let event = event.await.expect("an event in time").expect("an event");
        (event.kind, event.detail.clone().unwrap_or_default())
    }

    async fn is_rejected(&mut self, why: &str) {
        let (kind, detail) = self.told().await;
        assert_eq!(kind, Kind::ConfigRejected, "{detail}");
        assert!(detail.contains(why), "{detail}");
    }

    async fn is_taken_up(&mut self) {
        let (kind, detail) = self.told().await;
        assert_eq!(kind, Kind::ConfigReloaded, "{detail}");
    }

    /// Whether what follows is followed too.
    async fn follows_hosts_in(&mut self, file: &str) {
        write(&self.at(file), &hosts(3));
        self.is_taken_up().await;
        assert_eq!(self.ctx.config().snapshot.hosts().len(), 3);
    }
}

/// Writes a whole configuration.
fn fill(folder: &Path, state: &Path, count: u8) {
    let main = MAIN.replace("STATE", state.to_str().unwrap());
    write(&folder.join("bootwright.toml"), &main.replace("MORE", ""));
    write(&folder.join("reservations.toml"), &hosts(count));
    write(&folder.join("profiles/tiny.toml"), PROFILE);
}

fn hosts(count: u8) -> String {
    let host = |n: u8| {
        format!(
            "[hosts.web{n}]\nmac = \"52:54:00:00:00:{n:02}\"\nip = \"127.0.0.{n}1\"\nprofile = \"tiny\"\n"
        )
    };
    (1..=count).map(host).collect()
}

/// As editors write: beside the file, then renamed.
fn write(file: &Path, text: &str) {
    std::fs::create_dir_all(file.parent().unwrap()).unwrap();
    let beside = file.with_extension("toml~");
    std::fs::write(&beside, text).unwrap();
    std::fs::rename(&beside, file).unwrap();
}

fn set_mode(file: &Path, mode: u32) {
    std::fs::set_permissions(file, std::fs::Permissions::from_mode(mode)).unwrap();
}

#[tokio::test]
async fn a_file_that_was_missing_and_is_back_is_taken_up() {
    let mut site = Site::new();
    std::fs::remove_file(site.at("reservations.toml")).unwrap();
    site.is_rejected("reservations.toml is not there").await;
    write(&site.at("reservations.toml"), &hosts(1));
    site.is_taken_up().await;
    site.follows_hosts_in("reservations.toml").await;
}

#[tokio::test]
async fn a_file_that_is_named_before_it_is_there_is_taken_up() {
    let mut site = Site::new();
    // In a folder that no file was read from.
    let named = r#"reservations = ["reservations.toml", "../more/extra.toml"]"#;
    let text = site.main(named);
    write(&site.at("bootwright.toml"), &text);
    site.is_rejected("extra.toml is not there").await;
    std::fs::create_dir(site.at("../more")).unwrap();
    let more =
        "[hosts.db1]\nmac = \"52:54:00:00:00:99\"\nip = \"127.0.0.99\"\nprofile = \"tiny\"\n";
    write(&site.at("../more/extra.toml"), more);
    site.is_taken_up().await;
    assert_eq!(site.ctx.config().snapshot.hosts().len(), 2);
}

#[tokio::test]
async fn secrets_that_others_could_read_are_taken_up_once_they_cannot() {
    let mut site = Site::new();
    write(&site.at("secrets.toml"), "root = \"one\"\n");
    set_mode(&site.at("secrets.toml"), 0o644);
    let named = r#"secrets = "secrets.toml""#;
    let text = site.main(named);
    write(&site.at("bootwright.toml"), &text);
    site.is_rejected("secrets.toml").await;
    set_mode(&site.at("secrets.toml"), 0o600);
    site.is_taken_up().await;
    assert!(is_on_disk(&site.ctx.config(), &texts_of(&site)));
    site.follows_hosts_in("reservations.toml").await;
}

#[tokio::test]
async fn a_folder_that_is_named_before_it_is_there_is_followed() {
    let mut site = Site::new();
    let named = r#"profiles = "../new""#;
    let text = site.main(named);
    write(&site.at("bootwright.toml"), &text);
    site.is_rejected("new is not there").await;
    std::fs::create_dir(site.at("../new")).unwrap();
    // Another mistake is told as well: the profile is not there.
    site.is_rejected("tiny").await;
    write(&site.at("../new/tiny.toml"), PROFILE);
    site.is_taken_up().await;
    write(
        &site.at("../new/tiny.toml"),
        &PROFILE.replace("TITLE", "Other"),
    );
    site.is_taken_up().await;
}

#[tokio::test]
async fn a_folder_put_in_the_place_of_another_is_followed() {
    let mut site = Site::new();
    write(
        &site.at("next/tiny.toml"),
        &PROFILE.replace("TITLE", "Next"),
    );
    std::fs::rename(site.at("profiles"), site.at("before")).unwrap();
    std::fs::rename(site.at("next"), site.at("profiles")).unwrap();
    while !matches!(site.told().await, (Kind::ConfigReloaded, _)) {}
    write(
        &site.at("profiles/tiny.toml"),
        &PROFILE.replace("TITLE", "Last"),
    );
    site.is_taken_up().await;
}

#[tokio::test]
async fn files_that_are_saved_together_are_one_reload() {
    let mut site = Site::new();
    // One without the other has a mistake: a host of a profile that is not there, a subnet that is gone.
    write(
        &site.at("reservations.toml"),
        &hosts(2).replace("\"tiny\"", "\"new\""),
    );
    write(&site.at("profiles/new.toml"), PROFILE);
    std::fs::remove_file(site.at("profiles/tiny.toml")).unwrap();
    let text = site.main("domain = \"lab.example\"");
    write(&site.at("bootwright.toml"), &text);
    site.is_taken_up().await;
    assert_eq!(site.ctx.config().snapshot.hosts().len(), 2);
    site.is_all().await;
}

#[tokio::test]
async fn a_swapped_folder_is_one_reload_and_followed() {
    let mut site = Site::new();
    let root = site.folder.path().to_owned();
    fill(&root.join("next"), &root.join("state"), 2);
    std::fs::rename(root.join("c"), root.join("before")).unwrap();
    std::fs::rename(root.join("next"), root.join("c")).unwrap();
    site.is_taken_up().await;
    assert_eq!(site.ctx.config().snapshot.hosts().len(), 2);
    site.is_all().await;
    site.follows_hosts_in("reservations.toml").await;
    // The old one is nothing to us any more.
    write(&root.join("before/reservations.toml"), "[[[");
    site.is_all().await;
}

#[tokio::test]
async fn a_link_that_leads_elsewhere_is_one_reload_and_followed() {
    use std::os::unix::fs::symlink;
    let mut site = Site::made(|root| {
        std::fs::create_dir_all(root.join("releases/1")).unwrap();
        symlink("releases/1", root.join("c")).unwrap();
    });
    let root = site.folder.path().to_owned();
    for (number, count) in [(2, 2), (3, 4)] {
        let release = format!("releases/{number}");
        fill(&root.join(&release), &root.join("state"), count);
        // As deployments do: a link beside it, renamed over it.
        symlink(&release, root.join("c.next")).unwrap();
        std::fs::rename(root.join("c.next"), root.join("c")).unwrap();
        site.is_taken_up().await;
        assert_eq!(site.ctx.config().snapshot.hosts().len(), usize::from(count));
        site.is_all().await;
    }
    site.follows_hosts_in("reservations.toml").await;
}

#[tokio::test]
async fn files_with_errors_are_told_until_they_are_put_right() {
    let mut site = Site::new();
    site.is_all().await;
    assert_eq!(site.health.text(), "ok\n");
    write(
        &site.at("reservations.toml"),
        "[hosts.web1]\ncolour = \"red-secret\"\n",
    );
    site.is_rejected("colour").await;
    let in_force = site.ctx.config();
    assert_eq!(in_force.snapshot.hosts().len(), 1);
    let health = site.health.text();
    assert!(
        health.starts_with("degraded\nconfiguration: the files have "),
        "{health}"
    );
    // Strangers may read it.
    assert!(
        !health.contains("red-secret") && !health.contains("web1"),
        "{health}"
    );
    let standing = site.health.standing();
    let rejected = standing.rejected().unwrap();
    assert_eq!(rejected.errors, rejected.problems.len());
    let sentence = standing.sentence(&in_force.snapshot).unwrap();
    assert!(sentence.contains("reservations.toml:2:1"), "{sentence}");
    // Asked for again it is the answer too.
    let outcome = site.reloader.reload(Cause::Signal).await.unwrap();
    assert!(!outcome.accepted && outcome.problems.iter().any(ShownProblem::is_error));
    site.is_rejected("colour").await;
    write(&site.at("reservations.toml"), &hosts(1));
    site.is_taken_up().await;
    assert_eq!(site.health.text(), "ok\n");
    assert_eq!(site.health.standing().rejected(), None);
}

#[tokio::test]
async fn what_takes_effect_is_kept_and_nothing_else() {
    let mut site = Site::new();
    let state = site.folder.path().join("state");
    let main = site.at("bootwright.toml");
    let kept = || {
        let kept = crate::serve::last_good::LastGood::open(&state, &main).unwrap();
        let loaded = load(&kept.files(&main), &main, 1);
        loaded.config.unwrap().snapshot.hosts().len()
    };
    site.follows_hosts_in("reservations.toml").await;
    site.is_kept().await;
    assert_eq!(kept(), 3);
    write(&site.at("reservations.toml"), "[[[");
    site.is_rejected("reservations.toml").await;
    assert_eq!(kept(), 3);
    write(&site.at("reservations.toml"), &hosts(2));
    site.is_taken_up().await;
    site.is_kept().await;
    assert_eq!(kept(), 2);
    // A disk that refuses keeps nobody from anything.
    std::fs::remove_dir_all(&state).unwrap();
    write(&site.at("reservations.toml"), &hosts(4));
    site.is_taken_up().await;
    assert_eq!(site.ctx.config().snapshot.hosts().len(), 4);
    site.until(|standing| matches!(standing, Kept::Failed(_)))
        .await;
    assert!(
        site.health.text().contains("last good configuration"),
        "{}",
        site.health.text()
    );
}

#[tokio::test]
async fn the_event_says_what_is_different() {
    let mut site = Site::new();
    let text = hosts(2).replace("127.0.0.11", "127.0.0.41");
    write(&site.at("reservations.toml"), &text);
    let (kind, detail) = site.told().await;
    assert_eq!(kind, Kind::ConfigReloaded);
    let told = "+1 host (web2), web1 address .11 → .41 (files changed)";
    assert!(detail.starts_with(told), "{detail}");
}

#[tokio::test]
async fn a_new_host_is_armed_or_told_of_before_the_rest_of_the_reload() {
    let mut site = Site::new();
    let main = site.main("[install]\nwhen_new = \"install\"\n");
    write(&site.at("bootwright.toml"), &main);
    site.is_taken_up().await;
    write(&site.at("reservations.toml"), &hosts(2));
    // Its boot files are not there.
    let (kind, detail) = site.told().await;
    assert_eq!(kind, Kind::InstallNote, "{detail}");
    assert!(detail.starts_with("not armed: "), "{detail}");
    site.is_taken_up().await;
}

/// What a reading now would find.
fn texts_of(site: &Site) -> Vec<(PathBuf, u64)> {
    texts(&load(&DiskFiles, &site.at("bootwright.toml"), 1).sources)
}

#[tokio::test]
async fn a_configuration_is_on_the_disk_only_while_all_that_it_names_was_read() {
    let site = Site::new();
    let in_force = site.ctx.config();
    let known = texts_of(&site);
    assert!(is_on_disk(&in_force, &known));
    // As after a reading that did not find the reservations.
    let reservations = site.at("reservations.toml");
    let without = |(path, _): &&(PathBuf, u64)| *path != reservations;
    let fewer: Vec<_> = known.iter().filter(without).cloned().collect();
    assert_eq!(fewer.len(), known.len() - 1);
    assert!(!is_on_disk(&in_force, &fewer));
    write(&site.at("profiles/more/other.toml"), PROFILE);
    assert!(!is_on_disk(&in_force, &known));
}

#[test]
fn overrides_replace() {
    use crate::config::snapshot::{Hook, HookTarget};
    let overrides = Overrides {
        state_dir: Some("/tmp/x".into()),
        interfaces: Some(vec!["br1".into()]),
        without_hooks: true,
    };
    let mut in_force = InForce::default();
    in_force.snapshot.hooks.push(Hook {
        target: HookTarget::Url("http://receiver.example/".into()),
        events: vec!["*".into()],
        secret: None,
        timeout: Duration::from_secs(30),
        span: None,
    });
    let in_force = overrides.apply(Arc::new(in_force));
    assert_eq!(in_force.snapshot.hooks, []);
    assert_eq!(in_force.snapshot.server.state_dir, Path::new("/tmp/x"));
    assert_eq!(in_force.snapshot.server.interfaces, ["br1"]);
}
