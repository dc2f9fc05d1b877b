use jiff::{SignedDuration, Timestamp};
use proptest::prelude::*;

use super::{
    Area, KeyScopes, PresentedToken, REISSUE_GRACE, RefreshDecision, Right, Role, Successor, decide_refresh,
};

#[test]
fn roles_are_ordered_and_their_words_are_read_back() {
    assert!(Role::Viewer < Role::Developer && Role::Developer < Role::Admin && Role::Admin < Role::Owner);
    for role in Role::ALL {
        assert_eq!(Role::parse(role.as_str()), Some(role));
    }
    assert_eq!(Role::parse("root"), None);
}

#[test]
fn a_scope_permits_its_area_alone_and_writing_includes_reading() {
    let scopes = KeyScopes::parse(["usage:write", "invoices:read"]).unwrap();

    let allowed: Vec<_> = Area::ALL
        .into_iter()
        .flat_map(|area| [(area, Right::Read), (area, Right::Write)])
        .filter(|(area, right)| scopes.allows(*area, *right))
        .collect();

    assert_eq!(
        allowed,
        [(Area::Usage, Right::Read), (Area::Usage, Right::Write), (Area::Invoices, Right::Read)]
    );
}

#[test]
fn all_permits_everything_and_nothing_permits_nothing() {
    for area in Area::ALL {
        for right in [Right::Read, Right::Write] {
            assert!(KeyScopes::parse(["all"]).unwrap().allows(area, right));
            assert!(!KeyScopes::parse([]).unwrap().allows(area, right));
        }
    }
    for wrong in ["", "usage", "usage:", "usage:delete", "ALL", "nothing:read", "usage:read:write"] {
        assert!(KeyScopes::parse([wrong]).is_err(), "{wrong}");
    }
}

fn at(seconds: i64) -> Timestamp {
    Timestamp::UNIX_EPOCH + SignedDuration::from_secs(seconds)
}

const FRESH: Successor = Successor { consumed: false, access_used: false };

fn consumed(successor: Successor) -> PresentedToken {
    PresentedToken {
        expires_at: at(1_000),
        revoked: false,
        consumed_at: Some(at(100)),
        reissued: false,
        successor: Some(successor),
    }
}

#[test]
fn a_token_is_rotated_once() {
    let fresh = PresentedToken { consumed_at: None, successor: None, ..consumed(FRESH) };

    assert_eq!(decide_refresh(&fresh, at(999)), RefreshDecision::Rotate);
    assert_eq!(decide_refresh(&fresh, at(1_000)), RefreshDecision::Refuse);
    let replaced = PresentedToken { revoked: true, ..fresh };
    assert_eq!(decide_refresh(&replaced, at(1)), RefreshDecision::RevokeFamily);
}

#[test]
fn a_lost_answer_is_made_once_more_while_nobody_has_used_it() {
    let within = at(100) + REISSUE_GRACE;
    let used = [Successor { consumed: true, ..FRESH }, Successor { access_used: true, ..FRESH }];

    assert_eq!(decide_refresh(&consumed(FRESH), within), RefreshDecision::Reissue);
    assert_eq!(
        decide_refresh(&consumed(FRESH), within + SignedDuration::from_micros(1)),
        RefreshDecision::RevokeFamily
    );
    for successor in used {
        assert_eq!(decide_refresh(&consumed(successor), at(101)), RefreshDecision::RevokeFamily);
    }
    let again = PresentedToken { reissued: true, ..consumed(FRESH) };
    assert_eq!(decide_refresh(&again, at(101)), RefreshDecision::RevokeFamily);
}

proptest! {
    /// However a token stands, it never gives a successor twice but within the grace, and never after its end.
    #[test]
    fn no_token_gives_anything_after_its_end_or_long_after_its_use(
        expires in 0_i64..200, consumed_at in proptest::option::of(0_i64..200), now in 0_i64..400,
        revoked: bool, reissued: bool, consumed: bool, access_used: bool,
    ) {
        let token = PresentedToken {
            expires_at: at(expires), revoked, consumed_at: consumed_at.map(at), reissued,
            successor: consumed_at.map(|_| Successor { consumed, access_used }),
        };
        let decision = decide_refresh(&token, at(now));
        if matches!(decision, RefreshDecision::Rotate | RefreshDecision::Reissue) {
            prop_assert!(now < expires && !revoked);
            prop_assert!(consumed_at.is_none_or(|used| now - used <= 30 && !consumed && !access_used && !reissued));
        }
    }
}
