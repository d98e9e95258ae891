//! The fuzz targets over their corpus (`fuzz/corpus`), without libFuzzer: what was found once is found again.
//!
//! `cargo xtask fuzz` makes new inputs. Here every input of one target is also tried on all others: they are decisions,
//! and mean something to each.

use std::path::Path;

use wal_fuzz::TARGETS;

/// One test: the targets count what the whole process allocates.
#[test]
fn every_target_holds_on_every_input_of_the_corpus() {
    let corpus = Path::new(env!("CARGO_MANIFEST_DIR")).join("../fuzz/corpus");
    let mut inputs: Vec<(String, Vec<u8>)> = Vec::new();
    for target in &TARGETS {
        let files = std::fs::read_dir(corpus.join(target.name)).expect("every target has a corpus");
        let before = inputs.len();
        for file in files {
            let path = file.expect("a folder that can be read").path();
            inputs.push((path.display().to_string(), std::fs::read(&path).expect("a file that can be read")));
        }
        assert!(inputs.len() > before, "the corpus of `{}` is empty", target.name);
    }
    for target in &TARGETS {
        for (name, input) in &inputs {
            let held = std::panic::catch_unwind(|| (target.check)(input));
            assert!(held.is_ok(), "`cargo xtask fuzz --target {} --input {name}`", target.name);
        }
    }
    println!("{} inputs on {} targets", inputs.len(), TARGETS.len());
}
