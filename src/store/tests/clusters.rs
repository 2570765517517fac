//! Clusters that were added, and tokens that are for one of them alone.

use super::super::testing::{TempDir, edit, insertion, token, user};
use super::super::{Change, ClusterUpdate, Store, StoreError, TokenFilter, TokenQuery, Write};
use super::writes::event;
use crate::clock::UnixMillis;
use crate::cluster::{
    CertificateAuthority, ClusterRecord, Credential, KeyFile, Reach, SealedKind, ServiceAccountMode,
};
use crate::identity::{Access, ClusterId, Group, Username};
use crate::secret::Secret;
use crate::token::TokenRecord;

fn cluster(id: &str) -> ClusterRecord {
    ClusterRecord {
        id: ClusterId::try_from(id).unwrap(),
        name: format!("the cluster {id}"),
        reach: Reach {
            endpoints: ["https://10.0.0.1:6443", "https://10.0.0.2:6443/x"]
                .map(|url| url.parse().unwrap())
                .to_vec(),
            ca: Some(CertificateAuthority::Pem("PEM\n".to_owned())),
            tls_server_name: Some("kubernetes".to_owned()),
            credential: Credential::TokenFile { path: "token".into() },
        },
        service_accounts: ServiceAccountMode::Deny,
        access: Access::Only {
            users: vec![Username::try_from("alice").unwrap()],
            groups: vec![Group::try_from("dev").unwrap()],
        },
        created_at: UnixMillis(7),
    }
}

async fn insert(store: &Store, cluster: &ClusterRecord) -> Result<(), StoreError> {
    store.commit(Write::InsertCluster(Box::new(cluster.clone())), None).await.map(|_| ())
}

#[tokio::test]
async fn a_cluster_is_read_as_it_was_written_whatever_its_credential() {
    let dir = TempDir::new();
    let store = Store::open(dir.path(), None).unwrap();
    let key = KeyFile::new(dir.path().join("cluster.key"));
    let first = cluster("c-bbbbb");
    let text = Secret::new("hunter2-hunter2");
    let sealed = key.seal(&first.id, &first.reach, SealedKind::Token, &text).unwrap();
    let files = Credential::ClientCertificate { certificate: "a".into(), key: "b".into() };
    let kubeconfig = Credential::Kubeconfig { path: "a".into(), context: Some("main".to_owned()) };
    for (id, credential) in [("c-bbbbb", sealed), ("c-ccccc", files), ("c-ddddd", kubeconfig)] {
        let plain = cluster(id);
        let written = ClusterRecord { reach: Reach { credential, ..plain.reach.clone() }, ..plain };
        insert(&store, &written).await.unwrap();
        assert_eq!(store.cluster(&written.id).await.unwrap(), Some(written));
    }
    let bare = Reach {
        endpoints: Vec::new(),
        ca: None,
        tls_server_name: None,
        credential: Credential::TokenFile { path: "t".into() },
    };
    let update = ClusterUpdate {
        reach: Some(bare.clone()),
        access: Some(Access::Everyone),
        ..ClusterUpdate::default()
    };
    store.commit(Write::UpdateCluster(first.id.clone(), Box::new(update)), None).await.unwrap();
    let expected = ClusterRecord { reach: bare, access: Access::Everyone, ..first };
    assert_eq!(store.cluster(&expected.id).await.unwrap().as_ref(), Some(&expected));
    assert_eq!(store.clusters().await.unwrap().len(), 3);

    edit(dir.path(), "UPDATE clusters SET access = '{}' WHERE id = 'c-bbbbb'");
    let corrupt = store.cluster(&expected.id).await.unwrap_err();
    assert!(
        matches!(corrupt, StoreError::Corrupt { .. }),
        "a list that can't be read is not everybody: {corrupt:?}"
    );
    assert_eq!(store.clusters().await.unwrap().len(), 2, "the others are not stopped by it");
}

#[tokio::test]
async fn no_two_clusters_share_a_name_and_no_id_is_given_out_twice() {
    let dir = TempDir::new();
    let store = Store::open(dir.path(), None).unwrap();
    let (first, second) = (cluster("c-bbbbb"), cluster("c-ccccc"));
    insert(&store, &first).await.unwrap();
    insert(&store, &second).await.unwrap();
    let same_name = ClusterRecord { name: first.name.clone(), ..cluster("c-ddddd") };
    assert!(matches!(insert(&store, &same_name).await, Err(StoreError::Exists)));
    let update = ClusterUpdate { name: Some(first.name.clone()), ..ClusterUpdate::default() };
    let renamed = store.commit(Write::UpdateCluster(second.id, Box::new(update)), None).await;
    assert!(matches!(renamed, Err(StoreError::Exists)));
    store.commit(Write::DeleteCluster(first.id.clone()), None).await.unwrap();
    assert!(matches!(insert(&store, &first).await, Err(StoreError::Exists)));
    let again = store.commit(Write::DeleteCluster(first.id), None).await.unwrap();
    assert!(!again.changed());
}

#[tokio::test]
async fn a_deleted_cluster_takes_the_tokens_that_are_for_it_alone() {
    let dir = TempDir::new();
    let store = Store::open(dir.path(), None).unwrap();
    let alice = user("alice", false);
    store.insert_user(alice.clone()).await.unwrap();
    let (doomed, kept) = (cluster("c-bbbbb"), cluster("c-ccccc"));
    insert(&store, &doomed).await.unwrap();
    insert(&store, &kept).await.unwrap();
    let scoped = |id: Option<&str>| TokenRecord {
        cluster: id.map(|id| ClusterId::try_from(id).unwrap()),
        ..token(&alice.id).0
    };
    let tokens = [scoped(Some("c-bbbbb")), scoped(Some("c-ccccc")), scoped(Some("prod")), scoped(None)];
    for token in &tokens {
        store.insert_token(token.clone()).await.unwrap();
        assert_eq!(store.token(&token.name).await.unwrap().unwrap().cluster, token.cluster);
    }
    let unknown = store.commit(Write::InsertToken(insertion(scoped(Some("c-ddddd")))), None).await;
    assert!(matches!(unknown, Err(StoreError::UnknownCluster)), "{unknown:?}");
    let filter = TokenFilter { cluster: Some(doomed.id.clone()), ..TokenFilter::default() };
    let found = store.tokens(TokenQuery { filter, ..TokenQuery::default() }).await.unwrap().items;
    assert_eq!(found.iter().map(|token| &token.name).collect::<Vec<_>>(), [&tokens[0].name]);

    let mut feed = store.subscribe();
    let write = Write::DeleteCluster(doomed.id.clone());
    let deleted = {
        let store = store.clone();
        tokio::spawn(async move { store.commit(write, Some(event("cluster.delete"))).await.unwrap() })
    };
    assert_eq!(feed.next().await.unwrap().change, Change::Cluster(doomed.id.clone()));
    assert_eq!(feed.next().await.unwrap().change, Change::Token(tokens[0].name.clone()));
    let deleted = deleted.await.unwrap();
    assert_eq!((deleted.count, deleted.tokens.as_slice()), (2, &[tokens[0].name.clone()][..]));
    let actions: Vec<_> = deleted.events.iter().map(|event| event.action.as_str()).collect();
    assert_eq!(actions, ["cluster.delete", "token.delete"]);
    assert_eq!(store.tokens_of(None).await.len(), 3);
}
