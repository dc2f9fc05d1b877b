//! Who bills and who is billed, as an invoice keeps it.

use serde_json::{Value, json};
use usance_db::{customers::Customer, tenant_profiles::TenantProfile};

use crate::invoice_document::ERASED_CUSTOMER;

/// Seller and customer as they are now.
pub(crate) fn parties(profile: &TenantProfile, customer: &Customer) -> Value {
    json!({
        "seller": {
            "legal_name": profile.legal_name,
            "address": profile.address,
            "email": profile.email,
            "tax_ids": profile.tax_ids,
            "terms": profile.invoice_terms,
            "footer": profile.invoice_footer,
        },
        "customer": billed(customer),
    })
}

fn billed(customer: &Customer) -> Value {
    if customer.name.is_empty() {
        // Only the erasure of a customer leaves no name.
        return json!({ "name": ERASED_CUSTOMER });
    }
    json!({ "name": customer.name, "email": customer.email, "address": customer.address })
}
