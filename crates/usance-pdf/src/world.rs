//! What typst may see: one template, its inputs and the embedded fonts.

use std::sync::LazyLock;

use typst::diag::{FileError, FileResult};
use typst::foundations::{Bytes, Datetime, Dict, Duration};
use typst::syntax::{FileId, RootedPath, Source, VirtualPath, VirtualRoot};
use typst::text::{Font, FontBook};
use typst::utils::LazyHash;
use typst::{Library, LibraryExt, World};

use crate::fonts::FONTS;

/// The layout of invoices and credit notes.
const INVOICE: &str = include_str!("invoice.typ");

static TEMPLATE_ID: LazyLock<FileId> = LazyLock::new(|| {
    let path = VirtualPath::new("invoice.typ").expect("a plain file name is a path");
    RootedPath::new(VirtualRoot::Project, path).intern()
});

/// A world of one file.
pub(crate) struct TemplateWorld {
    library: LazyHash<Library>,
    template: Source,
}

impl TemplateWorld {
    /// Gives the invoice template its inputs.
    pub(crate) fn of_invoice(inputs: Dict) -> Self {
        Self::new(INVOICE.to_owned(), inputs)
    }

    /// Takes a template without inputs.
    pub(crate) fn of_text(template: String) -> Self {
        Self::new(template, Dict::new())
    }

    fn new(template: String, inputs: Dict) -> Self {
        let library = LazyHash::new(Library::builder().with_inputs(inputs).build());
        Self { library, template: Source::new(*TEMPLATE_ID, template) }
    }
}

impl World for TemplateWorld {
    fn library(&self) -> &LazyHash<Library> {
        &self.library
    }

    fn book(&self) -> &LazyHash<FontBook> {
        &FONTS.book
    }

    fn main(&self) -> FileId {
        *TEMPLATE_ID
    }

    fn source(&self, id: FileId) -> FileResult<Source> {
        if id == *TEMPLATE_ID { Ok(self.template.clone()) } else { Err(FileError::AccessDenied) }
    }

    fn file(&self, _: FileId) -> FileResult<Bytes> {
        Err(FileError::AccessDenied)
    }

    fn font(&self, index: usize) -> Option<Font> {
        FONTS.faces.get(index).cloned()
    }

    fn today(&self, _: Option<Duration>) -> Option<Datetime> {
        None
    }
}
