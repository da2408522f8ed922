//! The kernel's own description of its types (BTF), as far as offsets need it.
//!
//! Reads the raw section in place: an index of 4 bytes for each type is all it allocates, where a
//! full parser takes tens of megabytes. Format: Documentation/bpf/btf.rst.

use std::{collections::HashMap, io, path::Path};

use thiserror::Error;

const MAGIC: u16 = 0xeb9f;
const VERSION: u8 = 1;
const HEADER: usize = 24;

const INT: u32 = 1;
const ARRAY: u32 = 3;
const STRUCT: u32 = 4;
const UNION: u32 = 5;
const ENUM: u32 = 6;
const FWD: u32 = 7;
const TYPEDEF: u32 = 8;
const FUNC: u32 = 12;
const FUNC_PROTO: u32 = 13;
const VAR: u32 = 14;
const DATASEC: u32 = 15;
const DECL_TAG: u32 = 17;
const ENUM64: u32 = 19;

/// Names of the typedefs of typed tracepoints start so …
const TRACEPOINT: &[u8] = b"btf_trace_";
/// … and those of the functions that stand for iterators so.
const ITERATOR: &[u8] = b"bpf_iter_";

/// Enumerators that somebody asks for.
const ENUMERATORS: [&[u8]; 4] = [
    b"cpu_cgrp_id",
    b"REQ_OP_ZONE_APPEND",
    b"__RQF_FLUSH_SEQ",
    b"__RQF_IO_STAT",
];

/// Why the types of the kernel are not known.
#[derive(Debug, Error)]
pub enum BtfError {
    /// The file is not there or cannot be read.
    #[error("cannot read {path}: {source}")]
    Read {
        /// The file.
        path: String,
        /// Why.
        source: io::Error,
    },
    /// Not BTF, or torn.
    #[error("not BTF of this machine's byte order, or cut short")]
    Malformed,
}

/// The types of a kernel.
#[derive(Debug)]
pub struct Btf {
    data: Vec<u8>,
    strings: usize,
    /// Offset of each type in `data`; the type with number 0 is `void`.
    types: Vec<u32>,
    structs: HashMap<Vec<u8>, u32>,
    /// Those of tracepoints.
    typedefs: HashMap<Vec<u8>, u32>,
    enumerators: HashMap<Vec<u8>, u32>,
}

/// A member of a structure, anonymous parts looked through.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Member {
    /// Bytes from the start of the structure.
    pub offset: u32,
    /// Number of its type.
    pub type_id: u32,
}

impl Btf {
    /// Reads `/sys/kernel/btf/vmlinux` or a copy.
    pub fn read(path: &Path) -> Result<Btf, BtfError> {
        let data = std::fs::read(path).map_err(|source| BtfError::Read {
            path: path.display().to_string(),
            source,
        })?;
        Btf::parse(data).ok_or(BtfError::Malformed)
    }

    fn parse(data: Vec<u8>) -> Option<Btf> {
        let header = word(&data, 4)? as usize;
        if u16::from_ne_bytes(data.get(..2)?.try_into().ok()?) != MAGIC || header < HEADER {
            return None;
        }
        let start = header.checked_add(word(&data, 8)? as usize)?;
        let end = start.checked_add(word(&data, 12)? as usize)?;
        let strings = header.checked_add(word(&data, 16)? as usize)?;
        let mut btf = Btf {
            data,
            strings,
            types: vec![0],
            structs: HashMap::new(),
            typedefs: HashMap::new(),
            enumerators: HashMap::new(),
        };
        let mut at = start;
        while at < end {
            let id = u32::try_from(btf.types.len()).ok()?;
            btf.types.push(u32::try_from(at).ok()?);
            btf.index(id, at)?;
            at = at.checked_add(btf.size_at(at)?)?;
        }
        Some(btf)
    }

    fn index(&mut self, id: u32, at: usize) -> Option<()> {
        match self.kind_at(at)? {
            STRUCT => {
                let name = self.name_at(at)?.to_vec();
                self.structs.entry(name).or_insert(id);
            }
            TYPEDEF => {
                let name = self.name_at(at)?;
                if name.starts_with(TRACEPOINT) {
                    let name = name.to_vec();
                    self.typedefs.entry(name).or_insert(id);
                }
            }
            ENUM => {
                for i in 0..self.vlen_at(at)? {
                    let entry = at + 12 + 8 * i;
                    let name = self.string(word(&self.data, entry)?)?;
                    if ENUMERATORS.contains(&name) {
                        let value = word(&self.data, entry + 4)?;
                        self.enumerators.insert(name.to_vec(), value);
                    }
                }
            }
            _ => {}
        }
        Some(())
    }

    fn name_at(&self, at: usize) -> Option<&[u8]> {
        self.string(word(&self.data, at)?)
    }

    fn kind_at(&self, at: usize) -> Option<u32> {
        Some((word(&self.data, at + 4)? >> 24) & 0x1f)
    }

    fn vlen_at(&self, at: usize) -> Option<usize> {
        Some((word(&self.data, at + 4)? & 0xffff) as usize)
    }

    /// Bytes of the type at `at`.
    fn size_at(&self, at: usize) -> Option<usize> {
        let each = match self.kind_at(at)? {
            INT | VAR | DECL_TAG => return Some(16),
            ARRAY => return Some(24),
            STRUCT | UNION | DATASEC | ENUM64 => 12,
            ENUM | FUNC_PROTO => 8,
            _ => 0,
        };
        Some(12 + each * self.vlen_at(at)?)
    }

    fn string(&self, offset: u32) -> Option<&[u8]> {
        let rest = self
            .data
            .get(self.strings.checked_add(offset as usize)?..)?;
        rest.split(|&byte| byte == 0).next()
    }

    fn type_at(&self, id: u32) -> Option<usize> {
        self.types.get(id as usize).map(|&at| at as usize)
    }

    /// A structure by name.
    pub fn structure(&self, name: &str) -> Option<u32> {
        self.structs.get(name.as_bytes()).copied()
    }

    /// The value of an enumerator, of those that somebody asks for.
    pub fn enumerator(&self, name: &str) -> Option<u32> {
        self.enumerators.get(name.as_bytes()).copied()
    }

    /// A member by its path from a structure: `["se", "cfs_rq"]` for `task_struct`.
    pub fn member(&self, structure: &str, path: &[&str]) -> Option<Member> {
        let mut found = Member {
            offset: 0,
            type_id: self.structure(structure)?,
        };
        for name in path {
            let inner = self.find(self.resolved(found.type_id)?, name.as_bytes(), 0)?;
            found = Member {
                offset: found.offset + inner.offset,
                type_id: inner.type_id,
            };
        }
        Some(found)
    }

    /// Typedefs and qualifiers looked through.
    fn resolved(&self, mut id: u32) -> Option<u32> {
        for _ in 0..16 {
            let at = self.type_at(id)?;
            match self.kind_at(at)? {
                TYPEDEF..=11 | 18 => id = word(&self.data, at + 8)?,
                _ => return Some(id),
            }
        }
        None
    }

    fn find(&self, structure: u32, name: &[u8], depth: u32) -> Option<Member> {
        let at = self.type_at(structure)?;
        if depth > 8 || !matches!(self.kind_at(at)?, STRUCT | UNION) {
            return None;
        }
        let bitfields = word(&self.data, at + 4)? >> 31 != 0;
        for i in 0..self.vlen_at(at)? {
            let entry = at + 12 + 12 * i;
            let type_id = word(&self.data, entry + 4)?;
            let raw = word(&self.data, entry + 8)?;
            let offset = if bitfields { raw & 0x00ff_ffff } else { raw } / 8;
            let own = self.string(word(&self.data, entry)?)?;
            if own == name {
                return Some(Member { offset, type_id });
            }
            if own.is_empty()
                && let Some(inner) = self.find(self.resolved(type_id)?, name, depth + 1)
            {
                return Some(Member {
                    offset: offset + inner.offset,
                    type_id: inner.type_id,
                });
            }
        }
        None
    }

    /// The types that programs can be attached to, under the same numbers, and nothing else: all
    /// typed tracepoints, all iterators, and these functions.
    ///
    /// For a loader that wants types of its own and takes tens of milliseconds for all of them.
    pub fn attachable(&self, functions: &[&str]) -> Vec<u8> {
        let is_wanted = |kind, name: &[u8]| match kind {
            TYPEDEF => name.starts_with(TRACEPOINT),
            FUNC => {
                name.starts_with(ITERATOR) || functions.iter().any(|own| own.as_bytes() == name)
            }
            _ => false,
        };
        let (mut types, mut strings) = (Vec::new(), vec![0]);
        let mut end = 0;
        for at in self.types.iter().skip(1).map(|at| *at as usize) {
            let kind = self.kind_at(at).unwrap_or(FWD);
            let name = match kind {
                TYPEDEF | FUNC => self.name_at(at).filter(|name| is_wanted(kind, name)),
                _ => None,
            };
            let [name_offset, info, target] = match name {
                Some(name) => {
                    let offset = strings.len() as u32;
                    strings.extend_from_slice(name);
                    strings.push(0);
                    [offset, kind << 24, 0]
                }
                None => [0, FWD << 24, 0],
            };
            for word in [name_offset, info, target] {
                types.extend_from_slice(&word.to_ne_bytes());
            }
            if name.is_some() {
                end = types.len();
            }
        }
        types.truncate(end);
        let mut all = Vec::with_capacity(HEADER + types.len() + strings.len());
        all.extend_from_slice(&MAGIC.to_ne_bytes());
        all.extend_from_slice(&[VERSION, 0]);
        let (type_bytes, string_bytes) = (types.len() as u32, strings.len() as u32);
        for word in [HEADER as u32, 0, type_bytes, type_bytes, string_bytes] {
            all.extend_from_slice(&word.to_ne_bytes());
        }
        all.append(&mut types);
        all.append(&mut strings);
        all
    }

    /// Names of the structures that the arguments of a typed tracepoint point to; `None` for
    /// arguments of other types.
    pub fn tracepoint(&self, name: &str) -> Option<Vec<Option<&[u8]>>> {
        let typedef = *self.typedefs.get(format!("btf_trace_{name}").as_bytes())?;
        let pointer = self.type_at(self.resolved(typedef)?)?;
        let proto = self.type_at(self.resolved(word(&self.data, pointer + 8)?)?)?;
        if self.kind_at(proto)? != FUNC_PROTO {
            return None;
        }
        // The first argument is the tracepoint's own data.
        (1..self.vlen_at(proto)?)
            .map(|i| Some(self.pointee(word(&self.data, proto + 12 + 8 * i + 4)?)))
            .collect()
    }

    fn pointee(&self, type_id: u32) -> Option<&[u8]> {
        let at = self.type_at(self.resolved(type_id)?)?;
        if self.kind_at(at)? != 2 {
            return None;
        }
        let target = self.type_at(self.resolved(word(&self.data, at + 8)?)?)?;
        if self.kind_at(target)? != STRUCT {
            return None;
        }
        self.string(word(&self.data, target)?)
    }
}

fn word(data: &[u8], at: usize) -> Option<u32> {
    let bytes = data.get(at..at.checked_add(4)?)?;
    bytes.try_into().ok().map(u32::from_ne_bytes)
}

/// For a test of this name: the types of the kernel that runs, or word that it has none.
#[cfg(test)]
pub(super) fn of_running_kernel(test: &str) -> Option<Btf> {
    let path = Path::new("/sys/kernel/btf/vmlinux");
    if !path.exists() {
        println!("UNSUPPORTED {test}: btf");
        return None;
    }
    Some(Btf::read(path).expect("BTF of the running kernel"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_kernel_describes_its_tasks() {
        let Some(btf) = of_running_kernel("this_kernel_describes_its_tasks") else {
            return;
        };
        assert!(
            btf.member("task_struct", &["sched_info", "run_delay"])
                .is_some()
        );
        assert!(btf.member("task_struct", &["se", "cfs_rq"]).is_some());
        assert_eq!(btf.member("task_struct", &["no_such_member"]), None);
        let switch = btf.tracepoint("sched_switch").expect("the tracepoint");
        let tasks = switch
            .iter()
            .filter(|name| **name == Some(b"task_struct"))
            .count();
        assert_eq!(tasks, 2);
    }

    #[test]
    fn what_programs_attach_to_keeps_its_number() {
        let Some(btf) = of_running_kernel("what_programs_attach_to_keeps_its_number") else {
            return;
        };
        let excerpt = Btf::parse(btf.attachable(&["schedule"])).expect("BTF");
        assert_eq!(excerpt.typedefs, btf.typedefs);
        assert!(excerpt.types.len() <= btf.types.len() && excerpt.structs.is_empty());
        for name in ["schedule", "bpf_iter_task"] {
            let of = |btf: &Btf| {
                let is_it = |at: &u32| {
                    let at = *at as usize;
                    btf.kind_at(at) == Some(FUNC) && btf.name_at(at) == Some(name.as_bytes())
                };
                btf.types.iter().skip(1).position(is_it)
            };
            assert!(of(&btf).is_some(), "{name}");
            assert_eq!(of(&excerpt), of(&btf), "{name}");
        }
    }

    #[test]
    fn what_is_not_btf_is_refused() {
        for data in [
            vec![],
            vec![0; 64],
            b"\x9f\xeb\x01\x00\x18\x00\x00\x00".to_vec(),
        ] {
            assert!(Btf::parse(data).is_none());
        }
        let mut torn = vec![0x9f, 0xeb, 1, 0];
        for value in [24u32, 0, 400, 400, 10] {
            torn.extend(value.to_ne_bytes());
        }
        assert!(Btf::parse(torn).is_none());
    }
}
