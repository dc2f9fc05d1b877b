use super::*;

/// Writes an image of grey pixels as a PNG file.
fn png(width: u32, height: u32) -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut encoder = png::Encoder::new(&mut bytes, width, height);
    encoder.set_color(png::ColorType::Grayscale);
    let pixels = vec![127; (width * height) as usize];
    encoder.write_header().unwrap().write_image_data(&pixels).unwrap();
    bytes
}

/// Writes a grey block as a JPEG file: one table each for quantities, DC and AC codes, and two codes of one bit.
fn jpeg() -> Vec<u8> {
    let huffman = |class: u8| [&[0xff, 0xc4, 0, 20, class, 1][..], &[0; 16]].concat();
    [
        &[0xff, 0xd8, 0xff, 0xdb, 0, 67, 0][..],
        &[1; 64],
        &[0xff, 0xc0, 0, 11, 8, 0, 8, 0, 8, 1, 1, 0x11, 0],
        &huffman(0),
        &huffman(0x10),
        &[0xff, 0xda, 0, 8, 1, 1, 0, 0, 63, 0, 0b0011_1111, 0xff, 0xd9],
    ]
    .concat()
}

fn code(bytes: &[u8]) -> Option<&'static str> {
    check(&STANDARD.encode(bytes)).err().map(|(code, _)| code)
}

#[test]
fn a_logo_is_what_its_first_bytes_say() {
    for (bytes, media_type) in [(png(3, 2), "image/png"), (jpeg(), "image/jpeg")] {
        let encoded = STANDARD.encode(&bytes);
        for text in [encoded.clone(), format!("data:image/gif;base64,{encoded}")] {
            let logo = check(&text).unwrap();
            assert_eq!((logo.media_type.as_str(), &logo.bytes), (media_type, &bytes));
        }
    }
}

#[test]
fn a_logo_of_another_kind_or_size_is_refused() {
    let svg = STANDARD.encode("<svg xmlns='http://www.w3.org/2000/svg'/>");
    for text in ["", "data:", "data:image/png,abc", "not base64!", svg.as_str()] {
        assert_eq!(check(text).unwrap_err().0, "unknown_image", "{text}");
    }
    let mut padded = png(1, 1);
    padded.resize(BYTES_MAX, 0);
    assert_eq!(code(&padded), None);

    padded.push(0);

    assert_eq!(code(&padded), Some("too_large"));
}

#[test]
fn a_logo_that_no_invoice_could_show_is_refused() {
    let (whole, jpeg) = (png(40, 40), jpeg());
    let mut damaged = whole.clone();
    let middle = damaged.len() / 2;
    damaged[middle] ^= 0x55;

    for broken in [&whole[..whole.len() / 2], &whole[..8], &damaged, &jpeg[..jpeg.len() / 2], &jpeg[..4]] {
        assert_eq!(code(broken), Some("broken_image"));
    }
    assert_eq!(
        (code(&png(2048, 1)), code(&png(2049, 1)), code(&png(1, 2049))),
        (None, Some("broken_image"), Some("broken_image"))
    );
}
