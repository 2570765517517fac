//! A certificate authority of our own, for installations that bring no certificate. Its key and certificate stay in
//! the data directory; the server's certificate is made anew at each start and lives in memory alone.

use std::fs;
use std::io::{self, Write as _};
use std::net::IpAddr;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;

use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    KeyUsagePurpose,
};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};

/// The authority's certificate, which clients have to trust.
pub const CA_CERTIFICATE: &str = "ca.crt";
const CA_KEY: &str = "ca.key";
const CA_NAME: &str = "Portcullis certificate authority";
const CA_DAYS: i64 = 3650;
const LEAF_DAYS: i64 = 397;
/// Clocks of clients may be behind ours.
const BACKDATED_DAYS: i64 = 1;

/// A chain, leaf first, and the leaf's key.
pub(super) type Identity = (Vec<CertificateDer<'static>>, PrivateKeyDer<'static>);

/// Why there is no certificate.
#[derive(Debug, thiserror::Error)]
pub enum SelfSignedError {
    /// A file of the authority can't be read or written.
    #[error("can't read or write the certificate authority in the data directory")]
    Io(#[from] io::Error),
    /// What the files hold is not a key, or a name can't stand in a certificate.
    #[error("can't make a certificate")]
    Certificate(#[from] rcgen::Error),
}

/// A certificate for `names` (host names and addresses) by the authority in `dir`, which is made if there is none.
pub(super) fn identity(dir: &Path, names: &[String]) -> Result<Identity, SelfSignedError> {
    let key = load_or_make_authority(dir)?;
    let issuer = Issuer::new(authority_params()?, key);
    let leaf_key = KeyPair::generate()?;
    let mut params = CertificateParams::new(names.to_vec())?;
    params.distinguished_name.push(DnType::CommonName, "portcullis");
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    params.use_authority_key_identifier_extension = true;
    valid_for(&mut params, LEAF_DAYS);
    let leaf = params.signed_by(&leaf_key, &issuer)?;
    let leaf_key = PrivatePkcs8KeyDer::from(leaf_key.serialize_der());
    Ok((vec![leaf.der().clone()], leaf_key.into()))
}

/// The names by which this machine is reached, as far as we can know, and those that were configured.
pub(super) fn names(listen: IpAddr, server_url: Option<&str>, configured: &[String]) -> Vec<String> {
    let mut names: Vec<String> = ["localhost", "127.0.0.1", "::1"].map(str::to_owned).to_vec();
    if !listen.is_unspecified() {
        names.push(listen.to_string());
    }
    // Linux only; elsewhere the configuration has to name the host.
    if let Ok(host) = fs::read_to_string("/proc/sys/kernel/hostname") {
        names.push(host.trim().to_owned());
    }
    let host = server_url
        .and_then(|url| url.parse::<http::Uri>().ok())
        .and_then(|uri| uri.host().map(str::to_owned));
    names.extend(host.map(|host| host.trim_matches(['[', ']']).to_owned()));
    names.extend(configured.iter().cloned());
    names.sort_unstable();
    names.dedup();
    names
}

fn load_or_make_authority(dir: &Path) -> Result<KeyPair, SelfSignedError> {
    let (key_file, certificate_file) = (dir.join(CA_KEY), dir.join(CA_CERTIFICATE));
    match fs::read_to_string(&key_file) {
        Ok(pem) if certificate_file.exists() => Ok(KeyPair::from_pem(&pem)?),
        Ok(pem) => publish(KeyPair::from_pem(&pem)?, &certificate_file),
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            let key = KeyPair::generate()?;
            write(&key_file, &key.serialize_pem(), 0o600)?;
            publish(key, &certificate_file)
        }
        Err(error) => Err(error.into()),
    }
}

fn publish(key: KeyPair, certificate_file: &Path) -> Result<KeyPair, SelfSignedError> {
    let certificate = authority_params()?.self_signed(&key)?;
    write(certificate_file, &certificate.pem(), 0o644)?;
    Ok(key)
}

fn authority_params() -> Result<CertificateParams, rcgen::Error> {
    let mut params = CertificateParams::new(Vec::new())?;
    params.distinguished_name.push(DnType::CommonName, CA_NAME);
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    valid_for(&mut params, CA_DAYS);
    Ok(params)
}

fn valid_for(params: &mut CertificateParams, days: i64) {
    let day = jiff::SignedDuration::from_hours(24);
    let today = jiff::Timestamp::now();
    let date = |moment: Result<jiff::Timestamp, jiff::Error>| {
        let date = moment.unwrap_or(today).to_zoned(jiff::tz::TimeZone::UTC).date();
        let (month, day) = (date.month().unsigned_abs(), date.day().unsigned_abs());
        rcgen::date_time_ymd(i32::from(date.year()), month, day)
    };
    params.not_before = date(today.checked_sub(day * i32::try_from(BACKDATED_DAYS).unwrap_or(1)));
    params.not_after = date(today.checked_add(day * i32::try_from(days).unwrap_or(1)));
}

/// Written whole or not at all: a crash in between must not leave half a key.
fn write(path: &Path, text: &str, mode: u32) -> io::Result<()> {
    let temporary = path.with_extension("new");
    let mut file =
        fs::OpenOptions::new().write(true).create(true).truncate(true).mode(mode).open(&temporary)?;
    file.write_all(text.as_bytes())?;
    file.sync_all()?;
    fs::rename(&temporary, path)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_machine_and_what_is_configured_are_named_once() {
        let names = names(
            [10, 0, 0, 1].into(),
            Some("https://gate.example:8443/x"),
            &["localhost".into(), "b.example".into()],
        );
        for name in ["localhost", "127.0.0.1", "::1", "10.0.0.1", "gate.example", "b.example"] {
            assert_eq!(names.iter().filter(|known| *known == name).count(), 1, "{name} in {names:?}");
        }
    }
}
