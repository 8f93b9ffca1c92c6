//! `bootwright schema`: JSON Schema of the files, for editors.

use std::io::Write;
use std::path::PathBuf;

use anyhow::Context as _;
use clap::ValueEnum;
use clap::builder::PossibleValue;
use serde_json::Value;

use crate::config::schema::File;

/// `schema`.
#[derive(Debug, clap::Args)]
pub struct Schema {
    /// Of which file
    #[arg(value_enum, value_name = "FILE", required_unless_present = "into")]
    pub file: Option<File>,
    /// Write it into this folder as FILE.schema.json; without FILE the schemas of all files
    #[arg(long, value_name = "DIR")]
    pub into: Option<PathBuf>,
}

impl ValueEnum for File {
    fn value_variants<'a>() -> &'a [Self] {
        &Self::ALL
    }

    fn to_possible_value(&self) -> Option<PossibleValue> {
        Some(PossibleValue::new(self.as_str()).help(self.describe()))
    }
}

/// Prints or writes schemas. They are JSON whatever `--format` says.
pub fn run(asked: &Schema, out: &mut dyn Write) -> anyhow::Result<u8> {
    let Some(folder) = &asked.into else {
        if let Some(file) = asked.file {
            write!(out, "{}", text(&file.schema())?)?;
        }
        return Ok(0);
    };
    std::fs::create_dir_all(folder)
        .with_context(|| format!("{} cannot be made", folder.display()))?;
    let all = asked
        .file
        .map_or_else(|| File::ALL.to_vec(), |file| vec![file]);
    for file in all {
        let path = folder.join(file.file_name());
        std::fs::write(&path, text(&file.schema())?)
            .with_context(|| format!("{} cannot be written", path.display()))?;
        writeln!(out, "{}", path.display())?;
    }
    Ok(0)
}

fn text(schema: &Value) -> anyhow::Result<String> {
    Ok(serde_json::to_string_pretty(schema)? + "\n")
}
