//! Values of a map in this process' memory, shared with the kernel programs that write them.
//!
//! All access is by words or halves of them, volatile: one is never torn, a value may be.

use std::{
    io,
    marker::PhantomData,
    os::fd::{AsRawFd as _, BorrowedFd},
    ptr::{self, NonNull},
};

const WORD: usize = size_of::<u64>();

/// An array of `T`.
#[derive(Debug)]
pub(crate) struct Mapped<T> {
    base: NonNull<u64>,
    bytes: usize,
    entries: u32,
    value: PhantomData<fn() -> T>,
}

// SAFETY: the memory belongs to the mapping alone, is not tied to a thread, and is only accessed
// by volatile words.
unsafe impl<T> Send for Mapped<T> {}

impl<T> Mapped<T> {
    /// Words of a value: the kernel rounds each up to whole ones.
    const STRIDE: usize = size_of::<T>().div_ceil(WORD);

    /// Maps an array map with `entries` values of type `T`.
    pub(crate) fn open(map: BorrowedFd<'_>, entries: u32) -> io::Result<Mapped<T>> {
        map_memory(entries, libc::MAP_SHARED, map.as_raw_fd())
    }

    /// Memory that no kernel program writes.
    #[cfg(test)]
    pub(crate) fn private(entries: u32) -> Mapped<T> {
        let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS;
        map_memory(entries, flags, -1).unwrap()
    }

    /// How many values there are.
    pub(crate) fn len(&self) -> u32 {
        self.entries
    }

    /// The word at `offset` bytes of value `index`.
    pub(crate) fn word(&self, index: u32, offset: usize) -> u64 {
        let pointer = self.address(index, offset, 1);
        // SAFETY: inside the mapping, and aligned: see `address`.
        unsafe { ptr::read_volatile(pointer) }
    }

    /// The half word at `offset` bytes of value `index`.
    pub(crate) fn half(&self, index: u32, offset: usize) -> u32 {
        let pointer = self.half_address(index, offset);
        // SAFETY: inside the mapping, and aligned: see `address`.
        unsafe { ptr::read_volatile(pointer) }
    }

    /// The first `N` words of value `index`, one after the other.
    pub(crate) fn words<const N: usize>(&self, index: u32) -> [u64; N] {
        let first = self.address(index, 0, N);
        // SAFETY: all of it lies inside the mapping, and is aligned: see `address`.
        std::array::from_fn(|at| unsafe { ptr::read_volatile(first.add(at)) })
    }

    /// The first `N` half words of value `index`, an even number, by words.
    pub(crate) fn halves<const N: usize>(&self, index: u32) -> [u32; N] {
        let first = self.address(index, 0, N / 2);
        let mut halves = [0; N];
        for (at, pair) in halves.chunks_exact_mut(2).enumerate() {
            // SAFETY: as in `words`.
            let word = unsafe { ptr::read_volatile(first.add(at)) };
            // As the halves lie in memory on both of our architectures.
            pair[0] = word as u32;
            pair[1] = (word >> 32) as u32;
        }
        halves
    }

    /// Stores the word at `offset` bytes of value `index`.
    pub(crate) fn set_word(&self, index: u32, offset: usize, word: u64) {
        let pointer = self.address(index, offset, 1);
        // SAFETY: inside the mapping, and aligned: see `address`.
        unsafe { ptr::write_volatile(pointer, word) }
    }

    /// Stores the half word at `offset` bytes of value `index`.
    pub(crate) fn set_half(&self, index: u32, offset: usize, half: u32) {
        let pointer = self.half_address(index, offset);
        // SAFETY: inside the mapping, and aligned: see `address`.
        unsafe { ptr::write_volatile(pointer, half) }
    }

    /// Sets all words of value `index` to 0.
    pub(crate) fn zero(&self, index: u32) {
        for word in 0..Self::STRIDE {
            self.set_word(index, word * WORD, 0);
        }
    }

    /// The address of `words` words from the one that holds byte `offset` of value `index`.
    fn address(&self, index: u32, offset: usize, words: usize) -> *mut u64 {
        let first = offset / WORD;
        assert!(
            index < self.entries && first + words <= Self::STRIDE,
            "{words} words at {offset} of value {index} of {}",
            self.entries
        );
        // SAFETY: value `index` ends inside the mapping, and the words inside the value.
        unsafe {
            self.base
                .as_ptr()
                .add(index as usize * Self::STRIDE + first)
        }
    }

    fn half_address(&self, index: u32, offset: usize) -> *mut u32 {
        let word = self.address(index, offset, 1).cast::<u32>();
        let is_second = offset % WORD >= WORD / 2;
        // SAFETY: a word has two halves.
        unsafe { word.add(usize::from(is_second)) }
    }
}

impl<T> Drop for Mapped<T> {
    fn drop(&mut self) {
        // SAFETY: mapped with this length by `map_memory`, and unmapped only here.
        unsafe { libc::munmap(self.base.as_ptr().cast(), self.bytes) };
    }
}

fn map_memory<T>(entries: u32, flags: i32, map: i32) -> io::Result<Mapped<T>> {
    let access = libc::PROT_READ | libc::PROT_WRITE;
    let bytes = Mapped::<T>::STRIDE * WORD * entries as usize;
    // SAFETY: a new mapping at an address of the kernel's choice; nothing else points to it.
    let base = unsafe { libc::mmap(ptr::null_mut(), bytes, access, flags, map, 0) };
    if base == libc::MAP_FAILED {
        return Err(io::Error::last_os_error());
    }
    let base = NonNull::new(base.cast()).ok_or_else(|| io::Error::other("mapped at address 0"))?;
    Ok(Mapped {
        base,
        bytes,
        entries,
        value: PhantomData,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_and_halves_are_where_they_were_put() {
        let array = Mapped::<[u32; 5]>::private(3);
        array.set_word(1, 8, 0x2_0000_0001);
        assert_eq!((array.half(1, 8), array.half(1, 12)), (1, 2));
        array.set_half(1, 16, 7);
        assert_eq!(array.words::<3>(1), [0, 0x2_0000_0001, 7]);
        assert_eq!((array.word(0, 16), array.word(2, 0)), (0, 0));
        array.zero(1);
        assert_eq!((array.words::<3>(1), array.len()), ([0; 3], 3));
    }

    #[test]
    #[should_panic(expected = "of value 3 of 3")]
    fn nothing_outside_is_touched() {
        Mapped::<u64>::private(3).word(3, 0);
    }
}
