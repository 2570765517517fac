//! Throw-away certificates for the stub, and the trust that goes with a certificate authority's file.

use std::sync::Arc;

use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DnType, ExtendedKeyUsagePurpose, IsCa, KeyPair,
};
use rustls::client::WantsClientCert;
use rustls::crypto::{CryptoProvider, aws_lc_rs};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{CipherSuite, ClientConfig, ConfigBuilder, RootCertStore, ServerConfig};

/// A server's TLS configuration and the authority that vouches for it.
pub(crate) struct Identity {
    pub(crate) server: ServerConfig,
    pub(crate) ca_pem: String,
}

impl Identity {
    /// A fresh authority and a certificate of it for 127.0.0.1.
    pub(crate) fn for_loopback() -> Self {
        Self::for_names(&["127.0.0.1", "localhost"])
    }

    /// A fresh authority and a certificate of it for these names.
    pub(crate) fn for_names(names: &[&str]) -> Self {
        let mut ca = CertificateParams::new(Vec::new()).unwrap();
        ca.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let ca = CertifiedIssuer::self_signed(ca, KeyPair::generate().unwrap()).unwrap();
        let mut leaf =
            CertificateParams::new(names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>()).unwrap();
        leaf.insert_extended_key_usage(ExtendedKeyUsagePurpose::ServerAuth);
        let key = KeyPair::generate().unwrap();
        let certificate = leaf.signed_by(&key, &ca).unwrap();
        let key = PrivateKeyDer::try_from(key.serialize_der()).unwrap();
        let server = ServerConfig::builder_with_provider(provider())
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(vec![certificate.der().clone()], key)
            .unwrap();
        Self { server, ca_pem: ca.pem() }
    }
}

/// An authority that issues one certificate after the other.
pub(crate) struct Authority(CertifiedIssuer<'static, KeyPair>);

/// A certificate and its key.
#[derive(Clone)]
pub(crate) struct Issued {
    pub(crate) certificate_pem: String,
    pub(crate) certificate_der: Vec<u8>,
    pub(crate) key_pem: String,
}

impl Authority {
    pub(crate) fn new() -> Self {
        let mut ca = CertificateParams::new(Vec::new()).unwrap();
        // With the name of what it issues, OpenSSL would take that for self-signed.
        ca.distinguished_name.push(DnType::CommonName, "an authority");
        ca.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        Self(CertifiedIssuer::self_signed(ca, KeyPair::generate().unwrap()).unwrap())
    }

    pub(crate) fn pem(&self) -> String {
        self.0.pem()
    }

    /// A server's certificate.
    pub(crate) fn issue(&self, names: &[&str]) -> Issued {
        let names: Vec<_> = names.iter().map(|name| (*name).to_owned()).collect();
        let mut leaf = CertificateParams::new(names).unwrap();
        leaf.insert_extended_key_usage(ExtendedKeyUsagePurpose::ServerAuth);
        self.sign(&leaf)
    }

    /// A client's certificate, by which an apiserver knows it as the user of this name.
    pub(crate) fn issue_to(&self, user: &str) -> Issued {
        let mut leaf = CertificateParams::new(Vec::new()).unwrap();
        leaf.distinguished_name.push(DnType::CommonName, user);
        leaf.insert_extended_key_usage(ExtendedKeyUsagePurpose::ClientAuth);
        self.sign(&leaf)
    }

    fn sign(&self, leaf: &CertificateParams) -> Issued {
        let key = KeyPair::generate().unwrap();
        let certificate = leaf.signed_by(&key, &self.0).unwrap();
        Issued {
            certificate_pem: certificate.pem(),
            certificate_der: certificate.der().to_vec(),
            key_pem: key.serialize_pem(),
        }
    }
}

/// What a client needs to trust servers of the authority in `ca_pem`, speaking `alpn`.
pub(crate) fn client(ca_pem: &[u8], alpn: &[&str]) -> Arc<ClientConfig> {
    let mut config = trusting(ca_pem).with_no_client_auth();
    config.alpn_protocols = alpn.iter().map(|name| name.as_bytes().to_vec()).collect();
    Arc::new(config)
}

/// The same for one that shows its own certificate and speaks HTTP/1.1.
pub(crate) fn client_showing(ca_pem: &[u8], shown: &Issued) -> Arc<ClientConfig> {
    let key = PrivateKeyDer::from_pem_slice(shown.key_pem.as_bytes()).unwrap();
    let chain = vec![CertificateDer::from(shown.certificate_der.clone())];
    Arc::new(trusting(ca_pem).with_client_auth_cert(chain, key).unwrap())
}

fn trusting(ca_pem: &[u8]) -> ConfigBuilder<ClientConfig, WantsClientCert> {
    let mut roots = RootCertStore::empty();
    for certificate in CertificateDer::pem_slice_iter(ca_pem) {
        roots.add(certificate.unwrap()).unwrap();
    }
    ClientConfig::builder_with_provider(provider())
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
}

/// Offers first what Go's clients offer first, which is what most clients of a cluster are.
pub(crate) fn provider() -> Arc<CryptoProvider> {
    let mut provider = aws_lc_rs::default_provider();
    provider.cipher_suites.sort_by_key(|suite| suite.suite() != CipherSuite::TLS13_AES_128_GCM_SHA256);
    Arc::new(provider)
}
