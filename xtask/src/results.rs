//! What test programs print, read line by line: libtest's results, and what could not be tested on a kernel.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::AddAssign;
use std::process::Command;

use anyhow::Result;

use crate::process;

/// A test that ran but found its capability missing.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Unsupported {
    /// Name of the test.
    pub(crate) test: String,
    /// What the kernel lacks.
    pub(crate) capability: String,
}

/// Something that failed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Failure {
    /// The test, or the sentence that says it all.
    pub(crate) what: String,
    /// What the test said when it gave up, as far as it was short.
    pub(crate) said: Vec<String>,
}

/// Sum of some test programs.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Tally {
    /// Tests that passed; without those that found their capability missing.
    pub(crate) passed: u32,
    /// Tests that failed, and programs that broke off.
    pub(crate) failed: u32,
    /// What failed.
    pub(crate) failures: Vec<Failure>,
    /// What could not be tested.
    pub(crate) unsupported: Vec<Unsupported>,
}

impl Tally {
    /// Counts something that is not a libtest test.
    pub(crate) fn fail(&mut self, what: impl Into<String>) {
        self.fail_saying(what.into(), Vec::new());
    }

    fn fail_saying(&mut self, what: String, said: Vec<String>) {
        self.failed += 1;
        self.failures.push(Failure { what, said });
    }

    /// Says of all failures where they happened.
    pub(crate) fn place(&mut self, place: &str) {
        for failure in &mut self.failures {
            failure.what.insert_str(0, &format!("{place}: "));
        }
    }

    /// How many tests ran.
    pub(crate) fn ran(&self) -> u32 {
        self.passed + self.failed
    }
}

impl AddAssign for Tally {
    fn add_assign(&mut self, other: Self) {
        self.passed += other.passed;
        self.failed += other.failed;
        self.failures.extend(other.failures);
        self.unsupported.extend(other.unsupported);
    }
}

/// Runs a command that prints libtest's results, shows them and counts them.
pub(crate) fn of(command: &mut Command, name: &str) -> Result<Tally> {
    let mut reader = Reader::default();
    let status = process::stream_all(command, |line| {
        println!("{line}");
        reader.line(line);
        Ok(())
    })?;
    let complete = reader.end();
    if !complete || (!status.success() && reader.tally.failed == 0) {
        reader.break_off(&format!("{name} broke off ({status})"));
    }
    Ok(reader.finish())
}

/// Reads the output of one or more test programs.
#[derive(Default)]
pub(crate) struct Reader {
    tally: Tally,
    /// Whether a program has begun its tests and not summed them up yet.
    running: bool,
    in_failures: bool,
    panics: Panics,
    /// Of `tally.unsupported`, what the programs before told.
    summed_up: usize,
}

impl Reader {
    /// Takes the next line.
    pub(crate) fn line(&mut self, line: &str) {
        self.panics.line(line);
        // Without capturing, what a test prints first continues libtest's own `test name ... `.
        if let Some((_, told)) = line.split_once("UNSUPPORTED ") {
            self.unsupported(told);
        } else if let Some(summary) = line.strip_prefix("test result: ") {
            self.summary(summary);
        } else if line.starts_with("running ")
            && (line.ends_with(" tests") || line.ends_with(" test"))
        {
            self.running = true;
            self.panics = Panics::default();
        } else if line == "failures:" {
            self.in_failures = true;
        } else if line.starts_with("---- ") {
            // It comes twice, first with the output of each test.
            self.in_failures = false;
        } else if self.in_failures
            && let Some(name) = line.strip_prefix("    ")
        {
            self.name_failure(name);
        }
    }

    /// Ends the program that printed the last lines, and tells whether its results are complete.
    pub(crate) fn end(&mut self) -> bool {
        !std::mem::take(&mut self.running)
    }

    /// All results.
    pub(crate) fn finish(self) -> Tally {
        self.tally
    }

    /// The program that printed the last lines did not end its tests.
    pub(crate) fn break_off(&mut self, how: &str) {
        let test = std::mem::take(&mut self.panics.test);
        let what = if test.is_empty() {
            how.to_owned()
        } else {
            format!("{how}, last in {test}")
        };
        self.tally.fail_saying(what, self.panics.of(&test));
    }

    /// For what the reader cannot see in the lines.
    pub(crate) fn fail(&mut self, what: impl Into<String>) {
        self.tally.fail(what);
    }

    fn unsupported(&mut self, told: &str) {
        let (test, capability) = told.split_once(':').unwrap_or((told, ""));
        self.tally.unsupported.push(Unsupported {
            test: test.trim().to_owned(),
            capability: capability.trim().to_owned(),
        });
    }

    fn summary(&mut self, summary: &str) {
        self.running = false;
        self.in_failures = false;
        let told = self.tally.unsupported.get(self.summed_up..).unwrap_or(&[]);
        let skipped: BTreeSet<&str> = told.iter().map(|one| one.test.as_str()).collect();
        let skipped = u32::try_from(skipped.len()).unwrap_or(u32::MAX);
        self.summed_up = self.tally.unsupported.len();
        self.tally.passed += count(summary, "passed").saturating_sub(skipped);
        self.tally.failed += count(summary, "failed");
    }

    fn name_failure(&mut self, name: &str) {
        if !self.tally.failures.iter().any(|known| known.what == name) {
            self.tally.failures.push(Failure {
                what: name.to_owned(),
                said: self.panics.of(name),
            });
        }
    }
}

/// Lines of a panic that are kept, and how much of each: enough to know what happened, of a report or of a list of
/// thousands too.
const SAID_LINES: usize = 12;
const SAID_LENGTH: usize = 300;

/// What tests say when they panic.
#[derive(Default)]
struct Panics {
    /// The test that runs now, where one after the other does, or whose output this is.
    test: String,
    /// Whether a panic is being told.
    is_open: bool,
    by_test: BTreeMap<String, Vec<String>>,
}

impl Panics {
    fn line(&mut self, line: &str) {
        if let Some(name) = begun(line) {
            name.clone_into(&mut self.test);
        }
        if let Some((_, said)) = line.split_once(" panicked at ") {
            // A test may start threads; whatever their names, they are its own.
            self.is_open = true;
            self.keep(said);
            return;
        }
        let ends = ["note: ", "stack backtrace:", "test ", "---- "];
        if line.is_empty() || line == "FAILED" || ends.iter().any(|end| line.starts_with(end)) {
            self.is_open = false;
        } else {
            self.keep(line);
        }
    }

    fn keep(&mut self, line: &str) {
        if !self.is_open {
            return;
        }
        let said = self.by_test.entry(self.test.clone()).or_default();
        if said.len() < SAID_LINES {
            said.push(line.chars().take(SAID_LENGTH).collect());
        }
    }

    fn of(&mut self, test: &str) -> Vec<String> {
        self.by_test.remove(test).unwrap_or_default()
    }
}

/// The test that begins, or whose output begins, with this line. Without capturing its name and its result are in one
/// line, unless it prints something in between.
fn begun(line: &str) -> Option<&str> {
    let section = line.strip_prefix("---- ");
    if let Some(name) = section.and_then(|rest| rest.strip_suffix(" stdout ----")) {
        return Some(name);
    }
    let line = line.strip_prefix("test ")?;
    let name = line.strip_suffix(" ...");
    let (name, _) = name.map(|name| (name, "")).or(line.split_once(" ... "))?;
    Some(name.strip_suffix(" - should panic").unwrap_or(name))
}

/// The number before a word, as in `3 passed; 1 failed`.
fn count(summary: &str, word: &str) -> u32 {
    let words: Vec<&str> = summary.split([' ', ';']).collect();
    let pair = words.windows(2).find(|pair| pair[1] == word);
    pair.and_then(|pair| pair[0].parse().ok()).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(output: &str) -> Tally {
        let mut reader = Reader::default();
        output.lines().for_each(|line| reader.line(line));
        reader.finish()
    }

    #[test]
    fn results_of_several_programs_add_up() {
        let output = "running 2 tests\ntest a ... ok\ntest b ... ok\n\ntest result: ok. 2 passed; 0 failed; 0 ignored; 0 measured\n\
                      running 1 test\ntest c ... ok\n\ntest result: ok. 1 passed; 0 failed; 0 ignored\n";
        assert_eq!(
            read(output),
            Tally {
                passed: 3,
                ..Tally::default()
            }
        );
    }

    fn failure(what: &str, said: &[&str]) -> Failure {
        Failure {
            what: what.into(),
            said: said.iter().copied().map(str::to_owned).collect(),
        }
    }

    #[test]
    fn failures_are_named_once_with_what_they_said() {
        let output = "running 2 tests\ntest a ... ok\ntest b ... FAILED\n\nfailures:\n\n---- b stdout ----\n\n\
                      thread 'b' (7) panicked at some.rs:3:5:\nassertion failed\nminimal = [\n    (\n    ),\n]\n\
                      stack backtrace:\n    at some::frame with words\n\n\
                      failures:\n    b\n\ntest result: FAILED. 1 passed; 1 failed; 0 ignored; finished in 0.00s\n    not a test\n";
        let said = [
            "some.rs:3:5:",
            "assertion failed",
            "minimal = [",
            "    (",
            "    ),",
            "]",
        ];
        let expected = Tally {
            passed: 1,
            failed: 1,
            failures: vec![failure("b", &said)],
            ..Tally::default()
        };
        assert_eq!(read(output), expected);
    }

    #[test]
    fn what_a_test_said_without_capturing_is_known() {
        let output = "running 2 tests\ntest a ... it ran\nok\ntest b ...\n\
                      thread '<unnamed>' (7) panicked at some.rs:3:5:\ntoo long\nnote: run with a backtrace\nFAILED\n\n\
                      failures:\n\nfailures:\n    b\n\ntest result: FAILED. 1 passed; 1 failed; 0 ignored\n";
        let expected = vec![failure("b", &["some.rs:3:5:", "too long"])];
        assert_eq!(read(output).failures, expected);
    }

    #[test]
    fn a_panic_that_was_expected_is_nobody_elses() {
        let output = "running 2 tests\ntest a - should panic ... \nthread 'a' (7) panicked at some.rs:3:5:\nas it should\nok\n\
                      test b ... FAILED\n\nfailures:\n\nfailures:\n    b\n\ntest result: FAILED. 1 passed; 1 failed\n";
        assert_eq!(read(output).failures, [failure("b", &[])]);
    }

    #[test]
    fn what_is_unsupported_may_follow_the_name_of_the_test_and_has_not_passed() {
        let output = "running 1 test\ntest steal ... UNSUPPORTED steal: a steal clock\nok\n\ntest result: ok. 2 passed; 0 failed\n\
                      running 1 test\ntest c ... ok\n\ntest result: ok. 1 passed; 0 failed; 0 ignored\n";
        let expected = Unsupported {
            test: "steal".into(),
            capability: "a steal clock".into(),
        };
        let tally = read(output);
        assert_eq!((tally.passed, tally.unsupported), (2, vec![expected]));
    }

    #[test]
    fn a_program_that_breaks_off_is_noticed() {
        let mut reader = Reader::default();
        reader.line("running 3 tests");
        reader.line("test a ... ok");
        assert!(!reader.end());
        assert!(reader.end());
    }
}
