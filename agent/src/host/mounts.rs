//! The mounts of this mount namespace, from `mountinfo` (proc_pid_mountinfo(5)).

use std::{ffi::OsString, os::unix::ffi::OsStringExt, path::PathBuf};

/// One mounted file system.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mount {
    /// Where it is mounted.
    pub point: PathBuf,
    /// Type, such as `cgroup2`.
    pub kind: String,
    /// Options of the file system itself; for cgroup v1 they name the controllers.
    pub options: Vec<String>,
}

/// The mounts in `mountinfo`, in its order; lines that are none are left out.
pub fn parse(mountinfo: &[u8]) -> Vec<Mount> {
    mountinfo
        .split(|&byte| byte == b'\n')
        .filter_map(mount)
        .collect()
}

fn mount(line: &[u8]) -> Option<Mount> {
    let mut fields = line.split(|&byte| byte == b' ');
    let point = unescape(fields.nth(4)?);
    // Optional fields end with a lone dash.
    fields.find(|field| *field == b"-")?;
    let kind = String::from_utf8_lossy(fields.next()?).into_owned();
    let options = String::from_utf8_lossy(fields.nth(1)?);
    let options = options.split(',').map(str::to_owned).collect();
    Some(Mount {
        point: PathBuf::from(OsString::from_vec(point)),
        kind,
        options,
    })
}

/// Space, tab, newline and backslash are written as `\` and three octal digits.
fn unescape(field: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(field.len());
    let mut rest = field;
    while let Some((&byte, tail)) = rest.split_first() {
        let escaped = octal(byte, tail);
        out.push(escaped.unwrap_or(byte));
        rest = &tail[if escaped.is_some() { 3 } else { 0 }..];
    }
    out
}

fn octal(byte: u8, tail: &[u8]) -> Option<u8> {
    let digits = tail.get(..3).filter(|_| byte == b'\\')?;
    u8::from_str_radix(str::from_utf8(digits).ok()?, 8).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines() {
        let text = b"32 31 0:29 / /sys/fs/cgroup/cpu rw - cgroup cgroup rw,cpu,cpuacct\n\
            broken line\n\
            41 31 0:38 /../.. /a\\040b\\ rw,relatime shared:4 master:1 - cgroup2 cgroup2 rw\n";
        let mounts = parse(text);
        assert_eq!(mounts.len(), 2);
        assert_eq!(mounts[0].point, PathBuf::from("/sys/fs/cgroup/cpu"));
        assert_eq!(mounts[0].options, ["rw", "cpu", "cpuacct"]);
        assert_eq!(mounts[1].point, PathBuf::from("/a b\\"));
        assert_eq!(mounts[1].kind, "cgroup2");
    }

    #[test]
    fn bytes_that_are_no_text() {
        let mounts = parse(b"1 2 0:3 / /\xff - tmpfs tmpfs rw");
        assert_eq!(mounts[0].point.as_os_str().as_encoded_bytes(), b"/\xff");
    }
}
