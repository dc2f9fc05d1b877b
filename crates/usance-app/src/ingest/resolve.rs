//! What an event's names stand for: images of the catalogue that are valid as long as its version stays the same.

use std::{
    collections::{HashMap, HashSet},
    sync::Arc,
};

use jiff::Timestamp;
use usance_core::{
    catalog::meter::Aggregation,
    ids::{CustomerId, MeterId, PlanVersionId, SubscriptionId},
    metering::{
        Filter, MeterValue, Properties, RejectReason, UnbilledReason, amount_value, matches_all, meter_value,
    },
};
use usance_db::{
    DbError, Scope, WriterTx,
    ingest::{self, EventCustomer, EventPrice},
};

/// Customers that one writer remembers; beyond that it starts anew.
const CUSTOMERS_MAX: usize = 100_000;
/// Tenants that one writer remembers.
const IMAGES_MAX: usize = 10_000;

/// A meter as the writer needs it.
#[derive(Debug)]
pub(super) struct ImageMeter {
    pub(super) id: MeterId,
    pub(super) aggregation: Aggregation,
    value_property: Option<String>,
    filters: Vec<Filter>,
}

/// The meters of one event type.
#[derive(Debug, Default)]
pub(super) struct TypeMeters {
    pub(super) meters: Vec<ImageMeter>,
    pub(super) codes: Arc<[String]>,
}

/// A subscription as the writer needs it.
#[derive(Debug)]
struct ImageSubscription {
    id: SubscriptionId,
    start_at: Timestamp,
    ended_at: Option<Timestamp>,
    open_from: Timestamp,
    plan_version: PlanVersionId,
    meters: Vec<MeterId>,
}

#[derive(Debug)]
struct ImageCustomer {
    id: CustomerId,
    subscriptions: Vec<ImageSubscription>,
}

/// The catalogue of one tenant and mode at a version.
#[derive(Debug, Default)]
struct Image {
    version: i64,
    test_clock: Option<Timestamp>,
    meters: HashMap<String, Arc<TypeMeters>>,
    /// The prices that read their amounts from the events.
    event_prices: HashMap<PlanVersionId, Vec<EventPrice>>,
    /// By the names that events use. A name that nobody has is not remembered.
    customers: HashMap<String, Arc<ImageCustomer>>,
}

/// The images of a writer.
#[derive(Debug, Default)]
pub(super) struct Images(HashMap<Scope, Image>);

/// What an event names.
pub(super) struct Names<'a> {
    pub(super) event_type: &'a str,
    pub(super) customer: &'a str,
    pub(super) subscription: Option<&'a str>,
}

/// An event that counts: for whom, on what, and how much.
#[derive(Debug)]
pub(super) struct Resolved {
    pub(super) customer: CustomerId,
    /// The codes of the meters that measure it.
    pub(super) codes: Arc<[String]>,
    type_meters: Arc<TypeMeters>,
    /// By the place of the meter among those of the event's type.
    values: Vec<(usize, MeterValue)>,
}

impl Resolved {
    /// An event that no meter measures.
    pub(super) fn unmeasured(customer: CustomerId) -> Self {
        Self { customer, codes: [].into(), type_meters: Arc::default(), values: Vec::new() }
    }

    /// The meters that measure it, and what it means to each.
    pub(super) fn values(&self) -> impl Iterator<Item = (&ImageMeter, MeterValue)> {
        self.values.iter().filter_map(|(place, value)| Some((self.type_meters.meters.get(*place)?, *value)))
    }
}

/// Why an event does not count.
#[derive(Debug)]
pub(super) enum Unresolved {
    Rejected(RejectReason),
    Unbilled(UnbilledReason),
    /// No open stretch of a subscription counts it; one that is settled may.
    NotOpen(Box<Resolved>),
}

impl Images {
    /// Brings the images up to date for the names that are about to be resolved. The catalogues must be held still.
    pub(super) async fn refresh(
        &mut self,
        tx: &mut WriterTx,
        names: &HashMap<Scope, Vec<&str>>,
        versions: &[(Scope, i64)],
    ) -> Result<(), DbError> {
        let versions: HashMap<Scope, i64> = versions.iter().copied().collect();
        // All or nothing, so that every name of this batch is either remembered or looked up below.
        let remembered: usize = self.0.values().map(|image| image.customers.len()).sum();
        if self.0.len() > IMAGES_MAX || remembered > CUSTOMERS_MAX {
            self.0.clear();
        }
        for (scope, customers) in names {
            let version = versions.get(scope).copied().unwrap_or_default();
            let current = self.0.get(scope).filter(|image| image.version == version);
            let missing: Vec<&str> = match current {
                Some(image) => {
                    customers.iter().copied().filter(|name| !image.customers.contains_key(*name)).collect()
                }
                None => customers.clone(),
            };
            if current.is_some() && missing.is_empty() {
                continue;
            }
            let stale = current.is_none();
            tx.enter_tenant(*scope).await?;
            if stale {
                let image = Image::load(tx, *scope, version).await?;
                self.0.insert(*scope, image);
            }
            if let Some(image) = self.0.get_mut(scope) {
                image.load_customers(tx, *scope, &missing).await?;
            }
            tx.leave_tenant().await?;
        }
        Ok(())
    }

    /// The versions of the catalogues of these tenants, if all are remembered.
    pub(super) fn versions(&self, scopes: HashSet<Scope>) -> Option<Vec<(Scope, i64)>> {
        scopes.into_iter().map(|scope| Some((scope, self.0.get(&scope)?.version))).collect()
    }

    /// Forgets everything: a transaction that loaded images was rolled back.
    pub(super) fn clear(&mut self) {
        self.0.clear();
    }

    /// The test clock of a tenant, if it runs on one.
    pub(super) fn test_clock(&self, scope: Scope) -> Option<Timestamp> {
        self.0.get(&scope).and_then(|image| image.test_clock)
    }

    /// The customer of a name that was refreshed, if there is one.
    pub(super) fn find_customer(&self, scope: Scope, name: &str) -> Option<CustomerId> {
        Some(self.0.get(&scope)?.customers.get(name)?.id)
    }

    /// Says what an event at this time counts for.
    pub(super) fn resolve(
        &self,
        scope: Scope,
        names: &Names<'_>,
        at: Timestamp,
        properties: &Properties,
    ) -> Result<Resolved, Unresolved> {
        let unbilled = |reason| Unresolved::Unbilled(reason);
        let image = self.0.get(&scope).ok_or(unbilled(UnbilledReason::UnknownMeter))?;
        let meters = image.meters.get(names.event_type).ok_or(unbilled(UnbilledReason::UnknownMeter))?;
        let values = meters.values(properties).map_err(Unresolved::Rejected)?;
        if values.is_empty() {
            return Err(unbilled(UnbilledReason::UnknownMeter));
        }
        let customer =
            image.customers.get(names.customer).ok_or(unbilled(UnbilledReason::UnknownCustomer))?;
        let resolved = Resolved {
            customer: customer.id,
            codes: meters.codes_of(&values),
            type_meters: Arc::clone(meters),
            values,
        };
        let Some(pricing) = customer.pricing(&resolved, names.subscription, at) else {
            return Err(Unresolved::NotOpen(Box::new(resolved)));
        };
        for subscription in pricing {
            image.check_amounts(subscription.plan_version, &resolved, properties)?;
        }
        Ok(resolved)
    }
}

impl TypeMeters {
    /// Reads the values of the meters that an event passes the filters of.
    fn values(&self, properties: &Properties) -> Result<Vec<(usize, MeterValue)>, RejectReason> {
        let matching =
            self.meters.iter().enumerate().filter(|(_, meter)| matches_all(&meter.filters, properties));
        let value = |(place, meter): (usize, &ImageMeter)| {
            let value = meter_value(meter.aggregation, meter.value_property.as_deref(), properties)?;
            Ok((place, value))
        };
        matching.map(value).collect()
    }

    fn codes_of(&self, values: &[(usize, MeterValue)]) -> Arc<[String]> {
        if values.len() == self.meters.len() {
            return Arc::clone(&self.codes);
        }
        values.iter().filter_map(|(place, _)| self.codes.get(*place).cloned()).collect()
    }
}

impl ImageCustomer {
    /// Finds what bills an event: the items of subscriptions that were active at its time and price one of its meters.
    /// Nothing if there is none, or if a stretch that holds the event is settled already.
    fn pricing(
        &self,
        resolved: &Resolved,
        wanted: Option<&str>,
        at: Timestamp,
    ) -> Option<Vec<&ImageSubscription>> {
        let wanted = wanted.map(str::parse::<SubscriptionId>);
        let is_pricing = |subscription: &&ImageSubscription| {
            subscription.start_at <= at
                && subscription.ended_at.is_none_or(|ended_at| at < ended_at)
                && wanted.as_ref().is_none_or(|wanted| wanted.as_ref() == Ok(&subscription.id))
                && resolved.values().any(|(meter, _)| subscription.meters.contains(&meter.id))
        };
        let pricing: Vec<_> = self.subscriptions.iter().filter(is_pricing).collect();
        let is_open = pricing.iter().all(|subscription| at >= subscription.open_from);
        (is_open && !pricing.is_empty()).then_some(pricing)
    }
}

impl Image {
    /// Sees to it that an event carries every amount that the prices of a plan version read from it.
    fn check_amounts(
        &self,
        version: PlanVersionId,
        resolved: &Resolved,
        properties: &Properties,
    ) -> Result<(), Unresolved> {
        for price in self.event_prices.get(&version).into_iter().flatten() {
            let is_measured = resolved.values().any(|(meter, _)| meter.id == price.meter);
            if is_measured && matches_all(&price.filters, properties) {
                amount_value(&price.amount_property, properties).map_err(Unresolved::Rejected)?;
            }
        }
        Ok(())
    }

    async fn load(tx: &mut WriterTx, scope: Scope, version: i64) -> Result<Self, DbError> {
        let mut meters: HashMap<String, (Vec<ImageMeter>, Vec<String>)> = HashMap::new();
        for meter in ingest::list_meters(tx, scope).await? {
            let aggregation = Aggregation::parse(&meter.aggregation)
                .ok_or(DbError::Unreadable { column: "meters.aggregation" })?;
            let (of_type, codes) = meters.entry(meter.event_type).or_default();
            of_type.push(ImageMeter {
                id: meter.id,
                aggregation,
                value_property: meter.value_property,
                filters: meter.filters,
            });
            codes.push(meter.code);
        }
        let mut event_prices: HashMap<PlanVersionId, Vec<EventPrice>> = HashMap::new();
        for price in ingest::list_event_prices(tx, scope).await? {
            event_prices.entry(price.plan_version).or_default().push(price);
        }
        let shared = |(meters, codes): (Vec<ImageMeter>, Vec<String>)| {
            Arc::new(TypeMeters { meters, codes: codes.into() })
        };
        Ok(Self {
            version,
            test_clock: ingest::find_test_clock(tx, scope).await?,
            meters: meters.into_iter().map(|(event_type, parts)| (event_type, shared(parts))).collect(),
            event_prices,
            customers: HashMap::new(),
        })
    }

    async fn load_customers(
        &mut self,
        tx: &mut WriterTx,
        scope: Scope,
        names: &[&str],
    ) -> Result<(), DbError> {
        let ids: Vec<CustomerId> = names.iter().filter_map(|name| name.parse().ok()).collect();
        let external_ids: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
        let mut found: HashMap<CustomerId, (Option<String>, Vec<ImageSubscription>)> = HashMap::new();
        for EventCustomer { id, external_id, subscription } in
            ingest::find_customers(tx, scope, &ids, &external_ids).await?
        {
            let (_, subscriptions) = found.entry(id).or_insert_with(|| (external_id, Vec::new()));
            subscriptions.extend(subscription.map(|subscription| ImageSubscription {
                id: subscription.id,
                start_at: subscription.start_at,
                ended_at: subscription.ended_at,
                open_from: subscription.open_from,
                plan_version: subscription.plan_version,
                meters: subscription.meters,
            }));
        }
        for (id, (external_id, subscriptions)) in found {
            let customer = Arc::new(ImageCustomer { id, subscriptions });
            for name in external_id.into_iter().chain([id.to_string()]) {
                self.customers.insert(name, Arc::clone(&customer));
            }
        }
        Ok(())
    }
}
