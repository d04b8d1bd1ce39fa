//! Multipart bodies, and answers of HTTP in them. No bytes panic, and whatever is not as it should be is an error.

/// Longest boundary.
const BOUNDARY_MAX: usize = 200;
/// Most headers of a part.
const HEADERS_MAX: usize = 64;

/// A part: its headers, and what is behind them.
#[derive(Clone, Copy, Debug)]
pub struct BodyPart<'a> {
    head: &'a str,
    pub body: &'a [u8],
}

impl<'a> BodyPart<'a> {
    /// The value of a header.
    pub fn header(&self, name: &str) -> Option<&'a str> {
        header(self.head, name)
    }
}

/// An answer of HTTP.
#[derive(Clone, Copy, Debug)]
pub struct HttpPart<'a> {
    pub status: u16,
    head: &'a str,
    pub body: &'a [u8],
}

impl<'a> HttpPart<'a> {
    /// The value of a header.
    pub fn header(&self, name: &str) -> Option<&'a str> {
        header(self.head, name)
    }
}

fn header<'a>(head: &'a str, name: &str) -> Option<&'a str> {
    head.lines().find_map(|line| {
        let (found, value) = line.split_once(':')?;
        found.trim().eq_ignore_ascii_case(name).then(|| value.trim())
    })
}

/// The boundary that a content type names, if it is that of a multipart body.
pub fn boundary(content_type: &str) -> Option<&str> {
    let mut pieces = content_type.split(';');
    let kind = pieces.next()?.trim();
    if !kind.eq_ignore_ascii_case("multipart/mixed") {
        return None;
    }
    pieces.find_map(|piece| {
        let (name, value) = piece.split_once('=')?;
        let value = value.trim().trim_matches('"');
        let is_boundary = name.trim().eq_ignore_ascii_case("boundary")
            && (1..=BOUNDARY_MAX).contains(&value.len())
            && value.bytes().all(|b| b.is_ascii_graphic());
        is_boundary.then_some(value)
    })
}

/// The parts of a body, of which there may be so many. The last boundary has to be there: a body that was cut is none.
///
/// # Errors
/// What is wrong with it.
pub fn parts<'a>(body: &'a [u8], boundary: &str, most: usize) -> Result<Vec<BodyPart<'a>>, &'static str> {
    let mut parts = Vec::new();
    let mut begun: Option<usize> = None;
    let mut at = 0;
    while at < body.len() {
        let (line, next) = line(body, at);
        if let Some(behind) = delimiter(line, boundary) {
            if let Some(begin) = begun {
                if parts.len() == most {
                    return Err("too many parts");
                }
                parts.push(part(body.get(begin..at).unwrap_or_default())?);
            }
            match behind {
                b"" => begun = Some(next),
                b"--" => return Ok(parts),
                _ => return Err("a boundary that is none"),
            }
        } else if begun.is_none() && !line.is_empty() {
            return Err("something before the first part");
        }
        at = next;
    }
    Err("the last boundary is missing")
}

/// What is behind a boundary, if the line is one.
fn delimiter<'a>(line: &'a [u8], boundary: &str) -> Option<&'a [u8]> {
    let behind = line.strip_prefix(b"--")?.strip_prefix(boundary.as_bytes())?;
    Some(behind.trim_ascii_end())
}

/// A line without its end, and where the next one begins.
fn line(body: &[u8], at: usize) -> (&[u8], usize) {
    let rest = body.get(at..).unwrap_or_default();
    let end = rest.iter().position(|byte| *byte == b'\n');
    let line = rest.get(..end.unwrap_or(rest.len())).unwrap_or_default();
    let next = at + end.map_or(rest.len(), |end| end + 1);
    (line.strip_suffix(b"\r").unwrap_or(line), next)
}

fn part(bytes: &[u8]) -> Result<BodyPart<'_>, &'static str> {
    let (head, body) = head(bytes)?;
    Ok(BodyPart { head, body })
}

/// Headers up to an empty line, and what is behind it.
fn head(bytes: &[u8]) -> Result<(&str, &[u8]), &'static str> {
    let mut at = 0;
    for _ in 0..=HEADERS_MAX {
        if at >= bytes.len() {
            return Err("headers without an end");
        }
        let (line, next) = line(bytes, at);
        if line.is_empty() {
            let head = bytes.get(..at).unwrap_or_default();
            let head = std::str::from_utf8(head).map_err(|_| "headers that are no text")?;
            return Ok((head, bytes.get(next..).unwrap_or_default()));
        }
        at = next;
    }
    Err("too many headers")
}

/// The answer of HTTP that a part holds.
///
/// # Errors
/// What is wrong with it.
pub fn http_part<'a>(part: &BodyPart<'a>) -> Result<HttpPart<'a>, &'static str> {
    let kind = part.header("content-type").unwrap_or_default();
    if !kind.trim().eq_ignore_ascii_case("application/http") {
        return Err("a part that is no answer");
    }
    let (first, next) = line(part.body, 0);
    let first = std::str::from_utf8(first).map_err(|_| "a status that is no text")?;
    let mut words = first.split(' ');
    let version = words.next().unwrap_or_default();
    let status = words.next().unwrap_or_default();
    if !["HTTP/1.1", "HTTP/1.0"].contains(&version) || status.len() != 3 || !status.bytes().all(|b| b.is_ascii_digit())
    {
        return Err("a part without a status");
    }
    let status = status.parse().map_err(|_| "a part without a status")?;
    let (head, body) = head(part.body.get(next..).unwrap_or_default())?;
    Ok(HttpPart { status, head, body })
}
