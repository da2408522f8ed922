//! How a program fared, and why the kernel refused it.

use std::io;

use aya::{EbpfError, maps::MapError, programs::ProgramError};

/// The last lines of the verifier's log that a message holds.
const LOG_LINES: usize = 3;

/// What kind of refusal it was.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// This process may not.
    Privilege,
    /// The kernel does not have it.
    Unsupported,
    /// It should work.
    Broken,
}

/// How a program fared.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It is attached.
    Attached {
        /// Instructions that the verifier went through, where the kernel tells (5.16 and later).
        verified: Option<u32>,
    },
    /// It is not needed on this kernel.
    NotNeeded,
    /// It was refused.
    Refused {
        /// How.
        refusal: Refusal,
        /// Why; one line.
        why: String,
    },
}

impl Verdict {
    pub(crate) fn refused(error: &ProgramError) -> Verdict {
        Verdict::Refused {
            refusal: of_program(error),
            why: one_line(error),
        }
    }

    pub(crate) fn refused_by(error: &io::Error, what: &str) -> Verdict {
        Verdict::Refused {
            refusal: of_io(error),
            why: format!("{what}: {error}"),
        }
    }

    /// Whether it is attached.
    pub fn is_attached(&self) -> bool {
        matches!(self, Verdict::Attached { .. })
    }
}

/// What kind of refusal of the object, or of a map.
pub(crate) fn of_object(error: &EbpfError) -> Refusal {
    match error {
        EbpfError::MapError(MapError::CreateError { io_error, .. }) => of_io(io_error),
        EbpfError::MapError(MapError::SyscallError(call)) => of_io(&call.io_error),
        EbpfError::ProgramError(error) => of_program(error),
        _ => Refusal::Broken,
    }
}

/// A verifier that says why it refuses a program refuses the program, not the process.
pub(crate) fn of_program(error: &ProgramError) -> Refusal {
    match error {
        ProgramError::LoadError {
            io_error,
            verifier_log,
        } => {
            let is_silent = verifier_log.to_string().trim().is_empty();
            match of_io(io_error) {
                Refusal::Privilege if !is_silent => Refusal::Broken,
                refusal => refusal,
            }
        }
        ProgramError::SyscallError(call) => of_io(&call.io_error),
        ProgramError::Btf(_) => Refusal::Unsupported,
        _ => Refusal::Broken,
    }
}

fn of_io(error: &io::Error) -> Refusal {
    match error.raw_os_error() {
        Some(libc::EPERM | libc::EACCES) => Refusal::Privilege,
        Some(libc::ENOENT | libc::EOPNOTSUPP | libc::ENOSYS | libc::ESRCH) => Refusal::Unsupported,
        _ => Refusal::Broken,
    }
}

/// An error with its sources in one line. Of a verifier's log, which may have a million lines,
/// the end.
pub(crate) fn one_line(error: &(dyn std::error::Error + 'static)) -> String {
    let mut parts = vec![last_lines(&error.to_string())];
    let mut source = error.source();
    while let Some(error) = source {
        let text = last_lines(&error.to_string());
        if !parts.iter().any(|part| part.contains(&text)) {
            parts.push(text);
        }
        source = error.source();
    }
    parts.join(": ")
}

fn last_lines(text: &str) -> String {
    // Of a log that is empty only the announcement is left.
    let text = text.trim().trim_end_matches(". Verifier output:");
    let lines: Vec<&str> = text
        .lines()
        .map(str::trim)
        .filter(|line| !line.is_empty() && !is_statistics(line))
        .collect();
    match lines.as_slice() {
        [] => String::new(),
        all if all.len() <= LOG_LINES + 1 => all.join(" | "),
        [first, rest @ ..] => {
            format!("{first} … {}", rest[rest.len() - LOG_LINES..].join(" | "))
        }
    }
}

/// Lines that the verifier ends its log with, whatever it found.
fn is_statistics(line: &str) -> bool {
    let counts = ["processed ", "verification time ", "stack depth "];
    counts.iter().any(|start| line.starts_with(start))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_log_becomes_its_end() {
        let log: Vec<String> = (0..50).map(|n| format!("{n}: r0 = 1")).collect();
        let log = log.join("\n");
        let line = last_lines(&format!(
            "refused\n{log}\nR1 invalid mem access\nprocessed 7 insns\n"
        ));
        assert_eq!(
            line,
            "refused … 48: r0 = 1 | 49: r0 = 1 | R1 invalid mem access"
        );
        assert_eq!(last_lines("one\n\ntwo\n"), "one | two");
        assert_eq!(last_lines("no. Verifier output: "), "no");
        assert_eq!(last_lines(""), "");
    }

    #[test]
    fn kinds_of_refusal() {
        for (errno, expected) in [
            (libc::EPERM, Refusal::Privilege),
            (libc::ENOENT, Refusal::Unsupported),
            (libc::EINVAL, Refusal::Broken),
        ] {
            assert_eq!(of_io(&io::Error::from_raw_os_error(errno)), expected);
        }
    }
}
