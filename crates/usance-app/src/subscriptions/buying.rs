//! What is to be bought: looked up, and checked to fit together.

use std::collections::HashSet;

use usance_core::{
    ids::{PlanVersionId, SubscriptionId, SubscriptionItemId},
    rating::{Run, Usage, rate},
    subscription::{Item, WantedItem},
};
use usance_db::{TenantTx, customers::Customer, subscriptions};

use super::{AddOn, name_missing};
use crate::{
    Cx,
    billing::Offers,
    catalog::{
        overrides::{PriceOverride, override_prices},
        plans::{self, PlanAtVersion, PlanKind},
    },
    error::{Code, Error, Result},
};

/// Seats that one subscription may have.
const QUANTITY_MAX: u32 = 1_000_000;

/// A purchase that is being put together.
pub(super) struct Buying<'a> {
    pub(super) cx: &'a Cx,
    pub(super) customer: &'a Customer,
    /// The subscription that buys, if it is there already.
    pub(super) subscription: Option<SubscriptionId>,
    pub(super) offers: Offers,
}

impl Buying<'_> {
    /// Finds a plan by its code, at its newest version or at one with prices of the subscription's own.
    pub(super) async fn plan(
        &mut self,
        tx: &mut TenantTx,
        code: &str,
        overrides: &[PriceOverride],
    ) -> Result<PlanVersionId> {
        let missing = "there is no plan with this code: create it first";
        let plan = plans::get_any(tx, code)
            .await
            .map_err(|error| name_missing(error, "/plan", "unknown_plan", missing))?;
        if plan.plan.kind != PlanKind::Plan.as_str() {
            return Err(Error::field("/plan", "not_a_plan", "is an add-on: name it in add_ons"));
        }
        self.check_currency(&plan)?;
        self.own_version(tx, &plan, overrides).await
    }

    /// Gives the plan of an item other overrides, or takes them away.
    pub(super) async fn overridden(
        &mut self,
        tx: &mut TenantTx,
        item: &Item,
        overrides: &[PriceOverride],
    ) -> Result<PlanVersionId> {
        let offer = self.offers.get(item.plan_version)?.clone();
        let public = match offer.plan.version.override_of {
            Some(public) => plans::get_version(tx, public).await?,
            None => offer.plan.clone(),
        };
        self.own_version(tx, &public, overrides).await
    }

    async fn own_version(
        &mut self,
        tx: &mut TenantTx,
        public: &PlanAtVersion,
        overrides: &[PriceOverride],
    ) -> Result<PlanVersionId> {
        let version = override_prices(self.cx, tx, public, overrides).await?;
        self.offers.load(tx, [version].into_iter()).await?;
        Ok(version)
    }

    fn check_currency(&self, plan: &PlanAtVersion) -> Result<()> {
        let currency = &plan.version.currency;
        if *currency == self.customer.currency {
            return Ok(());
        }
        let detail = format!("the plan is in {currency} and the customer in {}", self.customer.currency);
        Err(Error::refused(Code::CurrencyMismatch, detail))
    }

    /// Makes an item of a version, in the place of an item that is there already, unless another subscription prices one
    /// of its meters.
    pub(super) async fn item(
        &self,
        tx: &mut TenantTx,
        version: PlanVersionId,
        quantity: Option<u32>,
        replaced: Option<SubscriptionItemId>,
        pointer: &str,
    ) -> Result<WantedItem> {
        let quantity = quantity.unwrap_or(1);
        self.check_quantity(version, quantity, pointer)?;
        if subscriptions::find_rival(tx, self.customer.id, version, self.subscription).await?.is_some() {
            let detail = "another subscription of the customer prices a meter of this plan: an event would be billed twice";
            return Err(Error::refused(Code::SubscriptionExists, detail));
        }
        let fresh = || SubscriptionItemId::from_uuid(self.cx.app.ids.next());
        Ok(WantedItem { id: replaced.unwrap_or_else(fresh), plan_version: version, quantity })
    }

    /// Refuses seats that no price can bill, when they are asked for and not when they are billed.
    fn check_quantity(&self, version: PlanVersionId, quantity: u32, pointer: &str) -> Result<()> {
        if quantity > QUANTITY_MAX {
            return Err(Error::field(pointer, "out_of_range", format!("must be 0 to {QUANTITY_MAX}")));
        }
        for price in self.offers.get(version)?.prices.iter().filter(|price| price.is_by_seat()) {
            if let Err(error) = rate(&price.terms, &Usage::of(price.fixed_quantity(quantity)), Run::Final) {
                let detail = format!("cannot be priced by `{}`: {error}", price.price.code);
                return Err(Error::field(pointer, "out_of_range", detail));
            }
        }
        Ok(())
    }

    /// Adds add-ons to the plan. One that is there already stays the same item, at its version.
    pub(super) async fn add_ons(
        &mut self,
        tx: &mut TenantTx,
        wanted: &[AddOn],
        present: &[Item],
        items: &mut Vec<WantedItem>,
    ) -> Result<()> {
        let mut seen = HashSet::new();
        for (index, add_on) in wanted.iter().enumerate() {
            let pointer = format!("/add_ons/{index}");
            let code_pointer = format!("{pointer}/code");
            if !seen.insert(add_on.code.as_str()) {
                let detail = "must be different from the ones before: raise the quantity instead";
                return Err(Error::field(&code_pointer, "repeated", detail));
            }
            let missing = "there is no add-on with this code: create it first";
            let found = plans::get_any(tx, &add_on.code)
                .await
                .map_err(|error| name_missing(error, &code_pointer, "unknown_add_on", missing))?;
            if found.plan.kind != PlanKind::AddOn.as_str() {
                return Err(Error::field(&code_pointer, "not_an_add_on", "is a plan, not an add-on"));
            }
            self.check_currency(&found)?;
            let same = self.same_plan(tx, present, &found.plan.code).await?;
            let version = same.map_or(found.version.id, |item| item.plan_version);
            self.offers.load(tx, [version].into_iter()).await?;
            self.check_fits(version, items, &code_pointer)?;
            let quantity_pointer = format!("{pointer}/quantity");
            let replaced = same.map(|item| item.id);
            items.push(self.item(tx, version, add_on.quantity, replaced, &quantity_pointer).await?);
        }
        Ok(())
    }

    /// Keeps the add-ons that are there, unless they do not fit to another plan.
    pub(super) fn keep_add_ons(&self, present: &[Item], items: &mut Vec<WantedItem>) -> Result<()> {
        for Item { id, plan_version, quantity, .. } in present {
            self.check_fits(*plan_version, items, "/add_ons")?;
            items.push(WantedItem { id: *id, plan_version: *plan_version, quantity: *quantity });
        }
        Ok(())
    }

    /// The item that buys a plan already, at whatever version.
    async fn same_plan(&mut self, tx: &mut TenantTx, present: &[Item], code: &str) -> Result<Option<Item>> {
        self.offers.load(tx, present.iter().map(|item| item.plan_version)).await?;
        for item in present {
            if self.offers.get(item.plan_version)?.plan.plan.code == code {
                return Ok(Some(*item));
            }
        }
        Ok(None)
    }

    /// An add-on shares the billing periods of the plan, and no meter may be priced twice.
    fn check_fits(&self, version: PlanVersionId, items: &[WantedItem], pointer: &str) -> Result<()> {
        let offer = self.offers.get(version)?;
        let code = &offer.plan.plan.code;
        for (index, item) in items.iter().enumerate() {
            let other = self.offers.get(item.plan_version)?;
            if index == 0 && other.rhythm != offer.rhythm {
                let detail = format!(
                    "`{code}` is billed in other periods than the plan: choose an add-on with the plan's interval and alignment"
                );
                return Err(Error::field(pointer, "other_interval", detail));
            }
            let metered = offer.prices.iter().filter_map(|price| price.price.meter_id);
            let mut shared = metered.filter(|meter| {
                other.prices.iter().any(|price| price.price.meter_id.as_ref() == Some(meter))
            });
            if shared.next().is_some() {
                let detail = format!(
                    "`{code}` prices a meter that `{}` prices too: an event would be billed twice",
                    other.plan.plan.code
                );
                return Err(Error::field(pointer, "meter_priced_twice", detail));
            }
        }
        Ok(())
    }
}
