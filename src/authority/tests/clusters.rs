//! Who may add clusters, and what becomes of their credentials.

use super::super::testing::{CapturedLog, House};
use super::super::{AuthorityError, ClusterChange, NewCluster, NewToken, Rotation};
use crate::cluster::{Access, GivenCredential, GivenReach, ServiceAccountMode};
use crate::identity::ClusterId;
use crate::secret::Secret;
use crate::store::{AuditFilter, AuditQuery};
use crate::token::TokenKind;

const TOKEN: &str = "hunter2-hunter2-hunter2";

fn reach(endpoint: &str) -> GivenReach {
    let credential = GivenCredential::Token(Secret::new(TOKEN));
    GivenReach { endpoints: vec![endpoint.to_owned()], ca: None, tls_server_name: None, credential }
}

fn new_cluster(name: &str) -> NewCluster {
    NewCluster {
        name: name.to_owned(),
        reach: reach("https://10.0.0.1:6443"),
        service_accounts: ServiceAccountMode::Impersonate,
        access: Access::Everyone,
    }
}

#[tokio::test]
async fn clusters_are_added_changed_and_deleted_by_administrators_alone() {
    let house = House::new().await;
    let (authority, root, alice) = (&house.authority, &house.root, &house.alice);
    let refused = authority.create_cluster(alice, new_cluster("prod")).await;
    assert!(matches!(refused, Err(AuthorityError::NotAdministrator)));
    let id = authority.create_cluster(root, new_cluster("prod")).await.unwrap().record.id.clone();
    assert!(id.is_generated());
    let rename = |name: &str| ClusterChange { name: Some(name.to_owned()), ..ClusterChange::default() };
    let refused = authority.update_cluster(alice, &id, rename("mine")).await;
    assert!(matches!(refused, Err(AuthorityError::NotAdministrator)));
    let refused = authority.delete_cluster(alice, &id).await;
    assert!(matches!(refused, Err(AuthorityError::NotAdministrator)));
    let renamed = authority.update_cluster(root, &id, rename("production")).await.unwrap();
    assert_eq!(renamed.record.name, "production");
    authority.delete_cluster(root, &id).await.unwrap();
    let gone = authority.delete_cluster(root, &id).await;
    assert!(matches!(gone, Err(AuthorityError::NotFound)));

    let filter = AuditFilter { cluster: Some(id), ..AuditFilter::default() };
    let query = AuditQuery { filter, descending: false, ..AuditQuery::default() };
    let events = house.store.audit_events(query).await.unwrap().items;
    let told: Vec<_> =
        events.iter().map(|record| (record.event.action.as_str(), record.event.outcome.as_str())).collect();
    let expected = [
        ("cluster.create", "success"),
        ("cluster.update", "refused"),
        ("cluster.delete", "refused"),
        ("cluster.update", "success"),
        ("cluster.delete", "success"),
    ];
    assert_eq!(told, expected);
}

#[tokio::test]
async fn a_credential_given_by_value_is_in_no_file_of_the_store_and_in_no_log() {
    let log = CapturedLog::start();
    let house = House::new().await;
    let (authority, root) = (&house.authority, &house.root);
    let created = authority.create_cluster(root, new_cluster("prod")).await.unwrap();
    let change = ClusterChange { reach: Some(reach("https://10.0.0.2:6443")), ..ClusterChange::default() };
    authority.update_cluster(root, &created.record.id, change).await.unwrap();
    assert!(created.record.reach.is_sealed() && !format!("{created:?}").contains("hunter2"));
    assert!(!log.text().contains("hunter2"), "{}", log.text());
    for entry in house.dir.path().read_dir().unwrap() {
        let bytes = std::fs::read(entry.unwrap().path()).unwrap();
        assert!(!bytes.windows(7).any(|window| window == b"hunter2"));
    }
}

#[tokio::test]
async fn no_new_key_takes_the_place_of_one_that_is_missing() {
    let house = House::new().await;
    let (authority, root) = (&house.authority, &house.root);
    authority.create_cluster(root, new_cluster("first")).await.unwrap();
    let key = house.dir.path().join("cluster.key");
    let text = std::fs::read(&key).unwrap();
    std::fs::remove_file(&key).unwrap();
    let refused = authority.create_cluster(root, new_cluster("second")).await;
    assert!(matches!(refused, Err(AuthorityError::ClusterKeyMissing(_))), "{refused:?}");
    assert!(!key.exists());
    std::fs::write(&key, text).unwrap();
    authority.create_cluster(root, new_cluster("second")).await.unwrap();
}

#[tokio::test]
async fn a_cluster_that_can_not_be_is_refused_with_the_field_that_is_wrong() {
    let house = House::new().await;
    let (authority, root) = (&house.authority, &house.root);
    authority.create_cluster(root, new_cluster("taken")).await.unwrap();
    let refused = authority.create_cluster(root, new_cluster("taken")).await;
    assert!(matches!(refused, Err(AuthorityError::ClusterNameTaken)), "{refused:?}");
    for (new, field) in [
        (new_cluster(" prod"), "name"),
        (NewCluster { reach: reach("http://10.0.0.1"), ..new_cluster("prod") }, "endpoints"),
    ] {
        let refused = authority.create_cluster(root, new).await;
        assert!(
            matches!(&refused, Err(AuthorityError::Cluster(given)) if given.field == field),
            "{refused:?}"
        );
    }
    // There is no directory whose files may be named.
    let credential = GivenCredential::TokenFile("/etc/hostname".into());
    let by_file = GivenReach { credential, ..reach("https://10.0.0.1") };
    let refused = authority.create_cluster(root, NewCluster { reach: by_file, ..new_cluster("prod") }).await;
    let refused = refused.unwrap_err();
    assert!(matches!(refused, AuthorityError::ClusterUnusable(_)), "{refused:?}");
    assert!(refused.to_string().contains("clusterFilesDir"), "{refused}");
}

#[tokio::test]
async fn a_successor_is_good_for_no_more_than_the_token_it_replaces() {
    let house = House::new().await;
    let (authority, root, alice) = (&house.authority, &house.root, &house.alice);
    let id = authority.create_cluster(root, new_cluster("prod")).await.unwrap().record.id.clone();
    let scoped = |id: &ClusterId| NewToken { cluster: Some(id.clone()), ..NewToken::default() };
    let unknown = authority.create_token(alice, scoped(&ClusterId::try_from("other").unwrap())).await;
    assert!(matches!(unknown, Err(AuthorityError::UnknownCluster)), "{unknown:?}");
    let telemetry = NewToken { kind: TokenKind::Telemetry, ..scoped(&id) };
    let refused = authority.create_token(root, telemetry).await;
    assert!(matches!(refused, Err(AuthorityError::NoScope(TokenKind::Telemetry))), "{refused:?}");
    house.keep_clusters().await;
    let token = authority.create_token(alice, scoped(&id)).await.unwrap().record;
    let successor = authority.rotate_token(alice, &token.name, Rotation::default()).await.unwrap().record;
    assert_eq!((token.cluster, successor.cluster), (Some(id.clone()), Some(id.clone())));
    authority.delete_cluster(root, &id).await.unwrap();
    assert!(house.store.token(&successor.name).await.unwrap().is_none());
}
