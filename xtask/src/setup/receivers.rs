//! What receives OTLP in the tests and was written by others, in a folder of its own: none of it takes the place of the
//! machine's programs.

use std::env;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result};

use super::archive::{self, Apt, Archive, Source};
use super::{Done, apt};
use crate::process;
use crate::report;
use crate::workspace::Workspace;

const MESSAGES: &str = "opentelemetry-proto==1.45.2";
const ROTEL: &str = "rotel==0.0.1a15";
const VICTORIA_METRICS: &str = "victoria-metrics";
/// The only suite with one that knows exponential histograms.
const SOURCES: [Source; 1] = [Source {
    archive: Archive::Main,
    suite: "sid",
}];

/// Whether all of them are there after a set-up: VictoriaMetrics is fetched for x86_64 alone.
pub(crate) const COMPLETE: bool = cfg!(target_arch = "x86_64");

/// The folder with the programs.
pub(crate) fn programs(workspace: &Workspace) -> PathBuf {
    folder(workspace).join("bin")
}

fn folder(workspace: &Workspace) -> PathBuf {
    workspace.tools().join("receivers")
}

/// Finds or installs the collector `rotel`, and a Python that knows the messages of OTLP.
pub(super) fn from_pypi(workspace: &Workspace) -> Result<Done<()>> {
    let bin = programs(workspace);
    if knows_messages(&bin).is_ok() && starts(&bin.join("rotel")).is_ok() {
        return Ok(done(format!("found: {MESSAGES} {ROTEL}")));
    }
    report::note(&format!(
        "installing for the tests: {MESSAGES} {ROTEL}, into the build folder"
    ));
    let environment = folder(workspace).join("python");
    make_environment(&environment)?;
    let python = environment.join("bin/python3");
    process::capture(Command::new(&python).args([
        "-m",
        "pip",
        "install",
        "--quiet",
        "--disable-pip-version-check",
        MESSAGES,
        ROTEL,
    ]))?;
    archive::write_script(
        &bin.join("python3"),
        &format!("exec '{}' \"$@\"", python.display()),
    )?;
    knows_messages(&bin)?;
    install_rotel(&python, &bin.join("rotel"))?;
    Ok(done(format!("installed: {MESSAGES} {ROTEL}")))
}

/// Finds VictoriaMetrics in the build folder or unpacks it there.
pub(super) fn victoria_metrics(workspace: &Workspace) -> Result<Done<()>> {
    let program = programs(workspace).join(VICTORIA_METRICS);
    if starts(&program).is_ok() {
        return Ok(done(format!("found: {}", program.display())));
    }
    if !COMPLETE {
        return Ok(done(format!(
            "none: it is fetched for x86_64, and this machine is {}",
            env::consts::ARCH
        )));
    }
    report::note("fetching VictoriaMetrics into the build folder");
    let tree = folder(workspace).join(VICTORIA_METRICS);
    if tree.exists() {
        fs::remove_dir_all(&tree).with_context(|| format!("cannot empty {}", tree.display()))?;
    }
    let apt = Apt::open(workspace.tools().join("apt"), &SOURCES)?;
    apt.unpack(&apt.with_dependencies(VICTORIA_METRICS)?, &tree)?;
    archive::write_launcher(&program, &tree, VICTORIA_METRICS, "")?;
    starts(&program)?;
    Ok(done(format!("unpacked: {}", program.display())))
}

fn done(outcome: String) -> Done<()> {
    Done { value: (), outcome }
}

fn make_environment(folder: &Path) -> Result<()> {
    let make = || {
        let mut command = Command::new("python3");
        process::capture(command.args(["-m", "venv", "--clear"]).arg(folder))
    };
    if let Err(error) = make() {
        println!("    {error:#}");
        // Debian has the module, and Python itself, in packages that not every machine has.
        apt::ensure(&["python3-venv"], "the tests")?;
        make()?;
    }
    Ok(())
}

/// It is linked to the library of the Python that it was installed for, which an interpreter need not have beside it.
fn install_rotel(python: &Path, program: &Path) -> Result<()> {
    let ask = |what: &str| {
        let code = format!("import os, rotel, sys, sysconfig; print({what})");
        let said = process::capture(Command::new(python).args(["-c", &code]))?;
        Ok::<_, anyhow::Error>(said.trim().to_owned())
    };
    let libraries = ask("sysconfig.get_config_var('LIBDIR')")?;
    let agent = ask("os.path.join(os.path.dirname(rotel.__file__), 'rotel-agent')")?;
    let script = format!("LD_LIBRARY_PATH='{libraries}' exec '{agent}' \"$@\"");
    archive::write_script(program, &script)?;
    if starts(program).is_err() {
        let version = ask("'%d.%d' % sys.version_info[:2]")?;
        apt::ensure(&[&format!("libpython{version}")], "the tests")?;
        starts(program)?;
    }
    Ok(())
}

fn knows_messages(bin: &Path) -> Result<()> {
    let code = "import opentelemetry.proto.collector.metrics.v1.metrics_service_pb2";
    process::capture(Command::new(bin.join("python3")).args(["-c", code])).map(drop)
}

/// Asks the program itself, which also shows that its libraries load.
fn starts(program: &Path) -> Result<()> {
    process::capture(Command::new(program).arg("--version")).map(drop)
}
