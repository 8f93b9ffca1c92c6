//! Problems as people read them (the offending text underlined) and as programs do (JSON).

use std::collections::BTreeSet;
use std::ops::Range;

use annotate_snippets::{
    Annotation, AnnotationKind, Level, Renderer, Snippet, normalize_untrusted_str,
};
use serde::Serialize;

use super::problem::{Label, Problem, Severity};
use super::snapshot::Snapshot;
use super::source::{Source, SourceId, SourceMap, Span};
use crate::base::counted;

/// All problems as text, a blank line after each. Warnings come out as errors when `strict`.
pub fn text(problems: &[Problem], sources: &SourceMap, colour: bool, strict: bool) -> String {
    let renderer = if colour {
        Renderer::styled().hyperlink(false)
    } else {
        Renderer::plain()
    };
    let mut shown = String::new();
    for problem in problems {
        shown.push_str(&one(problem, sources, &renderer, strict));
        shown.push_str("\n\n");
    }
    shown
}

fn one(problem: &Problem, sources: &SourceMap, renderer: &Renderer, strict: bool) -> String {
    let level = match problem.severity {
        Severity::Error => Level::ERROR,
        Severity::Warning if strict => Level::ERROR,
        Severity::Warning => Level::WARNING,
    };
    let mut group = annotate_snippets::Group::with_title(
        level
            .primary_title(problem.message.as_str())
            .id(problem.code),
    );
    // The file of the first label comes first, with all that is to be said of it.
    let mut files: Vec<SourceId> = Vec::new();
    for label in &problem.labels {
        if !files.contains(&label.span.source) {
            files.push(label.span.source);
        }
    }
    let primary = problem.labels.first().map(|label| label.span);
    for file in files {
        if let Some(source) = sources.get(file) {
            let labels: Vec<&Label> = problem
                .labels
                .iter()
                .filter(|label| label.span.source == file)
                .collect();
            group = group.element(snippet(source, &labels, primary));
        }
    }
    if let Some(help) = &problem.help {
        group = group.element(Level::HELP.message(normalize_untrusted_str(help)));
    }
    let shown = renderer.render(&[group]);
    // Lines without text end in blanks, which people's tools strip or mark.
    shown
        .lines()
        .map(str::trim_end)
        .collect::<Vec<_>>()
        .join("\n")
}

/// The lines from the first to the last label; those between are folded away.
fn snippet<'a>(
    source: &Source,
    labels: &[&Label],
    primary: Option<Span>,
) -> Snippet<'a, Annotation<'a>> {
    let text = &*source.text;
    let spans: Vec<Range<usize>> = labels
        .iter()
        .map(|label| within(text, label.span))
        .collect();
    let first = spans.iter().map(|span| span.start).min().unwrap_or(0);
    let last = spans.iter().map(|span| span.end).max().unwrap_or(0);
    let start = text
        .get(..first)
        .and_then(|before| before.rfind('\n'))
        .map_or(0, |at| at + 1);
    let end = text
        .get(last..)
        .and_then(|after| after.find('\n'))
        .map_or(text.len(), |at| last + at);
    let window = text.get(start..end).unwrap_or_default().to_owned();
    let line = text.get(..start).unwrap_or_default().matches('\n').count() + 1;
    let annotations = labels.iter().zip(spans).map(|(label, span)| {
        let kind = if Some(label.span) == primary {
            AnnotationKind::Primary
        } else {
            AnnotationKind::Context
        };
        let annotation = kind.span(span.start - start..span.end - start);
        if label.text.is_empty() {
            annotation
        } else {
            annotation.label(normalize_untrusted_str(&label.text))
        }
    });
    Snippet::source(window)
        .line_start(line)
        .path(source.path.display().to_string())
        .annotations(annotations)
}

/// A span that lies within the text and on its characters, whatever it was.
fn within(text: &str, span: Span) -> Range<usize> {
    let floor = |mut at: usize| {
        at = at.min(text.len());
        while !text.is_char_boundary(at) {
            at -= 1;
        }
        at
    };
    let start = floor(span.start());
    start..floor(span.end()).max(start)
}

/// The last line: `2 errors, 1 warning in 3 files`, or that all is good and what there is.
pub fn summary(problems: &[Problem], snapshot: Option<&Snapshot>, strict: bool) -> String {
    let (errors, warnings) = counts(problems, strict);
    let trouble = match (errors, warnings) {
        (0, 0) => String::new(),
        (errors, 0) => counted(errors, "error"),
        (0, warnings) => counted(warnings, "warning"),
        (errors, warnings) => {
            format!(
                "{}, {}",
                counted(errors, "error"),
                counted(warnings, "warning")
            )
        }
    };
    let files: BTreeSet<SourceId> = problems
        .iter()
        .filter_map(|problem| problem.labels.first())
        .map(|label| label.span.source)
        .collect();
    let trouble = match files.len() {
        0 => trouble,
        files => format!("{trouble} in {}", counted(files, "file")),
    };
    if errors > 0 {
        return trouble;
    }
    let contents = snapshot.map_or_else(String::new, |snapshot| {
        format!(
            ": {}, {}, {}",
            counted(snapshot.hosts().len(), "host"),
            counted(snapshot.profiles().len(), "profile"),
            counted(snapshot.subnets.len(), "subnet"),
        )
    });
    if warnings > 0 {
        format!("configuration is good{contents}; {trouble}")
    } else {
        format!("configuration is good{contents}")
    }
}

/// Errors and warnings; with `strict` all are errors.
pub fn counts(problems: &[Problem], strict: bool) -> (usize, usize) {
    let warnings = problems
        .iter()
        .filter(|problem| problem.severity == Severity::Warning)
        .count();
    if strict {
        (problems.len(), 0)
    } else {
        (problems.len() - warnings, warnings)
    }
}

/// Problems for programs.
#[derive(Debug, Serialize)]
pub struct Report {
    /// How many are errors.
    pub errors: usize,
    /// How many are warnings.
    pub warnings: usize,
    /// What is to be known beside them.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub note: Option<String>,
    /// All of them, in the order of files and lines.
    pub problems: Vec<ReportedProblem>,
}

/// One problem for programs.
#[derive(Debug, Serialize)]
pub struct ReportedProblem {
    /// Its stable name.
    pub code: &'static str,
    /// `error` or `warning`.
    pub severity: Severity,
    /// What is wrong.
    pub message: String,
    /// Where; absent where there is no place to point to.
    #[serde(flatten)]
    pub place: Option<Place>,
    /// All places, the problem's own first.
    pub labels: Vec<ReportedLabel>,
    /// The remedy.
    pub help: Option<String>,
    /// The remedy as a change of the text, where a program can make it.
    pub suggestion: Option<ReportedSuggestion>,
}

/// A change of the text that puts a problem right.
#[derive(Debug, Serialize)]
pub struct ReportedSuggestion {
    /// What is replaced.
    #[serde(flatten)]
    pub place: Place,
    /// By what.
    pub replacement: String,
}

/// A place for programs: lines and columns from 1, columns in characters, the end exclusive.
#[derive(Debug, Serialize)]
pub struct Place {
    /// The file.
    pub file: String,
    /// Line of the first character.
    pub line: usize,
    /// Column of the first character.
    pub column: usize,
    /// Line after the last character.
    pub end_line: usize,
    /// Column after the last character.
    pub end_column: usize,
    /// The first byte, counted from 0.
    pub start: usize,
    /// The byte after the last one.
    pub end: usize,
    /// What stands there.
    pub text: String,
}

/// A place and what is to be said of it.
#[derive(Debug, Serialize)]
pub struct ReportedLabel {
    /// Where.
    #[serde(flatten)]
    pub place: Place,
    /// What.
    pub label: String,
}

/// All problems for `--format json`.
pub fn report(problems: &[Problem], sources: &SourceMap, strict: bool) -> Report {
    let (errors, warnings) = counts(problems, strict);
    Report {
        errors,
        warnings,
        note: None,
        problems: problems
            .iter()
            .map(|problem| ReportedProblem {
                code: problem.code,
                severity: if strict {
                    Severity::Error
                } else {
                    problem.severity
                },
                message: problem.message.clone(),
                place: problem
                    .labels
                    .first()
                    .and_then(|label| place(label.span, sources)),
                labels: problem
                    .labels
                    .iter()
                    .filter_map(|label| {
                        Some(ReportedLabel {
                            place: place(label.span, sources)?,
                            label: label.text.clone(),
                        })
                    })
                    .collect(),
                help: problem.help.clone(),
                suggestion: problem.suggestion.as_ref().and_then(|suggestion| {
                    Some(ReportedSuggestion {
                        place: place(suggestion.span, sources)?,
                        replacement: suggestion.replacement.clone(),
                    })
                }),
            })
            .collect(),
    }
}

fn place(span: Span, sources: &SourceMap) -> Option<Place> {
    let source = sources.get(span.source)?;
    let range = within(&source.text, span);
    let (line, column) = sources.line_column(Span::new(span.source, range.start..range.start))?;
    let (end_line, end_column) =
        sources.line_column(Span::new(span.source, range.end..range.end))?;
    Some(Place {
        file: source.path.display().to_string(),
        line,
        column,
        end_line,
        end_column,
        start: range.start,
        end: range.end,
        text: source.text.get(range).unwrap_or_default().to_owned(),
    })
}
