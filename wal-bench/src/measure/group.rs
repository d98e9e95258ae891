//! Group commit: what a core acknowledges in a second when one client waits for its entry to be durable, and when 64 do.
//!
//! A core's thread serves its clients as an event loop does: each client has one entry on its way, and hands in the next as
//! soon as that one is durable. Nobody waits for anybody else's entry; the flushers' syncs gather what has arrived.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Wake, Waker};
use std::thread::{self, Thread};
use std::time::{Duration, Instant};

use wal_coordinator::{CoreWalWriter, Receipt};

use super::samples::Samples;
use super::{Failure, Measured, Plan, Row, VALUE_BYTES, key};

const CLIENTS: usize = 64;

pub(super) fn measure(plan: &Plan) -> Result<Measured, Failure> {
    let directory = plan.temporary()?;
    let mut manager = super::open(directory.path(), 2)?;
    let mut writers = [manager.take_writer(0)?, manager.take_writer(1)?];
    let time = Duration::from_millis(plan.choose(500, 200));
    let (mut alone, mut group, mut cores) = (Samples::default(), Samples::default(), Samples::default());
    for _ in 0..plan.choose(7, 3) {
        alone.push(rate(&mut writers[..1], 1, time)?);
        group.push(rate(&mut writers[..1], CLIENTS, time)?);
        cores.push(rate(&mut writers, CLIENTS, time)?);
    }
    let (alone, group, cores) = (alone.median(), group.median(), cores.median());
    let one = Row::beside("64 waiting clients on one core, beside one client", group, alone, "k entries/s");
    let two =
        Row::beside("64 waiting clients on each of two cores, beside one core", cores, group, "k entries/s");
    Ok(vec![one.aim("group"), two.aim("group-cores")].into())
}

/// Thousands of entries a second that become durable, with so many clients on each core.
#[allow(clippy::cast_precision_loss, reason = "counts far below 2^52")]
fn rate(writers: &mut [CoreWalWriter], clients: usize, time: Duration) -> Result<f64, Failure> {
    let started = Instant::now();
    let counts = thread::scope(|scope| {
        let cores: Vec<_> =
            writers.iter_mut().map(|writer| scope.spawn(move || serve(writer, clients, time))).collect();
        let each = cores.into_iter().map(|core| core.join().map_err(|_| Failure::from("a core panicked"))?);
        each.collect::<Result<Vec<_>, _>>()
    })?;
    Ok(counts.into_iter().sum::<u64>() as f64 / 1e3 / started.elapsed().as_secs_f64())
}

/// Serves `clients` for about `time`; how many entries became durable.
fn serve(writer: &mut CoreWalWriter, clients: usize, time: Duration) -> Result<u64, Failure> {
    let waker = Waker::from(Arc::new(Unpark(thread::current())));
    let mut context = Context::from_waker(&waker);
    let mut waiting: Vec<Receipt> = Vec::new();
    for client in 0..clients {
        waiting.push(append(writer, client as u64)?);
    }
    let (started, mut count) = (Instant::now(), 0);
    while started.elapsed() < time {
        let before = count;
        for receipt in &mut waiting {
            if let Poll::Ready(result) = Pin::new(&mut *receipt).poll(&mut context) {
                result?;
                count += 1;
                *receipt = append(writer, count)?;
            }
        }
        if count == before {
            thread::park();
        }
    }
    waiting.into_iter().try_for_each(Receipt::wait)?;
    Ok(count)
}

fn append(writer: &mut CoreWalWriter, number: u64) -> Result<Receipt, Failure> {
    writer.append_put(&key(number), &[6; VALUE_BYTES])?;
    Ok(writer.durable())
}

struct Unpark(Thread);

impl Wake for Unpark {
    fn wake(self: Arc<Self>) {
        self.0.unpark();
    }
}
