//! What clients send to add and change clusters.

use serde::Deserialize;
use utoipa::ToSchema;

use super::object::endpoints;
use crate::api::body::SecretText;
use crate::api::error::ApiError;
use crate::authority::{ClusterChange, NewCluster};
use crate::cluster::{
    Access, CertificateAuthority, ClusterRecord, GivenCredential, GivenReach, ServiceAccountMode,
};
use crate::identity::{Group, Username};

/// A cluster as a client sends it. An empty text is none, as forms send it.
#[derive(Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = NewCluster)]
pub(in crate::api) struct ClusterRequest {
    /// What it is called, here and as a context in kubeconfigs.
    #[schema(min_length = 1, max_length = 63)]
    name: Option<String>,
    /// URLs of its apiservers; none with a kubeconfig, which has its own.
    #[schema(max_items = 16)]
    endpoints: Option<Vec<String>>,
    /// Authorities that sign the apiservers' certificates, PEM; the system's unless given.
    ca_cert: Option<String>,
    /// The name in the apiservers' certificates, if it is not that of the URL.
    tls_server_name: Option<String>,
    /// What this server proves itself with, in one of the ways.
    credential: Option<CredentialRequest>,
    /// What becomes of requests with its own service accounts' tokens.
    #[schema(value_type = Option<ServiceAccounts>)]
    service_accounts: Option<String>,
    /// Who may use it at all; everybody unless given.
    access: Option<AccessRequest>,
}

/// A credential, in one of the ways.
#[derive(Default, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = NewClusterCredential)]
struct CredentialRequest {
    /// A bearer token.
    #[schema(value_type = Option<String>, format = Password)]
    token: Option<SecretText>,
    /// A client certificate and its chain, PEM.
    client_certificate: Option<String>,
    /// The client certificate's key, PEM.
    #[schema(value_type = Option<String>, format = Password)]
    client_key: Option<SecretText>,
    /// The text of a kubeconfig with a token or a client certificate in it.
    #[schema(value_type = Option<String>, format = Password)]
    kubeconfig: Option<SecretText>,
    /// A file on the server with a bearer token.
    token_file: Option<String>,
    /// A file on the server with a client certificate and its chain, PEM.
    client_certificate_file: Option<String>,
    /// The file on the server with the client certificate's key, PEM.
    client_key_file: Option<String>,
    /// A kubeconfig on the server, which may have an exec plugin.
    kubeconfig_file: Option<String>,
    /// The context of the kubeconfig; its current one unless given.
    context: Option<String>,
}

/// Who may use a cluster.
#[derive(Deserialize, ToSchema)]
#[schema(as = NewClusterAccess)]
struct AccessRequest {
    /// Whether whoever is authenticated may.
    everybody: Option<bool>,
    /// Users who may, by their names.
    #[schema(max_items = 512)]
    users: Option<Vec<String>>,
    /// Groups whose members may.
    #[schema(max_items = 512)]
    groups: Option<Vec<String>>,
}

/// What becomes of requests with a service account's token.
#[derive(ToSchema)]
#[schema(rename_all = "lowercase")]
#[expect(dead_code, reason = "for the description: what is sent is read as a text and refused by name")]
enum ServiceAccounts {
    /// They are checked, and passed on by impersonation.
    Impersonate,
    /// They are checked, and passed on with their own token.
    Passthrough,
    /// They are refused.
    Deny,
}

impl ClusterRequest {
    /// The cluster that is to be added.
    pub(super) fn into_new_cluster(mut self) -> Result<NewCluster, ApiError> {
        let name = given(self.name.take()).ok_or_else(|| missing("name"))?;
        let service_accounts = service_accounts(self.service_accounts.take())?.unwrap_or_default();
        let access = self.access.take().map(AccessRequest::parse).transpose()?.unwrap_or_default();
        Ok(NewCluster { name, reach: self.into_reach()?, service_accounts, access })
    }

    /// Where the cluster is, and what we prove ourselves with there.
    pub(super) fn into_reach(self) -> Result<GivenReach, ApiError> {
        let credential = self.credential.unwrap_or_default().parse()?;
        Ok(GivenReach {
            endpoints: self.endpoints.unwrap_or_default(),
            ca: given(self.ca_cert),
            tls_server_name: given(self.tls_server_name),
            credential: credential.ok_or_else(|| missing("credential"))?,
        })
    }

    /// What is to be changed about a cluster. Clients send whole resources back: what is as it was is no change.
    pub(super) fn into_change(self, now: &ClusterRecord) -> Result<ClusterChange, ApiError> {
        let credential = self.credential.unwrap_or_default().parse()?;
        let ca_now = match &now.reach.ca {
            Some(CertificateAuthority::Pem(pem)) => Some(pem.clone()),
            Some(CertificateAuthority::File(_)) | None => None,
        };
        let without_slash = |urls: Vec<String>| -> Vec<String> {
            urls.into_iter().map(|url| url.trim_end_matches('/').to_owned()).collect()
        };
        let new_endpoints = self.endpoints.map(without_slash).filter(|urls| *urls != endpoints(now));
        let new_ca = self.ca_cert.map(none_if_empty).filter(|ca| *ca != ca_now);
        let new_name =
            self.tls_server_name.map(none_if_empty).filter(|name| *name != now.reach.tls_server_name);
        let is_moved = new_endpoints.is_some() || new_ca.is_some() || new_name.is_some();
        let reach = match credential {
            // It brings its own.
            Some(credential @ GivenCredential::Kubeconfig { .. }) => Some(GivenReach {
                endpoints: new_endpoints.unwrap_or_default(),
                ca: new_ca.flatten(),
                tls_server_name: new_name.flatten(),
                credential,
            }),
            Some(credential) => Some(GivenReach {
                endpoints: new_endpoints.unwrap_or_else(|| endpoints(now)),
                ca: new_ca.unwrap_or(ca_now),
                tls_server_name: new_name.unwrap_or_else(|| now.reach.tls_server_name.clone()),
                credential,
            }),
            None if is_moved => {
                let message = "whoever changes where a credential is sent has to give it again";
                return Err(ApiError::invalid("MissingRequired", message).on("credential"));
            }
            None => None,
        };
        Ok(ClusterChange {
            name: given(self.name).filter(|name| *name != now.name),
            reach,
            service_accounts: service_accounts(self.service_accounts)?
                .filter(|mode| *mode != now.service_accounts),
            access: self.access.map(AccessRequest::parse).transpose()?.filter(|access| *access != now.access),
        })
    }
}

impl CredentialRequest {
    /// `None` if none was given; a client that sends a whole resource back sends only the kind.
    fn parse(self) -> Result<Option<GivenCredential>, ApiError> {
        let secret =
            |text: Option<SecretText>| text.map(|text| text.0).filter(|text| !text.expose().is_empty());
        let path = |text: Option<String>| given(text).map(Into::into);
        let context = given(self.context);
        let (token, kubeconfig) = (secret(self.token), secret(self.kubeconfig));
        let ways = [
            token.map(GivenCredential::Token),
            pair("clientKey", given(self.client_certificate), secret(self.client_key))?
                .map(|(certificate, key)| GivenCredential::ClientCertificate { certificate, key }),
            kubeconfig.map(|text| GivenCredential::Kubeconfig { text, context: context.clone() }),
            path(self.token_file).map(GivenCredential::TokenFile),
            pair("clientKeyFile", path(self.client_certificate_file), path(self.client_key_file))?
                .map(|(certificate, key)| GivenCredential::ClientCertificateFiles { certificate, key }),
            path(self.kubeconfig_file).map(|path| GivenCredential::KubeconfigFile { path, context }),
        ];
        let mut found = ways.into_iter().flatten();
        let first = found.next();
        if found.next().is_some() {
            let message = "a cluster has one credential, and several were given";
            return Err(ApiError::invalid("InvalidOption", message).on("credential"));
        }
        Ok(first)
    }
}

impl AccessRequest {
    fn parse(self) -> Result<Access, ApiError> {
        let (users, groups) = (self.users.unwrap_or_default(), self.groups.unwrap_or_default());
        let is_named = !users.is_empty() || !groups.is_empty();
        if self.everybody == Some(true) && is_named {
            let message = "everybody may use it, or those who are named may";
            return Err(ApiError::invalid("InvalidOption", message).on("access"));
        }
        if self.everybody.unwrap_or(!is_named) {
            return Ok(Access::Everyone);
        }
        if users.len() > MAX_NAMES || groups.len() > MAX_NAMES {
            let message = format!("{MAX_NAMES} users and as many groups can be named");
            return Err(ApiError::invalid("MaxLimitExceeded", message).on("access"));
        }
        let users = users.iter().map(|name| Username::try_from(name.as_str())).collect::<Result<_, _>>();
        let groups = groups.iter().map(|name| Group::try_from(name.as_str())).collect::<Result<_, _>>();
        let wrong = |error| ApiError::invalid_name("access", error);
        Ok(Access::Only { users: users.map_err(wrong)?, groups: groups.map_err(wrong)? })
    }
}

fn pair<A, B>(field: &'static str, one: Option<A>, other: Option<B>) -> Result<Option<(A, B)>, ApiError> {
    match (one, other) {
        (Some(one), Some(other)) => Ok(Some((one, other))),
        (None, None) => Ok(None),
        _ => {
            let message = "a client certificate and its key belong together";
            Err(ApiError::invalid("MissingRequired", message).on(field))
        }
    }
}

fn service_accounts(text: Option<String>) -> Result<Option<ServiceAccountMode>, ApiError> {
    let Some(text) = given(text) else { return Ok(None) };
    let unknown = || {
        let message = "serviceAccounts must be impersonate, passthrough or deny";
        ApiError::invalid("InvalidOption", message).on("serviceAccounts")
    };
    ServiceAccountMode::from_text(&text).map(Some).ok_or_else(unknown)
}

/// An empty field of a form means none.
fn given(text: Option<String>) -> Option<String> {
    text.filter(|text| !text.trim().is_empty())
}

fn none_if_empty(text: String) -> Option<String> {
    given(Some(text))
}

fn missing(field: &'static str) -> ApiError {
    ApiError::invalid("MissingRequired", format!("{field} is required")).on(field)
}

/// Users, and groups, that can be named.
const MAX_NAMES: usize = 512;
