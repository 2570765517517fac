//! The question whose token this is (`TokenReview`), and the answer.

use std::collections::BTreeMap;

use k8s_openapi::api::authentication::v1::TokenReview;
use serde::Serialize;

/// What the apiserver says of a token, as it says it: nothing of it is checked.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct ReviewedToken {
    /// Whether it takes the token.
    pub authenticated: bool,
    /// Why it could not tell, or does not take it.
    pub error: String,
    /// The audiences asked for that the token is meant for.
    pub audiences: Vec<String>,
    /// Whose it is.
    pub username: String,
    /// What tells two users of one name apart.
    pub uid: String,
    /// The user's groups.
    pub groups: Vec<String>,
    /// Further facts about the user.
    pub extra: BTreeMap<String, Vec<String>>,
}

/// The question as a body, made by hand so that the token is in one place only. Without `audiences` the apiserver's own
/// are meant.
pub fn token_review(token: &str, audiences: &[String]) -> serde_json::Result<Vec<u8>> {
    serde_json::to_vec(&Question {
        api_version: "authentication.k8s.io/v1",
        kind: "TokenReview",
        spec: Spec { token, audiences },
    })
}

/// The answer, or `None` if there is none in it.
pub fn reviewed_token(review: TokenReview) -> Option<ReviewedToken> {
    let status = review.status?;
    let user = status.user.unwrap_or_default();
    Some(ReviewedToken {
        authenticated: status.authenticated == Some(true),
        error: status.error.unwrap_or_default(),
        audiences: status.audiences.unwrap_or_default(),
        username: user.username.unwrap_or_default(),
        uid: user.uid.unwrap_or_default(),
        groups: user.groups.unwrap_or_default(),
        extra: user.extra.unwrap_or_default(),
    })
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Question<'a> {
    api_version: &'static str,
    kind: &'static str,
    spec: Spec<'a>,
}

#[derive(Serialize)]
struct Spec<'a> {
    token: &'a str,
    #[serde(skip_serializing_if = "<[String]>::is_empty")]
    audiences: &'a [String],
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_question_names_audiences_only_if_there_are_any() {
        let text = |audiences: &[String]| String::from_utf8(token_review("t", audiences).unwrap()).unwrap();
        let head = r#"{"apiVersion":"authentication.k8s.io/v1","kind":"TokenReview","spec":{"token":"t""#;
        assert_eq!(text(&[]), format!("{head}}}}}"));
        assert_eq!(text(&["a".to_owned()]), format!(r#"{head},"audiences":["a"]}}}}"#));
    }

    #[test]
    fn what_an_answer_leaves_out_is_empty_and_no_answer_is_none() {
        assert_eq!(reviewed_token(TokenReview::default()), None);
        let text = r#"{"apiVersion":"authentication.k8s.io/v1","kind":"TokenReview","spec":{},"status":{}}"#;
        let review = serde_json::from_str(text).unwrap();
        assert_eq!(reviewed_token(review), Some(ReviewedToken::default()));
    }
}
