//! The importers over files as people have them: what becomes of each, as a snapshot.

mod dhcpd;
mod dnsmasq;
mod files;
mod kea;
mod shown;
