//! The question whether somebody else may do something (`SubjectAccessReview`), and the answer.

use std::collections::BTreeMap;

use k8s_openapi::api::authorization::v1::{
    ResourceAttributes, SelfSubjectAccessReview, SelfSubjectAccessReviewSpec, SubjectAccessReview,
    SubjectAccessReviewSpec, SubjectAccessReviewStatus,
};

/// Who is asked about, with all that authorizers decide by.
#[derive(Clone, PartialEq, Eq, Hash, Debug, Default)]
pub struct Subject {
    /// The user's name.
    pub user: String,
    /// All of the user's groups.
    pub groups: Vec<String>,
    /// The user's UID, if there is one.
    pub uid: Option<String>,
    /// The user's extras, by their decoded keys.
    pub extra: BTreeMap<String, Vec<String>>,
}

/// What is asked about. Empty texts are left out of the question.
#[derive(Clone, PartialEq, Eq, Hash, Debug, Default)]
pub struct Attributes {
    /// What would be done.
    pub verb: String,
    /// The group of the resource; empty for the core group.
    pub api_group: String,
    /// The resource, in the plural.
    pub resource: String,
    /// The part of it, if it is about a part alone.
    pub subresource: String,
    /// The namespace of the object; empty for one without.
    pub namespace: String,
    /// The one object; empty asks for all.
    pub name: String,
}

/// "May this user do that?"
pub fn subject_access_review(subject: &Subject, attributes: &Attributes) -> SubjectAccessReview {
    SubjectAccessReview {
        spec: SubjectAccessReviewSpec {
            user: given(&subject.user),
            groups: Some(subject.groups.clone()),
            uid: subject.uid.clone(),
            extra: Some(subject.extra.clone()),
            resource_attributes: Some(resource(attributes)),
            ..SubjectAccessReviewSpec::default()
        },
        ..SubjectAccessReview::default()
    }
}

/// "May we do that ourselves?"
pub fn self_access_review(attributes: &Attributes) -> SelfSubjectAccessReview {
    SelfSubjectAccessReview {
        spec: SelfSubjectAccessReviewSpec {
            resource_attributes: Some(resource(attributes)),
            ..SelfSubjectAccessReviewSpec::default()
        },
        ..SelfSubjectAccessReview::default()
    }
}

fn resource(attributes: &Attributes) -> ResourceAttributes {
    ResourceAttributes {
        verb: given(&attributes.verb),
        group: given(&attributes.api_group),
        resource: given(&attributes.resource),
        subresource: given(&attributes.subresource),
        namespace: given(&attributes.namespace),
        name: given(&attributes.name),
        ..ResourceAttributes::default()
    }
}

fn given(text: &str) -> Option<String> {
    (!text.is_empty()).then(|| text.to_owned())
}

/// The answer, or `None` if there is none in it. An explicit denial wins over leave.
pub fn access(review: &SubjectAccessReview) -> Option<bool> {
    review.status.as_ref().map(is_leave)
}

/// The same of an answer about ourselves.
pub fn self_access(review: &SelfSubjectAccessReview) -> Option<bool> {
    review.status.as_ref().map(is_leave)
}

fn is_leave(status: &SubjectAccessReviewStatus) -> bool {
    status.allowed && status.denied != Some(true)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_question_has_all_of_the_user_and_only_the_given_parts_of_the_deed() {
        let subject = Subject {
            user: "alice".to_owned(),
            groups: vec!["dev".to_owned()],
            uid: Some("1".to_owned()),
            extra: BTreeMap::from([("a/b".to_owned(), vec!["c".to_owned()])]),
        };
        let attributes = Attributes {
            verb: "impersonate".to_owned(),
            resource: "users".to_owned(),
            name: "bob".to_owned(),
            ..Attributes::default()
        };
        let review = serde_json::to_value(subject_access_review(&subject, &attributes)).unwrap();
        let expected = serde_json::json!({
            "user": "alice", "groups": ["dev"], "uid": "1", "extra": {"a/b": ["c"]},
            "resourceAttributes": {"verb": "impersonate", "resource": "users", "name": "bob"},
        });
        assert_eq!(review["spec"], expected);
    }

    #[test]
    fn only_leave_without_a_denial_is_leave() {
        let mut review = SubjectAccessReview::default();
        assert_eq!(access(&review), None);
        for (allowed, denied, expected) in
            [(true, None, true), (true, Some(true), false), (false, None, false)]
        {
            let status =
                SubjectAccessReviewStatus { allowed, denied, ..SubjectAccessReviewStatus::default() };
            review.status = Some(status);
            assert_eq!(access(&review), Some(expected));
        }
    }
}
