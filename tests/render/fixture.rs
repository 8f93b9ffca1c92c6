//! The shipped templates and profile under reservations made up here.

use std::collections::BTreeMap;
use std::fs;
use std::path::PathBuf;
use std::process::{Command, Output};
use std::sync::OnceLock;

use bootwright::base::{Architecture, Lifecycle, Token};
use bootwright::config::snapshot::{
    Answer, Arguments, Boot, Host, Mode, Profile, Server, Subnet, Template, TemplateText, Unknown,
};
use bootwright::config::source::{DiskFiles, Files};
use bootwright::config::{Secrets, Snapshot, SourceId, SourceMap, Span, load};
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
    pub(crate) more_subnets: Vec<Subnet>,
    pub(crate) secrets: Secrets,
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
    host.macs = vec![format!("52:54:00:47:86:{last:02x}").parse().unwrap()].into();
    host.ip = Some([10, 99, 0, last].into());
    host.groups = vec!["web".parse().unwrap()];
    host.profile = Some("debian-12".parse().unwrap());
    host.vars = vars.parse().unwrap();
    host
}

/// A profile of one answer, from this template.
pub(crate) fn profile(name: &str, template: &str) -> Profile {
    // The shipped templates read variables that the shipped profile declares.
    let (variables, vars) = if template.starts_with("debian/") {
        let shipped = shipped_profile("debian-12");
        (shipped.variables, shipped.vars)
    } else {
        Default::default()
    };
    Profile {
        name: name.parse().unwrap(),
        title: format!("The profile {name}"),
        family: "other".to_owned(),
        arch: vec![Architecture::X86_64],
        lifecycle: Lifecycle::Install,
        boot: Boot::Linux {
            kernel: text("some/linux", None),
            initrd: vec![text("some/initrd.gz", None)],
            cmdline: text("quiet", None).into(),
        },
        answers: vec![Answer {
            name: "answer.txt".to_owned(),
            template: template.to_owned(),
            content_type: "text/plain".to_owned(),
            span: None,
        }],
        stalled_after: None,
        variables,
        vars,
        options: Vec::new(),
        secure_boot: None,
        signed: None,
        fetch: None,
        span: None,
    }
}

/// The shipped configuration.
pub(crate) fn shipped_snapshot() -> &'static Snapshot {
    static SHIPPED: OnceLock<Snapshot> = OnceLock::new();
    SHIPPED.get_or_init(|| {
        let loaded = load(&DiskFiles, &root().join("config/bootwright.toml"));
        loaded.snapshot.unwrap()
    })
}

/// A shipped profile. Its places are those of other sources than a draft's.
pub(crate) fn shipped_profile(name: &str) -> Profile {
    let snapshot = shipped_snapshot();
    let mut profile = Profile::clone(snapshot.profile(&name.parse().unwrap()).unwrap());
    profile.span = None;
    if let Boot::Linux {
        kernel,
        initrd,
        cmdline,
    } = &mut profile.boot
    {
        kernel.span = None;
        let arguments = match cmdline {
            Arguments::Text(text) => std::slice::from_mut(text),
            Arguments::List(list) => list,
        };
        for text in initrd.iter_mut().chain(arguments) {
            text.span = None;
        }
    }
    for answer in &mut profile.answers {
        answer.span = None;
    }
    profile
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
                secure_boot: None,
                span: None,
            },
            more_subnets: Vec::new(),
            secrets: Secrets::default(),
            hosts: Vec::new(),
            profiles: vec![shipped_profile("debian-12")],
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
            // What declares variables is no template.
            if path.extension().is_none_or(|extension| extension != "toml") {
                draft.template(&name, &fs::read_to_string(&path).unwrap());
            }
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
            Vec::<Host>::new(),
            Vec::new(),
            BTreeMap::new(),
        )
    }

    pub(crate) fn host(mut self, host: Host) -> Self {
        self.hosts.push(host);
        self
    }

    pub(crate) fn build(self) -> Site {
        let mut subnets = vec![self.subnet];
        subnets.extend(self.more_subnets);
        let mut snapshot = Snapshot::new(
            Server::default(),
            subnets,
            self.hosts,
            self.profiles,
            self.templates,
        );
        snapshot.snippets = shipped_snapshot().snippets.clone();
        snapshot.secrets = self.secrets;
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

/// Whether shells read a script, and what shellcheck has to say of it, where it is installed.
pub(crate) fn check_shell(text: &str) {
    let folder = tempfile::TempDir::new().unwrap();
    let file = folder.path().join("script.sh");
    fs::write(&file, text).unwrap();
    run(Command::new("sh").arg("-n").arg(&file));
    // What installers have; not every developer's machine does.
    if Command::new("busybox").arg("true").output().is_ok() {
        run(Command::new("busybox").args(["ash", "-n"]).arg(&file));
    }
    if let Ok(out) = Command::new("shellcheck")
        // Two remarks on values that look as if they were meant for the shell.
        .args([
            "--shell=sh",
            "--severity=warning",
            "--format=gcc",
            "--exclude=SC1003,SC2016",
        ])
        .arg(&file)
        .output()
    {
        let found = String::from_utf8_lossy(&out.stdout);
        assert!(out.status.success(), "{found}\n{text}");
    }
}
