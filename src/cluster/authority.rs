//! Certificates of authorities, read strictly: a file that breaks off is one that is still being written, and what there is
//! of it must not pass for all of it. The library reads as far as it can.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use kube::config::Cluster;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;

use super::error::ClusterError;

/// The certificates of a text in PEM; at least one.
pub(super) fn certificates(pem: &[u8]) -> Result<Vec<Vec<u8>>, ClusterError> {
    let found = CertificateDer::pem_slice_iter(pem).map(|found| found.map(|found| found.as_ref().to_vec()));
    let found = found.collect::<Result<Vec<_>, _>>();
    let found = found.map_err(|_| ClusterError::Tls("not certificates in PEM".to_owned()))?;
    if found.is_empty() { Err(none()) } else { Ok(found) }
}

/// That there is no certificate where there should be one: with such trust no connection can be made at all.
pub(super) fn none() -> ClusterError {
    ClusterError::Tls("no certificate of an authority".to_owned())
}

/// Puts the certificates of the file that a kubeconfig's cluster names in the place of the name, if the file is whole.
pub(super) fn inline(cluster: &mut Cluster) -> Result<(), ClusterError> {
    if cluster.certificate_authority_data.is_some() {
        return Ok(());
    }
    if let Some(path) = cluster.certificate_authority.take() {
        let pem = std::fs::read(&path).map_err(|error| ClusterError::File(path, error))?;
        certificates(&pem)?;
        cluster.certificate_authority_data = Some(STANDARD.encode(pem));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bundle_that_breaks_off_is_none() {
        let pem = |name: &str| rcgen::generate_simple_self_signed([name.to_owned()]).unwrap().cert.pem();
        let (old, new) = (pem("old"), pem("new"));
        let bundle = format!("# old\n{old}# new\n{new}");
        assert_eq!(certificates(bundle.as_bytes()).unwrap().len(), 2);
        for bytes in [0, 100, old.len() / 2, old.len() + 40, bundle.len() - 10] {
            assert!(certificates(&bundle.as_bytes()[..bytes]).is_err(), "the first {bytes} bytes are taken");
        }
    }
}
