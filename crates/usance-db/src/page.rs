//! Pages of a list, newest first, by key and not by offset: stable while rows are added.

use uuid::Uuid;

/// Which part of a list is wanted.
#[derive(Debug, Clone, Copy)]
pub struct PageRequest {
    /// Items per page, 1 to 100.
    pub limit: u16,
    /// The id of the last item of the page before.
    pub after: Option<Uuid>,
}

impl PageRequest {
    /// One row more than the page holds, to learn whether there is a next page.
    pub(crate) fn fetch(self) -> i64 {
        i64::from(self.limit) + 1
    }
}

/// A part of a list.
#[derive(Debug, Clone)]
pub struct Page<T> {
    /// The items, newest first.
    pub items: Vec<T>,
    /// Whether older items exist.
    pub has_more: bool,
}

impl<T> Page<T> {
    pub(crate) fn new<R: Into<T>>(request: PageRequest, mut rows: Vec<R>) -> Self {
        let has_more = rows.len() > usize::from(request.limit);
        rows.truncate(usize::from(request.limit));
        Self { items: rows.into_iter().map(Into::into).collect(), has_more }
    }

    /// The same page of other items.
    pub fn map<U>(self, convert: impl FnMut(T) -> U) -> Page<U> {
        Page { items: self.items.into_iter().map(convert).collect(), has_more: self.has_more }
    }
}
