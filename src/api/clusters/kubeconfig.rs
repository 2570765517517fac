//! Kubeconfigs: a context a cluster, with one token for all of them, one for each, or a call of the credential plugin.

use std::sync::Arc;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::api::body::SecretText;
use crate::api::error::ApiError;
use crate::api::{Api, Caller};
use crate::authority::Issued;
use crate::cluster::Member;
use crate::identity::ClusterId;
use crate::kube::{Kubeconfig, KubeconfigContext, KubeconfigCredential};
use crate::setting::Settings;
use crate::token::{Bearer, TokenName};

/// A kubeconfig.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = GenerateKubeConfigOutput)]
pub(super) struct KubeconfigObject {
    /// Always `generateKubeConfigOutput`.
    #[serde(rename = "type")]
    object: &'static str,
    /// Always `generateKubeConfigOutput`.
    base_type: &'static str,
    /// Its text, in YAML.
    config: String,
    /// The token in it, if there is one; the first of several.
    token_name: Option<String>,
    /// The tokens in it.
    token_names: Vec<String>,
}

/// Which token goes into a kubeconfig.
#[derive(Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(super) struct KubeconfigRequest {
    /// A kubeconfig token to use again, if more than half of its life is left; a new one is made otherwise.
    #[schema(value_type = Option<String>, format = Password)]
    reuse: Option<SecretText>,
    /// Whether the token is to be good for this cluster alone.
    cluster_scoped: Option<bool>,
}

/// Which clusters are in a kubeconfig, and with which tokens.
#[derive(Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = GenerateKubeconfigsInput)]
pub(in crate::api) struct KubeconfigsRequest {
    /// Their ids or names; all that the caller may use unless given, which for administrators need not be all they see.
    #[schema(max_items = 1000)]
    clusters: Option<Vec<String>>,
    /// The one whose context is the current one, by id or name; the first unless given.
    current_cluster: Option<String>,
    /// Whether each gets a token that is good for it alone, instead of one for all.
    cluster_scoped: Option<bool>,
    /// Kubeconfig tokens to use again, if more than half of their life is left; new ones are made otherwise.
    #[schema(value_type = Option<Vec<String>>, max_items = 100)]
    reuse: Option<Vec<SecretText>>,
}

/// What is to be in a kubeconfig.
struct Plan {
    /// Not empty.
    clusters: Vec<Arc<Member>>,
    /// The name of the current one.
    current: String,
    scoped: bool,
    reuse: Vec<Bearer>,
}

/// A kubeconfig for one cluster.
pub(super) async fn of_one(
    api: &Api,
    caller: &Caller,
    id: &ClusterId,
    request: KubeconfigRequest,
) -> Result<KubeconfigObject, ApiError> {
    let member = api.authority.cluster(caller, id).await?;
    let current = member.record.name.clone();
    let scoped = request.cluster_scoped.unwrap_or(false);
    let reuse = bearers(request.reuse.into_iter().collect())?;
    make(api, caller, Plan { clusters: vec![member], current, scoped, reuse }).await
}

/// A kubeconfig for several clusters.
pub(super) async fn of_several(
    api: &Api,
    caller: &Caller,
    request: KubeconfigsRequest,
) -> Result<KubeconfigObject, ApiError> {
    let all = api.authority.clusters(caller).await?;
    let find = |text: &str, field| {
        let is_meant =
            |member: &&Arc<Member>| member.record.id.as_str() == text || member.record.name == text;
        let none =
            || ApiError::invalid("InvalidOption", format!("there is no cluster {text:.80?}")).on(field);
        all.iter().find(is_meant).cloned().ok_or_else(none)
    };
    let asked = request.clusters.filter(|asked| !asked.is_empty());
    let mut clusters: Vec<Arc<Member>> = match &asked {
        Some(asked) => asked.iter().map(|text| find(text, "clusters")).collect::<Result<_, _>>()?,
        None => api.authority.usable_clusters(caller).await?,
    };
    // By id or by name or by both: each is there once.
    let mut seen = Vec::new();
    clusters.retain(|member| {
        let is_new = !seen.contains(&member.record.id);
        seen.push(member.record.id.clone());
        is_new
    });
    let current = request.current_cluster.filter(|text| !text.is_empty());
    let current = current.map(|text| find(&text, "currentCluster")).transpose()?;
    let Some(current) = current.as_ref().or(clusters.first()) else {
        return Err(ApiError::invalid("InvalidOption", "there is no cluster that you may use").on("clusters"));
    };
    if !seen.contains(&current.record.id) {
        let message = "the current cluster is not one of those that were asked for";
        return Err(ApiError::invalid("InvalidOption", message).on("currentCluster"));
    }
    let current = current.record.name.clone();
    let reuse = bearers(request.reuse.unwrap_or_default())?;
    make(api, caller, Plan { clusters, current, scoped: request.cluster_scoped.unwrap_or(false), reuse })
        .await
}

async fn make(api: &Api, caller: &Caller, plan: Plan) -> Result<KubeconfigObject, ApiError> {
    let settings = api.authority.settings();
    if !settings.kubeconfig_generate_token() {
        let contexts: Vec<_> = plan.clusters.into_iter().map(|member| (member, None)).collect();
        return Ok(KubeconfigObject::new(&settings, &plan.current, &contexts, &[]));
    }
    let issued = tokens(api, caller, &plan).await?;
    let names: Vec<_> = issued.iter().map(|issued| issued.record.name.clone()).collect();
    // One for all of them, or as many as there are.
    let bearers = issued.iter().map(|issued| Some(issued.bearer.clone())).cycle();
    let contexts: Vec<_> = plan.clusters.iter().cloned().zip(bearers).collect();
    Ok(KubeconfigObject::new(&settings, &plan.current, &contexts, &names))
}

/// The tokens: one, or one a cluster. If one can't be made, none is left behind.
async fn tokens(api: &Api, caller: &Caller, plan: &Plan) -> Result<Vec<Issued>, ApiError> {
    if !plan.scoped {
        return Ok(vec![api.authority.kubeconfig_token(caller, &plan.reuse, None).await?]);
    }
    let mut issued: Vec<Issued> = Vec::with_capacity(plan.clusters.len());
    for member in &plan.clusters {
        match api.authority.kubeconfig_token(caller, &plan.reuse, Some(&member.record.id)).await {
            Ok(one) => issued.push(one),
            Err(error) => {
                for made in issued.into_iter().filter(|made| !made.reused) {
                    // The first error is the one to report.
                    let _ = api.authority.delete_token(caller, &made.record.name).await;
                }
                return Err(error.into());
            }
        }
    }
    Ok(issued)
}

/// Tokens to use again. An empty field of a form means none.
fn bearers(texts: Vec<SecretText>) -> Result<Vec<Bearer>, ApiError> {
    if texts.len() > MAX_REUSED {
        let message = format!("{MAX_REUSED} tokens can be used again at once");
        return Err(ApiError::invalid("MaxLimitExceeded", message).on("reuse"));
    }
    let given = texts.into_iter().filter(|text| !text.0.expose().is_empty());
    let bearers = given.map(|text| Bearer::try_from(text.0.expose())).collect::<Result<_, _>>();
    bearers.map_err(|_| ApiError::invalid("InvalidFormat", "reuse is not a token").on("reuse"))
}

impl KubeconfigObject {
    fn new(
        settings: &Settings,
        current: &str,
        clusters: &[(Arc<Member>, Option<Bearer>)],
        tokens: &[TokenName],
    ) -> Self {
        let texts: Vec<_> = clusters.iter().map(|(_, bearer)| bearer.as_ref().map(Bearer::expose)).collect();
        let contexts = clusters.iter().zip(&texts).map(|((member, _), text)| {
            let id = member.record.id.as_str();
            KubeconfigContext {
                name: &member.record.name,
                server: format!("{}/k8s/clusters/{id}", settings.server_url()),
                credential: match text {
                    Some(text) => KubeconfigCredential::Token(text.expose()),
                    None => KubeconfigCredential::Plugin { server: settings.server_url(), cluster: id },
                },
            }
        });
        let kubeconfig = Kubeconfig {
            contexts: contexts.collect(),
            current,
            certificate_authority: Some(settings.ca_certificates()).filter(|pem| !pem.is_empty()),
        };
        Self {
            object: "generateKubeConfigOutput",
            base_type: "generateKubeConfigOutput",
            config: kubeconfig.to_yaml(),
            token_name: tokens.first().map(TokenName::to_string),
            token_names: tokens.iter().map(TokenName::to_string).collect(),
        }
    }
}

/// Tokens that can be used again in one kubeconfig: each may cost a slow hash.
const MAX_REUSED: usize = 100;
