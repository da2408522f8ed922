//! The kernel object with this host's constants in its instructions.

use agent_ebpf::constants::{self, Constants, Unfilled};
use object::{Object as _, ObjectSection as _, SectionFlags, elf::SHF_EXECINSTR};
use thiserror::Error;

/// Why constants could not be written.
#[derive(Debug, Error)]
pub enum ImageError {
    /// It is no object.
    #[error("cannot read the kernel object: {0}")]
    Object(#[from] object::Error),
    /// It was built for another agent, or cannot hold a constant of this kernel.
    #[error(transparent)]
    Constants(#[from] Unfilled),
}

/// An object to load, aligned as its tables need it.
pub(super) struct Image {
    words: Vec<u64>,
    length: usize,
}

impl Image {
    fn of(object: &[u8]) -> Image {
        let mut words = vec![0; object.len().div_ceil(size_of::<u64>())];
        bytemuck::cast_slice_mut(&mut words)[..object.len()].copy_from_slice(object);
        Image {
            words,
            length: object.len(),
        }
    }

    /// The object.
    pub(super) fn bytes(&self) -> &[u8] {
        &bytemuck::cast_slice(&self.words)[..self.length]
    }

    fn bytes_mut(&mut self) -> &mut [u8] {
        &mut bytemuck::cast_slice_mut(&mut self.words)[..self.length]
    }
}

/// Writes `constants` into the instructions of `object`.
pub(super) fn fill(object: &[u8], constants: &Constants<'_>) -> Result<Image, ImageError> {
    let mut image = Image::of(object);
    let mut texts = Vec::new();
    for section in object::File::parse(image.bytes())?.sections() {
        if let SectionFlags::Elf { sh_flags } = section.flags()
            && sh_flags & u64::from(SHF_EXECINSTR) != 0
            && let Some((start, _)) = section.file_range()
        {
            texts.push((start, section.data()?.len()));
        }
    }
    for (start, length) in texts {
        let start = usize::try_from(start).unwrap_or(usize::MAX);
        let text = image.bytes_mut().get_mut(start..);
        if let Some(text) = text.and_then(|rest| rest.get_mut(..length)) {
            constants::fill(text, constants)?;
        }
    }
    Ok(image)
}

#[cfg(test)]
mod tests {
    use agent_ebpf::{
        block::BlockOffsets,
        layout::{Offsets, Settings},
    };
    use bytemuck::Zeroable as _;

    use super::*;
    use crate::kernel::load::OBJECT;

    fn filled(object: &[u8]) -> Result<Image, ImageError> {
        fill(
            object,
            &Constants {
                offsets: &Offsets::zeroed(),
                block_offsets: &BlockOffsets::zeroed(),
                settings: &Settings::zeroed(),
            },
        )
    }

    #[test]
    fn no_mark_is_left_in_the_agents_own_object() {
        let once = filled(OBJECT).expect("the agent's own object");
        assert_ne!(once.bytes(), OBJECT);
        let twice = filled(once.bytes()).expect("an object");
        assert_eq!(twice.bytes(), once.bytes());
    }

    #[test]
    fn what_is_no_object_is_refused() {
        for bytes in [&[][..], b"no object", &OBJECT[..100], &OBJECT[..5_000]] {
            assert!(matches!(filled(bytes), Err(ImageError::Object(_))));
        }
    }

    #[test]
    fn instructions_beyond_the_end_are_refused() {
        // Fields of the ELF header, and of each section's.
        const TABLE: usize = 0x28;
        const COUNT: usize = 0x3c;
        const SECTION: usize = 64;
        const FLAGS: usize = 8;
        const SIZE: usize = 32;
        let mut object = OBJECT.to_vec();
        let word = |object: &[u8], at: usize| {
            let bytes = object[at..].first_chunk().expect("8 bytes");
            usize::try_from(u64::from_le_bytes(*bytes)).expect("a size")
        };
        let table = word(&object, TABLE);
        let count = usize::from(u16::from_le_bytes([object[COUNT], object[COUNT + 1]]));
        for section in (0..count).map(|number| table + SECTION * number) {
            if word(&object, section + FLAGS) & SHF_EXECINSTR as usize != 0 {
                object[section + SIZE..][..8].copy_from_slice(&(1u64 << 40).to_le_bytes());
            }
        }
        assert!(matches!(filled(&object), Err(ImageError::Object(_))));
    }
}
