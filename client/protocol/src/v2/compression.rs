//! Compressed bodies of frames, between two sides that both announce [`ZSTD`].

use std::cell::RefCell;

use bytes::Bytes;
use zstd::bulk::{Compressor, Decompressor};
use zstd::zstd_safe::{find_frame_compressed_size, get_frame_content_size};

use super::frame::FRAME_BYTES_MAX;
use super::malformed::Malformed;

/// The feature of a side that takes compressed frames.
pub const ZSTD: &str = "zstd";

/// Level 1: the fastest, at 1.3 GiB/s of JSON as fast as a few cores' network.
const LEVEL: i32 = 1;

/// Bodies of fewer bytes go as they are: their head alone would be a good part.
const LEAST_BYTES: usize = 512;

thread_local! {
    /// Their tables are larger than most bodies.
    static COMPRESSOR: RefCell<Option<Compressor<'static>>> = const { RefCell::new(None) };
    static DECOMPRESSOR: RefCell<Option<Decompressor<'static>>> = const { RefCell::new(None) };
}

/// Compresses what stands from `at` on. Whether it did: not if it would not be shorter.
pub(super) fn pack(out: &mut Vec<u8>, at: usize) -> bool {
    let body = &out[at..];
    if body.len() < LEAST_BYTES {
        return false;
    }
    let packed = COMPRESSOR.with_borrow_mut(|kept| {
        let compressor = match kept {
            Some(kept) => kept,
            None => kept.insert(Compressor::new(LEVEL).ok()?),
        };
        compressor.compress(body).ok()
    });
    let Some(packed) = packed.filter(|packed| packed.len() < body.len()) else {
        return false;
    };
    out.truncate(at);
    out.extend_from_slice(&packed);
    true
}

/// Bytes that a compressed body says it has; nothing of it is unpacked.
pub(super) fn unpacked_bytes(packed: &[u8]) -> Result<usize, Malformed> {
    const WHY: Malformed = Malformed("a compressed body that is not one zstd frame with its length");
    let length = get_frame_content_size(packed).ok().flatten().ok_or(WHY)?;
    let length = usize::try_from(length).ok().filter(|&length| length <= FRAME_BYTES_MAX);
    match find_frame_compressed_size(packed) {
        Ok(all) if all == packed.len() => length.ok_or(Malformed("a frame that is too large")),
        _ => Err(WHY),
    }
}

/// Unpacks a body of exactly so many bytes.
pub(super) fn unpack(packed: &[u8], bytes: usize) -> Result<Bytes, Malformed> {
    const WHY: Malformed = Malformed("a compressed body that is damaged");
    let unpacked = DECOMPRESSOR.with_borrow_mut(|kept| {
        let decompressor = match kept {
            Some(kept) => kept,
            None => kept.insert(Decompressor::new().map_err(|_| WHY)?),
        };
        decompressor.decompress(packed, bytes).map_err(|_| WHY)
    })?;
    match unpacked.len() == bytes {
        true => Ok(unpacked.into()),
        false => Err(WHY),
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use super::super::frame::{Frame, HEAD_BYTES, Kind, frame, pack_frame};
    use super::*;

    fn written(body: &[u8], kind: Kind) -> Vec<u8> {
        // Behind another one, as most frames.
        let mut out = Vec::new();
        frame(&mut out, (1, Kind::Cancel), |_| {}, |_| {});
        let start = out.len();
        frame(&mut out, (7, kind), |_| {}, |out| out.extend_from_slice(body));
        pack_frame(&mut out, start);
        out.split_off(start)
    }

    fn taken(bytes: &[u8]) -> Result<Frame, Malformed> {
        Frame::take(&mut Bytes::copy_from_slice(bytes)).map(|came| came.expect("there is one"))
    }

    #[test]
    fn a_packed_frame_comes_out_as_it_was_put_in_and_counts_as_what_it_was() {
        let body = b"paid ".repeat(1000);
        let packed = written(&body, Kind::Data);
        assert!(packed.len() < 100);
        let came = taken(&packed).unwrap();
        assert!(came.is_packed());
        assert_eq!(came.bytes(), HEAD_BYTES + body.len());
        let came = came.unpack().unwrap();
        assert!(!came.is_packed());
        assert_eq!(came.body, body);
        assert_eq!(came.bytes(), HEAD_BYTES + body.len());
    }

    #[test]
    fn what_is_short_or_has_no_pattern_stays_as_it_is() {
        let noise: Vec<u8> = (0..4096u32)
            .flat_map(|at| at.wrapping_mul(2_654_435_761).to_be_bytes())
            .collect();
        let noise: Vec<u8> = noise.chunks(4).map(|four| crc32fast::hash(four) as u8).collect();
        for body in [&b"paid"[..], &noise] {
            let came = taken(&written(body, Kind::Data)).unwrap();
            assert!(!came.is_packed());
            assert_eq!(came.body, body);
        }
    }

    #[test]
    fn a_packed_frame_that_lies_is_malformed() {
        let body = b"paid ".repeat(1000);
        let whole = written(&body, Kind::Data);
        let resized = |mut out: Vec<u8>| {
            let bytes = (out.len() - HEAD_BYTES) as u32;
            out[..4].copy_from_slice(&bytes.to_le_bytes());
            out
        };
        let fails = |bytes: Vec<u8>| taken(&bytes).and_then(Frame::unpack).is_err();
        // Cut anywhere, twice, followed by something, not compressed at all.
        for end in HEAD_BYTES..whole.len() {
            assert!(fails(resized(whole[..end].to_vec())), "{end}");
        }
        assert!(fails(resized([&whole[..], &whole[HEAD_BYTES..]].concat())));
        assert!(fails(resized([&whole[..], b"x"].concat())));
        let mut plain = Vec::new();
        frame(&mut plain, (7, Kind::Data), |_| {}, |out| out.extend_from_slice(&body));
        plain[9] = 1;
        assert!(fails(plain));
        // No changed bit panics or makes it larger than it says.
        for bit in HEAD_BYTES * 8..whole.len() * 8 {
            let mut changed = whole.clone();
            changed[bit / 8] ^= 1 << (bit % 8);
            if let Ok(came) = taken(&changed) {
                let bytes = came.bytes();
                if let Ok(came) = came.unpack() {
                    assert_eq!(came.bytes(), bytes, "bit {bit}");
                }
            }
        }
    }

    #[test]
    fn no_more_than_a_frame_may_have_is_unpacked() {
        let large = zstd::bulk::compress(&vec![0; FRAME_BYTES_MAX], 1).unwrap();
        assert_eq!(unpacked_bytes(&large), Ok(FRAME_BYTES_MAX));
        let mut out = Vec::new();
        frame(&mut out, (7, Kind::Data), |_| {}, |out| out.extend_from_slice(&large));
        out[9] = 1;
        assert!(taken(&out).is_err(), "with its head it is too large");
        let larger = zstd::bulk::compress(&vec![0; FRAME_BYTES_MAX + 1], 1).unwrap();
        assert!(unpacked_bytes(&larger).is_err());
        let mut unsaid = zstd::stream::Encoder::new(Vec::new(), 1).unwrap();
        unsaid.include_contentsize(false).unwrap();
        unsaid.write_all(b"paid").unwrap();
        assert!(unpacked_bytes(&unsaid.finish().unwrap()).is_err());
    }

    #[test]
    fn only_calls_and_messages_are_packed() {
        let body = b"paid ".repeat(1000);
        assert!(taken(&written(&body, Kind::Call)).is_ok());
        for kind in [Kind::End, Kind::Error, Kind::More, Kind::Cancel] {
            assert!(taken(&written(&body, kind)).is_err());
        }
    }
}
