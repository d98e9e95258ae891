//! Figures made up, all different: differences, rates and the page, letter by letter.

use wal_format::SegmentNumber;

use super::*;

fn histogram(values: &[u64]) -> Histogram {
    let mut histogram = Histogram::default();
    values.iter().for_each(|value| histogram.record(*value));
    histogram
}

/// A core's figures, all different, each `times` as large.
fn core(times: u64) -> LogStats {
    let mut core = LogStats::default();
    core.entries = 2_000 * times;
    core.written_entries = 1_900 * times;
    core.durable_entries = 1_500 * times;
    core.file_bytes = 8_000_000 * times;
    core.syncs = 4 * times;
    core.sync_ns = histogram(&vec![12_000; usize::try_from(4 * times).unwrap()]);
    core.sync_entries = histogram(&vec![9; usize::try_from(4 * times).unwrap()]);
    core.room_wait_ns = histogram(&vec![1_500_000; usize::try_from(times).unwrap()]);
    core.ring_bytes = 4_096;
    core.ring_fill_bytes = 1_024;
    core.ring_fill_bytes_max = 3_072;
    core.held_bytes = 3_400_000;
    core
}

fn report() -> CheckpointReport {
    CheckpointReport {
        epoch: Epoch(3),
        entries: 30,
        keys: 20,
        runs: 2,
        bytes_written: 5_300_000,
        segments_released: 1,
        cleanup_error: None,
    }
}

/// A log at work for `seconds`, in which all that can be counted was, `seconds` times.
fn at_work(seconds: u64) -> WalStats {
    let times = usize::try_from(seconds).unwrap();
    WalStats {
        elapsed: Duration::from_secs(seconds),
        cores: vec![core(seconds), core(2 * seconds)],
        epoch: Epoch(seconds + 5),
        durable_epoch: Epoch(seconds + 2),
        checkpoint_epoch: Epoch(3),
        epoch_close_ns: histogram(&vec![900; 2 * times]),
        epoch_durable_ns: histogram(&vec![1_200; times]),
        checkpoints: CheckpointStats {
            duration_ns: histogram(&vec![15_000_000; 3 * times]),
            failed: 5 * seconds,
            entries: 30 * seconds,
            keys: 20 * seconds,
            bytes_written: 500 * seconds,
            segments_released: 7 * seconds,
            running: Some(Duration::from_millis(40)),
            age: Some(Duration::from_secs(9)),
            last: Some(report()),
        },
        free_segments: 4,
        ..WalStats::default()
    }
}

#[test]
fn a_difference_counts_what_came_in_between_and_says_how_it_stands_now() {
    let (earlier, now) = (at_work(2), at_work(5));
    let since = now.since(&earlier);
    let expected = at_work(3);
    assert_eq!(since.elapsed, expected.elapsed);
    assert_eq!(since.epoch_close_ns, expected.epoch_close_ns);
    assert_eq!(since.epoch_durable_ns, expected.epoch_durable_ns);
    assert_eq!(since.checkpoints, expected.checkpoints);
    assert_eq!(since.cores, expected.cores);
    // No counts.
    assert_eq!((since.epoch, since.durable_epoch), (now.epoch, now.durable_epoch));
    // A core that did not append before has all that it has.
    let fewer = WalStats { cores: vec![core(2)], ..earlier };
    assert_eq!(now.since(&fewer).cores, [core(3), core(10)]);
}

#[test]
fn rates_are_per_second_and_of_no_time_zero() {
    assert!((at_work(4).per_second(10) - 2.5).abs() < 1e-9);
    assert!(at_work(0).per_second(10).abs() < 1e-9);
    let lags = [(1, 0, 0), (2, 0, 1), (7, 6, 0), (9, 3, 5)];
    for (epoch, durable, lag) in lags {
        let (epoch, durable_epoch) = (Epoch(epoch), Epoch(durable));
        assert_eq!(WalStats { epoch, durable_epoch, ..WalStats::default() }.durable_lag_epochs(), lag);
    }
}

#[test]
fn the_page_says_what_is_and_what_somebody_should_look_at() {
    assert_eq!(at_work(2).to_string(), PAGE);
    let quiet = WalStats { cores: vec![LogStats::default()], ..WalStats::default() };
    assert_eq!(quiet.to_string(), QUIET);
    let mut troubled = quiet;
    let core = &mut troubled.cores[0];
    core.poisoned_since = Some(Sequence(17));
    (core.sync_failures, core.write_failures, core.continuations) = (3, 1, 2);
    core.segments.refused = 6;
    let overdue = |epoch, cores: &[u16]| Overdue {
        epoch: Epoch(epoch),
        cores: cores.iter().copied().map(CoreId).collect(),
        age: Duration::from_millis(1_500),
    };
    troubled.closing = Some(overdue(8, &[1]));
    troubled.owed = Some(overdue(7, &[0, 2]));
    let pinned = |by| Pinned { core: CoreId(0), segment: SegmentNumber(4), bytes: 2_500_000, by };
    troubled.pinned = vec![
        pinned(PinnedBy::NoCheckpoint { last: Some(Epoch(2)), entries: 44 }),
        pinned(PinnedBy::Reader { label: "backup".to_owned() }),
        pinned(PinnedBy::Follower { name: "replica".to_owned(), since: Epoch(5) }),
    ];
    assert_eq!(troubled.pinned_bytes(), 7_500_000);
    let page = troubled.to_string();
    let rest = page.strip_prefix(QUIET).unwrap();
    assert_eq!(rest, TROUBLE);
}

const PAGE: &str = "\
over 2.0s: epoch 7, 4 durable, 3 in a checkpoint; 4 free segments\n\
epochs       closed in p50 900.0ns, p99 900.0ns, max 900.0ns\n\
\x20            durable in p50 1.2µs, p99 1.2µs, max 1.2µs\n\
checkpoints  6 made in p50 15.0ms, p99 15.0ms, max 15.0ms; 10 failed; one has been running for 40.0ms\n\
\x20            the last one 9.0s ago: epoch 3, 30 entries, 20 keys, 5.3 MB written, 2 runs\n\
\x20core      entries         /s  not dur.      MB/s     syncs    p50 us    p99 us    max us    each   ring    max   waits   wait ms   held MB\n\
\x20   0         4000       2000      1000      8.00         8        12        12        12     9.0    25%    75%       2       3.0       3.4\n\
\x20   1         8000       4000      2000     16.00        16        12        12        12     9.0    25%    75%       4       6.0       3.4\n\
\x20 all        12000       6000      3000     24.00        24        12        12        12     9.0    25%      -       6       9.0       6.8\n\
";
const QUIET: &str = "\
over 0.0ns: epoch 0, 0 durable, 0 in a checkpoint; 0 free segments\n\
epochs       closed in none yet\n\
\x20            durable in none yet\n\
checkpoints  0 made; 0 failed\n\
\x20core      entries         /s  not dur.      MB/s     syncs    p50 us    p99 us    max us    each   ring    max   waits   wait ms   held MB\n\
\x20   0            0          0         0      0.00         0         -         -         -       -     0%     0%       0       0.0       0.0\n\
";
const TROUBLE: &str = "\
pinned       core 0: 2.5 MB from segment 4 on, by 44 entries in no checkpoint\n\
pinned       core 0: 2.5 MB from segment 4 on, by the reader \"backup\"\n\
pinned       core 0: 2.5 MB from segment 4 on, by the follower \"replica\", which has read up to epoch 5\n\
POISONED     core 0: nothing from sequence 17 on is durable\n\
FAILED       3 syncs, 2 continued on a fresh segment\n\
FAILED       1 writes, 2 continued on a fresh segment\n\
NO SPACE     6 segments were refused\n\
CLOSING      epoch 8 waits for 1.5s, for core 1 in the middle of an append\n\
NOT DURABLE  epoch 7 waits for 1.5s, for core 0 2\n\
";
