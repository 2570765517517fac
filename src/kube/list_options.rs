//! The two query parameters of a list that change what it is: `watch`, and a `fieldSelector` that names one object.
//! Read as the apiserver reads them, with Go's rules for queries.

use std::borrow::Cow;

/// Go's `net/url` takes a query of more parameters for none at all.
const MAX_PARAMETERS: usize = 10_000;

/// What the query of a request without a name says.
#[derive(PartialEq, Eq, Debug, Default)]
pub(super) struct ListOptions<'q> {
    /// Whether this list is a watch.
    pub(super) watch: bool,
    /// The one object that `fieldSelector=metadata.name=…` asks for; empty if there is no such.
    pub(super) name: Cow<'q, str>,
}

impl<'q> ListOptions<'q> {
    /// Reads a raw query.
    ///
    /// The apiserver drops the name when any of the list's parameters is malformed. Label selectors have a grammar of
    /// their own that is not repeated here: with one in the query the name stays empty, which says "all of them", and
    /// whoever narrows rights by name then refuses too much rather than too little.
    pub(super) fn of(query: &'q str) -> Self {
        let [mut watch, mut fields, mut labels, mut limit, mut timeout] = [const { None }; 5];
        for (key, value) in pairs(query) {
            let slot = match &*key {
                "watch" => &mut watch,
                "fieldSelector" => &mut fields,
                "labelSelector" => &mut labels,
                "limit" => &mut limit,
                "timeoutSeconds" => &mut timeout,
                _ => continue,
            };
            // The first of several values counts.
            slot.get_or_insert(value);
        }
        let is_integer = |value: Option<Cow<'_, str>>| value.is_none_or(|value| value.parse::<i64>().is_ok());
        let is_readable =
            labels.is_none_or(|labels| labels.is_empty()) && is_integer(limit) && is_integer(timeout);
        Self {
            watch: watch.is_some_and(|value| is_true(&value)),
            name: fields.filter(|_| is_readable).and_then(exact_name).unwrap_or_default(),
        }
    }
}

/// The parameters of a query, decoded. A malformed one is left out and the others stand, as in Go.
fn pairs(query: &str) -> impl Iterator<Item = (Cow<'_, str>, Cow<'_, str>)> {
    let too_many = query.bytes().filter(|byte| *byte == b'&').count() >= MAX_PARAMETERS;
    let query = if too_many { "" } else { query };
    query.split('&').filter(|pair| !pair.is_empty() && !pair.contains(';')).filter_map(|pair| {
        let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
        Some((unescape_query(key)?, unescape_query(value)?))
    })
}

fn unescape_query(text: &str) -> Option<Cow<'_, str>> {
    if text.contains('+') {
        unescape(&text.replace('+', " ")).map(|text| Cow::Owned(text.into_owned()))
    } else {
        unescape(text)
    }
}

/// Undoes percent-encoding; `None` if a `%` is not followed by two hexadecimal digits.
pub(super) fn unescape(text: &str) -> Option<Cow<'_, str>> {
    if !text.contains('%') {
        return Some(Cow::Borrowed(text));
    }
    // Go's strings are bytes; what is no UTF-8 names nothing that Kubernetes has.
    Some(Cow::Owned(String::from_utf8_lossy(&unescape_bytes(text)?).into_owned()))
}

/// The same, with whatever bytes come of it.
pub(crate) fn unescape_bytes(text: &str) -> Option<Vec<u8>> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((first, tail)) = rest.split_first() {
        let (byte, tail) = match (first, tail) {
            (b'%', [high, low, tail @ ..]) => (hex(*high)? << 4 | hex(*low)?, tail),
            (b'%', _) => return None,
            (byte, tail) => (*byte, tail),
        };
        bytes.push(byte);
        rest = tail;
    }
    Some(bytes)
}

fn hex(digit: u8) -> Option<u8> {
    char::from(digit).to_digit(16).and_then(|value| u8::try_from(value).ok())
}

/// Everything but these two is true, the empty text included.
fn is_true(value: &str) -> bool {
    !(value == "0" || value.eq_ignore_ascii_case("false"))
}

/// The name that a field selector requires, if every term of it can be read.
fn exact_name(selector: Cow<'_, str>) -> Option<Cow<'_, str>> {
    match selector {
        Cow::Borrowed(selector) => required_name(selector),
        Cow::Owned(selector) => required_name(&selector).map(|name| Cow::Owned(name.into_owned())),
    }
}

fn required_name(selector: &str) -> Option<Cow<'_, str>> {
    let mut first: Option<(&str, Cow<'_, str>)> = None;
    for term in terms(selector).filter(|term| !term.is_empty()) {
        let (field, is_equal, value) = split_term(term)?;
        let value = unescape_value(value)?;
        // The apiserver sorts the terms and takes the first that fits.
        if is_equal && field == "metadata.name" && first.as_ref().is_none_or(|(other, _)| term < *other) {
            first = Some((term, value));
        }
    }
    let (_, name) = first?;
    // A name that could not be a segment of a path is not taken for a name.
    let is_segment = name != "." && name != ".." && !name.contains(['/', '%']);
    is_segment.then_some(name)
}

/// The terms of a selector, which unescaped commas part.
fn terms(selector: &str) -> impl Iterator<Item = &str> {
    let mut escaped = false;
    selector.split(move |character| {
        let parts = character == ',' && !escaped;
        escaped = character == '\\' && !escaped;
        parts
    })
}

/// Field, whether it must be equal, and the escaped value.
fn split_term(term: &str) -> Option<(&str, bool, &str)> {
    let (field, rest) = term.split_at(term.find('=')?);
    // `!=` first: the `=` that was found may be its second half.
    if let Some(field) = field.strip_suffix('!') {
        return Some((field, false, rest.strip_prefix('=')?));
    }
    let value = rest.strip_prefix("==").or_else(|| rest.strip_prefix('='))?;
    Some((field, true, value))
}

/// Undoes `\\`, `\,` and `\=`; `None` for any other escape or a bare `,` or `=`.
fn unescape_value(value: &str) -> Option<Cow<'_, str>> {
    if !value.contains(['\\', ',', '=']) {
        return Some(Cow::Borrowed(value));
    }
    let mut text = String::with_capacity(value.len());
    let mut characters = value.chars();
    while let Some(character) = characters.next() {
        match character {
            '\\' => text.push(characters.next().filter(|next| matches!(next, '\\' | ',' | '='))?),
            ',' | '=' => return None,
            other => text.push(other),
        }
    }
    Some(Cow::Owned(text))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name(query: &str) -> String {
        ListOptions::of(query).name.into_owned()
    }

    #[test]
    fn only_zero_and_false_are_no_watch() {
        for query in
            ["watch", "watch=", "watch=1", "watch=true", "watch=no", "w%61tch=1", "watch=TRUE&watch=0"]
        {
            assert!(ListOptions::of(query).watch, "{query}");
        }
        for query in ["", "watch=0", "watch=FALSE", "Watch=1", "watch=1;a", "watch=%zz", "watch=0&watch=1"] {
            assert!(!ListOptions::of(query).watch, "{query}");
        }
    }

    #[test]
    fn a_name_is_taken_only_from_a_selector_that_the_apiserver_can_read() {
        assert_eq!(name("fieldSelector=metadata.name%3Dweb"), "web");
        assert_eq!(name("fieldSelector=metadata.name==web&limit=500"), "web");
        assert_eq!(name("fieldSelector=status.phase!%3DRunning,metadata.name=web"), "web");
        assert_eq!(name("fieldSelector=metadata.name%3Db,metadata.name%3Da"), "a");
        assert_eq!(name(r"fieldSelector=metadata.name=a\,b"), "a,b");
        for query in [
            "fieldSelector=metadata.name!=web",
            "fieldSelector=metadata.name=web,junk",
            "fieldSelector=metadata.name=a=b",
            r"fieldSelector=metadata.name=a\b",
            "fieldSelector=metadata.name=..",
            "fieldSelector=metadata.name=a%252Fb",
            "fieldSelector=metadata.name=web&limit=many",
            "fieldSelector=metadata.name=web&labelSelector=a=b",
        ] {
            assert_eq!(name(query), "", "{query}");
        }
    }

    #[test]
    fn more_parameters_than_go_reads_are_none() {
        assert!(ListOptions::of(&format!("watch=1{}", "&a".repeat(MAX_PARAMETERS - 1))).watch);
        assert!(!ListOptions::of(&format!("watch=1{}", "&a".repeat(MAX_PARAMETERS))).watch);
    }
}
