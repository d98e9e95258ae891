//! Runs a scenario under many schedules, and says how to replay the one that failed.
//!
//! * `WAL_SCHEDULES`: how many schedules a scenario gets (1,000).
//! * `WAL_SCHEDULE_SEED`: where the seeds of the schedules start (0).
//! * `WAL_SCHEDULE_REPLAY`: the one seed to run.

use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::time::Instant;

use shuttle::{Config, FailurePersistence, MaxSteps, Runner};

use crate::scheduler::{self, Drawn};

/// Far more than any schedule needs: beyond, somebody waits for ever without blocking.
const STEPS_MAX: usize = 300_000;

/// A scenario: plays one life of a log, decided by the seed, and checks it.
pub(crate) type Scenario = fn(u64);

/// Plays the scenario under as many schedules as the environment asks for.
pub(crate) fn check(name: &str, scenario: Scenario) {
    let count = setting("WAL_SCHEDULES").unwrap_or(1_000);
    let start = setting("WAL_SCHEDULE_SEED").unwrap_or(0);
    let seeds = match setting("WAL_SCHEDULE_REPLAY") {
        Some(seed) => seed..seed + 1,
        None => start..start + count,
    };
    let (begin, first) = (Instant::now(), seeds.start);
    let result = catch_unwind(AssertUnwindSafe(|| play(seeds, scenario)));
    let seed = scheduler::seed();
    if let Err(panic) = result {
        eprintln!(
            "schedule {seed} of `{name}` failed, the {}th of this run; replay it with\n\
             cargo xtask schedules --scenario {name} --replay {seed}",
            seed - first + 1
        );
        resume_unwind(panic);
    }
    let (schedules, seconds) = (seed - first + 1, begin.elapsed().as_secs_f64());
    println!("{name}: {schedules} schedules, {} steps, {seconds:.1} s", scheduler::steps());
}

/// Plays the scenario once; a digest of every choice that was made.
pub(crate) fn trace(seed: u64, scenario: Scenario) -> u64 {
    play(seed..seed + 1, scenario);
    scheduler::trace()
}

fn play(seeds: std::ops::Range<u64>, scenario: Scenario) {
    let mut config = Config::new();
    config.stack_size = 256 * 1024;
    config.failure_persistence = FailurePersistence::None;
    config.max_steps = MaxSteps::FailAfter(STEPS_MAX);
    config.silence_warnings = true;
    config.ungraceful_shutdown_config.immediately_return_on_panic = true;
    Runner::new(Drawn::new(seeds), config).run(move || scenario(scheduler::seed()));
}

fn setting(name: &str) -> Option<u64> {
    let value = std::env::var(name).ok()?;
    Some(value.parse().unwrap_or_else(|_| panic!("{name}={value} is not a number")))
}
