use rust_decimal::Decimal;
use serde_json::json;

use super::{
    answers::{Explanation, Money},
    figures::{grouped, major},
    invoice::{self, Parties},
    sample,
};

#[test]
fn thousands_are_parted_and_fractions_are_not() {
    for (number, expected) in [
        ("0", "0"),
        ("999", "999"),
        ("1000", "1,000"),
        ("-1234567.80", "-1,234,567.8"),
        ("100000", "100,000"),
        ("0.00002", "0.00002"),
    ] {
        assert_eq!(grouped(number.parse::<Decimal>().unwrap()), expected);
    }
}

#[test]
fn an_amount_has_the_digits_of_its_currency() {
    for (amount_minor, currency, expected) in [
        (124_750, "USD", "1,247.50"),
        (1247, "JPY", "1,247"),
        (-5, "KWD", "-0.005"),
        (7, "???", "7 minor units"),
    ] {
        assert_eq!(major(&Money { amount_minor, currency: currency.to_owned() }), expected);
    }
}

#[test]
fn the_sample_is_the_same_on_every_machine() {
    // The README shows the invoice of this file.
    let csv = sample::csv();
    let rows: Vec<Vec<&str>> = csv.lines().skip(1).map(|line| line.split(',').collect()).collect();
    let tokens: u64 = rows.iter().flat_map(|row| &row[1..]).map(|text| text.parse::<u64>().unwrap()).sum();

    assert_eq!(csv.lines().next(), Some("TIMESTAMP,ContextTokens,GeneratedTokens"));
    assert_eq!(rows.len(), 5000);
    assert!(rows.is_sorted_by_key(|row| row[0]));
    assert!(rows.iter().all(|row| row[0].starts_with("2023-11-") && row[0].ends_with('Z')));
    assert_eq!(tokens, 11_253_626);
}

#[test]
fn the_invoice_shows_each_line_and_how_it_came_about_within_100_columns() {
    // given
    let usd = |amount_minor: i64| json!({ "amount_minor": amount_minor, "currency": "USD" });
    let line = |id: &str, name: &str, quantity: &str, amount: i64| json!({ "id": id, "description": name, "quantity": quantity, "amount": usd(amount) });
    let explanation: Explanation = serde_json::from_value(json!({
        "invoice": {
            "id": "inv_1", "number": "INV-000001", "status": "paid",
            "period": { "start": "2023-11-01T00:00:00Z", "end": "2023-12-01T00:00:00Z" },
            "lines": [
                line("li_1", "A description that is much longer than its column", "1", 1000),
                line("li_2", "tokens", "18619", 37),
            ],
            "subtotal": usd(1037), "tax": usd(83), "total": usd(1120), "amount_due": usd(0),
        },
        "plan": { "code": "starter", "version": 2 },
        "lines": [
            { "line": "li_1", "price": "base", "charge_model": "flat", "parameters": { "amount": "10" }, "exact_amount": "10",
              "amount": usd(1000), "taxes": [{ "name": "tax", "percent": "8", "amount_minor": 80 }], "events": null,
              "arithmetic": [{ "kind": "flat", "from": null, "up_to": null, "quantity": "1", "unit": "10", "amount": "10" }] },
            { "line": "li_2", "price": "tokens", "charge_model": "per_unit", "parameters": { "unit": "0.00002" },
              "exact_amount": "0.37238", "amount": usd(37), "taxes": [{ "name": "tax", "percent": "8", "amount_minor": 3 }],
              "arithmetic": [{ "kind": "unit", "quantity": "18619", "unit": "0.00002", "amount": "0.37238" }],
              "events": { "count": 4, "first_at": "2023-11-01T00:00:01Z", "last_at": "2023-11-30T00:00:00Z", "digest": "ab12" } },
        ],
    }))
    .unwrap();
    let parties =
        Parties { seller: "Demo <d@d.example>".to_owned(), customer: "Code <c@c.example>".to_owned() };

    // when
    let text = invoice::text(&explanation, &parties);

    // then
    for expected in [
        "Invoice INV-000001",
        "PAID",
        "Demo <d@d.example>",
        "× 10 ",
        "18,619 × 0.00002        =             0.37",
        "tax 8 %            0.83",
        "total           11.20",
        "plan starter, version 2",
        "18,619 × 0.00002 = 0.37238",
        "0.37238 rounded once is USD 0.37",
        "from 4 events, 2023-11-01T00:00:01Z to 2023-11-30T00:00:00Z",
        "ab12",
    ] {
        assert!(text.contains(expected), "{expected} is missing in\n{text}");
    }
    assert!(text.lines().all(|line| line.chars().count() <= 100), "{text}");
}
