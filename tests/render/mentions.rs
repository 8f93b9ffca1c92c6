//! What a machine boots is rendered from as much of the context as its texts mention: it has to come out as from all of
//! it, errors included.

use bootwright::base::Token;
use bootwright::config::snapshot::{Boot, ProfileOption, ProfileValue, TemplateText};
use bootwright::config::source::DiskFiles;
use bootwright::render::load::load;
use bootwright::render::{Renderer, View, files};
use proptest::prelude::*;

use crate::fixture::{Draft, host, profile};
use crate::{hosts, profiles};

/// Holds the boot and the options of a view against those from everything.
fn assert_same(renderer: &Renderer, view: &View<'_>) {
    let all = renderer.prepare(view);
    let about = format!("{} with {}", view.host.name, view.profile.name);
    assert_eq!(renderer.boot(view), renderer.prepared_boot(&all), "{about}");
    let options = renderer.prepared_options(&all);
    assert_eq!(renderer.options(view), options, "{about}");
}

#[test]
fn every_profile_boots_as_from_everything() {
    let folder = tempfile::tempdir().unwrap();
    let token = Token::parse("abcdefghijklmnopqrstuvwxyz").unwrap();
    for profile in profiles::PROFILES {
        let shipped = crate::fixture::shipped_profile(profile.name);
        let main = hosts::write(profile, &shipped.family, &folder.path().join(profile.name));
        let config = load(&DiskFiles, &main, 1).config.expect(profile.name);
        for host in config.snapshot.hosts() {
            let profile = config.snapshot.profile(host.profile.as_ref().unwrap());
            let profile = profile.unwrap();
            let view = View {
                snapshot: &config.snapshot,
                host,
                profile,
                arch: files::usual_architecture(host, Some(profile)),
                server: [10, 99, 0, 2].into(),
                token: Some(&token),
            };
            assert!(config.renderer.boot(&view).is_ok());
            assert_same(&config.renderer, &view);
        }
    }
}

/// Pieces of texts: values by each way to them, what is not there, statements, what looks like any of that.
const PIECES: [&str; 40] = [
    "a",
    " ",
    "\n",
    "{",
    "}",
    "#",
    "%",
    "host.name",
    "vars",
    "{{ host.name }}",
    "{{host.mac}}",
    "{{ host .ip }}",
    "{{ host['fqdn'] }}",
    "{{ host[\"gr\" ~ \"oup\"] }}",
    "{{ host | tojson }}",
    "{{ host.links | length }}",
    "{% for link in host.links %}{{ link.mac }}{% endfor %}",
    "{% set h = host %}{{ h.domain }}{{ h.macs }}",
    "{{ host.nics[0].subnet.name }}",
    "{{ host.serial }}",
    "{{ subnet.router }}",
    "{% if not subnet.dns %}x{% endif %}",
    "{% with s = subnet %}{{ s.network }}/{{ s.prefix }}{% endwith %}",
    "{{ server.url }}",
    "{{ vars.site }}",
    "{{ vars.deep.er }}",
    "{{ vars['site'] }}",
    "{{ vars.none | default('n') }}",
    "{% if vars.console is defined %}c{% endif %}",
    "{% for name in vars %}{{ name }}{% endfor %}",
    "{% set vars = {'site': 'mine'} %}{{ vars.site }}",
    "{{ profile.title }}",
    "{{ arch }}",
    "{{ answers.url }} {{ answers.folder }}",
    "{{ install.started }}",
    "{{ snippets }}",
    "{{ asset('x/y') }}",
    "{% raw %}{{ host.name }}{% endraw %}",
    "{# {{ host }} #}",
    "{% include 'debian/part.j2' %}",
];

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]
    #[test]
    fn any_text_comes_out_as_from_everything(
        cmdline in prop::collection::vec(prop::sample::select(&PIECES[..]), 0..6),
        option in prop::collection::vec(prop::sample::select(&PIECES[..]), 0..4),
    ) {
        let mut draft = Draft::shipped();
        draft.template("debian/part.j2", "{{ host.name }} {{ vars.site }} {{ install.up }}");
        let mut made = profile("made", "debian/part.j2");
        let text = |pieces: &[&str]| TemplateText { text: pieces.concat(), span: None };
        if let Boot::Linux { cmdline: arguments, kernel, .. } = &mut made.boot {
            *arguments = text(&cmdline).into();
            kernel.text = "{{ arch }}/linux".to_owned();
        }
        made.options = vec![ProfileOption {
            code: 224,
            value: ProfileValue::Text(text(&option)),
            force: false,
        }];
        draft.profiles.push(made);
        let mut one = host("web01", 0x8e, "site = 'hq'\ndeep = { er = 1 }\nbond_mode = 'none'");
        one.profile = Some("made".parse().unwrap());
        let site = draft.host(one).build();
        let token = Token::parse("abcdefghijklmnopqrstuvwxyz").unwrap();
        assert_same(&site.renderer, &site.view(Some(&token)));
    }

    #[test]
    fn a_text_with_nothing_to_be_filled_in_is_taken_as_it_stands(text in "[ -~\n\r\t{}%#]{0,40}") {
        let mut draft = Draft::shipped();
        let is_plain = ["{{", "{%", "{#"].iter().all(|delimiter| !text.contains(delimiter));
        prop_assume!(is_plain);
        // The same text once more behind a statement, which has it rendered.
        draft.template("plain.j2", &text);
        draft.template("rendered.j2", &format!("{{{{ '' }}}}{text}"));
        for name in ["plain", "rendered"] {
            draft.profiles.push(profile(name, &format!("{name}.j2")));
        }
        let [plain, rendered] = ["plain", "rendered"].map(|name| {
            let mut one = host("web01", 0x8e, "");
            one.profile = Some(name.parse().unwrap());
            one
        });
        let snapshot = draft.host(plain).build();
        let view = snapshot.view(None);
        let as_it_stands = snapshot.renderer.answer(&view, "answer.txt").unwrap().unwrap().text;
        prop_assert_eq!(&as_it_stands, &text);
        let profile = snapshot.snapshot.profile(rendered.profile.as_ref().unwrap()).unwrap();
        let view = View { profile, host: &rendered, ..view };
        let rendered = snapshot.renderer.answer(&view, "answer.txt").unwrap().unwrap().text;
        prop_assert_eq!(rendered, text);
    }
}
