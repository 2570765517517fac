//! The query of a request: parameters of known types. One that is not of its type is refused and named; unknown ones are
//! ignored, as clients of Rancher's API send several; an empty one is none, as forms send those that were left empty.

use std::convert::Infallible;

use axum::extract::FromRequestParts;
use http::request::Parts;

use super::error::ApiError;
use crate::clock::UnixMillis;
use crate::store::MAX_PAGE;

/// The parameters, decoded.
#[derive(Debug, Clone, Default)]
pub(super) struct Query(Vec<(String, String)>);

impl<S: Sync> FromRequestParts<S> for Query {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Infallible> {
        let text = parts.uri.query().unwrap_or_default();
        Ok(Self(form_urlencoded::parse(text.as_bytes()).into_owned().collect()))
    }
}

impl Query {
    /// The parameter of this name.
    pub(super) fn text(&self, name: &'static str) -> Result<Option<&str>, ApiError> {
        let mut values = self.values(name);
        let value = values.next();
        if values.next().is_some() {
            return Err(ApiError::invalid("InvalidFormat", format!("{name} is given twice")).on(name));
        }
        Ok(value)
    }

    /// The parameter as what `parse` makes of it. `expected` says what that is.
    pub(super) fn parsed<T>(
        &self,
        name: &'static str,
        expected: &str,
        parse: impl FnOnce(&str) -> Option<T>,
    ) -> Result<Option<T>, ApiError> {
        let Some(text) = self.text(name)? else { return Ok(None) };
        let refusal = || ApiError::invalid("InvalidOption", format!("{name} must be {expected}")).on(name);
        parse(text).map(Some).ok_or_else(refusal)
    }

    /// The parameter as a yes or no.
    pub(super) fn flag(&self, name: &'static str) -> Result<Option<bool>, ApiError> {
        self.parsed(name, "true or false", |text| text.parse().ok())
    }

    /// The parameter as a moment.
    pub(super) fn moment(&self, name: &'static str) -> Result<Option<UnixMillis>, ApiError> {
        let parse = |text: &str| {
            let millis = text.parse::<jiff::Timestamp>().ok()?.as_millisecond();
            Some(UnixMillis(u64::try_from(millis).unwrap_or(0)))
        };
        self.parsed(name, "a time as 2026-01-31T12:00:00Z", parse)
    }

    /// What is to be done, where it is not what the method says.
    pub(super) fn action(&self) -> Result<Option<&str>, ApiError> {
        self.text("action")
    }

    /// Refuses what is not `known`, and what is empty. For changes of many things at once: a slip in the name of a filter,
    /// or a variable without a value, must not make it a change of everything.
    pub(super) fn only(&self, known: &[&str]) -> Result<(), ApiError> {
        match self.0.iter().find(|(name, value)| !known.contains(&name.as_str()) || value.is_empty()) {
            None => Ok(()),
            Some((name, _)) => {
                let message = format!("{name:.80?} is empty or no parameter of this change");
                Err(ApiError::invalid("InvalidOption", message))
            }
        }
    }

    /// How many items a page has at most.
    pub(super) fn limit(&self) -> Result<u32, ApiError> {
        let parse = |text: &str| match text.parse::<i64>() {
            Ok(-1) => Some(MAX_PAGE),
            Ok(limit) => {
                u32::try_from(limit).ok().filter(|limit| *limit > 0).map(|limit| limit.min(MAX_PAGE))
            }
            Err(_) => None,
        };
        Ok(self
            .parsed("limit", "a positive number, or -1 for as many as there can be", parse)?
            .unwrap_or(DEFAULT_LIMIT))
    }

    /// Whether the list is wanted from its end.
    pub(super) fn descending(&self) -> Result<Option<bool>, ApiError> {
        self.parsed("order", "asc or desc", |text| match text {
            "asc" => Some(false),
            "desc" => Some(true),
            _ => None,
        })
    }

    /// The URL of `collection` with the parameters in `kept` as they are, and with `changed` set anew.
    pub(super) fn url(&self, collection: &str, kept: &[&str], changed: &[(&str, &str)]) -> String {
        let is_kept = |(name, value): &&(String, String)| kept.contains(&name.as_str()) && !value.is_empty();
        let mut query = form_urlencoded::Serializer::new(String::new());
        query.extend_pairs(self.0.iter().filter(is_kept));
        query.extend_pairs(changed);
        let query = query.finish();
        if query.is_empty() { collection.to_owned() } else { format!("{collection}?{query}") }
    }

    fn values(&self, name: &str) -> impl Iterator<Item = &str> {
        let named = move |(other, value): &&(String, String)| other == name && !value.is_empty();
        self.0.iter().filter(named).map(|(_, value)| value.as_str())
    }
}

/// Items in a page unless another number is asked for.
const DEFAULT_LIMIT: u32 = 1000;

#[cfg(test)]
mod tests {
    use super::*;

    fn query(text: &str) -> Query {
        Query(form_urlencoded::parse(text.as_bytes()).into_owned().collect())
    }

    #[test]
    fn a_parameter_is_of_its_type_or_refused() {
        let given = query("a=true&b=yes&c=&d=1&d=1&x=%ff");
        assert_eq!(given.flag("a").unwrap(), Some(true));
        let moments = query("at=2026-01-02T03:04:05Z&before=1969-01-01T00:00:00Z&x=yesterday");
        assert_eq!(moments.moment("at").unwrap(), Some(UnixMillis(1_767_323_045_000)));
        assert_eq!(moments.moment("before").unwrap(), Some(UnixMillis(0)));
        assert!(moments.moment("x").is_err());
        assert_eq!((given.flag("c").unwrap(), given.flag("missing").unwrap()), (None, None));
        assert!(given.flag("b").is_err() && given.text("d").is_err());
    }

    #[test]
    fn a_page_is_never_empty_and_never_endless() {
        for (text, limit) in [("", 1000), ("limit=1", 1), ("limit=-1", 10_000), ("limit=99999999", 10_000)] {
            assert_eq!(query(text).limit().unwrap(), limit, "{text}");
        }
        for text in
            ["limit=0", "limit=-2", "limit=x", "limit=1.5", "limit=1&limit=2", "limit=99999999999999999999"]
        {
            assert!(query(text).limit().is_err(), "{text}");
        }
    }

    #[test]
    fn a_link_keeps_what_it_is_told_and_encodes_it() {
        let given = query("kind=a%26b&limit=5&marker=x&junk=%3Cscript%3E&userId=");
        let url = given.url("https://gate/v3/tokens", &["kind", "limit", "userId"], &[("marker", "a+b")]);
        assert_eq!(url, "https://gate/v3/tokens?kind=a%26b&limit=5&marker=a%2Bb");
        assert_eq!(query("").url("https://gate/v3/tokens", &[], &[]), "https://gate/v3/tokens");
    }
}
