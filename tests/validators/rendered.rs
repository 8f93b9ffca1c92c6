//! Every answer of every profile for every host, as the machine gets it: with its secrets and a token.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use bootwright::base::{BootLoader, Token};
use bootwright::config::source::DiskFiles;
use bootwright::render::load::load;
use bootwright::render::loaders::{Boots, Texts, Transport};
use bootwright::render::{View, files, scripts};

use crate::hosts;
use crate::profiles::{Check, PROFILES, Profile};

/// A rendered answer in a file.
#[derive(Debug)]
pub(crate) struct Answer {
    /// `PROFILE/HOST/NAME`, as it is told.
    pub(crate) told: String,
    pub(crate) file: PathBuf,
    pub(crate) check: Check,
    pub(crate) text: String,
}

/// What there is to look at.
#[derive(Debug)]
pub(crate) struct Rendered {
    pub(crate) answers: Vec<Answer>,
    /// The boot scripts: `PROFILE/HOST/boot.ipxe` and the text.
    pub(crate) scripts: Vec<(String, String)>,
    /// GRUB's configurations in the same way, of the profiles that GRUB can boot.
    pub(crate) grub: Vec<(String, String)>,
    /// What is wrong with the profiles themselves or their entries.
    pub(crate) wrong: Vec<String>,
}

/// Where everything that is rendered can be looked at.
pub(crate) fn folder() -> PathBuf {
    crate::tools::place().join("rendered")
}

/// Renders once, for all tests.
pub(crate) fn all() -> &'static Rendered {
    static ALL: OnceLock<Rendered> = OnceLock::new();
    ALL.get_or_init(|| {
        let folder = folder();
        if folder.exists() {
            fs::remove_dir_all(&folder).unwrap();
        }
        let mut rendered = Rendered {
            answers: Vec::new(),
            scripts: Vec::new(),
            grub: Vec::new(),
            wrong: Vec::new(),
        };
        for profile in PROFILES {
            render(profile, &folder.join(profile.name), &mut rendered);
        }
        rendered
    })
}

fn render(profile: &Profile, folder: &Path, rendered: &mut Rendered) {
    let main = hosts::write(profile, &family(profile.name), &folder.join("config"));
    let loaded = load(&DiskFiles, &main, 1);
    // What the built-in linter says is told by its own name; boot files need not be there.
    for problem in &loaded.problems {
        let expected = ["boot-file-missing", "nobody-gets-in", "unused-snippets"];
        if !expected.contains(&problem.code) {
            let help = problem.help.as_deref().unwrap_or_default();
            rendered.wrong.push(format!(
                "{}: [{}] {} ({help})",
                profile.name, problem.code, problem.message
            ));
        }
    }
    // What keeps it from being used is told by now.
    let Some(config) = &loaded.config else {
        return;
    };
    let token = Token::parse("abcdefghijklmnopqrstuvwxyz").unwrap();
    for host in config.snapshot.hosts() {
        let found = config
            .snapshot
            .profile(host.profile.as_ref().unwrap())
            .unwrap();
        let view = View {
            snapshot: &config.snapshot,
            host,
            profile: found,
            arch: files::usual_architecture(host, Some(found)),
            server: config.snapshot.subnet_of(host).unwrap().example_server,
            token: Some(&token),
        };
        let told = |name: &str| format!("{}/{}/{name}", profile.name, host.name);
        match config.renderer.boot(&view) {
            Ok(boot) => {
                let script = scripts::install(&view, &boot, 1, 3);
                if !script.starts_with("#!ipxe\n") {
                    rendered
                        .wrong
                        .push(format!("{}: no iPXE script", told("boot.ipxe")));
                }
                rendered.scripts.push((told("boot.ipxe"), script));
                let boots = Boots {
                    view: &view,
                    attempt: 1,
                    max_attempts: 3,
                    nic: host.mac(),
                };
                for (name, transport) in [
                    ("grub.cfg", Transport::Tftp),
                    ("http/grub.cfg", Transport::Http),
                ] {
                    let loader = BootLoader::Grub;
                    if let Ok(text) = (Texts { loader, transport }).install(&boots, &boot) {
                        rendered.grub.push((told(name), text));
                    }
                }
            }
            Err(error) => rendered
                .wrong
                .push(format!("{}: {error}", told("boot.ipxe"))),
        }
        for answer in &found.answers {
            let told = told(&answer.name);
            let listed = profile
                .answers
                .iter()
                .find(|(name, _)| *name == answer.name);
            let Some((_, check)) = listed else {
                rendered.wrong.push(format!(
                    "{told}: tests/validators/profiles.rs does not say what checks this answer"
                ));
                continue;
            };
            let text = match config.renderer.answer_for_machine(&view, &answer.name) {
                Some(Ok(answer)) => answer.text,
                other => {
                    rendered.wrong.push(format!("{told}: {other:?}"));
                    continue;
                }
            };
            let file = folder.join(host.name.as_str()).join(&answer.name);
            fs::create_dir_all(file.parent().unwrap()).unwrap();
            fs::write(&file, &text).unwrap();
            rendered.answers.push(Answer {
                told,
                file,
                check: *check,
                text,
            });
        }
        for (name, _) in profile.answers {
            if found.answers.iter().all(|answer| answer.name != *name) {
                rendered.wrong.push(format!(
                    "{}: tests/validators/profiles.rs names the answer {name}, which it does not have",
                    profile.name
                ));
            }
        }
    }
}

/// The family of a shipped profile.
fn family(name: &str) -> String {
    let path = shipped().join(format!("{name}.toml"));
    let text = fs::read_to_string(&path).unwrap_or_else(|error| {
        panic!(
            "tests/validators/profiles.rs names the profile {name}: {}: {error}",
            path.display()
        )
    });
    let table: toml::Table = text.parse().unwrap();
    table["family"].as_str().unwrap().to_owned()
}

/// The folder of the shipped profiles.
pub(crate) fn shipped() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("config/profiles")
}
