//! The secrets of each host, held against the hosts that there are.

use crate::base::{HostName, suggest};
use crate::config::problem::Problem;
use crate::config::secrets::Secrets;
use crate::config::written::secrets::SecretsFile;

/// Puts the secrets together. `hosts` is `None` where not all of them could be read.
pub(super) fn secrets(
    file: SecretsFile,
    hosts: Option<&[HostName]>,
    problems: &mut Vec<Problem>,
) -> Secrets {
    let mut secrets = Secrets::default();
    for host in &file.hosts {
        let Some(hosts) = hosts else { break };
        if hosts.contains(&host.value) {
            continue;
        }
        let nearest = suggest::nearest(host.value.as_str(), hosts.iter().map(HostName::as_str));
        let help = match nearest {
            Some(nearest) => format!("did you mean [hosts.{nearest}]?"),
            None => format!(
                "add [hosts.{}] to the reservations, or take its secrets out",
                host.value
            ),
        };
        let message = format!("there is no host `{}` to have secrets", host.value);
        problems.push(
            Problem::error("unknown-host", message)
                .at(host.span, "not in the reservations")
                .help(help),
        );
    }
    for entry in file.entries {
        secrets.insert(entry.host.as_ref(), entry.name, entry.secret);
    }
    if file.unsure {
        secrets.not_all_read();
    }
    secrets
}
