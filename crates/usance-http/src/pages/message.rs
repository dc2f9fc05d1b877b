//! A page that only says something.

use askama::Template;

use super::STYLESHEET;

#[derive(Template)]
#[template(path = "message.html")]
struct MessagePage<'a> {
    stylesheet: &'static str,
    title: &'a str,
    text: &'a str,
}

/// Writes a title and a sentence as a complete HTML document.
pub(crate) fn message_page(title: &str, text: &str) -> String {
    let page = MessagePage { stylesheet: STYLESHEET, title, text };
    page.render().expect("a String takes every write, and the template calls nothing that fails")
}
