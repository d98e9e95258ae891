//! Sweeps: the whole log above the simulated disk, with every fault of the fault table at every place.
//!
//! A row of the table is a list of independent units; a unit tries its cases one by one and compares what recovery gives
//! with an oracle that kept every entry. The same budget and seed give the same cases. See `docs/testing.md`.

mod life;
mod model;

mod check;
mod layout;

mod damage;
mod interrupted;
mod io_errors;
mod lives;
mod lost_writes;
mod names;
mod power_loss;
mod short_calls;

mod rows;
mod run;

mod command;

pub use command::main;
pub use rows::{ROWS, Row};
pub use run::{Budget, Tally, run};
