//! Runs the kernel tests on Debian's real kernels, one virtual machine after the other.

mod image;
mod init;
mod initramfs;
mod qemu;
mod series;

use std::env;
use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use clap::{Args, ValueEnum};

use self::image::Image;
pub(crate) use self::series::Kernel;
use crate::expected;
use crate::programs::{self, Programs};
use crate::report;
use crate::results::Tally;
use crate::setup::Kit;
use crate::workspace::Workspace;

/// Seconds that one boot with all tests may take under emulation.
const LIMIT: u64 = 480;

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
    /// Run only tests whose name contains one of these words
    #[arg(last = true)]
    pub(crate) filter: Vec<String>,
}

/// How one kernel did.
struct Row {
    series: &'static str,
    release: String,
    tally: Tally,
    boot: Duration,
    took: Duration,
}

/// Builds the programs, boots each kernel and returns the sum of all tests.
pub(crate) fn run(kit: &Kit, workspace: &Workspace, options: &Options) -> Result<Tally> {
    ensure!(
        env::consts::ARCH == "x86_64",
        "the test kernels are for x86_64, and this machine is {}",
        env::consts::ARCH
    );
    let programs = programs::for_guest(kit, workspace)?;
    let vm = workspace.target.join("vm");
    fs::create_dir_all(&vm).with_context(|| format!("cannot create {}", vm.display()))?;
    let kernels = if options.kernels.is_empty() {
        Kernel::value_variants()
    } else {
        &options.kernels
    };
    let rows: Vec<Row> = kernels
        .iter()
        .map(|kernel| boot(&vm, *kernel, &programs, kit, options))
        .collect();
    print_table(&rows);
    Ok(rows.into_iter().fold(Tally::default(), |mut sum, row| {
        sum += row.tally;
        sum
    }))
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
    for failure in &mut row.tally.failures {
        failure.insert_str(0, &format!("kernel {name}: "));
    }
    row.took = start.elapsed();
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
    println!("{:>5} | booting {}", series.name, image.release);
    let initramfs = initramfs::path(vm, series.name);
    initramfs::write(&initramfs, &image, programs, &options.filter)?;
    let log = vm.join(format!("{}.log", series.name));
    let run = qemu::boot(
        series.name,
        &image,
        &initramfs,
        &log,
        kit.path(),
        Duration::from_secs(options.limit),
    )?;
    (row.boot, row.tally) = (run.boot, run.tally);
    for difference in expected::differences(
        series.name,
        &row.tally.unsupported,
        options.filter.is_empty(),
    ) {
        row.tally.fail(difference);
    }
    ensure!(
        row.tally.ran() > 0 || !options.filter.is_empty(),
        "no test ran"
    );
    Ok(())
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
