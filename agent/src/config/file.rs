//! The YAML file.

use std::path::Path;

use super::{ConfigError, Layer};

/// Reads a file.
pub fn from_file(path: &Path) -> Result<Layer, ConfigError> {
    let text = std::fs::read_to_string(path).map_err(|error| ConfigError {
        place: path.display().to_string(),
        what: format!("it cannot be read ({error})"),
        remedy: "give the path of a YAML file".into(),
    })?;
    parse(&path.display().to_string(), &text)
}

/// Parses the text of a file of that name.
pub(super) fn parse(name: &str, text: &str) -> Result<Layer, ConfigError> {
    if text
        .lines()
        .all(|line| line.trim_start().starts_with('#') || line.trim().is_empty())
    {
        return Ok(Layer::default());
    }
    serde_saphyr::from_str(text).map_err(|error| {
        let line = error
            .location()
            .and_then(|at| usize::try_from(at.line()).ok());
        let key = line.and_then(|line| key_at(text, line));
        let place = match (line, key) {
            (Some(line), Some(key)) => format!("{name}:{line}: `{key}`"),
            (Some(line), None) => format!("{name}:{line}"),
            (None, _) => name.to_owned(),
        };
        ConfigError {
            place,
            what: without_place(&error.without_snippet().to_string()).to_owned(),
            remedy: "docs/agent.md lists the keys and their values".into(),
        }
    })
}

/// The key on a line.
fn key_at(text: &str, line: usize) -> Option<&str> {
    let line = text.lines().nth(line.checked_sub(1)?)?;
    let (key, _) = line.split_once(':')?;
    Some(key.trim()).filter(|key| !key.is_empty())
}

/// The first line of a message, without the place that is told already.
fn without_place(text: &str) -> &str {
    let line = text.lines().next().unwrap_or_default();
    let (what, _) = line.split_once(" at line ").unwrap_or((line, ""));
    what
}
