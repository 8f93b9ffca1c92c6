//! L7, the command line: what people type. Only this layer prints.

pub mod check;
pub mod output;
pub mod render;
