//! Collections: a page of resources, and the links to the other pages, in the shape of Rancher's API.

use std::collections::BTreeMap;

use serde::Serialize;
use utoipa::ToSchema;

use super::error::ApiError;
use super::query::Query;
use super::request::Links;
use super::schema::Schema;

/// A page of resources of one type.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(super) struct Collection<T> {
    /// Always `collection`.
    #[serde(rename = "type")]
    kind: &'static str,
    /// The type of what is in it.
    resource_type: &'static str,
    links: CollectionLinks,
    /// Where one of these types is made, if the caller may.
    create_types: BTreeMap<&'static str, String>,
    /// Where an action on the whole is done, if the caller may.
    actions: BTreeMap<&'static str, String>,
    pagination: Pagination,
    sort: Sort,
    /// By what it can be filtered, and by what it is.
    filters: BTreeMap<&'static str, Option<Vec<AppliedFilter>>>,
    /// The resources.
    data: Vec<T>,
}

#[derive(Debug, Serialize, ToSchema)]
struct CollectionLinks {
    #[serde(rename = "self")]
    this: String,
}

/// Which part of the whole this is.
#[derive(Debug, Serialize, ToSchema)]
struct Pagination {
    /// How many a page has at most.
    limit: u32,
    /// How many there are, if it is known.
    #[serde(skip_serializing_if = "Option::is_none")]
    total: Option<usize>,
    /// Whether there is more than this page.
    partial: bool,
    /// The first page.
    first: String,
    /// The page after this one.
    #[serde(skip_serializing_if = "Option::is_none")]
    next: Option<String>,
}

/// What it is sorted by.
#[derive(Debug, Serialize, ToSchema)]
struct Sort {
    #[serde(skip_serializing_if = "Option::is_none")]
    name: Option<String>,
    /// `asc` or `desc`.
    order: &'static str,
    /// The other way round.
    reverse: String,
    /// Sorted by something else.
    links: BTreeMap<&'static str, String>,
}

/// A filter in use.
#[derive(Debug, Serialize, ToSchema)]
struct AppliedFilter {
    /// Always `eq`.
    modifier: &'static str,
    value: String,
}

/// Which page of what is shown to whom.
pub(super) struct Listing<'a> {
    pub(super) schema: &'static Schema,
    pub(super) links: &'a Links,
    pub(super) query: &'a Query,
    /// Whether the caller is an administrator.
    pub(super) administrator: bool,
}

/// Part of a whole, in order.
pub(super) struct Part<T> {
    pub(super) data: Vec<T>,
    /// The marker of the next part, if there is one.
    pub(super) next: Option<String>,
    /// Whether it is in descending order.
    pub(super) descending: bool,
}

impl Listing<'_> {
    /// The collection with all there is, which is little: no query parts it.
    pub(super) fn whole<T>(&self, mut data: Vec<T>) -> Result<Collection<T>, ApiError> {
        let descending = self.query.descending()?.unwrap_or(false);
        if descending {
            data.reverse();
        }
        self.collection(Part { data, next: None, descending })
    }

    /// The collection with `part` of it.
    pub(super) fn collection<T>(&self, part: Part<T>) -> Result<Collection<T>, ApiError> {
        let is_first = self.query.text("marker")?.is_none();
        let partial = part.next.is_some() || !is_first;
        Ok(Collection {
            kind: "collection",
            resource_type: self.schema.id,
            links: CollectionLinks { this: self.base() },
            create_types: self.create_types(),
            actions: self.actions(),
            pagination: Pagination {
                limit: self.query.limit()?,
                total: (!partial).then_some(part.data.len()),
                partial,
                first: self.url(PAGED, &[]),
                next: part.next.map(|marker| self.url(PAGED, &[("marker", &marker)])),
            },
            sort: self.sort(part.descending)?,
            filters: self.filters()?,
            data: part.data,
        })
    }

    fn base(&self) -> String {
        self.links.to(&self.schema.path())
    }

    /// The URL of the same filters with other parameters.
    fn url(&self, kept: &[&str], changed: &[(&str, &str)]) -> String {
        let filters = self.schema.filters.iter().map(|filter| filter.name);
        let kept: Vec<&str> = filters.chain(kept.iter().copied()).collect();
        self.query.url(&self.base(), &kept, changed)
    }

    fn create_types(&self) -> BTreeMap<&'static str, String> {
        let creatable = self.schema.collection_methods.of(self.administrator).contains(&"POST");
        creatable.then(|| (self.schema.id, self.base())).into_iter().collect()
    }

    fn actions(&self) -> BTreeMap<&'static str, String> {
        let may =
            self.schema.collection_actions.iter().filter(|act| self.administrator || !act.administrators);
        may.map(|act| (act.name, format!("{}?action={}", self.base(), act.name))).collect()
    }

    fn sort(&self, descending: bool) -> Result<Sort, ApiError> {
        let name = self.query.text("sort")?.or(self.schema.sorts.first().copied()).map(ToOwned::to_owned);
        let (order, reversed) = if descending { ("desc", "asc") } else { ("asc", "desc") };
        let others = self.schema.sorts.iter();
        Ok(Sort {
            name,
            order,
            reverse: self.url(&["sort", "limit"], &[("order", reversed)]),
            links: others.map(|name| (*name, self.url(&["limit"], &[("sort", name)]))).collect(),
        })
    }

    fn filters(&self) -> Result<BTreeMap<&'static str, Option<Vec<AppliedFilter>>>, ApiError> {
        let mut filters = BTreeMap::new();
        for filter in self.schema.filters {
            let value = self.query.text(filter.name)?;
            let applied = value.map(|value| vec![AppliedFilter { modifier: "eq", value: value.to_owned() }]);
            filters.insert(filter.name, applied);
        }
        Ok(filters)
    }
}

/// The parameters, besides the filters, that the pages of a list have in common.
const PAGED: &[&str] = &["sort", "order", "limit"];
