//! Fields, actions and filters of a schema, and how they are written.

use std::collections::BTreeMap;

use serde::Serialize;
use utoipa::ToSchema;

use super::{Action, Filter};

/// One field of a resource.
#[derive(Debug, Clone, Copy, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[expect(clippy::struct_excessive_bools, reason = "they are what clients of Rancher's API read")]
pub(in crate::api) struct Field {
    /// Its name in the JSON object.
    #[serde(skip)]
    pub(in crate::api) name: &'static str,
    /// `string`, `password`, `int`, `boolean`, `date`, `enum`, `array[<type>]`, `map[string]`, `reference[<type>]`, or
    /// another schema's id.
    #[serde(rename = "type")]
    pub(in crate::api) kind: &'static str,
    /// Whether it can be given when one is made.
    pub(in crate::api) create: bool,
    /// Whether it can be changed.
    pub(in crate::api) update: bool,
    /// Whether it must be given when one is made.
    pub(in crate::api) required: bool,
    /// Whether it may be null.
    pub(in crate::api) nullable: bool,
    /// Whether it is given and never shown again.
    #[serde(skip_serializing_if = "is_false")]
    pub(in crate::api) write_only: bool,
    /// The least number.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(in crate::api) min: Option<i64>,
    /// The longest text, in characters.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(in crate::api) max_length: Option<i64>,
    /// The values of an `enum`.
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    pub(in crate::api) options: &'static [&'static str],
    /// What counts if it is not given.
    #[serde(rename = "default", skip_serializing_if = "Option::is_none")]
    pub(in crate::api) default_value: Option<&'static str>,
    /// What it means, for people.
    pub(in crate::api) description: &'static str,
    /// Whether it is a text of many lines.
    #[serde(skip)]
    pub(in crate::api) long: bool,
}

impl Field {
    /// A field that is only read.
    pub(super) const fn new(name: &'static str, kind: &'static str, description: &'static str) -> Self {
        Self {
            name,
            kind,
            create: false,
            update: false,
            required: false,
            nullable: false,
            write_only: false,
            min: None,
            max_length: None,
            options: &[],
            default_value: None,
            description,
            long: false,
        }
    }

    pub(super) const fn create(self) -> Self {
        Self { create: true, ..self }
    }

    pub(super) const fn update(self) -> Self {
        Self { update: true, ..self }
    }

    pub(super) const fn required(self) -> Self {
        Self { required: true, ..self }
    }

    pub(super) const fn nullable(self) -> Self {
        Self { nullable: true, ..self }
    }

    pub(super) const fn write_only(self) -> Self {
        Self { write_only: true, ..self }
    }

    pub(super) const fn at_least(self, min: i64) -> Self {
        Self { min: Some(min), ..self }
    }

    pub(super) const fn at_most_long(self, characters: i64) -> Self {
        Self { max_length: Some(characters), ..self }
    }

    pub(super) const fn long(self) -> Self {
        Self { long: true, ..self }
    }

    pub(super) const fn one_of(self, options: &'static [&'static str]) -> Self {
        Self { options, ..self }
    }

    pub(super) const fn or(self, default_value: &'static str) -> Self {
        Self { default_value: Some(default_value), ..self }
    }
}

/// Fields by name.
pub(super) fn named(fields: &'static [Field]) -> BTreeMap<&'static str, Field> {
    fields.iter().map(|field| (field.name, *field)).collect()
}

/// What an action takes and gives.
#[derive(Debug, Serialize, ToSchema)]
pub(in crate::api) struct ActionObject {
    #[serde(skip_serializing_if = "Option::is_none")]
    input: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    output: Option<&'static str>,
}

/// Actions by name.
pub(super) fn named_actions(
    actions: impl Iterator<Item = &'static Action>,
) -> BTreeMap<&'static str, ActionObject> {
    let object = |action: &Action| ActionObject { input: action.input, output: action.output };
    actions.map(|action| (action.name, object(action))).collect()
}

/// How a collection can be filtered by one parameter.
#[derive(Debug, Serialize, ToSchema)]
pub(in crate::api) struct FilterObject {
    modifiers: [&'static str; 1],
    #[serde(rename = "type")]
    kind: &'static str,
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    options: &'static [&'static str],
}

/// A filter by its name.
pub(super) fn filter(filter: &Filter) -> (&'static str, FilterObject) {
    let object = FilterObject { modifiers: ["eq"], kind: filter.kind, options: filter.options };
    (filter.name, object)
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "the serialiser calls it by reference")]
fn is_false(value: &bool) -> bool {
    !value
}
