//! What is worth a warning goes to standard error, around a progress bar; never to standard output.

use std::{
    io::{self, Write},
    sync::Mutex,
};

use indicatif::{ProgressBar, WeakProgressBar};
use tracing_subscriber::{EnvFilter, filter::LevelFilter};

/// Names what is logged, as `RUST_LOG=crosstalk=debug`.
const FILTER: &str = "RUST_LOG";

/// The bar that is drawn on standard error now.
static BAR: Mutex<Option<WeakProgressBar>> = Mutex::new(None);

/// Logs warnings, or what `RUST_LOG` asks for; colour only on a terminal, and not with `NO_COLOR`.
pub(super) fn install() {
    let filter = EnvFilter::builder()
        .with_default_directive(LevelFilter::WARN.into())
        .with_env_var(FILTER)
        .from_env_lossy();
    let colour = anstream::AutoStream::choice(&io::stderr());
    // Somebody who embeds this may have a subscriber already.
    let _ = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(|| Stderr)
        .with_ansi(colour != anstream::ColorChoice::Never)
        .without_time()
        .with_target(false)
        .try_init();
}

/// Lines of the log appear above this bar from now on.
pub(super) fn appear_above(bar: &ProgressBar) {
    if let Ok(mut current) = BAR.lock() {
        *current = Some(bar.downgrade());
    }
}

/// Standard error, with a bar taken away for the moment.
struct Stderr;

impl Write for Stderr {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        let bar = BAR.lock().ok().and_then(|bar| bar.as_ref()?.upgrade());
        match bar {
            Some(bar) => bar.suspend(|| io::stderr().write(line)),
            None => io::stderr().write(line),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        io::stderr().flush()
    }
}
