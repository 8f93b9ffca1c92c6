//! The values of variables that boot files are brought for.
//!
//! **Invariant:** a [`Fetch`] is expanded for bringing only by what [`choose`] gives: each variable that it holds has a
//! value, and one that leads nowhere else.

use std::collections::{BTreeMap, BTreeSet};

use super::AssetError;
use crate::config::fetch::{Fetch, Values};
use crate::config::snapshot::{Host, Profile};
use crate::config::variables::for_fetching;
use crate::render::load::InForce;

/// What is given for the variables that a `[fetch]` holds.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Given {
    /// The values.
    pub values: Values,
    /// The first host that has them so; `None`: the profile alone gives them.
    pub host: Option<String>,
}

/// What the hosts of a profile give, each of it once; without hosts what the profile does.
pub fn given(config: &InForce, profile: &Profile) -> Vec<Given> {
    let names = variables(profile);
    if names.is_empty() {
        return vec![Given::default()];
    }
    let hosts = config.snapshot.hosts().iter();
    let mut of_hosts: BTreeMap<Values, &Host> = BTreeMap::new();
    for host in hosts.filter(|host| host.profile.as_ref() == Some(&profile.name)) {
        let values = of(config, profile, Some(host), &names);
        of_hosts.entry(values).or_insert(host);
    }
    if of_hosts.is_empty() {
        return vec![Given {
            values: of(config, profile, None, &names),
            host: None,
        }];
    }
    of_hosts
        .into_iter()
        .map(|(values, host)| Given {
            values,
            host: Some(host.name.to_string()),
        })
        .collect()
}

/// What is given for one image: what the profile says itself goes first, for by its name the image is known.
pub fn given_for_image(config: &InForce, profile: &Profile) -> Vec<Given> {
    let names = variables(profile);
    let own = of(config, profile, None, &names);
    if names.iter().all(|name| own.contains_key(name)) {
        return vec![Given {
            values: own,
            host: None,
        }];
    }
    let mut all = given(config, profile);
    for one in &mut all {
        one.values.extend(own.clone());
    }
    all
}

fn variables(profile: &Profile) -> BTreeSet<String> {
    let fetch = profile.fetch.as_ref();
    fetch.map(|fetch| fetch.variables()).unwrap_or_default()
}

/// The values of the variables with these names.
fn of(
    config: &InForce,
    profile: &Profile,
    host: Option<&Host>,
    names: &BTreeSet<String>,
) -> Values {
    let mut values = for_fetching(&config.snapshot, profile, host);
    values.retain(|name, _| names.contains(name));
    values
}

/// Whether a value may become a part of paths, of addresses and of names of packages.
pub fn fits(value: &str) -> bool {
    let may_stand = |c: char| c.is_ascii_alphanumeric() || "._+-".contains(c);
    !value.is_empty() && value.chars().all(may_stand) && !value.contains("..")
}

/// The values that the boot files `name` are brought for: what is given, below what was `named` for this time. With
/// `only_one` they come from a place that has the files of one value only.
pub fn choose(
    name: &str,
    fetch: &Fetch,
    mut given: Vec<Given>,
    named: &[(String, String)],
    only_one: bool,
) -> Result<Vec<Values>, AssetError> {
    let name = name.to_owned();
    let variables = fetch.variables();
    if let Some((other, _)) = named.iter().find(|(other, _)| !variables.contains(other)) {
        let variable = other.clone();
        return Err(AssetError::NoVariable { name, variable });
    }
    for one in &mut given {
        one.values.extend(named.iter().cloned());
    }
    for variable in variables {
        let Some(lacking) = given.iter().find(|one| !one.values.contains_key(&variable)) else {
            continue;
        };
        let others_have = given.iter().any(|one| one.values.contains_key(&variable));
        let host = lacking.host.clone().filter(|_| others_have);
        return Err(AssetError::NoValue {
            name,
            variable,
            host,
        });
    }
    for one in &given {
        if let Some((variable, value)) = one.values.iter().find(|(_, value)| !fits(value)) {
            let whose = match &one.host {
                Some(host) => format!("the host {host}"),
                None => format!("the profile {name}"),
            };
            return Err(AssetError::BadValue {
                name,
                variable: variable.clone(),
                value: value.clone(),
                whose,
            });
        }
    }
    if let ([first, rest @ ..], true) = (given.as_slice(), only_one) {
        for (variable, value) in &first.values {
            let other = rest
                .iter()
                .find_map(|one| Some((one, one.values.get(variable).filter(|has| *has != value)?)));
            let Some((one, other)) = other else { continue };
            let told = |one: &Given, value: &str| match &one.host {
                Some(host) => format!("{value} for {host}"),
                None => value.to_owned(),
            };
            return Err(AssetError::SeveralValues {
                name,
                variable: variable.clone(),
                first: told(first, value),
                second: told(one, other),
            });
        }
    }
    let mut chosen: Vec<Values> = given.into_iter().map(|one| one.values).collect();
    chosen.sort();
    chosen.dedup();
    Ok(chosen)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::fetch::FetchFile;

    fn fetch() -> Fetch {
        Fetch {
            files: vec![FetchFile {
                path: "os/{{ vars.release }}/linux".to_owned(),
                ..FetchFile::default()
            }],
            ..Fetch::default()
        }
    }

    fn has(host: &str, release: Option<&str>) -> Given {
        let value = release.map(|release| ("release".to_owned(), release.to_owned()));
        Given {
            values: value.into_iter().collect(),
            host: Some(host.to_owned()),
        }
    }

    fn chosen(given: &[Given], named: &[(&str, &str)], only_one: bool) -> Result<String, String> {
        let named: Vec<(String, String)> = named
            .iter()
            .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
            .collect();
        let chosen = choose("os", &fetch(), given.to_vec(), &named, only_one);
        let chosen = chosen.map_err(|error| error.to_string())?;
        let releases: Vec<&str> = chosen
            .iter()
            .map(|values| values["release"].as_str())
            .collect();
        Ok(releases.join(" "))
    }

    #[test]
    fn each_value_counts_once_and_what_is_named_goes_first() {
        let hosts = [has("a", Some("43")), has("b", Some("42"))];
        assert_eq!(chosen(&hosts, &[], false).unwrap(), "42 43");
        let named = [("release", "44")];
        assert_eq!(chosen(&hosts, &named, false).unwrap(), "44");
        assert_eq!(chosen(&hosts, &named, true).unwrap(), "44");
        assert_eq!(chosen(&hosts[..1], &[], true).unwrap(), "43");
    }

    #[test]
    fn one_place_has_the_files_of_one_value() {
        let hosts = [has("a", Some("43")), has("b", Some("42"))];
        let error = chosen(&hosts, &[], true).unwrap_err();
        assert!(
            error.contains("43 for a and 42 for b") && error.contains("--var release=…"),
            "{error}"
        );
    }

    #[test]
    fn whoever_lacks_a_value_is_told() {
        let some = [has("a", Some("43")), has("b", None)];
        let error = chosen(&some, &[], false).unwrap_err();
        assert!(
            error.contains("Some hosts with this profile") && error.contains("such as b:"),
            "{error}"
        );
        let error = chosen(&some[1..], &[], false).unwrap_err();
        assert!(error.contains("No host with this profile has"), "{error}");
    }

    #[test]
    fn a_value_that_leads_elsewhere_is_refused() {
        for value in [
            "../../../escaped",
            "a/b",
            "",
            "..",
            "a b",
            "43?x",
            "{{ x }}",
        ] {
            let error = chosen(&[has("a", Some(value))], &[], false).unwrap_err();
            let told = format!("{value:?} cannot stand in the paths of os: the host a has it");
            assert!(error.contains(&told), "{error}");
        }
        let alone = Given {
            host: None,
            ..has("", Some("a/b"))
        };
        let error = chosen(&[alone], &[], false).unwrap_err();
        assert!(error.contains("the profile os has it"), "{error}");
        let good = "v1.11.5+k-s_1";
        assert_eq!(chosen(&[has("a", Some(good))], &[], false).unwrap(), good);
    }

    #[test]
    fn a_variable_that_changes_nothing_is_refused() {
        let error = chosen(&[has("a", Some("43"))], &[("relase", "42")], false).unwrap_err();
        assert!(error.contains("do not depend on a variable `relase`"));
    }
}
