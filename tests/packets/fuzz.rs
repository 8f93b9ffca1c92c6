//! The fuzz targets without a fuzzer: mutations of the corpus, under `cargo test`.
//!
//! A run of the test suite makes the same inputs each time. `BOOTWRIGHT_FUZZ_SECS` is the time for each
//! target of a run that looks further, from another start each time; `BOOTWRIGHT_FUZZ_SEED` repeats one.
//! What behaves in a way that was not seen before is mutated further, so that a run comes deeper the
//! longer it lasts. A finding is made as small as it goes and told in hexadecimal, as a seed is written
//! (fuzz/README.md).

use std::collections::HashSet;
use std::hash::{DefaultHasher, Hasher as _};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use bootwright::base::{Clock as _, SystemClock};
use bootwright::config::Snapshot;
use bootwright::config::snapshot::Mode;
use bootwright::decide::dhcp::{Decision, Outcome};
use bootwright::decide::transfer::exercise::transfer;
use bootwright::decide::{Destination, Known, Stage};
use bootwright::record::InstallState;
use bootwright::serve::boot::exercise::http_request;
use bootwright::wire::dhcp::{MessageType, Request, exercise, overheard};
use bootwright::wire::exercise::frame;
use bootwright::wire::{ndp, tftp};

use super::capture::{Message, folder, read_hex};
use super::oracle;
use super::site::{answer, behind_the_relay, beside, record, snapshot};

/// Inputs for each target where no time is given.
const INPUTS: u64 = 50_000;
/// The most inputs that are kept to be mutated further.
const KEPT: usize = 4_096;
/// The longest input: no datagram that is read has more.
const LONGEST: usize = 4_096;

/// Judges an input: a number for how it was dealt with, or what does not hold.
type Judge<'a> = &'a dyn Fn(&[u8]) -> Result<u64, String>;

/// SplitMix64.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// Below `end`; 0 where there is nothing below it.
    fn below(&mut self, end: usize) -> usize {
        let end = u64::try_from(end.max(1)).expect("a small number");
        usize::try_from(self.next() % end).expect("a small number")
    }

    fn byte(&mut self) -> u8 {
        const OFTEN: [u8; 16] = [0, 1, 2, 3, 4, 5, 6, 7, 16, 17, 52, 63, 127, 128, 254, 255];
        let any = self.next().to_be_bytes()[0];
        if self.below(2) == 0 {
            OFTEN[usize::from(any) % OFTEN.len()]
        } else {
            any
        }
    }

    fn bytes(&mut self, most: usize) -> Vec<u8> {
        let len = self.below(most + 1);
        (0..len).map(|_| self.byte()).collect()
    }

    fn pick<'a, T>(&mut self, from: &'a [T]) -> &'a T {
        &from[self.below(from.len())]
    }
}

/// Changes bytes as such.
fn change_bytes(random: &mut Random, bytes: &mut Vec<u8>, corpus: &[Vec<u8>]) {
    let at = random.below(bytes.len() + 1);
    match random.below(7) {
        0 => {
            if let Some(byte) = bytes.get_mut(at) {
                *byte ^= 1 << random.below(8);
            }
        }
        1 => {
            if let Some(byte) = bytes.get_mut(at) {
                *byte = random.byte();
            }
        }
        2 => {
            let new = random.bytes(12);
            bytes.splice(at..at, new);
        }
        3 => {
            let end = (at + 1 + random.below(12)).min(bytes.len());
            bytes.drain(at.min(end)..end);
        }
        4 => bytes.truncate(at),
        5 => {
            // The beginning of this one, the end of another.
            let other = random.pick(corpus);
            let from = random.below(other.len() + 1);
            bytes.truncate(at);
            bytes.extend_from_slice(&other[from..]);
        }
        _ => {
            let end = (at + random.below(64)).min(bytes.len());
            let part = bytes[at..end].to_vec();
            bytes.splice(at..at, part);
        }
    }
}

/// Changes a message as one: its fields and options.
fn change_message(random: &mut Random, bytes: &mut Vec<u8>, corpus: &[Vec<u8>]) {
    const CODES: [u8; 18] = [
        12, 43, 50, 51, 52, 53, 54, 55, 57, 60, 61, 77, 81, 82, 93, 94, 97, 175,
    ];
    /// `op`, `htype`, `hlen`, the first of `secs`, `flags`, `ciaddr`, `giaddr`, `chaddr`.
    const FIELDS: [(usize, usize); 8] = [
        (0, 1),
        (1, 1),
        (2, 1),
        (8, 2),
        (10, 2),
        (12, 4),
        (24, 4),
        (28, 16),
    ];
    if bytes.len() < 240 {
        return change_bytes(random, bytes, corpus);
    }
    let mut message = Message::read(bytes);
    let at = random.below(message.options.len());
    match random.below(8) {
        0 => {
            let (place, len) = *random.pick(&FIELDS);
            for byte in &mut message.header[place..place + len] {
                *byte = random.byte();
            }
        }
        1 => message
            .options
            .push((*random.pick(&CODES), random.bytes(40))),
        2 if !message.options.is_empty() => {
            message.options.remove(at);
        }
        3 if !message.options.is_empty() => {
            // In two parts, or twice.
            let (code, data) = message.options[at].clone();
            let tail = data[random.below(data.len() + 1)..].to_vec();
            message.options.push((code, tail));
        }
        4 if !message.options.is_empty() => {
            change_bytes(random, &mut message.options[at].1, corpus);
        }
        5 if !message.options.is_empty() => {
            let other = random.below(message.options.len());
            message.options.swap(at, other);
        }
        6 => {
            // An option of another message.
            let other = random.pick(corpus);
            if other.len() > 240 {
                let other = Message::read(other).options;
                if !other.is_empty() {
                    let (code, data) = random.pick(&other).clone();
                    message = message.with(code, &data);
                }
            }
        }
        _ => {
            // The options into `file` and `sname`.
            let moved: Vec<u8> = Message {
                header: Vec::new(),
                options: std::mem::take(&mut message.options),
            }
            .bytes();
            let (file, sname) = moved.split_at(moved.len().min(128));
            message = message
                .header(108, file)
                .header(44, &sname[..sname.len().min(64)]);
            message.options = vec![(52, vec![random.byte()])];
        }
    }
    for (_, data) in &mut message.options {
        data.truncate(255);
    }
    *bytes = message.bytes();
}

type Change = fn(&mut Random, &mut Vec<u8>, &[Vec<u8>]);

/// What a run came to.
struct Run {
    inputs: u64,
    kept: usize,
    /// The input, and what does not hold.
    found: Option<(Vec<u8>, String)>,
}

fn judged(judge: Judge<'_>, bytes: &[u8]) -> Result<u64, String> {
    catch_unwind(AssertUnwindSafe(|| judge(bytes))).unwrap_or_else(|panic| {
        let text = panic.downcast_ref::<String>().cloned();
        let text = text.or_else(|| panic.downcast_ref::<&str>().map(|text| (*text).to_owned()));
        Err(format!("a panic: {}", text.unwrap_or_default()))
    })
}

/// Mutates until something is found, or it is enough.
fn mutate(
    mut corpus: Vec<Vec<u8>>,
    changes: &[Change],
    judge: Judge<'_>,
    seed: u64,
    enough: impl Fn(u64) -> bool,
) -> Run {
    let mut random = Random(seed);
    let mut seen: HashSet<u64> = HashSet::new();
    let mut inputs = 0;
    for bytes in corpus.clone() {
        match judged(judge, &bytes) {
            Ok(way) => seen.insert(way),
            Err(broken) => {
                let found = Some((bytes, broken));
                let kept = corpus.len();
                return Run {
                    inputs,
                    kept,
                    found,
                };
            }
        };
    }
    while !enough(inputs) {
        let mut bytes = random.pick(&corpus).clone();
        for _ in 0..=random.below(4) {
            let change = *random.pick(changes);
            change(&mut random, &mut bytes, &corpus);
        }
        bytes.truncate(LONGEST);
        inputs += 1;
        match judged(judge, &bytes) {
            Ok(way) if seen.insert(way) && corpus.len() < KEPT => corpus.push(bytes),
            Ok(_) => {}
            Err(broken) => {
                let small = shrink(bytes, judge);
                let kept = corpus.len();
                return Run {
                    inputs,
                    kept,
                    found: Some((small, broken)),
                };
            }
        }
    }
    Run {
        inputs,
        kept: corpus.len(),
        found: None,
    }
}

/// The same without what is not needed for it.
fn shrink(mut bytes: Vec<u8>, judge: Judge<'_>) -> Vec<u8> {
    let mut len = bytes.len() / 2;
    while len > 0 {
        let mut at = 0;
        while at + len <= bytes.len() {
            let mut shorter = bytes.clone();
            shorter.drain(at..at + len);
            if judged(judge, &shorter).is_err() {
                bytes = shorter;
            } else {
                at += len;
            }
        }
        len /= 2;
    }
    bytes
}

fn hex(bytes: &[u8]) -> String {
    let pairs: Vec<String> = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
    pairs.join(" ")
}

fn number(name: &str) -> Option<u64> {
    std::env::var(name).ok()?.parse().ok()
}

#[expect(
    clippy::print_stdout,
    reason = "how far a long run came, with --nocapture"
)]
fn run(target: &str, corpus: Vec<Vec<u8>>, changes: &[Change], judge: Judge<'_>) {
    let secs = number("BOOTWRIGHT_FUZZ_SECS");
    // A run of the test suite is the same each time; one that is given time looks further.
    let seed = number("BOOTWRIGHT_FUZZ_SEED")
        .unwrap_or_else(|| secs.map_or(1, |_| SystemClock.now().as_micros().unsigned_abs()));
    let (began, size) = (Instant::now(), corpus.len());
    let enough = |inputs: u64| match secs {
        Some(secs) => inputs.is_multiple_of(64) && began.elapsed() >= Duration::from_secs(secs),
        None => inputs >= INPUTS,
    };
    let ended = mutate(corpus, changes, judge, seed, enough);
    if let Some((bytes, broken)) = ended.found {
        let (input, inputs) = (hex(&bytes), ended.inputs);
        panic!("{target}: {broken}\n{input}\n(input {inputs}, BOOTWRIGHT_FUZZ_SEED={seed})");
    }
    assert!(ended.inputs > 0, "{target}: no time to mutate anything");
    assert!(ended.kept >= size);
    println!(
        "{target}: {} inputs, {} of them in new ways, in {:?}",
        ended.inputs,
        ended.kept - size,
        began.elapsed()
    );
}

fn seeds(path: &Path) -> Vec<Vec<u8>> {
    let files =
        std::fs::read_dir(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    let mut paths: Vec<PathBuf> = files.map(|file| file.expect("a file").path()).collect();
    paths.sort();
    let read = |path: PathBuf| {
        let bytes = std::fs::read(&path).expect("a seed");
        if path.extension().is_some_and(|end| end == "hex") {
            read_hex(&String::from_utf8_lossy(&bytes)).expect("hexadecimal text")
        } else {
            bytes
        }
    };
    paths.into_iter().map(read).collect()
}

fn target(name: &str) -> Vec<Vec<u8>> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    seeds(&root.join("fuzz/seeds").join(name))
}

fn messages() -> Vec<Vec<u8>> {
    [target("dhcp_request"), seeds(&folder())].concat()
}

fn way(of: impl std::hash::Hash) -> u64 {
    let mut hasher = DefaultHasher::new();
    of.hash(&mut hasher);
    hasher.finish()
}

const CHANGES: [Change; 3] = [change_bytes, change_message, change_message];

#[test]
fn requests() {
    run("dhcp_request", messages(), &CHANGES, &|bytes| {
        exercise::dhcp_request(bytes)?;
        // Which options, and roughly how long: what the codecs branch by.
        let read = Request::parse(bytes).map(|request| {
            let options = request.options.iter();
            let shape: Vec<(u8, u32)> = options
                .map(|(code, data)| (u8::from(code), data.len().checked_ilog2().unwrap_or(99)))
                .collect();
            (shape, request.op, request.message_type().map(u8::from))
        });
        Ok(way(read.map_err(|error| error.to_string())))
    });
}

#[test]
fn option_codecs() {
    // Each option of each message, for each codec.
    let mut corpus = target("option_codec");
    for message in messages().iter().filter(|bytes| bytes.len() > 240) {
        for (_, data) in Message::read(message).options {
            for which in 0..exercise::CODECS.len() {
                corpus.push([&[u8::try_from(which).expect("few")], data.as_slice()].concat());
            }
        }
    }
    corpus.sort();
    corpus.dedup();
    run("option_codec", corpus, &[change_bytes], &|bytes| {
        exercise::option_codec(bytes)?;
        let which = bytes
            .first()
            .map(|which| usize::from(*which) % exercise::CODECS.len());
        let (len, first) = (
            bytes.len().checked_ilog2(),
            bytes.get(1..3).map(<[u8]>::to_vec),
        );
        Ok(way((which, len, first)))
    });
}

#[test]
fn frames() {
    let seeds = target("frame");
    assert_eq!(
        seeds.iter().filter(|seed| ndp::read(seed).is_ok()).count(),
        2
    );
    assert_eq!(
        seeds
            .iter()
            .filter_map(|seed| overheard::read(seed))
            .count(),
        1
    );
    let corpus = [seeds, messages()].concat();
    run("frame", corpus, &[change_bytes], &|bytes| {
        frame(bytes)?;
        let router = ndp::read(bytes).map_err(|error| std::mem::discriminant(&error));
        let said = overheard::read(bytes).map(|heard| heard.said as u8);
        let (len, first) = (bytes.len().checked_ilog2(), bytes.first_chunk::<2>());
        Ok(way((router.map(|_| ()), said, len, first)))
    });
}

#[test]
fn boot_plane() {
    run(
        "http_request",
        target("http_request"),
        &[change_bytes],
        &|bytes| {
            http_request(bytes)?;
            let path = bytes
                .split(|byte| *byte == b'\n')
                .next()
                .unwrap_or_default();
            let parts = path.split(|byte| *byte == b'/').map(<[u8]>::len);
            Ok(way(parts.take(6).collect::<Vec<_>>()))
        },
    );
}

#[test]
fn tftp_packets_and_transfers() {
    run("tftp", target("tftp"), &[change_bytes], &|bytes| {
        bootwright::wire::exercise::tftp(bytes)?;
        transfer(bytes)?;
        let read = tftp::Packet::read(bytes).map(|packet| std::mem::discriminant(&packet));
        let (len, first) = (
            bytes.len().checked_ilog2(),
            bytes.get(3..5).map(<[u8]>::to_vec),
        );
        Ok(way((read, len, first)))
    });
}

/// Whole decisions, at home, behind a relay and beside another server, of a host in any state.
#[test]
fn decisions() {
    let sites = [snapshot(), behind_the_relay(), beside()];
    let states = [
        None,
        Some(InstallState::Armed),
        Some(InstallState::Installed),
        Some(InstallState::Failed),
    ];
    run("decisions", messages(), &CHANGES, &|bytes| {
        let Ok(request) = Request::parse(bytes) else {
            return Ok(0);
        };
        let mut ways = Vec::new();
        for site in &sites {
            for state in states {
                let record = state.map(record);
                let known = record.as_ref().map_or(Known::Nothing, Known::Record);
                let decision = answer(bytes, site, known);
                if !matches!(decision.outcome, Outcome::Ignore)
                    && (site.host_by_mac(request.mac).is_none() || request.op != 1)
                {
                    return Err(format!("a stranger is answered: {decision:?}"));
                }
                oracle::judge(&request, &decision)?;
                keeps_out(site, &decision)?;
                ways.push(sizes_hold(&request, &decision)?);
            }
        }
        Ok(way(ways))
    });
}

/// Beside another server no address is given and nothing refused, whatever is asked.
fn keeps_out(site: &Snapshot, decision: &Decision) -> Result<(), String> {
    let Outcome::Send { reply, .. } = &decision.outcome else {
        return Ok(());
    };
    let host = decision.host.as_ref().and_then(|name| site.host(name));
    let gives = host
        .and_then(|host| site.subnets.get(host.subnet))
        .is_some_and(|subnet| subnet.mode == Mode::Authoritative);
    let is_told = reply.yiaddr.is_unspecified() && reply.message_type() == Some(MessageType::Offer);
    if gives || is_told {
        return Ok(());
    }
    Err(format!("a proxy says {reply:?}"))
}

/// A number for how it was answered.
fn sizes_hold(request: &Request, decision: &Decision) -> Result<u64, String> {
    let told = (decision.kind.as_str(), decision.reason.as_str());
    let stage = decision.stage.as_str();
    let Outcome::Send { reply, to, .. } = &decision.outcome else {
        return Ok(way((told, stage)));
    };
    let encoded = reply.encode();
    let most = match reply.message_type() {
        Some(_) => usize::from(request.max_message_size().unwrap_or(576).clamp(576, 1_500)) - 28,
        None => request.len.clamp(300, 548),
    };
    if !(300..=most).contains(&encoded.len()) {
        return Err(format!("{} bytes for {most}", encoded.len()));
    }
    let back = Request::parse(&encoded).map_err(|error| error.to_string())?;
    if decision.stage == Stage::Os && encoded[20..24] != [0; 4] {
        return Err("a system is told a boot server".to_owned());
    }
    let to = match to {
        Destination::Relay(_) => 1,
        Destination::Client(_) => 2,
        Destination::Link { .. } => 3,
        Destination::Broadcast => 4,
        Destination::Both { .. } => 5,
        Destination::Peer(_) => 6,
    };
    let codes: Vec<u8> = back
        .options
        .iter()
        .map(|(code, _)| u8::from(code))
        .collect();
    Ok(way((told, stage, to, codes, reply.left_out())))
}

/// The harness itself: a fault that only a message of a certain make shows is found, made small, and
/// found again by the same seed.
#[test]
fn a_planted_fault_is_found() {
    let panics: Judge<'_> = &|bytes| Ok(u64::from(bytes[0]));
    let broken = judged(panics, &[]).expect_err("a panic is a finding");
    assert!(
        broken.starts_with("a panic: index out of bounds"),
        "{broken}"
    );
    let judge = |bytes: &[u8]| match Request::parse(bytes) {
        // A message whose type lies in `file`, from a machine behind a relay.
        Ok(request)
            if request.options.get(52.into()).is_some()
                && request.message_type().is_some()
                && !request.giaddr.is_unspecified() =>
        {
            Err("planted".to_owned())
        }
        Ok(request) => Ok(way(request.options.iter().count())),
        Err(_) => Ok(0),
    };
    let corpus = || vec![Message::of("udhcpc-discover").bytes()];
    let hunt = || mutate(corpus(), &CHANGES, &judge, 7, |inputs| inputs > 200_000);
    let run = hunt();
    let (bytes, broken) = run.found.expect("found");
    assert_eq!(broken, "planted");
    assert!((240..260).contains(&bytes.len()), "{} bytes", bytes.len());
    let again = hunt();
    assert_eq!(
        (again.inputs, again.found.map(|found| found.0)),
        (run.inputs, Some(bytes))
    );
}
