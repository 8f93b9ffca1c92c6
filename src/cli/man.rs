//! `bootwright man`: manual pages, made from the same definition as the help.

use std::io::{self, Write};
use std::path::PathBuf;

use anyhow::Context as _;
use clap::Command;
use clap_mangen::Man;

use super::Usage;
use super::command::{EXIT_STATUS, command, examples, heading};

/// `man`.
#[derive(Debug, clap::Args)]
pub struct ManPages {
    /// Of this command, such as `host show`; without it that of the whole program
    #[arg(value_name = "COMMAND", conflicts_with = "into")]
    pub command: Vec<String>,
    /// Write the pages of all commands into this folder
    #[arg(long, value_name = "DIR")]
    pub into: Option<PathBuf>,
}

/// The files that the program reads, for its page.
const FILES: [(&str, &str); 2] = [
    (
        "config/bootwright.toml, /etc/bootwright/bootwright.toml",
        "where the configuration is looked for, in this order, when nothing names it",
    ),
    (
        "/var/lib/bootwright",
        "installation records, journal and the operators' socket, unless state_dir says otherwise",
    ),
];

const ENVIRONMENT: [(&str, &str); 2] = [
    (
        "BOOTWRIGHT_CONFIG",
        "the configuration, unless --config names it",
    ),
    (
        "NO_COLOR",
        "when it is set and not empty nothing is coloured",
    ),
];

/// Prints one page or writes all.
pub fn run(asked: &ManPages, out: &mut dyn Write) -> anyhow::Result<u8> {
    let mut whole = command().disable_help_subcommand(true);
    whole.build();
    let Some(folder) = &asked.into else {
        let mut found = &whole;
        for name in &asked.command {
            let inner = found
                .get_subcommands()
                .find(|inner| inner.get_name() == name && !inner.is_hide_set());
            found = inner.ok_or_else(|| {
                let names = found.get_subcommands().map(Command::get_name);
                let near = crate::base::suggest::nearest(name, names)
                    .map_or_else(String::new, |near| format!("; did you mean `{near}`?"));
                Usage(format!(
                    "there is no command `{}`{near}",
                    asked.command.join(" ")
                ))
            })?;
        }
        page(found, &asked.command.join(" "), out)?;
        return Ok(0);
    };
    std::fs::create_dir_all(folder)
        .with_context(|| format!("{} cannot be made", folder.display()))?;
    let mut pages = Vec::new();
    collect(&whole, "", &mut pages);
    for (path, command) in pages {
        let file = folder.join(Man::new(command.clone()).get_filename());
        let mut text = Vec::new();
        page(command, &path, &mut text)?;
        std::fs::write(&file, text)
            .with_context(|| format!("{} cannot be written", file.display()))?;
        writeln!(out, "{}", file.display())?;
    }
    Ok(0)
}

/// A command and those below it, but the hidden ones.
fn collect<'c>(command: &'c Command, path: &str, found: &mut Vec<(String, &'c Command)>) {
    found.push((path.to_owned(), command));
    for inner in command
        .get_subcommands()
        .filter(|inner| !inner.is_hide_set())
    {
        let path = format!("{path} {}", inner.get_name());
        collect(inner, path.trim(), found);
    }
}

fn page(command: &Command, path: &str, out: &mut dyn Write) -> io::Result<()> {
    let man = Man::new(command.clone())
        .source(concat!("bootwright ", env!("CARGO_PKG_VERSION")))
        .manual("Bootwright");
    man.render_title(out)?;
    man.render_name_section(out)?;
    man.render_synopsis_section(out)?;
    man.render_description_section(out)?;
    man.render_options_section(out)?;
    if command.get_subcommands().any(|inner| !inner.is_hide_set()) {
        man.render_subcommands_section(out)?;
    }
    let examples = examples(path);
    if !examples.is_empty() {
        writeln!(out, ".SH EXAMPLES")?;
        for (what, line) in examples {
            writeln!(
                out,
                ".PP\n{}\n.PP\n.RS 4\n.nf\n{}\n.fi\n.RE",
                plain(&heading(what)),
                plain(line)
            )?;
        }
    }
    section(out, "EXIT STATUS", &EXIT_STATUS)?;
    if path.is_empty() {
        section(out, "ENVIRONMENT", &ENVIRONMENT)?;
        section(out, "FILES", &FILES)?;
        man.render_version_section(out)?;
    } else {
        writeln!(out, ".SH SEE ALSO\n\\fBbootwright\\fR(1)")?;
    }
    Ok(())
}

fn section(out: &mut dyn Write, title: &str, items: &[(&str, &str)]) -> io::Result<()> {
    writeln!(out, ".SH \"{title}\"")?;
    for (name, what) in items {
        writeln!(out, ".TP\n\\fB{}\\fR\n{}", plain(name), plain(what))?;
    }
    Ok(())
}

/// A text that roff takes as it stands.
fn plain(text: &str) -> String {
    let text = text.replace('\\', "\\e").replace('-', "\\-");
    if text.starts_with(['.', '\'']) {
        format!("\\&{text}")
    } else {
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_stand_as_they_are() {
        assert_eq!(plain("a --b \\n"), "a \\-\\-b \\en");
        assert_eq!(plain(".TH"), "\\&.TH");
    }
}
