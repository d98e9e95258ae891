//! A process that is started to be killed: its lines as they come, and those that it had still written when it died.

use std::io::{self, BufRead, BufReader};
use std::process::{Child, ChildStdout, Command, ExitStatus, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::thread::JoinHandle;
use std::time::Instant;

/// A running engine. Killed when dropped: none outlives its parent's work.
#[derive(Debug)]
pub struct Engine {
    child: Child,
    lines: Receiver<String>,
    reader: Option<JoinHandle<()>>,
}

/// What came next.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Next {
    /// A whole line, without its end.
    Line(String),
    /// Nothing until the deadline.
    Deadline,
    /// The engine closed its output: it is about to be gone.
    End,
}

impl Engine {
    /// Starts this very program again with `args`. Its errors go where ours go.
    ///
    /// # Errors
    /// Whatever the system says about starting it.
    pub fn start(args: &[String]) -> io::Result<Self> {
        Self::start_program(&std::env::current_exe()?, args, &[])
    }

    /// Starts any program, with more in its environment than we have.
    ///
    /// # Errors
    /// Whatever the system says about starting it.
    pub fn start_program(
        program: &std::path::Path,
        args: &[String],
        environment: &[(&str, String)],
    ) -> io::Result<Self> {
        let mut command = Command::new(program);
        command.args(args).envs(environment.iter().map(|(name, value)| (name, value)));
        let mut child = command.stdin(Stdio::null()).stdout(Stdio::piped()).spawn()?;
        let (sender, lines) = channel();
        let output = child.stdout.take();
        let reader = std::thread::spawn(move || {
            for line in output.into_iter().flat_map(whole_lines) {
                if sender.send(line).is_err() {
                    return;
                }
            }
        });
        Ok(Self { child, lines, reader: Some(reader) })
    }

    /// Waits for a line until `deadline`, or for good.
    pub fn next(&mut self, deadline: Option<Instant>) -> Next {
        let Some(deadline) = deadline else {
            return self.lines.recv().map_or(Next::End, Next::Line);
        };
        match self.lines.recv_timeout(deadline.saturating_duration_since(Instant::now())) {
            Ok(line) => Next::Line(line),
            Err(RecvTimeoutError::Timeout) => Next::Deadline,
            Err(RecvTimeoutError::Disconnected) => Next::End,
        }
    }

    /// Sends SIGKILL, waits until the process is gone, and returns the lines that it had still written, and how it
    /// ended: perhaps by itself, a moment earlier.
    ///
    /// # Errors
    /// Whatever the system says about waiting for it.
    pub fn kill(mut self) -> io::Result<(Vec<String>, ExitStatus)> {
        self.child.kill()?;
        let status = self.child.wait()?;
        Ok((self.lines.iter().collect(), status))
    }

    /// Waits until the process ends by itself.
    ///
    /// # Errors
    /// Whatever the system says about waiting for it.
    pub fn wait(mut self) -> io::Result<ExitStatus> {
        self.child.wait()
    }
}

impl Drop for Engine {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        if let Some(reader) = self.reader.take() {
            let _ = reader.join();
        }
    }
}

/// Lines with an end. What a killed process had begun to write acknowledges nothing.
fn whole_lines(output: ChildStdout) -> impl Iterator<Item = String> {
    let mut output = BufReader::new(output);
    std::iter::from_fn(move || {
        let mut line = String::new();
        match output.read_line(&mut line) {
            Ok(_) if line.ends_with('\n') => {
                line.pop();
                Some(line)
            }
            _ => None,
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::path::Path;

    #[test]
    fn half_a_line_of_a_killed_process_is_not_believed() {
        let script = "printf 'one\\ntwo\\nthr'; exec sleep 60";
        let args = ["-c".to_owned(), script.to_owned()];
        let mut engine = Engine::start_program(Path::new("/bin/sh"), &args, &[]).expect("a shell");
        assert_eq!(engine.next(None), Next::Line("one".to_owned()));
        let (rest, status) = engine.kill().expect("killed");
        assert!(rest.iter().all(|line| line == "two"), "{rest:?}");
        assert!(!status.success());
    }
}
