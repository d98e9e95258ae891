//! Seeded bugs of what one process leaves and the next one finds: each must fail the kill loop at the point that it names.

use super::{Bug, Test};

pub(super) const BUGS: &[Bug] = &[
    Bug {
        name: "kill-released-before-the-manifest",
        file: "wal-coordinator/src/checkpoint.rs",
        old: "        {\n            let _span = trace::manifest(manifest.runs.len());\n",
        new: "        drop(pin);\n        let pin = ();\n        shared.retention.advance(manifest.clone());\n        release(&shared);\n        {\n            let _span = trace::manifest(manifest.runs.len());\n",
        test: Test::Kills("manifest-synced"),
        harm: "a process that is killed in a checkpoint leaves neither the log nor the checkpoint",
    },
    Bug {
        name: "kill-leaves-a-segment-that-is-refused",
        file: "wal-reader/src/segment.rs",
        old: "        Ok(HeaderBlock::Zero) => Ok(Some(SegmentState::Prepared(None))),\n",
        new: "        Ok(HeaderBlock::Zero) if filled == 0 => {\n            Err(ReadError::io(\"read\", &path, io::ErrorKind::UnexpectedEof.into()))\n        }\n        Ok(HeaderBlock::Zero) => Ok(Some(SegmentState::Prepared(None))),\n",
        test: Test::Kills("segment-created"),
        harm: "a process that is killed while it makes a segment leaves a log that nobody opens",
    },
];
