//! The trace of a caller, as a frame brings it in the words of [W3C Trace Context](https://www.w3.org/TR/trace-context/). What is
//! not exactly that is no trace: it comes from a peer, and may be of any size.

use std::sync::OnceLock;

use tracing::Span;

/// Longest `tracestate` that is kept: what the standard asks for at least.
const STATE_BYTES_MAX: usize = 512;

/// Longest `traceparent` that is looked at: more than twice what its version 00 has.
const PARENT_BYTES_MAX: usize = 128;

/// Where a call stands in the trace of its caller.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct CallerTrace {
    /// The trace; never 0.
    pub trace_id: u128,
    /// The caller's span in it; never 0.
    pub span_id: u64,
    /// Bit 0: the caller's span is recorded.
    pub flags: u8,
    /// What those who trace say to each other: list of keys and values, printable ASCII of at most 512 bytes.
    pub state: Option<Box<str>>,
}

impl CallerTrace {
    /// Reads a `traceparent` and what may come with it. `None`: it is none.
    pub(crate) fn read(parent: &str, state: Option<&str>) -> Option<Self> {
        if parent.len() > PARENT_BYTES_MAX {
            return None;
        }
        let mut parts = parent.split('-');
        let mut part = |digits| parts.next().filter(|part| is_hex(part, digits));
        let (version, trace_id, span_id, flags) = (part(2)?, part(32)?, part(16)?, part(2)?);
        // Later versions may say more behind it, this one does not.
        if version == "ff" || version == "00" && parts.next().is_some() {
            return None;
        }
        let trace = Self {
            trace_id: u128::from_str_radix(trace_id, 16).ok()?,
            span_id: u64::from_str_radix(span_id, 16).ok()?,
            flags: u8::from_str_radix(flags, 16).ok()?,
            state: state.filter(|state| is_state(state)).map(Into::into),
        };
        (trace.trace_id != 0 && trace.span_id != 0).then_some(trace)
    }
}

fn is_hex(text: &str, digits: usize) -> bool {
    text.len() == digits && text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
}

fn is_state(text: &str) -> bool {
    !text.is_empty() && text.len() <= STATE_BYTES_MAX && text.bytes().all(|byte| matches!(byte, b' '..=b'~'))
}

/// Makes a span the child of a caller's.
type Continue = fn(&Span, &CallerTrace);

/// Like the subscriber that spans go to, there is one for a process.
static CONTINUE: OnceLock<Continue> = OnceLock::new();

/// From now on, `make_child` makes the span of each call with a trace of its caller a child of the caller's span. It is for
/// whoever exports spans, which this library does not; called for spans that are recorded only. The first one stays.
pub fn continue_traces(make_child: fn(&Span, &CallerTrace)) {
    let _ = CONTINUE.set(make_child);
}

/// The span of a call, which goes on in its caller's trace.
pub(crate) fn continued(span: Span, caller: Option<&CallerTrace>) -> Span {
    if let Some(caller) = caller
        && !span.is_disabled()
        && let Some(make_child) = CONTINUE.get()
    {
        make_child(&span, caller);
    }
    span
}

#[cfg(test)]
mod tests {
    use super::*;

    const PARENT: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

    #[test]
    fn a_trace_context_is_read_exactly_and_anything_else_is_none() {
        let read = CallerTrace::read(PARENT, Some("vendor=1")).unwrap();
        let ids = (read.trace_id, read.span_id, read.flags);
        assert_eq!(
            ids,
            (0x4bf9_2f35_77b3_4da6_a3ce_929d_0e0e_4736, 0x00f0_67aa_0ba9_02b7, 1)
        );
        assert_eq!(read.state.as_deref(), Some("vendor=1"));
        let later = PARENT.replacen("00", "42", 1) + "-more";
        assert_eq!(CallerTrace::read(&later, None).unwrap().trace_id, ids.0);
        for none in [
            String::new(),
            "-".repeat(100),
            PARENT.to_uppercase(),
            format!("{PARENT}-more"),
            PARENT.replacen("00", "ff", 1),
            PARENT.replace("4bf92f3577b34da6a3ce929d0e0e4736", &"0".repeat(32)),
            PARENT.replace("00f067aa0ba902b7", &"0".repeat(16)),
            PARENT.replace("-01", "-1"),
            PARENT.replace("4bf9", "+bf9"),
            PARENT.replace('-', "\u{2010}"),
            format!("{}{}", PARENT.replacen("00", "42", 1), "-x".repeat(1 << 20)),
        ] {
            assert_eq!(CallerTrace::read(&none, None), None, "{}", &none[..none.len().min(99)]);
        }
    }

    #[test]
    fn a_state_that_is_large_or_steers_is_not_kept() {
        for state in ["", "a=\u{1b}[2J", "a=ü", &"x".repeat(STATE_BYTES_MAX + 1)] {
            assert_eq!(CallerTrace::read(PARENT, Some(state)).unwrap().state, None);
        }
    }
}
