//! Finds the characters that no font could show, in the pages as they were laid out.

use std::collections::BTreeSet;

use typst::layout::{Frame, FrameItem};
use typst::text::TextItem;
use typst_layout::PagedDocument;

/// The glyph that every font shows for a character it does not have.
const NOT_DEFINED: u16 = 0;

/// Collects the characters of all pages that came out as a box.
pub(crate) fn characters(document: &PagedDocument) -> BTreeSet<char> {
    let mut found = BTreeSet::new();
    for page in document.pages() {
        collect(&page.frame, &mut found);
    }
    found
}

fn collect(frame: &Frame, found: &mut BTreeSet<char>) {
    for (_, item) in frame.items() {
        match item {
            FrameItem::Group(group) => collect(&group.frame, found),
            FrameItem::Text(text) => collect_from_text(text, found),
            FrameItem::Shape(..) | FrameItem::Image(..) | FrameItem::Link(..) | FrameItem::Tag(_) => {}
        }
    }
}

fn collect_from_text(text: &TextItem, found: &mut BTreeSet<char>) {
    for glyph in text.glyphs.iter().filter(|glyph| glyph.id == NOT_DEFINED) {
        let shown = text.text.get(glyph.range()).unwrap_or_default();
        found.extend(shown.chars().filter(|c| !c.is_whitespace() && !c.is_control()));
    }
}
