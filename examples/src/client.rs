//! The client of the example stores: requests as lines of standard input, answers as lines of standard output.
//!
//! Lines are sent on without waiting for the answers to those before, as many clients at once would; the answers are
//! printed in the order of the lines. `put KEY VALUE`, `get KEY`, `delete KEY`.

use std::io::{self, BufRead, Write};
use std::path::PathBuf;
use std::sync::mpsc::{Receiver, Sender, channel, sync_channel};

use crate::{Failure, Request, core_of};

/// Where an answer goes. Dropped without one, it tells the client that its request may have been lost.
pub type Reply = Sender<String>;

/// A request, and where the answer goes.
pub type Job = (Request, Reply);

/// Requests that were sent and not yet answered, at most.
const UNANSWERED_MAX: usize = 10_000;

/// The log's directory and the number of cores, from the command line.
///
/// # Errors
/// Which arguments there should be.
pub fn arguments() -> Result<(PathBuf, usize), Failure> {
    let mut args = std::env::args().skip(1);
    let path = args.next().ok_or("usage: PROGRAM DIRECTORY [CORES]")?;
    let cores = args.next().map_or(Ok(2), |cores| cores.parse())?;
    Ok((path.into(), cores))
}

/// Reads requests from standard input until it ends, has `submit` send each to its core, and prints the answers.
///
/// # Errors
/// If reading or printing fails, a line is no request, or a request was not answered.
pub fn serve_lines(cores: usize, mut submit: impl FnMut(usize, Job)) -> Result<(), Failure> {
    std::thread::scope(|scope| {
        let (sent, answers) = sync_channel(UNANSWERED_MAX);
        let printer = scope.spawn(move || print(&answers));
        for line in io::stdin().lock().lines() {
            let request = parse(&line?)?;
            let (reply, answer) = channel();
            if sent.send((request.key().to_owned(), answer)).is_err() {
                break;
            }
            submit(core_of(request.key().as_bytes(), cores), (request, reply));
        }
        drop(sent);
        printer.join().map_err(|_| "printing panicked")?
    })
}

fn print(answers: &Receiver<(String, Receiver<String>)>) -> Result<(), Failure> {
    for (key, answer) in answers {
        let answer = answer.recv().map_err(|_| format!("{key}: not answered; the log says why"))?;
        writeln!(io::stdout(), "{answer}")?;
    }
    Ok(())
}

fn parse(line: &str) -> Result<Request, Failure> {
    let mut words = line.splitn(3, ' ');
    match (words.next(), words.next(), words.next()) {
        (Some("put"), Some(key), Some(value)) => {
            Ok(Request::Put { key: key.to_owned(), value: value.to_owned() })
        }
        (Some("get"), Some(key), None) => Ok(Request::Get { key: key.to_owned() }),
        (Some("delete"), Some(key), None) => Ok(Request::Delete { key: key.to_owned() }),
        _ => Err(format!("`{line}`: use `put KEY VALUE`, `get KEY` or `delete KEY`").into()),
    }
}
