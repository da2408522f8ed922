//! Says in the log when an export begins to fail and when it works again, and not each time.

use crate::otlp::transport::Answer;

/// What was said last.
#[derive(Debug)]
pub(super) struct Course {
    what: &'static str,
    to: String,
    trouble: Option<String>,
}

impl Course {
    pub(super) fn new(what: &'static str, to: String) -> Course {
        Course {
            what,
            to,
            trouble: None,
        }
    }

    pub(super) fn note(&mut self, answer: &Answer) {
        let (trouble, then) = match answer {
            Answer::Accepted { rejected: 0, .. } => {
                if self.trouble.take().is_some() {
                    tracing::warn!("exporting {} to {} works again", self.what, self.to);
                }
                return;
            }
            Answer::Accepted { rejected, message } => (
                format!("the receiver rejected {rejected} of them: {message}"),
                "it will not get them again",
            ),
            Answer::Refused { why, .. } => (why.clone(), "what comes next is sent all the same"),
            Answer::TryAgain { why, .. } => (why.clone(), "trying again until it works"),
        };
        let Course { what, to, .. } = self;
        if self.trouble.is_none() {
            tracing::warn!("exporting {what} to {to} fails: {trouble}; {then}");
        } else {
            tracing::debug!("exporting {what} to {to} fails: {trouble}");
        }
        self.trouble = Some(trouble);
    }
}
