//! The document that people read, from an invoice as it is stored.

use jiff::tz::TimeZone;
use rust_decimal::Decimal;
use serde_json::Value;
use usance_core::{
    decimal::parse_decimal,
    ids::InvoiceId,
    invoice::{
        TaxAmount, TaxBehavior,
        document::{
            DocumentKind, DocumentLine, DocumentPeriod, InvoiceDocument, Logo, LogoFormat, Party, Seller,
            TaxId,
        },
        state::InvoiceStatus,
    },
    money::{Currency, Money},
};
use usance_db::{TenantTx, invoices::Invoice, line_items::LineItem, tenant_profiles};

use crate::{
    billing::{parties, stored_rates, time_zone},
    customers,
    error::{Error, Result},
    invoicing::{self, InvoiceWithLines},
};

/// What stands on invoices in place of the name of a customer whose data was erased.
pub(crate) const ERASED_CUSTOMER: &str = "Erased customer";

/// Address lines in the order of an envelope; members with other names come before the country.
const STREET: [&str; 4] = ["line1", "line2", "line3", "street"];
const PLACE: [&str; 3] = ["postal_code", "zip", "city"];
const REGION: [&str; 2] = ["state", "region"];
const COUNTRY: &str = "country";

/// Reads an invoice as a document with the parties of its finalization, or today's for a draft. Days are the customer's.
pub async fn load(tx: &mut TenantTx, id: InvoiceId) -> Result<InvoiceDocument> {
    let stored = invoicing::get(tx, id).await?;
    // An erased customer is found here too: its time zone stays.
    let customer = customers::stored(tx, stored.invoice.customer_id).await?;
    let kept = &stored.invoice.parties;
    let parties = if stored.invoice.finalized_at.is_none() || kept.get("seller").is_none() {
        parties(&tenant_profiles::get(tx).await?, &customer)
    } else {
        kept.clone()
    };
    let logo = tenant_profiles::find_logo(tx).await?.map(logo);
    let document = document(&stored, &parties, logo, &time_zone(&customer)?)?;
    document.check()?;
    Ok(document)
}

fn document(
    stored: &InvoiceWithLines,
    parties: &Value,
    logo: Option<Logo>,
    time_zone: &TimeZone,
) -> Result<InvoiceDocument> {
    let InvoiceWithLines { invoice, lines, .. } = stored;
    let currency = Currency::parse(&invoice.currency)
        .map_err(|_| Error::Internal("a stored currency cannot be read"))?;
    let money = |minor| Money::new(minor, currency);
    let day = |at| time_zone.to_datetime(at).date();
    let has_period = invoice.period.start < invoice.period.end;
    Ok(InvoiceDocument {
        kind: DocumentKind::Invoice,
        number: invoice.number.clone(),
        status: InvoiceStatus::parse(&invoice.status)
            .ok_or(Error::Internal("a stored invoice status cannot be read"))?,
        issued_on: invoice.finalized_at.map(day),
        due_on: invoice.due_at.map(day),
        period: has_period.then(|| DocumentPeriod::of(&invoice.period, time_zone)),
        seller: seller(&parties["seller"], logo),
        customer: customer(&parties["customer"]),
        lines: lines.iter().map(|it| line(it, invoice, currency, time_zone)).collect::<Result<_>>()?,
        subtotal: money(invoice.subtotal_minor).checked_sub(money(invoice.discount_minor))?,
        discounts: Vec::new(),
        taxes: taxes(lines, currency)?,
        tax_behavior: TaxBehavior::parse(&invoice.tax_behavior)
            .ok_or(Error::Internal("a stored tax behavior cannot be read"))?,
        total: money(invoice.total_minor),
        credit_applied: money(invoice.balance_applied_minor).checked_add(money(invoice.credited_minor))?,
        paid: money(invoice.paid_minor),
        amount_due: money(invoice.amount_due_minor()),
        payment_link: None,
        payment_qr_code: false,
        notes: (!invoice.memo.is_empty()).then(|| invoice.memo.clone()),
    })
}

fn line(
    line: &LineItem,
    invoice: &Invoice,
    currency: Currency,
    time_zone: &TimeZone,
) -> Result<DocumentLine> {
    let discount = Money::new(line.discount_minor, currency);
    Ok(DocumentLine {
        description: line.description.clone(),
        period: (line.period != invoice.period).then(|| DocumentPeriod::of(&line.period, time_zone)),
        quantity: Some(line.quantity),
        unit: None,
        unit_price: unit_price(line),
        discount: (discount.minor() != 0).then_some(discount),
        taxes: stored_rates(&line.taxes)?,
        amount: Money::new(line.amount_minor, currency).checked_sub(discount)?,
    })
}

/// The price of one unit, where the whole line is one multiplication by it.
fn unit_price(line: &LineItem) -> Option<Decimal> {
    let [step] = line.arithmetic.as_array()?.as_slice() else { return None };
    let figure = |name: &str| parse_decimal(step.get(name)?.as_str()?).ok();
    let is_line = line.share.is_none()
        && figure("quantity")? == line.quantity
        && figure("amount")? == line.exact_amount;
    figure("unit").filter(|_| is_line)
}

/// Adds the taxes of the lines up by name and percentage, in the order in which they first occur.
fn taxes(lines: &[LineItem], currency: Currency) -> Result<Vec<TaxAmount>> {
    let mut sums: Vec<TaxAmount> = Vec::new();
    for line in lines {
        let stored = line.taxes.as_array().map(Vec::as_slice).unwrap_or_default();
        for (rate, stored) in stored_rates(&line.taxes)?.into_iter().zip(stored) {
            let minor = stored.get("amount_minor").and_then(Value::as_i64);
            let minor = minor.ok_or(Error::Internal("the taxes of a stored line cannot be read"))?;
            let amount = Money::new(minor, currency);
            match sums.iter_mut().find(|sum| sum.name == rate.name && sum.percent == rate.percent) {
                Some(sum) => sum.amount = sum.amount.checked_add(amount)?,
                None => sums.push(TaxAmount { name: rate.name, percent: rate.percent, amount }),
            }
        }
    }
    Ok(sums)
}

fn seller(stored: &Value, logo: Option<Logo>) -> Seller {
    let mut address = address_lines(&stored["address"]);
    address.extend(text(&stored["email"]));
    let tax_ids = stored["tax_ids"].as_array().map(Vec::as_slice).unwrap_or_default();
    let party = Party {
        name: text(&stored["legal_name"]).unwrap_or_default(),
        address,
        tax_ids: tax_ids.iter().filter_map(tax_id).collect(),
    };
    Seller { party, logo, terms: text(&stored["terms"]), footer: text(&stored["footer"]) }
}

fn customer(stored: &Value) -> Party {
    Party {
        name: text(&stored["name"]).unwrap_or_else(|| ERASED_CUSTOMER.to_owned()),
        address: address_lines(&stored["address"]),
        tax_ids: Vec::new(),
    }
}

/// Labels `eu_vat` as `EU VAT`.
fn tax_id(stored: &Value) -> Option<TaxId> {
    let label = text(&stored["type"])?.replace('_', " ").to_uppercase();
    Some(TaxId { label, value: text(&stored["value"])? })
}

fn address_lines(address: &Value) -> Vec<String> {
    let named =
        |names: &[&str]| -> Vec<String> { names.iter().filter_map(|it| text(&address[*it])).collect() };
    let is_known = |name: &str| {
        STREET.contains(&name) || PLACE.contains(&name) || REGION.contains(&name) || name == COUNTRY
    };
    let others = address.as_object().into_iter().flatten().filter(|(name, _)| !is_known(name));
    let mut lines = named(&STREET);
    lines.extend(Some(named(&PLACE).join(" ")).filter(|place| !place.is_empty()));
    lines.extend(named(&REGION));
    lines.extend(others.filter_map(|(_, value)| text(value)));
    lines.extend(named(&[COUNTRY]));
    lines
}

fn text(value: &Value) -> Option<String> {
    value.as_str().filter(|text| !text.is_empty()).map(str::to_owned)
}

fn logo(stored: tenant_profiles::Logo) -> Logo {
    let format = if stored.media_type == "image/jpeg" { LogoFormat::Jpeg } else { LogoFormat::Png };
    Logo { format, bytes: stored.bytes }
}

#[cfg(test)]
mod tests;
