//! `reservations`.

use super::json::{Json, Node};
use super::{Reader, refused};
use crate::base::HardwareAddr;
use crate::config::draft::HostDraft;
use crate::import::place::shortened;

impl Reader {
    pub(super) fn reservation(&mut self, reservation: &Node) {
        let place = self.place(reservation.line);
        let text = |key: &str| {
            reservation
                .get(key)
                .and_then(Node::text)
                .map(str::trim)
                .filter(|text| !text.is_empty())
                .map(str::to_owned)
        };
        let mac: Option<HardwareAddr> = text("hw-address").and_then(|mac| mac.parse().ok());
        let ip: Option<std::net::Ipv4Addr> = text("ip-address").and_then(|ip| ip.parse().ok());
        let what = format!("reservation {}", super::inner(reservation));
        let wanted = match (text("hostname"), ip, mac) {
            (Some(name), ..) => name,
            (None, Some(ip), _) => format!("host-{}", ip.to_string().replace('.', "-")),
            (None, None, Some(mac)) => format!("host-{}", mac.dashed()),
            (None, None, None) => {
                self.gather.left(
                    &place,
                    &what,
                    "no MAC address, no name and no address: a machine is known by its MAC addresses",
                );
                return;
            }
        };
        let (name, fqdn) = self.gather.host_name(&place, &wanted);
        let Some(name) = name else {
            self.gather
                .left(&place, &what, "its name cannot be made one of ours");
            return;
        };
        if text("hostname").is_none() {
            self.gather.left(
                &place,
                &what,
                format!("without a name: it is called `{name}`"),
            );
        }
        let mut draft = HostDraft::new(name);
        draft.fqdn = fqdn;
        draft.ip = ip;
        draft.macs.extend(mac);
        for entry in reservation.entries() {
            match entry.key.as_str() {
                "hostname" | "client-classes" => {}
                "hw-address" if mac.is_some() || entry.node.is_empty() => {}
                "hw-address" => self.tell(
                    entry,
                    "a MAC address has six bytes: only Ethernet boots here",
                ),
                "ip-address" if ip.is_some() || entry.node.is_empty() => {}
                "ip-address" => self.tell(entry, "an address of IPv4 is expected"),
                "option-data" => {
                    let sets = self.options(&entry.node);
                    self.gather.options(&mut draft.options, &sets);
                }
                "boot-file-name" => {
                    let file = entry.node.text().unwrap_or_default().to_owned();
                    if !file.is_empty() {
                        let place = self.place(entry.line);
                        draft.loader = self.gather.own_loader(
                            &file,
                            &place,
                            &format!("boot-file-name: {file}"),
                        );
                    }
                }
                "next-server" | "server-hostname" => self.server(entry),
                "comment" => add_note(&mut draft.notes, entry.node.text().unwrap_or_default()),
                "user-context" => {
                    let note = match entry.node.get("comment").and_then(Node::text) {
                        Some(comment) if entry.node.entries().len() == 1 => comment.to_owned(),
                        _ => super::inner(&entry.node),
                    };
                    add_note(&mut draft.notes, &note);
                }
                _ => self.refuse(entry),
            }
        }
        self.classes_of(reservation, &mut draft);
        if draft.macs.is_empty() {
            let why = format!(
                "without a MAC address: the name is held, and `bootwright bind {} MAC` gives it one",
                draft.name
            );
            self.gather.left(&place, &what, why);
        }
        self.gather.host(draft, place, what);
    }

    /// The first class is the host's group; of others the host has what they give.
    fn classes_of(&mut self, reservation: &Node, draft: &mut HostDraft) {
        let Some(list) = reservation
            .entries()
            .iter()
            .find(|entry| entry.key == "client-classes")
        else {
            return;
        };
        let named: Vec<&Node> = list.node.elements().iter().collect();
        for node in named {
            let place = self.place(node.line);
            let Json::Text(name) = &node.value else {
                self.gather
                    .left(&place, &node.shown(), "the name of a class is expected");
                continue;
            };
            let Some(class) = self.classes.get(name).cloned() else {
                self.gather.left(
                    &place,
                    &format!("client-class {name}"),
                    refused::why("client-class"),
                );
                continue;
            };
            if draft.group.is_none() {
                draft.group = class.group;
                continue;
            }
            self.gather.options(&mut draft.options, &class.sets);
            draft.loader = draft.loader.take().or(class.loader);
            let why = "a host is in one group: what the class gives is in the host itself";
            self.gather
                .left(&place, &format!("client-class {name}"), why);
        }
    }
}

fn add_note(notes: &mut Option<String>, note: &str) {
    let note = shortened(note);
    if note.is_empty() {
        return;
    }
    *notes = Some(match notes.take() {
        Some(before) => format!("{before}; {note}"),
        None => note,
    });
}
