//! Fields: what extends a frame without another version of the protocol.

use bytes::Bytes;
use streamkit_record::Cursor;

use super::malformed::Malformed;

/// The name of the field with the trace of a caller.
pub const TRACE: &str = "trace";

const REQUIRED: u8 = 1;

/// The fields of a frame, in order.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
pub struct Fields(Bytes);

/// One of them.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Field<'a> {
    /// Its name.
    pub name: &'a str,
    /// Whether whoever does not know it has to refuse the frame.
    pub is_required: bool,
    /// What it says.
    pub value: &'a [u8],
}

impl Fields {
    pub(super) fn new(bytes: Bytes) -> Result<Self, Malformed> {
        let mut cursor = Cursor::new(&bytes);
        while cursor.remaining() > 0 {
            next(&mut cursor)?;
        }
        Ok(Self(bytes))
    }

    /// Bytes of all.
    pub(super) fn bytes(&self) -> usize {
        self.0.len()
    }

    /// Each.
    pub fn iter(&self) -> impl Iterator<Item = Field<'_>> {
        let mut cursor = Cursor::new(&self.0);
        // They were all read once.
        std::iter::from_fn(move || next(&mut cursor).ok())
    }

    /// The name of one that is required and not among these.
    pub fn unknown<'a>(&'a self, known: &[&str]) -> Option<&'a str> {
        let is_unknown = |field: &Field<'_>| field.is_required && !known.contains(&field.name);
        self.iter().find(is_unknown).map(|field| field.name)
    }

    /// Who called, if it is said and makes sense.
    pub fn trace(&self) -> Option<Trace> {
        let field = self.iter().find(|field| field.name == TRACE)?;
        Trace::decode(field.value)
    }
}

fn next<'a>(cursor: &mut Cursor<'a>) -> Result<Field<'a>, Malformed> {
    let flags = cursor.u8()?;
    let name_bytes = cursor.u8()?;
    let value_bytes = cursor.u16()?;
    let name = cursor.slice(usize::from(name_bytes))?;
    let value = cursor.slice(usize::from(value_bytes))?;
    let name = std::str::from_utf8(name).map_err(|_| Malformed("a field whose name is no UTF-8"))?;
    if flags > REQUIRED || name.is_empty() {
        return Err(Malformed("a field against the rules"));
    }
    Ok(Field {
        name,
        is_required: flags == REQUIRED,
        value,
    })
}

impl Field<'_> {
    /// Writes it behind others. Names have at most 255 bytes, values 65 535: what is longer is left out as a whole.
    pub fn put(&self, out: &mut Vec<u8>) {
        let (Ok(name), Ok(value)) = (u8::try_from(self.name.len()), u16::try_from(self.value.len())) else {
            return;
        };
        out.extend_from_slice(&[u8::from(self.is_required), name]);
        out.extend_from_slice(&value.to_le_bytes());
        out.extend_from_slice(self.name.as_bytes());
        out.extend_from_slice(self.value);
    }
}

/// The trace of a caller, as W3C Trace Context defines its parts.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Trace {
    /// Of the whole trace; not all zero.
    pub trace_id: [u8; 16],
    /// Of the caller's span; not all zero.
    pub span_id: [u8; 8],
    /// 1: it is sampled.
    pub flags: u8,
}

impl Trace {
    fn decode(bytes: &[u8]) -> Option<Self> {
        let (trace_id, rest) = bytes.split_first_chunk()?;
        let (span_id, rest) = rest.split_first_chunk()?;
        let &[flags] = rest else { return None };
        let is_one = *trace_id != [0; 16] && *span_id != [0; 8];
        is_one.then_some(Self {
            trace_id: *trace_id,
            span_id: *span_id,
            flags,
        })
    }

    /// Writes it as a field.
    pub fn put(&self, out: &mut Vec<u8>) {
        let mut value = [0; 25];
        value[..16].copy_from_slice(&self.trace_id);
        value[16..24].copy_from_slice(&self.span_id);
        value[24] = self.flags;
        Field {
            name: TRACE,
            is_required: false,
            value: &value,
        }
        .put(out);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fields(put: impl FnOnce(&mut Vec<u8>)) -> Result<Fields, Malformed> {
        let mut out = Vec::new();
        put(&mut out);
        Fields::new(out.into())
    }

    #[test]
    fn an_unknown_field_is_skipped_unless_it_is_required() {
        for is_required in [false, true] {
            let field = Field {
                name: "later",
                is_required,
                value: b"x",
            };
            let fields = fields(|out| field.put(out)).unwrap();
            assert_eq!(fields.iter().collect::<Vec<_>>(), [field]);
            assert_eq!(fields.unknown(&[TRACE]), is_required.then_some("later"));
            assert_eq!(fields.unknown(&["later"]), None);
        }
    }

    #[test]
    fn a_trace_comes_out_as_it_was_put_in_and_one_of_zeroes_is_none() {
        let trace = Trace {
            trace_id: [1; 16],
            span_id: [2; 8],
            flags: 1,
        };
        assert_eq!(fields(|out| trace.put(out)).unwrap().trace(), Some(trace));
        let none = Trace {
            span_id: [0; 8],
            ..trace
        };
        assert_eq!(fields(|out| none.put(out)).unwrap().trace(), None);
    }

    #[test]
    fn fields_cut_at_any_byte_are_malformed() {
        let mut whole = Vec::new();
        Field {
            name: "a",
            is_required: true,
            value: b"xyz",
        }
        .put(&mut whole);
        for end in 1..whole.len() {
            assert!(Fields::new(Bytes::copy_from_slice(&whole[..end])).is_err(), "{end}");
        }
    }
}
