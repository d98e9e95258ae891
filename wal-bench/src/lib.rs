//! What the log is tried with: a demo on real text, a crash loop, measurements. Nothing here is part of the log.
//!
//! Four programs, each a thin `main` over a module of this library:
//!
//! - `demo`: counts the words of real text, exactly once, while the process that counts is killed ([`demo`]).
//! - `crash`: a tighter torture; every entry that comes back is checked byte by byte against an oracle ([`crash`]).
//! - `bench`: every figure that the log is judged by, beside a plain yardstick in the same run ([`measure`]), as data
//!   ([`results`]) and as documents ([`report`]).
//! - `load`: a whole process under load, at a rate or as fast as it goes ([`load`]).
//!
//! The first two start themselves a second time, as the engine that is killed: a crash that is only simulated inside
//! a process forgives too much.
#![forbid(unsafe_code)]
#![allow(
    clippy::disallowed_types,
    clippy::disallowed_methods,
    reason = "workloads measure time, start threads and share flags; the log itself takes all of these as parameters"
)]

pub mod args;
pub mod child;
pub mod machine;
pub mod nowhere;
pub mod pinned;
pub mod random;
pub mod samples;
pub mod table;
pub mod usage;
pub mod workload;
pub mod yardstick;

pub mod demo;

pub mod crash;

pub mod measure;

pub mod load;

pub mod compare;
pub mod report;
pub mod results;
pub mod steps;
