//! Seeded bugs of what is watched: events counted twice, too early, or on no core at all.

use super::{Bug, Test};

pub(super) const BUGS: &[Bug] = &[
    Bug {
        name: "sync-counted-twice",
        file: "wal-writer/src/drain/ticket.rs",
        old: "self.tallies.sync_ns.record(took_ns);",
        new: "self.tallies.sync_ns.record(took_ns);\n        self.tallies.sync_ns.record(took_ns);",
        test: Test::In(
            "wal-writer",
            "watching",
            "a_sync_takes_what_the_device_takes_and_makes_durable_what_was_drained",
        ),
        harm: "rates of syncs are twice what they are",
    },
    Bug {
        name: "frames-counted-before-they-are-written",
        file: "wal-writer/src/segment.rs",
        old: "        self.unwritten = (frames + 1, ",
        new: "        self.tallies.frames.add(1);\n        self.unwritten = (frames, ",
        test: Test::In(
            "wal-writer",
            "watching",
            "a_failed_sync_is_no_sync_and_what_is_written_again_is_counted_once",
        ),
        harm: "writes that failed look as if they had been made",
    },
    Bug {
        name: "payload-counted-again-after-a-failed-sync",
        file: "wal-writer/src/drain/mod.rs",
        old: "self.tallies.payload_bytes.raise(self.written.payload_bytes);",
        new: "self.tallies.payload_bytes.add(self.written.payload_bytes - self.durable.payload_bytes);",
        test: Test::In(
            "wal-writer",
            "watching",
            "a_failed_sync_is_no_sync_and_what_is_written_again_is_counted_once",
        ),
        harm: "a device that fails looks like load",
    },
    Bug {
        name: "total-without-a-core",
        file: "wal-coordinator/src/stats.rs",
        old: "self.cores.iter().for_each(|core| total.merge(core));",
        new: "self.cores.iter().skip(1).for_each(|core| total.merge(core));",
        test: Test::In("wal-coordinator", "watching", "every_counter_is_what_an_oracle_of_the_life_counted"),
        harm: "alarms on sums do not see one core",
    },
];
