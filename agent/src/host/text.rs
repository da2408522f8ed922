//! Bytes that a tenant chose, made fit for people: one line, no terminal control, unambiguous.
//!
//! Printable UTF-8 stays as it is. `\` becomes `\\`; every byte of anything else becomes `\xNN`.
//! So two different names never look the same, and the original can be had back.

use std::{ffi::OsStr, fmt::Write, os::unix::ffi::OsStrExt};

/// A path, cgroup or other, for people.
pub fn display_path(path: &OsStr) -> String {
    display_bytes(path.as_bytes())
}

/// Any bytes, for people.
pub fn display_bytes(bytes: &[u8]) -> String {
    let mut out = String::with_capacity(bytes.len());
    for chunk in bytes.utf8_chunks() {
        for character in chunk.valid().chars() {
            push_character(&mut out, character);
        }
        push_escaped(&mut out, chunk.invalid());
    }
    out
}

fn push_character(out: &mut String, character: char) {
    if character == '\\' {
        out.push_str("\\\\");
    } else if is_misleading(character) {
        push_escaped(out, character.encode_utf8(&mut [0; 4]).as_bytes());
    } else {
        out.push(character);
    }
}

fn push_escaped(out: &mut String, bytes: &[u8]) {
    for byte in bytes {
        // Writing to a string cannot fail.
        let _ = write!(out, "\\x{byte:02x}");
    }
}

/// Control characters, and what is invisible or reorders text around it.
fn is_misleading(character: char) -> bool {
    character.is_control()
        || (character.is_whitespace() && character != ' ')
        || matches!(
            character,
            '\u{ad}'
                | '\u{61c}'
                | '\u{180e}'
                | '\u{200b}'..='\u{200f}'
                | '\u{202a}'..='\u{202e}'
                | '\u{2060}'..='\u{206f}'
                | '\u{fe00}'..='\u{fe0f}'
                | '\u{feff}'
                | '\u{fff9}'..='\u{fffb}'
                | '\u{e0000}'..='\u{e0fff}'
        )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn people_see_one_unambiguous_line() {
        for (bytes, shown) in [
            (
                &b"/system.slice/nginx.service"[..],
                "/system.slice/nginx.service",
            ),
            (b"two words", "two words"),
            (b"a\nb\tc", "a\\x0ab\\x09c"),
            (b"\x1b[31mred", "\\x1b[31mred"),
            (b"dev\\x2ddisk", "dev\\\\x2ddisk"),
            (b"\xff\xfe", "\\xff\\xfe"),
            ("größe".as_bytes(), "größe"),
            (b"gr\xc3", "gr\\xc3"),
            ("a\u{202e}b".as_bytes(), "a\\xe2\\x80\\xaeb"),
            ("a\u{a0}b".as_bytes(), "a\\xc2\\xa0b"),
            ("a\u{9b}31m".as_bytes(), "a\\xc2\\x9b31m"),
            (b"", ""),
        ] {
            assert_eq!(display_bytes(bytes), shown);
        }
    }

    #[test]
    fn different_bytes_never_look_the_same() {
        let mut seen = std::collections::BTreeSet::new();
        for first in 0..=255_u8 {
            for second in 0..=255 {
                assert!(seen.insert(display_bytes(&[first, second])));
            }
        }
    }
}
