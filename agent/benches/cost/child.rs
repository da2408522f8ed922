//! Processes of the benchmark: each is ended by its id when its handle goes.

use std::{
    env,
    io::{self, PipeReader, PipeWriter},
    os::unix::process::CommandExt as _,
    process::{Child, Command, Stdio},
};

use anyhow::{Context as _, Result, ensure};

/// This program, to be started again for one part.
pub(crate) fn this_program() -> Result<Command> {
    let path = env::current_exe().context("cannot find the benchmark's own program")?;
    Ok(Command::new(path))
}

/// A child that is terminated, and waited for, on drop; terminated, too, when this program is
/// killed.
pub(crate) struct Running(Child);

impl Running {
    /// Starts it with its output thrown away.
    pub(crate) fn start(command: &mut Command) -> Result<Running> {
        command
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null());
        // SAFETY: the call is async-signal-safe, and touches no memory.
        unsafe {
            command.pre_exec(
                || match libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGTERM) {
                    0 => Ok(()),
                    _ => Err(io::Error::last_os_error()),
                },
            );
        }
        let child = command.spawn();
        let name = command.get_program().to_string_lossy().into_owned();
        child
            .map(Running)
            .with_context(|| format!("cannot start {name}"))
    }

    pub(crate) fn id(&self) -> u32 {
        self.0.id()
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // It has not been waited for, so that the id is still its own. SIGTERM lets it end its own
        // children.
        let _ = Command::new("kill").arg(self.0.id().to_string()).status();
        let _ = self.0.wait();
    }
}

/// Children that work until their standard input ends.
pub(crate) struct Flock {
    children: Vec<Child>,
    gate: Option<(PipeReader, PipeWriter)>,
}

impl Flock {
    pub(crate) fn new() -> Result<Flock> {
        let gate = io::pipe().context("cannot make a pipe")?;
        Ok(Flock {
            children: Vec::new(),
            gate: Some(gate),
        })
    }

    /// Starts one more.
    pub(crate) fn start(&mut self, command: &mut Command) -> Result<()> {
        let (reader, _) = self
            .gate
            .as_ref()
            .context("children are started before the end")?;
        let child = command
            .stdin(reader.try_clone()?)
            .stdout(Stdio::null())
            .spawn()
            .context("cannot start a load")?;
        self.children.push(child);
        Ok(())
    }
}

impl Drop for Flock {
    fn drop(&mut self) {
        self.gate.take();
        for child in &mut self.children {
            let _ = child.wait();
        }
    }
}

/// What a child prints.
pub(crate) fn output_of(command: &mut Command) -> Result<String> {
    let output = command
        .stdin(Stdio::null())
        .stderr(Stdio::inherit())
        .output()
        .with_context(|| format!("cannot start {}", command.get_program().display()))?;
    ensure!(
        output.status.success(),
        "{} failed: {}",
        command.get_program().display(),
        output.status
    );
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}
