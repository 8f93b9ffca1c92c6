//! The texts that machines get: the shipped templates, hostile values, iPXE scripts, the check.

mod checks;
mod debian;
mod disks;
mod fixture;
mod images;
mod ipxe;
mod layouts;
mod manual;
mod secrets;
mod snippets;
mod templates;
