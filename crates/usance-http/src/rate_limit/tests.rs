use axum::http::{HeaderMap, HeaderValue, Method};

use super::{forwarded_for, network, pays};

fn forwarded(lists: &[impl AsRef<[u8]>], trusted_proxies: usize) -> Option<String> {
    let mut headers = HeaderMap::new();
    for list in lists {
        headers.append("x-forwarded-for", HeaderValue::from_bytes(list.as_ref()).unwrap());
    }
    forwarded_for(&headers, trusted_proxies).map(|address| address.to_string())
}

#[test]
fn only_what_a_trusted_proxy_wrote_is_believed() {
    // given
    let lists = ["203.0.113.9, 198.51.100.7", "192.0.2.1"];

    // when
    let believed = [0, 1, 2, 3, 4].map(|trusted| forwarded(&lists, trusted));

    // then
    let expected = [None, Some("192.0.2.1"), Some("198.51.100.7"), Some("203.0.113.9"), None];
    assert_eq!(believed.map(|it| it.as_deref().map(str::to_owned)), expected.map(|it| it.map(str::to_owned)));
    assert_eq!(forwarded(&["unknown"], 1), None);
}

#[test]
fn what_a_client_wrote_does_not_hide_what_a_proxy_added() {
    let hidden: [&[u8]; 2] = [b"\xff, 203.0.113.9", b"\xc3\xa9,,203.0.113.9"];
    for list in hidden {
        assert_eq!(forwarded(&[list], 1).as_deref(), Some("203.0.113.9"));
    }
    for (written, read) in [
        ("203.0.113.9:49152", "203.0.113.9"),
        ("[2001:db8::1]:443", "2001:db8::1"),
        ("[2001:db8::1]", "2001:db8::1"),
    ] {
        assert_eq!(forwarded(&[written], 1).as_deref(), Some(read));
    }
}

#[test]
fn the_addresses_of_one_home_are_one_caller() {
    // given
    let addresses = ["2001:db8:1:2::1", "2001:db8:1:2:ffff::9", "203.0.113.9"];

    // when
    let networks = addresses.map(|address| network(address.parse().unwrap()));

    // then
    assert_eq!(networks, ["2001:db8:1:2::", "2001:db8:1:2::", "203.0.113.9"]);
}

#[test]
fn paying_is_told_by_method_and_path() {
    // given
    let cases = [
        (Method::POST, "/api/v1/invoices/inv_1/pay", true),
        (Method::POST, "/api/v1/payments/pay_1/refunds/", true),
        (Method::GET, "/api/v1/payments/pay_1/refunds", false),
        (Method::POST, "/api/v1/events", false),
    ];

    for (method, path, expected) in cases {
        // when
        let paying = pays(&method, path);

        // then
        assert_eq!(paying, expected, "{method} {path}");
    }
}
