//! What cannot be told from `[[hook]]` alone: whether its secret and its program are there. All of it is
//! a warning: the secret or the program may come later, and machines are served all the same.

use std::path::Path;

use crate::config::problem::Problem;
use crate::config::snapshot::{Hook, HookTarget, Snapshot};
use crate::config::source::Files;

/// The warnings about hooks.
pub fn warnings(files: &dyn Files, snapshot: &Snapshot) -> Vec<Problem> {
    snapshot
        .hooks
        .iter()
        .filter_map(|hook| {
            let problem = warning(files, snapshot, hook)?;
            Some(match hook.span {
                Some(span) => problem.at(span, ""),
                None => problem,
            })
        })
        .collect()
}

fn warning(files: &dyn Files, snapshot: &Snapshot, hook: &Hook) -> Option<Problem> {
    match (&hook.target, &hook.secret) {
        (HookTarget::Url(_), None) => Some(
            Problem::warning("not-signed", format!("what is posted to {hook} is not signed")).help(
                "its receiver cannot tell it from what anybody else posts: write a key into secrets.toml and name it here, `secret = \"hook-key\"`",
            ),
        ),
        (HookTarget::Url(_), Some(name)) if snapshot.secrets.get(None, name).is_none() => Some(
            Problem::warning(
                "no-secret",
                format!("nothing is posted to {hook} until the secret `{name}` is there"),
            )
            .help(match &snapshot.server.secrets {
                Some(file) => format!("add it to {}, among the secrets of all hosts", file.display()),
                None => "add it to the file that [server] secrets names".to_owned(),
            }),
        ),
        (HookTarget::Exec(command), _) => {
            let program = Path::new(command.first()?);
            (!files.is_executable(program)).then(|| {
                Problem::warning(
                    "no-program",
                    format!("{} is no program that can be run here", program.display()),
                )
                .help("bring the file and let the daemon's user run it (chmod 755); until then its events wait")
            })
        }
        (HookTarget::Url(_), Some(_)) => None,
    }
}
