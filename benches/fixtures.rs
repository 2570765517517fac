//! What more than one bench is made on: a store with users and tokens, and the headers of a kubectl.

use std::path::Path;

use http::header::{ACCEPT, AUTHORIZATION, HeaderMap, HeaderValue, USER_AGENT};
use portcullis::clock;
use portcullis::identity::{Group, UserId, Username};
use portcullis::store::{Insertion, Store, Write};
use portcullis::token::{KeyHash, TokenKey, TokenKind, TokenName, TokenRecord, Ttl};
use portcullis::user::UserRecord;

/// A store below `directory` with a user in three groups, who has a token, and the token's bearer.
pub(crate) async fn store(directory: &Path) -> (Store, String) {
    let store = Store::open(directory, None).unwrap();
    let user = UserRecord {
        id: UserId::generate().unwrap(),
        name: Username::try_from("alice").unwrap(),
        groups: ["dev", "ops", "readers"].map(|group| Group::try_from(group).unwrap()).into(),
        admin: false,
        enabled: true,
        created_at: clock::now(),
        password: None,
    };
    let key = TokenKey::generate().unwrap();
    let token = TokenRecord {
        name: TokenName::generate(TokenKind::ApiKey, &user.id).unwrap(),
        user_id: user.id.clone(),
        kind: TokenKind::ApiKey,
        description: String::new(),
        created_at: clock::now(),
        ttl: Ttl(0),
        enabled: true,
        hash: KeyHash::sha256(&key).unwrap(),
        last_used: None,
        lease_until: None,
        replaced_by: None,
        cluster: None,
    };
    let bearer = format!("{}:{}", token.name, key.expose());
    store.commit(Write::InsertUser(Box::new(user)), None).await.unwrap();
    let insertion = Insertion { record: token, key: None, quota: None };
    store.commit(Write::InsertToken(Box::new(insertion)), None).await.unwrap();
    (store, bearer)
}

/// What kubectl sends with a bearer.
#[allow(dead_code, reason = "not every bench asks by hand")]
pub(crate) fn headers(bearer: &str) -> HeaderMap {
    let mut headers = HeaderMap::new();
    headers.insert(AUTHORIZATION, HeaderValue::from_str(&format!("Bearer {bearer}")).unwrap());
    headers.insert(ACCEPT, HeaderValue::from_static("application/json"));
    headers.insert(USER_AGENT, HeaderValue::from_static("kubectl/v1.37.2 (linux/amd64) kubernetes/0000000"));
    headers.insert("accept-encoding", HeaderValue::from_static("gzip"));
    headers.insert("kubectl-command", HeaderValue::from_static("kubectl get"));
    headers.insert("kubectl-session", HeaderValue::from_static("aa6a4a2e-8f35-4b0e-9c4b-0a3b9a6f2d11"));
    headers
}
