//! Lists, page by page. A page begins after a row and not after a number of rows, so it costs the same anywhere in the
//! list, and rows that come or go meanwhile make no other row appear twice or be missed.

use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use rusqlite::types::{FromSql, FromSqlResult, ToSqlOutput, Value, ValueRef};
use rusqlite::{Connection, Row, ToSql, params_from_iter};
use serde::{Deserialize, Serialize};

use super::StoreError;

/// A part of a list.
#[derive(Debug, Clone)]
pub struct Page<T> {
    /// What is in it. Rows that are corrupt are left out and logged.
    pub items: Vec<T>,
    /// Where the next page begins; `None` on the last.
    pub next: Option<Marker>,
}

/// A place in a list: after the last row of a page. Shown to clients as a text that goes into a URL and means nothing
/// to them.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Marker(String, Vec<Place>);

/// A text that is no [`Marker`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not a marker that a list has given")]
pub struct MarkerError;

/// One of the values by which rows are sorted.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
enum Place {
    Integer(i64),
    Text(String),
}

/// What a list is sorted by. `columns` together are unique, or a page could end between equals.
#[derive(Debug, Clone, Copy)]
pub(super) struct Order {
    /// Stands in markers, so that one of another list is told apart.
    pub(super) name: &'static str,
    pub(super) columns: &'static [&'static str],
    pub(super) descending: bool,
}

/// The conditions that the rows of a list fulfil, with their values.
#[derive(Debug, Default)]
pub(super) struct Conditions {
    clauses: Vec<&'static str>,
    values: Vec<Value>,
}

/// A list's query.
#[derive(Debug)]
pub(super) struct Selection<'q> {
    pub(super) columns: &'static str,
    pub(super) table: &'static str,
    pub(super) conditions: Conditions,
    pub(super) order: Order,
    pub(super) after: Option<&'q Marker>,
    pub(super) limit: u32,
}

impl Conditions {
    /// Another condition, with the value of its one `?`.
    pub(super) fn add(&mut self, clause: &'static str, value: impl Into<Value>) {
        self.clauses.push(clause);
        self.values.push(value.into());
    }

    /// Another condition, that needs no value.
    pub(super) fn require(&mut self, clause: &'static str) {
        self.clauses.push(clause);
    }

    /// Another condition, with the values of its `?`s.
    pub(super) fn add_all(&mut self, clause: &'static str, values: impl IntoIterator<Item = Value>) {
        self.clauses.push(clause);
        self.values.extend(values);
    }

    /// What stands after `WHERE`, and its values.
    pub(super) fn sql(self) -> (String, Vec<Value>) {
        let text = if self.clauses.is_empty() { "TRUE".to_owned() } else { self.clauses.join(" AND ") };
        (text, self.values)
    }
}

impl Selection<'_> {
    /// The page, each row made an item by `read`.
    pub(super) fn page<T>(
        self,
        connection: &Connection,
        read: fn(&Row<'_>) -> Result<T, StoreError>,
    ) -> Result<Page<T>, StoreError> {
        let (order, limit) = (self.order, self.limit.clamp(1, MAX_PAGE));
        let (sql, values) = self.sql(limit)?;
        let mut statement = connection.prepare_cached(&sql)?;
        let first_place = statement.column_count().saturating_sub(order.columns.len());
        let mut rows = statement.query(params_from_iter(values))?;
        let (mut items, mut count, mut places) = (Vec::new(), 0, Vec::new());
        while let Some(row) = rows.next()? {
            // One row more than asked for was looked for, to learn whether there is a next page.
            if count == limit {
                return Ok(Page { items, next: Some(Marker(order.tag(), places)) });
            }
            count += 1;
            places =
                (0..order.columns.len()).map(|at| row.get(first_place + at)).collect::<Result<_, _>>()?;
            match read(row) {
                Ok(item) => items.push(item),
                Err(corrupt) => tracing::warn!(error = %corrupt, "left out of a listing"),
            }
        }
        Ok(Page { items, next: None })
    }

    fn sql(self, limit: u32) -> Result<(String, Vec<Value>), StoreError> {
        let places = self.order.columns.join(", ");
        let direction = if self.order.descending { "DESC" } else { "ASC" };
        let sorted: Vec<String> =
            self.order.columns.iter().map(|column| format!("{column} {direction}")).collect();
        let (mut conditions, mut values) = self.conditions.sql();
        if let Some(Marker(tag, after)) = self.after {
            if *tag != self.order.tag() || after.len() != self.order.columns.len() {
                return Err(StoreError::ForeignMarker);
            }
            let beyond = if self.order.descending { "<" } else { ">" };
            let wanted = vec!["?"; after.len()].join(", ");
            conditions = format!("{conditions} AND ({places}) {beyond} ({wanted})");
            values.extend(after.iter().cloned().map(Value::from));
        }
        values.push(Value::from(limit.saturating_add(1)));
        let sql = format!(
            "SELECT {}, {places} FROM {} WHERE {conditions} ORDER BY {} LIMIT ?",
            self.columns,
            self.table,
            sorted.join(", ")
        );
        Ok((sql, values))
    }
}

#[cfg(test)]
impl Selection<'_> {
    /// How SQLite finds the page.
    pub(super) fn plan(self, connection: &Connection) -> String {
        let (sql, values) = self.sql(10).unwrap();
        let mut statement = connection.prepare(&format!("EXPLAIN QUERY PLAN {sql}")).unwrap();
        let steps = statement.query_map(params_from_iter(values), |row| row.get(3)).unwrap();
        steps.collect::<Result<Vec<String>, _>>().unwrap().join("; ")
    }
}

impl Order {
    fn tag(self) -> String {
        format!("{}{}", self.name, if self.descending { "-" } else { "+" })
    }
}

impl fmt::Display for Marker {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&URL_SAFE_NO_PAD.encode(serde_json::to_vec(self).map_err(|_| fmt::Error)?))
    }
}

impl TryFrom<&str> for Marker {
    type Error = MarkerError;

    fn try_from(text: &str) -> Result<Self, MarkerError> {
        let json = URL_SAFE_NO_PAD.decode(text).map_err(|_| MarkerError)?;
        serde_json::from_slice(&json).map_err(|_| MarkerError)
    }
}

impl From<Place> for Value {
    fn from(place: Place) -> Self {
        match place {
            Place::Integer(number) => Self::Integer(number),
            Place::Text(text) => Self::Text(text),
        }
    }
}

impl ToSql for Place {
    fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
        Ok(ToSqlOutput::Owned(self.clone().into()))
    }
}

impl FromSql for Place {
    fn column_result(value: ValueRef<'_>) -> FromSqlResult<Self> {
        match value {
            ValueRef::Integer(number) => Ok(Self::Integer(number)),
            other => Ok(Self::Text(String::from_utf8_lossy(other.as_bytes()?).into_owned())),
        }
    }
}

/// Rows in a page, whatever is asked for.
pub const MAX_PAGE: u32 = 10_000;
