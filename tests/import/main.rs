//! Imports: other servers' and tools' files in the varieties that they come in, and the command that merges them.

mod cobbler;
mod csv;
mod dhcpd;
mod dnsmasq;
mod files;
mod kea;
mod kvm_mgr;
mod libvirt;
mod merge;
mod mutations;
mod proxmox;
mod shown;
mod support;
