//! From a text to a typed value. Each parser says what it expected, never what went wrong inside.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use http::Uri;
use http::uri::Scheme;

use super::key::Given;
use super::{Chance, LogFormat};
use crate::identity::{Group, IdentityError, RESERVED_PREFIX, Username};
use crate::setting::{Setting, SettingError};

/// What a value should have been: the second half of "expected …".
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Expected(pub String);

/// A span of time: whole numbers with a unit of `ms`, `s`, `m`, `h` or `d`, largest first (`1h30m`).
pub fn duration(text: &str) -> Option<Duration> {
    let units = [("d", 86_400_000), ("h", 3_600_000), ("m", 60_000), ("s", 1_000), ("ms", 1)];
    let mut rest = text;
    let mut total: u64 = 0;
    let mut last_unit = u64::MAX;
    while !rest.is_empty() {
        let digits = rest.find(|c: char| !c.is_ascii_digit())?;
        let (number, tail) = rest.split_at_checked(digits)?;
        let unit_end = tail.find(|c: char| c.is_ascii_digit()).unwrap_or(tail.len());
        let (unit, tail) = tail.split_at_checked(unit_end)?;
        let (_, millis) = units.iter().find(|(name, _)| *name == unit)?;
        // `5m1h` and `5m5m` are slips of the pen more often than sums.
        if *millis >= last_unit {
            return None;
        }
        last_unit = *millis;
        total = total.checked_add(number.parse::<u64>().ok()?.checked_mul(*millis)?)?;
        rest = tail;
    }
    (!text.is_empty()).then(|| Duration::from_millis(total))
}

pub(super) fn bounded_duration(given: &Given, least: Duration, most: Duration) -> Result<Duration, Expected> {
    let expected = || Expected(format!("a duration from {least:?} to {most:?}, such as 30s or 5m"));
    let value = duration(one(given)?).ok_or_else(expected)?;
    if (least..=most).contains(&value) { Ok(value) } else { Err(expected()) }
}

pub(super) fn size(given: &Given, least: usize, most: usize) -> Result<usize, Expected> {
    let expected = || Expected(format!("a size from {least}B to {most}B, such as 128KiB or 1MiB"));
    let text = one(given)?;
    let digits = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let (number, unit) = text.split_at_checked(digits).ok_or_else(expected)?;
    let factor: usize = match unit {
        "B" => 1,
        "KiB" => 1 << 10,
        "MiB" => 1 << 20,
        "GiB" => 1 << 30,
        _ => return Err(expected()),
    };
    let bytes = number.parse().ok().and_then(|number: usize| number.checked_mul(factor));
    bytes.filter(|bytes| (least..=most).contains(bytes)).ok_or_else(expected)
}

pub(super) fn count(given: &Given, most: u32) -> Result<u32, Expected> {
    let number = one(given)?.parse().ok();
    number
        .filter(|number| (1..=most).contains(number))
        .ok_or_else(|| Expected(format!("a whole number from 1 to {most}")))
}

pub(super) fn count_usize(given: &Given, most: u32) -> Result<usize, Expected> {
    let number = count(given, most)?;
    usize::try_from(number).map_err(|_| Expected("a smaller number".into()))
}

/// A share of all, from 0 to `most`.
pub(super) fn chance(given: &Given, most: f64) -> Result<Chance, Expected> {
    let share = one(given)?.parse::<f64>().ok().filter(|share| (0.0..=most).contains(share));
    share.map(Chance::of_share).ok_or_else(|| Expected(format!("a number from 0 to {most}")))
}

pub(super) fn address(given: &Given) -> Result<SocketAddr, Expected> {
    one(given)?
        .parse()
        .map_err(|_| Expected("an IP address and a port, such as 0.0.0.0:8443 or [::1]:9090".into()))
}

pub(super) fn path(given: &Given) -> Result<PathBuf, Expected> {
    text(given, "a path").map(PathBuf::from)
}

pub(super) fn text(given: &Given, what: &str) -> Result<String, Expected> {
    let text = one(given)?;
    if text.trim().is_empty() || text.chars().any(char::is_control) {
        return Err(Expected(format!("{what}, not empty and without control characters")));
    }
    Ok(text.to_owned())
}

pub(super) fn choice(given: &Given, choices: &[&'static str]) -> Result<&'static str, Expected> {
    let text = one(given)?;
    let found = choices.iter().find(|choice| **choice == text);
    found.copied().ok_or_else(|| Expected(format!("one of {}", choices.join(", "))))
}

pub(super) fn boolean(given: &Given) -> Result<bool, Expected> {
    Ok(choice(given, &["true", "false"])? == "true")
}

pub(super) fn log_format(given: &Given) -> Result<LogFormat, Expected> {
    Ok(if choice(given, &["json", "text"])? == "json" { LogFormat::Json } else { LogFormat::Text })
}

/// An origin, as the setting of the same meaning takes it.
pub(super) fn origin(given: &Given) -> Result<String, Expected> {
    setting(Setting::ServerUrl, one(given)?)
}

/// The value of a setting.
pub(super) fn setting(setting: Setting, text: &str) -> Result<String, Expected> {
    setting.check(text).map_err(|error| match error {
        SettingError::Invalid { expected, .. } => Expected(expected),
        SettingError::KubeconfigExceedsMax { .. } => Expected(error.to_string()),
    })
}

/// Addresses of apiservers: `https` URLs, each once.
pub(super) fn endpoints(given: &Given) -> Result<Vec<Uri>, Expected> {
    let expected = || Expected("a list of different https URLs".into());
    let mut urls: Vec<Uri> = Vec::new();
    for text in many(given) {
        let url: Uri = text.parse().map_err(|_| expected())?;
        if url.scheme() != Some(&Scheme::HTTPS) || urls.contains(&url) {
            return Err(expected());
        }
        urls.push(url);
    }
    Ok(urls)
}

/// Names for a certificate: host names and IP addresses.
pub(super) fn server_names(given: &Given) -> Result<Vec<String>, Expected> {
    let names = many(given);
    for name in &names {
        if rustls::pki_types::ServerName::try_from(name.as_str()).is_err() {
            return Err(Expected("a list of host names and IP addresses".into()));
        }
    }
    Ok(names)
}

/// Audiences of tokens.
pub(super) fn audiences(given: &Given) -> Result<Vec<String>, Expected> {
    let audiences = many(given);
    let is_wrong = |audience: &String| audience.trim().is_empty() || audience.chars().any(char::is_control);
    if audiences.iter().any(is_wrong) {
        return Err(Expected("a list of audiences, not empty and without control characters".into()));
    }
    Ok(audiences)
}

/// Exact names that begin with `system:`.
pub(super) fn system_identities(given: &Given) -> Result<Vec<String>, Expected> {
    let names = many(given);
    for name in &names {
        if !name.starts_with(RESERVED_PREFIX) || Group::try_from(name.as_str()).is_err() {
            return Err(Expected(format!("a list of user or group names that begin with {RESERVED_PREFIX}")));
        }
    }
    Ok(names)
}

/// Names of users.
pub(super) fn users(given: &Given) -> Result<Vec<Username>, Expected> {
    names(given, |text| Username::try_from(text))
}

/// Names of groups.
pub(super) fn groups(given: &Given) -> Result<Vec<Group>, Expected> {
    names(given, |text| Group::try_from(text))
}

fn names<N>(given: &Given, parse: fn(&str) -> Result<N, IdentityError>) -> Result<Vec<N>, Expected> {
    let names = many(given).iter().map(|name| parse(name)).collect::<Result<_, _>>();
    names.map_err(|error| Expected(format!("a list of names, but a {error}")))
}

fn one(given: &Given) -> Result<&str, Expected> {
    match given {
        Given::One(text) => Ok(text),
        Given::Many(_) => Err(Expected("a single value".into())),
    }
}

fn many(given: &Given) -> Vec<String> {
    match given {
        Given::One(text) => {
            text.split(',').map(str::trim).filter(|t| !t.is_empty()).map(str::to_owned).collect()
        }
        Given::Many(texts) => texts.clone(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn given(text: &str) -> Given {
        Given::One(text.to_owned())
    }

    #[test]
    fn a_duration_has_units_from_large_to_small() {
        for (text, millis) in [("30s", 30_000), ("5m", 300_000), ("1h30m", 5_400_000), ("90d", 7_776_000_000)]
        {
            assert_eq!(duration(text), Some(Duration::from_millis(millis)), "{text}");
        }
        assert_eq!(duration("1m250ms"), Some(Duration::from_millis(60_250)));
        for text in [
            "",
            "30",
            "s",
            "30 s",
            "5m1h",
            "5m5m",
            "-1s",
            "1.5h",
            "1w",
            "99999999999999999999s",
            "9999999999999999d",
        ] {
            assert_eq!(duration(text), None, "{text}");
        }
    }

    #[test]
    fn a_size_needs_its_unit_and_keeps_to_its_bounds() {
        assert_eq!(size(&given("128KiB"), 1, 1 << 20), Ok(131_072));
        assert_eq!(size(&given("1MiB"), 1, 1 << 20), Ok(1 << 20));
        for text in ["128", "128K", "128kib", "1.5MiB", "KiB", "", "2MiB", "0B", "99999999999999999999GiB"] {
            assert!(size(&given(text), 1, 1 << 20).is_err(), "{text}");
        }
    }

    #[test]
    fn a_server_url_is_an_https_origin_and_nothing_more() {
        assert_eq!(origin(&given("https://gate:8443/")), Ok("https://gate:8443".into()));
        for text in [
            "http://gate",
            "gate:8443",
            "https://gate/x",
            "https://gate/?q",
            "https://u@gate",
            "https://",
            "",
        ] {
            assert!(origin(&given(text)).is_err(), "{text}");
        }
    }

    #[test]
    fn endpoints_are_different_https_urls() {
        assert_eq!(endpoints(&given("https://a:6443, https://b:6443")).unwrap().len(), 2);
        for text in ["http://a", "a:6443", "https://a,https://a"] {
            assert!(endpoints(&given(text)).is_err(), "{text}");
        }
    }

    #[test]
    fn only_names_of_kubernetes_itself_can_be_allowed() {
        assert_eq!(
            system_identities(&given("system:masters, system:node:a")),
            Ok(vec!["system:masters".into(), "system:node:a".into()])
        );
        for text in ["masters", "system:masters,admin", "System:masters"] {
            assert!(system_identities(&given(text)).is_err(), "{text}");
        }
    }

    #[test]
    fn a_chance_is_a_share_and_keeps_to_its_bound() {
        for (text, share) in [("0", 0.0), ("0.02", 0.02), ("0.000001", 0.000_001), ("1e-3", 0.001)] {
            assert_eq!(chance(&given(text), 0.02), Ok(Chance::of_share(share)), "{text}");
        }
        for text in ["0.021", "-0.01", "NaN", "inf", "1%", ""] {
            assert!(chance(&given(text), 0.02).is_err(), "{text}");
        }
    }

    #[test]
    fn zero_is_no_bound() {
        assert!(count(&given("0"), 10).is_err());
        assert!(count(&given("11"), 10).is_err());
        assert_eq!(count(&given("10"), 10), Ok(10));
        let (least, most) = (Duration::from_millis(1), Duration::from_mins(1));
        assert!(bounded_duration(&given("0s"), least, most).is_err());
        assert!(bounded_duration(&given("61s"), least, most).is_err());
    }
}
