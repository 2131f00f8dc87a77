// SPDX-License-Identifier: MIT OR Apache-2.0
//! The sizes of small blocks. On-media: FORMAT.md, section "Heap", has the
//! same list, and a class never changes its number.

/// Bytes of a chunk.
pub const CHUNK: u64 = 1 << 16;

/// Bytes of a block of each class: four steps to a doubling, then as many equal
/// blocks as fit into a chunk.
pub const SIZES: [u64; 38] = [
    16, 32, 48, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320, 384, 448, 512, 640, 768, 896, 1024,
    1280, 1536, 1792, 2048, 2560, 3072, 3584, 4096, 5120, 6144, 7168, 8192, 9344, 10880, 13056,
    16384, 21824, 32768,
];

/// The largest small block.
pub const LARGEST: u64 = SIZES[SIZES.len() - 1];

/// The class for each length in units of 16 bytes, rounded up.
static CLASS_OF: [u8; (LARGEST / 16) as usize + 1] = {
    let mut table = [0; (LARGEST / 16) as usize + 1];
    let (mut units, mut class) = (0, 0);
    while units < table.len() {
        if units as u64 * 16 > SIZES[class] {
            class += 1;
        }
        table[units] = class as u8;
        units += 1;
    }
    table
};

/// Blocks in a chunk of this class.
#[inline(always)]
pub fn count(class: usize) -> u64 {
    CHUNK / SIZES[class]
}

/// The class for `len` bytes aligned to `align`, a power of two; `None` if only
/// a run of chunks will do. Blocks lie at multiples of their size in a chunk.
#[inline(always)]
pub fn class_for(len: u64, align: u64) -> Option<usize> {
    let units = len.div_ceil(16) as usize;
    let class = *CLASS_OF.get(units)? as usize;
    if align <= 16 || SIZES[class].is_multiple_of(align) {
        return Some(class);
    }
    (class..SIZES.len()).find(|&class| SIZES[class].is_multiple_of(align))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_length_gets_the_smallest_class_that_holds_it() {
        for len in 0..=LARGEST {
            let class = class_for(len, 1).unwrap();
            assert!(SIZES[class] >= len);
            assert!(class == 0 || SIZES[class - 1] < len, "{len}");
        }
        assert_eq!(class_for(LARGEST + 1, 1), None);
    }

    #[test]
    fn every_alignment_is_kept() {
        for len in [1, 17, 100, 1000, 5000, 20000] {
            for align in (0..=16).map(|shift| 1u64 << shift) {
                match class_for(len, align) {
                    Some(class) => {
                        assert!(SIZES[class] >= len);
                        assert!(
                            (0..count(class)).all(|i| (i * SIZES[class]).is_multiple_of(align))
                        );
                    }
                    None => assert!(align > 16384, "{len} {align}"),
                }
            }
        }
    }
}
