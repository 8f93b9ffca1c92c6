//! Boot files that depend on variables: for which values they are brought, and where they may come to.

use std::fmt::Write as _;
use std::fs;

use crate::commands::{Site, rocky};
use crate::server::Server;
use crate::site::{kernel, sums};

/// Reservations of hosts with a profile, each with a variable of its own: a, b and so on.
fn hosts(profile: &str, vars: &[&str]) -> String {
    let mut text = String::new();
    for ((name, last), vars) in ('a'..).zip(11..).zip(vars) {
        let _ = write!(
            text,
            "[hosts.{name}]\nmac = \"52:54:00:47:86:{last}\"\nip = \"10.99.0.{last}\"\nprofile = \"{profile}\"\n\
             [hosts.{name}.vars]\n{vars}\n"
        );
    }
    text
}

/// A profile with one boot file, which comes from `linux` to this place.
fn profile(mirror: &str, place: &str) -> String {
    format!(
        "[boot]\nkind = \"linux\"\nkernel = \"fixed/linux\"\n[fetch]\nmirror = \"{mirror}\"\n\
         [[fetch.files]]\npath = \"{place}\"\nis = \"kernel\"\nfrom = \"linux\"\n"
    )
}

#[test]
fn boot_files_that_depend_on_a_variable_are_fetched_for_each_value() {
    let server = Server::new();
    for (build, seed) in [("b1", 1), ("b2", 2), ("b3", 3)] {
        server.put_file(&format!("{build}/SUMS"), sums(&[("linux", &kernel(seed))]));
        server.put_file(&format!("{build}/linux"), kernel(seed));
    }
    let site = Site::new(&server.url());
    site.write(
        "config/profiles/built.toml",
        &format!(
            "[boot]\nkind = \"linux\"\nkernel = \"built/{{{{ vars.build }}}}/linux\"\n[fetch]\nmirror = \"{}\"\n\
             sums = [{{ path = \"{{{{ vars.build }}}}/SUMS\" }}]\n[[fetch.files]]\n\
             path = \"built/{{{{ vars.build }}}}/linux\"\nis = \"kernel\"\nfrom = \"{{{{ vars.build }}}}/linux\"\n",
            server.url()
        ),
    );
    // Nobody says which one.
    site.refuses("assets fetch built", "which `build` of built? No host with");
    site.refuses("assets fetch built", "--var build=…");
    let words = "do not depend on a variable `bild`";
    site.refuses("assets fetch built --var bild=b1", words);
    assert_eq!(site.run("assets fetch built --var build=../b1").status, 2);
    site.good("assets fetch built --var build=b3");
    assert_eq!(
        fs::read(site.path("boot-assets/built/b3/linux")).unwrap(),
        kernel(3)
    );

    site.write(
        "config/reservations.toml",
        &hosts(
            "built",
            &["build = \"b1\"", "build = \"b2\"", "build = \"b2\""],
        ),
    );
    let ran = site.good("check");
    for path in ["built/b1/linux", "built/b2/linux"] {
        assert!(
            ran.out.contains(&format!("`{path}` is not there")),
            "{}",
            ran.out
        );
    }
    assert!(
        ran.out
            .contains("`bootwright assets fetch built` brings it"),
        "{}",
        ran.out
    );
    site.good("assets fetch built");
    for (build, seed) in [("b1", 1), ("b2", 2)] {
        let path = site.path(&format!("boot-assets/built/{build}/linux"));
        assert_eq!(fs::read(path).unwrap(), kernel(seed));
    }
    let ran = site.good("check");
    assert!(!ran.out.contains("built/"), "{}", ran.out);
}

#[test]
fn a_place_with_files_of_one_value_fills_no_other() {
    let site = Site::new("http://127.0.0.1:9");
    site.write(
        "config/profiles/os.toml",
        &profile("http://127.0.0.1:9", "os/{{ vars.release }}/linux"),
    );
    fs::create_dir_all(site.path("copy")).unwrap();
    fs::write(site.path("copy/linux"), kernel(43)).unwrap();
    let fetch = "assets fetch os --from copy";
    site.refuses(fetch, "which `release` of os? No host with this profile");
    let both = hosts("os", &["release = \"43\"", "release = \"42\""]);
    site.write("config/reservations.toml", &both);
    site.refuses(fetch, "42 for b and 43 for a");
    assert!(!site.path("boot-assets").exists());
    site.good(&format!("{fetch} --var release=43"));
    assert!(site.path("boot-assets/os/43/linux").exists());
    assert!(!site.path("boot-assets/os/42").exists());
}

#[test]
fn an_image_fills_the_release_of_its_profile() {
    let site = Site::new("http://127.0.0.1:9");
    let linux = kernel(1);
    let image = rocky(&linux);
    let add = format!("assets add-iso {}", image.display());
    let of_profile = profile("http://127.0.0.1:9", "os/{{ vars.release }}/linux")
        .replace("\"linux\"\n", "\"images/pxeboot/vmlinuz\"\n")
        .replace("kind = \"images/pxeboot/vmlinuz\"", "kind = \"linux\"");
    let with_own = format!("vars.release = \"9\"\n{of_profile}");

    // What the profile says, whatever some host has.
    site.write("config/profiles/rocky-9.toml", &with_own);
    let other = hosts("rocky-9", &["release = \"8\""]);
    site.write("config/reservations.toml", &other);
    site.good(&add);
    assert_eq!(
        fs::read(site.path("boot-assets/os/9/linux")).unwrap(),
        linux
    );
    assert!(!site.path("boot-assets/os/8").exists());

    // Where it says nothing, what its hosts have, if that is one value.
    site.write("config/profiles/rocky-9.toml", &of_profile);
    let both = hosts("rocky-9", &["release = \"7\"", "release = \"8\""]);
    site.write("config/reservations.toml", &both);
    site.refuses(&add, "7 for a and 8 for b");
    site.write("config/reservations.toml", "");
    site.refuses(&add, "which `release` of rocky-9?");
    site.refuses(&format!("{add} --var relase=9"), "variable `relase`");
    let there: Vec<_> = fs::read_dir(site.path("boot-assets/os")).unwrap().collect();
    assert_eq!(there.len(), 1, "{there:?}");
    site.good(&format!("{add} --var release=9.4"));
    assert!(site.path("boot-assets/os/9.4/linux").exists());
    fs::remove_file(image).unwrap();
}

#[test]
fn no_value_leads_out_of_the_folder_of_boot_files() {
    let server = Server::new();
    server.put_file("linux", kernel(1));
    let site = Site::new(&server.url());
    site.write(
        "config/profiles/mine.toml",
        &profile(&server.url(), "mine/{{ vars.extra }}/more"),
    );
    let escaping = hosts("mine", &["extra = \"../../../escaped\""]);
    site.write("config/reservations.toml", &escaping);
    site.refuses(
        "assets fetch mine",
        "\"../../../escaped\" cannot stand in the paths of mine: the host a has it as `extra`",
    );
    // It fits a path, but not this one.
    site.refuses(
        "assets fetch mine --var extra=.x",
        "`mine/.x/more` is no path under boot_assets",
    );
    assert!(!site.path("escaped").exists() && !site.path("boot-assets").exists());
    site.good("assets fetch mine --var extra=x");
    assert!(site.path("boot-assets/mine/x/more").exists());
}

#[test]
fn a_number_stands_in_paths_as_templates_show_it() {
    let server = Server::new();
    server.put_file("linux", kernel(1));
    let site = Site::new(&server.url());
    let place = "os/{{ vars.release }}/linux";
    let of_number = profile(&server.url(), place).replace("fixed/linux", place);
    site.write("config/profiles/os.toml", &of_number);
    let number = hosts("os", &["release = 16.0"]);
    site.write("config/reservations.toml", &number);
    let ran = site.good("check");
    assert!(
        ran.out.contains("`os/16.0/linux` is not there"),
        "{}",
        ran.out
    );
    site.good("assets fetch os");
    let ran = site.good("check");
    assert!(!ran.out.contains("os/16"), "{}", ran.out);

    // Hosts that have it are not told to lack it.
    site.write("config/profiles/os.toml", &profile(&server.url(), place));
    let some = hosts("os", &["release = 16.0", ""]);
    site.write("config/reservations.toml", &some);
    site.refuses(
        "assets fetch os",
        "Some hosts with this profile have no text or number for it, such as b: ",
    );
}

#[test]
fn what_is_built_in_depends_on_no_variable() {
    let site = Site::new("http://127.0.0.1:9");
    site.refuses(
        "assets fetch ipxe --var release=9",
        "the boot files of ipxe do not depend on a variable `release`",
    );
}
