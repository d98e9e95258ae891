//! A device that hangs stops the clients, and not the executor's thread: every other task of the core runs on.
#![allow(
    clippy::unwrap_used,
    clippy::disallowed_types,
    reason = "a failed step is a failed test; a device that hangs"
)]

use std::io;
use std::path::PathBuf;
use std::sync::mpsc::channel;
use std::sync::{Arc, Condvar, Mutex};
use std::time::Duration;

use tokio::sync::mpsc;
use wal_coordinator::{
    CoreWalWriter, DirectoryStorage, LogOptions, PerCoreWalConfig, PerCoreWalManager, Storage, StorageFile,
};
use wal_examples::async_core::serve;
use wal_examples::{Job, Request, Shard};

/// Whether the device hangs.
#[derive(Default)]
struct Device {
    hangs: Mutex<bool>,
    changed: Condvar,
}

impl Device {
    fn hang(&self, hangs: bool) {
        *self.hangs.lock().unwrap() = hangs;
        self.changed.notify_all();
    }

    fn wait(&self) {
        drop(self.changed.wait_while(self.hangs.lock().unwrap(), |hangs| *hangs).unwrap());
    }
}

/// Lets a test that fails end, too.
struct Hangs<'a>(&'a Device);

impl Drop for Hangs<'_> {
    fn drop(&mut self) {
        self.0.hang(false);
    }
}

/// An executor may poll the task that answers pings as often as this before it polls the core once.
const TURNS: u32 = 200;

struct Hanging(DirectoryStorage, Arc<Device>);
struct HangingFile(Arc<dyn StorageFile>, Arc<Device>);

impl Hanging {
    fn file(&self, file: Arc<dyn StorageFile>) -> Arc<dyn StorageFile> {
        Arc::new(HangingFile(file, Arc::clone(&self.1)))
    }
}

impl Storage for Hanging {
    fn create(&self, name: &str) -> io::Result<Arc<dyn StorageFile>> {
        Ok(self.file(self.0.create(name)?))
    }
    fn open(&self, name: &str) -> io::Result<Arc<dyn StorageFile>> {
        Ok(self.file(self.0.open(name)?))
    }
    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        self.0.rename(from, to)
    }
    fn remove(&self, name: &str) -> io::Result<()> {
        self.0.remove(name)
    }
    fn sync_directory(&self) -> io::Result<()> {
        self.0.sync_directory()
    }
    fn lock(&self, name: &str) -> io::Result<Option<Box<dyn Send + Sync>>> {
        self.0.lock(name)
    }
    fn path(&self, name: &str) -> PathBuf {
        self.0.path(name)
    }
}

impl StorageFile for HangingFile {
    fn write_at(&self, bytes: &[u8], offset: u64) -> io::Result<usize> {
        self.0.write_at(bytes, offset)
    }
    fn allocate(&self, length: u64) -> io::Result<()> {
        self.0.allocate(length)
    }
    fn sync_data(&self) -> io::Result<()> {
        self.1.wait();
        self.0.sync_data()
    }
}

type Pings = mpsc::Receiver<std::sync::mpsc::Sender<()>>;

async fn answer_pings(mut pings: Pings) {
    while let Some(pong) = pings.recv().await {
        let _ = pong.send(());
    }
}

type Core = fn(CoreWalWriter, LogOptions, mpsc::Receiver<Job>, Pings);

fn under_tokio(writer: CoreWalWriter, options: LogOptions, jobs: mpsc::Receiver<Job>, pings: Pings) {
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let core = async {
        tokio::task::spawn_local(answer_pings(pings));
        let spawn = |task| drop(tokio::task::spawn_local(task));
        serve(Shard::new(), writer, options, jobs, spawn).await.unwrap();
    };
    tokio::task::LocalSet::new().block_on(&runtime, core);
}

async fn monoio_core(writer: CoreWalWriter, options: LogOptions, jobs: mpsc::Receiver<Job>, pings: Pings) {
    drop(monoio::spawn(answer_pings(pings)));
    serve(Shard::new(), writer, options, jobs, |task| drop(monoio::spawn(task))).await.unwrap();
}

fn under_monoio_on_epoll(
    writer: CoreWalWriter,
    options: LogOptions,
    jobs: mpsc::Receiver<Job>,
    pings: Pings,
) {
    let runtime = monoio::RuntimeBuilder::<monoio::LegacyDriver>::new().build();
    runtime.unwrap().block_on(monoio_core(writer, options, jobs, pings));
}

fn under_monoio_on_io_uring(
    writer: CoreWalWriter,
    options: LogOptions,
    jobs: mpsc::Receiver<Job>,
    pings: Pings,
) {
    let runtime = monoio::RuntimeBuilder::<monoio::IoUringDriver>::new().build();
    runtime.unwrap().block_on(monoio_core(writer, options, jobs, pings));
}

#[track_caller]
fn check(run: Core) {
    let directory = tempfile::tempdir().unwrap();
    let device = Arc::new(Device::default());
    let mut config = PerCoreWalConfig::new(directory.path(), 1);
    config.storage = Arc::new(Hanging(DirectoryStorage::new(directory.path()), Arc::clone(&device)));
    config.log.ring_bytes = 16 * 1024;
    let options = config.log;
    let mut manager = PerCoreWalManager::new(config).unwrap();
    let writer = manager.take_writer(0).unwrap();
    let handle = manager.handle();
    std::thread::scope(|scope| {
        let (queue, jobs) = mpsc::channel(16);
        let (ping, pings) = mpsc::channel(1);
        scope.spawn(move || run(writer, options, jobs, pings));
        // The first append waits for the first segment; later ones are made ahead.
        let (reply, answer) = channel();
        queue.blocking_send((Request::Put { key: "first".to_owned(), value: String::new() }, reply)).unwrap();
        assert_eq!(answer.recv().unwrap(), "stored first");
        let hangs = Hangs(&device);
        device.hang(true);
        let mut answers = Vec::new();
        // The core takes requests as long as there is room: it is full when turns of its executor take none.
        let mut full_turns = 0;
        while full_turns < TURNS {
            let mut accepted = 0;
            loop {
                let (reply, answer) = channel();
                let request = Request::Put { key: format!("key {}", answers.len()), value: "v".repeat(100) };
                if queue.try_send((request, reply)).is_err() {
                    break;
                }
                accepted += 1;
                answers.push(answer);
            }
            let (pong, ponged) = channel();
            ping.blocking_send(pong).unwrap();
            let alive = ponged.recv_timeout(Duration::from_secs(20));
            assert!(alive.is_ok(), "the executor's thread is blocked");
            full_turns = if accepted == 0 { full_turns + 1 } else { 0 };
        }
        assert!(answers.len() < 500, "{} requests in a ring of 16 KiB", answers.len());
        assert!(answers.iter().all(|answer| answer.try_recv().is_err()), "answered before it was durable");
        assert!(handle.positions()[0].sequence.0 > 20, "hardly anything was taken");
        drop(hangs);
        for (number, answer) in answers.iter().enumerate() {
            assert_eq!(answer.recv().unwrap(), format!("stored key {number}"));
        }
        drop((queue, ping));
    });
    manager.close().unwrap();
}

#[test]
fn a_device_that_hangs_stops_clients_and_not_tokio() {
    check(under_tokio);
}

#[test]
fn a_device_that_hangs_stops_clients_and_not_monoio_on_epoll() {
    check(under_monoio_on_epoll);
}

#[test]
fn a_device_that_hangs_stops_clients_and_not_monoio_on_io_uring_where_there_is_one() {
    if monoio::utils::detect_uring() {
        check(under_monoio_on_io_uring);
    } else {
        eprintln!("NOT TESTED: this kernel, or container, has no io_uring");
    }
}
