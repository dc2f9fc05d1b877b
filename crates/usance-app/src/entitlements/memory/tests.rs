use std::{collections::HashMap, sync::Arc};

use jiff::{SignedDuration, Timestamp};
use rust_decimal::Decimal;
use usance_core::{
    entitlement::{SlidingUse, Use},
    ids::{CustomerId, FeatureId, TenantId},
};
use usance_db::Scope;
use uuid::Uuid;

use super::{Known, Remembered};
use crate::entitlements::{rights::Rights, uses::Uses};

fn known(uses: Uses, second: i64) -> Known {
    let rights = Rights {
        customer: CustomerId::from_uuid(Uuid::from_u128(1)),
        version: 1,
        frozen_at: None,
        subscriptions: Vec::new(),
        meters: HashMap::new(),
    };
    Known::new(Arc::new(rights), uses, 1, Timestamp::UNIX_EPOCH + SignedDuration::from_secs(second))
}

fn used(count: u32) -> Use {
    Use {
        window_start: Timestamp::UNIX_EPOCH,
        used: Decimal::from(count),
        sliding: SlidingUse::default(),
        held: Decimal::ZERO,
    }
}

fn remembered() -> Remembered {
    let tenant = TenantId::from_uuid(Uuid::from_u128(2));
    Remembered::new(Scope { tenant, livemode: false }, known(Uses::new(), 0))
}

const FEATURE: FeatureId = FeatureId::from_uuid(Uuid::from_u128(3));

#[test]
fn the_first_use_that_is_committed_while_somebody_reads_is_kept() {
    let one = remembered();

    one.set_use(FEATURE, used(1));
    one.replace(known(Uses::new(), 1), None);

    assert_eq!(one.known().uses[&FEATURE].used, Decimal::ONE);
}

#[test]
fn what_was_read_before_and_after_a_use_was_noted_counts_it_once() {
    let one = remembered();
    let before = one.known().additions.clone();

    one.set_use(FEATURE, used(1));
    one.replace(known(Uses::new(), 1), Some(&before));
    assert_eq!(one.known().uses[&FEATURE].used, Decimal::ONE);
    let after = one.known().additions.clone();
    one.replace(known(Uses::from([(FEATURE, used(1))]), 2), Some(&after));

    assert_eq!(one.known().uses[&FEATURE].used, Decimal::ONE);
}
