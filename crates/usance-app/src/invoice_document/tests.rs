use serde_json::json;

use super::{address_lines, customer, seller};

#[test]
fn an_address_has_the_order_of_an_envelope() {
    let address = json!({ "country": "CH", "city": "Bern", "line1": "1 Byte Street", "attention": "Ada", "postal_code": "3000", "state": "BE",
        "line2": "" });

    assert_eq!(address_lines(&address), ["1 Byte Street", "3000 Bern", "BE", "Ada", "CH"]);
    assert!(address_lines(&json!({})).is_empty());
    assert!(address_lines(&json!(null)).is_empty());
}

#[test]
fn what_the_snapshot_does_not_say_is_left_out() {
    let stored = json!({ "legal_name": "Code Ltd", "address": {}, "email": "x@code.example", "terms": "", "footer": "HRB 1",
        "tax_ids": [{ "type": "eu_vat", "value": "DE1" }, { "type": "" }] });

    let seller = seller(&stored, None);

    assert_eq!((seller.terms, seller.footer.as_deref()), (None, Some("HRB 1")));
    assert_eq!(seller.party.address, ["x@code.example"]);
    let tax_ids: Vec<_> =
        seller.party.tax_ids.iter().map(|id| (id.label.as_str(), id.value.as_str())).collect();
    assert_eq!(tax_ids, [("EU VAT", "DE1")]);
}

#[test]
fn a_customer_without_a_name_was_erased() {
    for stored in [json!(null), json!({ "name": "" })] {
        assert_eq!(customer(&stored).name, "Erased customer");
    }
}
