//! Values of JSON, links and durations as people read them.

use serde_json::Value;

use crate::api::request::path_to_one;
use crate::api::schema::{Field, Schema};
use crate::clock::{DAY, HOUR, MINUTE, SECOND};

/// A value as it is shown. It is escaped by the template, whatever it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Cell {
    pub(super) text: String,
    pub(super) href: Option<String>,
    pub(super) is_time: bool,
}

/// A link to a page of ours.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Link {
    pub(super) href: String,
    pub(super) label: String,
}

impl Cell {
    /// The value of a field; `field` is what the schema says of it.
    pub(super) fn of(field: Option<&Field>, name: &str, value: &Value) -> Self {
        let kind = field.map(|field| field.kind).unwrap_or_default();
        let text = match (name, value.as_u64()) {
            ("ttl", Some(millis)) => duration(millis),
            ("openStreams", _) => open_streams(value),
            _ => text(value),
        };
        if text.is_empty() && matches!(name, "expiresAt" | "lastUsedAt") {
            return Self { text: "never".to_owned(), href: None, is_time: false };
        }
        let referred = kind.strip_prefix("reference[").and_then(|rest| rest.strip_suffix(']'));
        let plural = referred.and_then(plural_of).filter(|_| !text.is_empty());
        Self {
            href: plural.map(|plural| path_of(plural, &text)),
            is_time: kind == "date" && !text.is_empty(),
            text,
        }
    }

    /// The cell, or `text` if there is nothing in it.
    pub(super) fn or(self, text: &str) -> Self {
        if self.text.is_empty() { Self { text: text.to_owned(), ..self } } else { self }
    }

    pub(super) fn link(text: impl Into<String>, href: impl Into<String>) -> Self {
        Self { text: text.into(), href: Some(href.into()), is_time: false }
    }
}

/// A value on one line.
pub(super) fn text(value: &Value) -> String {
    match value {
        Value::Null => String::new(),
        Value::String(text) => text.clone(),
        Value::Array(items) if items.iter().all(|item| !item.is_array() && !item.is_object()) => {
            items.iter().map(text).collect::<Vec<_>>().join(", ")
        }
        other => other.to_string(),
    }
}

/// How many streams are open, and of which kinds.
fn open_streams(value: &Value) -> String {
    let kinds = value.get("byKind").and_then(Value::as_object).into_iter().flatten();
    kinds.map(|(kind, count)| format!("{count} {kind}")).collect::<Vec<_>>().join(", ")
}

/// The path of one resource's page.
pub(super) fn path_of(plural: &str, id: &str) -> String {
    path_to_one(&format!("/v3/{plural}"), id)
}

/// The path of an absolute URL of ours, with its query: a page's links stay at the address the browser knows.
pub(super) fn local(url: &str) -> Option<String> {
    let (_, rest) = url.split_once("://")?;
    let path = &rest.get(rest.find('/')?..)?;
    (!path.starts_with("//")).then(|| (*path).to_owned())
}

/// The schema of a collection.
pub(super) fn schema_of(plural: &str) -> Option<&'static Schema> {
    crate::api::schema::SCHEMAS.iter().copied().find(|schema| !plural.is_empty() && schema.plural == plural)
}

fn plural_of(id: &str) -> Option<&'static str> {
    let schema = crate::api::schema::SCHEMAS.iter().find(|schema| schema.id == id)?;
    (!schema.plural.is_empty()).then_some(schema.plural)
}

/// The largest unit in which a duration is a whole number, and how many of it.
pub(super) fn in_units(millis: u64) -> (u64, &'static str) {
    let unit = UNITS.iter().find(|(_, length)| millis > 0 && millis.is_multiple_of(*length));
    unit.map_or((millis, "days"), |(unit, length)| (millis / length, unit))
}

fn duration(millis: u64) -> String {
    if millis == 0 {
        return "never ends".to_owned();
    }
    let (number, unit) = in_units(millis);
    format!("{number} {}", if number == 1 { unit.trim_end_matches('s') } else { unit })
}

/// Units of a duration with their length in milliseconds, the longest first.
pub(super) const UNITS: [(&str, u64); 5] =
    [("days", DAY), ("hours", HOUR), ("minutes", MINUTE), ("seconds", SECOND), ("milliseconds", 1)];

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn durations_are_in_the_largest_unit_that_fits() {
        for (millis, shown) in [
            (0, "never ends"),
            (1, "1 millisecond"),
            (90_000, "90 seconds"),
            (60_000, "1 minute"),
            (57_600_000, "16 hours"),
            (7_776_000_000, "90 days"),
        ] {
            assert_eq!(duration(millis), shown);
        }
    }

    #[test]
    fn links_stay_at_the_address_the_browser_knows() {
        assert_eq!(local("https://gate.example.org:8443/v3/tokens?limit=1").unwrap(), "/v3/tokens?limit=1");
        for url in ["https://gate.example.org", "/v3/tokens", "https://gate//evil.example.org/", ""] {
            assert_eq!(local(url), None, "{url}");
        }
    }

    #[test]
    fn an_id_is_one_segment_whatever_it_is() {
        assert_eq!(path_of("tokens", "token-bcdfg"), "/v3/tokens/token-bcdfg");
        assert_eq!(path_of("users", "../\"<x>?"), "/v3/users/..%2F%22%3Cx%3E%3F");
    }

    #[test]
    fn values_fit_on_a_line() {
        for (value, shown) in [
            (json!(null), ""),
            (json!(["dev", "ops"]), "dev, ops"),
            (json!(true), "true"),
            (json!(7), "7"),
            (json!({"a": [1]}), "{\"a\":[1]}"),
        ] {
            assert_eq!(text(&value), shown);
        }
    }
}
