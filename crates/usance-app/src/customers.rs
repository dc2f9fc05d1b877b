//! Customers and their payment methods.

use std::collections::BTreeMap;

use jiff::tz::TimeZone;
use serde_json::json;
use usance_core::ids::{CustomerId, PaymentMethodId};
use usance_db::{
    Page, PageRequest, TenantTx, catalog_versions, customer_tokens, customers, customers::Customer,
    identity_providers, invoices, payment_methods, payment_methods::PaymentMethod,
};

use crate::{
    Cx,
    error::{Code, Error, Faults, Result},
    fields::{check_members, check_text, read_currency, read_email},
    gateway::PaymentMethodKind,
    invoice_document::ERASED_CUSTOMER,
    outbox::announce,
    tax::{self, Tax, stored_tax},
    work,
};

/// A new customer.
#[derive(Debug)]
pub struct CreateCustomer {
    /// The tenant's own name for it.
    pub external_id: Option<String>,
    /// For people.
    pub name: String,
    /// Where invoices go.
    pub email: Option<String>,
    /// ISO 4217.
    pub currency: String,
    /// IANA name; UTC if absent.
    pub timezone: Option<String>,
    /// Not taxed if absent.
    pub tax: Option<Tax>,
    /// Postal address.
    pub address: Option<BTreeMap<String, String>>,
    /// The tenant's own data.
    pub metadata: Option<BTreeMap<String, String>>,
}

/// What is to change of a customer; absent fields stay. The currency never changes.
#[derive(Debug, Default)]
pub struct UpdateCustomer {
    /// The tenant's own name for it.
    pub external_id: Option<String>,
    /// For people.
    pub name: Option<String>,
    /// Where invoices go.
    pub email: Option<String>,
    /// IANA name; it decides periods that begin later.
    pub timezone: Option<String>,
    /// Applies to invoices from now on.
    pub tax: Option<Tax>,
    /// Postal address.
    pub address: Option<BTreeMap<String, String>>,
    /// The tenant's own data.
    pub metadata: Option<BTreeMap<String, String>>,
}

/// Finds the customer that a stored row names, also one whose data was erased.
pub(crate) async fn stored(tx: &mut TenantTx, id: CustomerId) -> Result<Customer> {
    let customer = customers::find_many(tx, &[id]).await?.pop();
    customer.ok_or(Error::Internal("a stored row names no customer"))
}

/// Adds a customer. Events that waited for it are rated.
pub async fn create(cx: &Cx, tx: &mut TenantTx, input: CreateCustomer) -> Result<Customer> {
    let mut faults = Faults::default();
    read_currency(&mut faults, "/currency", &input.currency);
    let mut customer = Customer {
        id: CustomerId::from_uuid(cx.app.ids.next()),
        external_id: None,
        name: String::new(),
        email: None,
        currency: input.currency,
        time_zone: "UTC".to_owned(),
        tax: stored_tax(&mut faults, &input.tax.unwrap_or(Tax::Rates(Vec::new()))),
        address: json!({}),
        metadata: json!({}),
        created_at: cx.now,
        updated_at: cx.now,
    };
    let rest = UpdateCustomer {
        external_id: input.external_id,
        name: Some(input.name),
        email: input.email,
        timezone: input.timezone,
        tax: None,
        address: input.address,
        metadata: input.metadata,
    };
    apply(&mut faults, &mut customer, rest);
    faults.check()?;
    tx.lock_catalog().await?;
    tax::check_region(tx, &customer.tax).await?;
    customers::insert(tx, &customer).await.map_err(exists)?;
    catalog_versions::bump(tx).await?;
    work::rate_unbilled(cx, tx).await?;
    announce(cx, tx, "customer.created", json!({ "id": customer.id, "external_id": customer.external_id }))
        .await?;
    Ok(customer)
}

fn exists(error: usance_db::DbError) -> Error {
    Error::on_conflict(
        error,
        "customers_external_id_key",
        Code::CustomerExists,
        "a customer with this external_id exists",
    )
}

fn apply(faults: &mut Faults, customer: &mut Customer, input: UpdateCustomer) {
    if let Some(external_id) = input.external_id {
        check_text(faults, "/external_id", &external_id);
        if external_id.starts_with("cus_") {
            faults.add("/external_id", "reserved", "must not begin with cus_, which marks our own ids");
        }
        customer.external_id = Some(external_id);
    }
    if let Some(name) = input.name {
        check_text(faults, "/name", &name);
        customer.name = name;
    }
    if let Some(email) = input.email {
        customer.email = Some(read_email(faults, "/email", &email));
    }
    if let Some(timezone) = input.timezone {
        if TimeZone::get(&timezone).is_err() {
            faults.add("/timezone", "unknown_timezone", "must be an IANA time zone such as Europe/Berlin");
        }
        customer.time_zone = timezone;
    }
    if let Some(tax) = input.tax {
        customer.tax = stored_tax(faults, &tax);
    }
    for (pointer, input, field) in [
        ("/address", input.address, &mut customer.address),
        ("/metadata", input.metadata, &mut customer.metadata),
    ] {
        if let Some(members) = input {
            check_members(faults, pointer, &members);
            *field = json!(members);
        }
    }
}

/// Finds a customer by our id or by the tenant's own name for it.
pub async fn get(tx: &mut TenantTx, name: &str) -> Result<Customer> {
    let customer = match name.parse::<CustomerId>() {
        Ok(id) => customers::find(tx, id).await?,
        Err(_) => customers::find_by_external_id(tx, name).await?,
    };
    customer.ok_or_else(|| Error::not_found("customer"))
}

/// Lists the customers.
pub async fn list(tx: &mut TenantTx, page: PageRequest) -> Result<Page<Customer>> {
    Ok(customers::list(tx, page).await?)
}

/// Changes a customer.
pub async fn update(cx: &Cx, tx: &mut TenantTx, name: &str, input: UpdateCustomer) -> Result<Customer> {
    tx.lock_catalog().await?;
    let mut customer = get(tx, name).await?;
    let email = customer.email.clone();
    let mut faults = Faults::default();
    apply(&mut faults, &mut customer, input);
    faults.check()?;
    tax::check_region(tx, &customer.tax).await?;
    customer.updated_at = cx.now;
    customers::update(tx, &customer).await.map_err(exists)?;
    if customer.email != email {
        // Whoever had the address before is not the customer any more.
        sign_out(tx, customer.id).await?;
    }
    catalog_versions::bump(tx).await?;
    work::rate_unbilled(cx, tx).await?;
    announce(cx, tx, "customer.updated", json!({ "id": customer.id, "external_id": customer.external_id }))
        .await?;
    Ok(customer)
}

/// Ends whatever somebody can be the customer with.
async fn sign_out(tx: &mut TenantTx, customer: CustomerId) -> Result<()> {
    identity_providers::unlink_customer(tx, customer).await?;
    customer_tokens::delete_all(tx, customer).await?;
    Ok(())
}

/// Erases a customer's personal data; amounts and hashes stay. Refused while a subscription runs.
pub async fn erase(cx: &Cx, tx: &mut TenantTx, name: &str) -> Result<()> {
    tx.lock_catalog().await?;
    let customer = get(tx, name).await?;
    if usance_db::subscriptions::has_open(tx, customer.id).await? {
        return Err(Error::refused(
            Code::CustomerHasSubscription,
            "a subscription of the customer still runs: cancel it first",
        ));
    }
    customers::erase(tx, customer.id, cx.now).await?;
    sign_out(tx, customer.id).await?;
    invoices::erase_customer(tx, customer.id, ERASED_CUSTOMER).await?;
    catalog_versions::bump(tx).await?;
    announce(cx, tx, "customer.deleted", json!({ "id": customer.id })).await
}

/// Adds a payment method by the token that the gateway gave for it. The newest one is charged.
pub async fn add_payment_method(
    cx: &Cx,
    tx: &mut TenantTx,
    customer: &str,
    kind: &str,
    token: &str,
) -> Result<PaymentMethod> {
    let customer = get(tx, customer).await?;
    let kind = PaymentMethodKind::parse(kind).ok_or_else(|| {
        Error::field("/type", "unknown_type", "must be card, bank_transfer, paypal or wallet")
    })?;
    let gateway = cx.app.gateways.of_mode(cx.scope.livemode)?;
    let described =
        gateway.describe(kind, token).map_err(|detail| Error::field("/token", "unknown_token", detail))?;
    let method = PaymentMethod {
        id: PaymentMethodId::from_uuid(cx.app.ids.next()),
        customer_id: customer.id,
        gateway: gateway.name().to_owned(),
        kind: kind.as_str().to_owned(),
        gateway_reference: described.reference,
        brand: described.brand,
        last4: described.last4,
        created_at: cx.now,
    };
    payment_methods::insert(tx, &method).await?;
    Ok(method)
}

/// Lists a customer's payment methods.
pub async fn list_payment_methods(
    tx: &mut TenantTx,
    customer: &str,
    page: PageRequest,
) -> Result<Page<PaymentMethod>> {
    let customer = get(tx, customer).await?;
    Ok(payment_methods::list(tx, customer.id, page).await?)
}

/// Removes a customer's payment method from use.
pub async fn remove_payment_method(
    cx: &Cx,
    tx: &mut TenantTx,
    customer: &str,
    id: PaymentMethodId,
) -> Result<()> {
    let customer = get(tx, customer).await?;
    let removed = payment_methods::remove(tx, customer.id, id, cx.now).await?;
    if removed { Ok(()) } else { Err(Error::not_found("payment method")) }
}
