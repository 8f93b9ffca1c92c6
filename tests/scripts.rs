//! Boot scripts: what is recorded before one is handed out, and what never is.

mod support;

use std::net::Ipv4Addr;
use std::sync::Arc;
use std::time::Duration;

use bootwright::base::{BootLoader, Firmware, TestClock};
use bootwright::decide::Stage;
use bootwright::journal::event::{Kind, Reason};
use bootwright::record::{Input, InstallState};
use bootwright::serve::memory::Sighting;
use bootwright::serve::script::{ScriptAnswer, ScriptAsk, Via, serve_script};
use bootwright::store::AnyStore;

use support::{Site, WEB01, WEB01_IP, WEB02_IP, at};

fn ask(mac: &str, peer: Ipv4Addr) -> ScriptAsk {
    ScriptAsk {
        loader: BootLoader::Ipxe,
        mac: mac.parse().unwrap(),
        peer,
        local: Ipv4Addr::LOCALHOST,
        uuid: None,
        serial: None,
        identified: false,
        waiting: false,
        via: Via::Http,
        file: format!("/boot/{}/boot.ipxe", mac.replace(':', "-")),
        preview: false,
    }
}

async fn get(site: &Site) -> ScriptAnswer {
    serve_script(&site.ctx, ask(WEB01, WEB01_IP)).await
}

/// The machine is switched on: its ROM asks for an address.
fn switched_on(site: &Site) {
    site.ctx.memory.note_dhcp(Sighting {
        mac: WEB01.parse().unwrap(),
        reserved: true,
        at: site.ctx.now(),
        stage: Stage::Pxe {
            firmware: Some(Firmware::Bios),
            code: None,
        },
        is_ipxe: false,
        uuid: None,
        delivery: None,
        port: None,
    });
}

fn clocked(store: AnyStore) -> (Site, Arc<TestClock>) {
    let clock = Arc::new(TestClock::new(at(0)));
    (Site::with(store, clock.clone()), clock)
}

#[tokio::test]
async fn an_armed_host_gets_its_installer_and_the_record_is_advanced_first() {
    let site = Site::new();
    let token = site.arm("web01").await;
    let answer = get(&site).await;
    assert_eq!(answer.reason, Reason::Installer);
    assert!(answer.text.contains("debian/linux"), "{}", answer.text);
    assert!(answer.text.contains(token.reveal()), "{}", answer.text);
    assert_eq!(site.state("web01").await, (InstallState::Booting, 1));
    let events = site.events(Kind::HttpScript).await;
    assert_eq!(events.len(), 1);
    assert_eq!(events[0].reason, Reason::Installer);
    assert_eq!(events[0].generation, 1);
    let shown = events[0].to_json().to_string();
    assert!(!shown.contains(token.reveal()), "{shown}");
}

#[tokio::test]
async fn each_boot_is_an_attempt_and_the_fourth_gets_the_disk() {
    let (site, clock) = clocked(AnyStore::in_memory());
    site.arm("web01").await;
    for attempt in 1..=3 {
        clock.advance(Duration::from_secs(60));
        switched_on(&site);
        // Twice within one boot counts once.
        for _ in 0..2 {
            clock.advance(Duration::from_secs(5));
            assert_eq!(get(&site).await.reason, Reason::Installer);
            assert_eq!(site.state("web01").await, (InstallState::Booting, attempt));
        }
    }
    clock.advance(Duration::from_secs(60));
    switched_on(&site);
    let answer = get(&site).await;
    assert_eq!(answer.reason, Reason::DiskFailed);
    assert!(answer.text.contains("sanboot"), "{}", answer.text);
    assert!(answer.text.contains("after 3 attempts"), "{}", answer.text);
    assert!(!answer.text.contains("debian/linux"));
    assert_eq!(site.state("web01").await.0, InstallState::Failed);
}

#[tokio::test]
async fn what_cannot_be_recorded_is_not_installed() {
    let (store, switches) = AnyStore::broken();
    let (site, _clock) = clocked(store);
    site.arm("web01").await;
    switches.fail_commits(true);
    let answer = get(&site).await;
    assert_eq!(answer.reason, Reason::DiskStoreUnavailable);
    assert!(!answer.text.contains("debian/linux"), "{}", answer.text);
    switches.fail_commits(false);
    assert_eq!(site.state("web01").await, (InstallState::Armed, 0));
    switches.fail_reads(true);
    assert_eq!(get(&site).await.reason, Reason::DiskStoreUnavailable);
    switches.fail_reads(false);
    assert_eq!(get(&site).await.reason, Reason::Installer);
}

#[tokio::test]
async fn a_script_that_cannot_be_rendered_costs_no_attempt() {
    let site = Site::new();
    site.arm("web01").await;
    site.set_profile("{{ answers.url }}", "{{ vars.nowhere }}");
    let answer = get(&site).await;
    // The plan looks for the boot files by rendering them: what cannot be rendered is not there.
    assert!(
        matches!(
            answer.reason,
            Reason::DiskFileMissing | Reason::RenderFailed
        ),
        "{:?}",
        answer.reason
    );
    assert!(!answer.text.contains("debian/linux"), "{}", answer.text);
    assert_eq!(site.state("web01").await, (InstallState::Armed, 0));
}

#[tokio::test]
async fn a_missing_boot_file_boots_the_disk_until_it_is_back() {
    let site = Site::new();
    site.arm("web01").await;
    let initrd = site.assets().join("debian/initrd.gz");
    std::fs::rename(&initrd, site.outside().join("away")).unwrap();
    let answer = get(&site).await;
    assert_eq!(answer.reason, Reason::DiskFileMissing);
    assert!(answer.text.contains("debian/initrd.gz"), "{}", answer.text);
    assert_eq!(site.state("web01").await, (InstallState::Armed, 0));
    std::fs::rename(site.outside().join("away"), &initrd).unwrap();
    assert_eq!(get(&site).await.reason, Reason::Installer);
}

#[tokio::test]
async fn nobody_else_gets_it_and_a_preview_changes_nothing() {
    let site = Site::new();
    let token = site.arm("web01").await;
    for peer in [WEB02_IP, Ipv4Addr::new(192, 0, 2, 1)] {
        let answer = serve_script(&site.ctx, ask(WEB01, peer)).await;
        assert_eq!(answer.reason, Reason::NotThisMachine);
        assert!(!answer.text.contains(token.reveal()));
    }
    let stranger = serve_script(&site.ctx, ask("02:00:00:00:00:99", WEB01_IP)).await;
    assert_eq!(stranger.reason, Reason::UnknownHost);
    let preview = ScriptAsk {
        preview: true,
        ..ask(WEB01, WEB01_IP)
    };
    let shown = serve_script(&site.ctx, preview).await;
    assert_eq!(shown.reason, Reason::Installer);
    assert_eq!(site.state("web01").await, (InstallState::Armed, 0));
    assert_eq!(site.events(Kind::HttpScript).await.len(), 4);
}

#[tokio::test]
async fn a_host_with_a_uuid_is_asked_for_it_before_it_is_installed() {
    let site = Site::new();
    site.arm("web02").await;
    let mac = "52:54:00:47:86:8f";
    let first = serve_script(&site.ctx, ask(mac, WEB02_IP)).await;
    assert_eq!(first.reason, Reason::Script);
    assert!(
        first
            .text
            .contains("http://127.0.0.1:8080/boot/52-54-00-47-86-8f/boot.ipxe?uuid="),
        "{}",
        first.text
    );
    let told = |uuid: &str| ScriptAsk {
        uuid: uuid.parse().ok(),
        identified: true,
        ..ask(mac, WEB02_IP)
    };
    let other = told("e2e00000-0000-0000-0000-000000000002");
    let other = serve_script(&site.ctx, other).await;
    assert_eq!(other.reason, Reason::DiskIdentity);
    assert_eq!(site.state("web02").await, (InstallState::Armed, 0));
    let same = told("e2e00000-0000-0000-0000-000000000001");
    assert_eq!(
        serve_script(&site.ctx, same).await.reason,
        Reason::Installer
    );
    assert_eq!(site.state("web02").await, (InstallState::Booting, 1));
}

#[tokio::test]
async fn an_ipxe_without_http_is_not_asked_by_http() {
    let site = Site::new();
    site.arm("web02").await;
    let mac = "52:54:00:47:86:8f";
    site.ctx.memory.note_dhcp(Sighting {
        mac: mac.parse().unwrap(),
        reserved: true,
        at: site.ctx.now(),
        stage: Stage::Ipxe {
            firmware: Some(Firmware::Bios),
            http: false,
            linux: true,
        },
        is_ipxe: true,
        uuid: "e2e00000-0000-0000-0000-000000000001".parse().ok(),
        delivery: None,
        port: None,
    });
    let by_tftp = ScriptAsk {
        via: Via::Tftp,
        ..ask(mac, WEB02_IP)
    };
    let served = serve_script(&site.ctx, by_tftp.clone()).await;
    assert_eq!(served.reason, Reason::Installer);
    // The boot files come the same way, or it would stop at the kernel.
    assert!(
        served.text.contains(" tftp://127.0.0.1:0/debian/linux "),
        "{}",
        served.text
    );
    assert!(!served.text.contains("/assets/"), "{}", served.text);
    // Whoever asks by HTTP has HTTP, whatever was seen before.
    let by_http = ScriptAsk {
        via: Via::Http,
        identified: true,
        uuid: "e2e00000-0000-0000-0000-000000000001".parse().ok(),
        preview: true,
        ..by_tftp
    };
    let served = serve_script(&site.ctx, by_http).await;
    assert!(
        served.text.contains("/assets/debian/linux"),
        "{}",
        served.text
    );
    let previews = site.events(Kind::HttpScript).await;
    assert_eq!(
        previews.len(),
        1,
        "none for the script by TFTP: {previews:?}"
    );
}

#[tokio::test]
async fn boot_files_are_signs_of_life_and_the_kernel_is_noted() {
    let (site, clock) = clocked(AnyStore::in_memory());
    site.arm("web01").await;
    let name = "web01".parse().unwrap();
    let sent = async |path: &str, whole| {
        site.ctx.note_asset(&name, path, whole, None, None).await;
        site.record("web01").await.unwrap()
    };
    get(&site).await;
    clock.advance(Duration::from_secs(60));
    assert_eq!(sent("ipxe/undionly.kpxe", true).await.kernel_at, None);
    assert_eq!(sent("debian/linux", false).await.kernel_at, None);
    assert_eq!(sent("debian/initrd.gz", true).await.kernel_at, None);
    assert_eq!(sent("debian/linux", true).await.kernel_at, Some(at(60)));

    // Other files tell of an installer that runs, and of nothing before.
    clock.advance(Duration::from_secs(120));
    assert_eq!(sent("debian/pool/a.deb", true).await.seen_at, Some(at(60)));
    site.apply("web01", &Input::Answer).await;
    clock.advance(Duration::from_secs(30));
    assert_eq!(sent("debian/pool/a.deb", true).await.seen_at, Some(at(180)));
    clock.advance(Duration::from_secs(30));
    assert_eq!(sent("debian/pool/b.deb", true).await.seen_at, Some(at(240)));
}

#[tokio::test(flavor = "multi_thread")]
async fn of_many_requests_of_one_boot_one_counts() {
    let site = Arc::new(Site::new());
    site.arm("web01").await;
    for attempt in 1..=3 {
        switched_on(&site);
        let mut asking = tokio::task::JoinSet::new();
        for _ in 0..20 {
            let site = Arc::clone(&site);
            asking.spawn(async move { get(&site).await.reason });
        }
        for reason in asking.join_all().await {
            assert_eq!(reason, Reason::Installer);
        }
        assert_eq!(site.state("web01").await, (InstallState::Booting, attempt));
    }
}

#[tokio::test]
async fn a_machine_that_got_the_name_of_one_under_installation_is_not_installed() {
    let site = Site::new();
    let (one, two) = (WEB01.parse().unwrap(), "52:54:00:47:86:8f".parse().unwrap());
    site.arm("web01").await;
    assert_eq!(get(&site).await.reason, Reason::Installer);
    // The operator had mixed the two up.
    site.change_hosts(|hosts| {
        for host in hosts {
            host.uuid = None;
            let mac = if *host.macs == [one] { two } else { one };
            host.macs = mac.into();
        }
    });
    let ask_as = |mac: &str, peer| ask(mac, peer);
    let other = serve_script(&site.ctx, ask_as("52:54:00:47:86:8f", WEB01_IP)).await;
    assert_eq!(other.reason, Reason::NoLongerFits, "{}", other.text);
    let own = serve_script(&site.ctx, ask_as(WEB01, WEB02_IP)).await;
    assert_eq!(own.reason, Reason::DiskLocal, "{}", own.text);
    assert_eq!(site.state("web01").await, (InstallState::Booting, 1));
}
