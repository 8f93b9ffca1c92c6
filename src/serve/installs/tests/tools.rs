//! Tools for one boot: their hosts are `local` again while they run.

use super::*;
use crate::config::snapshot::{Answer, TemplateText};

async fn opens(bench: &Bench, token: &Token) -> Option<InstallState> {
    let found = bench.installs.by_token(&bench.snapshot, token).await;
    found.unwrap().map(|record| record.state)
}

async fn under(bench: &Bench, token: &Token, input: Input) -> bool {
    let input = |_: &Record| input.clone();
    let applied = bench
        .installs
        .apply_under(
            &bench.snapshot,
            token,
            &host("web01"),
            input,
            &Context::default(),
        )
        .await;
    matches!(applied, Ok(Applied::Changed(_)))
}

/// The host is `local` again, and the tool that runs meanwhile still fetches its answers.
#[tokio::test]
async fn a_tool_gets_its_answers_after_its_kernel() {
    let mut bench = Bench::new();
    let text = |text: &str| TemplateText {
        text: text.to_owned(),
        span: None,
    };
    let mut tool = profile(
        Lifecycle::Once,
        Boot::Linux {
            kernel: text("tool/linux"),
            initrd: Vec::new(),
            cmdline: text("quiet").into(),
        },
    );
    tool.answers = vec![Answer {
        name: "answers".to_owned(),
        template: "answers.j2".to_owned(),
        content_type: "text/plain".to_owned(),
        span: None,
    }];
    let with = |bench: &mut Bench, profile: &Profile| {
        bench.snapshot = Snapshot::new(
            Server::default(),
            bench.snapshot.subnets.clone(),
            bench
                .snapshot
                .hosts()
                .iter()
                .map(|host| (**host).clone())
                .collect(),
            vec![profile.clone()],
            std::collections::BTreeMap::new(),
        );
    };
    with(&mut bench, &tool);
    let token = Token::from_bytes([11; 16]);
    let boot = async |bench: &Bench| {
        bench.apply("web01", &bench.install(11)).await.unwrap();
        bench.apply("web01", &SCRIPT).await.unwrap();
        bench
            .apply("web01", &Input::Asset { kernel: true })
            .await
            .unwrap();
        assert_eq!(bench.state("web01").await, InstallState::Local);
    };
    boot(&bench).await;
    assert_eq!(opens(&bench, &token).await, Some(InstallState::Booting));
    assert!(under(&bench, &token, Input::Answer).await);
    assert_eq!(opens(&bench, &token).await, Some(InstallState::Installing));
    // Nothing of that makes the host anything but local.
    assert_eq!(bench.state("web01").await, InstallState::Local);
    assert_eq!(opens(&bench, &Token::from_bytes([9; 16])).await, None);
    // Not for ever.
    bench.clock.advance(Duration::from_secs(86_401));
    assert_eq!(opens(&bench, &token).await, None);
    // Nor once something else is asked for.
    boot(&bench).await;
    assert!(opens(&bench, &token).await.is_some());
    bench.apply("web01", &bench.install(12)).await.unwrap();
    assert_eq!(opens(&bench, &token).await, None);
    // An order that takes the tool back leaves nothing behind, and a tool without answers has none to give.
    bench.apply("web01", &SCRIPT).await.unwrap();
    let cancel = Input::Cancel {
        force: true,
        by: "kari".to_owned(),
    };
    bench.apply("web01", &cancel).await.unwrap();
    assert_eq!(opens(&bench, &Token::from_bytes([12; 16])).await, None);
    tool.answers.clear();
    with(&mut bench, &tool);
    boot(&bench).await;
    assert_eq!(opens(&bench, &token).await, None);
}
