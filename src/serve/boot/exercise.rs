//! One round over everything that reads a request of the boot plane before a record is looked at: what
//! the fuzz target and the test of its seeds run.

use super::route::{self, Route};
use super::{said, webhook};
use crate::base::Token;
use crate::decide::tftp::file_request;
use crate::wire::framing::Framing;

/// Reads `bytes` as three lines: path and query, content type, and the rest as a body. The error is a
/// sentence that names the property that does not hold.
pub fn http_request(bytes: &[u8]) -> Result<(), String> {
    // A panic is the finding here; whatever TFTP makes of the name is not wanted.
    let _ = file_request(bytes);
    let cut = bytes.len() / 2;
    let (before, behind) = bytes.split_at_checked(cut).unwrap_or_default();
    let mut in_pieces = Framing::new();
    let pieces = in_pieces.take(before).and_then(|()| in_pieces.take(behind));
    if Framing::new().take(bytes).is_ok() != pieces.is_ok() {
        return Err("a stream whose pieces make a difference".to_owned());
    }
    let mut lines = bytes.splitn(3, |byte| *byte == b'\n');
    let mut line = || String::from_utf8_lossy(lines.next().unwrap_or_default()).into_owned();
    let (target, content_type) = (line(), line());
    let body = lines.next().unwrap_or_default();
    let (path, query) = match target.split_once('?') {
        Some((path, query)) => (path, Some(query)),
        None => (target.as_str(), None),
    };
    let route = Route::of(path);
    if route.methods().is_empty() {
        return Err("a route without a method".to_owned());
    }
    let token = match &route {
        Route::Asset(path) if path.starts_with('/') || path.contains('\0') => {
            return Err(format!("a boot file named {path:?}"));
        }
        Route::Answer { token, .. }
        | Route::Report { token, .. }
        | Route::Log { token, .. }
        | Route::Webhook { token } => token.as_ref(),
        _ => None,
    };
    let shown = route::shown(path);
    if token.is_some_and(|token| shown.contains(Token::reveal(token))) {
        return Err("the journal would show a whole token".to_owned());
    }
    let _ = route::identity(query);
    let _ = webhook::read(body);
    let said = said::said(query, Some(&content_type), body);
    if said
        .message
        .is_some_and(|text| text.contains(char::is_control))
    {
        return Err("a message with control characters".to_owned());
    }
    if said.percent.is_some_and(|percent| percent > 100) {
        return Err("more than 100 percent".to_owned());
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use proptest::prelude::*;

    use super::http_request;

    #[test]
    fn the_seeds_hold() {
        let seeds = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/seeds/http_request");
        let mut count = 0;
        for entry in std::fs::read_dir(seeds).unwrap() {
            let bytes = std::fs::read(entry.unwrap().path()).unwrap();
            for end in 0..=bytes.len() {
                assert_eq!(http_request(&bytes[..end]), Ok(()));
            }
            count += 1;
        }
        assert!(count >= 6);
    }

    proptest! {
        #[test]
        fn any_bytes_hold(bytes in proptest::collection::vec(any::<u8>(), 0..400)) {
            prop_assert_eq!(http_request(&bytes), Ok(()));
        }

        #[test]
        fn what_looks_like_a_request_holds(
            place in "/{0,2}(answers|report|assets|boot)/{0,2}",
            token in "[a-z2-7%]{20,30}",
            rest in "(/|%2[fF]|\\.\\.|started|progress|logs/|preseed\\.cfg|\\?message=|&percent=|[0-9%+]){0,12}",
            body in "\\PC{0,40}",
        ) {
            let request = format!("{place}{token}/{rest}\napplication/json\n{body}");
            prop_assert_eq!(http_request(request.as_bytes()), Ok(()));
        }
    }
}
