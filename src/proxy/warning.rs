//! What a client is told about its token while the token is still good: kubectl prints the text of a `Warning: 299`.

use http::header::{HeaderMap, HeaderValue, WARNING};

use super::Client;
use crate::clock::{self, DAY, UnixMillis};
use crate::token::TokenRecord;

/// How much of a token's life is its end: a tenth, but no more than a week.
const FRACTION: u64 = 10;
const LONGEST_END: u64 = 7 * DAY;

/// Adds the warning that is due for `token` to the answer's `headers`, once a connection: a client that asks a thousand
/// times would otherwise read it a thousand times.
pub(super) fn add(headers: &mut HeaderMap, token: &TokenRecord, client: &Client) {
    let Some(text) = text(token, clock::now()) else { return };
    if client.may_warn()
        && let Ok(value) = HeaderValue::from_str(&format!("299 - \"{text}\""))
    {
        // Beside the cluster's own.
        headers.append(WARNING, value);
    }
}

/// What there is to say of `token`. Names and numbers alone, so that nothing needs quoting.
fn text(token: &TokenRecord, now: UnixMillis) -> Option<String> {
    let left = token.expires_at()?.0.saturating_sub(now.0);
    let (name, end) = (&token.name, clock::in_words(left));
    if let Some(successor) = &token.replaced_by {
        return Some(format!("token {name} was replaced by {successor} and expires in {end}"));
    }
    (left <= (token.ttl.0 / FRACTION).min(LONGEST_END)).then(|| format!("token {name} expires in {end}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::{HOUR, MINUTE};
    use crate::identity::UserId;
    use crate::store::testing::token;
    use crate::token::Ttl;

    fn text_after(ttl: u64, passed: u64) -> Option<String> {
        let (mut token, _) = token(&UserId::generate().unwrap());
        (token.created_at, token.ttl) = (UnixMillis(1_000), Ttl(ttl));
        let text = text(&token, UnixMillis(1_000 + passed))?;
        Some(text.strip_prefix(&format!("token {} expires in ", token.name)).unwrap().to_owned())
    }

    #[test]
    fn a_token_that_was_replaced_says_so_as_long_as_it_lives() {
        let (mut token, _) = token(&UserId::generate().unwrap());
        (token.created_at, token.ttl) = (UnixMillis(1_000), Ttl(HOUR));
        token.replaced_by = Some("token-bcdfg".try_into().unwrap());
        let expected = format!("token {} was replaced by token-bcdfg and expires in 1h 0m", token.name);
        assert_eq!(text(&token, UnixMillis(1_000)), Some(expected));
    }

    #[test]
    fn the_last_tenth_of_a_life_is_its_end_but_no_more_than_a_week() {
        for (ttl, passed, expected) in [
            (0, 1_000_000, None),
            (100 * MINUTE, 89 * MINUTE, None),
            (100 * MINUTE, 90 * MINUTE, Some("10m 0s")),
            (100 * MINUTE, 100 * MINUTE - 1, Some("0s")),
            (16 * HOUR, 15 * HOUR + 1, Some("59m 59s")),
            (30 * DAY, 27 * DAY + HOUR, Some("2d 23h")),
            (365 * DAY, 350 * DAY, None),
            (365 * DAY, 358 * DAY, Some("7d 0h")),
        ] {
            assert_eq!(text_after(ttl, passed).as_deref(), expected, "{ttl} {passed}");
        }
    }
}
