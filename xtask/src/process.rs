//! Running other programs: each failure names the command, and nothing ever waits for input.

use std::env;
use std::ffi::OsStr;
use std::io::{BufRead, BufReader, PipeReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc::{self, RecvTimeoutError};
use std::thread;
use std::time::{Duration, Instant};

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

/// How long the lines of a command are read when it has ended: what it left behind may hold the pipe for ever.
const LAST_WORDS: Duration = Duration::from_secs(5);

fn read_lines(
    command: &mut Command,
    reader: PipeReader,
    on_line: impl FnMut(&str) -> Result<()>,
) -> Result<ExitStatus> {
    let mut child = command
        .stdin(Stdio::null())
        .spawn()
        .with_context(|| cannot_start(command))?;
    // The command holds the pipe's other end; while it does the lines have no end.
    command.stdout(Stdio::null()).stderr(Stdio::null());
    let (sender, lines) = mpsc::channel();
    thread::spawn(move || send_lines(reader, &sender));
    let heard = hear(&lines, &mut child, on_line);
    if heard.is_err() {
        // It may have ended by itself already.
        let _ = child.kill();
    }
    let status = child
        .wait()
        .with_context(|| format!("cannot wait for `{}`", line(command)))?;
    heard.map(|()| status)
}

fn hear(
    lines: &mpsc::Receiver<std::io::Result<String>>,
    child: &mut Child,
    mut on_line: impl FnMut(&str) -> Result<()>,
) -> Result<()> {
    let mut ended: Option<Instant> = None;
    while ended.is_none_or(|ended| ended.elapsed() < LAST_WORDS) {
        match lines.recv_timeout(Duration::from_secs(1)) {
            Ok(line) => on_line(&line.context("cannot read what a child process printed")?)?,
            Err(RecvTimeoutError::Disconnected) => break,
            Err(RecvTimeoutError::Timeout) => {}
        }
        if ended.is_none() {
            let status = child
                .try_wait()
                .context("cannot wait for a child process")?;
            ended = status.map(|_| Instant::now());
        }
    }
    Ok(())
}

fn send_lines(reader: PipeReader, lines: &mpsc::Sender<std::io::Result<String>>) {
    for line in BufReader::new(reader).split(b'\n') {
        let text = line.map(|line| String::from_utf8_lossy(&line).trim_end().to_owned());
        if lines.send(text).is_err() {
            return;
        }
    }
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

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(script: &str) -> Vec<String> {
        let mut lines = Vec::new();
        let mut command = Command::new("sh");
        command.args(["-c", script]);
        let status = stream_all(&mut command, |line| {
            lines.push(line.to_owned());
            Ok(())
        });
        assert!(status.expect("a shell").success());
        lines
    }

    #[test]
    fn both_outputs_come_in_their_order() {
        let script = "echo a; echo b >&2; printf c";
        assert_eq!(lines(script), ["a", "b", "c"]);
    }

    #[test]
    fn what_a_command_leaves_behind_does_not_hold_it_up() {
        let start = Instant::now();
        assert_eq!(lines("echo a; (sleep 20; sleep 20) & echo b"), ["a", "b"]);
        assert!(start.elapsed() < Duration::from_secs(19));
    }
}
