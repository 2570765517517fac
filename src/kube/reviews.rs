//! Questions to the apiserver about ourselves.

use k8s_openapi::api::authentication::v1::SelfSubjectReview;
use k8s_openapi::api::authorization::v1::{
    ResourceAttributes, SelfSubjectAccessReview, SelfSubjectAccessReviewSpec,
};

/// A right as an RBAC rule grants it. Empty texts are left out of the question.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Right {
    /// What may be done.
    pub verb: &'static str,
    /// The group of the resource; empty for the core group.
    pub api_group: &'static str,
    /// The resource, in the plural.
    pub resource: &'static str,
    /// The part of it, if the right is for a part alone.
    pub subresource: &'static str,
    /// The one object; empty asks for all.
    pub name: &'static str,
}

/// "Who am I?"
pub fn self_subject_review() -> SelfSubjectReview {
    SelfSubjectReview::default()
}

/// The answer to [`self_subject_review`]: the name the apiserver knows us by.
pub fn reviewed_username(review: &SelfSubjectReview) -> Option<&str> {
    review.status.as_ref()?.user_info.as_ref()?.username.as_deref()
}

/// "May I?"
pub fn self_subject_access_review(right: &Right) -> SelfSubjectAccessReview {
    let given = |text: &str| (!text.is_empty()).then(|| text.to_owned());
    let attributes = ResourceAttributes {
        verb: given(right.verb),
        group: given(right.api_group),
        resource: given(right.resource),
        subresource: given(right.subresource),
        name: given(right.name),
        ..ResourceAttributes::default()
    };
    SelfSubjectAccessReview {
        spec: SelfSubjectAccessReviewSpec {
            resource_attributes: Some(attributes),
            ..SelfSubjectAccessReviewSpec::default()
        },
        ..SelfSubjectAccessReview::default()
    }
}

/// The answer to [`self_subject_access_review`]; no answer is no.
pub fn is_allowed(review: &SelfSubjectAccessReview) -> bool {
    review.status.as_ref().is_some_and(|status| status.allowed)
}

/// The right as a person would write it: `impersonate userextras/portcullis.dev/token-name (authentication.k8s.io)`.
impl std::fmt::Display for Right {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} {}", self.verb, self.resource)?;
        if !self.subresource.is_empty() {
            write!(f, "/{}", self.subresource)?;
        }
        if !self.api_group.is_empty() {
            write!(f, " ({})", self.api_group)?;
        }
        if !self.name.is_empty() {
            write!(f, " named {}", self.name)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_question_has_only_the_parts_that_are_given() {
        let right =
            Right { verb: "impersonate", api_group: "", resource: "users", subresource: "", name: "" };
        let review = serde_json::to_value(self_subject_access_review(&right)).unwrap();
        let expected = serde_json::json!({"verb": "impersonate", "resource": "users"});
        assert_eq!(review["spec"]["resourceAttributes"], expected);
        assert!(!is_allowed(&self_subject_access_review(&right)));
        assert_eq!(reviewed_username(&self_subject_review()), None);
    }
}
