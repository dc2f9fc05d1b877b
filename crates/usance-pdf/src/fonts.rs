//! The embedded fonts, which are all the fonts there are: the same invoice looks the same on every machine.

use std::sync::LazyLock;

use typst::foundations::Bytes;
use typst::text::{Font, FontBook};
use typst::utils::LazyHash;

/// Noto Sans for Latin, Greek and Cyrillic, and one font for each other script; Han characters have the Chinese shapes
/// of Droid Sans Fallback.
const FILES: [&[u8]; 6] = [
    notosans::REGULAR_TTF,
    notosans::BOLD_TTF,
    include_bytes!(concat!(env!("OUT_DIR"), "/noto-SansHebrew.ttf")),
    include_bytes!(concat!(env!("OUT_DIR"), "/noto-SansDevanagari.ttf")),
    include_bytes!(concat!(env!("OUT_DIR"), "/droid-SansFallback.ttf")),
    include_bytes!(concat!(env!("OUT_DIR"), "/dejavu-Sans.ttf")),
];

/// The fonts as typst wants them.
pub(crate) struct Fonts {
    pub(crate) book: LazyHash<FontBook>,
    pub(crate) faces: Vec<Font>,
}

/// Read at the first use.
pub(crate) static FONTS: LazyLock<Fonts> = LazyLock::new(|| {
    let faces: Vec<Font> = FILES.iter().flat_map(|file| Font::iter(Bytes::new(*file))).collect();
    Fonts { book: LazyHash::new(FontBook::from_fonts(&faces)), faces }
});
