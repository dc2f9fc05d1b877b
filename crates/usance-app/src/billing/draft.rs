//! An invoice and its lines before discounts and taxes.

use jiff::Timestamp;
use rust_decimal::Decimal;
use serde_json::{Value, json};
use usance_core::{
    discount::CouponOrder,
    ids::{DiscountId, InvoiceId, LineItemId, PriceId, SubscriptionId, SubscriptionItemId},
    invoice::TaxRate,
    money::Money,
    period::Period,
};
use usance_db::{customers::Customer, line_items::EventSet};

use crate::Cx;

/// An invoice before discounts and taxes.
#[derive(Debug)]
pub(crate) struct Draft<'a> {
    pub(crate) id: InvoiceId,
    pub(crate) kind: &'static str,
    pub(crate) customer: &'a Customer,
    pub(crate) subscription: Option<SubscriptionId>,
    pub(crate) period: Period,
    /// In the tenant's time.
    pub(crate) at: Timestamp,
    pub(crate) coupon_order: CouponOrder,
    /// The only ones that it may take of; all of the customer's, if absent.
    pub(crate) discounts: Option<Vec<DiscountId>>,
    pub(crate) memo: String,
    /// It stays a draft until somebody finalizes it.
    pub(crate) keep: bool,
    pub(crate) lines: Vec<LineDraft>,
}

impl<'a> Draft<'a> {
    /// A draft that is of no subscription, says nothing, and does not wait for anybody.
    pub(crate) fn new(
        cx: &Cx,
        kind: &'static str,
        customer: &'a Customer,
        period: Period,
        at: Timestamp,
        lines: Vec<LineDraft>,
    ) -> Self {
        Self {
            id: InvoiceId::from_uuid(cx.app.ids.next()),
            kind,
            customer,
            subscription: None,
            period,
            at,
            coupon_order: CouponOrder::default(),
            discounts: None,
            memo: String::new(),
            keep: false,
            lines,
        }
    }
}

/// A line before discounts and taxes.
#[derive(Debug, Clone)]
pub(crate) struct LineDraft {
    pub(crate) kind: &'static str,
    pub(crate) subscription: Option<SubscriptionId>,
    pub(crate) item: Option<SubscriptionItemId>,
    pub(crate) price: Option<PriceId>,
    pub(crate) description: String,
    pub(crate) period: Period,
    pub(crate) quantity: Decimal,
    pub(crate) amount: Money,
    pub(crate) exact: Decimal,
    /// The steps that sum to the price of a full period.
    pub(crate) arithmetic: Value,
    /// The part of a full period that is charged.
    pub(crate) share: Option<String>,
    pub(crate) events: Option<EventSet>,
    /// The customer's, if absent.
    pub(crate) rates: Option<Vec<TaxRate>>,
    pub(crate) credited: Option<LineItemId>,
    pub(crate) revision: i32,
    /// Where it stands on the invoice.
    pub(crate) place: (i16, i16),
}

impl LineDraft {
    /// A line of quantity 1 that nothing more is known of.
    pub(crate) fn new(kind: &'static str, period: Period, amount: Money, exact: Decimal) -> Self {
        Self {
            kind,
            subscription: None,
            item: None,
            price: None,
            description: String::new(),
            period,
            quantity: Decimal::ONE,
            amount,
            exact,
            arithmetic: json!([]),
            share: None,
            events: None,
            rates: None,
            credited: None,
            revision: 0,
            place: (i16::MAX, 1),
        }
    }

    pub(super) fn is_discountable(&self) -> bool {
        !matches!(self.kind, "credit" | "progressive" | "adjustment")
    }
}
