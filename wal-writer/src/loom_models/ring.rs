//! The ring: records are seen whole and in order, and no byte is touched by both sides at once (each byte has a guard
//! cell, in `ring.rs`, that loom watches).

use loom::thread;

use super::rig::check;
use crate::ring::{Consumer, Producer, WRAP, ring};
use crate::sync::yield_now;

/// Small enough for loom, large enough for two records and a rest.
const CAPACITY: usize = 8;
const RECORD_BYTES: usize = 3;

/// Appends record `id`, waiting for room as the writer does.
fn push(producer: &mut Producer, id: u8) {
    loop {
        producer.refresh(u64::MAX, RECORD_BYTES);
        if producer.has_room(RECORD_BYTES) {
            break;
        }
        yield_now();
    }
    producer.reserve(RECORD_BYTES).fill(id);
    producer.publish(RECORD_BYTES);
}

/// Reads what is published beyond `position`; records must be whole and numbered from `next` on.
fn read(consumer: &Consumer, position: &mut u64, next: &mut u8) {
    let published = consumer.published();
    while *position < published {
        let bytes = consumer.readable(*position, published);
        if bytes[0] == WRAP {
            *position = consumer.after_wrap(*position);
            continue;
        }
        assert!(bytes.len() >= RECORD_BYTES, "a record was seen in part");
        assert_eq!(bytes[..RECORD_BYTES], [*next; RECORD_BYTES], "a record was seen in part or out of order");
        *position += RECORD_BYTES as u64;
        *next += 1;
    }
    assert_eq!(*position, published, "the tail stands within a record");
}

pub(super) fn publish() {
    let (mut producer, consumer) = ring(CAPACITY);
    let writer = thread::spawn(move || (1..=2).for_each(|id| push(&mut producer, id)));
    let (mut position, mut next) = (0, 1);
    read(&consumer, &mut position, &mut next);
    read(&consumer, &mut position, &mut next);
    writer.join().unwrap();
    read(&consumer, &mut position, &mut next);
    assert_eq!(next, 3, "a record is missing");
}

pub(super) fn reuse() {
    const RECORDS: u8 = 4;
    let (mut producer, mut consumer) = ring(CAPACITY);
    let writer = thread::spawn(move || (1..=RECORDS).for_each(|id| push(&mut producer, id)));
    let (mut position, mut next) = (0, 1);
    while next <= RECORDS {
        read(&consumer, &mut position, &mut next);
        consumer.release(position);
        yield_now();
    }
    writer.join().unwrap();
}

#[test]
fn a_drain_sees_records_whole_or_not_at_all() {
    check(publish);
}

#[test]
fn a_full_ring_is_filled_again_only_after_its_bytes_were_read() {
    check(reuse);
}
