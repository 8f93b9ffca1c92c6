//! What holds for any run of requests.

use std::net::Ipv4Addr;

use bootwright::base::{HardwareAddr, Token};
use bootwright::record::InstallState;
use hyper::Method;
use proptest::prelude::*;

use crate::site::*;

/// A run of requests, each by path template; `T` stands for the token.
fn paths() -> impl Strategy<Value = String> {
    prop_oneof![
        Just("/boot/52-54-00-47-86-8e/boot.ipxe".to_owned()),
        Just("/boot/5254.0047.868E/boot.ipxe?uuid=&serial=".to_owned()),
        Just("/answers/T/answers.txt".to_owned()),
        Just("/answers/T/".to_owned()),
        Just("/answers/T/secrets/luks".to_owned()),
        Just("//answers//T//answers.txt".to_owned()),
        Just("/report/T/started".to_owned()),
        Just("/report/T/progress?percent=5".to_owned()),
        Just("/report/T/installed".to_owned()),
        Just("/report/T/failed".to_owned()),
        Just("/report/T/up".to_owned()),
        Just("/report/T/logs/x".to_owned()),
        Just("/assets/tiny/linux".to_owned()),
        Just("/assets/tiny/initrd.gz".to_owned()),
        "/[a-z0-9/.T-]{0,30}",
    ]
}

fn methods_any() -> impl Strategy<Value = Method> {
    prop::sample::select(vec![Method::GET, Method::POST, Method::PUT, Method::HEAD])
}

/// How far web01 is when the requests come: armed, booting or installing.
async fn prepare(site: &Site, stage: u8) -> Token {
    let token = site.arm().await;
    if stage > 0 {
        site.get(WEB01, &script_of(MAC)).await;
    }
    if stage > 1 {
        site.get(WEB01, &answer(&token)).await;
    }
    token
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]

    #[test]
    fn requests_from_elsewhere_change_nothing_and_get_no_token(
        stage in 0_u8..3,
        requests in prop::collection::vec((methods_any(), paths(), prop_oneof![Just(WEB02), Just(STRANGER), any::<u32>().prop_map(Ipv4Addr::from)]), 1..12),
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let site = Site::new();
            let token = prepare(&site, stage).await;
            let before = site.record().await;
            for (method, path, peer) in requests {
                if peer == WEB01 {
                    continue;
                }
                let path = path.replace('T', token.reveal());
                let reply = site.ask(peer, method.clone(), &path).await;
                prop_assert!(!reply.text().contains(token.reveal()), "{method} {path}");
            }
            // What runs behind an answer has run when everything else has nothing to do.
            for _ in 0..20 {
                tokio::task::yield_now().await;
            }
            prop_assert_eq!(site.record().await, before);
            for event in site.events().await {
                let json = event.to_json().to_string();
                prop_assert!(!json.contains(token.reveal()), "{}", json);
            }
            Ok(())
        })?;
    }

    #[test]
    fn head_changes_nothing(stage in 0_u8..3, requests in prop::collection::vec(paths(), 1..12)) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let site = Site::new();
            let token = prepare(&site, stage).await;
            let before = site.record().await;
            for path in requests {
                let path = path.replace('T', token.reveal());
                let reply = site.ask(WEB01, Method::HEAD, &path).await;
                prop_assert!(reply.bytes().is_empty());
            }
            for _ in 0..20 {
                tokio::task::yield_now().await;
            }
            prop_assert_eq!(site.record().await, before);
            Ok(())
        })?;
    }

    #[test]
    fn any_spelling_of_a_mac_is_the_machine(upper in any::<bool>(), style in 0_u8..4) {
        let mac: HardwareAddr = MAC.parse().unwrap();
        let dashed = mac.dashed();
        let text = match style {
            0 => dashed,
            1 => mac.to_string(),
            2 => dashed.replace('-', ""),
            _ => dashed.replace('-', "%3A"),
        };
        let text = if upper { text.to_uppercase() } else { text };
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let site = Site::new();
            site.arm().await;
            site.get(WEB01, &script_of(&text)).await;
            prop_assert_eq!(site.state().await, InstallState::Booting);
            Ok(())
        })?;
    }
}
