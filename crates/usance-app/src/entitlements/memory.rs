//! What is remembered of customers: their rights, and what they used.

use std::{
    collections::{HashMap, HashSet},
    sync::{
        Arc, Mutex, MutexGuard, PoisonError, RwLock,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
};

use jiff::{SignedDuration, Timestamp};
use rust_decimal::Decimal;
use tokio::sync::{Semaphore, SemaphorePermit, mpsc};
use usance_core::{
    decimal::{exact_add, exact_sub},
    entitlement::{Use, entitled},
    ids::{CustomerId, FeatureId, MeterId},
};
use usance_db::{Scope, catalog_news::Generations};

use super::{refresh::Due, rights::Rights, uses::Uses};

/// How old an answer may be.
pub(super) const AGE_MAX: SignedDuration = SignedDuration::from_secs(1);
/// From this age on, what was used is read again in the background while somebody asks.
const REFRESH_AFTER: SignedDuration = SignedDuration::from_millis(500);
/// Customers of a tenant and mode that are remembered; beyond that it starts anew.
const CUSTOMERS_MAX: usize = 100_000;
/// Tenants and modes that are remembered.
const SCOPES_MAX: usize = 10_000;
/// Features of a tenant and mode that are known to exist.
const FEATURES_MAX: usize = 10_000;
/// Decisions about a customer in the database: while one commits, the next one waits for its lock.
const DECIDING_MAX: usize = 2;
/// Customers that may wait to be read again; those beyond are read when they are asked for.
const DUE_MAX: usize = 10_000;

/// What this instance remembers of customers.
#[derive(Debug)]
pub struct Entitlements {
    scopes: RwLock<HashMap<Scope, Arc<ScopeMemory>>>,
    due: mpsc::Sender<Arc<Remembered>>,
}

/// Usage of a meter that was committed.
#[derive(Debug, Clone, Copy)]
pub(crate) struct NewUsage {
    pub(crate) scope: Scope,
    pub(crate) customer: CustomerId,
    pub(crate) meter: MeterId,
    pub(crate) at: Timestamp,
    /// What the meter adds, if it adds at all.
    pub(crate) amount: Option<Decimal>,
}

/// The customers of a tenant and mode.
#[derive(Debug)]
pub(super) struct ScopeMemory {
    generation: Arc<AtomicU64>,
    /// By the names that questions use, with the generation in which the name meant the customer.
    names: RwLock<HashMap<String, (u64, Arc<Remembered>)>>,
    customers: RwLock<HashMap<CustomerId, Arc<Remembered>>>,
    features: RwLock<HashSet<String>>,
}

/// A customer that is remembered.
#[derive(Debug)]
pub(super) struct Remembered {
    pub(super) scope: Scope,
    pub(super) customer: CustomerId,
    known: Mutex<Known>,
    /// One reads at a time; the others wait for what it finds.
    pub(super) reading: tokio::sync::Mutex<()>,
    /// Those who decide about what it may use: they wait for each other, and must not do so on every connection there is.
    deciding: Semaphore,
    queued: AtomicBool,
}

/// What is known of a customer.
#[derive(Debug)]
pub(super) struct Known {
    pub(super) rights: Arc<Rights>,
    pub(super) uses: Uses,
    /// The number of the catalogue's changes before it was read.
    pub(super) generation: u64,
    /// The wall clock before it was read.
    pub(super) as_of: Timestamp,
    /// Whether usage or holds came since that only the database can add.
    outdated: bool,
    pub(super) additions: Additions,
}

/// What was added to a customer's usage since the start, so that a reader notices what it missed.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Additions {
    count: u64,
    amounts: HashMap<FeatureId, Decimal>,
}

impl Additions {
    fn add(&mut self, feature: FeatureId, amount: Decimal) {
        let sum = self.amounts.entry(feature).or_default();
        *sum = exact_add(*sum, amount).unwrap_or(*sum);
    }

    /// The most that can be used of a feature, of which so much was read after `before`.
    fn most(&self, before: &Self, feature: FeatureId, read: Decimal) -> Decimal {
        let of = |additions: &Self| additions.amounts.get(&feature).copied().unwrap_or_default();
        let since = exact_sub(of(self), of(before)).unwrap_or_default();
        exact_add(read, since.max(Decimal::ZERO)).unwrap_or(read)
    }
}

impl Known {
    pub(super) fn new(rights: Arc<Rights>, uses: Uses, generation: u64, as_of: Timestamp) -> Self {
        Self { rights, uses, generation, as_of, outdated: false, additions: Additions::default() }
    }
}

impl Entitlements {
    /// Remembers nobody. The other end is for [`super::run_refresher`].
    pub fn new() -> (Self, Due) {
        let (due, receiver) = mpsc::channel(DUE_MAX);
        (Self { scopes: RwLock::default(), due }, Due::new(receiver))
    }

    pub(super) fn scope(&self, generations: &Generations, scope: Scope) -> Arc<ScopeMemory> {
        if let Some(memory) = read(&self.scopes).get(&scope) {
            return Arc::clone(memory);
        }
        let mut scopes = write(&self.scopes);
        if scopes.len() >= SCOPES_MAX {
            scopes.clear();
        }
        let memory = scopes.entry(scope).or_insert_with(|| Arc::new(ScopeMemory::new(generations.of(scope))));
        Arc::clone(memory)
    }

    /// A customer that is remembered, if it is.
    pub(super) fn find(&self, scope: Scope, customer: CustomerId) -> Option<Arc<Remembered>> {
        let memory = Arc::clone(read(&self.scopes).get(&scope)?);
        let customers = read(&memory.customers);
        customers.get(&customer).cloned()
    }

    /// Notes usage that this instance committed.
    pub(crate) fn add_usage(&self, usage: &[NewUsage]) {
        self.add_usage_but_of(None, usage);
    }

    /// Notes usage that this instance committed, but for a feature whose use is noted as it is then: added to a use that
    /// has it already, it would count twice.
    pub(super) fn add_usage_but_of(&self, noted: Option<FeatureId>, usage: &[NewUsage]) {
        if read(&self.scopes).is_empty() {
            return;
        }
        for new in usage {
            if let Some(remembered) = self.find(new.scope, new.customer) {
                remembered.add_usage(noted, new);
            }
        }
    }

    /// Notes that this instance committed corrections of what customers used: only the database can say what is left.
    pub(crate) fn note_corrected(&self, scope: Scope, customers: impl IntoIterator<Item = CustomerId>) {
        for remembered in customers.into_iter().filter_map(|customer| self.find(scope, customer)) {
            remembered.note_changed();
        }
    }

    /// Has a customer read again, unless it waits for that already.
    pub(super) fn refresh_soon(&self, remembered: &Arc<Remembered>) {
        if !remembered.queued.swap(true, Ordering::AcqRel)
            && self.due.try_send(Arc::clone(remembered)).is_err()
        {
            remembered.queued.store(false, Ordering::Release);
        }
    }
}

impl ScopeMemory {
    fn new(generation: Arc<AtomicU64>) -> Self {
        Self {
            generation,
            names: RwLock::default(),
            customers: RwLock::default(),
            features: RwLock::default(),
        }
    }

    /// How often the catalogue changed, as far as this instance knows.
    pub(super) fn generation(&self) -> u64 {
        self.generation.load(Ordering::SeqCst)
    }

    /// The customer of a name, as long as the name cannot have changed.
    pub(super) fn find(&self, name: &str) -> Option<Arc<Remembered>> {
        let names = read(&self.names);
        let (generation, remembered) = names.get(name)?;
        (*generation == self.generation()).then(|| Arc::clone(remembered))
    }

    /// Counts what was added to the customer of a name, if it is remembered, for [`Self::remember`].
    pub(super) fn additions(&self, name: &str) -> Option<Additions> {
        let remembered = Arc::clone(&read(&self.names).get(name)?.1);
        let additions = remembered.known().additions.clone();
        Some(additions)
    }

    /// Remembers what was read of a customer, under the name by which it was asked for. `additions` are those before it was
    /// read; if they are not known, what others noted meanwhile may be missing in it.
    pub(super) fn remember(
        &self,
        scope: Scope,
        name: &str,
        known: Known,
        additions: Option<&Additions>,
    ) -> Arc<Remembered> {
        let (customer, generation) = (known.rights.customer, known.generation);
        let mut customers = write(&self.customers);
        if customers.len() >= CUSTOMERS_MAX {
            customers.clear();
            write(&self.names).clear();
        }
        let remembered = if let Some(remembered) = customers.get(&customer) {
            remembered.replace(known, additions);
            Arc::clone(remembered)
        } else {
            let remembered = Arc::new(Remembered::new(scope, known));
            customers.insert(customer, Arc::clone(&remembered));
            remembered
        };
        drop(customers);
        let mut names = write(&self.names);
        if names.len() >= CUSTOMERS_MAX {
            names.clear();
        }
        names.insert(name.to_owned(), (generation, Arc::clone(&remembered)));
        remembered
    }

    /// Whether a feature is known to exist. Features are archived, never removed.
    pub(super) fn knows_feature(&self, code: &str) -> bool {
        read(&self.features).contains(code)
    }

    pub(super) fn remember_feature(&self, code: &str) {
        let mut features = write(&self.features);
        if features.len() >= FEATURES_MAX {
            features.clear();
        }
        features.insert(code.to_owned());
    }
}

/// What is to be done before a question can be answered from memory.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Freshness {
    /// Nothing.
    Fresh,
    /// Nothing, but it is to be read again soon.
    Aging,
    /// What was used is to be read again.
    UsesStale,
    /// All is to be read again.
    Stale,
}

impl Remembered {
    fn new(scope: Scope, known: Known) -> Self {
        Self {
            scope,
            customer: known.rights.customer,
            known: Mutex::new(known),
            reading: tokio::sync::Mutex::default(),
            deciding: Semaphore::new(DECIDING_MAX),
            queued: AtomicBool::new(false),
        }
    }

    /// Waits for the turn to decide about what it may use. Whoever waits holds no connection.
    pub(super) async fn turn(&self) -> Option<SemaphorePermit<'_>> {
        self.deciding.acquire().await.ok()
    }

    pub(super) fn known(&self) -> MutexGuard<'_, Known> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes what was read, unless newer is known. Of what was added while it was read, what is missing in it is kept.
    pub(super) fn replace(&self, mut read: Known, before: Option<&Additions>) {
        let mut current = self.known();
        if (read.generation, read.as_of) < (current.generation, current.as_of) {
            return;
        }
        if Some(&current.additions) != before {
            for (feature, known) in &current.uses {
                // What nobody had used yet was not read.
                let of =
                    read.uses.entry(*feature).or_insert_with(|| Use { used: Decimal::ZERO, ..known.clone() });
                if is_ahead(known, of) {
                    let mut kept = Use { held: of.held, ..known.clone() };
                    if let Some(before) = before.filter(|_| known.window_start == of.window_start) {
                        // What was read may hold what was added before it was noted: it must not count twice for ever.
                        kept.used = kept.used.min(current.additions.most(before, *feature, of.used));
                    }
                    *of = kept;
                }
            }
            read.outdated = current.outdated;
        }
        read.additions = std::mem::take(&mut current.additions);
        *current = read;
    }

    /// Takes it off the queue of those to be read again.
    pub(super) fn unqueue(&self) {
        self.queued.store(false, Ordering::Release);
    }

    /// Says whether it can be answered from.
    pub(super) fn freshness(&self, generation: u64, now: Timestamp) -> Freshness {
        let known = self.known();
        let age = now.duration_since(known.as_of);
        if known.generation != generation {
            Freshness::Stale
        } else if known.outdated || age > AGE_MAX || age < -AGE_MAX {
            Freshness::UsesStale
        } else if age > REFRESH_AFTER {
            Freshness::Aging
        } else {
            Freshness::Fresh
        }
    }

    /// Notes what this instance committed: the use of a feature as it is now.
    pub(super) fn set_use(&self, feature: FeatureId, of: Use) {
        let mut known = self.known();
        known.additions.count += 1;
        // Of two commits the later one may be noted first.
        let noted = known.uses.get(&feature);
        if noted.is_none_or(|noted| is_ahead(&of, noted)) {
            let of_window = noted.filter(|noted| noted.window_start == of.window_start);
            let used_before = of_window.map_or(Decimal::ZERO, |noted| noted.used);
            known.additions.add(feature, exact_sub(of.used, used_before).unwrap_or_default());
            known.uses.insert(feature, of);
        }
    }

    /// Notes that this instance changed a hold, or corrected what was used: whoever asks next reads how it stands.
    pub(super) fn note_changed(&self) {
        let mut known = self.known();
        known.additions.count += 1;
        known.outdated = true;
    }

    /// Notes usage of a meter that this instance committed. Without an amount that is simply added, only the database can
    /// say what it comes to.
    fn add_usage(&self, noted: Option<FeatureId>, new: &NewUsage) {
        let mut known = self.known();
        let known = &mut *known;
        known.additions.count += 1;
        let rights = Arc::clone(&known.rights);
        for (code, grants) in rights.subscriptions.iter().flat_map(|it| &it.grants) {
            if grants.meter != Some(new.meter) || noted == Some(grants.feature) {
                continue;
            }
            let window = entitled(&rights.subscriptions, code, new.at)
                .ok()
                .and_then(|entitled| entitled.window(new.at));
            let of = known.uses.get_mut(&grants.feature);
            match (window, of, new.amount) {
                (Some(window), Some(of), Some(amount)) if window.start == of.window_start => {
                    of.used = exact_add(of.used, amount).unwrap_or(of.used);
                    known.additions.add(grants.feature, amount);
                }
                (None, _, _) => {}
                (Some(_), _, _) => known.outdated = true,
            }
        }
    }
}

/// Whether one use is known to be later than another one. What is used in a window only grows, but for corrections.
fn is_ahead(known: &Use, read: &Use) -> bool {
    let last = |of: &Use| of.sliding.slots().last().map(|slot| (slot.last_at, slot.used));
    (known.window_start, known.used) > (read.window_start, read.used) || last(known) > last(read)
}

fn read<T>(lock: &RwLock<T>) -> std::sync::RwLockReadGuard<'_, T> {
    lock.read().unwrap_or_else(PoisonError::into_inner)
}

fn write<T>(lock: &RwLock<T>) -> std::sync::RwLockWriteGuard<'_, T> {
    lock.write().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests;
