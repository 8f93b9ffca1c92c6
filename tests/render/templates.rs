//! What templates see, and what becomes of mistakes in them.

use bootwright::base::{Architecture, Token};
use bootwright::config::snapshot::{Boot, TemplateText};
use bootwright::render::{RenderError, View};

use crate::fixture::{Draft, Site, host, profile};

/// One template under the name `answer.j2`, for a host with these vars.
fn site(template: &str, vars: &str) -> Site {
    let mut draft = Draft::shipped().host(host("web01", 11, vars));
    draft.template("answer.j2", template);
    draft.profiles = vec![profile("debian-12", "answer.j2")];
    draft.build()
}

fn render(template: &str, vars: &str) -> Result<String, RenderError> {
    let site = site(template, vars);
    let answer = site
        .renderer
        .answer(&site.view(None), "answer.txt")
        .unwrap();
    answer.map(|answer| answer.text)
}

#[test]
fn the_whole_context() {
    let template = "\
{{ host.name }} {{ host.fqdn }} {{ host.domain }} {{ host.mac }} {{ host.ip }} {{ host.group }} {{ host.nics }}
{{ subnet.name }} {{ subnet.network }} {{ subnet.netmask }} {{ subnet.prefix }} {{ subnet.router }} {{ subnet.dns }} {{ subnet.ntp }} {{ subnet.domain }}
{{ server.ip }} {{ server.url }}
{{ profile.name }} {{ profile.title }} {{ profile.family }}
{{ arch }}
{{ answers.url }} {{ answers.folder }} {{ answers.folder ~ 'user-data' }}
{{ install.started }}
{{ install.progress }}
{{ install.installed }}
{{ install.failed }}
{{ install.up }}
{{ install.logs ~ '/syslog' }}
{{ asset('debian/12/linux') }} {{ asset('http://other/x') }}
{{ vars.text }} {{ vars.number }} {{ vars.truth }} {{ vars.list[1] }} {{ vars.table.key }} {{ vars.day }}
";
    let vars = "text = 'a'\nnumber = 7\ntruth = true\nlist = [1, 2]\ntable = { key = 'v' }\nday = 2026-11-21";
    insta::assert_snapshot!(render(template, vars).unwrap(), @r#"
    web01 web01.lab.example lab.example 52:54:00:47:86:0b 10.99.0.11 web []
    lab 10.99.0.0 255.255.255.0 24 10.99.0.1 ['10.99.0.1'] ['10.99.0.1'] lab.example
    10.99.0.2 http://10.99.0.2:8080
    debian-12 The profile debian-12 other
    x86_64
    http://10.99.0.2:8080/answers/example/answer.txt http://10.99.0.2:8080/answers/example/ http://10.99.0.2:8080/answers/example/user-data
    http://10.99.0.2:8080/report/example/started
    http://10.99.0.2:8080/report/example/progress
    http://10.99.0.2:8080/report/example/installed
    http://10.99.0.2:8080/report/example/failed
    http://10.99.0.2:8080/report/example/up
    http://10.99.0.2:8080/report/example/logs/syslog
    http://10.99.0.2:8080/assets/debian/12/linux http://other/x
    a 7 true 2 v 2026-11-21
    "#);
}

#[test]
fn urls_carry_the_token_and_no_port_80() {
    let mut site = site("{{ answers.url }} {{ install.up }}", "");
    site.snapshot.server.http_port = 80;
    let token = Token::parse("abcdefghijklmnopqrstuvwxyz").unwrap();
    let answer = site
        .renderer
        .answer(&site.view(Some(&token)), "answer.txt")
        .unwrap()
        .unwrap();
    assert_eq!(
        answer.text,
        "http://10.99.0.2/answers/abcdefghijklmnopqrstuvwxyz/answer.txt http://10.99.0.2/report/abcdefghijklmnopqrstuvwxyz/up"
    );
}

#[test]
fn what_is_absent_is_undefined() {
    let mut draft = Draft::shipped();
    let mut bare = host("web01", 11, "");
    bare.domain = None;
    bare.domain = None;
    bare.groups.clear();
    bare.macs = Vec::new().into();
    draft.hosts = vec![bare];
    draft.subnet.router = None;
    draft.subnet.domain = None;
    let names = [
        "host.fqdn",
        "host.domain",
        "host.group",
        "host.mac",
        "host.arch",
        "host.uuid",
        "host.serial",
        "subnet.router",
        "subnet.domain",
        "vars.anything",
    ];
    let questions = names
        .map(|name| format!("{{{{ {name} is defined }}}} "))
        .concat();
    draft.template("answer.j2", &questions);
    draft.profiles = vec![profile("debian-12", "answer.j2")];
    let site = draft.build();
    assert_eq!(site.answer("answer.txt"), "false ".repeat(names.len()));
    for name in names {
        let template = format!("one\ntwo\n{{{{ {name} }}}}\n");
        let mut draft = Draft::shipped();
        draft.hosts = vec![(*site.snapshot.hosts()[0]).clone()];
        draft.subnet = site.snapshot.subnets[0].clone();
        draft.template("answer.j2", &template);
        draft.profiles = vec![profile("debian-12", "answer.j2")];
        let site = draft.build();
        let error = site
            .renderer
            .answer(&site.view(None), "answer.txt")
            .unwrap()
            .unwrap_err();
        assert_eq!(
            error.to_string(),
            format!("answer.j2:3: `{name}` is undefined")
        );
        let (start, end) = error.range.unwrap();
        assert!(
            template[start..end].contains(name),
            "{name}: {}",
            &template[start..end]
        );
    }
}

#[test]
fn an_undefined_value_is_an_error_wherever_it_is_used() {
    for (template, variable) in [
        ("{{ vars.x }}", "vars.x"),
        ("{{ vars.x | shq }}", "vars.x"),
        ("{{ vars.x | tojson }}", "vars.x"),
        ("{{ vars.x | upper }}", "vars.x"),
        ("{{ vars.x | join(' ') }}", "vars.x"),
        ("{% for y in vars.x %}{% endfor %}", "vars.x"),
        ("{% if vars.x %}{% endif %}", "vars.x"),
        ("{{ 'a' ~ vars.x }}", "vars.x"),
        ("{{ vars.x.y }}", "vars.x"),
        ("{{ asset(vars.x) }}", "vars.x"),
        ("{{ hots.name }}", "hots"),
        (
            "{% macro m() %}{{ vars.x }}{% endmacro %}{{ m() }}",
            "vars.x",
        ),
    ] {
        let error = render(template, "").unwrap_err();
        assert_eq!(
            error.message,
            format!("`{variable}` is undefined"),
            "{template}"
        );
        assert_eq!(error.code, "undefined-variable");
    }
}

#[test]
fn asset_works_in_macros_and_includes() {
    let mut draft = Draft::shipped().host(host("web01", 11, ""));
    draft.template(
        "answer.j2",
        "{% from 'snippets/m.j2' import get %}{{ get('a/b') }} {% include 'snippets/i.j2' %}",
    );
    draft.template(
        "snippets/m.j2",
        "{% macro get(path) %}{{ asset(path) }}{% endmacro %}",
    );
    draft.template("snippets/i.j2", "{{ asset('c') }} {{ host.name }}");
    draft.profiles = vec![profile("debian-12", "answer.j2")];
    assert_eq!(
        draft.build().answer("answer.txt"),
        "http://10.99.0.2:8080/assets/a/b http://10.99.0.2:8080/assets/c web01"
    );
}

#[test]
fn an_error_in_an_include_names_the_included_file() {
    let mut draft = Draft::shipped().host(host("web01", 11, ""));
    draft.template("answer.j2", "\n\n{% include 'snippets/i.j2' %}\n");
    draft.template("snippets/i.j2", "fine\n{{ vars.missing }}\n");
    draft.profiles = vec![profile("debian-12", "answer.j2")];
    let site = draft.build();
    let error = site
        .renderer
        .answer(&site.view(None), "answer.txt")
        .unwrap()
        .unwrap_err();
    assert_eq!(
        error.to_string(),
        "snippets/i.j2:2: `vars.missing` is undefined"
    );
}

#[test]
fn blocks_take_their_line_with_them_and_the_last_line_stays() {
    assert_eq!(
        render("a\n  {% if true %}\nb\n  {% endif %}\nc\n", "").unwrap(),
        "a\nb\nc\n"
    );
}

#[test]
fn nothing_is_escaped_by_itself() {
    assert_eq!(
        render("{{ vars.x }}", "x = '<a & \"b\">'").unwrap(),
        "<a & \"b\">"
    );
}

#[test]
fn what_may_not_be_named_as_a_boot_file() {
    for (path, message) in [
        ("../etc/passwd", "leads out of the boot files"),
        ("a/{{ vars.up }}/b", "leads out of the boot files"),
        ("", "is empty"),
        ("{{ vars.hidden }}/x", "begins with a dot"),
        ("http://a b/x", "has a space in it"),
    ] {
        let mut draft = Draft::shipped().host(host("web01", 11, "up = '..'\nhidden = '.git'"));
        let mut profile = profile("debian-12", "debian/preseed.cfg.j2");
        if let Boot::Linux { kernel, .. } = &mut profile.boot {
            *kernel = TemplateText {
                text: path.to_owned(),
                span: None,
            };
        }
        draft.profiles = vec![profile];
        let site = draft.build();
        let error = site.renderer.boot(&site.view(None)).unwrap_err();
        assert_eq!(error.template, "profiles/debian-12.toml [boot] kernel");
        assert!(error.message.contains(message), "{path}: {error}");
    }
}

#[test]
fn the_architecture_is_the_views() {
    let site = site("{{ arch }}", "");
    let view = View {
        arch: Architecture::Aarch64,
        ..site.view(None)
    };
    assert_eq!(
        site.renderer
            .answer(&view, "answer.txt")
            .unwrap()
            .unwrap()
            .text,
        "aarch64"
    );
}

#[test]
fn an_answer_of_another_name_is_none() {
    let site = site("x", "");
    assert!(site.renderer.answer(&site.view(None), "other").is_none());
}

/// What a template needs to configure bonds, VLANs and further cards.
#[test]
fn network_cards_in_templates() {
    use bootwright::config::snapshot::Nic;

    let mut web01 = host("web01", 11, "");
    let port = "52:54:00:47:86:8f".parse().unwrap();
    web01.macs = [&*web01.macs, &[port]].concat().into();
    let storage = Nic {
        macs: vec!["52:54:00:47:86:90".parse().unwrap(), port].into(),
        ip: Some([10, 99, 0, 21].into()),
        subnet: Some(0),
        name: Some("storage".to_owned()),
        boot: false,
    };
    let known = Nic {
        macs: vec!["52:54:00:47:86:91".parse().unwrap()].into(),
        ip: None,
        subnet: None,
        name: None,
        boot: false,
    };
    web01.nics = vec![storage, known].into();
    let template = "\
{{ host.mac }} {{ host.macs | join(' ') }}
{% for nic in host.nics -%}
{{ nic.mac }} {{ nic.macs | join(' ') }} {{ nic.boot }} \
{%- if nic.ip is defined %} {{ nic.name }} {{ nic.ip }}/{{ nic.subnet.prefix }} {{ nic.subnet.name }} {{ nic.subnet.router }}{% endif %}{{ '' }}
{% endfor %}";
    let mut draft = Draft::shipped().host(web01);
    draft.template("answer.j2", template);
    draft.profiles = vec![profile("debian-12", "answer.j2")];
    let site = draft.build();
    let answer = site
        .renderer
        .answer(&site.view(None), "answer.txt")
        .unwrap();
    assert_eq!(
        answer.unwrap().text.trim_end(),
        "\
52:54:00:47:86:0b 52:54:00:47:86:0b 52:54:00:47:86:8f
52:54:00:47:86:90 52:54:00:47:86:90 52:54:00:47:86:8f false storage 10.99.0.21/24 lab 10.99.0.1
52:54:00:47:86:91 52:54:00:47:86:91 false"
    );
}
