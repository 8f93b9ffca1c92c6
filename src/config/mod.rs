//! L2, configuration: files → [`Snapshot`].
//!
//! What the operator writes (`written`, values with their places) is kept apart from what is meant
//! ([`snapshot`], checked and indexed). Parsing goes table by table, so that one bad host does not
//! hide the next, and every problem is collected with its place.
//!
//! **Invariant:** checking a configuration touches no network and no global, needs no boot file, and
//! gives the same result on any machine. Unknown keys are errors. Files are read through
//! [`source::Files`] only.

pub mod brought;
mod check;
pub mod diff;
pub mod draft;
pub mod edit;
pub mod explain;
pub mod fetch;
mod hook;
mod index;
pub mod load;
mod merge;
pub mod mirror;
pub mod option_value;
pub mod options;
mod parse;
mod parts;
pub mod problem;
mod profile;
pub mod schema;
pub mod secrets;
pub(crate) mod shipped;
pub mod show;
pub mod signed;
pub mod snapshot;
pub mod source;
pub mod stranger;
mod table;
pub(crate) mod values;
pub mod variables;
mod vars;
pub(crate) mod written;

pub use check::hooks::warnings as hook_warnings;
pub use diff::SnapshotDiff;
pub use load::{LoadedConfig, load};
pub use problem::{Label, Problem, Severity};
pub use secrets::{Secret, Secrets};
pub use snapshot::Snapshot;
pub use source::{Files, SourceId, SourceMap, Span};
