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
    /// It was built for another agent.
    #[error("the kernel object asks for a constant that this agent does not have ({0:#x})")]
    ForeignMark(u32),
    /// A structure of the kernel is too large.
    #[error(
        "a member of one of this kernel's structures is {0} bytes from its start: the programs \
         reach 32,767"
    )]
    TooFar(u32),
}

impl From<Unfilled> for ImageError {
    fn from(unfilled: Unfilled) -> Self {
        match unfilled {
            Unfilled::ForeignMark(mark) => ImageError::ForeignMark(mark),
            Unfilled::TooFar(offset) => ImageError::TooFar(offset),
        }
    }
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
            && let Some((start, length)) = section.file_range()
        {
            texts.push((start, length));
        }
    }
    for (start, length) in texts {
        let range = usize::try_from(start)
            .ok()
            .zip(usize::try_from(length).ok());
        let text =
            range.and_then(|(start, length)| image.bytes_mut().get_mut(start..)?.get_mut(..length));
        if let Some(text) = text {
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
        for bytes in [&[][..], b"no object", &OBJECT[..100]] {
            assert!(matches!(filled(bytes), Err(ImageError::Object(_))));
        }
    }
}
