//! What comes between the start of the programs and the first sample.

use std::time::Duration;

use tokio::time::sleep;

use crate::{
    cli::{Exit, interrupt::Interrupts},
    observe::{Observer, SampleError},
};

/// Until then histories have begun, and waits have one to be attributed from.
const TIME: Duration = Duration::from_secs(1);
/// Meanwhile many cgroups run for the first time: they are given room so many times.
const STEPS: u32 = 5;

/// Warms up; a signal ends it.
pub(super) async fn warm_up(
    observer: &mut Observer,
    interrupts: &mut Interrupts,
) -> Result<Option<Exit>, SampleError> {
    for _ in 0..STEPS {
        tokio::select! {
            biased;
            exit = interrupts.next() => return Ok(Some(exit)),
            () = sleep(TIME / STEPS) => observer.keep_up()?,
        }
    }
    Ok(None)
}
