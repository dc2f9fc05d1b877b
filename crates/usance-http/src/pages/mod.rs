//! Pages for people: complete HTML documents without scripts, each a pure function of what it shows.

pub(crate) mod invoice;
pub(crate) mod message;

use aws_lc_rs::digest::{SHA256, digest};
use base64::{Engine, engine::general_purpose::STANDARD};

/// The only stylesheet; it is in each page, so that a page is one file.
const STYLESHEET: &str = include_str!("../../templates/invoice.css");

/// Returns the `Content-Security-Policy` that the pages work under: their own stylesheet, the logo and nothing else.
pub(crate) fn content_security_policy() -> String {
    let hash = STANDARD.encode(digest(&SHA256, STYLESHEET.as_bytes()));
    format!(
        "default-src 'none'; style-src 'sha256-{hash}'; img-src data:; base-uri 'none'; form-action 'none'; \
         frame-ancestors 'none'"
    )
}
