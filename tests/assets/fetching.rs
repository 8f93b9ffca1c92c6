//! Mirrors that behave, and mirrors that do not.

use std::fs;
use std::time::{Duration, Instant};

use bootwright::assets::fetch::From;
use bootwright::assets::http::HttpError;
use bootwright::assets::manifest::{Checked, Manifest};
use bootwright::assets::{AssetError, Step};
use bootwright::wire::looks::Looks;

use crate::server::{Page, Server};
use crate::site::{Place, declaration, file, initrd, kernel, sums};

/// A mirror with a good kernel and initial RAM disk.
fn good(seed: u8) -> Server {
    let server = Server::new();
    fill(&server, seed);
    server
}

fn fill(server: &Server, seed: u8) {
    let (kernel, initrd) = (kernel(seed), initrd(seed));
    let list = sums(&[("./linux", &kernel), ("./initrd.gz", &initrd)]);
    server.put_file("images/SHA256SUMS", list);
    server.put_file("images/linux", kernel);
    server.put_file("images/initrd.gz", initrd);
}

#[test]
fn good_files_come_once_and_are_noted() {
    let server = good(1);
    let mut place = Place::new();
    let brought = place
        .fetch(&declaration(), From::Mirror(&server.url()))
        .unwrap();
    assert_eq!(brought.len(), 2);
    for file in &brought {
        assert_eq!(file.checked, Checked::Sum);
        assert!(!file.unchanged);
        assert!(file.note.contains("images/SHA256SUMS"), "{}", file.note);
    }
    assert_eq!(place.read("os/1/linux"), Some(kernel(1)));
    assert_eq!(place.read("os/1/initrd.gz"), Some(initrd(1)));
    assert_eq!(place.served(), ["os/1/initrd.gz", "os/1/linux"]);
    let manifest = Manifest::read(&place.path()).unwrap();
    let entry = &manifest.files["os/1/linux"];
    assert_eq!(entry.origin, format!("{}/images/linux", server.url()));
    assert_eq!((entry.size, entry.name.as_str()), (40_000, "os-1"));
    assert!(place.told.contains(&Step::Bytes {
        name: "initrd.gz".to_owned(),
        have: 300_000,
        total: Some(300_000)
    }));

    // What is there already is not fetched again.
    server.asked();
    let brought = place
        .fetch(&declaration(), From::Mirror(&format!("{}/", server.url())))
        .unwrap();
    assert!(brought.iter().all(|file| file.unchanged));
    assert_eq!(server.count("images/linux"), 0);

    // A new version replaces both.
    fill(&server, 2);
    place
        .fetch(&declaration(), From::Mirror(&server.url()))
        .unwrap();
    assert_eq!(place.read("os/1/linux"), Some(kernel(2)));
    assert_eq!(place.read("os/1/initrd.gz"), Some(initrd(2)));
}

#[test]
fn when_one_file_is_bad_no_file_comes() {
    let server = good(1);
    let mut place = Place::new();
    place
        .fetch(&declaration(), From::Mirror(&server.url()))
        .unwrap();
    fill(&server, 2);
    let good = Page::new(initrd(2));
    let page = |kind| Page {
        kind,
        ..Page::new(format!("<html>{}", " login ".repeat(500)))
    };
    let bad: [(&str, Page); 7] = [
        ("another sum", Page::new(initrd(9))),
        ("a page", page("text/html; charset=utf-8")),
        (
            "a page that says it is none",
            page("application/octet-stream"),
        ),
        (
            "not there",
            Page {
                status: 404,
                ..good.clone()
            },
        ),
        (
            "the server fails",
            Page {
                status: 500,
                ..good.clone()
            },
        ),
        (
            "cut off each time",
            Page {
                cuts: vec![10; 9],
                ranges: false,
                ..good.clone()
            },
        ),
        ("an empty file", Page::new("")),
    ];
    for (name, page) in bad {
        server.put("images/initrd.gz", page);
        let error = place
            .fetch(&declaration(), From::Mirror(&server.url()))
            .unwrap_err();
        match (name, &error) {
            ("another sum" | "an empty file", AssetError::OtherSum { .. })
            | (
                "a page" | "a page that says it is none",
                AssetError::Http(HttpError::Page { .. }),
            )
            | ("not there", AssetError::NotInPlace { .. })
            | ("the server fails", AssetError::Http(HttpError::Status { .. }))
            | ("cut off each time", AssetError::Http(HttpError::Broken { .. })) => {}
            _ => panic!("{name}: {error}"),
        }
        assert_eq!(place.read("os/1/linux"), Some(kernel(1)), "{name}");
        assert_eq!(place.read("os/1/initrd.gz"), Some(initrd(1)), "{name}");
        assert_eq!(place.served(), ["os/1/initrd.gz", "os/1/linux"], "{name}");
    }
}

#[test]
fn without_sums_a_file_still_has_to_look_like_what_it_is() {
    let server = Server::new();
    let mut place = Place::new();
    let mut fetch = declaration();
    fetch.sums.clear();
    server.put_file("images/initrd.gz", initrd(1));
    for body in [
        b"\x7fELF not a kernel".repeat(100),
        Vec::new(),
        b"<!DOCTYPE html>".to_vec(),
    ] {
        server.put_file("images/linux", body);
        place
            .fetch(&fetch, From::Mirror(&server.url()))
            .unwrap_err();
        assert!(place.served().is_empty());
    }
    server.put_file("images/linux", kernel(1));
    let brought = place.fetch(&fetch, From::Mirror(&server.url())).unwrap();
    assert_eq!(brought[0].checked, Checked::Nothing);
    assert!(
        brought[0].note.starts_with("not checked"),
        "{}",
        brought[0].note
    );
}

#[test]
fn a_sum_of_the_profile_and_a_list_that_does_not_have_the_file() {
    let server = good(1);
    let mut place = Place::new();
    let mut fetch = declaration();
    server.put_file("images/extra", kernel(3));
    fetch
        .files
        .push(file("os/1/extra", "images/extra", Looks::LinuxKernel));
    let error = place
        .fetch(&fetch, From::Mirror(&server.url()))
        .unwrap_err();
    assert!(matches!(error, AssetError::NoSum { .. }), "{error}");
    fetch.files[2].sha256 = Some(crate::site::sha256(&kernel(3)));
    let brought = place.fetch(&fetch, From::Mirror(&server.url())).unwrap();
    assert_eq!(brought[2].checked, Checked::Profile);
    fetch.files[2].sha256 = Some(crate::site::sha256(&kernel(4)));
    let error = place
        .fetch(&fetch, From::Mirror(&server.url()))
        .unwrap_err();
    assert!(matches!(error, AssetError::OtherSum { .. }), "{error}");
}

/// The `Range` and `If-Range` of all requests for the initial RAM disk.
fn ranges(server: &Server) -> Vec<(Option<String>, Option<String>)> {
    let asked = server.asked();
    asked
        .iter()
        .filter(|asked| asked.line.contains("initrd.gz"))
        .map(|asked| {
            let header = |name: &str| asked.headers.get(name).cloned();
            (header("range"), header("if-range"))
        })
        .collect()
}

#[test]
fn a_broken_connection_is_taken_up_where_it_broke() {
    let server = good(1);
    let mut place = Place::new();
    let tagged = Page {
        etag: Some("\"one\"".to_owned()),
        cuts: vec![100_000, 50_000],
        ..Page::new(initrd(1))
    };
    server.put("images/initrd.gz", tagged);
    place
        .fetch(&declaration(), From::Mirror(&server.url()))
        .unwrap();
    assert_eq!(place.read("os/1/initrd.gz"), Some(initrd(1)));
    let tag = Some("\"one\"".to_owned());
    assert_eq!(
        ranges(&server),
        [
            (None, None),
            (Some("bytes=100000-".to_owned()), tag.clone()),
            (Some("bytes=150000-".to_owned()), tag)
        ]
    );
}

#[test]
fn the_next_call_goes_on_unless_the_file_has_changed() {
    for (changed, ranges_work) in [(false, true), (true, true), (false, false)] {
        let server = good(1);
        let mut place = Place::new();
        place.patience.tries = 1;
        let tagged = Page {
            etag: Some("\"one\"".to_owned()),
            cuts: vec![100_000],
            ranges: ranges_work,
            ..Page::new(initrd(1))
        };
        server.put("images/initrd.gz", tagged.clone());
        place
            .fetch(&declaration(), From::Mirror(&server.url()))
            .unwrap_err();
        assert!(place.served().is_empty());
        let seed = if changed { 2 } else { 1 };
        if changed {
            fill(&server, 2);
            let changed = Page {
                etag: Some("\"two\"".to_owned()),
                ..Page::new(initrd(2))
            };
            server.put("images/initrd.gz", changed);
        }
        server.asked();
        place
            .fetch(&declaration(), From::Mirror(&server.url()))
            .unwrap();
        assert_eq!(place.read("os/1/initrd.gz"), Some(initrd(seed)));
        assert_eq!(place.read("os/1/linux"), Some(kernel(seed)));
        assert_eq!(
            ranges(&server),
            [(Some("bytes=100000-".to_owned()), Some("\"one\"".to_owned()))],
            "{changed} {ranges_work}"
        );
        // Nothing is left of the parts.
        let staging = fs::read_dir(place.path().join(".fetch")).unwrap();
        let left: Vec<_> = staging.flatten().map(|entry| entry.file_name()).collect();
        assert_eq!(left, ["lock"]);
    }
}

#[test]
fn without_a_validator_a_part_is_not_taken_up() {
    let server = good(1);
    let mut place = Place::new();
    let cut = Page {
        cuts: vec![100_000],
        ..Page::new(initrd(1))
    };
    for etag in [None, Some("W/\"weak\"".to_owned())] {
        let mut place_ = Place::new();
        std::mem::swap(&mut place, &mut place_);
        server.put(
            "images/initrd.gz",
            Page {
                etag,
                ..cut.clone()
            },
        );
        server.asked();
        place
            .fetch(&declaration(), From::Mirror(&server.url()))
            .unwrap();
        assert_eq!(ranges(&server), [(None, None), (None, None)]);
        assert_eq!(place.read("os/1/initrd.gz"), Some(initrd(1)));
    }
}

#[test]
fn silence_has_an_end() {
    let server = good(1);
    let mut place = Place::new();
    place.patience.tries = 1;
    server.put(
        "images/initrd.gz",
        Page {
            stalls: Some(1_000),
            ..Page::new(initrd(1))
        },
    );
    let began = Instant::now();
    let error = place
        .fetch(&declaration(), From::Mirror(&server.url()))
        .unwrap_err();
    assert!(
        matches!(error, AssetError::Http(HttpError::Silence { .. })),
        "{error}"
    );
    assert!(began.elapsed() < Duration::from_secs(20));
    assert!(place.served().is_empty());
}

#[test]
fn redirects_are_followed_and_have_an_end() {
    let server = good(1);
    let mut place = Place::new();
    let to = |location: &str| Page {
        status: 302,
        location: Some(location.to_owned()),
        ..Page::new("")
    };
    server.put_file("elsewhere/linux", kernel(1));
    server.put("images/linux", to("/hop"));
    server.put("hop", to("elsewhere/linux"));
    place
        .fetch(&declaration(), From::Mirror(&server.url()))
        .unwrap();
    assert_eq!(place.read("os/1/linux"), Some(kernel(1)));

    let mut place = Place::new();
    for location in ["/images/linux", "file:///etc/passwd"] {
        let page = to(location);
        server.put("images/linux", page);
        let error = place
            .fetch(&declaration(), From::Mirror(&server.url()))
            .unwrap_err();
        assert!(
            matches!(error, AssetError::Http(HttpError::Redirect { .. })),
            "{location}: {error}"
        );
    }
}

#[test]
fn a_server_that_is_not_there_is_named() {
    let port = {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        listener.local_addr().unwrap().port()
    };
    let mut place = Place::new();
    let url = format!("http://127.0.0.1:{port}");
    let error = place.fetch(&declaration(), From::Mirror(&url)).unwrap_err();
    assert!(
        error
            .to_string()
            .starts_with(&format!("127.0.0.1:{port} cannot be reached")),
        "{error}"
    );
}

#[test]
fn a_folder_is_checked_by_the_lists_it_has() {
    let folder = tempfile::tempdir().unwrap();
    let images = folder.path().join("images");
    fs::create_dir(&images).unwrap();
    fs::write(images.join("linux"), kernel(1)).unwrap();
    fs::write(images.join("initrd.gz"), initrd(1)).unwrap();
    let mut place = Place::new();
    let brought = place
        .fetch(&declaration(), From::Local(folder.path()))
        .unwrap();
    assert!(brought.iter().all(|file| file.checked == Checked::Nothing));

    let list = sums(&[("linux", &kernel(1)), ("initrd.gz", &initrd(1))]);
    fs::write(images.join("SHA256SUMS"), &list).unwrap();
    let brought = place.fetch(&declaration(), From::Local(&images)).unwrap();
    assert!(brought.iter().all(|file| file.checked == Checked::Sum));

    fs::write(images.join("linux"), kernel(2)).unwrap();
    let mut place = Place::new();
    let error = place
        .fetch(&declaration(), From::Local(folder.path()))
        .unwrap_err();
    assert!(matches!(error, AssetError::OtherSum { .. }), "{error}");
    fs::remove_file(images.join("linux")).unwrap();
    let error = place
        .fetch(&declaration(), From::Local(folder.path()))
        .unwrap_err();
    assert!(
        error
            .to_string()
            .contains("has no os/1/linux (looked for images/linux, "),
        "{error}"
    );
    assert!(place.served().is_empty());
}

#[test]
fn a_document_of_addresses_tells_where_and_what() {
    let server = Server::new();
    server.put_file("builds/9/kernel", kernel(1));
    let stream = serde_json::json!({"architectures": {"x86_64": {"pxe": {
        "kernel": {"location": format!("{}/builds/9/kernel", server.url()), "sha256": crate::site::sha256(&kernel(1))},
        "other": {"location": format!("{}/builds/9/kernel", server.url()), "sha256": crate::site::sha256(b"x")},
    }}}});
    server.put_file("streams/stable.json", stream.to_string());
    let mut place = Place::new();
    let mut fetch = declaration();
    fetch.sums.clear();
    fetch.stream = Some("streams/stable.json".to_owned());
    fetch.files = vec![bootwright::config::fetch::FetchFile {
        path: "coreos/kernel".to_owned(),
        in_stream: Some("/architectures/x86_64/pxe/kernel".to_owned()),
        looks: Looks::LinuxKernel,
        ..Default::default()
    }];
    let brought = place.fetch(&fetch, From::Mirror(&server.url())).unwrap();
    assert_eq!(brought[0].checked, Checked::Sum);
    assert!(brought[0].origin.ends_with("/builds/9/kernel"));
    fetch.files[0].in_stream = Some("/architectures/x86_64/pxe/other".to_owned());
    let error = place
        .fetch(&fetch, From::Mirror(&server.url()))
        .unwrap_err();
    assert!(matches!(error, AssetError::OtherSum { .. }), "{error}");
    fetch.files[0].in_stream = Some("/architectures/x86_64/none".to_owned());
    let error = place
        .fetch(&fetch, From::Mirror(&server.url()))
        .unwrap_err();
    assert!(matches!(error, AssetError::NotInStream { .. }), "{error}");
}
