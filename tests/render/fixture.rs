//! The shipped templates and profile under reservations made up here.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use bootwright::base::{Architecture, Lifecycle, Token};
use bootwright::config::snapshot::{
    Answer, Boot, Host, Mode, Profile, Server, Subnet, Template, TemplateText, Unknown,
};
use bootwright::config::source::{DiskFiles, Files};
use bootwright::config::{Snapshot, SourceId, SourceMap, Span};
use bootwright::render::{Renderer, View};

/// A configuration to render, and its files.
pub(crate) struct Site {
    pub(crate) snapshot: Snapshot,
    pub(crate) renderer: Renderer,
    pub(crate) sources: SourceMap,
}

/// What a test may change before the configuration is put together.
pub(crate) struct Draft {
    pub(crate) subnet: Subnet,
    pub(crate) hosts: Vec<Host>,
    pub(crate) profiles: Vec<Profile>,
    pub(crate) templates: BTreeMap<String, Template>,
    pub(crate) sources: SourceMap,
}

pub(crate) fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

fn text(text: &str, span: Option<Span>) -> TemplateText {
    TemplateText {
        text: text.to_owned(),
        span,
    }
}

/// A host `name` at 10.99.0.`last` with these vars, in TOML.
pub(crate) fn host(name: &str, last: u8, vars: &str) -> Host {
    let mut host = Host::new(name.parse().unwrap(), 0);
    host.domain = Some("lab.example".to_owned());
    host.macs = vec![format!("52:54:00:47:86:{last:02x}").parse().unwrap()];
    host.ip = Some([10, 99, 0, last].into());
    host.groups = vec!["web".parse().unwrap()];
    host.profile = Some("debian-12".parse().unwrap());
    host.vars = vars.parse().unwrap();
    host
}

/// A profile of one answer, from this template.
pub(crate) fn profile(name: &str, template: &str) -> Profile {
    Profile {
        name: name.parse().unwrap(),
        title: format!("The profile {name}"),
        family: "other".to_owned(),
        arch: vec![Architecture::X86_64],
        lifecycle: Lifecycle::Install,
        boot: Boot::Linux {
            kernel: text("some/linux", None),
            initrd: vec![text("some/initrd.gz", None)],
            cmdline: text("quiet", None),
        },
        answers: vec![Answer {
            name: "answer.txt".to_owned(),
            template: template.to_owned(),
            content_type: "text/plain".to_owned(),
            span: None,
        }],
        stalled_after: None,
        span: None,
    }
}

/// A profile's file, for the keys that the shipped one has.
fn read_profile(path: &Path, name: &str) -> Profile {
    let written: toml::Table = fs::read_to_string(path).unwrap().parse().unwrap();
    let string = |table: &toml::Table, key: &str| table[key].as_str().unwrap().to_owned();
    let boot = written["boot"].as_table().unwrap();
    let key = |key: &str| text(&string(boot, key), None);
    let strings = |value: &toml::Value| -> Vec<String> {
        let values = value.as_array().unwrap().iter();
        values
            .map(|value| value.as_str().unwrap().to_owned())
            .collect()
    };
    Profile {
        name: name.parse().unwrap(),
        title: string(&written, "title"),
        family: string(&written, "family"),
        arch: strings(&written["arch"])
            .iter()
            .map(|arch| arch.parse().unwrap())
            .collect(),
        lifecycle: Lifecycle::Install,
        boot: Boot::Linux {
            kernel: key("kernel"),
            initrd: strings(&boot["initrd"])
                .iter()
                .map(|path| text(path, None))
                .collect(),
            cmdline: key("cmdline"),
        },
        answers: written["answers"]
            .as_array()
            .unwrap()
            .iter()
            .map(|answer| {
                let answer = answer.as_table().unwrap();
                Answer {
                    name: string(answer, "name"),
                    template: string(answer, "template"),
                    content_type: string(answer, "content_type"),
                    span: None,
                }
            })
            .collect(),
        stalled_after: None,
        span: None,
    }
}

impl Draft {
    /// The shipped profile and templates, no hosts.
    pub(crate) fn shipped() -> Self {
        let folder = root().join("config/templates");
        let mut draft = Self {
            subnet: Subnet {
                name: "lab".parse().unwrap(),
                network: "10.99.0.0/24".parse().unwrap(),
                server: Some([10, 99, 0, 2].into()),
                example_server: [10, 99, 0, 2].into(),
                router: Some([10, 99, 0, 1].into()),
                dns: vec![[10, 99, 0, 1].into()],
                ntp: vec![[10, 99, 0, 1].into()],
                domain: Some("lab.example".to_owned()),
                lease_time: std::time::Duration::from_secs(3_600),
                nat: Vec::new(),
                dns_search: Vec::new(),
                mode: Mode::Authoritative,
                unknown: Unknown::Ignore,
                pool: None,
                options: Vec::new(),
                span: None,
            },
            hosts: Vec::new(),
            profiles: vec![read_profile(
                &root().join("config/profiles/debian-12.toml"),
                "debian-12",
            )],
            templates: BTreeMap::new(),
            sources: SourceMap::default(),
        };
        for path in DiskFiles.list(&folder).unwrap() {
            let name = path
                .strip_prefix(&folder)
                .unwrap()
                .to_str()
                .unwrap()
                .to_owned();
            draft.template(&name, &fs::read_to_string(&path).unwrap());
        }
        draft
    }

    /// Adds a template file.
    pub(crate) fn template(&mut self, name: &str, text: &str) -> SourceId {
        let source = self.sources.add(format!("config/templates/{name}"), text);
        let span = Span::new(source, 0..0);
        self.templates.insert(
            name.to_owned(),
            Template {
                text: text.into(),
                span: Some(span),
            },
        );
        source
    }

    /// A snapshot without hosts.
    pub(crate) fn subnet_only(&self) -> Snapshot {
        Snapshot::new(
            Server::default(),
            vec![self.subnet.clone()],
            Vec::new(),
            Vec::new(),
            BTreeMap::new(),
        )
    }

    pub(crate) fn host(mut self, host: Host) -> Self {
        self.hosts.push(host);
        self
    }

    pub(crate) fn build(self) -> Site {
        let snapshot = Snapshot::new(
            Server::default(),
            vec![self.subnet],
            self.hosts,
            self.profiles,
            self.templates,
        );
        Site {
            renderer: Renderer::new(&snapshot),
            snapshot,
            sources: self.sources,
        }
    }
}

impl Site {
    /// The first host's view for x86_64.
    pub(crate) fn view<'a>(&'a self, token: Option<&'a Token>) -> View<'a> {
        let host = &self.snapshot.hosts()[0];
        View {
            snapshot: &self.snapshot,
            host,
            profile: self
                .snapshot
                .profile(host.profile.as_ref().unwrap())
                .unwrap(),
            arch: Architecture::X86_64,
            server: [10, 99, 0, 2].into(),
            token,
        }
    }

    /// One answer of the first host.
    pub(crate) fn answer(&self, name: &str) -> String {
        self.renderer
            .answer(&self.view(None), name)
            .unwrap()
            .unwrap()
            .text
    }
}

/// The shipped files for one host with these vars.
pub(crate) fn shipped(vars: &str) -> Site {
    Draft::shipped().host(host("web01", 0x8e, vars)).build()
}

/// Runs a program that must be there, and must succeed.
pub(crate) fn run(command: &mut Command) -> Output {
    let output = command
        .output()
        .unwrap_or_else(|error| panic!("{command:?}: {error}"));
    assert!(
        output.status.success(),
        "{command:?}: {}\n{}",
        output.status,
        String::from_utf8_lossy(&output.stderr)
    );
    output
}
