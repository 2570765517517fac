//! The little of an apiserver that the gate needs for itself: who am I, may I.

use super::{Reply, Seen};

const SUBJECT_REVIEW: &str = "/apis/authentication.k8s.io/v1/selfsubjectreviews";
const ACCESS_REVIEW: &str = "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews";

/// Whether it is a request that the gate makes for itself.
pub(super) fn is_review(seen: &Seen) -> bool {
    let path = seen.target.split('?').next().unwrap_or_default();
    match seen.method.as_str() {
        "POST" => [SUBJECT_REVIEW, ACCESS_REVIEW].contains(&path),
        "GET" => ["/version", "/readyz", "/livez", "/api", "/apis"].contains(&path),
        _ => false,
    }
}

/// A friendly answer to it.
pub(super) fn review(seen: &Seen) -> Reply {
    let path = seen.target.split('?').next().unwrap_or_default();
    match path {
        SUBJECT_REVIEW => Reply::json(
            201,
            r#"{"kind":"SelfSubjectReview","apiVersion":"authentication.k8s.io/v1","metadata":{},
               "status":{"userInfo":{"username":"system:serviceaccount:portcullis:portcullis",
               "groups":["system:authenticated"]}}}"#,
        ),
        ACCESS_REVIEW => Reply::json(
            201,
            r#"{"kind":"SelfSubjectAccessReview","apiVersion":"authorization.k8s.io/v1","metadata":{},
               "spec":{},"status":{"allowed":true}}"#,
        ),
        "/version" => Reply::json(200, r#"{"major":"1","minor":"37","gitVersion":"v1.37.2"}"#),
        _ => Reply::new(200, "ok"),
    }
}

/// What an apiserver says to a credential that it does not know.
pub(super) fn unauthorized() -> Reply {
    Reply::json(
        401,
        r#"{"kind":"Status","apiVersion":"v1","metadata":{},"status":"Failure","message":"Unauthorized",
           "reason":"Unauthorized","code":401}"#,
    )
}
