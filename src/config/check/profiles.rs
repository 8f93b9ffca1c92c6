//! Profiles: those that could be read whole and whose templates are there.

use std::collections::BTreeMap;
use std::path::Path;

use super::Input;
use crate::base::{Lifecycle, suggest};
use crate::config::problem::Problem;
use crate::config::snapshot::{Answer, Boot, Profile, Snippet, Template};
use crate::config::variables::Declarations;
use crate::config::vars;
use crate::config::written::Written;
use crate::config::written::declared::SnippetFile;
use crate::config::written::profile::ProfileFile;

/// The profiles that could be read whole and whose templates are there.
pub(super) fn profiles(input: &Input, problems: &mut Vec<Problem>) -> Vec<Profile> {
    let mut good = Vec::new();
    let known = |template: &Written<String>, problems: &mut Vec<Problem>| {
        if input.templates.contains_key(&template.value) {
            return true;
        }
        if !input.templates_unsure {
            let nearest = nearest_template(&template.value, &input.templates);
            problems.push(
                Problem::error(
                    "unknown-template",
                    format!("there is no template `{}`", template.value),
                )
                .at(template.span, "unknown template")
                .suggest_text(template.span, nearest)
                .help(match nearest {
                    Some(nearest) => format!("did you mean \"{nearest}\"?"),
                    None => {
                        "templates are named by their path under the folder `templates`".to_owned()
                    }
                }),
            );
        }
        false
    };
    for profile in &input.profiles {
        let mut ok = profile.ok;
        if let Some(template) = profile
            .boot
            .as_ref()
            .and_then(|boot| boot.template.as_ref())
        {
            ok &= known(template, problems);
        }
        for answer in &profile.answers {
            ok &= known(&answer.template, problems);
        }
        let (variables, known) = variables(profile, input, problems);
        ok &= known;
        let (true, Some(boot)) = (ok, &profile.boot) else {
            continue;
        };
        good.push(Profile {
            lifecycle: lifecycle_of(profile),
            name: profile.name.clone(),
            title: profile
                .title
                .as_ref()
                .map_or_else(|| profile.name.to_string(), |title| title.value.clone()),
            family: profile
                .family
                .as_ref()
                .map_or("other", |family| family.value)
                .to_owned(),
            arch: profile
                .arch
                .iter()
                .flat_map(|list| &list.value)
                .map(|arch| arch.value)
                .collect(),
            boot: Boot::clone(&boot.boot),
            answers: profile
                .answers
                .iter()
                .map(|answer| Answer {
                    name: answer.name.value.clone(),
                    template: answer.template.value.clone(),
                    content_type: answer
                        .content_type
                        .as_ref()
                        .map_or_else(|| "text/plain".to_owned(), |kind| kind.value.clone()),
                    span: Some(answer.template.span),
                })
                .collect(),
            options: profile
                .options
                .iter()
                .map(|option| option.value.clone())
                .collect(),
            stalled_after: profile.stalled_after.as_ref().map(|time| time.value),
            variables,
            vars: vars::into_table(&profile.vars),
            secure_boot: profile.secure_boot.as_ref().map(|flag| flag.value),
            signed: boot.signed.clone(),
            fetch: profile.fetch.clone().map(Box::new),
            span: Some(profile.span),
        });
    }
    good
}

/// What the files that a profile names declare, a later one over an earlier one; false: not all could be read.
fn variables(
    profile: &ProfileFile,
    input: &Input,
    problems: &mut Vec<Problem>,
) -> (Declarations, bool) {
    let mut all = Declarations::new();
    let mut ok = true;
    for name in &profile.variables {
        let Some(file) = input.declarations.get(&name.value) else {
            ok = false;
            if !input.templates_unsure {
                // A file that nobody names is taken for a template.
                let others = input.templates.keys().filter(|name| is_toml(name));
                let names = input.declarations.keys().chain(others);
                let nearest = suggest::nearest(&name.value, names.map(String::as_str));
                problems.push(
                    Problem::error(
                        "unknown-template",
                        format!("there is no file of variables `{}`", name.value),
                    )
                    .at(name.span, "no such file")
                    .suggest_text(name.span, nearest)
                    .help(match nearest {
                        Some(nearest) => format!("did you mean \"{nearest}\"?"),
                        None => "such files are named by their path under the folder `templates`, such as \"debian/variables.toml\"".to_owned(),
                    }),
                );
            }
            continue;
        };
        ok &= file.ok;
        all.extend(file.variables.clone());
    }
    (all, ok)
}

fn is_toml(name: &str) -> bool {
    Path::new(name)
        .extension()
        .is_some_and(|extension| extension == "toml")
}

/// The snippets that could be read.
pub(super) fn snippets(
    written: &BTreeMap<String, Option<SnippetFile>>,
) -> BTreeMap<String, Snippet> {
    let snippet = |(name, file): (&String, &Option<SnippetFile>)| {
        let title = file.as_ref().and_then(|file| file.title.as_ref());
        let snippet = Snippet {
            title: title.map_or_else(|| name.clone(), |title| title.value.clone()),
            families: file
                .as_ref()
                .and_then(|file| file.families.clone())
                .unwrap_or_default(),
            variables: file
                .as_ref()
                .filter(|file| file.ok)
                .map(|file| file.variables.clone())
                .unwrap_or_default(),
        };
        (name.clone(), snippet)
    };
    written.iter().map(snippet).collect()
}

/// What a profile does with a machine: it installs it, unless it says otherwise.
pub(super) fn lifecycle_of(profile: &ProfileFile) -> Lifecycle {
    profile
        .lifecycle
        .as_ref()
        .map_or(Lifecycle::Install, |lifecycle| lifecycle.value)
}

/// By the whole path, or by the file's name alone when the folder was forgotten.
pub(super) fn nearest_template<'a>(
    name: &str,
    templates: &'a BTreeMap<String, Template>,
) -> Option<&'a str> {
    let names = || templates.keys().map(String::as_str);
    suggest::nearest(name, names()).or_else(|| {
        let file = name.rsplit('/').next().unwrap_or(name);
        let stem = |path: &str| {
            let file = path.rsplit('/').next().unwrap_or(path).to_owned();
            file.strip_suffix(".j2").map(str::to_owned).unwrap_or(file)
        };
        let wanted = stem(file);
        names().find(|path| stem(path) == wanted)
    })
}
