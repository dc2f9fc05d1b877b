use super::{CustomerId, InvoiceId, uuid_v7};
use proptest::prelude::*;
use uuid::Uuid;

#[test]
fn an_id_has_the_text_of_the_typeid_specification() {
    // The example of the specification: prefix_01h455vb4pex5vsknk084sn02q.
    let uuid: Uuid = "01890a5d-ac96-774b-bcce-b302099a8057".parse().unwrap();

    assert_eq!(CustomerId::from_uuid(uuid).to_string(), "cus_01h455vb4pex5vsknk084sn02q");
}

#[test]
fn a_text_of_another_kind_or_length_or_alphabet_is_refused() {
    for text in [
        "",
        "cus_",
        "cus_01h455vb4pex5vsknk084sn02",
        "inv_01h455vb4pex5vsknk084sn02q",
        "cus_81h455vb4pex5vsknk084sn02q",
        "cus_01h455vb4pex5vsknk084sn02u",
        "cus_01H455VB4PEX5VSKNK084SN02Q",
        "cus_€1h455vb4pex5vsknk084sn0",
    ] {
        assert!(text.parse::<CustomerId>().is_err(), "{text}");
    }
}

#[test]
fn ids_sort_by_time() {
    let earlier = InvoiceId::from_uuid(uuid_v7(1_700_000_000_000, [255; 10]));
    let later = InvoiceId::from_uuid(uuid_v7(1_700_000_000_001, [0; 10]));

    assert!(earlier < later);
    assert!(earlier.to_string() < later.to_string());
}

proptest! {
    #[test]
    fn every_id_survives_its_text(value: u128) {
        let id = CustomerId::from_uuid(Uuid::from_u128(value));

        prop_assert_eq!(id.to_string().parse::<CustomerId>(), Ok(id));
    }
}
