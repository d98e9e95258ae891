//! Where everything stands in a log, by the format alone, and what of it would be proof of what else: an oracle for damage that
//! shares no code with the readers but the codec.

use std::collections::BTreeMap;

use wal_format::{
    Barrier, CoreId, Epoch, FileName, Found, FrameKind, HeaderBlock, LogId, Manifest, Meta, Origin,
    SegmentNumber, SegmentSeed, Sequence, names,
};

use crate::disk::Image;

const HEADER_BLOCK_BYTES: usize = 4096;
const FRAME_HEADER_BYTES: usize = 64;

/// A header block or a frame of the log, a manifest or any other file as a whole.
#[derive(Clone, Debug)]
pub(crate) struct Item {
    pub(crate) file: String,
    pub(crate) from: usize,
    pub(crate) to: usize,
    /// Of a frame or segment header: whose log, and where in it.
    pub(crate) place: Option<Place>,
    proofs: Vec<Proof>,
    cuts: Vec<(Epoch, CoreId, Sequence)>,
    durable_epoch: Option<Epoch>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Place {
    pub(crate) core: CoreId,
    pub(crate) segment: SegmentNumber,
    pub(crate) offset: u64,
    /// First sequence number there.
    pub(crate) sequence: Sequence,
}

/// A core's log was durable up to this place.
#[derive(Clone, Copy, Debug)]
struct Proof {
    core: CoreId,
    segment: SegmentNumber,
    offset: u64,
}

/// All items of an image.
#[derive(Clone, Debug)]
pub(crate) struct Layout {
    pub(crate) items: Vec<Item>,
}

impl Layout {
    pub(crate) fn of(image: &Image) -> Result<Self, String> {
        let bytes = |name: &str| image.get(name).ok_or_else(|| format!("{name} is missing"));
        let failed = |error: wal_format::FormatError| error.to_string();
        let log_id = Meta::decode(&bytes(names::META)?).map_err(failed)?.log_id;
        let manifest = match image.get(names::MANIFEST) {
            Some(manifest) => Some(Manifest::decode(&manifest).map_err(failed)?),
            None => None,
        };
        let mut items = vec![Item::whole(names::META, image)];
        let mut segments = BTreeMap::new();
        for name in image.names() {
            match FileName::parse(name) {
                Some(FileName::Segment(core, segment)) => drop(segments.insert((core, segment), name)),
                Some(FileName::Run(run))
                    if manifest
                        .as_ref()
                        .is_some_and(|manifest| manifest.runs.iter().any(|meta| meta.run == run)) =>
                {
                    items.push(Item::whole(name, image));
                }
                _ => {}
            }
        }
        if let Some(manifest) = &manifest {
            let mut item = Item::whole(names::MANIFEST, image);
            item.durable_epoch = Some(manifest.epoch);
            item.proofs = manifest
                .cores
                .iter()
                .map(|core| Proof { core: core.core, segment: core.segment, offset: core.offset })
                .collect();
            items.push(item);
        }
        for ((core, segment), name) in segments {
            let position = manifest.as_ref().and_then(|manifest| manifest.core(core));
            if position.is_some_and(|position| segment < position.segment) {
                continue;
            }
            let needed_from =
                position.filter(|position| position.segment == segment).map_or(0, |position| position.offset);
            items.extend(segment_items(name, &bytes(name)?, log_id, core, segment, needed_from));
        }
        Ok(Self { items })
    }

    /// Per core that loses something if these items cannot be read: the first of them, and whether anything that is left
    /// proves that it had been durable.
    pub(crate) fn losses(&self, damaged: &[usize]) -> Vec<(Place, bool)> {
        let left =
            || self.items.iter().enumerate().filter(|(at, _)| !damaged.contains(at)).map(|(_, item)| item);
        let durable = left().filter_map(|item| item.durable_epoch).max();
        let mut first: BTreeMap<CoreId, Place> = BTreeMap::new();
        for place in damaged.iter().filter_map(|at| self.items[*at].place) {
            let first = first.entry(place.core).or_insert(place);
            *first = (*first).min(place);
        }
        let is_proven = |place: &Place| left().any(|item| item.proves(place, durable));
        first.into_values().map(|place| (place, is_proven(&place))).collect()
    }

    /// Whether a loss at `place` is proven, and neither by this core's own log nor by the manifest.
    pub(crate) fn is_proven_by_others_alone(&self, place: &Place, damaged: &[usize]) -> bool {
        let left = || self.items.iter().enumerate().filter(|(at, _)| !damaged.contains(at)).map(|(_, of)| of);
        let durable = left().filter_map(|item| item.durable_epoch).max();
        let mut witnesses = left().filter(|item| item.proves(place, durable)).peekable();
        let is_other = |item: &Item| item.place.is_some_and(|of| of.core != place.core);
        witnesses.peek().is_some() && witnesses.all(is_other)
    }

    /// The items that bytes from `from` to `to` of a file belong to.
    pub(crate) fn at(&self, file: &str, from: usize, to: usize) -> Vec<usize> {
        let touches = |item: &Item| item.file == file && item.from < to && from < item.to;
        self.items.iter().enumerate().filter(|(_, item)| touches(item)).map(|(at, _)| at).collect()
    }
}

impl Item {
    fn whole(name: &str, image: &Image) -> Self {
        let to = usize::try_from(image.length(name)).unwrap_or(usize::MAX);
        let (proofs, cuts) = (Vec::new(), Vec::new());
        Self { file: name.to_owned(), from: 0, to, place: None, proofs, cuts, durable_epoch: None }
    }

    /// Whether it says that what stands at `place` had been durable, given that all epochs up to `durable` had been.
    fn proves(&self, place: &Place, durable: Option<Epoch>) -> bool {
        let by_place = |proof: &Proof| {
            proof.core == place.core && (proof.segment, proof.offset) > (place.segment, place.offset)
        };
        let by_cut = |(epoch, core, cut): &(Epoch, CoreId, Sequence)| {
            *core == place.core && Some(*epoch) <= durable && *cut > place.sequence
        };
        self.proofs.iter().any(by_place) || self.cuts.iter().any(by_cut)
    }
}

/// The header of a segment and its frames, as far as they hold; frames below `needed_from` are of no use to anybody.
fn segment_items(
    name: &str,
    bytes: &[u8],
    log_id: LogId,
    core: CoreId,
    segment: SegmentNumber,
    needed_from: u64,
) -> Vec<Item> {
    let header = bytes.get(..HEADER_BLOCK_BYTES).map(HeaderBlock::decode);
    let Some(Ok(HeaderBlock::Header(header))) = header else { return Vec::new() };
    if (header.log_id, header.core, header.segment) != (log_id, core, segment) {
        return Vec::new();
    }
    let mut items = Vec::new();
    let place = |offset: u64, sequence| Some(Place { core, segment, offset, sequence });
    let item = |from: usize, to: usize, place| Item {
        file: name.to_owned(),
        from,
        to,
        place,
        proofs: Vec::new(),
        cuts: Vec::new(),
        durable_epoch: None,
    };
    let mut first = item(0, HEADER_BLOCK_BYTES, place(0, header.first_sequence));
    first.proofs = header
        .previous
        .into_iter()
        .map(|previous| {
            let through =
                if header.origin == Origin::Resumption { previous.end } else { previous.synced_through };
            Proof { core, segment: previous.segment, offset: through }
        })
        .filter(|proof| proof.offset > 0)
        .collect();
    items.push(first);
    let seed = SegmentSeed::new(log_id, core, segment);
    let mut at = HEADER_BLOCK_BYTES;
    while let Some(rest) = bytes.get(at..)
        && let Ok(Found::Header(frame)) = Found::at(&seed, at as u64, rest)
        && let Some(payload) = rest.get(FRAME_HEADER_BYTES..frame.frame_bytes())
        && frame.check_payload(&seed, at as u64, payload).is_ok()
    {
        let end = at + frame.frame_bytes();
        let place = (at as u64 >= needed_from).then_some(()).and(place(at as u64, frame.first_sequence));
        // Two items: a header that holds is evidence, whatever became of its payload.
        let (mut head, mut body) =
            (item(at, at + FRAME_HEADER_BYTES, place), item(at + FRAME_HEADER_BYTES, end, place));
        if frame.synced_through > 0 {
            head.proofs.push(Proof { core, segment, offset: frame.synced_through });
        }
        if frame.kind == FrameKind::Barrier
            && let Some(payload) = payload.get(..frame.payload_bytes as usize)
            && let Ok(barrier) = Barrier::decode(payload)
        {
            body.cuts = barrier.cuts.iter().map(|(core, cut)| (frame.epoch, *core, *cut)).collect();
            body.durable_epoch = Some(barrier.durable_epoch);
        }
        items.extend([head, body]);
        at = end;
    }
    items
}
