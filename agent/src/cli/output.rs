//! Standard output: colour only where wanted, and a reader that leaves is no failure.

use std::io::{self, ErrorKind, IsTerminal as _, Write as _};

use terminal_size::{Width, terminal_size_of};

/// Assumed where a terminal does not tell.
const USUAL_WIDTH: usize = 80;
/// Less than this is not laid out for.
const LEAST_WIDTH: usize = 40;

/// Columns to lay text out for; `None`, when it goes to a file or pipe: nothing is cut or wrapped
/// there, so that it can be searched.
pub(super) fn width() -> Option<usize> {
    let stdout = io::stdout();
    stdout.is_terminal().then(|| {
        let told = terminal_size_of(stdout).map(|(Width(columns), _)| usize::from(columns));
        told.unwrap_or(USUAL_WIDTH).max(LEAST_WIDTH)
    })
}

/// Writes styled text; styles are left out unless a terminal shows them and `NO_COLOR` is not set.
pub(super) fn write(text: &str) -> io::Result<()> {
    let mut out = anstream::AutoStream::auto(io::stdout().lock());
    unless_closed(out.write_all(text.as_bytes()).and_then(|()| out.flush()))
}

/// Writes a JSON document.
pub(super) fn write_json(document: &impl serde::Serialize) -> anyhow::Result<()> {
    let mut text = serde_json::to_string_pretty(document)?;
    text.push('\n');
    let mut out = io::stdout().lock();
    unless_closed(out.write_all(text.as_bytes()).and_then(|()| out.flush()))?;
    Ok(())
}

/// `crosstalk report | head -1` got what it wanted.
fn unless_closed(written: io::Result<()>) -> io::Result<()> {
    match written {
        Err(error) if error.kind() == ErrorKind::BrokenPipe => Ok(()),
        other => other,
    }
}
