//! Compressed inputs, told by their first bytes and read to the last: every member of a gzip file and every frame of a zstd
//! file, each checked against its checksum. What ends too early, or has anything else behind it, is an error.

use std::io::{BufRead as _, BufReader, Error, ErrorKind, Read};

use flate2::bufread::MultiGzDecoder;
use ruzstd::decoding::errors::{FrameDecoderError, ReadFrameHeaderError};
use ruzstd::decoding::{BlockDecodingStrategy, FrameDecoder};

/// How an input is compressed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Packing {
    Plain,
    Gzip,
    Zstd,
}

/// Bytes that tell it.
pub(crate) const TELLING: usize = 6;

/// Formats that are not read, by their first bytes, and what to do about them.
const OTHERS: [(&[u8], &str); 8] = [
    (b"BZh", "bzip2; unpack it first: `bzip2 -dc`"),
    (b"\xfd7zXZ\0", "xz; unpack it first: `xz -dc`"),
    (b"\x04\x22\x4d\x18", "lz4; unpack it first: `lz4 -dc`"),
    (b"7z\xbc\xaf\x27\x1c", "a 7z archive; unpack it first"),
    (
        b"PK\x03\x04",
        "a zip archive (or a spreadsheet); unpack it first, or save it as CSV",
    ),
    (b"PAR1", "Parquet; convert it to CSV or NDJSON first"),
    (b"Obj\x01", "Avro; convert it to NDJSON first"),
    (b"SQLite", "an SQLite database; export a table as CSV first"),
];

impl Packing {
    /// By the first [`TELLING`] bytes, or all if there are fewer.
    ///
    /// # Errors
    /// A format that is not read.
    pub(crate) fn of(start: &[u8]) -> Result<Self, String> {
        if let Some((_, what)) = OTHERS.iter().find(|(magic, _)| start.starts_with(magic)) {
            return Err(format!("this is {what}"));
        }
        Ok(match start {
            [0x1f, 0x8b, ..] => Self::Gzip,
            [0x28, 0xb5, 0x2f, 0xfd, ..] | [0x50..=0x5f, 0x2a, 0x4d, 0x18, ..] => Self::Zstd,
            _ => Self::Plain,
        })
    }

    /// What stands in the input.
    pub(crate) fn unpack(self, input: Box<dyn Read + Send>) -> Box<dyn Read + Send> {
        let input = BufReader::with_capacity(64 << 10, input);
        match self {
            Self::Plain => Box::new(input),
            Self::Gzip => Box::new(Lasting::new("gzip", MultiGzDecoder::new(input))),
            Self::Zstd => Box::new(Lasting::new("zstd", Zstd::new(input))),
        }
    }
}

/// An error of the input inside is one for good: some decoders take the next read for the end.
struct Lasting<R> {
    name: &'static str,
    input: R,
    failed: Option<(ErrorKind, String)>,
}

impl<R> Lasting<R> {
    fn new(name: &'static str, input: R) -> Self {
        Self {
            name,
            input,
            failed: None,
        }
    }
}

impl<R: Read> Read for Lasting<R> {
    fn read(&mut self, into: &mut [u8]) -> std::io::Result<usize> {
        if let Some((kind, why)) = &self.failed {
            return Err(Error::new(*kind, why.clone()));
        }
        self.input.read(into).map_err(|error| {
            if error.kind() == ErrorKind::Interrupted {
                return error;
            }
            let why = match error.kind() {
                ErrorKind::UnexpectedEof => format!("the {} data is cut off", self.name),
                ErrorKind::Unsupported => format!("the {} data {error}", self.name),
                _ => format!(
                    "the {} data is damaged, and what was read of it may be wrong: {error}",
                    self.name
                ),
            };
            self.failed = Some((error.kind(), why.clone()));
            Error::new(error.kind(), why)
        })
    }
}

/// All frames of a zstd file.
struct Zstd<R: Read> {
    input: BufReader<R>,
    decoder: FrameDecoder,
    in_frame: bool,
    /// Bytes given out of this frame.
    given: u64,
}

impl<R: Read> Zstd<R> {
    fn new(input: BufReader<R>) -> Self {
        Self {
            input,
            decoder: FrameDecoder::new(),
            in_frame: false,
            given: 0,
        }
    }

    /// Begins the next frame; `false` if there is none.
    fn begin(&mut self) -> std::io::Result<bool> {
        if self.input.fill_buf()?.is_empty() {
            return Ok(false);
        }
        match self.decoder.reset(&mut self.input) {
            Ok(()) => (self.in_frame, self.given) = (true, 0),
            Err(FrameDecoderError::ReadFrameHeaderError(ReadFrameHeaderError::SkipFrame { length, .. })) => {
                let length = u64::from(length);
                if std::io::copy(&mut self.input.by_ref().take(length), &mut std::io::sink())? < length {
                    return Err(ErrorKind::UnexpectedEof.into());
                }
            }
            Err(FrameDecoderError::WindowSizeTooBig { requested, max }) => {
                let [requested, max] = [requested, max].map(|bytes| bytes >> 20);
                return Err(Error::new(
                    ErrorKind::Unsupported,
                    format!(
                        "takes {requested} MiB of memory to unpack, {max} MiB are allowed; unpack it first: `zstd -dc --long=31`"
                    ),
                ));
            }
            Err(error) => return Err(Error::new(ErrorKind::InvalidData, error.to_string())),
        }
        Ok(true)
    }

    /// What the frame says of itself is so.
    fn end(&mut self) -> std::io::Result<()> {
        self.in_frame = false;
        let said = self.decoder.get_checksum_from_data();
        let differs = said.is_some() && said != self.decoder.get_calculated_checksum();
        // Zero also stands for a size that is not told.
        let size = self.decoder.content_size();
        if differs || (size != 0 && size != self.given) {
            return Err(Error::new(
                ErrorKind::InvalidData,
                "the checksum or the size is another",
            ));
        }
        Ok(())
    }
}

impl<R: Read> Read for Zstd<R> {
    fn read(&mut self, into: &mut [u8]) -> std::io::Result<usize> {
        if into.is_empty() {
            return Ok(0);
        }
        loop {
            if !self.in_frame && !self.begin()? {
                return Ok(0);
            }
            if !self.in_frame {
                continue;
            }
            while self.decoder.can_collect() == 0 && !self.decoder.is_finished() {
                let decoded = self
                    .decoder
                    .decode_blocks(&mut self.input, BlockDecodingStrategy::UptoBlocks(1));
                decoded.map_err(|error| Error::new(ErrorKind::InvalidData, error.to_string()))?;
            }
            match self.decoder.read(into)? {
                0 => self.end()?,
                read => {
                    self.given += read as u64;
                    return Ok(read);
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use ruzstd::encoding::{CompressionLevel, compress_to_vec};

    use super::*;
    use crate::input::pieces::Pieces;

    fn gzip(text: &[u8]) -> Vec<u8> {
        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
        encoder.write_all(text).unwrap();
        encoder.finish().unwrap()
    }

    fn zstd(text: &[u8]) -> Vec<u8> {
        compress_to_vec(text, CompressionLevel::Fastest)
    }

    fn unpacked(packed: &[u8], sizes: Vec<usize>) -> std::io::Result<Vec<u8>> {
        let packing = Packing::of(packed).unwrap();
        let mut input = packing.unpack(Box::new(Pieces::new(std::io::Cursor::new(packed.to_vec()), sizes)));
        let mut text = Vec::new();
        let read = input.read_to_end(&mut text);
        // Whatever failed does not end well when it is read on.
        assert_eq!(read.is_err(), input.read(&mut [0; 10]).is_err());
        read.map(|_| text)
    }

    #[test]
    fn every_member_and_frame_is_read_however_it_arrives() {
        let skipped = [&[0x51, 0x2a, 0x4d, 0x18, 3, 0, 0, 0][..], b"abc"].concat();
        for packed in [
            [gzip(b"one,"), gzip(b""), gzip(b"two")].concat(),
            [zstd(b"one,"), zstd(b""), skipped.clone(), zstd(b"two")].concat(),
            [skipped, zstd(b"one,two")].concat(),
        ] {
            for size in [1, 2, 7, 10_000] {
                assert_eq!(unpacked(&packed, vec![size]).unwrap(), b"one,two");
            }
        }
        let long: Vec<u8> = (0..400_000u32)
            .flat_map(|n| (n % 1_000).to_string().into_bytes())
            .collect();
        for packed in [gzip(&long), zstd(&long)] {
            assert!(unpacked(&packed, vec![4_096, 1, 100]).unwrap() == long);
        }
    }

    #[test]
    fn what_is_cut_off_or_has_something_behind_it_is_an_error_and_stays_one() {
        for whole in [gzip(b"one two three"), zstd(b"one two three")] {
            for end in 4..whole.len() {
                assert!(unpacked(&whole[..end], vec![5]).is_err(), "{end}");
                let second = [&whole[..], &whole[..end]].concat();
                assert!(unpacked(&second, vec![3]).is_err(), "{end}");
            }
            for garbage in [&b"x"[..], b"\0", b"garbage behind it", &[0; 100], b"\x1f", b"\x28\xb5"] {
                let more = [&whole[..], garbage].concat();
                assert!(unpacked(&more, vec![64]).is_err(), "{garbage:?}");
            }
        }
    }

    #[test]
    fn a_byte_that_was_changed_is_noticed() {
        let text = b"1,2\n3,4\n5,6\n".repeat(20);
        for (whole, header) in [(gzip(&text), 10), (zstd(&text), 6)] {
            for at in header..whole.len() {
                let mut changed = whole.clone();
                changed[at] ^= 0x10;
                let read = unpacked(&changed, vec![100]);
                assert!(read.is_err() || read.is_ok_and(|read| read == text), "{at}");
            }
        }
    }

    #[test]
    fn other_archives_are_refused_with_what_to_do() {
        for start in [&b"PK\x03\x04abc"[..], b"BZh9", b"\xfd7zXZ\0", b"PAR1"] {
            assert!(Packing::of(start).is_err());
        }
        for start in [&b"a,b"[..], b"", b"\x1f", b"{}", b"\x28\xb5\x2f"] {
            assert_eq!(Packing::of(start), Ok(Packing::Plain));
        }
    }

    #[test]
    fn a_window_larger_than_is_taken_is_no_damage() {
        // A frame's header that asks for 2 GiB.
        let frame = [0x28, 0xb5, 0x2f, 0xfd, 0x00, 21 << 3];
        let mut read = Packing::of(&frame)
            .unwrap()
            .unpack(Box::new(std::io::Cursor::new(frame)));
        let why = read.read_to_end(&mut Vec::new()).unwrap_err().to_string();
        assert!(why.contains("2048 MiB") && !why.contains("damaged"), "{why}");
    }
}
