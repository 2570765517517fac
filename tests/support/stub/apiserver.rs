//! The little of an apiserver that the gate needs for itself: who am I, may I, and the two questions about others, which a
//! test answers.

use super::{Reply, Seen};

const SUBJECT_REVIEW: &str = "/apis/authentication.k8s.io/v1/selfsubjectreviews";
const ACCESS_REVIEW: &str = "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews";
const TOKEN_REVIEW: &str = "/apis/authentication.k8s.io/v1/tokenreviews";
const FOREIGN_ACCESS_REVIEW: &str = "/apis/authorization.k8s.io/v1/subjectaccessreviews";

/// Whether it is a request that the gate makes for itself.
pub(super) fn is_review(seen: &Seen) -> bool {
    let path = path(seen);
    seen.method == "POST" && (path.ends_with(SUBJECT_REVIEW) || path.ends_with(ACCESS_REVIEW))
}

/// Whether it is a question that the gate asks about somebody else.
pub(super) fn is_question(seen: &Seen) -> bool {
    let path = path(seen);
    seen.method == "POST" && (path.ends_with(TOKEN_REVIEW) || path.ends_with(FOREIGN_ACCESS_REVIEW))
}

/// Whether the gate asks how it is.
pub(super) fn is_probe(seen: &Seen) -> bool {
    seen.method == "GET" && path(seen).ends_with("/readyz")
}

/// The answer to it: friendly, unless it is about a right to one of `denied`, such as `userextras/scopes`.
pub(super) fn review(seen: &Seen, denied: &[String]) -> Reply {
    if path(seen).ends_with(SUBJECT_REVIEW) {
        return Reply::json(
            201,
            r#"{"kind":"SelfSubjectReview","apiVersion":"authentication.k8s.io/v1","metadata":{},
               "status":{"userInfo":{"username":"system:serviceaccount:portcullis:portcullis",
               "groups":["system:authenticated"]}}}"#,
        );
    }
    let body = seen.body().unwrap_or_default();
    let question: serde_json::Value = serde_json::from_slice(&body).unwrap_or_default();
    let part = |name: &str| question["spec"]["resourceAttributes"][name].as_str().unwrap_or_default();
    let resource = format!("{}/{}", part("resource"), part("subresource"));
    let allowed = denied.iter().all(|denied| *denied != resource.trim_end_matches('/'));
    let answer = serde_json::json!({
        "kind": "SelfSubjectAccessReview", "apiVersion": "authorization.k8s.io/v1", "metadata": {}, "spec": {},
        "status": { "allowed": allowed },
    });
    Reply::json(201, &answer.to_string())
}

/// The path without the query. A prefix before it is that of the cluster's URL.
fn path(seen: &Seen) -> &str {
    seen.target.split('?').next().unwrap_or_default()
}

/// What an apiserver says to a credential that it does not know.
pub(super) fn unauthorized() -> Reply {
    Reply::json(
        401,
        r#"{"kind":"Status","apiVersion":"v1","metadata":{},"status":"Failure","message":"Unauthorized",
           "reason":"Unauthorized","code":401}"#,
    )
}
