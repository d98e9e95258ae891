//! What may happen to the files of a log: rot, torn and misdirected writes, lost and exchanged files, and forgery:
//! changes after which the checksums are put right.

use wal_format::limits::{FRAME_HEADER_BYTES, HEADER_BLOCK_BYTES, RUN_CORE, frame_aligned};
use wal_format::{CoreId, FileName, SegmentNumber, SegmentSeed, checksum};
use wal_reader::{MemorySource, segment_name};

use crate::choices::Choices;
use crate::codec::change;
use crate::history::LOG;

/// How far the damage went.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Harm {
    /// None.
    Intact,
    /// Bytes and files, but no checksum was made to fit.
    Rot,
    /// Checksums hold over content that no writer wrote.
    Forgery,
}

/// Does some damage.
pub(crate) fn inflict(files: &mut MemorySource, choices: &mut Choices<'_>) -> Harm {
    let mut harm = Harm::Intact;
    for _ in 0..choices.below(6) {
        let names: Vec<String> = files.iter().map(|(name, _)| name.to_owned()).collect();
        if names.is_empty() {
            break;
        }
        let name = names[choices.below(names.len())].clone();
        let other = names[choices.below(names.len())].clone();
        harm = harm.max(one(files, choices, &name, &other));
    }
    harm
}

fn one(files: &mut MemorySource, choices: &mut Choices<'_>, name: &str, other: &str) -> Harm {
    match choices.below(12) {
        0 | 1 => {
            let bytes = files.get_mut(name).unwrap();
            let at = place(bytes, choices);
            if let Some(byte) = bytes.get_mut(at) {
                *byte ^= 1 << choices.below(8);
            }
            Harm::Rot
        }
        2 => {
            let bytes = files.get_mut(name).unwrap();
            let at = place(bytes, choices).min(bytes.len());
            let end = (at + choices.below(1024)).min(bytes.len());
            let fill = choices.byte();
            bytes[at..end].fill(fill);
            Harm::Rot
        }
        3 => {
            let bytes = files.get_mut(name).unwrap();
            let at = place(bytes, choices);
            bytes.truncate(at);
            Harm::Rot
        }
        4 => {
            let more = choices.bytes(5000);
            files.get_mut(name).unwrap().extend(more);
            Harm::Rot
        }
        5 => {
            // A misdirected write, or a lost one if the other file is older.
            let from = files.get(other).unwrap().to_vec();
            let bytes = files.get_mut(name).unwrap();
            let (at, source) = (place(bytes, choices), place(&from, choices));
            let count = [64, 512, 4096][choices.below(3)];
            let piece: Vec<u8> = from.iter().skip(source).take(count).copied().collect();
            if at + piece.len() > bytes.len() {
                bytes.resize(at + piece.len(), 0);
            }
            bytes[at..at + piece.len()].copy_from_slice(&piece);
            Harm::Rot
        }
        6 => {
            files.remove(name);
            Harm::Rot
        }
        7 => {
            let (one, two) = (files.get(name).unwrap().to_vec(), files.get(other).unwrap().to_vec());
            files.insert(name, two);
            files.insert(other, one);
            Harm::Rot
        }
        8 => {
            let copy = files.get(name).unwrap().to_vec();
            let to = segment_name(CoreId(choices.below(4) as u16), SegmentNumber(choices.below(8) as u64));
            files.insert(to, copy);
            Harm::Rot
        }
        9 => forge_whole(files.get_mut(name).unwrap(), name, choices),
        _ => forge_frame(files, name, choices),
    }
}

/// A place in a file: mostly where something starts.
fn place(bytes: &[u8], choices: &mut Choices<'_>) -> usize {
    let reach = bytes.len() + 1;
    match choices.below(4) {
        0 => choices.below(160).min(bytes.len()),
        1 => choices.below(reach),
        2 => choices.below(reach) / 512 * 512,
        _ => {
            let frames = frames(bytes);
            let at = frames.get(choices.below(frames.len().max(1))).copied().unwrap_or(0);
            (at + choices.below(96)).min(bytes.len())
        }
    }
}

/// Where frames start, by their lengths alone.
fn frames(bytes: &[u8]) -> Vec<usize> {
    let mut starts = Vec::new();
    let mut at = HEADER_BLOCK_BYTES;
    while let Some(header) = bytes.get(at..at + FRAME_HEADER_BYTES)
        && header.iter().any(|byte| *byte != 0)
    {
        starts.push(at);
        let payload = u32::from_le_bytes([header[8], header[9], header[10], header[11]]) as usize;
        at = at.saturating_add(FRAME_HEADER_BYTES + frame_aligned(payload));
    }
    starts
}

/// Changes a header block, the manifest or `wal.meta`, and puts its checksum right.
fn forge_whole(bytes: &mut Vec<u8>, name: &str, choices: &mut Choices<'_>) -> Harm {
    match FileName::parse(name) {
        Some(FileName::Manifest) => {
            change(bytes, choices);
            let at = bytes.len().saturating_sub(4);
            sign(bytes, at);
        }
        Some(FileName::Meta) => {
            change(bytes, choices);
            sign(bytes, 60);
        }
        _ => {
            if bytes.len() < HEADER_BLOCK_BYTES {
                return Harm::Rot;
            }
            let mut block = bytes[..HEADER_BLOCK_BYTES].to_vec();
            change(&mut block, choices);
            block.resize(HEADER_BLOCK_BYTES, 0);
            sign(&mut block, 4092);
            bytes[..HEADER_BLOCK_BYTES].copy_from_slice(&block);
        }
    }
    Harm::Forgery
}

/// Changes a frame, and puts its checksums right for the place where it stands; sometimes puts it elsewhere first.
fn forge_frame(files: &mut MemorySource, name: &str, choices: &mut Choices<'_>) -> Harm {
    let seed = match FileName::parse(name) {
        Some(FileName::Segment(core, segment)) => SegmentSeed::new(LOG, core, segment),
        Some(FileName::Run(run)) => SegmentSeed::new(LOG, CoreId(RUN_CORE), SegmentNumber(run)),
        _ => return Harm::Intact,
    };
    let bytes = files.get_mut(name).unwrap();
    let starts = frames(bytes);
    if starts.is_empty() {
        return Harm::Intact;
    }
    let from = starts[choices.below(starts.len())];
    let length = frame_length(bytes, from);
    let mut frame = bytes[from..(from + length).min(bytes.len())].to_vec();
    let to = if choices.once_in(3) { starts[choices.below(starts.len())] } else { from };
    match choices.below(3) {
        0 => forge_field(&mut frame, choices),
        1 => {
            let mut payload = frame.split_off(FRAME_HEADER_BYTES.min(frame.len()));
            let before = payload.len();
            change(&mut payload, choices);
            payload.resize(before, 0);
            frame.extend(payload);
        }
        _ => {
            forge_field(&mut frame, choices);
            forge_field(&mut frame, choices);
        }
    }
    if frame.len() < FRAME_HEADER_BYTES {
        return Harm::Intact;
    }
    let payload_bytes = u32::from_le_bytes([frame[8], frame[9], frame[10], frame[11]]) as usize;
    if bytes.len() < to + frame.len() {
        bytes.resize(to + frame.len(), 0);
    }
    bytes[to..to + frame.len()].copy_from_slice(&frame);
    let payload_at = to + FRAME_HEADER_BYTES;
    let payload_end = payload_at.saturating_add(frame_aligned(payload_bytes)).min(bytes.len());
    let payload_crc = seed.crc_at(to as u64, &bytes[payload_at..payload_end]);
    bytes[to + 56..to + 60].copy_from_slice(&payload_crc.to_le_bytes());
    let header_crc = seed.crc_at(to as u64, &bytes[to..to + 60]);
    bytes[to + 60..to + 64].copy_from_slice(&header_crc.to_le_bytes());
    Harm::Forgery
}

fn frame_length(bytes: &[u8], at: usize) -> usize {
    let length = u32::from_le_bytes([bytes[at + 8], bytes[at + 9], bytes[at + 10], bytes[at + 11]]) as usize;
    FRAME_HEADER_BYTES.saturating_add(frame_aligned(length))
}

/// One field of a frame's header gets another value: mostly one near the old.
fn forge_field(frame: &mut [u8], choices: &mut Choices<'_>) {
    const FIELDS: [(usize, usize); 10] =
        [(4, 1), (5, 1), (6, 2), (8, 4), (12, 4), (16, 8), (24, 8), (32, 8), (40, 8), (48, 8)];
    let (at, width) = FIELDS[choices.below(FIELDS.len())];
    let Some(field) = frame.get_mut(at..at + width) else { return };
    let mut old = [0; 8];
    old[..width].copy_from_slice(field);
    let old = u64::from_le_bytes(old);
    let new = match choices.below(4) {
        0 => old.wrapping_add(1 + choices.below(8) as u64),
        1 => old.wrapping_sub(1 + choices.below(8) as u64),
        2 => choices.below(8) as u64,
        _ => choices.number(),
    };
    field.copy_from_slice(&new.to_le_bytes()[..width]);
}

fn sign(bytes: &mut [u8], at: usize) {
    let Some((covered, stored)) = bytes.split_at_mut_checked(at) else { return };
    if let Some(stored) = stored.first_chunk_mut() {
        *stored = checksum::crc(covered).to_le_bytes();
    }
}
