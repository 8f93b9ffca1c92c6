//! The texts that machines get: the shipped templates, hostile values, iPXE scripts, the check.

mod checks;
mod compare;
mod debian;
mod disks;
mod fixture;
#[allow(dead_code, reason = "the range of hosts is shared with the validators")]
#[path = "../validators/hosts.rs"]
mod hosts;
mod images;
mod ipxe;
mod layouts;
mod loaders;
mod manual;
mod mentions;
#[allow(
    dead_code,
    reason = "the list of profiles is shared with the validators"
)]
#[path = "../validators/profiles.rs"]
mod profiles;
mod secrets;
mod snippets;
mod templates;
