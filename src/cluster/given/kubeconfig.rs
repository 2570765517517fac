//! A kubeconfig that was given by value: what is in it, and nothing that it points at.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use kube::config::{AuthInfo, Cluster as ClusterEntry, Kubeconfig};

use super::super::error::kubeconfig_reason;
use super::super::record::{Reach, SealedKind};
use super::{
    GivenError, KUBECONFIG, authorities, bounded, client_certificate, endpoint, server_name, token, wrong,
};
use crate::secret::Secret;

/// Takes a kubeconfig apart: what is no secret goes to `reach`, unless it was given beside the kubeconfig.
pub(super) fn take_apart(
    reach: &mut Reach,
    text: &Secret,
    context: Option<&str>,
) -> Result<(SealedKind, Secret), GivenError> {
    bounded(KUBECONFIG, text.expose())?;
    let kubeconfig =
        Kubeconfig::from_yaml(text.expose()).map_err(|error| wrong(KUBECONFIG, kubeconfig_reason(&error)))?;
    let (cluster, user) = chosen(&kubeconfig, context)?;
    check_entries(cluster, user)?;
    if reach.endpoints.is_empty() {
        let server = cluster.server.as_deref().ok_or_else(|| wrong(KUBECONFIG, "cluster has no server"))?;
        reach.endpoints.push(endpoint(KUBECONFIG, server)?);
    }
    if let (None, Some(data)) = (&reach.ca, &cluster.certificate_authority_data) {
        let pem = decoded(data, "certificate-authority-data")?;
        reach.ca = Some(authorities(KUBECONFIG, pem.expose().to_owned())?);
    }
    if let (None, Some(name)) = (&reach.tls_server_name, &cluster.tls_server_name) {
        reach.tls_server_name = Some(server_name(name.clone())?);
    }
    credential(user)
}

fn chosen<'k>(
    kubeconfig: &'k Kubeconfig,
    context: Option<&str>,
) -> Result<(&'k ClusterEntry, &'k AuthInfo), GivenError> {
    let wanted = context.or(kubeconfig.current_context.as_deref());
    let wanted = wanted.ok_or_else(|| wrong(KUBECONFIG, "it has no current-context, and none was chosen"))?;
    let context = kubeconfig.contexts.iter().find(|named| named.name == wanted);
    let context = context.and_then(|named| named.context.as_ref());
    let context = context.ok_or_else(|| wrong(KUBECONFIG, "the context is not in it"))?;
    let cluster = kubeconfig.clusters.iter().find(|named| named.name == context.cluster);
    let cluster = cluster.and_then(|named| named.cluster.as_ref());
    let user = context
        .user
        .as_ref()
        .and_then(|user| kubeconfig.auth_infos.iter().find(|named| named.name == *user)?.auth_info.as_ref());
    match (cluster, user) {
        (Some(cluster), Some(user)) => Ok((cluster, user)),
        (None, _) => Err(wrong(KUBECONFIG, "the context's cluster is not in it")),
        (_, None) => Err(wrong(KUBECONFIG, "the context's user is not in it")),
    }
}

/// Refuses what would read a file or run a program here, and what we do not do.
fn check_entries(cluster: &ClusterEntry, user: &AuthInfo) -> Result<(), GivenError> {
    let impersonates = user.impersonate.is_some()
        || user.impersonate_uid.is_some()
        || user.impersonate_groups.is_some()
        || user.impersonate_user_extra.is_some();
    let refused = [
        (user.exec.is_some(), "an exec plugin, which has to be in a file (kubeconfigFile)"),
        (user.auth_provider.is_some(), "auth-provider, which Kubernetes replaced by exec plugins"),
        (user.token_file.is_some(), "a tokenFile: give the token itself, or use tokenFile here"),
        (user.client_certificate.is_some() || user.client_key.is_some(), "a client certificate in a file"),
        (cluster.certificate_authority.is_some(), "a certificate-authority in a file"),
        (cluster.insecure_skip_tls_verify == Some(true), "insecure-skip-tls-verify"),
        (cluster.proxy_url.as_deref().is_some_and(|url| !url.is_empty()), "proxy-url"),
        (user.username.is_some() || user.password.is_some(), "a user name and password"),
        (impersonates, "as, as-uid, as-groups or as-user-extra, which are ours to send"),
    ];
    match refused.into_iter().find(|(is_there, _)| *is_there) {
        Some((_, what)) => Err(wrong(KUBECONFIG, format!("it uses {what}"))),
        None => Ok(()),
    }
}

fn credential(user: &AuthInfo) -> Result<(SealedKind, Secret), GivenError> {
    let secrets = Secrets::of(user);
    match (secrets.token, &user.client_certificate_data, secrets.key) {
        (Some(text), None, None) => Ok((SealedKind::Token, token(KUBECONFIG, &text)?)),
        (None, Some(certificate), Some(key)) => {
            let certificate = decoded(certificate, "client-certificate-data")?;
            client_certificate(certificate.expose(), &decoded(key.expose(), "client-key-data")?)
        }
        (Some(_), _, _) => Err(wrong(KUBECONFIG, "the user has a token and a client certificate")),
        (None, ..) => {
            Err(wrong(KUBECONFIG, "the user has neither a token nor a client certificate with key"))
        }
    }
}

/// The secrets of a user's entry, which the library's own type gives away to nobody but a serialiser.
#[derive(Default)]
struct Secrets {
    token: Option<Secret>,
    key: Option<Secret>,
}

impl Secrets {
    fn of(user: &AuthInfo) -> Self {
        let Ok(serde_json::Value::Object(mut fields)) = serde_json::to_value(user) else {
            return Self::default();
        };
        let mut take = |name: &str| match fields.remove(name) {
            Some(serde_json::Value::String(text)) => Some(Secret::new(text)),
            _ => None,
        };
        Self { token: take("token"), key: take("client-key-data") }
    }
}

fn decoded(base64: &str, what: &str) -> Result<Secret, GivenError> {
    let bytes = STANDARD.decode(base64.trim());
    let text = bytes.ok().and_then(|bytes| String::from_utf8(bytes).ok());
    text.map(Secret::new).ok_or_else(|| wrong(KUBECONFIG, format!("{what} is not PEM in base64")))
}
