//! The public pricing: visible plans, and what they cost for sample quantities by the engine that bills them.

use std::collections::BTreeMap;

use usance_core::{ids::PlanVersionId, money::Money, period::Period};
use usance_db::{Scope, TenantTx, customers::Customer, features, tenants};

use crate::{
    App, Cx,
    billing::{Offers, full_period, quote_lines},
    catalog::plans::{self, PlanAtVersion, PlanKind},
    error::{Error, Faults, Result},
    quotes::{QUANTITY_MAX, QuotedUsage, anybody, check_fees, read_usages},
};

/// Plans that a pricing page shows, the oldest ones.
const PLANS_MAX: i64 = 100;
const QUANTITIES_MAX: usize = 100;

/// What a pricing page asks for.
#[derive(Debug, Default)]
pub struct PricingQuery {
    /// Code of the only plan; all visible ones if absent.
    pub plan: Option<String>,
    /// Sample quantities, separated by commas.
    pub quantity: Option<String>,
    /// Code of the meter that the quantities count. If absent: the seats where a price depends on them, else the plan's
    /// only meter.
    pub meter: Option<String>,
}

/// The plans of a tenant as its customers may see them.
#[derive(Debug, Clone)]
pub struct Pricing {
    /// Name of the company.
    pub company_name: String,
    /// The tenant's slug.
    pub slug: String,
    /// Oldest first.
    pub plans: Vec<PricedPlan>,
}

/// A plan and what it costs.
#[derive(Debug, Clone)]
pub struct PricedPlan {
    /// At its newest version.
    pub plan: PlanAtVersion,
    /// Name of each entitlement's feature, in the order of the entitlements.
    pub feature_names: Vec<String>,
    /// What a full period costs for one seat and without usage, before tax; absent if one seat cannot be bought.
    pub fixed: Option<Money>,
    /// What a full period costs for each sample quantity, before tax; absent if it cannot be bought.
    pub samples: Vec<(u32, Option<Money>)>,
}

/// Finds whose live plans are meant by a slug.
pub async fn find_public(app: &App, slug: &str) -> Result<Cx> {
    let mut tx = app.db.system().await?;
    let tenant = tenants::find_id_by_slug(&mut tx, slug).await?;
    let tenant = tenant.ok_or_else(|| Error::not_found("tenant"))?;
    Ok(Cx::of_work(app, Scope { tenant, livemode: true }))
}

/// Reads the pricing of the caller's tenant and mode.
pub async fn get(cx: &Cx, tx: &mut TenantTx, query: &PricingQuery) -> Result<Pricing> {
    let quantities = read_quantities(query.quantity.as_deref())?;
    let tenant = tenants::find(tx).await?.ok_or(Error::Internal("a tenant does not exist"))?;
    let visible = match &query.plan {
        None => plans::list_visible(tx, PLANS_MAX).await?,
        Some(code) => {
            let plan = plans::get(tx, PlanKind::Plan, code).await?;
            let plan = Some(plan).filter(|plan| plan.plan.visible);
            vec![plan.ok_or_else(|| Error::not_found("plan"))?]
        }
    };
    let mut priced = Vec::with_capacity(visible.len());
    for plan in visible {
        priced.push(price(cx, tx, plan, &quantities, query.meter.as_deref()).await?);
    }
    Ok(Pricing { company_name: tenant.company_name, slug: tenant.slug, plans: priced })
}

fn read_quantities(text: Option<&str>) -> Result<Vec<u32>> {
    let Some(text) = text else { return Ok(Vec::new()) };
    let quantities: Option<Vec<u32>> = text
        .split(',')
        .map(|part| part.trim().parse().ok().filter(|quantity| *quantity <= QUANTITY_MAX))
        .collect();
    let quantities = quantities.filter(|quantities| quantities.len() <= QUANTITIES_MAX);
    quantities.ok_or_else(|| {
        let detail = format!(
            "must be up to {QUANTITIES_MAX} whole numbers of at most {QUANTITY_MAX}, such as 5,30,200"
        );
        Error::field("?quantity", "invalid", detail)
    })
}

async fn price(
    cx: &Cx,
    tx: &mut TenantTx,
    plan: PlanAtVersion,
    quantities: &[u32],
    meter: Option<&str>,
) -> Result<PricedPlan> {
    let version = plan.version.id;
    let mut offers = Offers::default();
    offers.insert(tx, plan.clone()).await?;
    let offer = offers.get(version)?.clone();
    let customer = anybody(offer.currency.code(), cx.now);
    let period = full_period(&offer, &customer, cx.now)?;
    let quoting = Quoting { offers, version, customer, period };
    let mut samples = Vec::with_capacity(quantities.len());
    for quantity in quantities {
        let counted = counted(&plan, *quantity, meter);
        let amount = counted.map(|(seats, usage)| quoting.amount(seats, &usage)).transpose()?.flatten();
        samples.push((*quantity, amount));
    }
    let mut feature_names = Vec::with_capacity(plan.entitlements.len());
    for entitlement in &plan.entitlements {
        let feature = features::find(tx, &entitlement.feature).await?;
        feature_names.push(feature.map_or_else(|| entitlement.feature.clone(), |feature| feature.name));
    }
    let fixed = quoting.amount(1, &BTreeMap::new())?;
    Ok(PricedPlan { plan, feature_names, fixed, samples })
}

/// A plan whose price is asked for.
struct Quoting {
    offers: Offers,
    version: PlanVersionId,
    customer: Customer,
    period: Period,
}

impl Quoting {
    /// The sum of the lines; nothing where they cannot be sold, or where their price does not follow from quantities.
    fn amount(&self, seats: u32, usage: &BTreeMap<String, QuotedUsage>) -> Result<Option<Money>> {
        let offer = self.offers.get(self.version)?;
        let mut faults = Faults::default();
        check_fees(&mut faults, offer, seats);
        let usages = read_usages(&mut faults, offer, usage, (self.period, &self.customer))?;
        if faults.check().is_err() {
            return Ok(None);
        }
        let counts = (seats, usages);
        let lines = quote_lines(&self.offers, self.version, &self.customer, self.period, counts)?;
        let sum =
            lines.iter().try_fold(Money::zero(offer.currency), |sum, line| sum.checked_add(line.amount));
        Ok(sum.ok())
    }
}

/// The seats and the usage that a sample quantity stands for; nothing where that is not clear.
fn counted(
    plan: &PlanAtVersion,
    quantity: u32,
    meter: Option<&str>,
) -> Option<(u32, BTreeMap<String, QuotedUsage>)> {
    let metered = || plan.prices.iter().filter_map(|price| price.meter_code.as_deref());
    let by_seat = plan.prices.iter().any(|price| matches!(price.charge_model.as_str(), "seat" | "curve"));
    let counted = match meter {
        Some(meter) => metered().find(|code| *code == meter)?,
        None if by_seat => return Some((quantity, BTreeMap::new())),
        None => {
            let Some(first) = metered().next() else { return Some((quantity, BTreeMap::new())) };
            if metered().any(|code| code != first) {
                return None;
            }
            first
        }
    };
    let usage = QuotedUsage { quantity: Some(quantity.to_string()), ..QuotedUsage::default() };
    Some((1, [(counted.to_owned(), usage)].into()))
}
