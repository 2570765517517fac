//! `/v3/settings`: what administrators decide for everybody.

use std::collections::BTreeMap;

use axum::Json;
use axum::extract::{Path, State};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::body::JsonBody;
use super::collection::{Collection, Listing};
use super::error::{ApiError, ErrorObject};
use super::query::Query;
use super::request::{By, Links};
use super::{Api, schema};
use crate::setting::{Setting, Settings, Source};

/// A setting.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = Setting)]
pub(super) struct SettingObject {
    /// Always `setting`.
    #[serde(rename = "type")]
    object: &'static str,
    /// Always `setting`.
    base_type: &'static str,
    /// The name.
    id: &'static str,
    name: &'static str,
    /// What counts.
    value: String,
    /// What counts if nobody sets it.
    default: String,
    /// Whether somebody has set it.
    customized: bool,
    /// Where the value comes from: `env`, `db` or `default`.
    source: &'static str,
    /// What its value counts, or is.
    unit: &'static str,
    /// What it decides.
    description: &'static str,
    /// What the caller can do with it: `self`, `update`.
    links: BTreeMap<&'static str, String>,
    actions: BTreeMap<&'static str, String>,
}

/// A new value.
#[derive(Debug, Deserialize, ToSchema)]
pub(super) struct SettingRequest {
    /// Empty to set it back to the default.
    value: String,
}

/// New values.
#[derive(Debug, Deserialize, ToSchema)]
pub(super) struct SettingsRequest {
    /// By the name of the setting; empty to set it back to the default.
    values: BTreeMap<String, String>,
}

/// Settings, all of them.
#[utoipa::path(get, path = "/v3/settings", responses((status = 200, body = Collection<SettingObject>)))]
pub(super) async fn list(
    State(api): State<Api>,
    By(caller): By,
    links: Links,
    query: Query,
) -> Result<Json<Collection<SettingObject>>, ApiError> {
    let administrator = api.is_administrator(&caller).await?;
    collection(&api, &links, &query, administrator)
}

/// Sets several together, or none: some depend on each other.
#[utoipa::path(
    post, path = "/v3/settings",
    request_body(content = SettingsRequest),
    responses(
        (status = 200, description = "All settings", body = Collection<SettingObject>),
        (status = 405, description = "The environment has fixed one of them", body = ErrorObject),
    )
)]
pub(super) async fn set_many(
    State(api): State<Api>,
    By(caller): By,
    links: Links,
    query: Query,
    body: JsonBody,
) -> Result<Json<Collection<SettingObject>>, ApiError> {
    match query.action()? {
        Some("set") => {}
        Some(_) => return Err(ApiError::action_not_available()),
        None => return Err(ApiError::action_missing()),
    }
    let SettingsRequest { values } = body.parse()?;
    let known = |(name, value): (String, String)| match Setting::from_name(&name) {
        Some(setting) => Ok((setting, Some(value))),
        None => {
            Err(ApiError::invalid("InvalidOption", format!("there is no setting {name:.80?}")).on("values"))
        }
    };
    let changes = values.into_iter().map(known).collect::<Result<_, _>>()?;
    api.authority.set_settings(&caller, changes).await?;
    collection(&api, &links, &query, true)
}

/// One setting. That of the certificate authorities needs no credential: who does not trust the server yet has none that
/// may be shown to it.
#[utoipa::path(get, path = "/v3/settings/{id}", responses((status = 200, body = SettingObject)))]
pub(super) async fn show(
    State(api): State<Api>,
    by: Result<By, ApiError>,
    links: Links,
    Path(name): Path<String>,
) -> Result<Json<SettingObject>, ApiError> {
    let setting = Setting::from_name(&name);
    let administrator = match by {
        Ok(By(caller)) => api.is_administrator(&caller).await?,
        Err(_) if setting == Some(Setting::CaCertificates) => false,
        Err(refusal) => return Err(refusal),
    };
    match setting {
        Some(setting) => {
            Ok(Json(SettingObject::new(&links, setting, &api.authority.settings(), administrator)))
        }
        None if name == SERVER_VERSION => Ok(Json(SettingObject::server_version(&links))),
        None => Err(ApiError::not_found()),
    }
}

/// Sets one; for administrators.
#[utoipa::path(
    put, path = "/v3/settings/{id}",
    request_body(content = SettingRequest),
    responses(
        (status = 200, body = SettingObject),
        (status = 405, description = "The environment has fixed it", body = ErrorObject),
    )
)]
pub(super) async fn set(
    State(api): State<Api>,
    By(caller): By,
    links: Links,
    Path(name): Path<String>,
    body: JsonBody,
) -> Result<Json<SettingObject>, ApiError> {
    let Some(setting) = Setting::from_name(&name) else {
        let is_fixed = name == SERVER_VERSION;
        return Err(if is_fixed { ApiError::read_only("it can't be set") } else { ApiError::not_found() });
    };
    let SettingRequest { value } = body.parse()?;
    let settings = api.authority.set_settings(&caller, vec![(setting, Some(value))]).await?;
    Ok(Json(SettingObject::new(&links, setting, &settings, true)))
}

fn collection(
    api: &Api,
    links: &Links,
    query: &Query,
    administrator: bool,
) -> Result<Json<Collection<SettingObject>>, ApiError> {
    let settings = api.authority.settings();
    let object = |setting| SettingObject::new(links, setting, &settings, administrator);
    let listing = Listing { schema: &schema::SETTING, links, query, administrator };
    listing.whole(Setting::ALL.into_iter().map(object).collect()).map(Json)
}

impl SettingObject {
    fn new(links: &Links, setting: Setting, settings: &Settings, administrator: bool) -> Self {
        let source = settings.source(setting);
        let url = links.to_one("/v3/settings", setting.name());
        let mut links = BTreeMap::from([("self", url.clone())]);
        if administrator && source != Source::Env {
            links.insert("update", url);
        }
        Self {
            object: "setting",
            base_type: "setting",
            id: setting.name(),
            name: setting.name(),
            value: settings.value(setting).to_owned(),
            default: settings.default_of(setting).to_owned(),
            customized: source == Source::Store,
            source: source.as_str(),
            unit: setting.unit(),
            description: setting.description(),
            links,
            actions: BTreeMap::new(),
        }
    }

    /// Rancher's Terraform provider asks for it before anything else.
    fn server_version(links: &Links) -> Self {
        Self {
            object: "setting",
            base_type: "setting",
            id: SERVER_VERSION,
            name: SERVER_VERSION,
            value: RANCHER_VERSION.to_owned(),
            default: RANCHER_VERSION.to_owned(),
            customized: false,
            source: Source::Default.as_str(),
            unit: "version",
            description: "The version of Rancher whose API this one follows; it can't be set",
            links: BTreeMap::from([("self", links.to_one("/v3/settings", SERVER_VERSION))]),
            actions: BTreeMap::new(),
        }
    }
}

const SERVER_VERSION: &str = "server-version";
const RANCHER_VERSION: &str = "v2.8.0";
