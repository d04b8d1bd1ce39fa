//! A token in the header that is made for it.

use axum::http::{HeaderMap, header};

use crate::auth::access::AccessError;

/// The token in `Authorization: Bearer <token>`: the scheme in any case, one space, the rest is the token. `None` if there is none.
///
/// # Errors
/// [`AccessError::Unclear`]: there is more than one such header, of which a proxy might have looked at another one.
pub fn bearer(headers: &HeaderMap) -> Result<Option<&str>, AccessError> {
    let mut values = headers.get_all(header::AUTHORIZATION).iter();
    let value = values.next();
    if values.next().is_some() {
        return Err(AccessError::Unclear("more than one Authorization header"));
    }
    Ok(value.and_then(|value| {
        let (scheme, token) = value.to_str().ok()?.split_once(' ')?;
        scheme.eq_ignore_ascii_case("bearer").then_some(token)
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_what_stands_behind_one_space_and_two_headers_are_none() {
        let headers = |values: &[&'static str]| -> HeaderMap {
            let of = |value: &&'static str| (header::AUTHORIZATION, value.parse().unwrap());
            values.iter().map(of).collect()
        };
        for (value, token) in [
            ("Bearer abc", Some("abc")),
            ("bEARER  abc ", Some(" abc ")),
            ("Bearer", None),
            ("Basic abc", None),
        ] {
            assert_eq!(bearer(&headers(&[value])), Ok(token), "{value}");
        }
        assert_eq!(bearer(&headers(&[])), Ok(None));
        let two = headers(&["Bearer abc", "Bearer abc"]);
        assert!(matches!(bearer(&two), Err(AccessError::Unclear(_))));
    }
}
