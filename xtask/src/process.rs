//! Running other programs: each failure names the command, and nothing ever waits for input.

use std::env;
use std::ffi::OsStr;
use std::io::{BufRead, BufReader, PipeReader};
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus, Stdio};

use anyhow::{Context, Result, bail};

/// Runs a command that prints for the user to see.
pub(crate) fn run(command: &mut Command) -> Result<()> {
    let status = command
        .stdin(Stdio::null())
        .status()
        .with_context(|| cannot_start(command))?;
    check(command, status)
}

/// Runs a command and returns what it printed.
pub(crate) fn capture(command: &mut Command) -> Result<String> {
    let output = command
        .stdin(Stdio::null())
        .output()
        .with_context(|| cannot_start(command))?;
    if !output.status.success() {
        let said = String::from_utf8_lossy(&output.stderr);
        bail!(
            "`{}` failed ({}): {}",
            line(command),
            output.status,
            said.trim()
        );
    }
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

/// Runs a command and hands over each line of its standard output as it comes.
pub(crate) fn stream(
    command: &mut Command,
    on_line: impl FnMut(&str) -> Result<()>,
) -> Result<ExitStatus> {
    let (reader, writer) = std::io::pipe().context("cannot make a pipe")?;
    command.stdout(writer);
    read_lines(command, reader, on_line)
}

/// The same with its standard error, in the order in which it wrote both.
pub(crate) fn stream_all(
    command: &mut Command,
    on_line: impl FnMut(&str) -> Result<()>,
) -> Result<ExitStatus> {
    let (reader, writer) = std::io::pipe().context("cannot make a pipe")?;
    let error = writer.try_clone().context("cannot make a pipe")?;
    command.stdout(writer).stderr(error);
    read_lines(command, reader, on_line)
}

fn read_lines(
    command: &mut Command,
    reader: PipeReader,
    mut on_line: impl FnMut(&str) -> Result<()>,
) -> Result<ExitStatus> {
    let mut child = command
        .stdin(Stdio::null())
        .spawn()
        .with_context(|| cannot_start(command))?;
    // The command holds the pipe's other end; while it does the lines have no end.
    command.stdout(Stdio::null()).stderr(Stdio::null());
    let read = each_line(reader, &mut on_line);
    if read.is_err() {
        // It may have ended by itself already.
        let _ = child.kill();
    }
    let status = child
        .wait()
        .with_context(|| format!("cannot wait for `{}`", line(command)))?;
    read.map(|()| status)
}

fn each_line(reader: PipeReader, on_line: &mut impl FnMut(&str) -> Result<()>) -> Result<()> {
    let mut reader = BufReader::new(reader);
    let mut bytes = Vec::new();
    while reader
        .read_until(b'\n', &mut bytes)
        .context("cannot read what a child process printed")?
        > 0
    {
        on_line(String::from_utf8_lossy(&bytes).trim_end())?;
        bytes.clear();
    }
    Ok(())
}

/// Fails unless the command ended well.
pub(crate) fn check(command: &Command, status: ExitStatus) -> Result<()> {
    if !status.success() {
        bail!("`{}` failed ({status})", line(command));
    }
    Ok(())
}

/// Finds a program in the folders of a search path.
pub(crate) fn find(program: &str, path: &OsStr) -> Option<PathBuf> {
    env::split_paths(path)
        .map(|folder| folder.join(program))
        .find(|file| is_executable(file))
}

fn is_executable(file: &Path) -> bool {
    use std::os::unix::fs::PermissionsExt;
    file.metadata()
        .is_ok_and(|meta| meta.is_file() && meta.permissions().mode() & 0o111 != 0)
}

/// A command that runs with root's rights: as it is for root, else through sudo.
pub(crate) fn as_root(program: impl AsRef<OsStr>) -> Result<Command> {
    if is_root()? {
        return Ok(Command::new(program));
    }
    let mut command = Command::new("sudo");
    command.arg("-E").arg(program);
    Ok(command)
}

/// Whether this process is root.
pub(crate) fn is_root() -> Result<bool> {
    Ok(capture(Command::new("id").arg("-u"))?.trim() == "0")
}

/// The command as a person would type it.
pub(crate) fn line(command: &Command) -> String {
    let words = std::iter::once(command.get_program()).chain(command.get_args());
    words
        .map(OsStr::to_string_lossy)
        .collect::<Vec<_>>()
        .join(" ")
}

fn cannot_start(command: &Command) -> String {
    format!("cannot start `{}`", line(command))
}
