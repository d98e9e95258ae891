//! Space on the medium: what is granted to the writer, and segments on their way through the supply.

use std::sync::Arc;

use loom::thread;
use wal_format::{FileName, SegmentNumber};

use super::rig::{CORE, check, rig};
use crate::{Retention, SegmentSupply};

/// A frame takes more of the segment than its entry was counted for: the writer gets to know that what it was granted
/// is no longer there, even if it is being granted more at that moment.
pub(super) fn overdraft() {
    let mut rig = rig(Retention::UntilWritten);
    let log = Arc::clone(&rig.log);
    // Leaves 1088 bytes of the segment, of which 47 may be granted: enough for two entries, but not in two frames.
    for value_bytes in [4000, 2818] {
        rig.writer.append_put(b"large", &vec![0; value_bytes]).unwrap();
    }
    log.write_out().unwrap();
    rig.writer.append_put(b"k", b"").unwrap();
    let draining = thread::spawn({
        let log = Arc::clone(&log);
        move || log.write_out().unwrap()
    });
    rig.writer.append_put(b"k", b"").unwrap();
    draining.join().unwrap();
    assert!(log.needs_attention() || !log.is_overdrawn(), "an overdraft that the writer cannot know of");
}

/// A segment is made ahead while the drain takes one that nobody made: numbers ascend, and no file is made twice (the
/// storage panics).
pub(super) fn overtaken() {
    let rig = rig(Retention::UntilDurable);
    let supply = Arc::clone(&rig.supply);
    let preparing = thread::spawn({
        let supply = Arc::clone(&supply);
        move || supply.prepare(CORE).unwrap()
    });
    let first = supply.take(CORE, 8192).unwrap();
    preparing.join().unwrap();
    let second = supply.take(CORE, 8192).unwrap();
    assert!(first.number < second.number, "segment {} follows {}", second.number, first.number);
    assert_eq!(second.name, FileName::Segment(CORE, second.number).to_string());
}

/// Released segments come back to one core each, while another is taken.
pub(super) fn recycled() {
    let rig = rig(Retention::UntilDurable);
    let supply: Arc<SegmentSupply> = Arc::clone(&rig.supply);
    let old = supply.take(CORE, 8192).unwrap();
    let recycling = thread::spawn({
        let supply = Arc::clone(&supply);
        move || supply.recycle(CORE, &[old.number]).unwrap()
    });
    let preparing = thread::spawn({
        let supply = Arc::clone(&supply);
        move || supply.prepare(CORE).unwrap()
    });
    let next = supply.take(CORE, 8192).unwrap();
    recycling.join().unwrap();
    preparing.join().unwrap();
    let last = supply.take(CORE, 8192).unwrap();
    assert!(SegmentNumber(0) < next.number && next.number < last.number);
    assert!(!Arc::ptr_eq(&next.file, &last.file), "one file was given out twice");
}

#[test]
fn an_overdraft_is_known_to_the_writer() {
    check(overdraft);
}

#[test]
fn segments_are_numbered_in_the_order_in_which_they_are_used() {
    check(overtaken);
}

#[test]
fn a_released_segment_is_used_again_once() {
    check(recycled);
}
