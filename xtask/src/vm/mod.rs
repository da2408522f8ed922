//! Runs the kernel tests on Debian's real kernels, in as many virtual machines at a time as this machine has CPUs; and
//! programs of the benchmark on one of them.

mod image;
mod init;
mod initramfs;
mod qemu;
mod series;

use std::env;
use std::fs;
use std::panic::resume_unwind;
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use clap::{Args, ValueEnum};

use self::image::Image;
use self::init::Step;
use self::initramfs::Contents;
use self::qemu::Heard;
pub(crate) use self::series::Kernel;
use self::series::Series;
use crate::expected;
use crate::programs::{self, Programs};
use crate::report;
use crate::results::{Reader, Tally};
use crate::setup::Kit;
use crate::workspace::Workspace;

/// Seconds that one boot with all tests may take under emulation: three times what it takes on an idle machine.
const LIMIT: u64 = 1_500;

/// Which kernels and tests.
#[derive(Args)]
pub(crate) struct Options {
    /// Kernel series to boot; all by default
    #[arg(long = "kernel", value_enum)]
    pub(crate) kernels: Vec<Kernel>,
    /// Look for newer kernels even where one was fetched earlier
    #[arg(long)]
    pub(crate) refresh: bool,
    /// Seconds after which a virtual machine is stopped
    #[arg(long, default_value_t = LIMIT)]
    pub(crate) limit: u64,
    /// Run only test programs whose name contains this word
    #[arg(long)]
    pub(crate) program: Option<String>,
    /// Run only tests whose name contains one of these words
    #[arg(last = true)]
    pub(crate) filter: Vec<String>,
}

impl Options {
    fn selects_all(&self) -> bool {
        self.filter.is_empty() && self.program.is_none()
    }
}

/// All tests on all kernels.
impl Default for Options {
    fn default() -> Self {
        Self {
            kernels: Vec::new(),
            refresh: false,
            limit: LIMIT,
            program: None,
            filter: Vec::new(),
        }
    }
}

/// How one kernel did.
struct Row {
    series: &'static str,
    release: String,
    tally: Tally,
    boot: Duration,
    took: Duration,
}

/// Whether the test kernels are for this kind of machine.
pub(crate) fn can_boot() -> bool {
    env::consts::ARCH == "x86_64"
}

/// Builds the programs, boots each kernel and returns the sum of all tests.
pub(crate) fn run(kit: &Kit, workspace: &Workspace, options: &Options) -> Result<Tally> {
    ensure!(
        can_boot(),
        "the test kernels are for x86_64, and this machine is {}",
        env::consts::ARCH
    );
    let mut programs = programs::for_guest(kit, workspace)?;
    if let Some(word) = &options.program {
        programs.tests.retain(|test| test.target.contains(word));
    }
    let vm = workspace.target.join("vm");
    fs::create_dir_all(&vm).with_context(|| format!("cannot create {}", vm.display()))?;
    let kernels = if options.kernels.is_empty() {
        Kernel::value_variants()
    } else {
        &options.kernels
    };
    let rows = boot_all(kernels, |kernel| boot(&vm, kernel, &programs, kit, options));
    print_table(&rows);
    Ok(rows.into_iter().fold(Tally::default(), |mut sum, row| {
        sum += row.tally;
        sum
    }))
}

/// A virtual machine keeps one CPU of this machine busy.
fn boot_all(kernels: &[Kernel], boot: impl Fn(Kernel) -> Row + Sync) -> Vec<Row> {
    let at_a_time = thread::available_parallelism().map_or(1, usize::from);
    let next = Mutex::new(kernels.iter().enumerate());
    let work = || {
        let take = || next.lock().ok()?.next();
        std::iter::from_fn(take)
            .map(|(place, kernel)| (place, boot(*kernel)))
            .collect::<Vec<_>>()
    };
    let mut rows: Vec<(usize, Row)> = thread::scope(|scope| {
        let workers: Vec<_> = (0..at_a_time.min(kernels.len()))
            .map(|_| scope.spawn(work))
            .collect();
        workers
            .into_iter()
            .flat_map(|worker| worker.join().unwrap_or_else(|panic| resume_unwind(panic)))
            .collect()
    });
    rows.sort_by_key(|(place, _)| *place);
    rows.into_iter().map(|(_, row)| row).collect()
}

fn boot(vm: &Path, kernel: Kernel, programs: &Programs, kit: &Kit, options: &Options) -> Row {
    let name = kernel.series().name;
    let start = Instant::now();
    let mut row = Row {
        series: name,
        release: String::new(),
        tally: Tally::default(),
        boot: Duration::ZERO,
        took: Duration::ZERO,
    };
    if let Err(error) = try_boot(vm, kernel, programs, kit, options, &mut row) {
        println!("{name:>5} | {error:#}");
        row.tally.fail(format!("{error:#}"));
    }
    row.tally.place(&format!("kernel {name}"));
    row.took = start.elapsed();
    println!(
        "{name:>5} | done: {} passed, {} failed, {} unsupported; booted in {}, all in {}",
        row.tally.passed,
        row.tally.failed,
        row.tally.unsupported.len(),
        report::seconds(row.boot),
        report::seconds(row.took)
    );
    row
}

fn try_boot(
    vm: &Path,
    kernel: Kernel,
    programs: &Programs,
    kit: &Kit,
    options: &Options,
    row: &mut Row,
) -> Result<()> {
    let series = kernel.series();
    let image = Image::get(vm, series, options.refresh)?;
    row.release.clone_from(&image.release);
    let contents = contents(programs, &options.filter);
    let mut results = Results::new();
    let limit = Duration::from_secs(options.limit);
    let ran = start(vm, series, &image, &contents, kit, limit, &mut |heard| {
        results.hear(&heard);
    });
    row.boot = results.boot;
    row.tally = results.finish(ran);
    let (unexpected, gone) = expected::differences(series.name, &row.tally.unsupported);
    for difference in unexpected {
        row.tally.fail(difference);
    }
    // A run of selected tests, or one that broke off, cannot tell that something is no longer missing.
    let all_ran = options.selects_all() && row.tally.failed == 0;
    for difference in gone.into_iter().filter(|_| all_ran) {
        if series.moves() {
            println!("{:>5} | {difference}", series.name);
        } else {
            row.tally.fail(difference);
        }
    }
    ensure!(row.tally.ran() > 0 || !options.selects_all(), "no test ran");
    Ok(())
}

/// The programs of a test run, as tests find them.
fn contents(programs: &Programs, filter: &[String]) -> Contents {
    let mut files = vec![("bin/crosstalk".to_owned(), programs.crosstalk.clone())];
    let loads = programs.loads.iter();
    files.extend(loads.map(|loads| ("bin/loads".to_owned(), loads.clone())));
    let tests = programs.tests.iter();
    files.extend(tests.map(|test| (format!("tests/{}", test.target), test.path.clone())));
    let tests = programs.tests.iter();
    Contents {
        files,
        steps: tests.map(|test| Step::test(&test.target, filter)).collect(),
    }
}

/// One boot.
fn start(
    vm: &Path,
    series: &Series,
    image: &Image,
    contents: &Contents,
    kit: &Kit,
    limit: Duration,
    hear: &mut dyn FnMut(Heard<'_>),
) -> Result<()> {
    println!("{:>5} | booting {}", series.name, image.release);
    let initramfs = initramfs::path(vm, series.name);
    initramfs::write(&initramfs, image, contents)?;
    let log = vm.join(format!("{}.log", series.name));
    qemu::boot(
        series.name,
        image,
        &initramfs,
        &log,
        kit.path(),
        limit,
        hear,
    )
}

/// Results of test programs, as they come from a guest.
struct Results {
    start: Instant,
    /// From power-on to the first test.
    boot: Duration,
    reader: Reader,
}

impl Results {
    fn new() -> Self {
        Self {
            start: Instant::now(),
            boot: Duration::ZERO,
            reader: Reader::default(),
        }
    }

    fn hear(&mut self, heard: &Heard<'_>) {
        match heard {
            Heard::Ready => self.boot = self.start.elapsed(),
            Heard::Line(line) => self.reader.line(line),
            Heard::End { step, status } => {
                // libtest ends with 101 when a test failed, which the reader has counted.
                let complete = self.reader.end();
                if !complete || !matches!(*status, "0" | "101") {
                    let how = format!("{step} broke off with status {status}");
                    self.reader.break_off(&how);
                }
            }
        }
    }

    fn finish(mut self, ran: Result<()>) -> Tally {
        if let Err(error) = ran {
            self.reader.fail(format!("{error:#}"));
        }
        self.reader.finish()
    }
}

/// Runs a program with its libraries on one kernel, and returns what it printed.
pub(crate) fn output(
    kit: &Kit,
    workspace: &Workspace,
    kernel: Kernel,
    files: Vec<(String, PathBuf)>,
    command: &str,
) -> Result<Vec<String>> {
    let vm = workspace.target.join("vm");
    fs::create_dir_all(&vm).with_context(|| format!("cannot create {}", vm.display()))?;
    let series = kernel.series();
    let image = Image::get(&vm, series, false)?;
    let contents = Contents {
        files,
        steps: vec![Step {
            name: "output".to_owned(),
            command: command.to_owned(),
        }],
    };
    let (mut lines, mut ended) = (Vec::new(), String::new());
    let limit = Duration::from_secs(LIMIT);
    start(
        &vm,
        series,
        &image,
        &contents,
        kit,
        limit,
        &mut |heard| match heard {
            Heard::Ready => lines.clear(),
            Heard::Line(line) => lines.push(line.to_owned()),
            Heard::End { status, .. } => status.clone_into(&mut ended),
        },
    )?;
    ensure!(
        ended == "0",
        "{command} ended with status {ended} on {}",
        image.release
    );
    Ok(lines)
}

fn print_table(rows: &[Row]) {
    println!(
        "\n{:<8}{:<32}{:>7}{:>7}{:>12}{:>9}{:>9}",
        "kernel", "release", "passed", "failed", "unsupported", "boot", "total"
    );
    for row in rows {
        let Row {
            series,
            release,
            tally,
            boot,
            took,
        } = row;
        let (boot, took) = (report::seconds(*boot), report::seconds(*took));
        let unsupported = tally.unsupported.len();
        println!(
            "{series:<8}{release:<32}{:>7}{:>7}{unsupported:>12}{boot:>9}{took:>9}",
            tally.passed, tally.failed
        );
    }
    for row in rows {
        for one in &row.tally.unsupported {
            println!(
                "unsupported on {}: {}: {}",
                row.series, one.test, one.capability
            );
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tally(heard: &[Heard<'_>]) -> Tally {
        let mut results = Results::new();
        for heard in heard {
            results.hear(heard);
        }
        results.finish(Ok(()))
    }

    #[test]
    fn a_complete_run_is_recognised() {
        let lines = [
            Heard::Line("running 1 test"),
            Heard::Line("test result: ok. 1 passed; 0 failed;"),
            Heard::End {
                step: "kernel_a",
                status: "0",
            },
        ];
        let expected = Tally {
            passed: 1,
            ..Tally::default()
        };
        assert_eq!(tally(&lines), expected);
    }

    #[test]
    fn a_program_that_dies_is_a_failure() {
        let lines = [
            Heard::Line("running 1 test"),
            Heard::Line("test a ... it runs"),
            Heard::End {
                step: "kernel_a",
                status: "139",
            },
        ];
        let tally = tally(&lines);
        let what: Vec<&str> = tally.failures.iter().map(|one| &*one.what).collect();
        assert_eq!(tally.failed, 1);
        assert_eq!(what, ["kernel_a broke off with status 139, last in a"]);
    }
}
