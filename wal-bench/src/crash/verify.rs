//! What came back, against the oracle.

use std::collections::{BTreeMap, HashMap};
use std::path::Path;

use wal_coordinator::{CoreId, EntryRef, Epoch, OperationRef, OrderKey, Replay, Scope};
use wal_recovery::{BoxError, PerCoreRecoveryManager, Recovered};

use super::oracle::{Buffers, Oracle, Prefix, source_name};

/// What must come back at least.
#[derive(Clone, Debug, Default)]
pub(super) struct Promised {
    /// Per core, every entry below.
    pub(super) kept: Vec<u64>,
    /// Every epoch up to this.
    pub(super) epoch: u64,
    /// A checkpoint of at least this epoch.
    pub(super) checkpoint: u64,
}

/// One replay: checks every entry as it comes.
struct Witness<'a> {
    oracle: &'a Oracle,
    buffers: Buffers,
    state: HashMap<Vec<u8>, Vec<u8>>,
    last: Option<OrderKey>,
    /// Per core, first number and number behind the last.
    replayed: BTreeMap<CoreId, (u64, u64)>,
    /// Per core and epoch, number behind the last.
    ends: BTreeMap<(CoreId, Epoch), u64>,
}

impl Replay for Witness<'_> {
    fn state(&mut self, key: &[u8], value: &[u8]) -> Result<(), BoxError> {
        match self.state.insert(key.to_vec(), value.to_vec()) {
            None => Ok(()),
            Some(_) => Err(format!("the checkpoint holds {} twice", String::from_utf8_lossy(key)).into()),
        }
    }

    fn entry(&mut self, entry: &EntryRef<'_>) -> Result<(), BoxError> {
        let (core, sequence) = (entry.core_id, entry.sequence.0);
        if self.last.is_some_and(|last| last >= entry.order_key()) {
            return Err(format!("core {core}, entry {sequence}: out of order").into());
        }
        self.last = Some(entry.order_key());
        let (_, next) = self.replayed.entry(core).or_insert((sequence, sequence));
        if *next != sequence {
            return Err(format!("core {core}: {sequence} came after {next} was expected").into());
        }
        *next += 1;
        self.ends.insert((core, entry.epoch), sequence + 1);
        let is_right =
            self.oracle.with(core.0, sequence, &mut self.buffers, |expected| *expected == entry.operation);
        if !is_right {
            return Err(format!("core {core}, entry {sequence}: not what was appended").into());
        }
        match entry.operation {
            OperationRef::Put { key, value } => drop(self.state.insert(key.to_vec(), value.to_vec())),
            OperationRef::Delete { key } => drop(self.state.remove(key)),
            OperationRef::Checkpoint { .. } | OperationRef::Commit { .. } | OperationRef::EpochBarrier => {}
        }
        Ok(())
    }
}

fn recover<'a>(
    oracle: &'a Oracle,
    directory: &Path,
    scope: Scope,
) -> Result<(Witness<'a>, Recovered), BoxError> {
    let mut witness = Witness {
        oracle,
        buffers: Buffers::default(),
        state: HashMap::new(),
        last: None,
        replayed: BTreeMap::new(),
        ends: BTreeMap::new(),
    };
    let recovered = PerCoreRecoveryManager::new(directory).scope(scope).recover(&mut witness)?;
    Ok((witness, recovered))
}

/// Checks everything. `prefixes` is what came back the last time, and is moved on. Returns how many entries were
/// replayed.
pub(super) fn verify(
    oracle: &Oracle,
    directory: &Path,
    promised: &Promised,
    prefixes: &mut [Prefix],
) -> Result<u64, BoxError> {
    let (all, recovered) = recover(oracle, directory, Scope::Everything)?;
    for (core, prefix) in (0_u16..).zip(prefixes.iter_mut()) {
        let next = recovered.resume.core(CoreId(core)).map_or(0, |core| core.next_sequence.0);
        let least = promised.kept.get(usize::from(core)).copied().unwrap_or(0);
        if next < least {
            return Err(format!(
                "core {core}: everything below {least} was acknowledged, but it ends at {next}"
            )
            .into());
        }
        if next < prefix.next {
            return Err(format!("core {core}: it ended at {} before, now at {next}", prefix.next).into());
        }
        prefix.advance(oracle, next);
    }
    check_prefixes(oracle, &all, &recovered, prefixes).map_err(|error| format!("everything: {error}"))?;
    let checkpoint = recovered.report.checkpoint.as_ref().map_or(0, |checkpoint| checkpoint.epoch.0);
    if checkpoint < promised.checkpoint {
        return Err(
            format!("the checkpoint of epoch {} became one of {checkpoint}", promised.checkpoint).into()
        );
    }
    let (again, recovered_again) = recover(oracle, directory, Scope::Everything)?;
    if recovered_again.report != recovered.report || recovered_again.resume != recovered.resume {
        let (one, two) = (recovered.report.to_json(), recovered_again.report.to_json());
        return Err(format!("recovery run again says something else:\n{one}\n{two}").into());
    }
    if again.state != all.state || recovered_again.offsets != recovered.offsets {
        return Err("recovery run again gives another state".into());
    }
    check_cut(oracle, directory, promised, &all, prefixes)
        .map_err(|error| format!("consistent cut: {error}"))?;
    Ok(recovered.report.entries_replayed)
}

/// The consistent cut: far enough, the same on all cores, and a prefix on each.
fn check_cut(
    oracle: &Oracle,
    directory: &Path,
    promised: &Promised,
    all: &Witness<'_>,
    prefixes: &[Prefix],
) -> Result<(), BoxError> {
    let (cut, recovered) = recover(oracle, directory, Scope::ConsistentCut)?;
    let epoch = recovered.report.cut.unwrap_or_default();
    if epoch.0 < promised.epoch {
        return Err(format!("epoch {} was durable, the cut is {epoch}", promised.epoch).into());
    }
    let mut shorter = Vec::new();
    for (core, whole) in (0_u16..).zip(prefixes) {
        let core = CoreId(core);
        let next = recovered.resume.core(core).map_or(0, |core| core.next_sequence.0);
        let (from, _) = all.replayed.get(&core).copied().unwrap_or((whole.next, whole.next));
        let of_cut = all.ends.range((core, Epoch(0))..=(core, epoch)).map(|(_, end)| *end).max();
        let expected = of_cut.unwrap_or(from);
        if next != expected {
            return Err(format!("core {core}: it ends at {next}, epoch {epoch} at {expected}").into());
        }
        let mut prefix = Prefix::new(core.0);
        prefix.advance(oracle, next);
        shorter.push(prefix);
    }
    check_prefixes(oracle, &cut, &recovered, &shorter)
}

/// The state is that of `prefixes`, no more and no less.
fn check_prefixes(
    oracle: &Oracle,
    witness: &Witness<'_>,
    recovered: &Recovered,
    prefixes: &[Prefix],
) -> Result<(), BoxError> {
    let (mut key, mut value, mut keys) = (Vec::new(), Vec::new(), 0);
    for (core, prefix) in (0_u16..).zip(prefixes) {
        if oracle.batch_at(core, prefix.next).is_none() {
            return Err(format!("core {core}: it ends at {}, within a batch", prefix.next).into());
        }
        let manifest = recovered.resume.manifest.as_ref().and_then(|manifest| manifest.core(CoreId(core)));
        let begin = manifest.map_or(0, |position| position.sequence.0);
        let replayed = witness.replayed.get(&CoreId(core)).copied().unwrap_or((begin, begin));
        if replayed != (begin, prefix.next) {
            return Err(format!("core {core}: {replayed:?} came back of {begin}..{}", prefix.next).into());
        }
        for (index, sequence) in prefix.keys.iter().enumerate() {
            let Some(sequence) = sequence else { continue };
            keys += 1;
            oracle.write_key(core, index, &mut key);
            oracle.write_value(core, *sequence, &mut value);
            if witness.state.get(&key) != Some(&value) {
                return Err(format!("core {core}: key {index} is not what entry {sequence} set").into());
            }
        }
        if recovered.offsets.get(&source_name(core)) != prefix.offset.as_ref() {
            return Err(format!("core {core}: the offset is not {:?}", prefix.offset).into());
        }
        if recovered.watermarks.get(&CoreId(core)) != prefix.watermark.as_ref() {
            return Err(format!("core {core}: the watermark is not {:?}", prefix.watermark).into());
        }
    }
    if witness.state.len() != keys {
        return Err(format!("{} keys came back, {keys} are alive", witness.state.len()).into());
    }
    Ok(())
}
