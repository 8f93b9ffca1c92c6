//! The proof that a configuration renders: every template parses, and every host's boot texts and
//! answers render for every architecture that it may have.
//!
//! Hosts that differ only in what their templates print are proven by one rendering ([`kinds`]).
//!
//! One mistake in a template is one problem, whoever meets it: it names the first host and counts the
//! others.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::net::Ipv4Addr;

use super::kinds::{Kind, Texts, kinds};
use super::lint::{self, Format, Weight};
use super::loaders::{self, Boots, Transport};
use super::uses::{Parts, Uses};
use super::{Prepared, RenderError, RenderedBoot, Renderer, View, cmdline, env, secrets, unused};
use crate::base::{Architecture, BootLoader, HardwareAddr, Lifecycle, pace, suggest};
use crate::config::snapshot::{
    Answer, Boot, Host, Profile, Settings, Template, TemplateText, list_key,
};
use crate::config::{Problem, Snapshot, SourceMap, Span, stranger};

/// What is told of one answer at most: one mistake often has others follow.
const MOST_PER_ANSWER: usize = 10;

/// Renders everything and adds what goes wrong to `problems`.
pub fn check(
    snapshot: &Snapshot,
    renderer: &Renderer,
    sources: &SourceMap,
    problems: &mut Vec<Problem>,
) {
    check_kinds(snapshot, &kinds(snapshot), renderer, sources, problems);
}

/// The same, where the kinds of its hosts are known already.
pub(super) fn check_kinds(
    snapshot: &Snapshot,
    kinds: &[Kind<'_>],
    renderer: &Renderer,
    sources: &SourceMap,
    problems: &mut Vec<Problem>,
) {
    let places = Places::new(snapshot, sources);
    let mut findings = Findings::default();
    for error in renderer.broken() {
        findings.add(error.code, error.clone(), None);
    }
    for kind in kinds {
        let mut of_kind = Findings::default();
        let mut of_each = Texts::All;
        if kind.hosts.len() > 1 {
            let example = &kind.example;
            check_host(
                renderer,
                snapshot,
                (kind, Texts::Shared),
                example,
                &mut of_kind,
            );
            if of_kind.list.is_empty() {
                for name in of_kind.missing_secrets.into_keys() {
                    let hosts = findings.missing_secrets.entry(name).or_default();
                    hosts.extend(&kind.hosts);
                }
                if kind.parts.are_all_shared() {
                    continue;
                }
                of_each = Texts::Own;
            }
        }
        for (count, host) in kind.hosts.iter().enumerate() {
            pace::give_way(count);
            check_host(renderer, snapshot, (kind, of_each), host, &mut findings);
        }
    }
    for host in &discovered(snapshot) {
        let name = host.profile.as_ref();
        let Some(profile) = name.and_then(|name| snapshot.profile(name)) else {
            continue;
        };
        let mut found = Findings::default();
        for arch in architectures(host, profile) {
            let view = View {
                snapshot,
                host,
                profile,
                arch,
                server: snapshot
                    .subnet_of(host)
                    .map_or(Ipv4Addr::LOCALHOST, |subnet| subnet.example_server),
                token: None,
            };
            check_view(renderer, &view, (&Parts::default(), Texts::All), &mut found);
        }
        for finding in found.list {
            findings.add(finding.code, finding.error, None);
        }
    }
    findings.without_what_is_declared(snapshot);
    findings.in_order_of_files();
    problems.extend(findings.list.iter().map(|finding| finding.problem(&places)));
    problems.extend(secrets::problems(snapshot, &findings.missing_secrets));
    problems.extend(unused_snippets(snapshot, kinds));
    problems.extend(nobody_gets_in(snapshot));
    problems.extend(no_hash(snapshot));
    unused::templates(snapshot, problems);
}

/// Whether what a profile renders may bring in the snippets of its hosts.
pub fn brings_in_snippets(snapshot: &Snapshot, profile: &Profile) -> bool {
    Uses::of_profile(profile, snapshot.templates()).snippets
}

/// How many kinds of hosts a configuration has: those of one kind differ in printed values only, and are proven
/// by the rendering of one of them; and how many answers are rendered for each host all the same, or boot texts,
/// because they look at these values.
pub fn kinds_of(snapshot: &Snapshot) -> (usize, BTreeSet<String>) {
    let kinds = kinds(snapshot);
    let own = |kind: &Kind<'_>| {
        let boot = kind.parts.own_boot.then(|| "[boot]".to_owned());
        kind.parts
            .own_answers
            .iter()
            .cloned()
            .chain(boot)
            .collect::<Vec<_>>()
    };
    (kinds.len(), kinds.iter().flat_map(own).collect())
}

/// A machine that nobody knows in each subnet that discovers.
fn discovered(snapshot: &Snapshot) -> Vec<Host> {
    let subnets = snapshot.subnets.iter().enumerate();
    subnets
        .filter(|(_, subnet)| subnet.discovers())
        .filter_map(|(index, subnet)| {
            let ip = subnet.pool.map_or(subnet.example_server, |pool| pool.first);
            let mac = HardwareAddr::ethernet([2, 0, 0, 0, 0, 1]);
            stranger::host(snapshot, index, mac, Some(ip))
        })
        .collect()
}

/// A sentence for offline commands, which see no interfaces: the addresses that stand for the server's in
/// URLs where the file names none. `None`: nobody's had to be made up. With `host` only its subnet counts.
pub fn offline_note(snapshot: &Snapshot, host: Option<&Host>) -> Option<String> {
    const SHOWN: usize = 4;
    let mut guessed: Vec<String> = snapshot
        .subnets
        .iter()
        .enumerate()
        .filter(|(index, subnet)| {
            subnet.server.is_none() && host.is_none_or(|host| host.subnet == *index)
        })
        .map(|(_, subnet)| format!("{} for subnet {}", subnet.example_server, subnet.name))
        .collect();
    if guessed.len() > SHOWN {
        let others = guessed.split_off(SHOWN - 1).len();
        guessed.push(format!("the first free address of {others} other subnets"));
    }
    (!guessed.is_empty()).then(|| {
        format!(
            "URLs are shown with {}, because `server` is not set there; the daemon uses the address that machines reach it by",
            guessed.join(", ")
        )
    })
}

/// `host web01`, `hosts web01 and web02`, or `host web01 and 11 other hosts`.
pub(super) fn host_names(hosts: &[&Host]) -> String {
    match hosts {
        [] => "no host".to_owned(),
        [host] => format!("host {}", host.name),
        [first, second] => format!("hosts {} and {}", first.name, second.name),
        [first, rest @ ..] => format!("host {} and {} other hosts", first.name, rest.len()),
    }
}

/// Adds the place of the first host.
pub(super) fn at_host(problem: Problem, hosts: &[&Host]) -> Problem {
    match hosts.first().and_then(|host| host.span) {
        Some(span) => problem.at(span, "this host"),
        None => problem,
    }
}

/// The architectures that a host may be booted for.
pub(super) fn architectures(host: &Host, profile: &Profile) -> Vec<Architecture> {
    match host.arch {
        Some(arch) => vec![arch],
        None if profile.arch.is_empty() => vec![Architecture::X86_64],
        None => profile.arch.clone(),
    }
}

/// Renders these texts of one host.
fn check_host<'a>(
    renderer: &Renderer,
    snapshot: &'a Snapshot,
    (kind, texts): (&Kind<'a>, Texts),
    host: &'a Host,
    findings: &mut Findings<'a>,
) {
    for arch in architectures(host, kind.profile) {
        let view = View {
            snapshot,
            host,
            profile: kind.profile,
            arch,
            server: kind.subnet.example_server,
            token: None,
        };
        check_view(renderer, &view, (&kind.parts, texts), findings);
        if texts.has(kind.parts.own_boot) {
            check_loaders(renderer, &view, findings);
        }
    }
}

/// Whether the boot loader that a host meets can do what its profile says. iPXE can do everything.
fn check_loaders<'a>(renderer: &Renderer, view: &View<'a>, findings: &mut Findings<'a>) {
    let mut loaders = view.snapshot.server.boot_loaders(view.host);
    if view.profile.signed.is_some() && view.snapshot.boots_signed(view.host) {
        loaders.push(BootLoader::Grub);
        loaders.sort_unstable();
        loaders.dedup();
    }
    let mut others = loaders
        .into_iter()
        .filter(|loader| *loader != BootLoader::Ipxe)
        .peekable();
    if others.peek().is_none() {
        return;
    }
    // What cannot be rendered is told already.
    let Ok(boot) = renderer.boot(view) else {
        return;
    };
    for loader in others {
        let texts = loaders::Texts {
            loader,
            transport: Transport::Tftp,
        };
        let boots = Boots {
            view,
            attempt: 1,
            max_attempts: view.snapshot.server.max_attempts,
            nic: view.host.mac(),
        };
        if let Err(unable) = texts.install(&boots, &boot) {
            findings.add(
                "loader-unable",
                RenderError {
                    help: Some("give these hosts loader = \"ipxe\", or another profile".to_owned()),
                    ..RenderError::new(
                        format!("profiles/{}.toml [boot]", view.profile.name),
                        "loader-unable",
                        unable.to_string(),
                    )
                },
                Some(view.host),
            );
        }
    }
}

fn check_view<'a>(
    renderer: &Renderer,
    view: &View<'a>,
    (parts, texts): (&Parts, Texts),
    findings: &mut Findings<'a>,
) {
    let prepared = renderer.prepare(view);
    if texts.has(parts.own_boot) {
        check_boot(renderer, &prepared, findings);
    }
    for answer in &view.profile.answers {
        if texts.has(parts.own_answers.contains(&answer.name)) {
            check_answer(renderer, &prepared, answer, findings);
        }
    }
    for secret in prepared.missing_secrets() {
        let hosts = findings.missing_secrets.entry(secret).or_default();
        // The same host comes once for each of its architectures.
        if hosts.last().is_none_or(|last| last.name != view.host.name) {
            hosts.push(view.host);
        }
    }
}

fn check_boot<'a>(renderer: &Renderer, prepared: &Prepared<'a>, findings: &mut Findings<'a>) {
    let view = prepared.view();
    match renderer.prepared_boot(prepared) {
        Ok(RenderedBoot::Linux { cmdline, .. }) => {
            let unknown = cmdline::init_environment(&cmdline);
            if unknown > cmdline::MAX_INIT_ENVIRONMENT {
                findings.add(
                    "init-environment",
                    RenderError {
                        help: Some("move settings into an answer file".to_owned()),
                        ..RenderError::new(
                            env::boot_text_name(view.profile, "cmdline"),
                            "init-environment",
                            format!(
                                "the kernel command line hands {unknown} words such as `x=y` to init, and kernels panic above {}",
                                cmdline::MAX_INIT_ENVIRONMENT
                            ),
                        )
                    },
                    Some(view.host),
                );
            }
        }
        Ok(_) => {}
        Err(error) => findings.add(error.code, error, Some(view.host)),
    }
    if let Err(error) = renderer.prepared_options(prepared) {
        findings.add(error.code, error, Some(view.host));
    }
}

fn check_answer<'a>(
    renderer: &Renderer,
    prepared: &Prepared<'a>,
    answer: &Answer,
    findings: &mut Findings<'a>,
) {
    let view = prepared.view();
    match renderer.prepared_answer(prepared, &answer.name) {
        Some(Ok(rendered)) => {
            let (family, name) = (&view.profile.family, &answer.name);
            let format = lint::format_of(family, name, &rendered.content_type, &rendered.text);
            let found = format.map(|format| lint::check(format, &rendered.text));
            for found in found.unwrap_or_default().into_iter().take(MOST_PER_ANSWER) {
                let code = match (format, found.weight) {
                    (Some(Format::Preseed), _) => "preseed-syntax",
                    (_, Weight::Wrong) => "answer-syntax",
                    (_, Weight::Doubtful) => "answer-doubtful",
                };
                let more = found
                    .help
                    .map_or_else(String::new, |help| format!("; {help}"));
                findings.add(
                    code,
                    RenderError {
                        help: Some(format!(
                            "`bootwright render {} {name}` shows the rendered file{more}",
                            view.host.name
                        )),
                        ..RenderError::new(
                            answer.template.clone(),
                            code,
                            format!(
                                "the rendered {name}, line {}: {}",
                                found.line, found.message
                            ),
                        )
                    },
                    Some(view.host),
                );
            }
        }
        Some(Err(error)) => findings.add(error.code, error, Some(view.host)),
        None => {}
    }
}

/// One mistake and the hosts that meet it.
#[derive(Debug)]
struct Finding<'a> {
    code: &'static str,
    error: RenderError,
    hosts: Vec<&'a Host>,
    /// It was found without a host.
    of_strangers: bool,
}

#[derive(Debug, Default)]
struct Findings<'a> {
    list: Vec<Finding<'a>>,
    by_error: HashMap<(String, usize, String), usize>,
    /// Secrets that are not there, and who needs them.
    missing_secrets: BTreeMap<String, Vec<&'a Host>>,
}

impl<'a> Findings<'a> {
    /// A variable that a profile declares as required is told where it is declared, with the same hosts.
    fn without_what_is_declared(&mut self, snapshot: &Snapshot) {
        for finding in &mut self.list {
            let named = finding.error.message.split('`').nth(1);
            let variable = named.and_then(|named| named.strip_prefix("vars."));
            let Some(variable) = variable.filter(|_| finding.code == "undefined-variable") else {
                continue;
            };
            finding.hosts.retain(|host| {
                let name = host.profile.as_ref();
                let profile = name.and_then(|name| snapshot.profile(name));
                let declared = profile.and_then(|profile| profile.variables.get(variable));
                !(declared.is_some_and(|declared| declared.required)
                    && profile.is_some_and(|profile| {
                        !host.vars.contains_key(variable) && !profile.vars.contains_key(variable)
                    }))
            });
        }
        self.list
            .retain(|finding| finding.code != "undefined-variable" || finding.is_for_somebody());
    }

    /// Hosts were found kind by kind.
    fn in_order_of_files(&mut self) {
        let named = self.list.iter_mut().map(|finding| &mut finding.hosts);
        for hosts in named.chain(self.missing_secrets.values_mut()) {
            hosts.sort_by_key(|host| host.span);
            // A secret of a shared text may be one of an own text, too.
            let mut seen = HashSet::new();
            hosts.retain(|host| seen.insert(&host.name));
        }
    }

    fn add(&mut self, code: &'static str, error: RenderError, host: Option<&'a Host>) {
        let key = (error.template.clone(), error.line, error.message.clone());
        let list = &mut self.list;
        let index = *self.by_error.entry(key).or_insert_with(|| {
            list.push(Finding {
                code,
                error,
                hosts: Vec::new(),
                of_strangers: host.is_none(),
            });
            list.len() - 1
        });
        if let (Some(finding), Some(host)) = (list.get_mut(index), host) {
            // The same host comes once for each of its architectures.
            if finding
                .hosts
                .last()
                .is_none_or(|last| last.name != host.name)
            {
                finding.hosts.push(host);
            }
        }
    }
}

impl Finding<'_> {
    /// Some host meets it, or a machine that nobody knows.
    fn is_for_somebody(&self) -> bool {
        self.of_strangers || !self.hosts.is_empty()
    }

    fn problem(&self, places: &Places<'_>) -> Problem {
        let error = &self.error;
        // What does not parse concerns everybody.
        let for_hosts = if self.hosts.is_empty() || self.code == "template-syntax" {
            String::new()
        } else {
            format!(", for {}", host_names(&self.hosts))
        };
        let message = match self.code {
            "undefined-variable" => format!(
                "the template `{}` needs a variable that nobody gives: {}{for_hosts}",
                error.template, error.message
            ),
            "template-syntax" => {
                format!(
                    "the template `{}` does not parse: {}",
                    error.template, error.message
                )
            }
            _ => format!("`{}`: {}{for_hosts}", error.template, error.message),
        };
        let mut problem = if matches!(
            self.code,
            "init-environment" | "answer-doubtful" | "loader-unable"
        ) {
            Problem::warning(self.code, message)
        } else {
            Problem::error(self.code, message)
        };
        if let Some(span) = places.of(error) {
            problem = problem.at(span, label(self.code));
        }
        if self.code != "template-syntax" {
            problem = at_host(problem, &self.hosts);
        }
        match self.help() {
            Some(help) => problem.help(help),
            None => problem,
        }
    }

    /// For a variable of the operator's: the tables in which this host may have it.
    fn help(&self) -> Option<String> {
        let variable = self.error.message.split('`').nth(1).unwrap_or_default();
        let (Some(host), Some(path)) = (self.hosts.first(), variable.strip_prefix("vars.")) else {
            return self.error.help.clone();
        };
        if self.code != "undefined-variable" {
            return self.error.help.clone();
        }
        let known = host.vars.keys().map(String::as_str);
        if let Some(nearest) = suggest::nearest(path, known) {
            return Some(format!(
                "did you mean `vars.{nearest}`, which {} has? Otherwise ask `{{% if {variable} is defined %}}`",
                host.name
            ));
        }
        let mut tables = vec![format!("[hosts.{}.vars]", host.name)];
        tables.extend(
            host.groups
                .iter()
                .map(|group| format!("[groups.{group}.vars]")),
        );
        Some(format!(
            "give it in {} or [defaults.vars], or ask `{{% if {variable} is defined %}}` where it is optional",
            tables.join(", ")
        ))
    }
}

fn label(code: &str) -> &'static str {
    match code {
        "undefined-variable" => "undefined here",
        "template-syntax" => "does not parse",
        "preseed-syntax" | "answer-syntax" | "answer-doubtful" => "rendered from this",
        _ => "here",
    }
}

/// Where templates and boot texts stand.
struct Places<'a> {
    sources: &'a SourceMap,
    templates: &'a BTreeMap<String, Template>,
    texts: HashMap<String, &'a TemplateText>,
    users: HashMap<&'a str, Option<Span>>,
}

impl<'a> Places<'a> {
    fn new(snapshot: &'a Snapshot, sources: &'a SourceMap) -> Self {
        let mut texts = HashMap::new();
        let mut users = HashMap::new();
        for profile in snapshot.profiles().values() {
            for (key, text) in profile.boot.texts() {
                // What is wrong with all arguments together is shown at the first one.
                if key == list_key("cmdline", 0) {
                    texts.insert(env::boot_text_name(profile, "cmdline"), text);
                }
                texts.insert(env::boot_text_name(profile, &key), text);
            }
            texts.extend(env::option_texts(profile));
            if let Boot::Script { template } = &profile.boot {
                users.insert(template.as_str(), profile.span);
            }
            for answer in &profile.answers {
                users.insert(answer.template.as_str(), answer.span);
            }
        }
        Self {
            sources,
            templates: snapshot.templates(),
            texts,
            users,
        }
    }

    fn of(&self, error: &RenderError) -> Option<Span> {
        if let Some(text) = self.texts.get(&error.template) {
            return self.in_text(text, error.range);
        }
        let Some(template) = self.templates.get(&error.template) else {
            // A template that is not there: whoever names it.
            return self.users.get(error.template.as_str()).copied().flatten();
        };
        let source = template.span?.source;
        let (start, end) = error
            .range
            .or_else(|| line_range(&template.text, error.line))?;
        Some(Span::new(source, start..end))
    }

    /// A range within a TOML string: exact where the string is written as it is meant, else the whole
    /// string.
    fn in_text(&self, text: &TemplateText, range: Option<(usize, usize)>) -> Option<Span> {
        let span = text.span?;
        let written = self
            .sources
            .get(span.source)
            .and_then(|source| source.text.get(span.range()));
        let offset = written.and_then(|written| written.find(text.text.as_str()));
        match (offset, range) {
            (Some(offset), Some((start, end))) => {
                let begin = span.start() + offset;
                Some(Span::new(span.source, begin + start..begin + end))
            }
            _ => Some(span),
        }
    }
}

/// The bytes of one line, from 1.
fn line_range(text: &str, line: usize) -> Option<(usize, usize)> {
    let mut start = 0;
    for (index, content) in text.split('\n').enumerate() {
        if index + 1 == line {
            return Some((start, start + content.len()));
        }
        start += content.len() + 1;
    }
    None
}

/// The variables by which people get into an installed machine.
const WAYS_IN: [&str; 3] = [
    "root_password_hash",
    "root_password_secret",
    "ssh_authorized_keys",
];

/// The families whose installed systems lock root unless one of them is given.
const LOCK_ROOT: [&str; 7] = [
    "debian", "ubuntu", "redhat", "suse", "coreos", "flatcar", "alpine",
];

/// Hosts whose profile takes a password or keys, and which have neither, nor users of their own.
fn nobody_gets_in(snapshot: &Snapshot) -> Option<Problem> {
    let concerned: BTreeSet<_> = snapshot
        .profiles()
        .values()
        .filter(|profile| {
            profile.lifecycle == Lifecycle::Install
                && LOCK_ROOT.contains(&profile.family.as_str())
                && takes_ways_in(snapshot, profile)
        })
        .map(|profile| &profile.name)
        .collect();
    let hosts = hosts_with(snapshot, |settings| {
        settings
            .profile
            .as_ref()
            .is_some_and(|profile| concerned.contains(profile))
            && WAYS_IN
                .iter()
                .chain(&["users"])
                .all(|name| is_empty(given(snapshot, settings, name)))
    });
    if hosts.is_empty() {
        return None;
    }
    let problem = Problem::warning(
        "nobody-gets-in",
        format!(
            "nobody will get into {} once installed: without `root_password_hash` and `ssh_authorized_keys` root is locked",
            host_names(&hosts)
        ),
    )
    .help(
        "give `ssh_authorized_keys = [\"ssh-ed25519 …\"]` or `root_password_hash` (made by `mkpasswd -m sha-512`, or `openssl passwd -6`) in [defaults.vars], a group's or the host's vars",
    );
    Some(at_host(problem, &hosts))
}

/// Hosts that name snippets under a profile that brings none in: one warning for each profile.
fn unused_snippets(snapshot: &Snapshot, kinds: &[Kind<'_>]) -> Vec<Problem> {
    let mut by_profile: BTreeMap<_, Vec<&Host>> = BTreeMap::new();
    for kind in kinds {
        if !kind.example.snippets.is_empty() {
            let hosts = by_profile.entry(&kind.profile.name).or_default();
            hosts.extend(&kind.hosts);
        }
    }
    let mut problems = Vec::new();
    for (name, mut hosts) in by_profile {
        let brings_in = snapshot
            .profile(name)
            .is_none_or(|profile| brings_in_snippets(snapshot, profile));
        if brings_in {
            continue;
        }
        hosts.sort_by_key(|host| host.span);
        let problem = Problem::warning(
            "unused-snippets",
            format!(
                "the profile `{name}` brings in no snippets, and {} will have none of those that it names",
                host_names(&hosts)
            ),
        )
        .help("take `snippets` out there, or make \"common/postinstall.sh.j2\" an answer of the profile that its installer runs");
        problems.push(at_host(problem, &hosts));
    }
    problems
}

/// A variable as the layers give it, the profile's own among them.
fn given<'a>(
    snapshot: &'a Snapshot,
    settings: &'a Settings,
    name: &str,
) -> Option<&'a toml::Value> {
    let of_profile = || {
        let profile = snapshot.profile(settings.profile.as_ref()?)?;
        profile.vars.get(name)
    };
    settings.vars.get(name).or_else(of_profile)
}

/// The hosts whose settings are so; those that follow one another mostly share theirs.
fn hosts_with(snapshot: &Snapshot, is_so: impl Fn(&Settings) -> bool) -> Vec<&Host> {
    let mut last: Option<(&Settings, bool)> = None;
    let mut found = Vec::new();
    for host in snapshot.hosts() {
        let settings = &*host.settings;
        let so = match last {
            Some((before, so)) if std::ptr::eq(before, settings) => so,
            _ => is_so(settings),
        };
        last = Some((settings, so));
        if so {
            found.push(&**host);
        }
    }
    found
}

/// Hosts whose `root_password_hash` is a password or a placeholder: nobody could log in with it.
fn no_hash(snapshot: &Snapshot) -> Option<Problem> {
    let hosts = hosts_with(snapshot, |settings| {
        settings.profile.is_some()
            && given(snapshot, settings, "root_password_hash")
                .filter(|value| !is_empty(Some(value)))
                .is_some_and(|value| !value.as_str().is_some_and(is_crypt_hash))
    });
    if hosts.is_empty() {
        return None;
    }
    let problem = Problem::warning(
        "no-password-hash",
        format!(
            "`root_password_hash` of {} is no password hash: nobody will log in with it",
            host_names(&hosts)
        ),
    )
    .help("write what `openssl passwd -6` or `mkpasswd -m sha-512` prints for the password, such as \"$6$SALT$HASH\"");
    Some(at_host(problem, &hosts))
}

/// What crypt(5) calls a hash, `$ID$…$HASH`; or `!` and `*`, with which an account is locked on purpose.
fn is_crypt_hash(text: &str) -> bool {
    let legal = |c: char| c.is_ascii_alphanumeric() || "./$,=+_-".contains(c);
    text.starts_with(['!', '*'])
        || (text.starts_with('$') && text.matches('$').count() >= 3 && text.chars().all(legal))
        // Of traditional DES, which has no sign of its own.
        || (text.len() == 13 && text.chars().all(|c| c.is_ascii_alphanumeric() || "./".contains(c)))
}

fn is_empty(value: Option<&toml::Value>) -> bool {
    match value {
        None => true,
        Some(toml::Value::String(text)) => text.trim().is_empty(),
        Some(toml::Value::Array(values)) => values.is_empty(),
        Some(toml::Value::Table(values)) => values.is_empty(),
        Some(_) => false,
    }
}

/// Whether an answer of the profile, or a template it includes, names one of the variables.
fn takes_ways_in(snapshot: &Snapshot, profile: &Profile) -> bool {
    let mut waiting: Vec<&str> = profile
        .answers
        .iter()
        .map(|answer| answer.template.as_str())
        .collect();
    let mut seen = BTreeSet::new();
    while let Some(name) = waiting.pop() {
        let Some(template) = snapshot.templates().get(name) else {
            continue;
        };
        if !seen.insert(name) {
            continue;
        }
        if WAYS_IN.iter().any(|way| template.text.contains(way)) {
            return true;
        }
        let others = snapshot.templates().keys().map(String::as_str);
        waiting.extend(others.filter(|other| {
            template.text.contains(&format!("\"{other}\""))
                || template.text.contains(&format!("'{other}'"))
        }));
    }
    false
}
