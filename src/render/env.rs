//! The templates of one snapshot, parsed once, and minijinja's errors as [`RenderError`]s.

use std::collections::{BTreeMap, HashMap};

use minijinja::syntax::SyntaxConfig;
use minijinja::value::ValueKind;
use minijinja::{AutoEscape, Environment, Error, ErrorKind, UndefinedBehavior, Value};

use super::mentions::Mentions;
use super::{RenderError, context, filters, secrets};
use crate::base::{ProfileName, suggest};
use crate::config::Snapshot;
use crate::config::snapshot::{Boot, Profile, ProfileValue, TemplateText};

/// What begins something to be filled in, a statement or a comment.
const DELIMITERS: [&str; 3] = ["{{", "{%", "{#"];

/// Parsed templates; those that do not parse are kept as their error.
#[derive(Debug)]
pub(super) struct Templates {
    env: Environment<'static>,
    /// Texts in which there is nothing to be filled in.
    plain: HashMap<String, String>,
    /// What the boot texts and options of each profile mention.
    mentions: HashMap<ProfileName, Mentions>,
    broken: BTreeMap<String, RenderError>,
    /// Whether some template names a function of secrets.
    pub(super) uses_secrets: bool,
}

impl Default for Templates {
    fn default() -> Self {
        let mut env = Environment::new();
        env.set_undefined_behavior(UndefinedBehavior::Strict);
        env.set_auto_escape_callback(|_| AutoEscape::None);
        // Errors name the undefined variable and its bytes only in this mode.
        env.set_debug(true);
        let mut syntax = SyntaxConfig::builder();
        syntax
            .trim_blocks(true)
            .lstrip_blocks(true)
            .keep_trailing_newline(true);
        // Only odd delimiters make this fail, and none are set.
        if let Ok(syntax) = syntax.build() {
            env.set_syntax(syntax);
        }
        // As TOML and every installer spell them; minijinja writes Python's `True`.
        env.set_formatter(|out, state, value| match value.kind() {
            ValueKind::Bool => out
                .write_str(if value.is_true() { "true" } else { "false" })
                .map_err(|_| Error::from(ErrorKind::WriteFailure)),
            _ => minijinja::escape_formatter(out, state, value),
        });
        filters::add_to(&mut env);
        Self {
            env,
            plain: HashMap::new(),
            mentions: HashMap::new(),
            broken: BTreeMap::new(),
            uses_secrets: false,
        }
    }
}

impl Templates {
    /// Parses all templates and boot texts.
    pub(super) fn new(snapshot: &Snapshot) -> Self {
        let mut templates = Self::default();
        for (name, template) in snapshot.templates() {
            templates.add(name.clone(), &template.text);
        }
        for profile in snapshot.profiles().values() {
            templates.uses_secrets |=
                matches!(&profile.boot, Boot::San(san) if san.login.is_some());
            for (key, text) in profile.boot.texts() {
                templates.add(boot_text_name(profile, &key), &text.text);
            }
            for (name, text) in option_texts(profile) {
                templates.add(name, &text.text);
            }
            let mentions = Mentions::of(profile);
            templates.mentions.insert(profile.name.clone(), mentions);
        }
        templates
    }

    fn add(&mut self, name: String, text: &str) {
        self.uses_secrets |= secrets::FUNCTIONS
            .iter()
            .any(|function| text.contains(function));
        if !DELIMITERS.iter().any(|delimiter| text.contains(delimiter)) {
            self.plain.insert(name.clone(), text.to_owned());
        }
        if let Err(error) = self.env.add_template_owned(name.clone(), text.to_owned()) {
            let error = explain(&error, &name);
            self.broken.insert(name, error);
        }
    }

    /// The errors of those that do not parse.
    pub(super) fn broken(&self) -> impl Iterator<Item = &RenderError> {
        self.broken.values()
    }

    /// What the boot texts and options of a profile mention.
    pub(super) fn mentions(&self, profile: &Profile) -> &Mentions {
        self.mentions.get(&profile.name).unwrap_or(&Mentions::ALL)
    }

    /// Renders one template.
    pub(super) fn render(&self, name: &str, context: &Value) -> Result<String, RenderError> {
        if let Some(plain) = self.plain.get(name) {
            return Ok(plain.clone());
        }
        if let Some(error) = self.broken.get(name) {
            return Err(error.clone());
        }
        let result = self
            .env
            .get_template(name)
            .and_then(|template| template.render(context.clone()));
        result.map_err(|error| {
            let explained = explain(&error, name);
            // A broken template that another one includes: its own error says more.
            self.broken
                .values()
                .find(|broken| {
                    let name = &broken.template;
                    explained.code == "template-missing"
                        && [format!("'{name}'"), format!("\"{name}\"")]
                            .iter()
                            .any(|quoted| explained.message.contains(quoted))
                })
                .cloned()
                .unwrap_or(explained)
        })
    }
}

/// The name under which a boot text is parsed, and which its errors show.
pub(super) fn boot_text_name(profile: &Profile, key: &str) -> String {
    format!("profiles/{}.toml [boot] {key}", profile.name)
}

/// The texts of a profile's DHCP options, by the names under which they are parsed.
pub(super) fn option_texts(profile: &Profile) -> impl Iterator<Item = (String, &TemplateText)> {
    profile
        .options
        .iter()
        .filter_map(|option| match &option.value {
            ProfileValue::Text(text) => Some((option_text_name(profile, option.code), text)),
            ProfileValue::Bytes(_) => None,
        })
}

/// The name under which the text of an option is parsed, and which its errors show.
pub(super) fn option_text_name(profile: &Profile, code: u8) -> String {
    format!("profiles/{}.toml options, code {code}", profile.name)
}

/// An error of minijinja's in our words: of the innermost template, because an include only says that
/// something in it went wrong.
fn explain(error: &Error, rendered: &str) -> RenderError {
    let mut inner = error;
    while let Some(source) =
        std::error::Error::source(inner).and_then(|source| source.downcast_ref::<Error>())
    {
        inner = source;
    }
    let detail = inner.detail().unwrap_or_default();
    let (code, message, help) = match inner.kind() {
        ErrorKind::UndefinedError => {
            let message = if detail.is_empty() {
                "a value that is used here is undefined".to_owned()
            } else {
                detail.to_owned()
            };
            let variable = detail.split('`').nth(1).unwrap_or_default();
            (
                "undefined-variable",
                message,
                Some(undefined_help(variable)),
            )
        }
        ErrorKind::SyntaxError | ErrorKind::InvalidDelimiter | ErrorKind::BadEscape => {
            ("template-syntax", sentence(inner.kind(), detail), None)
        }
        ErrorKind::TemplateNotFound => (
            "template-missing",
            sentence_or(inner.kind(), detail),
            Some("templates are named by their path under the folder of templates".to_owned()),
        ),
        // The kind is that of any invalid operation.
        ErrorKind::InvalidOperation if detail.contains("recursion limit") => (
            "template-error",
            "templates are nested too deeply".to_owned(),
            Some(
                "an include, an import or a macro that leads back to itself never ends".to_owned(),
            ),
        ),
        ErrorKind::InvalidOperation if !detail.is_empty() => {
            ("template-error", detail.to_owned(), None)
        }
        kind => ("template-error", sentence(kind, detail), None),
    };
    RenderError {
        template: inner.name().unwrap_or(rendered).to_owned(),
        line: inner.line().unwrap_or(1),
        range: match inner.kind() {
            ErrorKind::UndefinedError => {
                variable_range(inner, message.split('`').nth(1).unwrap_or_default())
            }
            _ => inner.range().map(|range| (range.start, range.end)),
        },
        message,
        code,
        help,
    }
}

fn sentence(kind: ErrorKind, detail: &str) -> String {
    if detail.is_empty() {
        kind.to_string()
    } else {
        format!("{kind}: {detail}")
    }
}

fn sentence_or(kind: ErrorKind, detail: &str) -> String {
    if detail.is_empty() {
        kind.to_string()
    } else {
        detail.to_owned()
    }
}

/// The bytes of an undefined variable. An error of a filter points to the filter's name, behind it.
fn variable_range(error: &Error, variable: &str) -> Option<(usize, usize)> {
    let range = error.range()?;
    let given = Some((range.start, range.end));
    let Some(before) = error
        .template_source()
        .and_then(|text| text.get(..range.end))
    else {
        return given;
    };
    let line = before.rfind('\n').map_or(0, |at| at + 1);
    let found = before.get(line..).and_then(|text| text.rfind(variable));
    match found {
        Some(at) if !variable.is_empty() => Some((line + at, line + at + variable.len())),
        _ => given,
    }
}

/// What to do about an undefined variable.
fn undefined_help(variable: &str) -> String {
    let optional = format!("or ask `{{% if {variable} is defined %}}` where it is optional");
    let mut parts = variable.split(['.', '[']);
    let root = parts.next().unwrap_or_default();
    let field = parts.next().unwrap_or_default();
    if let Some((_, fields)) = context::FIELDS.iter().find(|(name, _)| *name == root)
        && !fields.contains(&field)
    {
        return match suggest::nearest(field, fields.iter().copied()) {
            Some(known) => format!("did you mean `{root}.{known}`?"),
            None => format!("`{root}` has {}", fields.join(", ")),
        };
    }
    match root {
        "vars" => format!(
            "give it in the host's vars, in those of one of its groups, or in [defaults.vars]; {optional}"
        ),
        "subnet" => format!("give it in the host's [[subnet]], {optional}"),
        "host" => format!("give it to the host in the reservations, {optional}"),
        "" => "ask `is defined` where it is optional".to_owned(),
        root if context::ROOTS.contains(&root) => format!("this profile has none; {optional}"),
        root => match suggest::nearest(root, context::ROOTS.iter().copied()) {
            Some(known) => format!("did you mean `{known}`?"),
            None => format!(
                "templates see {}; a variable of the operator's is `vars.{root}`",
                context::ROOTS.join(", ")
            ),
        },
    }
}
