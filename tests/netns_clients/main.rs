//! Real clients against the real daemon: busybox udhcpc, ISC dhclient, curl,
//! busybox wget; dnsmasq beside it. Each test has two network
//! namespaces of its own, joined by a cable; `make test` runs them, as root or in a user namespace.

mod beside;
mod dhcp;
mod discovery;
mod files;
mod harness;
mod pool;
mod reports;
mod unknown;
