//! What the operator wrote, file by file: values with their places, nothing merged, nothing looked up.

pub(crate) mod declared;
pub(crate) mod fetch;
pub(crate) mod hook;
pub(crate) mod hosts;
pub(crate) mod mirror;
pub(crate) mod options;
pub(crate) mod profile;
pub(crate) mod san;
pub(crate) mod secrets;
pub(crate) mod server;

use super::source::Span;

/// A value and where it stands.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Written<T> {
    /// The value.
    pub value: T,
    /// Where it stands.
    pub span: Span,
}
