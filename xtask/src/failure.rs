//! How a command ends when it does not succeed, and the exit code that this becomes.
//!
//! Promises: 2 means that the command line was wrong and nothing was done; a program that we ran passes its
//! own code on; everything else is 1.

use std::process::ExitCode;

/// Why a command did not succeed.
#[derive(Debug)]
pub(crate) enum Failure {
    /// The command line is wrong; nothing was done.
    Usage(String),
    /// The command ran and found something wrong.
    Failed(String),
    /// A program that we ran ended with this code, and has said why itself.
    Exit(u8),
}

impl Failure {
    pub(crate) fn usage(message: impl Into<String>) -> Self {
        Self::Usage(message.into())
    }

    pub(crate) fn failed(message: impl Into<String>) -> Self {
        Self::Failed(message.into())
    }

    /// Says on stderr what there is to say and returns the code to exit with.
    pub(crate) fn report(&self) -> ExitCode {
        match self {
            Self::Usage(message) => {
                eprintln!(
                    "error: {message}\n`cargo xtask --help` lists the commands, `cargo xtask COMMAND --help` explains one"
                );
            }
            Self::Failed(message) => eprintln!("error: {message}"),
            Self::Exit(_) => {}
        }
        ExitCode::from(self.code())
    }

    fn code(&self) -> u8 {
        match self {
            Self::Usage(_) => 2,
            Self::Failed(_) => 1,
            Self::Exit(code) => *code,
        }
    }
}

/// The usage error for an option that `command` does not know.
pub(crate) fn unknown(command: &str, arg: &str) -> Failure {
    Failure::usage(format!("`{command}` has no option `{arg}`"))
}

/// The value of a numeric option, or a usage error that names the option.
pub(crate) fn number(command: &str, option: &str, value: Option<&String>) -> Result<u64, Failure> {
    let Some(value) = value else {
        return Err(Failure::usage(format!("`{command} {option}` needs a number behind it")));
    };
    value
        .parse()
        .map_err(|_| Failure::usage(format!("`{command} {option}` needs a whole number, not `{value}`")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wrong_command_line_is_code_2_and_a_child_passes_its_own() {
        assert_eq!(Failure::usage("x").code(), 2);
        assert_eq!(Failure::failed("x").code(), 1);
        assert_eq!(Failure::Exit(77).code(), 77);
    }

    #[test]
    fn numbers_are_checked_and_the_option_is_named() {
        assert_eq!(number("crash", "--kills", Some(&"12".to_owned())).ok(), Some(12));
        for bad in [None, Some(&"-1".to_owned()), Some(&"many".to_owned())] {
            let Err(Failure::Usage(message)) = number("crash", "--kills", bad) else {
                panic!("{bad:?} was taken for a number");
            };
            assert!(message.contains("--kills"));
        }
    }
}
