//! Tax rates: what is added to an invoice, or held in its amounts, by region.

use usance_core::ids::TaxRateId;
use usance_db::{
    Page, PageRequest, TenantTx, customers,
    tax_rates::{self, StoredTaxRate},
};

use crate::{
    Cx,
    error::{Code, Error, Faults, Result},
    fields::{check_code, check_optional_text, check_text, read_percent},
    outbox::announce,
    tax::read_region,
};

const REGION_RATES_MAX: usize = 10;

/// A new tax rate.
#[derive(Debug)]
pub struct CreateTaxRate {
    /// Unique in the tenant and mode.
    pub code: String,
    /// On the invoice; the code if absent.
    pub name: Option<String>,
    /// A decimal, 0 to 100.
    pub percent: String,
    /// Whether prices hold the tax already.
    pub inclusive: bool,
    /// Whose customers it taxes; stored in lower case.
    pub region: String,
    /// For people.
    pub description: Option<String>,
    /// Code of a rate of the same region that is archived at the same moment.
    pub replaces: Option<String>,
}

/// Adds a tax rate. It applies to invoices from now on.
pub async fn create(cx: &Cx, tx: &mut TenantTx, input: CreateTaxRate) -> Result<StoredTaxRate> {
    let mut faults = Faults::default();
    check_code(&mut faults, "/code", &input.code);
    let percent = read_percent(&mut faults, "/percent", &input.percent);
    let rate = StoredTaxRate {
        id: TaxRateId::from_uuid(cx.app.ids.next()),
        name: input.name.unwrap_or_else(|| input.code.clone()),
        code: input.code,
        percent: percent.unwrap_or_default(),
        inclusive: input.inclusive,
        region: read_region(&mut faults, "/region", &input.region),
        description: input.description.unwrap_or_default(),
        created_at: cx.now,
        updated_at: cx.now,
        archived_at: None,
    };
    check(&mut faults, &rate);
    faults.check()?;
    tx.lock_catalog().await?;
    let replaced = archive_replaced(cx, tx, &rate.region, input.replaces.as_deref()).await?;
    let neighbours = tax_rates::list_of_region(tx, &rate.region).await?;
    check_neighbours(&rate, &neighbours)?;
    tax_rates::insert(tx, &rate).await.map_err(|error| {
        let detail = "a tax rate with this code exists";
        Error::on_conflict(error, "tax_rates_code_key", Code::TaxRateExists, detail)
    })?;
    let replaced = replaced.map(|replaced| replaced.code);
    let data = serde_json::json!({ "id": rate.id, "code": rate.code, "replaces": replaced });
    announce(cx, tx, "tax_rate.created", data).await?;
    Ok(rate)
}

fn check(faults: &mut Faults, rate: &StoredTaxRate) {
    check_text(faults, "/name", &rate.name);
    check_optional_text(faults, "/description", &rate.description);
}

async fn archive_replaced(
    cx: &Cx,
    tx: &mut TenantTx,
    region: &str,
    code: Option<&str>,
) -> Result<Option<StoredTaxRate>> {
    let Some(code) = code else { return Ok(None) };
    let replaced = tax_rates::find(tx, code).await?;
    let Some(mut replaced) = replaced.filter(|rate| rate.archived_at.is_none() && rate.region == region)
    else {
        let detail = format!("there is no tax rate with this code in the region {region}");
        return Err(Error::field("/replaces", "unknown_tax_rate", detail));
    };
    set_archived(cx, tx, &mut replaced).await?;
    Ok(Some(replaced))
}

/// The lines of an invoice hold all of their taxes or none.
fn check_neighbours(rate: &StoredTaxRate, neighbours: &[StoredTaxRate]) -> Result<()> {
    if neighbours.iter().any(|other| other.inclusive != rate.inclusive) {
        let kind = if rate.inclusive { "exclusive" } else { "inclusive" };
        let detail = format!("the other rates of the region are {kind}: a region has one kind of rates");
        return Err(Error::field("/inclusive", "mixed_region", detail));
    }
    if neighbours.len() >= REGION_RATES_MAX {
        let detail = format!("a region has at most {REGION_RATES_MAX} rates");
        return Err(Error::field("/region", "too_many", detail));
    }
    Ok(())
}

async fn set_archived(cx: &Cx, tx: &mut TenantTx, rate: &mut StoredTaxRate) -> Result<()> {
    rate.archived_at = Some(cx.now);
    rate.updated_at = cx.now;
    tax_rates::update(tx, rate).await?;
    Ok(())
}

/// Finds a tax rate by its code.
pub async fn get(tx: &mut TenantTx, code: &str) -> Result<StoredTaxRate> {
    let rate = tax_rates::find(tx, code).await?.filter(|rate| rate.archived_at.is_none());
    rate.ok_or_else(|| Error::not_found("tax rate"))
}

/// Lists the tax rates.
pub async fn list(tx: &mut TenantTx, page: PageRequest) -> Result<Page<StoredTaxRate>> {
    Ok(tax_rates::list(tx, page).await?)
}

/// Changes name and description; what decides money never changes.
pub async fn update(
    cx: &Cx,
    tx: &mut TenantTx,
    code: &str,
    name: Option<String>,
    description: Option<String>,
) -> Result<StoredTaxRate> {
    tx.lock_catalog().await?;
    let mut rate = get(tx, code).await?;
    rate.name = name.unwrap_or(rate.name);
    rate.description = description.unwrap_or(rate.description);
    rate.updated_at = cx.now;
    let mut faults = Faults::default();
    check(&mut faults, &rate);
    faults.check()?;
    tax_rates::update(tx, &rate).await?;
    Ok(rate)
}

/// Archives a tax rate: it is on no new invoice. Refused for the last rate of a region that taxes a customer.
pub async fn archive(cx: &Cx, tx: &mut TenantTx, code: &str) -> Result<()> {
    tx.lock_catalog().await?;
    let mut rate = get(tx, code).await?;
    let is_last = tax_rates::list_of_region(tx, &rate.region).await?.len() == 1;
    if is_last && customers::any_in_tax_region(tx, &rate.region).await? {
        let detail = format!("customers are taxed by the region {} and this is its last rate", rate.region);
        return Err(Error::refused(Code::TaxRateInUse, detail));
    }
    set_archived(cx, tx, &mut rate).await
}
