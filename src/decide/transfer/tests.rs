use super::link::{Came, Habits, Random, Weather, fetch};
use super::*;
use proptest::prelude::*;

const CAPS: Caps = Caps {
    blksize: 1_468,
    windowsize: 64,
};

const fn ms(ms: u64) -> Duration {
    Duration::from_millis(ms)
}

fn asks(blksize: Option<u16>, windowsize: Option<u16>) -> Options {
    Options {
        blksize,
        windowsize,
        ..Options::default()
    }
}

fn habits(options: Options) -> Habits {
    Habits {
        options,
        chatty: false,
        timeout: ms(1_000),
        patience: 20,
    }
}

fn file(len: usize) -> Vec<u8> {
    let mut random = Random(7);
    let words = std::iter::from_fn(|| Some(random.next().to_be_bytes()));
    words.flatten().take(len).collect()
}

/// On these terms, with this file all there.
fn transfer(options: Options, size: usize) -> Transfer {
    let terms = Terms::agree(&options, CAPS, u64::try_from(size).ok());
    let mut transfer = Transfer::new(terms, ms(0));
    transfer.supply(&file(size));
    transfer.supply(&[]);
    transfer
}

/// What it sends now: block numbers, `None` for what is no block.
fn sends(transfer: &mut Transfer, now: Duration) -> Vec<Option<u16>> {
    let mut all = Vec::new();
    let mut buffer = Vec::new();
    while let Some(batch) = transfer.poll_transmit(now, &mut buffer) {
        for packet in buffer.chunks(batch.segment) {
            all.push(match Packet::read(packet) {
                Ok(Packet::Data(number, _)) => Some(number),
                _ => None,
            });
        }
        buffer.clear();
    }
    all
}

fn some(numbers: impl IntoIterator<Item = u16>) -> Vec<Option<u16>> {
    numbers.into_iter().map(Some).collect()
}

fn ack(transfer: &mut Transfer, now: Duration, number: u16) {
    transfer.on_packet(now, &Packet::Ack(number).bytes());
}

fn error(transfer: &mut Transfer, now: Duration, code: u16, text: &str) {
    let packet = Packet::Error(ErrorCode::of(code), text.as_bytes());
    transfer.on_packet(now, &packet.bytes());
}

#[test]
fn options_are_capped_and_only_granted_when_asked_for() {
    let agree = |options: Options| Terms::agree(&options, CAPS, Some(10_000)).granted;
    assert!(agree(Options::default()).is_empty());
    let all = Options {
        blksize: Some(65_464),
        timeout: Some(3),
        tsize: Some(0),
        windowsize: Some(65_535),
    };
    assert_eq!(
        agree(all),
        Options {
            blksize: Some(1_468),
            timeout: Some(3),
            tsize: Some(10_000),
            windowsize: Some(64),
        }
    );
    let long = Options {
        timeout: Some(11),
        ..Options::default()
    };
    assert!(agree(long).is_empty());
    // The size of a script is not known before it is made.
    assert_eq!(Terms::agree(&all, CAPS, None).granted.tsize, None);
    let terms = Terms::agree(&Options::default(), CAPS, None);
    assert_eq!((terms.blksize, terms.windowsize), (512, 1));
}

#[test]
fn lockstep_without_options() {
    let mut it = transfer(Options::default(), 1_024);
    assert!(it.is_agreed() && !it.is_heard());
    assert_eq!(sends(&mut it, ms(0)), some([1]));
    assert_eq!(sends(&mut it, ms(0)), []);
    ack(&mut it, ms(1), 1);
    assert_eq!(sends(&mut it, ms(1)), some([2]));
    ack(&mut it, ms(2), 2);
    // A file of whole blocks ends with an empty one.
    assert_eq!(sends(&mut it, ms(2)), some([3]));
    assert_eq!((it.sent_out(), it.end()), (Some(1_024), None));
    ack(&mut it, ms(3), 3);
    assert_eq!(it.end(), Some(&End::Done));
    assert_eq!((it.acknowledged(), it.resent()), (1_024, 0));
    assert_eq!((sends(&mut it, ms(3)), it.poll_timeout()), (vec![], None));
}

#[test]
fn what_was_acknowledged_already_sends_nothing() {
    let mut it = transfer(Options::default(), 5_000);
    sends(&mut it, ms(0));
    ack(&mut it, ms(1), 1);
    assert_eq!(sends(&mut it, ms(1)), some([2]));
    for number in [1, 1, 0, 3, 9, 65_535] {
        ack(&mut it, ms(20), number);
        assert_eq!(sends(&mut it, ms(20)), [], "ACK {number}");
    }
}

#[test]
fn a_window_goes_at_once_and_a_gap_is_sent_from_at_once() {
    let mut it = transfer(asks(Some(1_000), Some(4)), 20_000);
    assert_eq!(sends(&mut it, ms(0)), [None]);
    ack(&mut it, ms(1), 0);
    assert_eq!(sends(&mut it, ms(1)), some(1..=4));
    ack(&mut it, ms(2), 4);
    assert_eq!(sends(&mut it, ms(2)), some(5..=8));
    // 7 was lost.
    ack(&mut it, ms(3), 6);
    assert_eq!(sends(&mut it, ms(3)), some(7..=10));
    assert_eq!(it.resent(), 2);
    ack(&mut it, ms(4), 10);
    assert_eq!(sends(&mut it, ms(4)), some(11..=14));
    // 11 was lost: the client says the same once more.
    ack(&mut it, ms(5), 10);
    assert_eq!(sends(&mut it, ms(5)), some(11..=14));
    // And again for each block behind the gap: that is known by now.
    for _ in 0..3 {
        ack(&mut it, ms(6), 10);
        assert_eq!(sends(&mut it, ms(6)), []);
    }
    ack(&mut it, ms(7), 14);
    assert_eq!(sends(&mut it, ms(7)), some(15..=18));
}

#[test]
fn a_copy_of_the_acknowledgement_that_opened_a_window_sends_nothing() {
    let mut it = transfer(asks(None, Some(4)), 20_000);
    sends(&mut it, ms(0));
    ack(&mut it, ms(10), 0);
    assert_eq!(sends(&mut it, ms(10)), some(1..=4));
    ack(&mut it, ms(12), 0);
    assert_eq!(sends(&mut it, ms(12)), []);
}

#[test]
fn what_is_lost_is_repeated_after_a_time_of_the_round_trips_kind() {
    let mut it = transfer(asks(None, Some(2)), 20_000);
    sends(&mut it, ms(0));
    ack(&mut it, ms(1), 0);
    sends(&mut it, ms(1));
    assert_eq!(it.poll_timeout(), Some(ms(51)));
    it.on_time(ms(50));
    assert_eq!(sends(&mut it, ms(50)), []);
    it.on_time(ms(51));
    assert_eq!(sends(&mut it, ms(51)), some(1..=2));
    assert_eq!(it.poll_timeout(), Some(ms(151)));
    ack(&mut it, ms(60), 2);
    sends(&mut it, ms(60));
    assert_eq!(it.poll_timeout(), Some(ms(110)));
}

#[test]
fn a_forged_request_gets_few_packets_and_is_soon_forgotten() {
    for options in [Options::default(), asks(Some(1_468), Some(64))] {
        let mut it = transfer(options, 1_000_000);
        let mut sent = sends(&mut it, ms(0)).len();
        let mut now = ms(0);
        while let Some(due) = it.poll_timeout() {
            now = due;
            it.on_time(now);
            sent += sends(&mut it, now).len();
        }
        assert_eq!(it.end(), Some(&End::Silent));
        assert_eq!(sent, usize::try_from(FIRST_SENDS).unwrap());
        assert!(now <= ms(6_000), "{now:?}");
    }
}

#[test]
fn a_client_that_falls_silent_is_given_up() {
    for (timeout, most) in [(None, 13), (Some(2), 13), (Some(10), 61)] {
        let options = Options {
            timeout,
            windowsize: Some(16),
            ..Options::default()
        };
        let mut it = transfer(options, 1_000_000);
        sends(&mut it, ms(0));
        ack(&mut it, ms(1), 0);
        let mut sent = sends(&mut it, ms(1)).len();
        let mut now = ms(1);
        while let Some(due) = it.poll_timeout() {
            now = due;
            it.on_time(now);
            sent += sends(&mut it, now).len();
        }
        assert_eq!(it.end(), Some(&End::Silent));
        assert!(
            now >= PATIENCE && now < Duration::from_secs(most),
            "{now:?}"
        );
        assert!(sent <= 12 * 16, "{sent}");
    }
}

#[test]
fn a_clients_error_ends_it_at_once() {
    // A size probe.
    let probe = Options {
        tsize: Some(0),
        ..Options::default()
    };
    let mut it = transfer(probe, 5_000);
    assert_eq!(sends(&mut it, ms(0)), [None]);
    error(&mut it, ms(1), 8, "User aborted the transfer");
    assert_eq!(it.end(), Some(&End::Probed));
    assert_eq!((sends(&mut it, ms(1)), it.poll_timeout()), (vec![], None));

    // The options are not to its liking.
    let mut it = transfer(asks(Some(1_400), None), 5_000);
    sends(&mut it, ms(0));
    error(&mut it, ms(1), 8, "no\0");
    let no = End::Aborted(ErrorCode::OptionRefused, "no".to_owned());
    assert_eq!(it.end(), Some(&no));

    let mut it = transfer(probe, 5_000);
    sends(&mut it, ms(0));
    ack(&mut it, ms(1), 0);
    sends(&mut it, ms(1));
    error(&mut it, ms(2), 3, "disk full\u{1b}");
    let full = End::Aborted(ErrorCode::DiskFull, "disk full\u{fffd}".to_owned());
    assert_eq!(it.end(), Some(&full));
    assert_eq!((sends(&mut it, ms(2)), it.wants()), (vec![], 0));
}

#[test]
fn a_closed_port_ends_it() {
    let mut probed = transfer(
        Options {
            tsize: Some(0),
            ..Options::default()
        },
        100,
    );
    sends(&mut probed, ms(0));
    probed.on_refused();
    assert_eq!(probed.end(), Some(&End::Probed));
    let mut gone = transfer(Options::default(), 100);
    sends(&mut gone, ms(0));
    gone.on_refused();
    assert_eq!((gone.end(), gone.sent_out()), (Some(&End::Gone), Some(100)));
    assert!(!gone.is_heard());
}

#[test]
fn a_file_is_presumed_whole_once_some_of_it_was_acknowledged_and_all_was_sent() {
    // One window has it all.
    let mut it = transfer(asks(None, Some(4)), 1_500);
    sends(&mut it, ms(0));
    ack(&mut it, ms(1), 0);
    assert_eq!(sends(&mut it, ms(1)), some(1..=3));
    assert!(it.is_heard());
    assert_eq!((it.sent_out(), it.presumed_whole()), (Some(1_500), None));
    ack(&mut it, ms(2), 2);
    assert_eq!(it.presumed_whole(), Some(1_500));
    it.on_refused();
    assert_eq!(
        (it.end(), it.presumed_whole()),
        (Some(&End::Gone), Some(1_500))
    );

    let mut half = transfer(Options::default(), 1_500);
    sends(&mut half, ms(0));
    ack(&mut half, ms(1), 1);
    sends(&mut half, ms(1));
    assert_eq!(half.presumed_whole(), None);
}

#[test]
fn a_client_does_not_answer_for_the_time_that_the_file_took() {
    let bytes = file(3_000);
    let terms = Terms::agree(&asks(Some(1_000), None), CAPS, None);
    let mut it = Transfer::new(terms, ms(0));
    it.supply(&bytes[..1_000]);
    sends(&mut it, ms(0));
    ack(&mut it, ms(1), 0);
    assert_eq!(sends(&mut it, ms(1)), some([1]));
    ack(&mut it, ms(2), 1);
    // A disk that sleeps, and then the block is lost.
    let late = PATIENCE * 2;
    assert_eq!((sends(&mut it, late), it.poll_timeout()), (vec![], None));
    it.supply(&bytes[1_000..2_500]);
    assert_eq!(sends(&mut it, late), some([2]));
    let due = it.poll_timeout().unwrap();
    it.on_time(due);
    assert_eq!(it.end(), None);
    assert_eq!(sends(&mut it, due), some([2]));
    // What is sent again buys no more time.
    let mut now = due;
    while let Some(due) = it.poll_timeout() {
        now = due;
        it.on_time(now);
        sends(&mut it, now);
    }
    assert_eq!(it.end(), Some(&End::Silent));
    assert!(now < late + PATIENCE * 2, "{now:?}");
}

#[test]
fn the_servers_own_error_is_sent_once() {
    let mut it = transfer(Options::default(), 5_000);
    sends(&mut it, ms(0));
    it.fail(ErrorCode::Undefined, "transfer failed");
    assert_eq!(it.end(), None, "not before it was sent");
    let mut buffer = Vec::new();
    assert!(it.poll_transmit(ms(1), &mut buffer).is_some());
    let farewell = Packet::Error(ErrorCode::Undefined, b"transfer failed");
    assert_eq!(Packet::read(&buffer), Ok(farewell));
    assert_eq!(it.end(), Some(&End::Failed));
    assert!(it.poll_transmit(ms(1), &mut buffer).is_none());
}

#[test]
fn data_that_comes_in_parts_is_sent_as_far_as_it_is_there() {
    let bytes = file(3_000);
    let terms = Terms::agree(&asks(Some(1_000), Some(4)), CAPS, None);
    let mut it = Transfer::new(terms, ms(0));
    sends(&mut it, ms(0));
    ack(&mut it, ms(1), 0);
    it.supply(&bytes[..2_500]);
    assert_eq!(sends(&mut it, ms(1)), some(1..=2));
    it.supply(&bytes[2_500..]);
    assert_eq!(sends(&mut it, ms(2)), some([3]));
    it.supply(&[]);
    assert_eq!(sends(&mut it, ms(3)), some([4]));
    ack(&mut it, ms(4), 4);
    assert_eq!((it.end(), it.acknowledged()), (Some(&End::Done), 3_000));
}

#[test]
fn what_is_held_of_a_file_is_bounded() {
    let terms = Terms::agree(&asks(Some(1_468), Some(64)), CAPS, None);
    let mut it = Transfer::new(terms, ms(0));
    let most = it.wants();
    assert!(most <= 2 * 64 * 1_468);
    it.supply(&vec![0; most]);
    assert_eq!(it.wants(), 0);
    sends(&mut it, ms(0));
    ack(&mut it, ms(1), 0);
    for round in 1..200_u16 {
        let now = ms(u64::from(round) + 1);
        assert!(!sends(&mut it, now).is_empty());
        ack(&mut it, now + ms(1), round.wrapping_mul(64));
        let wants = it.wants();
        it.supply(&vec![0; wants]);
        assert!(it.data.len() <= 2 * most, "{}", it.data.len());
    }
}

/// A file of more than 65,535 blocks.
#[test]
fn block_numbers_roll_over() {
    for (blksize, windowsize, blocks) in [(512, 1, 65_600), (8, 64, 140_000), (512, 7, 70_000)] {
        let bytes = file(usize::from(blksize) * blocks + 3);
        let options = asks(Some(blksize), Some(windowsize));
        let came = fetch(&bytes, habits(options), CAPS, Weather::FAIR, 1);
        assert!(came.done && came.got == bytes);
        assert_eq!((came.server, came.resent), (Some(End::Done), 0));
        let packets = u64::try_from(blocks).unwrap() + 2;
        assert_eq!(
            (came.sent, came.acknowledged),
            (packets, bytes.len() as u64)
        );
    }
}

/// The Sorcerer's Apprentice: each packet comes twice.
#[test]
fn on_a_link_that_repeats_everything_each_block_is_sent_once() {
    let weather = Weather {
        copies: 1_000,
        ..Weather::FAIR
    };
    for chatty in [false, true] {
        let habits = Habits {
            chatty,
            ..habits(asks(None, None))
        };
        let bytes = file(50_000);
        let came = fetch(&bytes, habits, CAPS, weather, 1);
        assert!(came.done && came.got == bytes);
        assert_eq!((came.sent, came.resent), (98, 0));
    }
}

fn lost(loss: u64, windowsize: u16, chatty: bool) -> Came {
    let weather = Weather {
        loss,
        ..Weather::FAIR
    };
    let habits = Habits {
        chatty,
        ..habits(asks(Some(1_468), Some(windowsize)))
    };
    let bytes = file(1_468 * 2_000);
    let came = fetch(&bytes, habits, CAPS, weather, 5);
    assert!(came.done && came.got == bytes);
    came
}

#[test]
fn loss_within_a_window_costs_round_trips_and_not_time_outs() {
    for chatty in [false, true] {
        let fair = lost(0, 16, chatty);
        assert!(fair.took < ms(30), "{:?}", fair.took);
        // Two blocks of 2,000 are lost, and a window's last one or an acknowledgement now and then.
        let came = lost(1, 16, chatty);
        assert!(came.took < ms(200), "chatty {chatty}: {:?}", came.took);
        let came = lost(10, 16, chatty);
        assert!(came.took < ms(1_500), "chatty {chatty}: {:?}", came.took);
        assert!(came.resent < 900, "chatty {chatty}: {}", came.resent);
    }
}

fn weathers(loss: u64) -> impl Strategy<Value = Weather> {
    (0..=loss, 0_u64..300, 1_u64..20_000, 0_u64..5_000).prop_map(|(loss, copies, delay, jitter)| {
        Weather {
            loss,
            copies,
            delay,
            jitter,
        }
    })
}

fn clients() -> impl Strategy<Value = Habits> {
    let blksize = prop::option::of(prop_oneof![8_u16..100, 400_u16..=600, Just(1_468_u16)]);
    let windowsize = prop::option::of(prop_oneof![1_u16..5, 1_u16..=64]);
    let timeout = prop::option::of(1_u8..4);
    (blksize, windowsize, timeout, any::<bool>(), 300_u64..5_000).prop_map(
        |(blksize, windowsize, timeout, chatty, own)| Habits {
            options: Options {
                blksize,
                timeout,
                tsize: None,
                windowsize,
            },
            chatty,
            timeout: ms(own),
            patience: 20,
        },
    )
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    /// A bad link, but one that firmware still boots over.
    #[test]
    fn over_a_bad_link_the_client_has_exactly_the_file(
        len in 0_usize..40_000, habits in clients(), weather in weathers(80), seed: u64,
    ) {
        // Small blocks take as long as they take.
        let len = len.min(usize::from(habits.options.blksize.unwrap_or(512)) * 100);
        let bytes = file(len);
        let came = fetch(&bytes, habits, CAPS, weather, seed);
        prop_assert!(came.done, "{:?}", came.server);
        prop_assert!(came.got == bytes);
        prop_assert!(came.server.is_some());
    }

    /// Whatever the link does: what the client holds is the beginning of the file, both end, and the server knows of
    /// nothing that the client has not got.
    #[test]
    fn over_any_link_both_end(
        len in 0_usize..20_000, habits in clients(), weather in weathers(990), seed: u64,
    ) {
        let len = len.min(usize::from(habits.options.blksize.unwrap_or(512)) * 60);
        let bytes = file(len);
        let came = fetch(&bytes, habits, CAPS, weather, seed);
        prop_assert!(bytes.starts_with(&came.got));
        prop_assert!(came.acknowledged <= came.got.len() as u64);
        if came.done {
            prop_assert!(came.got == bytes);
        }
        if came.server == Some(End::Done) {
            prop_assert!(came.done);
        }
    }

    /// Without loss nothing multiplies, however much the link repeats. Where packets overtake each other, a client
    /// that keeps none of those behind a gap may want a window for each block, and no more.
    #[test]
    fn nothing_multiplies(
        blocks in 1_usize..400, window in 1_u16..=64, chatty: bool, copies in 0_u64..=1_000,
        delay in 1_u64..30_000, jitter in prop_oneof![Just(0_u64), 0_u64..300], seed: u64,
    ) {
        let habits = Habits { chatty, ..habits(asks(Some(64), Some(window))) };
        let weather = Weather { copies, delay, jitter, loss: 0 };
        let bytes = file(blocks * 64);
        let came = fetch(&bytes, habits, CAPS, weather, seed);
        prop_assert!(came.done && came.got == bytes);
        if window == 1 {
            prop_assert_eq!(came.resent, 0);
        }
        let needed = u64::try_from(blocks).unwrap() + 2;
        let times = if jitter == 0 { 2 } else { u64::from(window) + 2 };
        prop_assert!(came.sent <= needed * times + 64, "{} packets for {needed}", came.sent);
    }

    /// Any packets at any time.
    #[test]
    fn any_packets_are_borne(
        size in 0_usize..30_000, options in clients(),
        packets in prop::collection::vec((0_u64..3_000, prop_oneof![
            (0_u16..20).prop_map(|n| Packet::Ack(n).bytes()),
            any::<u16>().prop_map(|n| Packet::Ack(n).bytes()),
            prop::collection::vec(any::<u8>(), 0..12),
        ]), 0..60),
    ) {
        let mut it = transfer(options.options, size);
        let mut now = ms(0);
        let mut sent = sends(&mut it, now).len();
        for (later, packet) in packets {
            now += ms(later);
            it.on_time(now);
            it.on_packet(now, &packet);
            sent += sends(&mut it, now).len();
            prop_assert!(it.end().is_none() || it.poll_timeout().is_none());
        }
        prop_assert!(sent <= 64 * 130);
        prop_assert!(it.acknowledged() <= size as u64);
    }
}
