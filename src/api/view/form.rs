//! Forms: made from the fields of a schema, and filled from what is there.

use serde_json::Value;

use super::sent::FormData;
use super::text::{UNITS, in_units, text};
use crate::api::schema::{self, Field, Filter};

/// A form as a page shows it. It is sent by POST.
#[derive(Default)]
pub(super) struct Form {
    pub(super) title: String,
    pub(super) action: String,
    /// What is meant instead of POST, which is all a form can do.
    pub(super) method: Option<&'static str>,
    pub(super) hidden: Vec<(&'static str, String)>,
    pub(super) inputs: Vec<Input>,
    pub(super) buttons: Vec<Button>,
    pub(super) danger: bool,
    pub(super) open: bool,
    pub(super) cancel: Option<String>,
}

/// A button that sends the form; with a value it says which one it was.
pub(super) struct Button {
    pub(super) label: String,
    pub(super) value: &'static str,
}

/// One control with its label.
pub(super) struct Input {
    pub(super) id: String,
    pub(super) name: String,
    pub(super) hint: String,
    pub(super) kind: InputKind,
    pub(super) value: String,
    pub(super) unit: String,
    pub(super) choices: Vec<Choice>,
    pub(super) required: bool,
}

/// Which control it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum InputKind {
    Text,
    Password,
    Number,
    /// A number and its unit.
    Duration,
    Choice,
    /// One value a line.
    Lines,
    /// A text of many lines.
    LongText,
}

/// One of the values of an [`InputKind::Choice`].
pub(super) struct Choice {
    pub(super) value: String,
    pub(super) label: String,
}

/// What a form is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Purpose {
    /// To make something, or to say how an action is done: what is left empty is not given.
    Create,
    /// To change something: what is emptied becomes empty.
    Update,
}

impl Purpose {
    /// Whether a form has controls for it.
    fn takes(self, field: &Field) -> bool {
        match self {
            Self::Create => field.create,
            Self::Update => field.update,
        }
    }
}

impl Form {
    /// A form with a button for each of its fields that can be shown; `None` if there is none.
    pub(super) fn of(
        purpose: Purpose,
        prefix: &str,
        fields: &'static [Field],
        given: Given<'_>,
    ) -> Option<Self> {
        let inputs: Vec<_> = leaves(purpose, fields)
            .into_iter()
            .filter_map(|leaf| Input::of(purpose, prefix, &leaf, given))
            .collect();
        (!inputs.is_empty()).then(|| Self { inputs, open: given.data.is_some(), ..Self::default() })
    }

    pub(super) fn button(mut self, label: impl Into<String>) -> Self {
        self.buttons.push(Button { label: label.into(), value: "" });
        self
    }
}

/// A field as a control: one of an object within the resource is called after both.
pub(super) struct Leaf {
    pub(super) name: String,
    pub(super) field: &'static Field,
}

/// The fields that a form has controls for.
fn leaves(purpose: Purpose, fields: &'static [Field]) -> Vec<Leaf> {
    let of = |field: &'static Field| match inner(field) {
        Some(inner) => taken(purpose, inner)
            .map(|inner| Leaf { name: format!("{}.{}", field.name, inner.name), field: inner })
            .collect(),
        None => vec![Leaf { name: field.name.to_owned(), field }],
    };
    taken(purpose, fields).flat_map(of).collect()
}

/// The fields that a form is about.
pub(super) fn taken(purpose: Purpose, fields: &'static [Field]) -> impl Iterator<Item = &'static Field> {
    fields.iter().filter(move |field| purpose.takes(field))
}

/// The fields of the object that a field is.
pub(super) fn inner(field: &Field) -> Option<&'static [Field]> {
    schema::find(field.kind).filter(|schema| schema.plural.is_empty()).map(|schema| schema.fields)
}

/// What the controls of a form are filled with: what was sent and refused, else what the resource has.
#[derive(Clone, Copy, Default)]
pub(super) struct Given<'a> {
    pub(super) data: Option<&'a FormData>,
    pub(super) object: Option<&'a Value>,
}

impl Given<'_> {
    fn text(self, leaf: &Leaf) -> String {
        if let Some(sent) = self.data.and_then(|data| data.get(&leaf.name)) {
            return sent.to_owned();
        }
        let object = self.object;
        match object.and_then(|object| leaf.name.split('.').try_fold(object, |part, name| part.get(name))) {
            Some(Value::Array(items)) => items.iter().map(text).collect::<Vec<_>>().join("\n"),
            Some(value) => text(value),
            None => String::new(),
        }
    }

    fn duration(self, field: &Field) -> (String, String) {
        if let Some(data) = self.data
            && let Some(sent) = data.get(field.name)
        {
            return (sent.to_owned(), data.get(&unit_name(field)).unwrap_or_default().to_owned());
        }
        let millis = self.object.and_then(|object| object.get(field.name)?.as_u64());
        let unit = |millis| {
            let (number, unit) = in_units(millis);
            (number.to_string(), unit.to_owned())
        };
        millis.map_or_else(|| (String::new(), "days".to_owned()), unit)
    }
}

impl Input {
    fn of(purpose: Purpose, prefix: &str, leaf: &Leaf, given: Given<'_>) -> Option<Self> {
        let field = leaf.field;
        let kind = InputKind::of(field)?;
        let (value, unit) = match kind {
            InputKind::Duration => given.duration(field),
            _ if field.kind == "password" => (String::new(), String::new()),
            _ => (given.text(leaf), String::new()),
        };
        Some(Self {
            id: format!("{prefix}-{}", leaf.name),
            name: leaf.name.clone(),
            hint: hint(field, kind),
            kind,
            value,
            unit,
            choices: choices(purpose, field, kind),
            required: field.required && purpose == Purpose::Create,
        })
    }

    /// The control for a filter.
    pub(super) fn filter(filter: &'static Filter, value: String) -> Self {
        let options: &[&str] = if filter.kind == "boolean" { &["true", "false"] } else { filter.options };
        let kind = if options.is_empty() { InputKind::Text } else { InputKind::Choice };
        let any = Choice { value: String::new(), label: "any".to_owned() };
        let hint = if filter.kind == "date" { "2026-01-31T00:00:00Z" } else { "" };
        Self {
            id: format!("filter-{}", filter.name),
            name: filter.name.to_owned(),
            hint: hint.to_owned(),
            kind,
            value,
            unit: String::new(),
            choices: [any].into_iter().chain(options.iter().copied().map(Choice::of)).collect(),
            required: false,
        }
    }
}

impl Choice {
    pub(super) fn of(value: &str) -> Self {
        Self { value: value.to_owned(), label: value.to_owned() }
    }
}

impl InputKind {
    /// `None` for what no control can show.
    pub(super) fn of(field: &Field) -> Option<Self> {
        match field.kind {
            "int" if field.name == "ttl" => Some(Self::Duration),
            "int" => Some(Self::Number),
            "boolean" | "enum" => Some(Self::Choice),
            "string" | "password" if field.long => Some(Self::LongText),
            "password" => Some(Self::Password),
            "array[string]" => Some(Self::Lines),
            "string" | "date" => Some(Self::Text),
            kind => kind.starts_with("reference[").then_some(Self::Text),
        }
    }
}

fn hint(field: &Field, kind: InputKind) -> String {
    match kind {
        InputKind::Duration => "How long it lives from its creation; 0 is for ever".to_owned(),
        InputKind::Lines => format!("{}; one a line", field.description),
        _ => field.description.to_owned(),
    }
}

fn choices(purpose: Purpose, field: &Field, kind: InputKind) -> Vec<Choice> {
    let options: &[&str] = match (kind, field.kind) {
        (InputKind::Duration, _) => return UNITS.iter().map(|(unit, _)| Choice::of(unit)).collect(),
        (_, "boolean") => &["true", "false"],
        _ => field.options,
    };
    let unless_given =
        field.default_value.map_or("none".to_owned(), |value| format!("{value}, unless chosen"));
    let blank = (purpose == Purpose::Create && !field.required)
        .then(|| Choice { value: String::new(), label: unless_given });
    blank.into_iter().chain(options.iter().copied().map(Choice::of)).collect()
}

/// What the unit beside a duration is called.
pub(super) fn unit_name(field: &Field) -> String {
    format!("{}.unit", field.name)
}
