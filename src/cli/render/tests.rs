use super::*;
use crate::config::source::MemoryFiles;

fn site(server: &str) -> MemoryFiles {
    MemoryFiles::from_iter([
        (
            "c/bootwright.toml",
            format!(
                "[server]\ninterfaces = [\"br0\"]\n[[subnet]]\nnetwork = \"10.0.0.0/24\"\n{server}\n"
            ),
        ),
        (
            "c/reservations.toml",
            "[hosts.a]\nmac = \"52:54:00:00:00:01\"\nip = \"10.0.0.5\"\nprofile = \"p\"\n\
             [hosts.b]\nmac = \"52:54:00:00:00:02\"\nip = \"10.0.0.6\"\n"
                .to_owned(),
        ),
        (
            "c/profiles/p.toml",
            "title = \"P\"\nfamily = \"other\"\n[boot]\nkind = \"linux\"\nkernel = \"k\"\n\
             initrd = [\"i\"]\ncmdline = \"quiet\"\n\
             [[answers]]\nname = \"one\"\ntemplate = \"one.j2\"\ncontent_type = \"text/plain\"\n\
             [[answers]]\nname = \"two\"\ntemplate = \"two.j2\"\ncontent_type = \"text/plain\"\n"
                .to_owned(),
        ),
        ("c/templates/one.j2", "one {{ host.name }}".to_owned()),
        ("c/templates/two.j2", "two {{ server.url }}\n".to_owned()),
    ])
}

fn render(
    server: &str,
    host: &str,
    name: Option<&str>,
    stage: Option<&str>,
    format: Format,
) -> Result<(String, String), String> {
    let asked = Asked {
        host: Some(host.to_owned()),
        name: name.map(str::to_owned),
        stage: stage.map(str::to_owned),
        ..Asked::default()
    };
    let (mut out, mut errors) = (Vec::new(), Vec::new());
    let files = site(server);
    let config = Path::new("c/bootwright.toml");
    match run_with(&files, config, &asked, format, &mut out, &mut errors) {
        Ok(status) => {
            assert_eq!(status, 0);
            Ok((
                String::from_utf8(out).unwrap(),
                String::from_utf8(errors).unwrap(),
            ))
        }
        Err(error) => Err(format!("{}{error:#}", String::from_utf8(errors).unwrap())),
    }
}

const SERVER: &str = "server = \"10.0.0.1\"";

#[test]
fn one_text_is_printed_as_it_is() {
    for host in ["a", "52-54-00-00-00-01", "10.0.0.5"] {
        let (out, errors) = render(SERVER, host, Some("one"), None, Format::Text).unwrap();
        assert_eq!((out.as_str(), errors.as_str()), ("one a", ""));
    }
    let (out, _) = render(SERVER, "a", None, Some("ipxe"), Format::Text).unwrap();
    assert!(out.starts_with("#!ipxe\n"));
}

#[test]
fn each_boot_loader_has_its_own_text() {
    let shown = |name, stage| render(SERVER, "a", name, stage, Format::Text).unwrap().0;
    for (stage, name, kernel) in [
        (
            "ipxe",
            "boot.ipxe",
            "kernel --name linux http://10.0.0.1:8080/assets/k ",
        ),
        ("grub", "grub.cfg", "  if linux (tftp,10.0.0.1)/k "),
        ("pxelinux", "pxelinux.cfg", "  LINUX 10.0.0.1::k\n"),
    ] {
        let text = shown(None, Some(stage));
        assert!(text.contains(kernel), "{text}");
        assert_eq!(shown(Some(name), None), text);
    }
}

#[test]
fn everything_is_printed_under_headings() {
    let (out, _) = render(SERVER, "a", None, None, Format::Text).unwrap();
    let headings: Vec<&str> = out.lines().filter(|line| line.starts_with("==>")).collect();
    assert_eq!(
        headings,
        [
            "==> a: boot.ipxe (text/plain) <==",
            "==> a: cmdline (text/plain) <==",
            "==> a: one (text/plain) <==",
            "==> a: two (text/plain) <==",
        ]
    );
    assert!(out.ends_with("two http://10.0.0.1:8080\n"));
}

#[test]
fn json_holds_the_same_texts() {
    let (out, _) = render(SERVER, "a", Some("two"), None, Format::Json).unwrap();
    let report: serde_json::Value = serde_json::from_str(&out).unwrap();
    assert_eq!(report["host"], "a");
    assert_eq!(report["arch"], "x86_64");
    assert_eq!(report["texts"][0]["text"], "two http://10.0.0.1:8080\n");
    assert!(report.get("note").is_none());
}

#[test]
fn an_address_that_nobody_gave_is_told_beside_the_text() {
    let (out, errors) = render("", "a", Some("two"), None, Format::Text).unwrap();
    assert_eq!(out, "two http://10.0.0.1:8080\n");
    assert!(
        errors.starts_with("note: URLs are shown with 10.0.0.1 "),
        "{errors}"
    );
    let (out, errors) = render("", "a", Some("two"), None, Format::Json).unwrap();
    assert!(out.contains("\"note\"") && errors.is_empty());
}

#[test]
fn what_cannot_be_shown_says_why() {
    let why = |host, name, stage| render(SERVER, host, name, stage, Format::Text).unwrap_err();
    assert_eq!(
        why("a", Some("three"), None),
        "the profile p has no answer three; it has one, two (boot.ipxe, grub.cfg, pxelinux.cfg and cmdline can be shown too)"
    );
    assert!(why("zzzzzz", None, None).starts_with("there is no host zzzzzz"));
    assert!(why("b", None, None).starts_with("b has no profile"));
    assert!(why("a", None, Some("lilo")).contains("are the stages"));
    let wrong = render("server = 5", "a", None, None, Format::Text).unwrap_err();
    assert!(wrong.contains("c/bootwright.toml"), "{wrong}");
    assert!(wrong.ends_with("the configuration has errors"), "{wrong}");
}

mod written;
