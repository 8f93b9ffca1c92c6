//! Which ports the rules of this machine's firewall close, as far as they can be read without being the kernel.
//!
//! A packet of a machine that boots is led through the rules: the first of a connection, to one of the ports, from
//! anywhere, on one of the served interfaces. A condition that is not understood may hold or not; a rule with such
//! a one closes nothing here, and opens what it would accept.
//!
//! **Invariant:** a port is told to be closed only when every way through the rules drops the packet.

use serde_json::Value;

use crate::base::Transport;

/// The rules, as programs of the system print them.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum Rules {
    /// There are none.
    #[default]
    None,
    /// `nft --json list ruleset`, and `iptables-legacy-save` where there is one.
    Seen {
        /// JSON; empty: there is no `nft`.
        nft: String,
        /// Lines; empty: there is no such program.
        iptables: String,
    },
    /// They may not be seen: why.
    Unseen(String),
}

/// A port that is closed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Closed {
    /// UDP or TCP.
    pub transport: Transport,
    /// The port.
    pub port: u16,
    /// The chain that drops it, in words.
    pub by: String,
}

/// Deepest call of a chain by another.
const DEEPEST: usize = 16;

impl Rules {
    /// Those of these ports that machines cannot reach on these interfaces; else why nobody can tell.
    pub fn closed(
        &self,
        ports: &[(Transport, u16)],
        interfaces: &[String],
    ) -> Result<Vec<Closed>, String> {
        let chains = self.chains()?;
        let mut closed = Vec::new();
        for (transport, port) in ports {
            let packet = Packet {
                transport: *transport,
                port: *port,
                interfaces,
            };
            let dropped = chains
                .iter()
                .filter(|chain| chain.hook.as_deref() == Some("input"))
                .find(|chain| packet.through(&chains, chain, 0) == Ways::DROPPED);
            if let Some(chain) = dropped {
                closed.push(Closed {
                    transport: *transport,
                    port: *port,
                    by: chain.in_words(),
                });
            }
        }
        Ok(closed)
    }

    /// Whether whatever is forwarded passes; `None`: nobody can tell.
    pub fn forwards(&self) -> Option<bool> {
        let chains = self.chains().ok()?;
        let mut forward = chains
            .iter()
            .filter(|chain| chain.hook.as_deref() == Some("forward"));
        Some(forward.all(|chain| chain.accepts && chain.rules.is_empty()))
    }

    fn chains(&self) -> Result<Vec<Chain>, String> {
        match self {
            Self::None => Ok(Vec::new()),
            Self::Unseen(why) => Err(why.clone()),
            Self::Seen { nft, iptables } => {
                let mut chains = of_nft(nft)?;
                chains.extend(of_iptables(iptables));
                Ok(chains)
            }
        }
    }
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Chain {
    table: String,
    name: String,
    /// Where packets come in, for those that are not called by others.
    hook: Option<String>,
    /// What becomes of those that no rule decides about.
    accepts: bool,
    rules: Vec<Rule>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Rule {
    conditions: Vec<Condition>,
    verdict: Verdict,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Condition {
    /// One of these transports; `None`: another protocol.
    Transport(Vec<Option<Transport>>),
    /// To one of these ports, from and to, or to none of them.
    Port(Vec<(u16, u16)>, bool),
    /// The state of its connection is among these.
    State(Vec<String>),
    /// It came in on one of these interfaces, or on none of them.
    Interface(Vec<String>, bool),
    /// Not understood.
    Other,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Verdict {
    Accept,
    Drop,
    Call(String),
    /// Called, and what comes after it is passed over.
    GoTo(String),
    Return,
    /// Something else happens, such as a count.
    Goes,
    /// Not understood: it may be anything.
    Other,
}

/// What may become of a packet in a chain.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
struct Ways {
    accepted: bool,
    dropped: bool,
    /// It leaves the chain undecided.
    on: bool,
}

impl Ways {
    const ACCEPTED: Self = Self {
        accepted: true,
        dropped: false,
        on: false,
    };
    const DROPPED: Self = Self {
        accepted: false,
        dropped: true,
        on: false,
    };
    const ON: Self = Self {
        accepted: false,
        dropped: false,
        on: true,
    };

    const fn or(self, other: Self) -> Self {
        Self {
            accepted: self.accepted || other.accepted,
            dropped: self.dropped || other.dropped,
            on: self.on || other.on,
        }
    }

    /// Those on which it is decided.
    const fn decided(self) -> Self {
        Self { on: false, ..self }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Holds {
    Yes,
    No,
    Perhaps,
}

impl Chain {
    /// At the end of a chain that nobody calls its policy decides.
    fn ended(&self, ways: Ways) -> Ways {
        match (&self.hook, ways.on, self.accepts) {
            (None, ..) | (_, false, _) => ways,
            (Some(_), true, true) => ways.decided().or(Ways::ACCEPTED),
            (Some(_), true, false) => ways.decided().or(Ways::DROPPED),
        }
    }

    fn in_words(&self) -> String {
        format!("the chain {} of {}", self.name, self.table)
    }
}

struct Packet<'a> {
    transport: Transport,
    port: u16,
    interfaces: &'a [String],
}

impl Packet<'_> {
    /// All that may become of it in a chain and those that it calls.
    fn through(&self, chains: &[Chain], chain: &Chain, depth: usize) -> Ways {
        let mut all = Ways::default();
        for rule in &chain.rules {
            let holds = self.holds(&rule.conditions);
            if holds == Holds::No {
                continue;
            }
            // Where it is not told what happens, it may be let in.
            let (ways, goes_on) = match &rule.verdict {
                Verdict::Accept | Verdict::Other => (Ways::ACCEPTED, false),
                Verdict::Drop => (Ways::DROPPED, false),
                Verdict::Return => (Ways::ON, false),
                Verdict::Goes => (Ways::default(), true),
                Verdict::Call(name) | Verdict::GoTo(name) => {
                    let called = chains
                        .iter()
                        .find(|called| called.table == chain.table && called.name == *name)
                        .filter(|_| depth < DEEPEST);
                    let ways = called.map_or(Ways::ACCEPTED.or(Ways::ON), |called| {
                        self.through(chains, called, depth + 1)
                    });
                    match rule.verdict {
                        Verdict::Call(_) => (ways.decided(), ways.on),
                        _ => (ways, false),
                    }
                }
            };
            all = all.or(ways);
            if holds == Holds::Yes && !goes_on {
                return chain.ended(all);
            }
        }
        chain.ended(all.or(Ways::ON))
    }

    fn holds(&self, conditions: &[Condition]) -> Holds {
        let mut all = Holds::Yes;
        for condition in conditions {
            match self.one_holds(condition) {
                Holds::Yes => {}
                Holds::No => return Holds::No,
                Holds::Perhaps => all = Holds::Perhaps,
            }
        }
        all
    }

    fn one_holds(&self, condition: &Condition) -> Holds {
        let certain = |holds| if holds { Holds::Yes } else { Holds::No };
        match condition {
            Condition::Transport(list) => certain(list.contains(&Some(self.transport))),
            Condition::Port(ranges, is_so) => {
                let within = |(first, last): &(u16, u16)| (*first..=*last).contains(&self.port);
                certain(ranges.iter().any(within) == *is_so)
            }
            Condition::State(states) => certain(states.iter().any(|state| state == "new")),
            Condition::Interface(names, is_so) => {
                // A pattern such as `eth+` may mean them.
                let is = |own: &String| {
                    names.iter().any(|name| {
                        name == own
                            || name
                                .strip_suffix(['+', '*'])
                                .is_some_and(|begins| own.starts_with(begins))
                    })
                };
                let count = self.interfaces.iter().filter(|own| is(own)).count();
                match count {
                    0 => certain(!is_so),
                    count if count == self.interfaces.len() => certain(*is_so),
                    // Of some it holds.
                    _ => Holds::Perhaps,
                }
            }
            Condition::Other => Holds::Perhaps,
        }
    }
}

/// Reads what `nft --json list ruleset` prints (libnftables-json(5)).
fn of_nft(text: &str) -> Result<Vec<Chain>, String> {
    if text.trim().is_empty() {
        return Ok(Vec::new());
    }
    let all: Value =
        serde_json::from_str(text).map_err(|error| format!("nft is not understood: {error}"))?;
    let items = all.get("nftables").and_then(Value::as_array);
    let mut chains: Vec<Chain> = Vec::new();
    let word = |value: &Value, key: &str| value.get(key).and_then(Value::as_str).map(str::to_owned);
    let table_of = |value: &Value| {
        let family = word(value, "family").unwrap_or_default();
        let table = word(value, "table").unwrap_or_default();
        format!("the nftables table {family} {table}")
    };
    // Of other families no IPv4 packet is seen.
    let is_ours = |value: &Value| {
        matches!(
            value.get("family").and_then(Value::as_str),
            Some("ip" | "inet")
        )
    };
    for item in items.into_iter().flatten() {
        if let Some(chain) = item.get("chain").filter(|chain| is_ours(chain)) {
            let is_filter = word(chain, "type").is_none_or(|kind| kind == "filter");
            chains.push(Chain {
                table: table_of(chain),
                name: word(chain, "name").unwrap_or_default(),
                hook: word(chain, "hook").filter(|_| is_filter),
                accepts: word(chain, "policy").is_none_or(|policy| policy == "accept"),
                rules: Vec::new(),
            });
        }
        if let Some(rule) = item.get("rule").filter(|rule| is_ours(rule)) {
            let (table, name) = (table_of(rule), word(rule, "chain").unwrap_or_default());
            let chain = chains
                .iter_mut()
                .find(|chain| chain.table == table && chain.name == name);
            let parts = rule.get("expr").and_then(Value::as_array);
            if let (Some(chain), Some(parts)) = (chain, parts) {
                chain.rules.push(rule_of_nft(parts));
            }
        }
    }
    Ok(chains)
}

fn rule_of_nft(parts: &[Value]) -> Rule {
    let mut conditions = Vec::new();
    let mut verdict = Verdict::Goes;
    for part in parts.iter().filter_map(Value::as_object) {
        for (key, value) in part {
            let to = |verdict: fn(String) -> Verdict| {
                let target = value.get("target").and_then(Value::as_str);
                target.map_or(Verdict::Other, |name| verdict(name.to_owned()))
            };
            match key.as_str() {
                "match" => conditions.extend(conditions_of_nft(value)),
                "counter" | "log" | "comment" | "mangle" => {}
                "accept" => verdict = Verdict::Accept,
                "drop" | "reject" => verdict = Verdict::Drop,
                "jump" => verdict = to(Verdict::Call),
                "goto" => verdict = to(Verdict::GoTo),
                "return" => verdict = Verdict::Return,
                // Limits and the modules of iptables hold or not.
                "limit" | "quota" | "xt" | "ct count" => conditions.push(Condition::Other),
                _ => {
                    conditions.push(Condition::Other);
                    verdict = Verdict::Other;
                }
            }
        }
    }
    Rule {
        conditions,
        verdict,
    }
}

fn conditions_of_nft(value: &Value) -> Vec<Condition> {
    let (Some(left), Some(right)) = (value.get("left"), value.get("right")) else {
        return vec![Condition::Other];
    };
    let is_so = match value.get("op").and_then(Value::as_str) {
        Some("==" | "in") | None => true,
        Some("!=") => false,
        Some(_) => return vec![Condition::Other],
    };
    let at = |path: &[&str]| {
        let found = path.iter().try_fold(left, |value, key| value.get(*key));
        found.and_then(Value::as_str)
    };
    let words = || -> Option<Vec<String>> {
        let list = right
            .get("set")
            .or(Some(right))
            .and_then(Value::as_array)
            .map_or_else(|| vec![right], |list| list.iter().collect());
        list.into_iter()
            .map(|value| value.as_str().map(str::to_owned))
            .collect()
    };
    let transports = |names: Vec<String>| {
        let list = names.iter().map(|name| transport(name)).collect();
        Condition::Transport(list)
    };
    if let (Some(protocol), Some("dport")) =
        (at(&["payload", "protocol"]), at(&["payload", "field"]))
    {
        let Some(ranges) = ranges(right) else {
            return vec![Condition::Other];
        };
        let port = Condition::Port(ranges, is_so);
        return match protocol {
            // Of any protocol with ports.
            "th" => vec![port],
            named => vec![transports(vec![named.to_owned()]), port],
        };
    }
    let condition = match (at(&["meta", "key"]), at(&["ct", "key"])) {
        (Some("l4proto"), _) if is_so => words().map(transports),
        (Some("iifname" | "iif"), _) => words().map(|names| Condition::Interface(names, is_so)),
        (_, Some("state")) if is_so => words().map(Condition::State),
        _ if at(&["payload", "field"]) == Some("protocol") && is_so => words().map(transports),
        _ => None,
    };
    vec![condition.unwrap_or(Condition::Other)]
}

fn transport(name: &str) -> Option<Transport> {
    match name {
        "udp" | "17" => Some(Transport::Udp),
        "tcp" | "6" => Some(Transport::Tcp),
        _ => None,
    }
}

/// Ports as `nft` writes them: one, a range, a set of both.
fn ranges(value: &Value) -> Option<Vec<(u16, u16)>> {
    let port = |value: &Value| u16::try_from(value.as_u64()?).ok();
    if let Some(port) = port(value) {
        return Some(vec![(port, port)]);
    }
    if let Some(range) = value.get("range").and_then(Value::as_array) {
        let (first, last) = (range.first()?, range.get(1)?);
        return Some(vec![(port(first)?, port(last)?)]);
    }
    let set = value.get("set")?.as_array()?;
    let each: Option<Vec<_>> = set.iter().map(ranges).collect();
    Some(each?.concat())
}

/// Reads the filter table that `iptables-save` prints (iptables-save(8)).
fn of_iptables(text: &str) -> Vec<Chain> {
    let mut chains: Vec<Chain> = Vec::new();
    let lines = text
        .lines()
        .skip_while(|line| line.trim() != "*filter")
        .take_while(|line| line.trim() != "COMMIT");
    for line in lines {
        let words = words_of(line);
        let mut words = words.iter().map(String::as_str);
        match words.next() {
            Some(chain) if chain.starts_with(':') => {
                let name = chain.trim_start_matches(':').to_owned();
                let hook = matches!(&*name, "INPUT" | "FORWARD").then(|| name.to_lowercase());
                chains.push(Chain {
                    table: "iptables".to_owned(),
                    hook,
                    name,
                    accepts: words.next() != Some("DROP"),
                    rules: Vec::new(),
                });
            }
            Some("-A") => {
                let name = words.next().unwrap_or_default();
                let chain = chains.iter_mut().find(|chain| chain.name == name);
                if let Some(chain) = chain {
                    chain.rules.push(rule_of_iptables(words));
                }
            }
            _ => {}
        }
    }
    chains
}

/// The words of a line; what stands in quotes is one.
fn words_of(line: &str) -> Vec<String> {
    let mut words = Vec::new();
    let mut word = String::new();
    let (mut quoted, mut escaped) = (false, false);
    for c in line.chars() {
        match c {
            _ if escaped => {
                word.push(c);
                escaped = false;
            }
            '\\' => escaped = true,
            '"' => quoted = !quoted,
            c if c.is_whitespace() && !quoted => {
                if !word.is_empty() {
                    words.push(std::mem::take(&mut word));
                }
            }
            c => word.push(c),
        }
    }
    if !word.is_empty() {
        words.push(word);
    }
    words
}

fn rule_of_iptables<'a>(mut words: impl Iterator<Item = &'a str>) -> Rule {
    let mut conditions = Vec::new();
    let mut verdict = Verdict::Goes;
    let mut is_so = true;
    while let Some(word) = words.next() {
        let mut value = || words.next().unwrap_or_default();
        let list = |text: &str| text.split(',').map(str::to_owned).collect::<Vec<_>>();
        match word {
            "!" => {
                is_so = false;
                continue;
            }
            "-p" if is_so => conditions.push(Condition::Transport(vec![transport(value())])),
            "--dport" | "--dports" => {
                let ranges: Option<Vec<_>> = value()
                    .split(',')
                    .map(|range| {
                        let (first, last) = range.split_once(':').unwrap_or((range, range));
                        Some((first.parse().ok()?, last.parse().ok()?))
                    })
                    .collect();
                let port = ranges.map(|ranges| Condition::Port(ranges, is_so));
                conditions.push(port.unwrap_or(Condition::Other));
            }
            "-i" => conditions.push(Condition::Interface(vec![value().to_owned()], is_so)),
            "--ctstate" | "--state" if is_so => {
                let states = list(&value().to_lowercase());
                conditions.push(Condition::State(states));
            }
            // Named by what follows.
            "-m" => {
                let module = value();
                if !matches!(
                    module,
                    "udp" | "tcp" | "conntrack" | "state" | "multiport" | "comment"
                ) {
                    conditions.push(Condition::Other);
                }
            }
            "--comment" => {
                value();
            }
            "-j" | "-g" => {
                let target = value();
                verdict = match target {
                    "ACCEPT" => Verdict::Accept,
                    "DROP" | "REJECT" => Verdict::Drop,
                    "RETURN" => Verdict::Return,
                    "LOG" | "NFLOG" | "MARK" => Verdict::Goes,
                    chain if word == "-g" => Verdict::GoTo(chain.to_owned()),
                    chain => Verdict::Call(chain.to_owned()),
                };
                // What follows belongs to the verdict.
                break;
            }
            _ => conditions.push(Condition::Other),
        }
        is_so = true;
    }
    Rule {
        conditions,
        verdict,
    }
}

#[cfg(test)]
mod tests;
