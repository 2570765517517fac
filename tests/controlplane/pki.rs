//! The cluster's own authority, the certificates it gives, and the kubeconfigs that carry them.

use std::net::Ipv4Addr;
use std::path::PathBuf;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DnType, ExtendedKeyUsagePurpose, IsCa, KeyPair,
    KeyUsagePurpose, PKCS_RSA_SHA256,
};
use serde_json::json;

use crate::directory::RunDirectory;
use crate::error::Error;

/// The authority of one cluster. Every file is `pki/NAME.crt` and `pki/NAME.key` in the run's directory.
pub(crate) struct Authority<'a> {
    directory: &'a RunDirectory,
    issuer: CertifiedIssuer<'static, KeyPair>,
}

impl<'a> Authority<'a> {
    /// Makes an authority; `name` names its files.
    pub(crate) fn create(directory: &'a RunDirectory, name: &str) -> Result<Self, Error> {
        let mut params = CertificateParams::default();
        params.distinguished_name.push(DnType::CommonName, format!("{name} of a test cluster"));
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages =
            vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign, KeyUsagePurpose::DigitalSignature];
        let issuer = CertifiedIssuer::self_signed(params, KeyPair::generate()?)?;
        let authority = Self { directory, issuer };
        authority.write(name, &authority.issuer.pem(), authority.issuer.key())?;
        Ok(authority)
    }

    /// A serving certificate for these names and addresses.
    pub(crate) fn serve(&self, name: &str, names: &[&str], addresses: &[Ipv4Addr]) -> Result<(), Error> {
        let all: Vec<String> =
            names.iter().map(ToString::to_string).chain(addresses.iter().map(ToString::to_string)).collect();
        let mut params = CertificateParams::new(all)?;
        params.distinguished_name.push(DnType::CommonName, name);
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        self.issue(name, params).map(drop)
    }

    /// A client certificate: the common name is the user, the organisation the group.
    pub(crate) fn client(&self, name: &str, user: &str, group: &str) -> Result<Client, Error> {
        let mut params = CertificateParams::default();
        params.distinguished_name.push(DnType::CommonName, user);
        params.distinguished_name.push(DnType::OrganizationName, group);
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
        self.issue(name, params)
    }

    /// Writes a kubeconfig that needs no other file.
    pub(crate) fn kubeconfig(&self, name: &str, server: &str, client: &Client) -> Result<PathBuf, Error> {
        let config = json!({
            "apiVersion": "v1",
            "kind": "Config",
            "clusters": [{ "name": "test", "cluster": {
                "server": server, "certificate-authority-data": STANDARD.encode(self.issuer.pem()) } }],
            "users": [{ "name": name, "user": {
                "client-certificate-data": STANDARD.encode(&client.certificate),
                "client-key-data": STANDARD.encode(&client.key) } }],
            "contexts": [{ "name": "test", "context": { "cluster": "test", "user": name } }],
            "current-context": "test",
        });
        self.directory.write(&format!("{name}.kubeconfig"), format!("{config:#}"))
    }

    fn issue(&self, name: &str, mut params: CertificateParams) -> Result<Client, Error> {
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.use_authority_key_identifier_extension = true;
        let key = KeyPair::generate()?;
        let certificate = params.signed_by(&key, &self.issuer)?.pem();
        self.write(name, &certificate, &key)?;
        Ok(Client { certificate, key: key.serialize_pem() })
    }

    fn write(&self, name: &str, certificate: &str, key: &KeyPair) -> Result<(), Error> {
        self.directory.write(&format!("pki/{name}.crt"), certificate)?;
        self.directory.write(&format!("pki/{name}.key"), key.serialize_pem()).map(drop)
    }
}

/// A client certificate and its key, in PEM.
pub(crate) struct Client {
    certificate: String,
    key: String,
}

/// The key pair that signs service-account tokens: RSA, as in almost every cluster. The public half is in
/// `pki/service-accounts.pub`.
pub(crate) fn service_account_keys(directory: &RunDirectory) -> Result<(), Error> {
    let key = KeyPair::generate_for(&PKCS_RSA_SHA256)?;
    directory.write("pki/service-accounts.key", key.serialize_pem())?;
    directory.write("pki/service-accounts.pub", key.public_key_pem()).map(drop)
}
