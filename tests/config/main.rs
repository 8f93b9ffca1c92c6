//! Configurations, good and bad, through the public door: files in, snapshot and problems out.

mod declared;
mod files;
mod good;
mod mistakes;
mod nics;
mod robust;
mod schema;
mod shown;
mod suspicious;
