//! Constants of a host, written into the programs' instructions before they are loaded.
//!
//! Rust cannot emit the relocations by which C programs learn a kernel's offsets. In their place the
//! object has marks: immediates, and offsets of loads, that name a word of [`Offsets`],
//! [`BlockOffsets`] or [`Settings`]. Userspace puts the words there with [`fill`]. So a field of a
//! kernel structure is one instruction, without memory of its own to look at; to the verifier it is
//! a constant, and what a kernel lacks is removed as dead code.

use core::fmt;

use crate::{
    block::BlockOffsets,
    layout::{ABSENT, Offsets, Settings},
};

/// What a mark is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u32)]
pub enum Table {
    /// [`Offsets`].
    Offsets = 0,
    /// [`BlockOffsets`].
    BlockOffsets = 1,
    /// [`Settings`].
    Settings = 2,
}

/// The high half of a marked immediate.
const IMMEDIATE: u32 = 0x5c7a_0000;
/// The highest bits of a marked offset: no other offset is so far below 0.
const OFFSET: u16 = 0x8000;
/// Bits for a word's place in its table.
const PLACE_BITS: u32 = 10;
/// Bits of a mark, in either.
const MARK_BITS: u32 = PLACE_BITS + 2;

const fn mark(table: Table, byte: usize) -> u32 {
    assert!(byte.is_multiple_of(4) && byte / 4 < 1 << PLACE_BITS);
    (table as u32) << PLACE_BITS | (byte / 4) as u32
}

/// The immediate that stands for a word, by its byte in the table. With two slots (`lddw`) it
/// stands for that word and the next.
pub const fn immediate(table: Table, byte: usize) -> i32 {
    (IMMEDIATE | mark(table, byte)).cast_signed()
}

/// The offset of a load that stands for a word, likewise.
pub const fn offset(table: Table, byte: usize) -> i16 {
    (OFFSET | mark(table, byte) as u16).cast_signed()
}

/// The constants of a host.
#[derive(Clone, Copy, Debug)]
pub struct Constants<'a> {
    /// Where its kernel keeps what the programs read.
    pub offsets: &'a Offsets,
    /// Likewise, of block requests.
    pub block_offsets: &'a BlockOffsets,
    /// What userspace decided.
    pub settings: &'a Settings,
}

/// Why constants cannot be written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unfilled {
    /// The object was not built from the tables of this agent, or is damaged.
    ForeignMark(u32),
    /// A member of a structure is beyond the reach of a load: its offset.
    TooFar(u32),
}

impl fmt::Display for Unfilled {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Unfilled::ForeignMark(mark) => write!(
                f,
                "the kernel object asks for a constant that this agent does not have ({mark:#x})"
            ),
            Unfilled::TooFar(offset) => write!(
                f,
                "a member of one of this kernel's structures is {offset} bytes from its start: the \
                 programs reach 32,767"
            ),
        }
    }
}

impl core::error::Error for Unfilled {}

impl Constants<'_> {
    fn word(&self, mark: u32) -> Result<u32, Unfilled> {
        let foreign = Unfilled::ForeignMark(mark);
        let table: &[u8] = match mark >> PLACE_BITS {
            table if table == Table::Offsets as u32 => bytemuck::bytes_of(self.offsets),
            table if table == Table::BlockOffsets as u32 => bytemuck::bytes_of(self.block_offsets),
            table if table == Table::Settings as u32 => bytemuck::bytes_of(self.settings),
            _ => return Err(foreign),
        };
        let byte = 4 * (mark & ((1 << PLACE_BITS) - 1)) as usize;
        let word = table.get(byte..).and_then(|rest| rest.first_chunk());
        word.map(|word| u32::from_ne_bytes(*word)).ok_or(foreign)
    }

    fn displacement(&self, mark: u32) -> Result<i16, Unfilled> {
        let word = self.word(mark)?;
        if word == ABSENT {
            // Of a load that is never reached; if it is, the verifier refuses it.
            return Ok(-1);
        }
        i16::try_from(word).map_err(|_| Unfilled::TooFar(word))
    }
}

/// An instruction (include/uapi/linux/bpf.h, `struct bpf_insn`).
const INSTRUCTION: usize = 8;
/// `BPF_LD | BPF_DW | BPF_IMM`, two slots long.
const LDDW: u8 = 0x18;
/// `BPF_ALU64 | BPF_MOV | BPF_K`.
const MOV: u8 = 0xb7;
/// `BPF_LDX | BPF_MEM` of any size.
const LDX_MEM: u8 = 0x61;
const CLASS_AND_MODE: u8 = 0xe7;

/// Writes constants into a section of instructions, little-endian, and tells how many.
pub fn fill(text: &mut [u8], constants: &Constants<'_>) -> Result<usize, Unfilled> {
    let (instructions, _) = text.as_chunks_mut::<INSTRUCTION>();
    let mut filled = 0;
    let mut i = 0;
    while let Some(instruction) = instructions.get_mut(i) {
        i += 1;
        let [code, _, o0, o1, i0, i1, i2, i3] = *instruction;
        let immediate = u32::from_le_bytes([i0, i1, i2, i3]);
        let marked = (immediate >> MARK_BITS == IMMEDIATE >> MARK_BITS)
            .then_some(immediate & ((1 << MARK_BITS) - 1));
        match code {
            MOV => {
                let Some(mark) = marked else { continue };
                instruction[4..].copy_from_slice(&constants.word(mark)?.to_le_bytes());
            }
            LDDW => {
                let second = instructions.get_mut(i);
                i += 1;
                let (Some(mark), Some(second)) = (marked, second) else {
                    continue;
                };
                second[4..].copy_from_slice(&constants.word(mark + 1)?.to_le_bytes());
                instructions[i - 2][4..].copy_from_slice(&constants.word(mark)?.to_le_bytes());
            }
            code if code & CLASS_AND_MODE == LDX_MEM => {
                let offset = u16::from_le_bytes([o0, o1]);
                if offset >> MARK_BITS != OFFSET >> MARK_BITS {
                    continue;
                }
                let mark = (offset & ((1 << MARK_BITS) - 1)) as u32;
                let displacement = constants.displacement(mark)?;
                instruction[2..4].copy_from_slice(&displacement.to_le_bytes());
            }
            _ => continue,
        }
        filled += 1;
    }
    Ok(filled)
}

#[cfg(test)]
mod tests {
    use core::mem::offset_of;

    use super::*;
    use bytemuck::Zeroable as _;
    use proptest::prelude::*;

    fn with(check: impl FnOnce(&Constants<'_>)) {
        let mut offsets = Offsets::zeroed();
        offsets.rq_clock = 2_400;
        offsets.rq_irq = ABSENT;
        offsets.task_comm = 40_000;
        let mut block_offsets = BlockOffsets::zeroed();
        block_offsets.disk_major = 8;
        let mut settings = Settings::zeroed();
        settings.root_cgroup = 0x1_0000_0002;
        settings.shards = u32::MAX - 1;
        check(&Constants {
            offsets: &offsets,
            block_offsets: &block_offsets,
            settings: &settings,
        });
    }

    fn instruction(code: u8, offset: i16, immediate: i32) -> Vec<u8> {
        let mut bytes = vec![code, 0x21];
        bytes.extend(offset.to_le_bytes());
        bytes.extend(immediate.to_le_bytes());
        bytes
    }

    #[test]
    fn marks_become_what_they_stand_for() {
        let clock = offset(Table::Offsets, offset_of!(Offsets, rq_clock));
        let irq = offset(Table::Offsets, offset_of!(Offsets, rq_irq));
        let major = offset(Table::BlockOffsets, offset_of!(BlockOffsets, disk_major));
        let shards = immediate(Table::Settings, offset_of!(Settings, shards));
        let root = immediate(Table::Settings, offset_of!(Settings, root_cgroup));
        let marked = [
            instruction(0x79, clock, 0),
            instruction(0x61, irq, 0),
            instruction(0x69, major, 0),
            instruction(MOV, 0, shards),
            instruction(LDDW, 0, root),
            instruction(0, 0, 0),
            instruction(0x79, -8, 0),
            instruction(0x7b, clock, 0),
        ];
        let expected = [
            instruction(0x79, 2_400, 0),
            instruction(0x61, -1, 0),
            instruction(0x69, 8, 0),
            instruction(MOV, 0, -2),
            instruction(LDDW, 0, 2),
            instruction(0, 0, 1),
            instruction(0x79, -8, 0),
            instruction(0x7b, clock, 0),
        ];
        let mut text = marked.concat();
        with(|constants| assert_eq!(fill(&mut text, constants), Ok(5)));
        assert_eq!(text, expected.concat());
    }

    #[test]
    fn what_cannot_be_written_is_told() {
        let far = offset(Table::Offsets, offset_of!(Offsets, task_comm));
        let beyond = immediate(Table::Settings, size_of::<Settings>());
        with(|constants| {
            let mut text = instruction(0x79, far, 0);
            assert_eq!(fill(&mut text, constants), Err(Unfilled::TooFar(40_000)));
            let mut text = instruction(MOV, 0, beyond);
            let error = fill(&mut text, constants).expect_err("a word behind the table");
            assert!(matches!(error, Unfilled::ForeignMark(_)), "{error:?}");
        });
    }

    proptest! {
        #[test]
        fn any_bytes_are_gone_through(mut text in prop::collection::vec(any::<u8>(), 0..400)) {
            let before = text.clone();
            with(|constants| {
                let filled = fill(&mut text, constants);
                if filled == Ok(0) {
                    assert_eq!(text, before);
                }
            });
        }
    }
}
