//! Says in the log when an export begins to fail and when it works again, and not each time.

use crate::otlp::transport::Answer;

/// What was said last.
#[derive(Debug)]
pub(super) struct Course {
    to: String,
    trouble: Option<String>,
}

impl Course {
    pub(super) fn new(to: String) -> Course {
        Course { to, trouble: None }
    }

    pub(super) fn note(&mut self, answer: &Answer) {
        let (trouble, then) = match answer {
            Answer::Accepted { rejected: 0, .. } => {
                if self.trouble.take().is_some() {
                    tracing::warn!("exporting to {} works again", self.to);
                }
                return;
            }
            Answer::Accepted { rejected, message } => (
                format!("the receiver rejected {rejected} points: {message}"),
                "it will not get them again",
            ),
            Answer::Refused { why, .. } => (why.clone(), "the next interval is sent all the same"),
            Answer::TryAgain { why, .. } => (why.clone(), "trying again until it works"),
        };
        if self.trouble.is_none() {
            tracing::warn!("exporting to {} fails: {trouble}; {then}", self.to);
        } else {
            tracing::debug!("exporting to {} fails: {trouble}", self.to);
        }
        self.trouble = Some(trouble);
    }
}
