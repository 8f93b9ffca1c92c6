//! Boot files: fetched from servers that behave and that do not, checked, taken out of images, kept.

mod commands;
mod fetching;
mod images;
mod server;
mod signatures;
mod site;
mod values;
