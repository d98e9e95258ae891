//! The model of the disk is itself held to what it promises: each rule by an example that can break it.
#![allow(clippy::unwrap_used, reason = "a failed step is a failed test")]

use std::io::ErrorKind;

use wal_reader::{Source, read_full};
use wal_sim::disk::{CallKind, Effect, Fault, Image, Part, Pick, SimDisk, Unit};
use wal_writer::Storage;

/// A file whose name is durable, with `bytes` written and synced.
fn with_file(bytes: &[u8]) -> SimDisk {
    let disk = SimDisk::new(1);
    let file = Storage::create(&disk, "a").unwrap();
    assert_eq!(file.write_at(bytes, 0).unwrap(), bytes.len());
    file.sync_data().unwrap();
    disk.sync_directory().unwrap();
    disk
}

fn after(disk: &SimDisk, pick: Pick) -> Image {
    disk.snapshot().undecided(Unit::Sector).image(pick)
}

fn cached(disk: &SimDisk) -> Vec<u8> {
    let file = Source::open(disk, "a").unwrap();
    let mut bytes = vec![0; usize::try_from(file.len().unwrap()).unwrap()];
    read_full(&*file, &mut bytes, 0).unwrap();
    bytes
}

#[test]
fn data_is_durable_after_its_files_sync_and_a_name_after_the_directorys() {
    let disk = SimDisk::new(1);
    let file = Storage::create(&disk, "a").unwrap();
    file.write_at(b"data", 0).unwrap();
    file.sync_data().unwrap();
    assert!(!after(&disk, Pick::Nothing).has("a"), "only the data was synced");
    assert_eq!(after(&disk, Pick::All).get("a").unwrap(), b"data");
    disk.sync_directory().unwrap();
    assert_eq!(after(&disk, Pick::Nothing).get("a").unwrap(), b"data");
    file.write_at(b"more", 4).unwrap();
    assert_eq!(after(&disk, Pick::Nothing).get("a").unwrap(), b"data");
    assert_eq!(after(&disk, Pick::All).get("a").unwrap(), b"datamore");
}

#[test]
fn unsynced_sectors_survive_in_any_subset_and_pages_whole() {
    let disk = with_file(&[1; 8192]);
    let file = Storage::open(&disk, "a").unwrap();
    file.write_at(&[2; 1536], 0).unwrap();
    let sectors = disk.snapshot().undecided(Unit::Sector);
    assert_eq!((sectors.slots(), sectors.images()), (3, Some(8)));
    let mut seen = std::collections::BTreeSet::new();
    for number in 0..8 {
        let bytes = sectors.image(Pick::Number(number)).get("a").unwrap();
        seen.insert([bytes[0], bytes[512], bytes[1024], bytes[1536]]);
    }
    assert_eq!(seen.len(), 8);
    assert!(seen.iter().all(|bytes| bytes[3] == 1), "what was not written did not change");
    let pages = disk.snapshot().undecided(Unit::Page);
    assert_eq!(pages.images(), Some(2));
    assert_eq!(pages.image(Pick::Number(1)).get("a").unwrap()[1024], 2);
}

#[test]
fn a_sector_written_twice_has_three_contents_and_one_written_as_it_was_has_one() {
    let disk = with_file(&[1; 512]);
    let file = Storage::open(&disk, "a").unwrap();
    file.write_at(&[1; 512], 0).unwrap();
    assert_eq!(disk.snapshot().undecided(Unit::Sector).images(), Some(1));
    file.write_at(&[2; 512], 0).unwrap();
    file.write_at(&[3; 512], 0).unwrap();
    let undecided = disk.snapshot().undecided(Unit::Sector);
    let firsts: Vec<_> =
        (0..3).map(|number| undecided.image(Pick::Number(number)).get("a").unwrap()[0]).collect();
    assert_eq!((undecided.images(), firsts), (Some(3), vec![1, 2, 3]));
}

#[test]
fn after_a_failed_sync_the_cache_shows_what_the_medium_never_gets() {
    let mut lost = 0;
    for seed in 0..20 {
        let disk = SimDisk::from_image(&Image::of_files([("a".to_owned(), vec![1; 4096])]), seed);
        let file = Storage::open(&disk, "a").unwrap();
        file.write_at(&[2; 4096], 0).unwrap();
        disk.inject(Fault {
            kinds: &[CallKind::Sync],
            after: 0,
            effect: Effect::Error(ErrorKind::Other),
            for_good: false,
        });
        assert!(file.sync_data().is_err());
        // The next one says that all is well, and nothing is written by it that the failed one had lost.
        file.sync_data().unwrap();
        assert_eq!(cached(&disk)[0], 2, "the page is still in the cache");
        let medium = after(&disk, Pick::Nothing).get("a").unwrap()[0];
        Source::open(&disk, "a").unwrap().drop_cache(0, u64::MAX).unwrap();
        assert_eq!(cached(&disk)[0], medium, "a dropped cache shows the medium");
        lost += u32::from(medium == 1);
    }
    assert!((5..20).contains(&lost), "lost {lost} times of 20");
}

#[test]
fn dirty_pages_are_not_dropped() {
    let disk = with_file(&[1; 8192]);
    Storage::open(&disk, "a").unwrap().write_at(&[2; 100], 4096).unwrap();
    disk.drop_caches();
    assert_eq!((cached(&disk)[0], cached(&disk)[4096]), (1, 2));
}

#[test]
fn a_rename_survives_whole_or_not_and_renames_are_independent() {
    let disk = with_file(b"old");
    let file = Storage::create(&disk, "b").unwrap();
    file.write_at(b"new", 0).unwrap();
    file.sync_data().unwrap();
    disk.rename("b", "a").unwrap();
    let contents: std::collections::BTreeSet<_> = {
        let undecided = disk.snapshot().undecided(Unit::Sector);
        assert_eq!(undecided.names(), 2);
        (0..4).map(|number| undecided.image(Pick::Number(number)).get("a").unwrap()).collect()
    };
    assert_eq!(contents, [b"new".to_vec(), b"old".to_vec()].into());
    disk.sync_directory().unwrap();
    let image = after(&disk, Pick::Nothing);
    assert_eq!((image.get("a").unwrap(), image.has("b")), (b"new".to_vec(), false));
}

#[test]
fn a_process_that_was_killed_changes_nothing_any_more() {
    let disk = with_file(b"data");
    let file = Storage::open(&disk, "a").unwrap();
    let lock = disk.lock("LOCK").unwrap();
    assert!(lock.is_some() && disk.lock("LOCK").unwrap().is_none());
    let next = disk.reboot();
    assert!(file.write_at(b"late", 0).is_err() && disk.sync_directory().is_err());
    let held = next.lock("LOCK").unwrap();
    assert!(held.is_some(), "its lock is free");
    drop(lock);
    assert!(next.lock("LOCK").unwrap().is_none(), "and no longer its to free");
    assert_eq!(cached(&next), b"data");
}

#[test]
fn faults_hit_the_call_they_are_meant_for() {
    let disk = with_file(b"");
    let file = Storage::open(&disk, "a").unwrap();
    disk.inject(Fault {
        kinds: &[CallKind::Write],
        after: 1,
        effect: Effect::Short(Part::Half),
        for_good: false,
    });
    let written: Vec<_> = (0..3).map(|_| file.write_at(b"12345678", 0).unwrap()).collect();
    assert_eq!((written, disk.faults_met()), (vec![8, 4, 8], 1));
    disk.inject(Fault { kinds: &[CallKind::Write], after: 0, effect: Effect::Lost, for_good: false });
    file.sync_data().unwrap();
    assert_eq!(file.write_at(b"XXXX", 0).unwrap(), 4);
    file.sync_data().unwrap();
    assert_eq!(cached(&disk), b"XXXX5678");
    assert_eq!(after(&disk, Pick::All).get("a").unwrap(), b"12345678", "a lost write");
    disk.set_quota(Some(10));
    assert_eq!(file.allocate(11).unwrap_err().kind(), ErrorKind::StorageFull);
    disk.heal();
    file.allocate(11).unwrap();
}
