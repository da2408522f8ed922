//! A source of names.

use std::{fs::File, io, io::Read as _, path::Path};

use super::facts::Facts;

/// Files longer than this are no lists of names.
const LONGEST: u64 = 32 << 20;

/// Why a source told nothing.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// There is none on this host, which is no failure.
    #[error("not there")]
    Absent,
    /// It is there, and cannot be used.
    #[error("{0}")]
    Failed(String),
}

/// Somewhere names come from.
pub trait Source: Send {
    /// Its name in output.
    fn name(&self) -> &'static str;

    /// All that it tells now. It may take as long as it bounds itself to.
    fn read(&mut self) -> Result<Facts, Error>;
}

impl Error {
    /// Of a file or folder.
    pub(super) fn of(path: &Path, error: &io::Error) -> Error {
        match error.kind() {
            io::ErrorKind::NotFound | io::ErrorKind::NotADirectory => Error::Absent,
            _ => Error::Failed(format!("cannot read {}: {error}", path.display())),
        }
    }
}

/// The names in a folder; those that are no UTF-8 are nobody's.
pub(super) fn names_in(folder: &Path) -> Result<Vec<String>, Error> {
    let entries = folder
        .read_dir()
        .map_err(|error| Error::of(folder, &error))?;
    let names = entries.filter_map(|entry| entry.ok()?.file_name().into_string().ok());
    Ok(names.collect())
}

/// A file's bytes.
pub(super) fn bytes(path: &Path) -> Result<Vec<u8>, Error> {
    let mut bytes = Vec::new();
    let file = File::open(path).map_err(|error| Error::of(path, &error))?;
    file.take(LONGEST)
        .read_to_end(&mut bytes)
        .map_err(|error| Error::of(path, &error))?;
    Ok(bytes)
}
