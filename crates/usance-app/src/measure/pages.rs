//! Events page by page, so that the memory of a run does not grow with the usage.

use usance_db::{
    TenantTx,
    events::{self, EventSpan, SpanCursor, SpanEvent},
};

use crate::error::Result;

/// Events that are held at once.
const PAGE_EVENTS: usize = 5_000;
/// Spans that one statement names.
const PAGE_SPANS: usize = 1_000;

/// The events of several spans that are not read yet.
#[derive(Debug)]
pub(crate) struct Pages<'a> {
    spans: &'a [EventSpan<'a>],
    /// The first span that is not read to its end.
    place: usize,
    after: Option<SpanCursor>,
}

impl<'a> Pages<'a> {
    pub(crate) const fn new(spans: &'a [EventSpan<'a>]) -> Self {
        Self { spans, place: 0, after: None }
    }

    /// Reads on, in the order of the spans and then of time and id hash; nothing at the end.
    pub(crate) async fn next(&mut self, tx: &mut TenantTx) -> Result<Option<Vec<SpanEvent>>> {
        while self.place < self.spans.len() {
            let first = self.place;
            let end = self.spans.len().min(first + PAGE_SPANS);
            let mut page = events::list_spans(tx, &self.spans[first..end], self.after, PAGE_EVENTS).await?;
            for event in &mut page {
                event.place += first;
            }
            (self.place, self.after) = follow(end, &page, PAGE_EVENTS);
            if !page.is_empty() {
                return Ok(Some(page));
            }
        }
        Ok(None)
    }
}

/// Where to go on after a page of the spans up to `end`: a full one may have been cut.
fn follow(end: usize, page: &[SpanEvent], limit: usize) -> (usize, Option<SpanCursor>) {
    match page.last() {
        Some(last) if page.len() >= limit => {
            (last.place, Some(SpanCursor { occurred_at: last.occurred_at, id_hash: last.id_hash }))
        }
        Some(_) | None => (end, None),
    }
}

#[cfg(test)]
mod tests;
