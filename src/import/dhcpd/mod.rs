//! The configuration of ISC dhcpd: `dhcpd.conf` and the files that it includes.
//!
//! Scopes become ours where there is one of the kind: `subnet` a `[[subnet]]`, `group` a group, `host` a host. What is
//! set outside (globally, in a shared network, in a group around a subnet) is inherited by the subnets, which is where
//! dhcpd's own hosts take it from too.

mod conditions;
mod hosts;
mod refused;
mod scopes;
mod text;
mod values;

use super::gather::Gather;
use super::place::Place;
use super::{Bring, ImportError, Imported, Source};
use text::{Statement, is_definition};
use values::Definitions;

/// How many files may be included, all in all.
const MOST_INCLUDES: usize = 256;
/// How deep files may include each other.
const DEEPEST_INCLUDE: usize = 16;

/// Reads `dhcpd.conf`. Names as addresses are looked up by `bring`, and so are the files of `include`.
pub fn read(files: &[Source], bring: &dyn Bring) -> Result<Imported, ImportError> {
    let mut reader = Reader {
        bring,
        gather: Gather::default(),
        definitions: Definitions::default(),
        spaces: Vec::new(),
        included: 0,
        groups: 0,
    };
    let mut statements = Vec::new();
    for file in files {
        let found = text::parse(file)?;
        statements.extend(reader.with_includes(found, 0)?);
    }
    reader.define(&statements);
    reader.outermost(&statements);
    Ok(reader.finish())
}

/// What is known while the statements are gone through.
struct Reader<'a> {
    bring: &'a dyn Bring,
    gather: Gather,
    definitions: Definitions,
    /// Spaces of options that the file makes, and whether some of their options was carried over.
    spaces: Vec<Space>,
    included: usize,
    groups: u32,
}

/// `option space NAME`.
struct Space {
    name: String,
    at: Place,
    what: String,
    used: bool,
}

impl Reader<'_> {
    /// The statements with those of included files in their places.
    fn with_includes(
        &mut self,
        statements: Vec<Statement>,
        depth: usize,
    ) -> Result<Vec<Statement>, ImportError> {
        let mut all = Vec::with_capacity(statements.len());
        for mut statement in statements {
            if let Some(body) = statement.body.take() {
                statement.body = Some(self.with_includes(body, depth)?);
            } else if statement.keyword() == "include" {
                all.extend(self.include(&statement, depth)?);
                continue;
            }
            all.push(statement);
        }
        Ok(all)
    }

    fn include(
        &mut self,
        statement: &Statement,
        depth: usize,
    ) -> Result<Vec<Statement>, ImportError> {
        let why = match statement.rest() {
            [path] => match path.text() {
                Some(_) if depth >= DEEPEST_INCLUDE || self.included >= MOST_INCLUDES => {
                    "too many files include each other".to_owned()
                }
                Some(path) => match self.bring.text(&path) {
                    Some(text) => {
                        self.included += 1;
                        let found = text::parse(&Source { name: path, text })?;
                        return self.with_includes(found, depth + 1);
                    }
                    None => format!(
                        "`{path}` cannot be read here: give the file together with this one"
                    ),
                },
                None => "the path of a file is expected".to_owned(),
            },
            _ => "the path of a file is expected".to_owned(),
        };
        self.gather.left(&statement.at, &statement.shown(), why);
        Ok(Vec::new())
    }

    /// Takes up the options that the file defines, wherever they stand.
    fn define(&mut self, statements: &[Statement]) {
        for statement in statements {
            if is_definition(&statement.tokens) {
                if let Err(why) = self.definitions.add(statement) {
                    self.gather.left(&statement.at, &statement.shown(), why);
                }
            } else if let Some(body) = &statement.body {
                self.define(body);
            } else if let [first, second, name, ..] = statement.tokens.as_slice()
                && first.keyword().as_deref() == Some("option")
                && second.keyword().as_deref() == Some("space")
                && let Some(name) = name.keyword()
            {
                self.spaces.push(Space {
                    name,
                    at: statement.at.clone(),
                    what: statement.shown(),
                    used: false,
                });
            }
        }
    }

    fn finish(mut self) -> Imported {
        for definition in self.definitions.unused() {
            let why = "defined, and set nowhere: nothing to carry over".to_owned();
            self.gather.left(&definition.at, &definition.what, why);
        }
        for space in self.spaces.iter().filter(|space| !space.used) {
            let why = match space.name.as_str() {
                "ipxe" | "gpxe" | "pxe" => super::boot::CHAINLOADING,
                _ => "none of its options is carried over",
            };
            self.gather.left(&space.at, &space.what, why);
        }
        self.gather.finish()
    }
}
