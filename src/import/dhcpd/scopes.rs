//! Scopes of dhcpd.conf and what is set in them.

use std::collections::BTreeMap;

use ipnet::Ipv4Net;

use super::conditions::{Test, recognise};
use super::text::{Statement, Token, is_definition};
use super::values::{self, Target};
use super::{Reader, refused};
use crate::base::{Firmware, GroupName};
use crate::config::draft::GroupDraft;
use crate::import::SubnetDraft;
use crate::import::boot::{self, CHAINLOADING, NEXT_SERVER};
use crate::import::options::{Set, Sets, Value};
use crate::import::place::Place;

/// Why a host or a group has no length of leases.
const LEASE_TIME: &str = "the length of leases is a subnet's: `lease_time` of the [[subnet]]";

/// Which kind of scope a statement stands in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Level {
    Global,
    Shared,
    Subnet,
    Pool,
    Group,
    Host,
}

/// What holds in a scope.
#[derive(Debug, Clone, Default)]
pub(super) struct Scope {
    /// What is set here or further out: what a subnet inherits.
    pub all: Sets,
    /// What is set here.
    pub own: Sets,
    /// The group that its hosts are in.
    pub group: Option<GroupName>,
    /// `default-lease-time`.
    pub lease: Option<u32>,
    /// Whether ranges are for known clients only.
    pub known_only: bool,
    /// The domain that a group around gives.
    pub domain: Option<String>,
    /// The boot file that is set here.
    pub loader: Option<String>,
    /// Sub-options by space and code.
    subs: BTreeMap<(String, u8), Set>,
    /// `vendor-option-space`, and where it stands.
    vendor_space: Option<(String, Place, String)>,
}

impl Scope {
    /// A scope inside of this one.
    pub(super) fn inner(&self) -> Self {
        Self {
            own: Sets::new(),
            loader: None,
            ..self.clone()
        }
    }
}

/// What the branches of a chain of conditions know of who comes there.
#[derive(Debug, Clone, Default)]
struct Branch {
    ipxe: bool,
    firmware: Vec<Firmware>,
}

impl Reader<'_> {
    /// The statements outside of every block.
    pub(super) fn outermost(&mut self, statements: &[Statement]) {
        let mut scope = Scope::default();
        self.parameters(&mut scope, Level::Global, statements);
        self.declarations(&scope, statements);
        if self.gather.subnets() == 0 {
            let leases = statements
                .iter()
                .filter(|statement| statement.keyword() == "default-lease-time");
            for statement in leases {
                self.gather
                    .left(&statement.at, &statement.shown(), LEASE_TIME);
            }
            for set in scope.own.values() {
                self.gather.left(
                    &set.at,
                    &set.what,
                    "there is no subnet in the file to carry it: write it into the [[subnet]] of the hosts, or into `options` of [defaults]",
                );
            }
        }
    }

    /// What the scope itself sets, wherever it stands in it.
    pub(super) fn parameters(&mut self, scope: &mut Scope, level: Level, statements: &[Statement]) {
        scope.own.clear();
        let before = (scope.subs.clone(), scope.vendor_space.clone());
        for statement in statements
            .iter()
            .filter(|statement| statement.body.is_none())
        {
            self.parameter(scope, level, statement);
        }
        if (&scope.subs, &scope.vendor_space) != (&before.0, &before.1) {
            self.encapsulate(scope);
        }
        if let Some((space, at, what)) = &scope.vendor_space
            && scope.vendor_space != before.1
            && !scope.subs.keys().any(|(of, _)| of == space)
        {
            let why = if space.starts_with("pxe") {
                CHAINLOADING
            } else {
                refused::why("vendor-option-space")
            };
            self.gather.left(at, what, why);
        }
    }

    fn parameter(&mut self, scope: &mut Scope, level: Level, statement: &Statement) {
        let keyword = statement.keyword();
        let rest = statement.rest();
        let shown = statement.shown();
        let first = rest.first();
        match keyword.as_str() {
            "option" => self.option(scope, level, statement),
            "default-lease-time"
                if matches!(
                    level,
                    Level::Global | Level::Shared | Level::Subnet | Level::Group
                ) =>
            {
                match first
                    .and_then(values::number)
                    .and_then(|secs| u32::try_from(secs).ok())
                {
                    Some(secs) if secs > 0 => {
                        scope.lease = Some(secs);
                        if level == Level::Group {
                            self.gather.left(&statement.at, &shown, LEASE_TIME);
                        }
                    }
                    _ => self.gather.left(
                        &statement.at,
                        &shown,
                        "a number of seconds is expected: write `lease_time`",
                    ),
                }
            }
            "default-lease-time" => self.gather.left(&statement.at, &shown, LEASE_TIME),
            "next-server" => self.gather.left(&statement.at, &shown, NEXT_SERVER),
            "filename" => match first.and_then(Token::text) {
                Some(file) => self.filename(scope, level, &file, statement),
                None => self
                    .gather
                    .left(&statement.at, &shown, "the path of a file is expected"),
            },
            "allow" | "deny" | "ignore" => self.permission(scope, level, &keyword, statement),
            "boot-unknown-clients" => {
                scope.known_only = first.and_then(values::flag) == Some(false);
                self.gather
                    .left(&statement.at, &shown, refused::why("boot"));
            }
            "vendor-option-space" => match first.and_then(Token::keyword) {
                Some(space) => {
                    scope.vendor_space = Some((space, statement.at.clone(), shown));
                }
                None => self
                    .gather
                    .left(&statement.at, &shown, "the name of a space is expected"),
            },
            "server-name" => self.gather.left(&statement.at, &shown, NEXT_SERVER),
            // What the scopes themselves look at.
            "range" if matches!(level, Level::Subnet | Level::Pool | Level::Shared) => {}
            "hardware" | "fixed-address" | "dynamic" if level == Level::Host => {}
            "match" if level != Level::Host => {}
            _ => self
                .gather
                .left(&statement.at, &shown, refused::why(&keyword)),
        }
    }

    fn option(&mut self, scope: &mut Scope, level: Level, statement: &Statement) {
        let shown = statement.shown();
        let rest = statement.rest();
        let Some(name) = rest.first().and_then(Token::keyword) else {
            self.gather
                .left(&statement.at, &shown, "the name of an option is expected");
            return;
        };
        // Both were taken up before.
        if is_definition(&statement.tokens) || name == "space" && rest.len() > 1 {
            return;
        }
        if level == Level::Pool {
            self.gather.left(
                &statement.at,
                &shown,
                "a pool has no options of its own: write it into `options` of the [[subnet]]",
            );
            return;
        }
        if name.starts_with("ipxe.") || name.starts_with("gpxe.") {
            self.definitions.touch(&name);
            self.gather.left(&statement.at, &shown, CHAINLOADING);
            return;
        }
        let value = rest.get(1..).unwrap_or_default();
        let (target, value) = match self.definitions.value(&name, value, self.bring) {
            Ok(found) => found,
            Err(why) => {
                self.gather.left(&statement.at, &shown, why);
                return;
            }
        };
        let set = Set {
            value,
            force: false,
            at: statement.at.clone(),
            what: shown,
        };
        match target {
            Target::Option(67) => match &set.value {
                Value::Text(file) => {
                    let file = file.clone();
                    self.filename(scope, level, &file, statement);
                }
                _ => self
                    .gather
                    .left(&set.at, &set.what, "the path of a file is expected"),
            },
            Target::Option(code) if boot::is_of_pxe(code, &set.value) => {
                self.gather.left(&set.at, &set.what, CHAINLOADING);
            }
            Target::Option(code) => {
                if matches!(code, 66 | 150) {
                    self.gather.left(
                        &set.at,
                        &set.what,
                        "carried over, for telephones and their like; take it out where it was for booting: machines boot from Bootwright",
                    );
                }
                scope.all.insert(code, set.clone());
                let replaced = scope.own.insert(code, set);
                self.replaced(replaced, statement);
            }
            Target::Sub(space, code) => {
                scope.subs.insert((space, code), set);
            }
        }
    }

    /// Tells what a later statement of the same scope took the place of.
    fn replaced(&mut self, replaced: Option<Set>, by: &Statement) {
        if let Some(set) = replaced {
            let why = format!("line {} sets it again, and the last one counts", by.at.line);
            self.gather.left(&set.at, &set.what, why);
        }
    }

    /// Puts sub-options into the option that holds them.
    fn encapsulate(&mut self, scope: &mut Scope) {
        let mut spaces: Vec<String> = scope.subs.keys().map(|(space, _)| space.clone()).collect();
        spaces.dedup();
        for space in spaces {
            let vendor = scope
                .vendor_space
                .as_ref()
                .is_some_and(|(of, ..)| *of == space);
            let code = if vendor {
                Some(43)
            } else {
                self.definitions.encapsulator(&space)
            };
            let subs: Vec<(u8, Set)> = scope
                .subs
                .iter()
                .filter(|((of, _), _)| *of == space)
                .map(|((_, code), set)| (*code, set.clone()))
                .collect();
            if space.starts_with("pxe") {
                for (_, set) in subs {
                    self.gather.left(&set.at, &set.what, CHAINLOADING);
                }
                scope.subs.retain(|(of, _), _| *of != space);
                continue;
            }
            let Some(code) = code else {
                for (_, set) in subs {
                    self.gather
                        .left(&set.at, &set.what, refused::why("vendor-option-space"));
                }
                scope.subs.retain(|(of, _), _| *of != space);
                continue;
            };
            let mut bytes = Vec::new();
            let mut first: Option<Set> = None;
            for (sub, set) in subs {
                let value = raw(&set.value);
                match value.and_then(|value| Some((u8::try_from(value.len()).ok()?, value))) {
                    Some((len, value)) => {
                        bytes.extend([sub, len]);
                        bytes.extend(value);
                        first.get_or_insert(set);
                    }
                    None => self
                        .gather
                        .left(&set.at, &set.what, "longer than a sub-option may be"),
                }
            }
            for known in self.spaces.iter_mut().filter(|known| known.name == space) {
                known.used = true;
            }
            if let Some(first) = first {
                let set = Set {
                    value: Value::Bytes(bytes),
                    ..first
                };
                scope.all.insert(code, set.clone());
                scope.own.insert(code, set);
            }
        }
    }

    /// A boot file that is set in a scope.
    fn filename(&mut self, scope: &mut Scope, level: Level, file: &str, statement: &Statement) {
        let shown = statement.shown();
        if file.is_empty() {
            self.gather
                .left(&statement.at, &shown, "no boot file: nothing to carry over");
        } else if matches!(level, Level::Host | Level::Group) {
            scope.loader = self.gather.own_loader(file, &statement.at, &shown);
        } else {
            self.network_file(file, &[], &statement.at, &shown);
        }
    }

    /// A boot file for all machines of a network, or those of some firmware.
    fn network_file(&mut self, file: &str, firmware: &[Firmware], at: &Place, shown: &str) {
        let guessed = boot::firmware_of_file(file);
        let firmware = match (firmware, guessed.as_slice()) {
            ([], guessed) => guessed,
            (known, _) => known,
        };
        for firmware in firmware {
            self.gather.loader(*firmware, file, at, shown);
        }
        if firmware.is_empty() {
            let why = match boot::kind(file) {
                boot::Kind::Ipxe | boot::Kind::Script => CHAINLOADING,
                boot::Kind::Other => {
                    "a network has no boot file of its own: machines get iPXE and go on to their profile; a host, a group or [defaults] may name another `loader`"
                }
            };
            self.gather.left(at, shown, why);
        }
    }

    fn permission(
        &mut self,
        scope: &mut Scope,
        level: Level,
        keyword: &str,
        statement: &Statement,
    ) {
        let words: Vec<String> = statement.rest().iter().filter_map(Token::keyword).collect();
        let what = words.first().map(String::as_str).unwrap_or_default();
        let allowed = keyword == "allow";
        let restricted = match (what, allowed) {
            ("unknown-clients" | "unknown", allowed) => {
                scope.known_only = !allowed;
                !allowed
            }
            // A pool lists who may have its addresses; whoever is not listed may not.
            (
                "known-clients" | "known" | "members" | "authenticated" | "unauthenticated"
                | "dynamic" | "after",
                true,
            ) if level == Level::Pool => {
                scope.known_only = true;
                true
            }
            _ => false,
        };
        let why = if restricted {
            "these ranges are for some machines only, and a pool is for all without a reservation: the ranges are left out, and machines get their addresses by reservations"
        } else {
            refused::permission(what)
        };
        self.gather.left(&statement.at, &statement.shown(), why);
    }

    /// The blocks of a scope.
    pub(super) fn declarations(&mut self, scope: &Scope, statements: &[Statement]) {
        // What the branches so far of a chain of conditions have asked.
        let mut chain: Vec<Test> = Vec::new();
        for statement in statements {
            let Some(body) = &statement.body else {
                continue;
            };
            let keyword = statement.keyword();
            match keyword.as_str() {
                "host" => self.host(scope, statement, body),
                "group" => self.group(scope, statement, body),
                "subnet" => self.subnet(scope, statement, body),
                "shared-network" => {
                    self.gather.left(
                        &statement.at,
                        &statement.shown(),
                        refused::why("shared-network"),
                    );
                    let mut inner = scope.inner();
                    inner.group = None;
                    self.parameters(&mut inner, Level::Shared, body);
                    self.declarations(&inner, body);
                    self.ranges(&inner, body);
                }
                "pool" => {
                    let mut inner = scope.inner();
                    self.parameters(&mut inner, Level::Pool, body);
                    self.declarations(&inner, body);
                    self.ranges(&inner, body);
                }
                "if" => {
                    chain.clear();
                    self.condition(
                        statement.rest(),
                        statement,
                        body,
                        &mut chain,
                        &Branch::default(),
                    );
                }
                "elsif" | "else" => {
                    self.condition(
                        statement.rest(),
                        statement,
                        body,
                        &mut chain,
                        &Branch::default(),
                    );
                }
                "class" => self.class(statement, body),
                word => {
                    let why = refused::why(word);
                    self.left_whole(statement, why);
                }
            }
        }
    }

    /// Tells a block and everything in it.
    fn left_whole(&mut self, statement: &Statement, why: &str) {
        let shown = match statement.keyword().as_str() {
            // Keys do not belong into reports.
            "secret" => "secret …".to_owned(),
            _ => statement.shown(),
        };
        self.gather.left(&statement.at, &shown, why);
        for inner in statement.body.iter().flatten() {
            self.left_whole(inner, why);
        }
    }

    fn group(&mut self, scope: &Scope, statement: &Statement, body: &[Statement]) {
        let mut inner = scope.inner();
        let used = holds_hosts(body);
        let level = if used { Level::Group } else { Level::Global };
        self.parameters(&mut inner, level, body);
        let wanted = statement.rest().first().and_then(Token::text);
        self.groups += 1;
        if used {
            let wanted = wanted.unwrap_or_else(|| format!("group-{}", self.groups));
            if let Some(name) = self.gather.group_name(&wanted) {
                let mut draft = GroupDraft::new(name.clone());
                draft.group.clone_from(&scope.group);
                draft.loader = inner.loader.take();
                let own = std::mem::take(&mut inner.own);
                self.gather.options(&mut draft.options, &own);
                if let Some(Value::Text(domain)) = own.get(&15).map(|set| &set.value) {
                    inner.domain = Some(domain.clone());
                }
                if statement.rest().is_empty() {
                    self.gather.left(
                        &statement.at,
                        "group { … }",
                        format!("groups have names here: this one is called `{name}`; give it a better one"),
                    );
                } else if statement.rest().first().and_then(Token::text).as_deref()
                    != Some(name.as_str())
                {
                    self.gather.left(
                        &statement.at,
                        &statement.shown(),
                        format!("the group is called `{name}`"),
                    );
                }
                self.gather.group(draft);
                inner.group = Some(name);
            }
        } else {
            self.gather
                .left(&statement.at, &statement.shown(), refused::why("group"));
        }
        self.declarations(&inner, body);
    }

    fn subnet(&mut self, scope: &Scope, statement: &Statement, body: &[Statement]) {
        let shown = statement.shown();
        let network = match network(statement.rest(), self.bring) {
            Ok(network) => network,
            Err(why) => {
                self.left_whole(statement, &why);
                return;
            }
        };
        if network.prefix_len() == 0 || network.network().is_multicast() {
            self.left_whole(statement, "no network of machines");
            return;
        }
        let mut inner = scope.inner();
        inner.group = None;
        inner.domain = None;
        self.parameters(&mut inner, Level::Subnet, body);
        let Some(name) = self.gather.subnet_name(None, network) else {
            self.left_whole(statement, "its name cannot be made one of ours");
            return;
        };
        let draft = SubnetDraft {
            lease_time: inner.lease,
            ..SubnetDraft::new(name, network)
        };
        if let Some(index) = self.gather.subnet(draft, &statement.at, &shown) {
            self.gather.subnet_options(index, &inner.all);
        } else {
            for set in inner.own.values() {
                self.gather
                    .left(&set.at, &set.what, "its subnet is left out");
            }
        }
        self.ranges(&inner, body);
        self.declarations(&inner, body);
    }

    /// The ranges that stand directly in a block.
    fn ranges(&mut self, scope: &Scope, body: &[Statement]) {
        for statement in body {
            if statement.keyword() != "range" || statement.body.is_some() {
                continue;
            }
            let shown = statement.shown();
            let bootp = Token::Word("dynamic-bootp".to_owned());
            let rest: Vec<Token> = statement
                .rest()
                .iter()
                .filter(|token| **token != bootp)
                .cloned()
                .collect();
            match values::addresses(&rest, self.bring).as_deref() {
                Ok(_) if scope.known_only => self.gather.left(
                    &statement.at,
                    &shown,
                    "for known machines only: give each of them an address by its reservation",
                ),
                Ok([one]) => self.range(*one, *one, statement, &shown),
                Ok([first, last]) => self.range(*first, *last, statement, &shown),
                Ok(_) => self.gather.left(
                    &statement.at,
                    &shown,
                    "the first and the last address are expected",
                ),
                Err(why) => self.gather.left(&statement.at, &shown, why.as_str()),
            }
        }
    }

    fn range(
        &mut self,
        first: std::net::Ipv4Addr,
        last: std::net::Ipv4Addr,
        statement: &Statement,
        shown: &str,
    ) {
        if let Some(subnet) = self.gather.subnet_of(first)
            && let Some(draft) = self.gather.subnet_mut(subnet)
        {
            draft.lease_unknown = true;
        }
        self.gather.range(first, last, &statement.at, shown);
    }

    /// A class: chainloading where it matches what boots from the network, else nothing that there is.
    fn class(&mut self, statement: &Statement, body: &[Statement]) {
        let test = body
            .iter()
            .find(|inner| {
                inner.keyword() == "match"
                    && inner.rest().first().and_then(Token::keyword).as_deref() == Some("if")
            })
            .map(|inner| self.test(inner.rest().get(1..).unwrap_or_default()));
        match test {
            Some(test) if test != Test::Unknown => {
                let branch = branch_of(&test, &Branch::default());
                self.gather
                    .left(&statement.at, &statement.shown(), CHAINLOADING);
                self.branch(body, &branch);
            }
            _ => self.left_whole(statement, refused::why("class")),
        }
    }

    fn test(&mut self, tokens: &[Token]) -> Test {
        for name in tokens.iter().filter_map(Token::keyword) {
            self.definitions.touch(&name);
        }
        let definitions = &self.definitions;
        recognise(tokens, |name| {
            let plain = name.strip_prefix("dhcp.").unwrap_or(name);
            matches!(
                plain,
                "pxe-system-type"
                    | "arch"
                    | "architecture-type"
                    | "client-arch"
                    | "client-architecture"
            ) || definitions.is(plain, 93)
        })
    }

    /// One branch of a chain of conditions.
    fn condition(
        &mut self,
        head: &[Token],
        statement: &Statement,
        body: &[Statement],
        chain: &mut Vec<Test>,
        around: &Branch,
    ) {
        let head = match head {
            [first, rest @ ..] if first.keyword().as_deref() == Some("if") => rest,
            head => head,
        };
        let (test, branch) = if head.is_empty() && statement.keyword() == "else" {
            // What is left after the others: another loader than those, or what is not iPXE.
            let known = chain.iter().any(|test| *test != Test::Unknown);
            let test = if known { Test::Pxe } else { Test::Unknown };
            (
                test,
                Branch {
                    ipxe: false,
                    ..around.clone()
                },
            )
        } else {
            let test = self.test(head);
            let branch = branch_of(&test, around);
            (test, branch)
        };
        chain.push(test.clone());
        if test == Test::Unknown {
            self.left_whole(
                statement,
                "there are no conditions: write what holds for some machines into their hosts or groups",
            );
            return;
        }
        self.gather
            .left(&statement.at, &statement.shown(), CHAINLOADING);
        self.branch(body, &branch);
    }

    /// What stands in a branch for machines that boot from the network.
    fn branch(&mut self, body: &[Statement], branch: &Branch) {
        let mut chain = Vec::new();
        for statement in body {
            let keyword = statement.keyword();
            let shown = statement.shown();
            if let Some(inner) = &statement.body {
                match keyword.as_str() {
                    "if" => {
                        chain.clear();
                        self.condition(statement.rest(), statement, inner, &mut chain, branch);
                    }
                    "elsif" | "else" => {
                        self.condition(statement.rest(), statement, inner, &mut chain, branch);
                    }
                    word => self.left_whole(statement, refused::why(word)),
                }
                continue;
            }
            let name = statement
                .rest()
                .first()
                .and_then(Token::keyword)
                .unwrap_or_default();
            match keyword.as_str() {
                "filename" => match statement.rest().first().and_then(Token::text) {
                    Some(_) if branch.ipxe => self.gather.left(&statement.at, &shown, CHAINLOADING),
                    Some(file) => self.network_file(&file, &branch.firmware, &statement.at, &shown),
                    None => self.gather.left(&statement.at, &shown, "its value is computed, and Bootwright computes none"),
                },
                "next-server" | "server-name" => self.gather.left(&statement.at, &shown, NEXT_SERVER),
                "match" | "vendor-option-space" => self.gather.left(&statement.at, &shown, CHAINLOADING),
                "option" if is_definition(&statement.tokens) || name == "space" => {}
                "option" if is_of_boot(&name) => {
                    self.definitions.touch(&name);
                    self.gather.left(&statement.at, &shown, CHAINLOADING);
                }
                _ => self.gather.left(
                    &statement.at,
                    &shown,
                    "set under a condition, and there are none: write what holds for some machines into their hosts or groups",
                ),
            }
        }
    }
}

/// Whether an option is one of network boot, which Bootwright gives by itself.
fn is_of_boot(name: &str) -> bool {
    matches!(
        name,
        "vendor-class-identifier"
            | "vendor-encapsulated-options"
            | "bootfile-name"
            | "tftp-server-name"
    ) || name.starts_with("ipxe.")
        || name.starts_with("gpxe.")
        || name.starts_with("pxe.")
        || name.starts_with("pxe-")
}

fn branch_of(test: &Test, around: &Branch) -> Branch {
    match test {
        Test::Ipxe => Branch {
            ipxe: true,
            ..around.clone()
        },
        Test::Arch(numbers) => {
            let mut firmware: Vec<Firmware> = numbers
                .iter()
                .filter_map(|number| boot::firmware(*number))
                .collect();
            firmware.sort_unstable();
            firmware.dedup();
            Branch {
                firmware,
                ..around.clone()
            }
        }
        Test::Pxe | Test::Http | Test::Unknown => around.clone(),
    }
}

/// Whether hosts stand in a block, other than in subnets.
fn holds_hosts(body: &[Statement]) -> bool {
    body.iter().any(
        |statement| match (&statement.body, statement.keyword().as_str()) {
            (Some(_), "host") => true,
            (Some(inner), "group") => holds_hosts(inner),
            _ => false,
        },
    )
}

/// `10.0.0.0 netmask 255.255.255.0`.
fn network(tokens: &[Token], bring: &dyn crate::import::Bring) -> Result<Ipv4Net, String> {
    let [address, word, mask] = tokens else {
        return Err("`subnet ADDRESS netmask MASK` is expected".to_owned());
    };
    if word.keyword().as_deref() != Some("netmask") {
        return Err("`subnet ADDRESS netmask MASK` is expected".to_owned());
    }
    let address = values::address(&address.text().unwrap_or_default(), bring)?;
    let mask = values::address(&mask.text().unwrap_or_default(), bring)?;
    let net = Ipv4Net::with_netmask(address, mask)
        .map_err(|_| format!("{mask} is no mask of a network"))?;
    if net.trunc() != net {
        return Err(format!(
            "{address} is no network of the mask {mask}: {} would be",
            net.trunc().network()
        ));
    }
    Ok(net)
}

/// The bytes of a sub-option.
fn raw(value: &Value) -> Option<Vec<u8>> {
    Some(match value {
        Value::Bytes(bytes) => bytes.clone(),
        Value::Text(text) => text.clone().into_bytes(),
        Value::Ips(ips) => ips.iter().flat_map(|ip| ip.octets()).collect(),
        Value::Flag(flag) => vec![u8::from(*flag)],
        Value::Number(_) => return None,
        Value::Names(names) => {
            crate::wire::dhcp::options::domain_search(names.iter().map(String::as_str))
        }
    })
}
