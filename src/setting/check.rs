//! What a setting takes: each value alone, and the one rule between two of them.

use std::ops::RangeInclusive;

use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;

use super::{Minutes, Setting};

/// Why a setting can't be set so.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SettingError {
    /// A value that the setting does not take.
    #[error("{}: expected {expected}, not {given:.80?}", setting.name())]
    Invalid {
        /// Which setting.
        setting: Setting,
        /// What it takes.
        expected: String,
        /// What was given.
        given: String,
    },
    /// Tokens of kubeconfigs would live longer than any token may.
    #[error(
        "{} ({kubeconfig}) must not exceed {} ({max}), and 0 means without end: set both together",
        Setting::KubeconfigTtl.name(),
        Setting::TokenMaxTtl.name()
    )]
    KubeconfigExceedsMax {
        /// The life of a kubeconfig's token, in minutes.
        kubeconfig: Minutes,
        /// The maximum, in minutes.
        max: Minutes,
    },
}

impl Setting {
    /// The value as it is stored, if the setting takes it: `" 060"` of minutes is `60`.
    pub fn check(self, value: &str) -> Result<String, SettingError> {
        let value = value.trim();
        let checked = match self {
            Self::SessionTtl | Self::SessionIdleTtl | Self::TokenMaxTtl | Self::KubeconfigTtl => {
                number(value, 0..=MAX_MINUTES, "whole minutes")
            }
            Self::TokenQuota => number(value, 0..=1_000_000, "a whole number"),
            Self::PasswordMinLength => number(value, 8..=128, "a whole number"),
            Self::KubeconfigGenerateToken | Self::ClientImpersonation => boolean(value),
            Self::ServerUrl => origin(value),
            Self::CaCertificates => certificates(value),
        };
        checked.map_err(|expected| SettingError::Invalid { setting: self, expected, given: value.to_owned() })
    }
}

/// Tokens of kubeconfigs are bounded by the maximum: a default beyond it, or without end, would never be what it says.
pub(super) fn check_pair(kubeconfig: Minutes, max: Minutes) -> Result<(), SettingError> {
    if max.is_none() || (!kubeconfig.is_none() && kubeconfig <= max) {
        Ok(())
    } else {
        Err(SettingError::KubeconfigExceedsMax { kubeconfig, max })
    }
}

fn number(text: &str, range: RangeInclusive<u32>, what: &str) -> Result<String, String> {
    let digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    let number = text.parse().ok().filter(|number| digits && range.contains(number));
    number
        .map(|number| number.to_string())
        .ok_or_else(|| format!("{what} from {} to {}", range.start(), range.end()))
}

/// In any case, as Rancher takes it.
fn boolean(text: &str) -> Result<String, String> {
    let lower = text.to_ascii_lowercase();
    if matches!(lower.as_str(), "true" | "false") { Ok(lower) } else { Err("true or false".to_owned()) }
}

/// An origin: `https`, a host, perhaps a port. A path would have to be cut off again by every route.
fn origin(text: &str) -> Result<String, String> {
    let expected = || "an https URL without a path, such as https://gate.example.org".to_owned();
    let uri: http::Uri = text.parse().map_err(|_| expected())?;
    let authority = uri.authority().ok_or_else(expected)?.as_str();
    let bare = uri.path_and_query().is_none_or(|path| path.as_str() == "/");
    if uri.scheme_str() != Some("https") || !bare || authority.contains('@') {
        return Err(expected());
    }
    Ok(format!("https://{authority}"))
}

/// At least one certificate. A private key that was pasted along with them by mistake is not kept.
fn certificates(text: &str) -> Result<String, String> {
    let expected = || format!("certificates in PEM, up to {MAX_PEM_BYTES} bytes");
    if text.len() > MAX_PEM_BYTES || text.contains("PRIVATE KEY") {
        return Err(expected());
    }
    let parsed: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(text.as_bytes()).collect();
    if parsed.is_ok_and(|certificates| !certificates.is_empty()) {
        Ok(format!("{text}\n"))
    } else {
        Err(expected())
    }
}

/// A thousand years.
const MAX_MINUTES: u32 = 525_600_000;

const MAX_PEM_BYTES: usize = 48 << 10;

#[cfg(test)]
mod tests {
    use super::*;

    const PEM: &str = "-----BEGIN CERTIFICATE-----\nAAEC\n-----END CERTIFICATE-----\n";

    /// Settings, what they take and as what they store it, and what they refuse.
    type Row = (&'static [Setting], &'static [(&'static str, &'static str)], &'static [&'static str]);

    #[test]
    fn each_setting_takes_what_it_is_for_and_nothing_else() {
        use Setting as S;
        let rows: &[Row] = &[
            (
                &[S::SessionTtl, S::SessionIdleTtl, S::TokenMaxTtl, S::KubeconfigTtl],
                &[("0", "0"), ("960", "960"), ("525600000", "525600000"), (" 060 ", "60")],
                &["-1", "+1", "0.5", "1e3", "525600001", "4294967296", "99999999999999999999", "", "1m", "०"],
            ),
            (&[S::PasswordMinLength], &[("8", "8"), ("128", "128")], &["7", "0", "129", "", "twelve"]),
            (&[S::TokenQuota], &[("0", "0"), ("1000000", "1000000")], &["1000001", "-1", ""]),
            (
                &[S::KubeconfigGenerateToken, S::ClientImpersonation],
                &[("true", "true"), ("False", "false"), ("TRUE", "true")],
                &["1", "yes", "", "truely"],
            ),
            (
                &[S::ServerUrl],
                &[
                    ("https://gate:8443/", "https://gate:8443"),
                    ("https://gate.example.org", "https://gate.example.org"),
                ],
                &[
                    "http://gate",
                    "gate:8443",
                    "https://gate/x",
                    "https://gate/?q",
                    "https://u@gate",
                    "https://",
                    "",
                ],
            ),
            (
                &[S::CaCertificates],
                &[(PEM, PEM)],
                &[
                    "",
                    "x",
                    "-----BEGIN PRIVATE KEY-----\nAAEC\n-----END PRIVATE KEY-----",
                    "-----BEGIN CERTIFICATE-----",
                ],
            ),
        ];
        let mut seen = 0;
        for (settings, good, bad) in rows {
            for setting in *settings {
                seen += 1;
                for (given, stored) in *good {
                    assert_eq!(setting.check(given).as_deref(), Ok(*stored), "{setting:?} {given}");
                }
                for given in *bad {
                    let refused = setting.check(given).unwrap_err().to_string();
                    assert!(
                        refused.starts_with(&format!("{}: expected ", setting.name())),
                        "{given}: {refused}"
                    );
                }
                let default = setting.default();
                assert!(default.is_empty() || setting.check(default).as_deref() == Ok(default));
            }
        }
        assert_eq!(seen, Setting::ALL.len());
    }

    #[test]
    fn certificates_are_bounded() {
        assert!(Setting::CaCertificates.check(&PEM.repeat(1000)).is_err());
    }

    #[test]
    fn a_kubeconfigs_token_lives_no_longer_than_the_maximum() {
        for (kubeconfig, max, good) in [
            (43_200, 129_600, true),
            (60, 60, true),
            (61, 60, false),
            (0, 60, false),
            (0, 0, true),
            (525_600_000, 0, true),
        ] {
            assert_eq!(check_pair(Minutes(kubeconfig), Minutes(max)).is_ok(), good, "{kubeconfig} {max}");
        }
        let refused = check_pair(Minutes(61), Minutes(60)).unwrap_err().to_string();
        assert!(refused.contains("(61)") && refused.contains("(60)"), "both numbers: {refused}");
    }
}
