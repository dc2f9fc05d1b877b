//! Refuses logos that would cost too much to decode or are not what they claim to be.

use usance_core::invoice::document::{Logo, LogoFormat};

use crate::PdfError;

const BYTES_MAX: usize = 1024 * 1024;

/// The largest width and height of a bitmap: a small file can unfold to gigabytes of pixels.
const PIXELS_MAX: u32 = 4096;

const JPEG_SIGNATURE: &[u8] = b"\xff\xd8\xff";

const PNG_SIGNATURE: &[u8] = b"\x89PNG\r\n\x1a\n";

/// Where the first chunk of a PNG file has its width; the height follows.
const PNG_WIDTH_AT: usize = 16;

/// Checks size and format, before anything is decoded.
pub(crate) fn check(logo: Option<&Logo>) -> Result<(), PdfError> {
    let Some(logo) = logo else { return Ok(()) };
    if logo.bytes.len() > BYTES_MAX {
        return Err(PdfError::Logo { reason: "the file is larger than 1 MiB" });
    }
    match logo.format {
        LogoFormat::Png => check_png(&logo.bytes),
        LogoFormat::Jpeg => check_jpeg(&logo.bytes),
        LogoFormat::Svg => check_svg(&logo.bytes),
    }
}

fn check_png(bytes: &[u8]) -> Result<(), PdfError> {
    if !bytes.starts_with(PNG_SIGNATURE) {
        return Err(PdfError::Logo { reason: "the file is not a PNG" });
    }
    match (big_endian(bytes, PNG_WIDTH_AT), big_endian(bytes, PNG_WIDTH_AT + 4)) {
        (Some(1..=PIXELS_MAX), Some(1..=PIXELS_MAX)) => Ok(()),
        (Some(_), Some(_)) => Err(PdfError::Logo { reason: "the picture is larger than 4096 pixels" }),
        (None, _) | (_, None) => Err(PdfError::Logo { reason: "the file is cut off" }),
    }
}

fn check_jpeg(bytes: &[u8]) -> Result<(), PdfError> {
    if !bytes.starts_with(JPEG_SIGNATURE) {
        return Err(PdfError::Logo { reason: "the file is not a JPEG" });
    }
    match jpeg_size(bytes) {
        Some((1..=PIXELS_MAX, 1..=PIXELS_MAX)) => Ok(()),
        Some(_) => Err(PdfError::Logo { reason: "the picture is larger than 4096 pixels" }),
        None => Err(PdfError::Logo { reason: "the file is cut off" }),
    }
}

/// Reads width and height from the first frame header among the segments (ITU-T T.81, B.1.1.4 and B.2.2).
fn jpeg_size(bytes: &[u8]) -> Option<(u32, u32)> {
    let number = |at: usize| Some(u16::from_be_bytes(bytes.get(at..at.checked_add(2)?)?.try_into().ok()?));
    let mut at: usize = 2;
    loop {
        let &[0xff, kind] = bytes.get(at..at.checked_add(2)?)? else { return None };
        match kind {
            // Fill bytes may stand before any marker.
            0xff => at += 1,
            // Tables and extensions among the frame headers' numbers.
            0xc4 | 0xc8 | 0xcc => at = at.checked_add(2)?.checked_add(number(at + 2)?.into())?,
            0xc0..=0xcf => return Some((number(at + 7)?.into(), number(at + 5)?.into())),
            _ => at = at.checked_add(2)?.checked_add(number(at + 2)?.into())?,
        }
    }
}

fn check_svg(bytes: &[u8]) -> Result<(), PdfError> {
    let text = str::from_utf8(bytes).map_err(|_| PdfError::Logo { reason: "the SVG is not UTF-8" })?;
    if text.contains("<svg") { Ok(()) } else { Err(PdfError::Logo { reason: "the file is not an SVG" }) }
}

fn big_endian(bytes: &[u8], at: usize) -> Option<u32> {
    let four = bytes.get(at..at.checked_add(4)?)?;
    Some(u32::from_be_bytes(four.try_into().ok()?))
}
