//! Clusters that were added while we run: their rows, and the writes to them.

use http::Uri;
use rusqlite::{Connection, OptionalExtension as _, Row, params};
use serde::{Deserialize, Serialize};

use super::effect::Effect;
use super::rows::Columns;
use super::tokens::parsed;
use super::write::constraint_error;
use super::{Change, StoreError, integer};
use crate::clock::UnixMillis;
use crate::cluster::{
    Access, CertificateAuthority, ClusterId, ClusterRecord, Credential, Reach, ServiceAccountMode,
};
use crate::identity::{Group, Username};
use crate::token::TokenName;

/// Clusters that can be added.
pub const MAX_CLUSTERS: u32 = 1000;

/// What to change about a cluster; `None` leaves it as it is.
#[derive(Debug, Clone, Default)]
pub struct ClusterUpdate {
    /// What people call it.
    pub name: Option<String>,
    /// Where it is and how we prove ourselves there: always all of it.
    pub reach: Option<Reach>,
    /// What is done with the tokens of its service accounts.
    pub service_accounts: Option<ServiceAccountMode>,
    /// Who may use it at all.
    pub access: Option<Access>,
}

/// The lists of [`Access::Only`] as they are stored.
#[derive(Serialize, Deserialize)]
struct Admitted {
    users: Vec<String>,
    groups: Vec<String>,
}

/// All of them by id. One whose row is corrupt is left out: it must not stop the others.
pub(super) fn all(connection: &Connection) -> Result<Vec<ClusterRecord>, StoreError> {
    let mut statement = connection.prepare_cached(&format!("SELECT {COLUMNS} FROM clusters ORDER BY id"))?;
    let mut rows = statement.query([])?;
    let mut clusters = Vec::new();
    while let Some(row) = rows.next()? {
        match read(row) {
            Ok(cluster) => clusters.push(cluster),
            Err(corrupt) => tracing::error!(error = %corrupt, "a cluster can't be used"),
        }
    }
    Ok(clusters)
}

/// The cluster of this id.
pub(super) fn one(connection: &Connection, id: &ClusterId) -> Result<Option<ClusterRecord>, StoreError> {
    let mut statement =
        connection.prepare_cached(&format!("SELECT {COLUMNS} FROM clusters WHERE id = ?1"))?;
    statement.query_row([id.as_str()], |row| Ok(read(row))).optional()?.transpose()
}

/// Whether there is a cluster of this id, sound or corrupt.
pub(super) fn exists(connection: &Connection, id: &ClusterId) -> Result<bool, StoreError> {
    let sql = "SELECT EXISTS (SELECT 1 FROM clusters WHERE id = ?1)";
    Ok(connection.prepare_cached(sql)?.query_row([id.as_str()], |row| row.get(0))?)
}

pub(super) fn insert(connection: &Connection, cluster: &ClusterRecord) -> Result<Effect, StoreError> {
    let (is_retired, count): (bool, u32) = connection
        .prepare_cached(
            "SELECT EXISTS (SELECT 1 FROM retired_cluster_ids WHERE id = ?1), (SELECT count(*) FROM clusters)",
        )?
        .query_row([cluster.id.as_str()], |row| Ok((row.get(0)?, row.get(1)?)))?;
    if is_retired {
        return Err(StoreError::Exists);
    }
    if count >= MAX_CLUSTERS {
        return Err(StoreError::TooManyClusters);
    }
    let reach = &cluster.reach;
    connection
        .prepare_cached(
            "INSERT INTO clusters (id, name, endpoints, ca, tls_server_name, credential, service_accounts, access,
             created_at) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)",
        )?
        .execute(params![
            cluster.id.as_str(),
            cluster.name,
            endpoints(reach),
            reach.ca.as_ref().map(json),
            reach.tls_server_name,
            json(&reach.credential),
            cluster.service_accounts.as_str(),
            admitted(&cluster.access),
            integer(cluster.created_at.0),
        ])
        .map_err(constraint_error)?;
    Ok(changed(&cluster.id, 1))
}

pub(super) fn update(
    connection: &Connection,
    id: &ClusterId,
    update: &ClusterUpdate,
) -> Result<Effect, StoreError> {
    let reach = update.reach.as_ref();
    let rows = connection
        .prepare_cached(
            "UPDATE clusters SET name = coalesce(?2, name), service_accounts = coalesce(?3, service_accounts),
             access = iif(?4, ?5, access), endpoints = coalesce(?6, endpoints), ca = iif(?7, ?8, ca),
             tls_server_name = iif(?7, ?9, tls_server_name), credential = coalesce(?10, credential) WHERE id = ?1",
        )?
        .execute(params![
            id.as_str(),
            update.name,
            update.service_accounts.map(ServiceAccountMode::as_str),
            update.access.is_some(),
            update.access.as_ref().and_then(admitted),
            reach.map(endpoints),
            reach.is_some(),
            reach.and_then(|reach| reach.ca.as_ref().map(json)),
            reach.and_then(|reach| reach.tls_server_name.clone()),
            reach.map(|reach| json(&reach.credential)),
        ])
        .map_err(constraint_error)?;
    Ok(changed(id, rows))
}

/// Deletes a cluster and the tokens that are good for it alone. The cluster first: whoever hears of the changes in their
/// order lets nobody to it before the first token is forgotten.
pub(super) fn delete(connection: &Connection, id: &ClusterId) -> Result<Effect, StoreError> {
    let rows = connection.prepare_cached("DELETE FROM clusters WHERE id = ?1")?.execute([id.as_str()])?;
    if rows == 0 {
        return Ok(Effect::default());
    }
    connection.prepare_cached("INSERT INTO retired_cluster_ids (id) VALUES (?1)")?.execute([id.as_str()])?;
    let mut statement = connection.prepare_cached("DELETE FROM tokens WHERE cluster = ?1 RETURNING name")?;
    let names = statement.query_map([id.as_str()], |row| row.get::<_, String>(0))?;
    let tokens: Vec<TokenName> = parsed(&names.collect::<Result<Vec<_>, _>>()?);
    let mut effect = Effect::of_tokens(tokens);
    effect.changes.insert(0, Change::Cluster(id.clone()));
    effect.committed.count += 1;
    Ok(effect)
}

fn changed(id: &ClusterId, rows: usize) -> Effect {
    let changes = (rows > 0).then(|| Change::Cluster(id.clone()));
    Effect::new(changes.into_iter().collect(), rows)
}

fn endpoints(reach: &Reach) -> String {
    reach.endpoints.iter().map(ToString::to_string).collect::<serde_json::Value>().to_string()
}

/// None of these types has a key that is no text, which is all that could fail.
fn json(value: &impl Serialize) -> String {
    serde_json::to_string(value).unwrap_or_default()
}

fn admitted(access: &Access) -> Option<String> {
    match access {
        Access::Everyone => None,
        Access::Only { users, groups } => Some(json(&Admitted {
            users: users.iter().map(|user| user.as_str().to_owned()).collect(),
            groups: groups.iter().map(|group| group.as_str().to_owned()).collect(),
        })),
    }
}

fn read(row: &Row<'_>) -> Result<ClusterRecord, StoreError> {
    let columns = Columns::of(row, "cluster");
    Ok(ClusterRecord {
        id: columns.parsed(0, "id", |text| ClusterId::try_from(text).ok())?,
        name: columns.value(1, "name")?,
        reach: Reach {
            endpoints: columns.parsed(2, "endpoints", urls)?,
            ca: columns.parsed_if_any(3, "authority", |text| {
                serde_json::from_str::<CertificateAuthority>(text).ok()
            })?,
            tls_server_name: columns.value(4, "server name")?,
            credential: columns
                .parsed(5, "credential", |text| serde_json::from_str::<Credential>(text).ok())?,
        },
        service_accounts: columns.parsed(6, "mode of service accounts", ServiceAccountMode::from_text)?,
        // A list that can't be read must not become everybody.
        access: columns.parsed_if_any(7, "list of users", only)?.unwrap_or_default(),
        created_at: UnixMillis(columns.millis(8, "creation time")?),
    })
}

fn urls(text: &str) -> Option<Vec<Uri>> {
    let texts: Vec<String> = serde_json::from_str(text).ok()?;
    texts.iter().map(|text| text.parse().ok()).collect()
}

fn only(text: &str) -> Option<Access> {
    let admitted: Admitted = serde_json::from_str(text).ok()?;
    let users =
        admitted.users.iter().map(|name| Username::try_from(name.as_str()).ok()).collect::<Option<_>>()?;
    let groups =
        admitted.groups.iter().map(|name| Group::try_from(name.as_str()).ok()).collect::<Option<_>>()?;
    Some(Access::Only { users, groups })
}

const COLUMNS: &str =
    "id, name, endpoints, ca, tls_server_name, credential, service_accounts, access, created_at";
