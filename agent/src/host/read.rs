//! Reading small files of the kernel: bounded, one error type with the path in it.
//!
//! A file of a cgroup or process that went away, or of a feature that is switched off, is absent,
//! which is no error.

use std::{
    fs::File,
    io::{self, Read as _},
    path::{Path, PathBuf},
    str::FromStr,
};

/// No file read here is longer on any machine known; the rest is cut off.
const MAX_BYTES: u64 = 1 << 20;

const ESRCH: i32 = 3;
const ENODEV: i32 = 19;
const ENOTDIR: i32 = 20;
const EOPNOTSUPP: i32 = 95;

/// What kept a file from being read.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The kernel has no such file, or the feature behind it is off.
    #[error("{} does not exist here", .path.display())]
    Absent {
        /// The file.
        path: PathBuf,
    },
    /// It exists and cannot be read.
    #[error("cannot read {}: {source}", .path.display())]
    Broken {
        /// The file.
        path: PathBuf,
        /// What the kernel said.
        source: io::Error,
    },
    /// It was read, and is not what the kernel's documentation says.
    #[error("{} holds no {expected}", .path.display())]
    Malformed {
        /// The file.
        path: PathBuf,
        /// What should be there.
        expected: &'static str,
    },
}

/// All bytes of a file.
pub fn bytes(path: &Path) -> Result<Vec<u8>, Error> {
    read_all(path).map_err(|source| {
        let path = path.to_owned();
        if is_absence(&source) {
            Error::Absent { path }
        } else {
            Error::Broken { path, source }
        }
    })
}

/// The text of a file; bytes that are no UTF-8 are replaced.
pub fn text(path: &Path) -> Result<String, Error> {
    let bytes = bytes(path)?;
    Ok(String::from_utf8(bytes)
        .unwrap_or_else(|error| String::from_utf8_lossy(error.as_bytes()).into_owned()))
}

/// The text of a file that need not exist.
pub fn optional_text(path: &Path) -> Result<Option<String>, Error> {
    match text(path) {
        Ok(text) => Ok(Some(text)),
        Err(Error::Absent { .. }) => Ok(None),
        Err(error) => Err(error),
    }
}

/// The first line of a file that need not exist, trimmed; `None` as well where it cannot be read.
/// For facts that are shown and never decide.
pub fn line(path: &Path) -> Option<String> {
    let text = text(path).ok()?;
    Some(text.lines().next()?.trim().to_owned())
}

/// The first line of a file as a value; `None` where it cannot be read or is none.
pub fn value<T: FromStr>(path: &Path) -> Option<T> {
    line(path)?.parse().ok()
}

/// Whether this error says that there is nothing to read, rather than that reading failed.
/// A removed cgroup gives `ENODEV`, an exited process `ESRCH`, switched off pressure `EOPNOTSUPP`.
pub fn is_absence(error: &io::Error) -> bool {
    error.kind() == io::ErrorKind::NotFound
        || matches!(
            error.raw_os_error(),
            Some(ESRCH | ENODEV | ENOTDIR | EOPNOTSUPP)
        )
}

fn read_all(path: &Path) -> io::Result<Vec<u8>> {
    // `std::fs::read` asks for the size first, which these files do not know: two system calls
    // more for each file.
    let mut bytes = Vec::with_capacity(1024);
    File::open(path)?.take(MAX_BYTES).read_to_end(&mut bytes)?;
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn absent_and_broken_differ() {
        let folder = tempfile::tempdir().unwrap();
        let absent = text(&folder.path().join("none")).unwrap_err();
        assert!(matches!(absent, Error::Absent { .. }), "{absent}");
        assert!(absent.to_string().contains("none"));
        let broken = text(folder.path()).unwrap_err();
        assert!(matches!(broken, Error::Broken { .. }), "{broken}");
        assert!(
            optional_text(&folder.path().join("none"))
                .unwrap()
                .is_none()
        );
    }

    #[test]
    fn bytes_that_are_no_text_are_read() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("file");
        std::fs::write(&path, b" a\xff \nb").unwrap();
        assert_eq!(line(&path).unwrap(), "a\u{fffd}");
        assert_eq!(value::<u32>(&path), None);
    }
}
