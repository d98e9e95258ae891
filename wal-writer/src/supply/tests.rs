//! The supply seen from inside: numbers, names and bytes of what it makes, also when it is overtaken.

use super::*;
use crate::storage::recording::{
    Event, Fault, Image, Operation, OperationKind, Pick, RecordingStorage, Survival,
};
use crate::sync::PlainMutex;

const CORE: CoreId = CoreId(2);
const SEGMENT_BYTES: u64 = 16 * 1024;

fn supply() -> (Arc<SegmentSupply>, RecordingStorage) {
    let storage = RecordingStorage::new();
    let supply = Arc::new(SegmentSupply::new(Arc::new(storage.clone()), SEGMENT_BYTES, 4));
    supply.register(CORE, SegmentNumber(0));
    (supply, storage)
}

/// Runs `during` in the middle of the making of the next file.
fn during_next_file(storage: &RecordingStorage, during: impl FnOnce() + Send + 'static) {
    let during = PlainMutex::new(Some(during));
    storage.set_hook(Some(Arc::new(move |kind, _| {
        if kind == OperationKind::Create {
            let during = during.lock().take();
            during.into_iter().for_each(|during| during());
        }
    })));
}

fn names(image: &Image) -> Vec<SegmentNumber> {
    let numbers = image.keys().map(|name| match FileName::parse(name) {
        Some(FileName::Segment(CORE, number)) => number,
        other => panic!("{name} is {other:?}"),
    });
    numbers.collect()
}

/// What a power loss leaves for certain.
fn durable(storage: &RecordingStorage) -> Image {
    let nothing = Survival { sector_bytes: 512, sectors: Pick::Nothing, names: Pick::Nothing };
    storage.image(storage.event_count(), &nothing)
}

#[test]
fn segments_end_where_a_page_does() {
    for (asked, bytes) in [(1, 4096), (4096, 4096), (4097, 8192), (16 * 1024, 16 * 1024)] {
        let supply = SegmentSupply::new(Arc::new(RecordingStorage::new()), asked, 4);
        assert_eq!(supply.segment_bytes(), bytes);
        assert_eq!(supply.take(CORE, 1).unwrap().capacity, bytes);
    }
}

#[test]
fn one_spare_is_made_also_by_two_at_a_time() {
    let (supply, storage) = supply();
    let other = Arc::clone(&supply);
    assert!(supply.is_wanting(CORE));
    during_next_file(&storage, move || {
        assert!(!other.is_wanting(CORE), "somebody is making one");
        other.prepare(CORE).unwrap();
    });
    supply.prepare(CORE).unwrap();
    let events = storage.event_count();
    supply.prepare(CORE).unwrap();
    assert!(!supply.is_wanting(CORE));
    assert_eq!((storage.event_count(), names(&storage.current())), (events, vec![SegmentNumber(0)]));
    assert_eq!(supply.take(CORE, 1).unwrap().number, SegmentNumber(0));
    assert!(supply.is_wanting(CORE));
}

#[test]
fn a_file_that_is_overtaken_while_it_is_made_follows_what_overtook_it() {
    for taken in 1..4_u64 {
        let (supply, storage) = supply();
        let other = Arc::clone(&supply);
        during_next_file(&storage, move || {
            for number in 1..=taken {
                assert_eq!(other.take(CORE, 1).unwrap().number, SegmentNumber(number));
            }
        });
        supply.prepare(CORE).unwrap();
        let expected: Vec<_> = (1..=taken + 1).map(SegmentNumber).collect();
        assert_eq!(names(&storage.current()), expected);
        assert_eq!(names(&durable(&storage)), expected, "its name is durable before it is used");
        let (spare, number) = (supply.take(CORE, 1).unwrap(), SegmentNumber(taken + 1));
        assert_eq!((spare.number, spare.name), (number, FileName::Segment(CORE, number).to_string()));
    }
}

#[test]
fn a_file_that_is_overtaken_by_a_spare_is_removed() {
    let (supply, storage) = supply();
    let other = Arc::clone(&supply);
    during_next_file(&storage, move || other.ensure(CORE, 1).unwrap());
    supply.prepare(CORE).unwrap();
    assert_eq!(names(&storage.current()), [SegmentNumber(1)]);
    assert_eq!(supply.take(CORE, 1).unwrap().number, SegmentNumber(1));
}

/// Not every file system preallocates.
#[test]
fn a_file_that_cannot_be_allocated_is_written_instead() {
    for bytes in [1, SEGMENT_BYTES + 1, 3 << 20] {
        let (supply, storage) = supply();
        let error = io::ErrorKind::Unsupported;
        storage.inject(Fault {
            kind: Some(OperationKind::Allocate),
            name: None,
            after: 0,
            error,
            for_good: true,
        });
        let spare = supply.take(CORE, bytes).unwrap();
        let capacity = bytes.next_multiple_of(4096).max(SEGMENT_BYTES);
        assert_eq!(spare.capacity, capacity);
        assert_eq!(storage.current()[&spare.name].len() as u64, capacity);
    }
}

#[test]
fn zeros_are_written_from_and_to_where_they_were_asked_for() {
    let step = FILL_STEP as u64;
    for (from, to) in [(0, 0), (5, 5), (3, 100), (0, step), (4096, step + 5), (100, 2 * step + 101)] {
        let storage = RecordingStorage::new();
        let file = storage.create("file").unwrap();
        fill_with_zeros(file.as_ref(), from, to).unwrap();
        let mut next = from;
        for event in storage.events() {
            if let Event::Begin(Operation::Write { offset, bytes, .. }) = event {
                assert_eq!(offset, next);
                assert!(bytes.len() <= FILL_STEP && bytes.iter().all(|byte| *byte == 0));
                next += bytes.len() as u64;
            }
        }
        assert_eq!(next, to, "from {from}");
    }
}

#[test]
fn a_segment_that_is_prepared_is_filled_and_synced_step_by_step_for_as_long_as_it_may() {
    let (step, half) = (FILL_STEP as u64, FILL_STEP as u64 / 2);
    for capacity in [half, step, step + half, 3 * step] {
        for stops_at in [step, 2 * step, 9 * step] {
            let storage = RecordingStorage::new();
            let supply = SegmentSupply::new(Arc::new(storage.clone()), capacity, 4);
            let mut asked = Vec::new();
            let made = supply.prepare_paced(CORE, |filled| {
                asked.push(filled);
                if filled < stops_at { Pace::Step } else { Pace::Stop }
            });
            // Neither before the first step nor behind the last one.
            let steps: Vec<_> = (1..capacity.div_ceil(step)).map(|number| number * step).collect();
            let may: Vec<_> = steps.iter().copied().filter(|filled| *filled <= stops_at).collect();
            assert_eq!(asked, may, "{capacity}, stopped at {stops_at}");
            let is_stopped = steps.contains(&stops_at);
            assert_eq!(matches!(made, Err(WriterError::Closed { core: CORE })), is_stopped);
            assert_eq!((made.is_ok(), storage.current().len()), (!is_stopped, usize::from(!is_stopped)));
            let calls = storage.events().into_iter().filter_map(|event| match event {
                Event::Begin(Operation::Write { offset, bytes, .. }) => Some((offset, bytes.len() as u64)),
                Event::Begin(Operation::Sync { .. }) => Some((u64::MAX, 0)),
                _ => None,
            });
            let last = if is_stopped { stops_at } else { capacity };
            let expected = (0..last.div_ceil(step))
                .flat_map(|number| [(number * step, step.min(capacity - number * step)), (u64::MAX, 0)]);
            assert_eq!(calls.collect::<Vec<_>>(), expected.collect::<Vec<_>>());
        }
    }
}

#[test]
fn a_file_made_in_haste_is_filled_at_its_front_and_not_synced() {
    for (capacity, filled) in [(FIRST_FILL_BYTES + 4096, FIRST_FILL_BYTES), (1 << 20, FIRST_FILL_BYTES)] {
        let storage = RecordingStorage::new();
        let supply = SegmentSupply::new(Arc::new(storage.clone()), capacity, 4);
        assert_eq!(supply.take(CORE, 1).unwrap().filled, filled);
        let events = storage.events();
        let syncs = events.iter().filter(|event| matches!(event, Event::Begin(Operation::Sync { .. })));
        assert_eq!(syncs.count(), 0);
        let written = events.iter().filter_map(|event| match event {
            Event::Begin(Operation::Write { bytes, .. }) => Some(bytes.len() as u64),
            _ => None,
        });
        assert_eq!(written.sum::<u64>(), filled);
    }
}

#[test]
fn what_is_left_of_a_segment_that_is_needed_is_filled_in_one_go_and_synced_once() {
    let step = FILL_STEP as u64;
    for rushes_at in [step, 2 * step, 4 * step] {
        let storage = RecordingStorage::new();
        let supply = SegmentSupply::new(Arc::new(storage.clone()), 5 * step + 4096, 4);
        let mut asked = Vec::new();
        let pace = |filled| {
            asked.push(filled);
            if filled < rushes_at { Pace::Step } else { Pace::Rush }
        };
        supply.prepare_paced(CORE, pace).unwrap();
        let steps: Vec<_> = (1..=rushes_at / step).map(|number| number * step).collect();
        assert_eq!(asked, steps, "nobody is asked again");
        let mut written = 0;
        let mut synced = Vec::new();
        for event in storage.events() {
            match event {
                Event::Begin(Operation::Write { bytes, .. }) => written += bytes.len() as u64,
                Event::Begin(Operation::Sync { .. }) => synced.push(written),
                _ => {}
            }
        }
        assert_eq!(synced, [steps, vec![5 * step + 4096]].concat());
        assert_eq!(supply.take(CORE, 1).unwrap().filled, 5 * step + 4096);
    }
    // Without a pace, the first step alone is apart.
    let storage = RecordingStorage::new();
    let supply = SegmentSupply::new(Arc::new(storage.clone()), 3 * step, 4);
    supply.prepare(CORE).unwrap();
    let events = storage.events();
    let syncs = events.iter().filter(|event| matches!(event, Event::Begin(Operation::Sync { .. })));
    assert_eq!(syncs.count(), 2);
}
