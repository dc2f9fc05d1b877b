//! Live usage: what a customer used, by windows of time and groups of properties, and what it costs so far.
//!
//! Without groups a window is folded from aggregates, and only its ragged ends are read from events.

use std::collections::{BTreeMap, btree_map::Entry};

use jiff::Timestamp;
use rust_decimal::Decimal;
use usance_core::{
    catalog::{meter::Aggregation, price::WindowSize},
    ids::{CustomerId, SubscriptionId},
    metering::{Aggregator, BucketFold, Carried, MeterValue, WindowGrid, aggregate_buckets},
    money::Money,
    period::Period,
    rating::RateError,
};
use usance_db::{
    PageRequest, TenantTx,
    customers::Customer,
    events::EventSpan,
    meters::Meter,
    subscriptions,
    usage::{self, UsageSpan},
};
use uuid::Uuid;

use crate::{
    Cx,
    billing::{time_zone, usage_so_far},
    catalog::meters,
    customers,
    error::{Error, Faults, Result},
    measure::{GROUPS_MAX, GroupKey, Pages, fold_of, is_measured, point_of, properties_of, split},
};

/// Windows of one answer.
const WINDOWS_MAX: usize = 1_000;
/// Events that are read for one answer: those of groups, and of a meter that aggregates cannot tell.
const EVENTS_MAX: usize = 200_000;
/// Subscriptions of one customer whose usage is shown.
const SUBSCRIPTIONS_MAX: u16 = 100;

/// Whose usage is asked for, of what, and when.
#[derive(Debug, Clone, Default)]
pub struct UsageQuery {
    /// Id or `external_id`.
    pub customer: Option<String>,
    /// The meter's code.
    pub meter: Option<String>,
    /// The first instant.
    pub from: Option<Timestamp>,
    /// The first instant after it; the tenant's time if absent.
    pub to: Option<Timestamp>,
    /// `hour` or `day` in the customer's time zone; one window if absent.
    pub window: Option<String>,
    /// Names of properties that the meter lists.
    pub group_by: Vec<String>,
}

/// The usage of a window.
#[derive(Debug, Clone)]
pub struct WindowUsage {
    /// Half-open.
    pub span: Period,
    /// The values of the properties of a group, in the order of the query; an event may lack one.
    pub group: Vec<Option<String>>,
    /// By the meter's aggregation of what happened in the window; nothing is carried over into it.
    pub quantity: Decimal,
    /// How many events.
    pub event_count: u64,
}

/// What was used.
#[derive(Debug, Clone)]
pub struct UsageReport {
    /// Whose usage.
    pub customer: CustomerId,
    /// Half-open.
    pub period: Period,
    /// Windows with usage, in order of time and group.
    pub windows: Vec<WindowUsage>,
}

/// Measures what a customer used.
pub async fn measure(cx: &Cx, query: &UsageQuery) -> Result<UsageReport> {
    let mut faults = Faults::default();
    let mut required = |pointer, is_there: bool| {
        if !is_there {
            faults.add(pointer, "required", "must be sent");
        }
    };
    required("?customer", query.customer.is_some());
    required("?meter", query.meter.is_some());
    required("?from", query.from.is_some());
    faults.check()?;
    let mut tx = cx.begin_as_tenant().await?;
    let named = cx.customer_name(query.customer.as_deref().unwrap_or_default());
    let customer = customers::get(&mut tx, &named).await?;
    let meter = meters::get(&mut tx, query.meter.as_deref().unwrap_or_default()).await?;
    let to = match query.to {
        Some(to) => to,
        None => cx.tenant_now(&mut tx).await?,
    };
    let period = Period { start: query.from.unwrap_or(to), end: to };
    let windows = windows_of(query, period, &customer)?;
    check_groups(query, &meter)?;
    let asked = Asked { customer: &customer, meter: &meter, period, windows: &windows };
    let is_raw = !query.group_by.is_empty() || meter.aggregation == Aggregation::WeightedSum;
    let windows = if is_raw {
        asked.measure_events(&mut tx, &query.group_by).await?
    } else {
        asked.measure_buckets(&mut tx).await?
    };
    Ok(UsageReport { customer: customer.id, period, windows })
}

fn windows_of(query: &UsageQuery, period: Period, customer: &Customer) -> Result<Vec<Period>> {
    if period.start >= period.end {
        return Err(Error::field("?from", "out_of_range", "must lie before the end"));
    }
    let size = match query.window.as_deref() {
        None => return Ok(vec![period]),
        Some("hour") => WindowSize::Hour,
        Some("day") => WindowSize::Day,
        Some(_) => return Err(Error::field("?window", "unknown_value", "must be hour or day")),
    };
    let grid = WindowGrid::new(period, size, time_zone(customer)?);
    let mut windows = Vec::new();
    let mut at = period.start;
    while let Some(window) = grid.containing(at) {
        if windows.len() >= WINDOWS_MAX || window.span.end <= at {
            let detail = format!("an answer has at most {WINDOWS_MAX} windows: ask for less time at once");
            return Err(Error::field("?window", "too_many", detail));
        }
        at = window.span.end;
        windows.push(window.span);
    }
    Ok(windows)
}

fn check_groups(query: &UsageQuery, meter: &Meter) -> Result<()> {
    if query.group_by.iter().all(|name| meter.group_by.contains(name)) {
        return Ok(());
    }
    let known = meter.group_by.join(", ");
    let detail = format!("must name properties that the meter is grouped by: {known}");
    Err(Error::field("?group_by", "unknown_value", detail))
}

/// A query whose names are found.
struct Asked<'a> {
    customer: &'a Customer,
    meter: &'a Meter,
    period: Period,
    windows: &'a [Period],
}

impl Asked<'_> {
    fn events_of(&self, span: Period) -> EventSpan<'_> {
        EventSpan {
            customer: self.customer.id,
            event_type: &self.meter.event_type,
            span,
            received_from: self.meter.created_at,
        }
    }

    fn window_at(&self, at: Timestamp) -> usize {
        self.windows.partition_point(|window| window.start <= at).saturating_sub(1)
    }

    async fn measure_buckets(&self, tx: &mut TenantTx) -> Result<Vec<WindowUsage>> {
        let (whole, ragged) = split(self.period);
        let span = UsageSpan { customer: self.customer.id, meter: self.meter.id, span: whole };
        let starts: Vec<Timestamp> = self.windows.iter().map(|window| window.start).collect();
        let mut folds: BTreeMap<usize, Vec<BucketFold>> = BTreeMap::new();
        for (place, total) in usage::list_windows(tx, &span, &starts).await? {
            folds.entry(place).or_default().extend(fold_of(&total)?);
        }
        let values = self.fold_ragged(tx, &ragged, &mut folds).await?;
        let counts: BTreeMap<usize, i64> = if self.meter.aggregation == Aggregation::UniqueCount {
            usage::count_window_values(tx, &span, &starts, &values).await?.into_iter().collect()
        } else {
            BTreeMap::new()
        };
        let mut usages = Vec::with_capacity(folds.len());
        for (place, folds) in folds {
            let Some(window) = self.windows.get(place) else { continue };
            let count = || Decimal::from(counts.get(&place).copied().unwrap_or_default());
            let quantity = aggregate_buckets(self.meter.aggregation, self.meter.rounding, &folds)
                .map_err(RateError::from)?
                .unwrap_or_else(count);
            let event_count = folds.iter().map(|fold| fold.event_count).sum::<i64>();
            let event_count = u64::try_from(event_count).unwrap_or_default();
            usages.push(WindowUsage { span: *window, group: Vec::new(), quantity, event_count });
        }
        Ok(usages)
    }

    /// Folds the events outside whole buckets, and returns the values that a unique count sees there.
    async fn fold_ragged(
        &self,
        tx: &mut TenantTx,
        ragged: &[Period],
        folds: &mut BTreeMap<usize, Vec<BucketFold>>,
    ) -> Result<Vec<(Timestamp, Uuid)>> {
        let spans: Vec<_> = ragged.iter().map(|span| self.events_of(*span)).collect();
        let mut values = Vec::new();
        let mut pages = Pages::new(&spans);
        while let Some(events) = pages.next(tx).await? {
            for event in events {
                let properties = properties_of(&event)?;
                if !is_measured(self.meter, &properties) {
                    continue;
                }
                let point = point_of(self.meter, &event, &properties)?;
                if let MeterValue::Hash(hash) = point.value {
                    values.push((point.at, hash));
                }
                let fold = BucketFold::of(self.meter.aggregation, point.at, point.id_hash, point.value);
                let of_window = folds.entry(self.window_at(point.at)).or_default();
                match of_window.last_mut() {
                    Some(total) => total.merge(&fold).map_err(RateError::from)?,
                    None => of_window.push(fold),
                }
            }
        }
        Ok(values)
    }

    async fn measure_events(&self, tx: &mut TenantTx, group_by: &[String]) -> Result<Vec<WindowUsage>> {
        let spans = [self.events_of(self.period)];
        let mut pages = Pages::new(&spans);
        let mut groups: BTreeMap<(usize, GroupKey), (Aggregator, u64)> = BTreeMap::new();
        let mut read = 0;
        while let Some(events) = pages.next(tx).await? {
            read += events.len();
            if read > EVENTS_MAX {
                let detail =
                    format!("groups are read from at most {EVENTS_MAX} events: ask for less time at once");
                return Err(Error::field("?from", "too_many", detail));
            }
            for event in events {
                let properties = properties_of(&event)?;
                if !is_measured(self.meter, &properties) {
                    continue;
                }
                let point = point_of(self.meter, &event, &properties)?;
                let place = self.window_at(point.at);
                let is_full = groups.len() >= GROUPS_MAX;
                let group = match groups.entry((place, GroupKey::of(group_by, &properties))) {
                    Entry::Occupied(group) => group.into_mut(),
                    Entry::Vacant(_) if is_full => {
                        let detail =
                            format!("an answer has at most {GROUPS_MAX} groups: ask for less time at once");
                        return Err(Error::field("?group_by", "too_many", detail));
                    }
                    Entry::Vacant(vacant) => vacant.insert((self.aggregator(place)?, 0)),
                };
                group.0.add(&point).map_err(RateError::from)?;
                group.1 += 1;
            }
        }
        let usage = |((place, key), (aggregator, event_count)): ((usize, GroupKey), (Aggregator, u64))| {
            let quantity = aggregator.finish(self.meter.rounding).map_err(RateError::from)?.quantity;
            Ok(WindowUsage { span: self.windows[place], group: key.values().to_vec(), quantity, event_count })
        };
        groups.into_iter().map(usage).collect()
    }

    fn aggregator(&self, place: usize) -> Result<Aggregator> {
        let window = self.windows.get(place).copied().unwrap_or(self.period);
        Ok(Aggregator::new(self.meter.aggregation, window, Carried::Nothing).map_err(RateError::from)?)
    }
}

/// What a customer has used of a price in the open stretch of a subscription.
#[derive(Debug, Clone)]
pub struct CurrentUsage {
    /// Of which subscription.
    pub subscription: SubscriptionId,
    /// The price's code.
    pub price: String,
    /// The meter's code.
    pub meter: String,
    /// Until now.
    pub period: Period,
    /// How much.
    pub quantity: Decimal,
    /// What it would cost if the stretch ended now, before discounts and tax.
    pub amount: Money,
}

/// Measures what a customer has used of the open stretches of its subscriptions.
pub async fn current(cx: &Cx, tx: &mut TenantTx, customer: &str) -> Result<Vec<CurrentUsage>> {
    let customer = customers::get(tx, &cx.customer_name(customer)).await?;
    let now = cx.tenant_now(tx).await?;
    let page = PageRequest { limit: SUBSCRIPTIONS_MAX, after: None };
    let found = subscriptions::list(tx, Some(customer.id), page).await?;
    let mut usages = Vec::new();
    for stored in found.items.iter().filter(|stored| stored.ended_at.is_none()) {
        for used in usage_so_far(tx, stored, &customer, now).await? {
            usages.push(CurrentUsage {
                subscription: stored.id,
                price: used.price,
                meter: used.meter,
                period: used.line.period,
                quantity: used.line.quantity,
                amount: used.line.amount,
            });
        }
    }
    Ok(usages)
}
