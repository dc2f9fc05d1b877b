//! The payment link as a QR code, drawn as one path so that it stays sharp at any size.

use std::fmt::Write;

use fast_qr::{ECL, QRBuilder};

/// Draws an address as SVG without the white margin of four modules that a scanner needs, which the page gives; nothing if it is too long for a QR code.
pub(crate) fn svg(address: &str) -> Option<String> {
    let code = QRBuilder::new(address).ecl(ECL::M).build().ok()?;
    let mut path = String::new();
    for row in 0..code.size {
        for column in (0..code.size).filter(|&column| code[row][column].value()) {
            let written = write!(path, "M{column},{row}h1v1h-1z");
            written.expect("a String takes every write");
        }
    }
    let side = code.size;
    Some(format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {side} {side}\" shape-rendering=\"crispEdges\">\
         <path d=\"{path}\"/></svg>"
    ))
}
