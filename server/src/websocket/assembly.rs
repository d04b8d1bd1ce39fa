//! Follows the WebSocket frames in what a peer sends, to know of a message how large it is before it is here. What breaks the
//! rules is left to the library behind it, which reads the same bytes.

/// Longest header of a frame: two bytes, eight of length, four of mask.
const HEADER_BYTES_MAX: usize = 14;

/// Opcodes from here on are of control frames, which may stand between the frames of a message.
const CONTROL: u8 = 8;

/// Where in its frames a peer is.
#[derive(Default)]
pub(super) struct Assembly {
    header: [u8; HEADER_BYTES_MAX],
    /// Bytes of it that are here.
    known: usize,
    /// Bytes of the frame's payload that are not here.
    left: u64,
    /// Bytes of the message that arrives, with all of its last frame that began; 0 if none does.
    message: u64,
    /// Whether more frames follow that one.
    is_part: bool,
}

/// What a message that arrives will take.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Size {
    Known(u64),
    /// At least so much; its first frames do not tell.
    AtLeast(u64),
}

impl Assembly {
    /// Bytes came.
    pub(super) fn read(&mut self, mut bytes: &[u8]) {
        while let Some(&first) = bytes.first() {
            if self.left > 0 {
                let here = self.left.min(bytes.len() as u64);
                bytes = &bytes[here as usize..];
                self.left -= here;
                continue;
            }
            self.header[self.known] = first;
            self.known += 1;
            bytes = &bytes[1..];
            if let Some(payload) = self.payload() {
                self.begins(payload);
            }
        }
    }

    /// Bytes of the payload behind the header, once all of that is here.
    fn payload(&self) -> Option<u64> {
        let masked = *self.header.get(1).filter(|_| self.known > 1)?;
        let mask = usize::from(masked >> 7) * 4;
        let short = masked & 0x7f;
        let length = match short {
            126 => &self.header[2..4],
            127 => &self.header[2..10],
            _ => &[],
        };
        if self.known < 2 + length.len() + mask {
            return None;
        }
        let long = length.iter().fold(0, |all, byte| all << 8 | u64::from(*byte));
        Some(if length.is_empty() { short.into() } else { long })
    }

    fn begins(&mut self, payload: u64) {
        let (is_last, opcode) = (self.header[0] & 0x80 != 0, self.header[0] & 0x0f);
        self.known = 0;
        self.left = payload;
        if !self.is_part {
            // The one before is complete.
            self.message = 0;
        }
        if opcode < CONTROL {
            self.message = self.message.saturating_add(payload);
            self.is_part = !is_last;
        }
    }

    /// The size of the message that arrives; of none, 0.
    pub(super) fn size(&self) -> Size {
        match (self.is_part, self.left) {
            (true, _) => Size::AtLeast(self.message),
            (false, 0) => Size::Known(0),
            (false, _) => Size::Known(self.message),
        }
    }

    /// Whether nothing of a frame is here that is not all here.
    pub(super) fn is_between(&self) -> bool {
        self.known == 0 && self.left == 0 && !self.is_part
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frame(first: u8, bytes: usize) -> Vec<u8> {
        let mut frame = vec![first];
        match bytes {
            ..126 => frame.push(0x80 | bytes as u8),
            126..65_536 => {
                frame.push(0x80 | 126);
                frame.extend((bytes as u16).to_be_bytes());
            }
            _ => {
                frame.push(0x80 | 127);
                frame.extend((bytes as u64).to_be_bytes());
            }
        }
        frame.extend([1, 2, 3, 4]);
        frame.extend(vec![0x77; bytes]);
        frame
    }

    /// The sizes that are told, one after the other, when bytes come in pieces of so many.
    fn sizes(bytes: &[u8], pieces: usize) -> Vec<Size> {
        let mut assembly = Assembly::default();
        let mut sizes = vec![assembly.size()];
        for piece in bytes.chunks(pieces) {
            assembly.read(piece);
            if sizes.last() != Some(&assembly.size()) {
                sizes.push(assembly.size());
            }
        }
        assert!(assembly.is_between());
        sizes
    }

    #[test]
    fn the_size_of_a_frame_is_known_with_its_header_however_it_is_cut() {
        let nothing = Size::Known(0);
        for bytes in [0, 1, 125, 126, 65_535, 65_536, 100_000] {
            let one = frame(0x81, bytes);
            for pieces in [1, 2, 3, 1000] {
                let here = Size::Known(bytes as u64);
                let expected = match bytes {
                    _ if bytes == 0 || one.len() <= pieces => vec![nothing],
                    _ => vec![nothing, here, nothing],
                };
                assert_eq!(sizes(&one, pieces), expected, "{bytes} in pieces of {pieces}");
            }
        }
    }

    #[test]
    fn a_message_in_parts_adds_up_with_pings_between_them() {
        let all = [
            frame(0x01, 300),
            frame(0x89, 100),
            frame(0x00, 0),
            frame(0x8a, 0),
            frame(0x80, 7),
            frame(0x82, 20),
        ];
        let expected = [
            Size::Known(0),
            Size::AtLeast(300),
            Size::Known(307),
            Size::Known(0),
            Size::Known(20),
            Size::Known(0),
        ];
        assert_eq!(sizes(&all.concat(), 1), expected);
    }

    #[test]
    fn a_ping_that_comes_in_pieces_behind_a_message_is_not_taken_for_as_large_a_message() {
        let all = [frame(0x81, 70_000), frame(0x89, 100), frame(0x81, 7)];
        let expected = [0, 70_000, 0, 7, 0].map(Size::Known);
        assert_eq!(sizes(&all.concat(), 1), expected);
    }

    #[test]
    fn an_impossible_length_is_a_length() {
        let mut assembly = Assembly::default();
        assembly.read(&[0x01, 0xff, 255, 255, 255, 255, 255, 255, 255, 255, 0, 0, 0, 0]);
        assert_eq!(assembly.size(), Size::AtLeast(u64::MAX));
        assembly.read(&[0; 1000]);
        assert!(!assembly.is_between());
    }
}
