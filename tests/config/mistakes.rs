//! One small change of a good configuration per kind of mistake, and what the operator is told.
//!
//! Read the snapshots as a stranger would: is the place right, is the right text underlined, does the
//! help say what to do?

use bootwright::config::source::DiskFiles;
use bootwright::config::{load, show};
use proptest::prelude::*;

use crate::files::{
    GOOD_HOSTS, GOOD_MAIN, GOOD_PROFILE, HOSTS, MAIN, PROFILE, good, load_all, shown, with,
};

/// Shows what is told of the good configuration with these files in it.
macro_rules! mistake {
    ($name:ident, $($path:expr => $text:expr),+ $(,)?) => {
        #[test]
        fn $name() {
            let files = with(&[$(($path, $text.as_ref())),+]);
            let text = shown(&files);
            crate::schema::refuses_what_is_mistaken(stringify!($name), &files);
            insta::assert_snapshot!(stringify!($name), text);
        }
    };
}

/// The good `bootwright.toml` with something after `[server]`'s keys.
fn main_with(more: &str) -> String {
    GOOD_MAIN.replace("\n[[subnet]]", &format!("\n{more}\n[[subnet]]"))
}

/// The good subnet with further keys.
fn subnet_with(more: &str) -> String {
    format!("{GOOD_MAIN}{more}\n")
}

/// The good host with further keys.
fn host_with(more: &str) -> String {
    format!("{GOOD_HOSTS}{more}\n")
}

fn profile_with(old: &str, new: &str) -> String {
    assert!(GOOD_PROFILE.contains(old));
    GOOD_PROFILE.replace(old, new)
}

#[test]
fn the_good_configuration_is_good() {
    insta::assert_snapshot!(shown(&good()), @"configuration is good: 1 host, 1 profile, 1 subnet");
}

/// A profile with this `[boot]`.
fn of_boot(keys: &str) -> String {
    format!("title = \"x\"\nfamily = \"other\"\n[boot]\n{keys}\n")
}

mod options_of_profiles {
    use super::*;

    fn with_options(more: &str) -> String {
        profile_with(
            "family = \"debian\"\n",
            &format!("family = \"debian\"\n{more}\n"),
        )
    }

    #[test]
    fn their_texts_are_templates() {
        let good = with_options(
            "options = [{ code = 250, text = \"{{ answers.url }}\" }, { code = 26, u16 = 1500 }]",
        );
        let text = shown(&with(&[(PROFILE, &good)]));
        assert!(text.starts_with("configuration is good"), "{text}");
    }

    mistake!(option_of_a_live_profile, PROFILE => with_options("lifecycle = \"live\"\noptions = [{ code = 250, text = \"x\" }]"));
    mistake!(option_with_a_reserved_code, PROFILE => with_options("options = [{ code = 53, u8 = 1 }]"));

    #[test]
    fn what_does_not_render_is_told_at_its_place() {
        let bad = with_options("options = [{ code = 250, text = \"{{ vars.nothing }}\" }]");
        let files = with(&[(PROFILE, &bad)]);
        let loaded = bootwright::render::load::load(&files, std::path::Path::new(MAIN), 1);
        let text = show::text(&loaded.problems, &loaded.sources, false, false);
        insta::assert_snapshot!(text);
    }
}

mod syntax {
    use super::*;

    mistake!(value_missing, HOSTS => "[hosts.a]\nip =\n\n[hosts.b]\nip = \"10.99.0.300\"\n");
    mistake!(text_without_quotes, MAIN => GOOD_MAIN.replace("\"10.99.0.2\"", "10.99.0.2"));
    mistake!(text_not_closed, HOSTS => GOOD_HOSTS.replace("8e\"", "8e"));
    mistake!(list_not_closed, MAIN => GOOD_MAIN.replace("[\"br0\"]", "[\"br0\""));
    mistake!(header_not_closed, HOSTS => host_with("\n[hosts.web02\nip = \"10.99.0.12\""));
    mistake!(header_with_a_blank, HOSTS => host_with("\n[hosts.web 02]\nip = \"10.99.0.12\""));
    mistake!(key_without_value, HOSTS => host_with("group"));
    mistake!(key_twice, HOSTS => host_with("ip = \"10.99.0.12\""));
    mistake!(host_twice_in_one_file, HOSTS => host_with("\n[hosts.web01]\nip = \"10.99.0.12\"\nmac = \"52:54:00:00:00:01\""));
    mistake!(backslash_in_a_text, HOSTS => host_with("notes = \"C:\\Windows\""));
    mistake!(yaml_in_place_of_toml, HOSTS => GOOD_HOSTS.replace("ip = ", "ip: ").replace("mac = \"52:54:00:47:86:8e\"", "mac: 52:54:00:47:86:8e"));
    mistake!(quotes_of_a_word_processor, HOSTS => GOOD_HOSTS.replace("\"web\"", "“web”"));
    mistake!(one_bad_host_does_not_hide_the_next, HOSTS => host_with(
        "\n[hosts.web02]\nip = nonsense\n\n[hosts.web03]\nip = \"10.99.1.1\"\nmca = \"52:54:00:00:00:03\"\n\n[hosts.web04]\nip = \"10.99.0.14\"\ngroup = \"wbe\""
    ));
}

mod after {
    use super::*;

    /// Three further hosts, with what the first of them waits for.
    fn guests(after: &str) -> String {
        host_with(&format!(
            "\n[hosts.hv-042]\nip = \"10.99.0.42\"\n\n[hosts.guest]\nip = \"10.99.0.43\"\n{after}\n"
        ))
    }

    mistake!(a_good_one_is_no_mistake, HOSTS => guests("after = { host = \"hv-042\", event = \"up\" }"));
    mistake!(as_a_text, HOSTS => guests("after = \"hv-042:up\""));
    mistake!(unknown_host, HOSTS => guests("after = { host = \"hv-24\", event = \"up\" }"));
    mistake!(unknown_event, HOSTS => guests("after = { host = \"hv-042\", event = \"instaled\" }"));
    mistake!(unknown_key, HOSTS => guests("after = { host = \"hv-042\", evnt = \"up\" }"));
    mistake!(itself, HOSTS => guests("after = { host = \"guest\", event = \"up\" }"));
    mistake!(in_a_circle, HOSTS => guests("after = { host = \"hv-042\", event = \"up\" }").replace("42\"\n", "42\"\nafter = { host = \"guest\", event = \"installed\" }\n"));
    mistake!(in_a_group, HOSTS => format!("{GOOD_HOSTS}\n[groups.g]\nafter = {{ host = \"web01\", event = \"up\" }}\n"));
    mistake!(an_unreadable_host_may_be_the_one, HOSTS => host_with("\n[hosts.guest]\nip = \"10.99.0.43\"\nafter = { host = \"hv-042\", event = \"up\" }\n\n[hosts.hv-042\nip = \"10.99.0.42\"\n"));
}

mod fetch {
    use super::*;

    /// The good profile with a `[fetch]`.
    fn fetch(keys: &str, file: &str) -> String {
        format!("{GOOD_PROFILE}\n[fetch]\n{keys}\n\n[[fetch.files]]\n{file}\n")
    }

    const FILE: &str = "path = \"debian/12/{{ arch }}/linux\"\nfrom = \"images/linux\"";

    mistake!(fetch_that_is_good, PROFILE => fetch("mirror = \"http://deb.example/debian\"\npackage = \"x-{{ debian_arch }}\"\nsums = [{ path = \"InRelease\", signature = \"inline\" }]", FILE));
    mistake!(fetch_without_files, PROFILE => format!("{GOOD_PROFILE}\n[fetch]\nmirror = \"http://deb.example\"\n"));
    mistake!(fetch_with_unknown_keys, PROFILE => fetch("url = \"http://deb.example\"\nmirrors = \"x\"", &format!("{FILE}\nsha512 = \"x\"")));
    mistake!(fetch_with_bad_values, PROFILE => fetch(
        "mirror = \"ftp://deb.example\"\npackage = \"Bad Name\"\nkeyring = \"keys.gpg\"\nsums = [{ signature = \"inline\" }]",
        "path = \"../etc/passwd\"\nfrom = \"/absolute\"\nis = \"kernal\"\nsha256 = \"abc\"",
    ));
    mistake!(fetch_with_a_host, PROFILE => fetch("mirror = \"http://deb.example\"", "path = \"debian/{{ host.name }}/linux\"\nfrom = \"linux\""));
    mistake!(fetch_of_a_file_from_nowhere, PROFILE => fetch("mirror = \"http://deb.example\"", "path = \"a/linux\""));
    mistake!(fetch_by_a_pointer_into_nothing, PROFILE => fetch("mirror = \"http://deb.example\"", "path = \"a/linux\"\nin_stream = \"/a/b\""));
    mistake!(fetch_of_the_same_file_twice, PROFILE => fetch("mirror = \"http://deb.example\"", &format!("{FILE}\n\n[[fetch.files]]\n{FILE}")));
}

mod keys {
    use super::*;

    mistake!(unknown_key_of_a_host, HOSTS => GOOD_HOSTS.replace("group =", "gruop ="));
    mistake!(unknown_key_without_a_near_one, HOSTS => host_with("colour = \"red\""));
    mistake!(unknown_key_in_defaults_and_group, HOSTS => format!("[defaults]\nlocal-boot = \"exit\"\n{GOOD_HOSTS}\n[groups.db]\nprofil = \"debian-12\"\n"));
    mistake!(unknown_table, MAIN => main_with("[tftpd]\nport = 69\n"));
    mistake!(hosts_in_the_wrong_file, MAIN => format!("{GOOD_MAIN}\n[hosts.web01]\nip = \"10.99.0.11\"\n"));
    mistake!(key_of_another_table, MAIN => main_with("[dhcp]\nrouter = \"10.99.0.1\"\n"));
    mistake!(unknown_key_of_a_subnet, MAIN => subnet_with("gateway = \"10.99.0.1\"\nruoter = \"10.99.0.1\""));
    mistake!(unknown_key_of_a_profile, PROFILE => profile_with("title", "titel"));
    mistake!(unknown_key_of_an_answer, PROFILE => format!("{GOOD_PROFILE}content-type = \"text/plain\"\n"));
    mistake!(key_of_another_kind, PROFILE => profile_with("kind = \"linux\"", "kind = \"linux\"\nmodules = [\"a\"]"));
    mistake!(interfaces_missing, MAIN => GOOD_MAIN.replace("interfaces = [\"br0\"]\n", ""));
    mistake!(server_table_missing, MAIN => "[[subnet]]\nnetwork = \"10.99.0.0/24\"\n");
    mistake!(address_missing, HOSTS => GOOD_HOSTS.replace("ip = \"10.99.0.11\"\n", ""));
    mistake!(network_missing, MAIN => format!("{GOOD_MAIN}\n[[subnet]]\nname = \"second\"\n"));
    mistake!(boot_missing, PROFILE => "title = \"x\"\n");
    mistake!(modules_of_a_linux_kernel, PROFILE => profile_with("kind = \"linux\"", "kind = \"multiboot\""));
    mistake!(wimboot_without_files, PROFILE => profile_with("kind = \"linux\"", "kind = \"wimboot\""));
    mistake!(sanboot_of_nothing, PROFILE => profile_with("kind = \"linux\"", "kind = \"sanboot\""));
    mistake!(sanboot_that_is_good, PROFILE => of_boot("kind = \"sanboot\"\ntarget = \"iscsi:10.99.0.5::::iqn.2026-01.example.lab:{{ host.name }}\"\ninitiator = \"iqn.2026-01.example.lab:x\""));
    mistake!(sanboot_of_an_image_and_a_target, PROFILE => of_boot("kind = \"sanboot\"\nimage = \"a.iso\"\ntarget = \"iscsi:10.99.0.5::::iqn.2026-01.x\""));
    mistake!(sanboot_of_an_image_with_a_login, PROFILE => of_boot("kind = \"sanboot\"\nimage = \"a.iso\"\nusername = \"x\"\npassword_secret = \"y\"\ndrive = 3"));
    mistake!(sanboot_with_half_a_login, PROFILE => of_boot("kind = \"sanboot\"\ntarget = \"iscsi:10.99.0.5::::iqn.2026-01.x\"\nusername = \"x\"\ntarget_username = \"y\""));
    mistake!(sanboot_with_a_password, PROFILE => of_boot("kind = \"sanboot\"\ntarget = \"iscsi:10.99.0.5:17:::iqn.2026-01.x\"\nusername = \"x\"\npassword = \"hunter2\"\npassword_secret = \"correct horse\"\ninitiator = \"Me\""));
    mistake!(local_that_would_install, PROFILE => of_boot("kind = \"local\""));
    mistake!(paths_that_lead_out, PROFILE => profile_with("kind = \"linux\"", "kind = \"multiboot\"\nmodules = [\"../../etc/shadow type=rootfs\"]"));
    mistake!(kind_missing, PROFILE => profile_with("kind = \"linux\"\n", ""));
    mistake!(kernel_missing, PROFILE => profile_with("kernel = \"debian/12/{{ arch }}/linux\"\n", ""));
    mistake!(answer_without_template, PROFILE => profile_with("template = \"debian/preseed.cfg.j2\"\n", ""));
    mistake!(key_directly_in_hosts, HOSTS => "[hosts]\nmac = \"52:54:00:47:86:8e\"\n");
    mistake!(double_brackets_for_hosts, HOSTS => "[[hosts]]\nname = \"web01\"\n");
    mistake!(double_brackets_beside_hosts, HOSTS => host_with("\n[[hosts]]\nname = \"web02\"\n"));
    mistake!(double_brackets_for_one_host, HOSTS => host_with("\n[[hosts.web02]]\nip = \"10.99.0.12\"\n"));
    mistake!(full_name_in_a_header, HOSTS => host_with("\n[hosts.web02.lab.example]\nip = \"10.99.0.12\"\n"));
    mistake!(single_brackets_for_a_subnet, MAIN => GOOD_MAIN.replace("[[subnet]]", "[subnet]"));
}

mod mirrors {
    use super::*;

    mistake!(mirrors_that_are_good, MAIN => main_with(r#"[[mirror]]
path = "debian-mirror/"
url = "http://deb.example:8000/debian/"
keep = "5GiB"
fresh_for = "10m"
stale = false
[[mirror]]
path = "rocky/9"
url = "https://rocky.example"
"#));
    mistake!(mirrors_of_nothing, MAIN => main_with("[[mirror]]\n[[mirror]]\nname = \"x\"\nurl = \"ftp://a.example/\"\nsize = \"1GiB\""));
    mistake!(mirrors_with_bad_values, MAIN => main_with(r#"[[mirror]]
path = "../up"
url = "http://me:secret@a.example/x?y"
[[mirror]]
path = ".hidden"
url = "http://me@a.example"
[[mirror]]
path = "a"
url = "http:///x"
keep = "1MiB"
fresh_for = "90d"
stale = "yes"
"#));
    mistake!(mirrors_in_each_other, MAIN => main_with(r#"[[mirror]]
path = "a/b"
url = "http://a.example"
[[mirror]]
path = "a"
url = "http://b.example"
[[mirror]]
path = "a/b/c"
url = "http://c.example"
[[mirror]]
path = "ab"
url = "http://d.example"
"#));
}

mod hooks {
    use super::*;

    mistake!(hooks_with_unusable_receivers, MAIN => main_with(r#"[[hook]]
events = ["install.*"]
[[hook]]
url = "http://a.example/"
exec = ["/usr/local/bin/told"]
[[hook]]
exec = ["/usr/local/bin/told"]
secret = "hook-key"
[[hook]]
exec = ["told"]
[[hook]]
exec = []
[[hook]]
url = "ftp://a.example/"
[[hook]]
url = "a.example/x"
[[hook]]
url = "https://ops:pw@a.example/"
[[hook]]
url = "http://a.example:99999/"
[[hook]]
url = "http://a.example/a b"
[[hook]]
url = "http:///x"
"#));
    mistake!(hooks_with_mistaken_keys, MAIN => main_with(r#"[[hook]]
url = "http://a.example/1"
event = "install.*"
timout = "5s"
[[hook]]
url = "http://a.example/2"
events = ["instal.*", "install.instaled", "nothing.like.it", "hook.*", "*.failed"]
[[hook]]
url = "http://a.example/3"
events = []
timeout = "1h"
[[hook]]
url = "http://a.example/4"
[[hook]]
url = "http://a.example/4"
events = ["host.unknown"]
"#));
    mistake!(single_brackets_for_a_hook, MAIN => main_with("[hook]\nurl = \"http://a.example/\"\n"));
}

mod variables {
    use super::*;

    const TEMPLATE: &str = "config/templates/debian/preseed.cfg.j2";
    const READS: &str = "d-i a/b string {{ vars.disk | default('') }}{{ vars[\"notes\"] }}\n";

    mistake!(key_of_a_host_below_its_variables, TEMPLATE => READS, HOSTS => host_with(
        "[hosts.web01.vars]\nnotes = \"read\"\ninstall = \"never\"\n[hosts.web02]\nip = \"10.99.0.12\"\n[hosts.web02.vars]\ninstall = \"never\"\nlater = 1"
    ));
    mistake!(misspelt_variable, TEMPLATE => READS, HOSTS => format!(
        "[defaults.vars]\ndsik = \"/dev/sda\"\n{GOOD_HOSTS}"
    ));
    mistake!(variables_that_may_be_read, TEMPLATE => "{{ vars | tojson }}", HOSTS => host_with(
        "[hosts.web01.vars]\ninstall = \"never\"\ndsik = 1"
    ));
}

mod values {
    use super::*;

    mistake!(wrong_types, MAIN => main_with("user = 7\n[dhcp]\nport = \"67\"\nconflict_probe = \"no\"\n[boot]\nloaders = \"x\"\n"));
    mistake!(text_in_place_of_a_list, MAIN => GOOD_MAIN.replace("[\"br0\"]", "\"br0\""));
    mistake!(mac_addresses, HOSTS => "[hosts.a]\nmac = \"52:54:00:47:86\"\nip = \"10.99.0.11\"\n[hosts.b]\nmac = \"01:00:5e:00:00:01\"\nip = \"10.99.0.12\"\n[hosts.c]\nmac = \"00:00:00:00:00:00\"\nip = \"10.99.0.13\"\n[hosts.d]\nmac = \"ff:ff:ff:ff:ff:ff\"\nip = \"10.99.0.14\"\n[hosts.e]\nmac = \"52:54:00:47:86:8g\"\nip = \"10.99.0.15\"\n");
    mistake!(addresses, HOSTS => "[hosts.a]\nip = \"10.99.0.300\"\n[hosts.b]\nip = \"10.99.0.11/24\"\n[hosts.c]\nip = \"fe80::1\"\n[hosts.d]\nip = \"224.0.0.5\"\n[hosts.e]\nip = \"10.99.0\"\n[hosts.f]\nip = \"10.99.0.011\"\n");
    mistake!(networks, MAIN => "[server]\ninterfaces = [\"br0\"]\n[[subnet]]\nnetwork = \"10.99.0.2/24\"\n[[subnet]]\nnetwork = \"10.98.0.0\"\n[[subnet]]\nnetwork = \"10.97.0.0/255.255.255.0\"\n[[subnet]]\nnetwork = \"224.0.0.0/8\"\n");
    mistake!(names, HOSTS => "[hosts.\"web 01\"]\nip = \"10.99.0.11\"\n[hosts.\"web01.lab\"]\nip = \"10.99.0.12\"\n[hosts.-x]\nip = \"10.99.0.13\"\n[groups.\"a b\"]\n");
    mistake!(name_of_a_profile_file, "config/profiles/debian 12.toml" => GOOD_PROFILE);
    mistake!(ports, MAIN => main_with("[dhcp]\nport = 0\n[tftp]\nport = 65536\n[http]\nport = -1\n"));
    mistake!(two_services_on_one_port, MAIN => main_with("[dhcp]\nport = 6900\n[tftp]\nport = 6900\n"));
    mistake!(tftp_engine, MAIN => main_with("[tftp]\nengine = \"dnsmasq\"\n"));
    mistake!(tftp_limits, MAIN => main_with("[tftp]\nmax_blksize = 4\nmax_windowsize = 0\n"));
    mistake!(lengths_of_time, MAIN => main_with("[dhcp]\nlease_time = \"1 hour\"\n[install]\narmed_for = \"24\"\nstalled_after = \"0s\"\nmax_attempts = 0\n"));
    mistake!(size_of_the_journal, MAIN => main_with("[journal]\nkeep = \"256\"\n"));
    mistake!(interfaces_empty, MAIN => GOOD_MAIN.replace("[\"br0\"]", "[]"));
    mistake!(interface_names, MAIN => GOOD_MAIN.replace("[\"br0\"]", "[\"br0\", \"br0\", \"a/b\", \"enp0s31f6-and-more\"]"));
    mistake!(domains, MAIN => GOOD_MAIN.replace("\"lab.example\"", "\"lab..example\""));
    mistake!(fqdn_without_a_domain, HOSTS => host_with("fqdn = \"web01\""));
    mistake!(loaders, MAIN => main_with("[boot]\nloaders = { uefi_x64 = \"a.efi\", amiga = \"b\", bios = \"/srv/undionly.kpxe\", \"9\" = \"../x.efi\", \"70000\" = \"c\" }\n"));
    mistake!(loader_too_long, HOSTS => host_with(&format!("loader = \"http://boot.example/{}\"", "x".repeat(240))));
    mistake!(architectures, HOSTS => host_with("arch = \"amd64\"\n[hosts.b]\nip = \"10.99.0.12\"\narch = \"sparc\""));
    mistake!(local_boot_that_uefi_does_not_like, HOSTS => host_with("arch = \"aarch64\"\nlocal_boot = \"no-file\""), PROFILE => GOOD_PROFILE.replace("arch", "# arch"));
    mistake!(words, HOSTS => host_with("local_boot = \"nofile\"\ninstall = \"sometimes\""));
    mistake!(uuid_of_nobody, HOSTS => host_with("uuid = \"00000000-0000-0000-0000-000000000000\"\n[hosts.b]\nip = \"10.99.0.12\"\nuuid = \"4c4c\""));
    mistake!(mac_as_an_empty_list, HOSTS => GOOD_HOSTS.replace("\"52:54:00:47:86:8e\"", "[]"));
    mistake!(group_as_a_list, HOSTS => GOOD_HOSTS.replace("group = \"web\"", "group = [\"web\"]"));
    mistake!(families_and_kinds, PROFILE => profile_with("\"debian\"\n", "\"debain\"\n").replace("\"linux\"", "\"freebsd\""));
    mistake!(answer_names, PROFILE => profile_with("\"preseed.cfg\"", "\"a/b\""));
    mistake!(same_answer_twice, PROFILE => format!("{GOOD_PROFILE}\n[[answers]]\nname = \"preseed.cfg\"\ntemplate = \"debian/preseed.cfg.j2\"\n"));
    mistake!(number_too_large, HOSTS => host_with("vars.disk = 99999999999999999999"));
    mistake!(kernel_outside_of_boot_assets, PROFILE => profile_with("\"debian/12/{{ arch }}/linux\"", "\"../{{ arch }}/linux\"").replace("[\"debian/12/{{ arch }}/initrd.gz\"]", "\"/boot/initrd\""));
}

mod clashes {
    use super::*;

    const SECOND: &str = "config/more.toml";

    fn two_files() -> String {
        GOOD_MAIN.replace(
            "domain",
            "reservations = [\"reservations.toml\", \"more.toml\"]\ndomain",
        )
    }

    mistake!(mac_twice, HOSTS => host_with("\n[hosts.web02]\nmac = \"5254.0047.868E\"\nip = \"10.99.0.12\""));
    mistake!(mac_twice_in_two_files, MAIN => two_files(), SECOND => "[hosts.db01]\nip = \"10.99.0.12\"\nmac = \"52-54-00-47-86-8e\"\n");
    mistake!(address_twice, HOSTS => host_with("\n[hosts.web02]\nip = \"10.99.0.11\""));
    mistake!(name_twice_in_two_files, MAIN => two_files(), SECOND => "[hosts.WEB01]\nip = \"10.99.0.12\"\n");
    mistake!(group_twice, MAIN => two_files(), SECOND => "[groups.web]\narch = \"x86_64\"\n");
    mistake!(full_name_twice, HOSTS => host_with("\n[hosts.web02]\nip = \"10.99.0.12\"\nfqdn = \"web01.lab.example\""));
    mistake!(two_defaults, MAIN => two_files(), HOSTS => format!("[defaults]\nprofile = \"debian-12\"\n{GOOD_HOSTS}"), SECOND => "# more\n\n[defaults]\nlocal_boot = \"exit\"\n");
    mistake!(address_outside_every_subnet, HOSTS => GOOD_HOSTS.replace("10.99.0.11", "10.98.0.11"));
    mistake!(addresses_of_others, HOSTS => "[hosts.a]\nip = \"10.99.0.2\"\n[hosts.b]\nip = \"10.99.0.1\"\n[hosts.c]\nip = \"10.99.0.0\"\n[hosts.d]\nip = \"10.99.0.255\"\n");
    mistake!(small_networks_have_no_broadcast_address, MAIN => format!("{GOOD_MAIN}\n[[subnet]]\nnetwork = \"10.98.0.0/31\"\n[[subnet]]\nnetwork = \"10.98.0.8/32\"\n"), HOSTS => "[hosts.a]\nip = \"10.98.0.0\"\n[hosts.b]\nip = \"10.98.0.1\"\n[hosts.c]\nip = \"10.98.0.8\"\n");
    mistake!(server_outside_and_no_router, MAIN => GOOD_MAIN.replace("10.99.0.2", "10.98.0.2").replace("router = \"10.99.0.1\"\n", ""));
    mistake!(router_outside, MAIN => GOOD_MAIN.replace("\"10.99.0.1\"", "\"10.99.1.1\""));
    mistake!(router_at_the_edge, MAIN => GOOD_MAIN.replace("\"10.99.0.1\"", "\"10.99.0.255\""));
    mistake!(networks_overlap, MAIN => format!("{GOOD_MAIN}\n[[subnet]]\nname = \"big\"\nnetwork = \"10.99.0.0/16\"\n"));
    mistake!(network_twice, MAIN => format!("{GOOD_MAIN}\n[[subnet]]\nnetwork = \"10.99.0.0/24\"\n"));
    mistake!(subnet_name_twice, MAIN => format!("{GOOD_MAIN}\n[[subnet]]\nname = \"lab\"\nnetwork = \"10.98.0.0/24\"\n"));
    mistake!(no_subnet, MAIN => "[server]\ninterfaces = [\"br0\"]\n");
    mistake!(unknown_group, HOSTS => GOOD_HOSTS.replace("group = \"web\"", "group = \"wbe\""));
    mistake!(unknown_parent_group, HOSTS => format!("[groups.a]\ngroup = \"nobody\"\n{GOOD_HOSTS}"));
    mistake!(unknown_profile, HOSTS => GOOD_HOSTS.replace("\"debian-12\"", "\"debian12\""));
    mistake!(unknown_profile_without_a_near_one, HOSTS => format!("[defaults]\nprofile = \"solaris\"\n{GOOD_HOSTS}"));
    mistake!(groups_in_a_circle, HOSTS => "[groups.a]\ngroup = \"b\"\n[groups.b]\ngroup = \"c\"\n[groups.c]\ngroup = \"a\"\n[hosts.x]\nip = \"10.99.0.11\"\ngroup = \"a\"\n");
    mistake!(group_in_itself, HOSTS => "[groups.a]\ngroup = \"a\"\n");
    mistake!(always_with_a_profile_that_installs, HOSTS => format!("{GOOD_HOSTS}install = \"always\"\n"));
    mistake!(always_for_a_live_system_is_no_mistake, HOSTS => format!("{GOOD_HOSTS}install = \"always\"\n"), PROFILE => profile_with("[boot]", "lifecycle = \"live\"\n[boot]"));
    mistake!(profile_for_another_architecture, PROFILE => format!("arch = [\"aarch64\"]\n{GOOD_PROFILE}"), HOSTS => format!("{GOOD_HOSTS}arch = \"x86_64\"\n"));
    mistake!(unknown_template, PROFILE => profile_with("\"debian/preseed.cfg.j2\"", "\"preseed.cfg.j2\""));
    mistake!(inherits_from_no_list, HOSTS => format!("[defaults.vars]\nkeys = \"one\"\n{GOOD_HOSTS}[hosts.web01.vars]\nkeys = [\"...\", \"two\"]\n"));
    mistake!(inherits_nothing, HOSTS => format!("[defaults.vars]\nkeys = [\"...\"]\n{GOOD_HOSTS}"));
}

mod files {
    use super::*;
    use crate::files::load_all;
    use bootwright::config::source::MemoryFiles;

    #[test]
    fn nothing_there() {
        let files = MemoryFiles::default();
        assert!(load_all(&files).snapshot.is_none());
        insta::assert_snapshot!("nothing_there", shown(&files));
    }

    #[test]
    fn reservations_not_there() {
        let files: MemoryFiles = [(MAIN, GOOD_MAIN)].into_iter().collect();
        insta::assert_snapshot!("reservations_not_there", shown(&files));
    }

    mistake!(named_files_not_there, MAIN => GOOD_MAIN.replace("domain", "reservations = [\"hosts.toml\"]\nprofiles = \"no-profiles\"\ntemplates = \"no-templates\"\ndomain"));
    mistake!(reservations_named_twice, MAIN => GOOD_MAIN.replace("domain", "reservations = [\"hosts.d\", \"hosts.d/a.toml\"]\ndomain"), "config/hosts.d/a.toml" => GOOD_HOSTS);
    mistake!(profile_in_a_subfolder, "config/profiles/old/debian-11.toml" => GOOD_PROFILE);
}

mod modes {
    use super::*;

    const PROXY: &str =
        "\n[[subnet]]\nname = \"guests\"\nnetwork = \"10.98.0.0/24\"\nmode = \"proxy\"\n";

    fn beside(hosts: &str) -> String {
        shown(&with(&[
            (MAIN, &format!("{GOOD_MAIN}{PROXY}")),
            (HOSTS, &format!("{GOOD_HOSTS}\n[hosts.web02]\n{hosts}")),
        ]))
    }

    mistake!(mode_of_another_name, MAIN => subnet_with("mode = \"of\""));
    mistake!(what_the_other_server_gives, MAIN => format!("{GOOD_MAIN}{PROXY}lease_time = \"1h\"\ndns_search = [\"a.example\"]\noptions = [{{ code = 26, u16 = 1500 }}]\n"));
    mistake!(proxy_port_of_another_service, MAIN => main_with("[dhcp]\nproxy_port = 67\n"));
    mistake!(proxy_port_of_tftp, MAIN => main_with("[dhcp]\nproxy_port = 1069\n[tftp]\nport = 1069\n"));

    #[test]
    fn a_host_without_an_address_where_this_server_gives_them() {
        insta::assert_snapshot!(
            "no_address_here",
            beside("mac = \"52:54:00:47:86:8f\"\nsubnet = \"lab\"\n")
        );
    }

    #[test]
    fn a_subnet_that_there_is_not() {
        insta::assert_snapshot!(
            "unknown_subnet",
            beside("mac = \"52:54:00:47:86:8f\"\nsubnet = \"guest\"\n")
        );
    }

    #[test]
    fn a_subnet_that_does_not_hold_the_address() {
        insta::assert_snapshot!(
            "another_subnet",
            beside("mac = \"52:54:00:47:86:8f\"\nip = \"10.99.0.12\"\nsubnet = \"guests\"\n")
        );
    }

    #[test]
    fn a_host_with_neither_address_nor_hardware_address() {
        insta::assert_snapshot!("neither_address", beside("subnet = \"guests\"\n"));
    }

    #[test]
    fn options_that_would_never_be_sent() {
        insta::assert_snapshot!(
            "options_beside",
            beside(
                "mac = \"52:54:00:47:86:8f\"\nsubnet = \"guests\"\noptions = [{ code = 26, u16 = 1500 }]\n"
            )
        );
    }

    #[test]
    fn beside_another_server_an_address_may_be_left_out_or_written() {
        for hosts in [
            "mac = \"52:54:00:47:86:8f\"\nsubnet = \"guests\"\n",
            "mac = \"52:54:00:47:86:8f\"\nip = \"10.98.0.12\"\n",
            "mac = \"52:54:00:47:86:8f\"\nip = \"10.98.0.12\"\nsubnet = \"guests\"\n",
            "ip = \"10.98.0.12\"\n",
        ] {
            assert_eq!(
                beside(hosts),
                "configuration is good: 2 hosts, 1 profile, 2 subnets",
                "{hosts}"
            );
        }
    }
}

mod not_available {
    use super::*;

    mistake!(later_in_the_server_file, MAIN => main_with(r#"[admin]
listen = "127.0.0.1:8081"
tokens = "admin-tokens.toml"
[store]
kind = "etcd"
endpoints = ["http://127.0.0.1:2379"]
prefix = "/bootwright"
"#));
    mistake!(later_in_hosts, HOSTS => r#"[hosts.web01]
mac = "52:54:00:47:86:8e"
ip = "10.99.0.11"
bmc = "10.0.0.1"
"#);
    mistake!(what_this_version_does_is_no_mistake, MAIN => main_with(r#"[dhcp]
unknown = "lease"
conflict_probe = false
[boot]
router_advertisement = "off"
[tftp]
engine = "async-tftp"
[assets]
cache = "0MiB"
[admin]
[install]
when_new = "install"
[store]
kind = "embedded"
"#), HOSTS => format!("{GOOD_HOSTS}secure_boot = false\ninstall = \"once\"\n"), PROFILE => profile_with("[boot]", "lifecycle = \"once\"\n[boot]"));
}

mod secure_boot {
    use super::*;

    /// A profile that names its signed loaders.
    fn signed() -> String {
        profile_with(
            "[boot]",
            "[boot]\nshim = \"debian/{{ arch }}/shim{{ efi_arch }}.efi\"\ngrub_http = false",
        )
    }

    fn host_with(lines: &str) -> String {
        format!("{GOOD_HOSTS}{lines}\n")
    }

    mistake!(no_shim_for_a_host, HOSTS => host_with("secure_boot = true"));
    mistake!(no_shim_for_all_hosts, HOSTS => format!("[defaults]\nsecure_boot = true\n\n{GOOD_HOSTS}"));
    mistake!(no_shim_for_a_subnet, MAIN => subnet_with("secure_boot = true"));
    mistake!(no_shim_in_a_profile, PROFILE => profile_with("[boot]", "secure_boot = true\n[boot]"));
    mistake!(a_profile_with_a_shim, HOSTS => host_with("secure_boot = true"), PROFILE => signed());
    mistake!(the_nearest_says_no, MAIN => subnet_with("secure_boot = true"), HOSTS => host_with("secure_boot = false"));
    mistake!(a_shim_for_all, MAIN => main_with("[boot]\nsecure = { uefi-x64 = \"shim/shimx64.efi\" }\n"), HOSTS => host_with("secure_boot = true"));
    mistake!(a_shim_for_what_has_none, MAIN => main_with("[boot]\nsecure = { bios = \"shim/shimx64.efi\", uefi-x65 = \"x\", uefi-arm64 = \"/x\" }\n"));
    mistake!(a_loader_of_its_own, HOSTS => host_with("secure_boot = true\nloader = \"ipxe/ipxe.efi\""), PROFILE => signed());
    mistake!(an_architecture_without, HOSTS => host_with("secure_boot = true\narch = \"i386\""), PROFILE => signed().replace("arch = [\"x86_64\"]", ""));
    mistake!(no_flag, HOSTS => host_with("secure_boot = \"yes\""));
    mistake!(grub_without_shim, PROFILE => profile_with("[boot]", "[boot]\ngrub = \"grubx64.efi\"\ngrub_http = true"));
    mistake!(a_shim_elsewhere, PROFILE => profile_with("[boot]", "[boot]\nshim = \"http://x/shimx64.efi\"\ngrub = \"x/{{ vars.release }}\""));
    mistake!(below_boot, PROFILE => profile_with("[boot]", "[boot]\nsecure_boot = true"));
    mistake!(machines_that_nobody_knows, MAIN => format!("{}\n[dhcp]\ndiscovery_profile = \"debian-12\"\n", subnet_with("secure_boot = true\nunknown = \"discover\"\npool = \"10.99.0.200-10.99.0.250\"")), HOSTS => host_with("secure_boot = false"), PROFILE => profile_with("[boot]", "lifecycle = \"live\"\n[boot]").split("[[answers]]").next().unwrap().to_owned());
}

mod pools {
    use super::*;

    mistake!(pools_that_are_no_ranges, MAIN => subnet_with("unknown = \"lease\"\npool = \"10.99.0.250-10.99.0.200\""));
    mistake!(outside_of_the_network, MAIN => subnet_with("unknown = \"lease\"\npool = \"10.99.1.10-10.99.1.20\""));
    mistake!(with_the_broadcast_address, MAIN => subnet_with("unknown = \"lease\"\npool = \"10.99.0.200-10.99.0.255\""));
    mistake!(with_addresses_of_others, MAIN => subnet_with("unknown = \"lease\"\ndns = [\"10.99.0.3\"]\npool = \"10.99.0.2-10.99.0.250\""));
    mistake!(with_a_further_cards_address, MAIN => subnet_with("unknown = \"lease\"\npool = \"10.99.0.200-10.99.0.250\""), HOSTS => format!("{GOOD_HOSTS}[[hosts.web01.nic]]\nip = \"10.99.0.201\"\nmac = \"52:54:00:00:00:99\"\n"));
    mistake!(beside_another_server, MAIN => subnet_with("mode = \"proxy\"\nunknown = \"lease\"\npool = \"10.99.0.200-10.99.0.250\""));
    mistake!(where_nobody_is_answered, MAIN => subnet_with("mode = \"off\"\nunknown = \"discover\""));
    mistake!(with_an_address_of_another_subnets_server, MAIN => format!("{}\n[[subnet]]\nname = \"far\"\nnetwork = \"10.98.0.0/24\"\ndns = [\"10.99.0.220\"]\n", subnet_with("unknown = \"lease\"\npool = \"10.99.0.200-10.99.0.250\"")));
    mistake!(given_to_nobody, MAIN => subnet_with("pool = \"10.99.0.200-10.99.0.250\""));
    mistake!(nothing_to_give, MAIN => subnet_with("unknown = \"lease\""));
    mistake!(no_discovery_profile, MAIN => subnet_with("unknown = \"discover\"\npool = \"10.99.0.200-10.99.0.250\""));
    mistake!(a_discovery_profile_that_installs, MAIN => format!("{}\n", main_with("[dhcp]\nunknown = \"discover\"\ndiscovery_profile = \"debian-12\"\n")).replace("network =", "pool = \"10.99.0.200-10.99.0.250\"\nnetwork ="));
}

mod options {
    use super::*;

    mistake!(which_option, MAIN => subnet_with(r#"options = [
    { text = "x" },
    { name = "root-pth", text = "/x" },
    { name = "wifi", text = "/x" },
    { code = 300, u8 = 1 },
    { code = 17, name = "domain-name", text = "/x" },
    { code = 26, u16 = 1500 },
    { name = "mtu", u16 = 9000 },
    "mtu",
]"#));
    mistake!(options_of_the_protocol, HOSTS => host_with(r#"options = [
    { code = 50, ip = "10.99.0.12" },
    { name = "dhcp-lease-time", u32 = 3600 },
    { code = 52, u8 = 1 },
    { code = 53, u8 = 5 },
    { code = 54, ip = "10.99.0.2" },
    { code = 55, hex = "01" },
    { code = 57, u16 = 576 },
    { name = "client-id", hex = "01" },
    { code = 82, hex = "01" },
]"#));
    mistake!(values_of_options, HOSTS => r#"[groups.web]
options = { code = 26, u16 = 1500 }
[defaults]
options = [
    { code = 26 },
    { code = 224 },
    { code = 17, text = "/a", hex = "2f" },
    { name = "mtu", u32 = 1500 },
    { code = 119, text = "lab.example" },
    { code = 121, hex = "18 0a0100 0a630001 21 0a000001" },
    { code = 121, ip = "10.0.0.1" },
    { code = 23, u8 = 256 },
    { code = 26, u16 = "1500" },
    { code = 17, text = "" },
    { code = 17, text = "a\nb" },
    { code = 43, hex = "01:2" },
    { code = 43, hex = "none" },
    { code = 16, ip = ["10.99.0.1", "10.99.0.2"] },
    { code = 33, ip = ["10.99.0.1", "10.99.0.2", "10.99.0.3"] },
    { code = 3, ip = ["10.99.0.1", "10.99.0"] },
    { code = 19, bool = "yes" },
    { code = 17, text = "/a", force = "yes" },
    { code = 17, value = "/a" },
]
"#);

    #[test]
    fn more_than_a_reply_holds() {
        let most = format!(
            "options = [{{ code = 224, hex = \"{}\" }}]",
            "00".repeat(1_024)
        );
        assert!(
            load_all(&with(&[(MAIN, &subnet_with(&most))]))
                .problems
                .is_empty()
        );
        let more = most.replacen("00", "0000", 1);
        let loaded = load_all(&with(&[(MAIN, &subnet_with(&more))]));
        assert_eq!(loaded.problems[0].code, "bad-option-value");
    }

    mistake!(search_list, MAIN => subnet_with("dns_search = [\"lab.example\", \"lab..example\", 7]"));
}

/// Nothing of the file of secrets is shown but names, whatever is wrong with it.
mod secrets;

mod nics {
    use super::*;

    fn storage() -> String {
        format!("{GOOD_MAIN}\n[[subnet]]\nname = \"storage\"\nnetwork = \"10.98.0.0/24\"\n")
    }

    mistake!(mac_twice_in_a_list, HOSTS => GOOD_HOSTS.replace("\"52:54:00:47:86:8e\"", "[\"52:54:00:47:86:8e\", \"52-54-00-47-86-8E\"]"));
    mistake!(an_empty_list, HOSTS => GOOD_HOSTS.replace("\"52:54:00:47:86:8e\"", "[]"));
    mistake!(no_mac_in_the_list, HOSTS => GOOD_HOSTS.replace("\"52:54:00:47:86:8e\"", "[\"...\", 7, \"52:54:00:47:86\"]"));
    mistake!(mac_of_a_nic_is_anothers, MAIN => storage(), HOSTS => host_with("\n[hosts.web02]\nmac = [\"52:54:00:47:86:90\", \"52:54:00:47:86:91\"]\nip = \"10.99.0.12\"\n[[hosts.web02.nic]]\nmac = \"52:54:00:47:86:8e\"\nip = \"10.98.0.12\"\n[hosts.web03]\nmac = \"52:54:00:47:86:91\"\nip = \"10.99.0.13\""));
    mistake!(mac_twice_in_one_subnet, HOSTS => host_with("\n[[hosts.web01.nic]]\nmac = \"52:54:00:47:86:8e\"\nip = \"10.99.0.12\""));
    mistake!(mac_twice_without_an_address, HOSTS => host_with("\n[[hosts.web01.nic]]\nmac = \"52:54:00:47:86:8e\""));
    mistake!(mac_twice_in_two_subnets_is_no_mistake, MAIN => storage(), HOSTS => host_with("\n[[hosts.web01.nic]]\nmac = \"52:54:00:47:86:8e\"\nip = \"10.98.0.11\""));
    mistake!(address_twice, HOSTS => host_with("\n[[hosts.web01.nic]]\nmac = \"52:54:00:47:86:8f\"\nip = \"10.99.0.11\"\n[hosts.web02]\nip = \"10.99.0.12\"\n[[hosts.web02.nic]]\nip = \"10.99.0.11\""));
    mistake!(addresses_that_no_card_can_have, HOSTS => host_with("\n[[hosts.web01.nic]]\nmac = \"52:54:00:47:86:8f\"\nip = \"10.98.0.11\"\n[[hosts.web01.nic]]\nmac = \"52:54:00:47:86:90\"\nip = \"10.99.0.1\"\n[[hosts.web01.nic]]\nmac = \"52:54:00:47:86:91\"\nip = \"10.99.0.255\""));
    mistake!(neither_mac_nor_address, HOSTS => host_with("\n[[hosts.web01.nic]]\nname = \"storage\""));
    mistake!(boots_without_an_address, HOSTS => host_with("\n[[hosts.web01.nic]]\nmac = \"52:54:00:47:86:8f\"\nboot = true"));
    mistake!(names_and_keys, HOSTS => host_with("\n[[hosts.web01.nic]]\nmac = \"52:54:00:47:86:8f\"\nname = \"a\"\nvlan = 7\n[[hosts.web01.nic]]\nmac = \"52:54:00:47:86:90\"\nname = \"a\"\nboot = \"yes\"\naddress = \"10.99.0.12\""));
    mistake!(in_single_brackets, HOSTS => host_with("\n[hosts.web01.nic]\nmac = \"52:54:00:47:86:8f\""));
}
