//! One entry on one line, for people and for machines.

use wal_format::{EntryRef, OperationRef};

use super::text::{count, hex, quoted, time};
use crate::json::Json;

/// A value longer than this is cut in lines for people.
const VALUE_BYTES_SHOWN: usize = 100;

/// An entry as a line for people. `more`: the next entry of this core belongs to the same batch.
pub(super) fn line(entry: &EntryRef<'_>, more: bool, as_hex: bool) -> String {
    let EntryRef { epoch, sequence, core_id, timestamp_ns, .. } = *entry;
    let (epoch, core, sequence, time) = (epoch.0, core_id.0, sequence.0, time(timestamp_ns));
    let operation = operation(&entry.operation, as_hex);
    let batch = if more { "  (batch goes on)" } else { "" };
    format!("epoch {epoch:<5} core {core:<3} seq {sequence:<9} {time}  {operation}{batch}")
}

/// What an operation says, for people.
pub(super) fn operation(operation: &OperationRef<'_>, as_hex: bool) -> String {
    let shown = |bytes: &[u8]| {
        let cut = bytes.get(..VALUE_BYTES_SHOWN).unwrap_or(bytes);
        let text = if as_hex { format!("0x{}", hex(cut)) } else { quoted(cut) };
        if cut.len() < bytes.len() { format!("{text}... {} bytes", count(bytes.len() as u64)) } else { text }
    };
    match *operation {
        OperationRef::Put { key, value } => format!("put {} = {}", shown(key), shown(value)),
        OperationRef::Delete { key } => format!("delete {}", shown(key)),
        OperationRef::Checkpoint { id } => format!("checkpoint {id}"),
        OperationRef::Commit { offsets, watermark } => {
            let offsets: Vec<_> =
                offsets.iter().map(|(source, offset)| format!("{source:?} {offset}")).collect();
            let watermark = watermark.map_or_else(String::new, |at| format!(" watermark {at}"));
            format!("commit {}{watermark}", offsets.join(", "))
        }
        OperationRef::EpochBarrier => "barrier".to_owned(),
    }
}

/// The name of an operation, as `--op` takes it.
pub(super) fn name(operation: &OperationRef<'_>) -> &'static str {
    match operation {
        OperationRef::Put { .. } => "put",
        OperationRef::Delete { .. } => "delete",
        OperationRef::Checkpoint { .. } => "checkpoint",
        OperationRef::Commit { .. } => "commit",
        OperationRef::EpochBarrier => "barrier",
    }
}

/// Everything that an entry says.
pub(super) fn write(json: &mut Json, entry: &EntryRef<'_>, more: bool, as_hex: bool) {
    json.number("epoch", entry.epoch);
    json.number("core", entry.core_id);
    json.number("sequence", entry.sequence);
    json.number("timestamp_ns", entry.timestamp_ns);
    json.string("op", name(&entry.operation));
    match entry.operation {
        OperationRef::Put { key, value } => {
            write_bytes(json, "key", key, as_hex);
            write_bytes(json, "value", value, as_hex);
        }
        OperationRef::Delete { key } => write_bytes(json, "key", key, as_hex),
        OperationRef::Checkpoint { id } => json.number("id", id),
        OperationRef::Commit { offsets, watermark } => {
            let offsets: Vec<_> = offsets.iter().collect();
            json.objects("offsets", &offsets, |json, (source, offset)| {
                json.string("source", source);
                json.number("offset", offset);
            });
            json.optional_number("watermark", watermark);
        }
        OperationRef::EpochBarrier => {}
    }
    json.bool("more_of_batch", more);
}

/// Bytes under `name` if they are UTF-8, else, or if asked for, as hexadecimal digits under `name_hex`.
pub(super) fn write_bytes(json: &mut Json, name: &str, bytes: &[u8], as_hex: bool) {
    match std::str::from_utf8(bytes) {
        Ok(text) if !as_hex => json.string(name, text),
        _ => json.string(&format!("{name}_hex"), hex(bytes)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use wal_format::{CoreId, Epoch, Offsets, Sequence};

    #[track_caller]
    fn check(operation: OperationRef<'_>, people: &str, machines: &str) {
        let entry = EntryRef {
            epoch: Epoch(3),
            sequence: Sequence(12),
            core_id: CoreId(1),
            timestamp_ns: 1_700_000_000_123_456_789,
            operation,
        };
        let line = line(&entry, true, false);
        let expected = format!(
            "epoch 3     core 1   seq 12        2023-11-14 22:13:20.123456  {people}  (batch goes on)"
        );
        assert_eq!(line, expected);
        let json = Json::document(|json| write(json, &entry, false, false));
        let head = r#"{"epoch":3,"core":1,"sequence":12,"timestamp_ns":1700000000123456789,"op":"#;
        assert_eq!(json, format!("{head}{machines},\"more_of_batch\":false}}"));
    }

    #[test]
    fn every_operation_is_one_line() {
        check(
            OperationRef::Put { key: b"k\n", value: &[0xff; 2] },
            r#"put "k\x0a" = "\xff\xff""#,
            r#""put","key":"k\n","value_hex":"ffff""#,
        );
        check(OperationRef::Delete { key: b"" }, r#"delete """#, r#""delete","key":"""#);
        check(OperationRef::Checkpoint { id: 7 }, "checkpoint 7", r#""checkpoint","id":7"#);
        check(OperationRef::EpochBarrier, "barrier", r#""barrier""#);
        let offsets = [("orders", 5), ("b", u64::MAX)];
        check(
            OperationRef::Commit { offsets: Offsets::new(&offsets), watermark: Some(-2) },
            r#"commit "orders" 5, "b" 18446744073709551615 watermark -2"#,
            r#""commit","offsets":[{"source":"orders","offset":5},{"source":"b","offset":18446744073709551615}],"watermark":-2"#,
        );
    }

    #[test]
    fn a_long_value_is_cut_for_people_alone() {
        let put = OperationRef::Put { key: b"k", value: &[b'v'; 1000] };
        let text = operation(&put, true);
        assert!(text.len() < 300 && text.ends_with("... 1 000 bytes"), "{text}");
    }

    #[test]
    fn bytes_are_digits_if_they_are_no_text_or_if_asked_for() {
        let of = |bytes, as_hex| Json::document(|json| write_bytes(json, "key", bytes, as_hex));
        assert_eq!(of(b"k", false), r#"{"key":"k"}"#);
        assert_eq!(of(b"k", true), r#"{"key_hex":"6b"}"#);
        assert_eq!(of(b"\xff", false), r#"{"key_hex":"ff"}"#);
    }
}
