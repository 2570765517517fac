//! Forms: made from the fields of a schema, filled from what is there, and read back as the JSON the API takes.

use bytes::Bytes;
use http::StatusCode;
use serde_json::{Map, Value};

use super::text::{UNITS, in_units, text};
use crate::api::error::ApiError;
use crate::api::schema::{Field, Filter};

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
        let inputs: Vec<_> = fields
            .iter()
            .filter(|field| purpose.takes(field))
            .filter_map(|field| Input::of(purpose, prefix, field, given))
            .collect();
        (!inputs.is_empty()).then(|| Self { inputs, open: given.data.is_some(), ..Self::default() })
    }

    pub(super) fn button(mut self, label: impl Into<String>) -> Self {
        self.buttons.push(Button { label: label.into(), value: "" });
        self
    }
}

/// What the controls of a form are filled with: what was sent and refused, else what the resource has.
#[derive(Clone, Copy, Default)]
pub(super) struct Given<'a> {
    pub(super) data: Option<&'a FormData>,
    pub(super) object: Option<&'a Value>,
}

impl Given<'_> {
    fn text(self, field: &Field) -> String {
        if let Some(sent) = self.data.and_then(|data| data.get(field.name)) {
            return sent.to_owned();
        }
        match self.object.and_then(|object| object.get(field.name)) {
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
    fn of(purpose: Purpose, prefix: &str, field: &'static Field, given: Given<'_>) -> Option<Self> {
        let kind = InputKind::of(field)?;
        let (value, unit) = match kind {
            InputKind::Password => (String::new(), String::new()),
            InputKind::Duration => given.duration(field),
            _ => (given.text(field), String::new()),
        };
        Some(Self {
            id: format!("{prefix}-{}", field.name),
            name: field.name.to_owned(),
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
    fn of(field: &Field) -> Option<Self> {
        match field.kind {
            "int" if field.name == "ttl" => Some(Self::Duration),
            "int" => Some(Self::Number),
            "boolean" | "enum" => Some(Self::Choice),
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

/// A form as a browser sends it.
pub(super) struct FormData(Vec<(String, String)>);

impl FormData {
    pub(super) fn parse(bytes: &Bytes) -> Self {
        Self(form_urlencoded::parse(bytes).into_owned().collect())
    }

    pub(super) fn get(&self, name: &str) -> Option<&str> {
        self.0.iter().find(|(field, _)| field == name).map(|(_, value)| value.as_str())
    }

    /// The fields as the API takes them. Of an update only what differs from `current`: what somebody else has changed
    /// in the meantime stays as it is.
    pub(super) fn to_json(
        &self,
        purpose: Purpose,
        fields: &[Field],
        current: Option<&Value>,
    ) -> Result<Value, ApiError> {
        let mut object = Map::new();
        for field in fields.iter().filter(|field| purpose.takes(field)) {
            let Some(value) = self.value(purpose, field)? else { continue };
            let unchanged = current.and_then(|current| current.get(field.name)) == Some(&value);
            if !unchanged || field.required {
                object.insert(field.name.to_owned(), value);
            }
        }
        Ok(Value::Object(object))
    }

    fn value(&self, purpose: Purpose, field: &Field) -> Result<Option<Value>, ApiError> {
        let Some(sent) = self.get(field.name) else { return Ok(None) };
        let Some(kind) = InputKind::of(field) else { return Ok(None) };
        let empty = if kind == InputKind::Password { sent.is_empty() } else { sent.trim().is_empty() };
        let can_be_emptied = purpose == Purpose::Update
            && matches!(kind, InputKind::Lines | InputKind::Text | InputKind::LongText);
        if empty && !can_be_emptied {
            return Ok(None);
        }
        Ok(Some(match kind {
            InputKind::Number => number(field, sent)?.into(),
            InputKind::Duration => self.duration(field, sent)?.into(),
            InputKind::Choice if field.kind == "boolean" => (sent == "true").into(),
            InputKind::Lines => {
                sent.lines().map(str::trim).filter(|line| !line.is_empty()).map(Value::from).collect()
            }
            InputKind::Choice | InputKind::Password => sent.into(),
            // Browsers end lines as networks do.
            InputKind::Text | InputKind::LongText => sent.replace("\r\n", "\n").into(),
        }))
    }

    fn duration(&self, field: &Field, sent: &str) -> Result<i64, ApiError> {
        let unit = self.get(&unit_name(field)).unwrap_or("milliseconds");
        let length =
            UNITS.iter().find(|(name, _)| *name == unit).and_then(|(_, length)| i64::try_from(*length).ok());
        let millis =
            length.zip(Some(number(field, sent)?)).and_then(|(length, number)| number.checked_mul(length));
        millis.ok_or_else(|| ApiError::invalid("InvalidFormat", format!("{} is too long", field.name)))
    }
}

fn number(field: &Field, sent: &str) -> Result<i64, ApiError> {
    let error = || {
        ApiError::new(
            StatusCode::UNPROCESSABLE_ENTITY,
            "InvalidFormat",
            format!("{} must be a whole number", field.name),
        )
    };
    sent.trim().parse().map_err(|_| error())
}

fn unit_name(field: &Field) -> String {
    format!("{}.unit", field.name)
}
