//! The query of a request.

use super::client::{encoded, joint};

/// Parameters, in the order in which they were added.
#[derive(Debug, Default, Clone)]
pub(super) struct Query(Vec<(&'static str, String)>);

impl Query {
    /// One more parameter, if there is a value for it.
    pub(super) fn add(&mut self, name: &'static str, value: Option<String>) {
        self.0.extend(value.map(|value| (name, value)));
    }

    /// A flag, if it is set.
    pub(super) fn flag(&mut self, name: &'static str, set: bool) {
        self.add(name, set.then(|| "true".to_owned()));
    }

    /// `path` with these parameters.
    pub(super) fn of(&self, path: &str) -> String {
        self.0.iter().fold(path.to_owned(), |path, (name, value)| {
            format!("{path}{}{name}={}", joint(&path), encoded(value))
        })
    }
}
