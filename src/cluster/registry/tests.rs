//! The registry over clusters that are read from files.

use std::path::PathBuf;

use super::*;
use crate::clock::UnixMillis;
use crate::cluster::source::tests::{Directory, kubeconfig};
use crate::cluster::{Credential, Reach, ServiceAccountMode};
use crate::identity::Username;

const PATIENCE: Duration = Duration::from_secs(20);

pub(super) fn id(text: &str) -> ClusterId {
    ClusterId::try_from(text).unwrap()
}

pub(super) fn record(name: &str, path: PathBuf) -> ClusterRecord {
    ClusterRecord {
        id: id(name),
        name: name.to_owned(),
        reach: Reach {
            endpoints: Vec::new(),
            ca: None,
            tls_server_name: None,
            credential: Credential::Kubeconfig { path, context: None },
        },
        service_accounts: ServiceAccountMode::default(),
        access: Access::Everyone,
        created_at: UnixMillis(0),
    }
}

/// The cluster once its credential is there.
pub(super) async fn ready(registry: &Registry, name: &str) -> Arc<Member> {
    let member = registry.settled(&id(name), PATIENCE).await.unwrap();
    assert!(matches!(member.state, State::Ready(_)), "{member:?}");
    member
}

async fn state(registry: &Registry, name: &str) -> State {
    registry.settled(&id(name), PATIENCE).await.unwrap().state.clone()
}

#[tokio::test]
async fn a_cluster_whose_credential_is_missing_says_why_and_is_tried_again_while_others_work() {
    let directory = Directory::new();
    let good = directory.write("good", &kubeconfig("token: a", ""));
    let missing = good.with_file_name("missing");
    let registry = Registry::default();
    registry.replace_configured(vec![record("good", good), record("bad", missing.clone())]);
    assert!(matches!(state(&registry, "good").await, State::Ready(_)));
    let State::Failing(reason) = state(&registry, "bad").await else { panic!("it is not there") };
    assert!(reason.contains("missing"), "{reason}");

    let mut members = registry.subscribe();
    directory.write("missing", &kubeconfig("token: b", ""));
    let is_ready = |members: &Arc<Members>| matches!(members[&id("bad")].state, State::Ready(_));
    timeout(PATIENCE, members.wait_for(is_ready)).await.unwrap().unwrap();
}

#[tokio::test]
async fn a_change_of_rights_keeps_the_cluster_and_a_change_of_place_does_not() {
    let directory = Directory::new();
    let path = directory.write("kubeconfig", &kubeconfig("token: a", ""));
    let registry = Registry::default();
    let first = record("a", path.clone());
    assert_eq!(registry.replace_configured(vec![first.clone()]), []);
    let State::Ready(cluster) = state(&registry, "a").await else { panic!("not ready") };

    let access = Access::Only { users: vec![Username::try_from("alice").unwrap()], groups: Vec::new() };
    let narrowed = ClusterRecord { access: access.clone(), ..first.clone() };
    assert_eq!(registry.replace_configured(vec![narrowed.clone()]), [Change::Narrowed(id("a"), access)]);
    assert!(matches!(state(&registry, "a").await, State::Ready(same) if Arc::ptr_eq(&same, &cluster)));
    assert_eq!(registry.replace_configured(vec![narrowed.clone()]), [], "nothing has changed");

    let other = directory.write("other", &kubeconfig("token: b", ""));
    let moved = ClusterRecord { reach: record("a", other).reach, ..narrowed };
    assert_eq!(registry.replace_configured(vec![moved]), [Change::Removed(id("a"))]);
    assert!(matches!(state(&registry, "a").await, State::Ready(new) if !Arc::ptr_eq(&new, &cluster)));
    assert_eq!(registry.replace_configured(Vec::new()), [Change::Removed(id("a"))]);
    assert!(registry.member(&id("a")).is_none() && registry.settled(&id("a"), PATIENCE).await.is_none());
}

#[tokio::test]
async fn who_is_shut_out_by_a_change_is_told_of_and_who_is_let_in_is_not() {
    let directory = Directory::new();
    let path = directory.write("kubeconfig", &kubeconfig("token: a", ""));
    let registry = Registry::default();
    let default = ClusterRecord { id: ClusterId::of_default(), ..record("local", path) };
    registry.set_default(Member { record: default, origin: Origin::Default, state: State::Loading });
    let rules = |service_accounts, access: &Access| ClusterRules { service_accounts, access: access.clone() };
    let (everyone, nobody) = (Access::Everyone, Access::Only { users: Vec::new(), groups: Vec::new() });
    let local = ClusterId::of_default;
    for (rules, change) in [
        (rules(ServiceAccountMode::Impersonate, &everyone), None),
        (rules(ServiceAccountMode::Passthrough, &everyone), None),
        (rules(ServiceAccountMode::Deny, &everyone), Some(Change::AccountsDenied(local()))),
        (rules(ServiceAccountMode::Deny, &nobody), Some(Change::Narrowed(local(), nobody.clone()))),
        (rules(ServiceAccountMode::Impersonate, &nobody), None),
        // Those whom the other change ends are among these.
        (rules(ServiceAccountMode::Deny, &everyone), Some(Change::Narrowed(local(), everyone.clone()))),
    ] {
        assert_eq!(registry.set_default_rules(&rules), change, "{rules:?}");
        let now = registry.member(&local()).unwrap();
        assert_eq!(
            (now.record.service_accounts, &now.record.access),
            (rules.service_accounts, &rules.access)
        );
        assert_eq!(registry.replace_configured(Vec::new()), [], "it stays");
    }
}

#[tokio::test]
async fn what_the_store_says_never_takes_the_place_of_what_the_operator_says() {
    let directory = Directory::new();
    let path = directory.write("kubeconfig", &kubeconfig("token: a", ""));
    let registry = Registry::default();
    registry.replace_configured(vec![record("a", path.clone())]);
    let usurper = ClusterRecord { name: "usurper".to_owned(), ..record("a", path) };
    assert_eq!(registry.set_stored(&id("a"), Some(usurper)), []);
    assert_eq!(registry.set_stored(&id("a"), None), []);
    let member = registry.member(&id("a")).unwrap();
    assert_eq!((member.origin, member.record.name.as_str()), (Origin::Configured, "a"));
}

#[tokio::test]
async fn a_cluster_that_was_removed_while_it_was_loaded_does_not_come_back() {
    let directory = Directory::new();
    let path = directory.write("kubeconfig", &kubeconfig("token: a", ""));
    let registry = Registry::default();
    for _ in 0..100 {
        registry.set_stored(&id("c-bbbbb"), Some(record("c-bbbbb", path.clone())));
        registry.set_stored(&id("c-bbbbb"), None);
    }
    registry.replace_configured(vec![record("last", path)]);
    state(&registry, "last").await;
    assert!(registry.member(&id("c-bbbbb")).is_none());
}
