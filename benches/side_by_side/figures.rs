//! What was measured: a table for each scenario, in it a row for each proxy, in that a value of each round.

use std::time::Duration;

use serde::{Deserialize, Serialize};

/// A column.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Measure {
    /// With its unit: `CPU a request, µs`.
    pub(crate) name: String,
    /// Digits after the point, for people.
    pub(crate) digits: usize,
    /// Whether what we take for each that another takes is of interest.
    pub(crate) is_compared: bool,
}

impl Measure {
    pub(crate) fn compared(name: &str, digits: usize) -> Self {
        Self { name: name.to_owned(), digits, is_compared: true }
    }

    pub(crate) fn told(name: &str, digits: usize) -> Self {
        Self { name: name.to_owned(), digits, is_compared: false }
    }
}

/// What came of a scenario, ourselves first.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Table {
    pub(crate) scenario: String,
    /// When, and on what.
    pub(crate) machine: String,
    pub(crate) measures: Vec<Measure>,
    pub(crate) rows: Vec<Row>,
}

/// Of one proxy.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Row {
    pub(crate) name: String,
    /// Of each measure the values of all rounds; nothing where one could not be had.
    pub(crate) values: Vec<Vec<Option<f64>>>,
}

impl Table {
    pub(crate) fn new(scenario: &str, measures: Vec<Measure>, proxies: &[&str]) -> Self {
        let row = |name: &&str| Row { name: (*name).to_owned(), values: vec![Vec::new(); measures.len()] };
        let rows = proxies.iter().map(row).collect();
        Self { scenario: scenario.to_owned(), machine: String::new(), measures, rows }
    }
}

impl Row {
    /// Takes down what a round gave, a value for each measure; NaN is what could not be had.
    pub(crate) fn add(&mut self, round: &[f64]) {
        assert_eq!(round.len(), self.values.len(), "{}", self.name);
        for (values, value) in self.values.iter_mut().zip(round) {
            values.push(Some(*value).filter(|value| value.is_finite()));
        }
    }
}

/// The middle, the least and the most.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Spread {
    pub(crate) median: f64,
    pub(crate) least: f64,
    pub(crate) most: f64,
}

impl Spread {
    /// `None` where nothing was measured.
    pub(crate) fn of(values: &[Option<f64>]) -> Option<Self> {
        let mut values: Vec<_> = values.iter().flatten().copied().collect();
        values.sort_by(f64::total_cmp);
        let (least, most) = (*values.first()?, *values.last()?);
        Some(Self { median: values[values.len() / 2], least, most })
    }

    /// Of `values` to those of `peer` in the same round.
    pub(crate) fn of_ratios(values: &[Option<f64>], peer: &[Option<f64>]) -> Option<Self> {
        let ratio = |(value, peer): (&Option<f64>, &Option<f64>)| Some((*value)? / (*peer)?);
        Self::of(&values.iter().zip(peer).map(ratio).collect::<Vec<_>>())
    }
}

pub(crate) fn micros(time: Duration) -> f64 {
    time.as_secs_f64() * 1e6
}
