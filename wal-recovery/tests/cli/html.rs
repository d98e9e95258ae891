//! The page: complete in itself, with everything that the log holds, and drawn by a browser if there is one.

use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};

use serde_json::Value;
use wal_coordinator::PerCoreWalManager;

use crate::fixture::{Fixture, config};

/// The data in the page.
fn data(page: &str) -> Value {
    let marker = "<script type=\"application/json\" id=\"log\">";
    let from = page.find(marker).expect("the page has data") + marker.len();
    let to = from + page[from..].find("</script>").unwrap();
    serde_json::from_str(&page[from..to]).unwrap()
}

fn sum(lanes: &Value, name: &str) -> u64 {
    let blocks = lanes.as_array().unwrap().iter().flat_map(|lane| lane["blocks"].as_array().unwrap());
    blocks.map(|block| block[name].as_u64().unwrap()).sum()
}

#[test]
fn the_page_holds_every_entry_and_reaches_for_nothing() {
    let fixture = Fixture::small();
    let page = fixture.wal(&["html"]);
    let page = page.expect(0);
    for part in [
        "<!doctype html>",
        "Content-Security-Policy",
        "default-src 'none'",
        "id=\"chart\"",
        "<style>",
        "</html>",
    ] {
        assert!(page.contains(part), "no {part}");
    }
    for way in ["http://", "https://", " src=", "<link", "@import", "url(\"http"] {
        assert!(!page.contains(way), "the page reaches out by {way}");
    }
    let shown = data(page);
    assert_eq!(shown, fixture.wal(&["html", "--json"]).json());
    assert_eq!((shown["lanes"].as_array().unwrap().len(), sum(&shown["lanes"], "entries")), (2, 6));
    assert_eq!(shown["checkpoint"]["epoch"], 1);
    let epochs: Vec<_> =
        shown["epochs"].as_array().unwrap().iter().map(|epoch| epoch["epoch"].as_u64()).collect();
    assert_eq!(epochs, [Some(2), Some(3)]);
    let places: Vec<_> =
        shown["axis"].as_array().unwrap().iter().map(|piece| piece["x1"].as_f64().unwrap()).collect();
    assert!((places.last().unwrap() - 1.0).abs() < 1e-6 && places.is_sorted(), "{places:?}");
}

#[test]
fn a_gap_is_shown_where_it_is() {
    let fixture = Fixture::four();
    let page = fixture.wal(&["html"]);
    let page = page.expect(1);
    let shown = data(page);
    let gaps = shown["lanes"][2]["gaps"].as_array().unwrap();
    assert_eq!(gaps.len(), 1, "{gaps:?}");
    assert!(
        gaps[0]["lost"].as_u64() > Some(0) && gaps[0]["t1"].as_f64() > gaps[0]["t0"].as_f64(),
        "{gaps:?}"
    );
    assert!(page.contains("What cannot be read") && page.contains("pill bad"));
    let dumped = fixture.wal(&["dump", "--json"]);
    assert_eq!(sum(&shown["lanes"], "entries"), dumped.json_lines().len() as u64);
}

#[test]
fn a_log_of_many_frames_fits_a_page() {
    let fixture = Fixture::empty();
    let mut manager = PerCoreWalManager::new(config(&fixture.log(), 1)).unwrap();
    for number in 0..3000_u32 {
        manager.writer(0).append_put(&number.to_le_bytes(), b"value").unwrap();
        if number % 3 == 0 {
            manager.writer(0).sync().unwrap();
        }
    }
    manager.sync_all().unwrap();
    drop(manager);
    let shown = fixture.wal(&["html", "--json", "--blocks", "100"]).json();
    let lane = &shown["lanes"][0];
    assert!(lane["blocks"].as_array().unwrap().len() <= 100 && lane["frames_a_block"].as_u64() > Some(8));
    assert_eq!((sum(&shown["lanes"], "entries"), sum(&shown["lanes"], "frames")), (3000, 1001));
}

#[test]
fn nothing_in_a_directory_becomes_markup() {
    let fixture = Fixture::small();
    let path = fixture.place.path().join("<script>alert(1)</script>");
    fs::rename(fixture.log(), &path).unwrap_or_else(|_| {
        // The name has a slash: a folder of its own.
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::rename(fixture.log(), &path).unwrap();
    });
    let page = crate::fixture::run(&["html"], &[&path]);
    assert!(!page.expect(0).contains("<script>alert"));
    assert!(page.out.contains("&lt;script&gt;alert"));
}

/// What a browser makes of the page; `None`, said aloud, if there is no browser.
fn browser(page: &Path, arguments: &[&str]) -> Option<String> {
    let mut command = Command::new("chromium");
    command.args([
        "--headless",
        "--no-sandbox",
        "--disable-gpu",
        "--hide-scrollbars",
        "--window-size=1360,1100",
    ]);
    command.args(arguments).arg(format!("file://{}", page.display())).stderr(Stdio::null());
    match command.output() {
        Ok(output) => Some(String::from_utf8_lossy(&output.stdout).into_owned()),
        Err(error) => {
            eprintln!("NOT TESTED: there is no `chromium` to draw the page ({error})");
            None
        }
    }
}

#[test]
fn a_browser_draws_every_lane_the_gap_and_the_checkpoint() {
    let place = Path::new(env!("CARGO_TARGET_TMPDIR"));
    for (name, fixture, lanes) in [("four", Fixture::four(), 4), ("one", Fixture::one(), 1)] {
        let page = place.join(format!("wal-html-{name}.html"));
        fs::write(&page, fixture.wal(&["html"]).out).unwrap();
        let Some(drawn) = browser(&page, &["--dump-dom"]) else { return };
        for core in 0..lanes {
            assert!(drawn.contains(&format!(">core {core}</text>")), "core {core} has no lane");
            assert!(drawn.contains(&format!("<rect data-l=\"{core}\" data-f=")), "core {core} has no frames");
        }
        assert_eq!(drawn.contains("data-g=\"0\""), name == "four", "the gap");
        assert_eq!(drawn.contains(">checkpoint of epoch "), name == "four", "the checkpoint");
        assert!(!drawn.contains("NaN"), "something has no place");
        // For those who look: beside the page.
        let screenshot = format!("--screenshot={}", place.join(format!("wal-html-{name}.png")).display());
        browser(&page, &[&screenshot]);
    }
}

#[test]
fn frames_are_joined_only_if_a_core_has_more_than_its_share_of_blocks() {
    let fixture = Fixture::empty();
    let mut manager = PerCoreWalManager::new(config(&fixture.log(), 2)).unwrap();
    for number in 0..130_u32 {
        manager.writer(0).append_put(&number.to_le_bytes(), b"value").unwrap();
        manager.writer(0).sync().unwrap();
    }
    manager.writer(1).append_put(b"key", b"value").unwrap();
    manager.sync_all().unwrap();
    drop(manager);
    let lane = |blocks: u64| {
        let shown = fixture.wal(&["html", "--json", "--blocks", &blocks.to_string()]).json();
        let lane = &shown["lanes"][0];
        (lane["blocks"].as_array().unwrap().len() as u64, lane["frames_a_block"].as_u64().unwrap())
    };
    let (frames, each) = lane(100_000);
    assert!(frames >= 130 && each == 1, "{frames}");
    // Half of the blocks are the other core's.
    assert_eq!(lane(2 * frames), (frames, 1));
    let (joined, each) = lane(2 * (frames - 1));
    assert!(joined < frames && each == 2, "{joined} blocks of {each} frames");
}
