//! dnsmasq.

use bootwright::import::dnsmasq::read;
use bootwright::import::{Imported, Nothing, Source};
use proptest::prelude::*;

use crate::files::{Site, damaged, sample};
use crate::shown::shown;

fn site() -> Site {
    Site::default()
        .file("/etc/dnsmasq.d/10-more.conf", "dhcp-option=option:ntp-server,10.0.0.123\nno-such-thing=1\n")
        .file("/etc/dnsmasq.d/20-off.bak", "dhcp-option=option:ntp-server,10.9.9.9\n")
        .file("/etc/dnsmasq.d/.hidden.conf", "dhcp-option=option:ntp-server,10.9.9.9\n")
        .file("/etc/dnsmasq.more.conf", "# nothing\ndhcp-option=option:netbios-ns,10.0.0.44\n")
        .file(
            "/etc/dnsmasq.hosts",
            "52:54:00:00:02:01,filed,10.10.0.21\n# comment\ndhcp-host=52:54:00:00:02:02,filed2,10.10.0.22\n",
        )
        .file("/etc/dnsmasq.hosts.d/a", "52:54:00:00:02:03,dir-a,10.10.0.23\n")
        .file("/etc/dnsmasq.hosts.d/b", "52:54:00:00:02:04,dir-b,10.10.0.24\n")
        .file("/etc/dnsmasq.opts", "tag:red,option:log-server,10.0.0.8\noption:nis-domain,site\n")
        .file("/etc/hosts", "127.0.0.1 localhost\n10.10.0.31 byname.site.example byname\n")
        .file("/etc/hosts.more", "10.10.0.32 term2\n")
        .file(
            "/etc/ethers",
            "# MAC name\n52:54:00:00:03:01 byname\n52:54:00:00:03:02 10.10.0.33\nbroken line here\n",
        )
}

fn snapshot(name: &str, site: &Site) {
    let imported = read(&[sample("dnsmasq", &format!("{name}.conf"))], site).unwrap();
    insta::assert_snapshot!(name, shown(&imported));
}

#[test]
fn a_small_network_at_home() {
    snapshot("home", &Site::default());
}

#[test]
fn several_networks_with_files_and_folders() {
    snapshot("site", &site());
}

#[test]
fn chainloading_in_its_idioms() {
    snapshot("ipxe", &Site::default());
}

#[test]
fn a_command_line_beside_a_router() {
    let text = sample("dnsmasq", "proxy.conf").text.replace("\\\n", " ");
    let source = Source {
        name: "proxy".to_owned(),
        text,
    };
    let imported = read(&[source], &Nothing).unwrap();
    insta::assert_snapshot!("proxy", shown(&imported));
}

#[test]
fn files_that_include_each_other_end() {
    let site = Site::default().file("a", "conf-file=a\nconf-file=a\n");
    let source = Source {
        name: "f".to_owned(),
        text: "conf-file=a\n".to_owned(),
    };
    let imported = read(&[source], &site).unwrap();
    assert!(
        imported
            .left
            .iter()
            .all(|left| left.why.contains("too many"))
    );
    assert!(!imported.left.is_empty());
}

fn of(text: &str) -> Imported {
    let source = Source {
        name: "dnsmasq.conf".to_owned(),
        text: text.to_owned(),
    };
    read(&[source], &Nothing).unwrap()
}

/// An option, and the texts of which one must show where the option itself is not told.
fn option() -> impl Strategy<Value = (String, String)> {
    let n = || 1..250_u8;
    prop_oneof![
        n().prop_map(|n| (
            format!("dhcp-host=02:00:00:00:01:{n:02x},h{n},10.0.1.{n}"),
            format!("host h{n} mac=02:00:00:00:01:{n:02x} ip=10.0.1.{n}")
        )),
        n().prop_map(|n| (
            format!("dhcp-host=02:00:00:00:01:{n:02x},set:t{n},10.0.1.{n}"),
            format!("group t{n}")
        )),
        n().prop_map(|n| (
            format!("dhcp-range=10.0.{n}.20,10.0.{n}.40,255.255.255.0,1h"),
            format!("pool=10.0.{n}.20-10.0.{n}.40")
        )),
        n().prop_map(|n| (
            format!("dhcp-range=set:s{n},10.0.{n}.0,static,255.255.255.0"),
            format!("subnet 10.0.{n}.0/24")
        )),
        n().prop_map(|n| (
            format!("dhcp-option=17,mark{n}"),
            format!("root-path {{ text = \"mark{n}\" }}")
        )),
        n().prop_map(|n| (
            format!("dhcp-option=tag:t{n},17,mark{n}"),
            format!("root-path {{ text = \"mark{n}\" }}")
        )),
        n().prop_map(|n| (format!("dhcp-boot=file{n}.0"), String::from("\0"))),
        n().prop_map(|n| (
            format!("dhcp-match=set:x,option:client-arch,{n}"),
            String::from("\0")
        )),
        n().prop_map(|n| (format!("unknown-{n}=1"), String::from("\0"))),
        n().prop_map(|n| (
            format!("domain=d{n}.example"),
            format!("domain=d{n}.example")
        )),
        Just(("tag-if=set:a,tag:b".to_owned(), "\0".to_owned())),
        Just(("enable-tftp".to_owned(), "\0".to_owned())),
        Just(("dhcp-ignore=tag:!known".to_owned(), "\0".to_owned())),
        Just(("server=1.1.1.1".to_owned(), "server".to_owned())),
        Just(("cache-size=5".to_owned(), "cache-size".to_owned())),
    ]
}

proptest! {
    #[test]
    fn no_option_is_lost(options in prop::collection::vec(option(), 0..40)) {
        let text: String = options.iter().flat_map(|(line, _)| [line.as_str(), "\n"]).collect();
        let imported = of(&text);
        let shown = shown(&imported);
        for (index, (line, mark)) in options.iter().enumerate() {
            let told = imported.left.iter().any(|left| left.line == index + 1);
            prop_assert!(told || shown.contains(mark.as_str()), "line {}: {line}\nof\n{text}\n{shown}", index + 1);
        }
    }

    #[test]
    fn broken_bytes_never_panic(seed in 0..3_usize, edits in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>(), 0..3_u8), 1..20)) {
        let name = ["home.conf", "site.conf", "ipxe.conf"][seed];
        let text = damaged(sample("dnsmasq", name).text, &edits, b",=\"#:\n");
        let source = Source { name: "f".to_owned(), text: text.clone() };
        let imported = read(&[source], &site()).unwrap();
        prop_assert!(imported.hosts.len() + imported.left.len() <= 8 * text.len() + 100);
    }

    #[test]
    fn any_text_is_read(text in "[ -~\n]{0,400}") {
        of(&text);
    }
}
