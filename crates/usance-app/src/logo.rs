//! Logos as tenants send them.

use std::io::Cursor;

use base64::{Engine, engine::general_purpose::STANDARD};
use usance_db::tenant_profiles::Logo;
use zune_jpeg::{
    JpegDecoder,
    zune_core::{bytestream::ZCursor, options::DecoderOptions},
};

use crate::error::{Error, Faults, Result};

const BYTES_MAX: usize = 256 * 1024;
/// A small file can unfold to gigabytes of pixels.
const SIDE_MAX: u16 = 2048;
/// What the decoder of PNG files may take for itself, beside one row.
const DECODER_BYTES_MAX: usize = 1024 * 1024;

/// Reads an image from base64, with or without the head of a `data:` address. Its first bytes say what it is, and it is
/// decoded once, so that every invoice can show it.
pub(crate) async fn read(faults: &mut Faults, text: String) -> Result<Option<Logo>> {
    let checked = tokio::task::spawn_blocking(move || check(&text)).await;
    match checked.map_err(|_| Error::Internal("the decoder of logos panicked"))? {
        Ok(logo) => Ok(Some(logo)),
        Err((code, detail)) => {
            faults.add("/logo", code, detail);
            Ok(None)
        }
    }
}

fn check(text: &str) -> std::result::Result<Logo, (&'static str, String)> {
    let encoded = match text.strip_prefix("data:") {
        Some(address) => address.split_once(";base64,").map_or("", |(_, encoded)| encoded),
        None => text,
    };
    let bytes = STANDARD.decode(encoded).unwrap_or_default();
    let (media_type, can_be_drawn): (_, fn(&[u8]) -> bool) = if bytes.starts_with(b"\x89PNG\r\n\x1a\n") {
        ("image/png", is_png)
    } else if bytes.starts_with(b"\xff\xd8\xff") {
        ("image/jpeg", is_jpeg)
    } else {
        return Err(("unknown_image", "must be a PNG or JPEG file in base64".to_owned()));
    };
    if bytes.len() > BYTES_MAX {
        return Err(("too_large", format!("must have at most {BYTES_MAX} bytes")));
    }
    if !can_be_drawn(&bytes) {
        let detail =
            format!("cannot be drawn: must be a whole image of at most {SIDE_MAX} by {SIDE_MAX} pixels");
        return Err(("broken_image", detail));
    }
    Ok(Logo { media_type: media_type.to_owned(), bytes })
}

fn is_png(bytes: &[u8]) -> bool {
    let limits = png::Limits { bytes: DECODER_BYTES_MAX };
    let Ok(mut reader) = png::Decoder::new_with_limits(Cursor::new(bytes), limits).read_info() else {
        return false;
    };
    let (width, height) = reader.info().size();
    if width.max(height) > u32::from(SIDE_MAX) {
        return false;
    }
    loop {
        match reader.next_row() {
            Ok(Some(_)) => {}
            Ok(None) => return true,
            Err(_) => return false,
        }
    }
}

fn is_jpeg(bytes: &[u8]) -> bool {
    let side = usize::from(SIDE_MAX);
    let options = DecoderOptions::default().set_max_width(side).set_max_height(side).set_strict_mode(true);
    JpegDecoder::new_with_options(ZCursor::new(bytes), options).decode().is_ok()
}

#[cfg(test)]
mod tests;
