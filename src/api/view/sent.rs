//! Forms as browsers send them, read as the JSON that the API takes.

use bytes::Bytes;
use http::StatusCode;
use serde_json::{Map, Value};

use super::form::{InputKind, Purpose, inner, taken, unit_name};
use super::text::UNITS;
use crate::api::error::ApiError;
use crate::api::schema::Field;

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
        fields: &'static [Field],
        current: Option<&Value>,
    ) -> Result<Value, ApiError> {
        let mut object = Map::new();
        for field in taken(purpose, fields) {
            let value = match inner(field) {
                Some(inner) => self.object(purpose, field.name, inner)?,
                None => self.value(purpose, field.name, field)?,
            };
            let Some(value) = value else { continue };
            let unchanged = current.and_then(|current| current.get(field.name)) == Some(&value);
            if !unchanged || field.required {
                object.insert(field.name.to_owned(), value);
            }
        }
        Ok(Value::Object(object))
    }

    /// An object within the resource; `None` if nothing of it was filled in.
    fn object(
        &self,
        purpose: Purpose,
        name: &str,
        fields: &'static [Field],
    ) -> Result<Option<Value>, ApiError> {
        let mut object = Map::new();
        for field in taken(purpose, fields) {
            if let Some(value) = self.value(purpose, &format!("{name}.{}", field.name), field)? {
                object.insert(field.name.to_owned(), value);
            }
        }
        Ok((!object.is_empty()).then_some(Value::Object(object)))
    }

    fn value(&self, purpose: Purpose, name: &str, field: &Field) -> Result<Option<Value>, ApiError> {
        let Some(sent) = self.get(name) else { return Ok(None) };
        let Some(kind) = InputKind::of(field) else { return Ok(None) };
        let empty = if kind == InputKind::Password { sent.is_empty() } else { sent.trim().is_empty() };
        // Of what is never shown, an empty control says nothing.
        let can_be_emptied = purpose == Purpose::Update
            && !field.write_only
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
