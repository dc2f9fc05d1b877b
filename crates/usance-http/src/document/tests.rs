use serde_json::{Value, json};

use usance_core::{
    catalog::meter::Aggregation, discount::CouponOrder, late_usage::LateUsage, proration::Proration,
};

use super::{AGGREGATIONS, CHARGE_MODELS, COUPON_ORDERS, LATE_USAGE, PRORATIONS, QUERY_WORDS, WORDS};

fn document() -> Value {
    serde_json::from_str(&crate::openapi_json()).unwrap()
}

fn operations(document: &Value) -> Vec<(String, Value)> {
    let paths = document["paths"].as_object().unwrap().iter();
    paths
        .flat_map(|(path, item)| {
            let operations = item.as_object().unwrap().iter();
            operations.map(move |(method, operation)| (format!("{method} {path}"), operation.clone()))
        })
        .collect()
}

fn header_names(operation: &Value) -> Vec<&str> {
    let parameters = operation["parameters"].as_array().into_iter().flatten();
    parameters.filter(|it| it["in"] == "header").filter_map(|it| it["name"].as_str()).collect()
}

#[test]
fn every_error_has_the_content_type_of_problems() {
    let mut problems = 0;
    for (operation, described) in operations(&document()) {
        for (status, response) in described["responses"].as_object().unwrap() {
            let plain = &response["content"]["application/json"]["schema"]["$ref"];
            assert_ne!(plain, "#/components/schemas/ProblemView", "{operation} {status}");
            problems += usize::from(response["content"]["application/problem+json"].is_object());
        }
        assert!(!operation.contains("/api/v1") || described["responses"]["503"].is_object(), "{operation}");
    }
    assert!(problems > 50, "{problems}");
}

/// Events have ids of their own; most others take or tell a secret, and no answer with one is kept.
const KEYLESS: [&str; 27] = [
    "post /api/v1/events",
    "post /api/v1/auth/customers/logout",
    "post /api/v1/customers/{customer}/tokens",
    "post /api/v1/api-keys",
    "post /api/v1/auth/tenants/api-keys/regenerate",
    "post /api/v1/auth/tenants/change-password",
    "post /api/v1/auth/tenants/invitations/accept",
    "post /api/v1/auth/tenants/login",
    "post /api/v1/auth/tenants/password-reset",
    "post /api/v1/auth/tenants/password-reset/request",
    "post /api/v1/auth/tenants/register",
    "post /api/v1/auth/tenants/stripe/connect",
    "post /api/v1/auth/tenants/token/refresh",
    "post /api/v1/identity-providers",
    "patch /api/v1/identity-providers/{id}",
    "post /api/v1/inbound/stripe/connect",
    "post /api/v1/auth/tenants/verify-email",
    "post /api/v1/auth/tenants/totp",
    "post /api/v1/auth/tenants/totp/confirm",
    "post /api/v1/auth/tenants/totp/disable",
    "post /api/v1/auth/tenants/totp/recovery-codes",
    "post /api/v1/members/invitations",
    "post /api/v1/auth/tenants/webhooks/config",
    "post /api/v1/auth/tenants/webhooks/test",
    "post /api/v1/webhook-endpoints",
    "post /api/v1/webhook-endpoints/{id}/rotate-secret",
    "post /api/v1/webhook-endpoints/{id}/test",
];

#[test]
fn what_changes_something_takes_an_idempotency_key_unless_it_has_ids_or_secrets() {
    for (operation, described) in operations(&document()) {
        let none = operation.starts_with("get ") || KEYLESS.contains(&operation.as_str());
        let expected: &[&str] = if operation.contains("/inbound/stripe/") {
            &["Stripe-Signature"]
        } else if none {
            &[]
        } else {
            &["Idempotency-Key"]
        };
        assert_eq!(header_names(&described), expected, "{operation}");
    }
}

#[test]
fn the_words_of_policies_meters_and_prices_are_those_of_the_rules() {
    assert_eq!(AGGREGATIONS, Aggregation::ALL.map(Aggregation::as_str));
    assert_eq!(PRORATIONS, Proration::ALL.map(Proration::as_str));
    assert_eq!(COUPON_ORDERS, CouponOrder::ALL.map(CouponOrder::as_str));
    assert_eq!(LATE_USAGE, LateUsage::ALL.map(LateUsage::as_str));
    let described =
        document()["components"]["schemas"]["PriceBody"]["properties"]["charge_model"]["description"]
            .to_string();
    let named = described.split('`').skip(1).step_by(2);
    assert_eq!(CHARGE_MODELS, named.collect::<Vec<_>>());
}

#[test]
fn fields_and_parameters_of_few_words_name_them() {
    let document = document();
    for (schema, field, words) in WORDS {
        let named = &document["components"]["schemas"][schema]["properties"][field]["enum"];
        assert!(named.as_array().is_some_and(|named| named.len() >= words.len()), "{schema} {field}");
    }
    let operations = operations(&document);
    let parameters: Vec<_> =
        operations.iter().filter_map(|(_, it)| it["parameters"].as_array()).flatten().collect();
    for (name, words) in QUERY_WORDS {
        let parameter = parameters.iter().find(|it| it["name"] == name).unwrap();
        assert!(parameter["schema"]["enum"].as_array().unwrap().len() >= words.len(), "{name}");
    }
    let limits: Vec<_> = parameters.iter().filter(|it| it["name"] == "limit").collect();
    assert!(limits.len() > 5);
    for limit in limits {
        assert_eq!((&limit["schema"]["minimum"], &limit["schema"]["maximum"]), (&json!(1), &json!(100)));
    }
}
