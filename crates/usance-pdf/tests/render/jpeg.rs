//! A picture, made by hand.

/// Writes a grey block as a JPEG file that says it is so wide: one table each for quantities, DC and AC codes, and two
/// codes of one bit.
pub(crate) fn jpeg(width: u16) -> Vec<u8> {
    let huffman = |class: u8| [&[0xff, 0xc4, 0, 20, class, 1][..], &[0; 16]].concat();
    let [high, low] = width.to_be_bytes();
    [
        &[0xff, 0xd8, 0xff, 0xdb, 0, 67, 0][..],
        &[1; 64],
        &[0xff, 0xc0, 0, 11, 8, 0, 8, high, low, 1, 1, 0x11, 0],
        &huffman(0),
        &huffman(0x10),
        &[0xff, 0xda, 0, 8, 1, 1, 0, 0, 63, 0, 0b0011_1111, 0xff, 0xd9],
    ]
    .concat()
}
