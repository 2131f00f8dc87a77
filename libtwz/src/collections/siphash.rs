// SPDX-License-Identifier: MIT OR Apache-2.0
//! SipHash-1-3 with a 128-bit key: where a key of a [`super::HashMap`] lies. On
//! media, so it cannot change; std's hasher is the same today but may.

/// The hash of `bytes` under a key.
pub fn siphash(key: [u64; 2], bytes: &[u8]) -> u64 {
    let mut v = [
        key[0] ^ 0x736f_6d65_7073_6575,
        key[1] ^ 0x646f_7261_6e64_6f6d,
        key[0] ^ 0x6c79_6765_6e65_7261,
        key[1] ^ 0x7465_6462_7974_6573,
    ];
    let (words, rest) = bytes.split_at(bytes.len() / 8 * 8);
    let mut last = [0; 8];
    last[..rest.len()].copy_from_slice(rest);
    last[7] = bytes.len() as u8;
    for word in words.chunks_exact(8).chain([&last[..]]) {
        let mut copy = [0; 8];
        copy.copy_from_slice(word);
        let word = u64::from_le_bytes(copy);
        v[3] ^= word;
        round(&mut v);
        v[0] ^= word;
    }
    v[2] ^= 0xff;
    (0..3).for_each(|_| round(&mut v));
    v[0] ^ v[1] ^ v[2] ^ v[3]
}

#[inline(always)]
fn round(v: &mut [u64; 4]) {
    v[0] = v[0].wrapping_add(v[1]);
    v[2] = v[2].wrapping_add(v[3]);
    v[1] = v[1].rotate_left(13) ^ v[0];
    v[3] = v[3].rotate_left(16) ^ v[2];
    v[0] = v[0].rotate_left(32);
    v[2] = v[2].wrapping_add(v[1]);
    v[0] = v[0].wrapping_add(v[3]);
    v[1] = v[1].rotate_left(17) ^ v[2];
    v[3] = v[3].rotate_left(21) ^ v[0];
    v[2] = v[2].rotate_left(32);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_published_vector_holds() {
        let key = [0x0706_0504_0302_0100, 0x0f0e_0d0c_0b0a_0908];
        assert_eq!(
            siphash(key, &[]).to_le_bytes(),
            [0xdc, 0xc4, 0x0f, 0x05, 0x58, 0x01, 0xac, 0xab]
        );
    }

    #[test]
    fn it_is_what_std_uses_now() {
        use std::hash::Hasher as _;
        let bytes: Vec<u8> = (0..100u8).map(|i| i.wrapping_mul(7)).collect();
        for len in 0..bytes.len() {
            let mut hasher = std::collections::hash_map::DefaultHasher::new();
            hasher.write(&bytes[..len]);
            assert_eq!(siphash([0, 0], &bytes[..len]), hasher.finish(), "{len}");
        }
    }
}
