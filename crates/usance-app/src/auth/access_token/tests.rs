use jiff::{SignedDuration, Timestamp};
use jsonwebtoken::{Algorithm, EncodingKey, Header, encode};
use secrecy::SecretString;
use serde_json::{Value, json};
use usance_core::ids::{MemberId, SessionId, TenantId};
use uuid::Uuid;

use super::{AccessClaims, AccessTokens};
use crate::auth::keyring::Keyring;

const SECRET: &str = "dGVzdHMgb25seTogMzIgYnl0ZXMgb2Ygc2VjcmV0ISE=";
const OTHER_SECRET: &str = "b3RoZXIgdGVzdDogMzIgYnl0ZXMgb2Ygc2VjcmV0ISE=";

fn tokens(secret: &str) -> AccessTokens {
    let keyring = Keyring::parse(&SecretString::from(secret)).unwrap();
    AccessTokens::new(&keyring, SignedDuration::from_mins(60)).unwrap()
}

fn now() -> Timestamp {
    "2026-01-01T00:00:00Z".parse().unwrap()
}

fn claims() -> AccessClaims {
    AccessClaims {
        tenant: TenantId::from_uuid(Uuid::from_u128(1)),
        member: MemberId::from_uuid(Uuid::from_u128(2)),
        session: SessionId::from_uuid(Uuid::from_u128(3)),
        token: Uuid::from_u128(4),
    }
}

fn body() -> Value {
    let AccessClaims { tenant, member, session, token } = claims();
    json!({ "iss": "usance", "aud": "usance-api", "sub": member.to_string(), "sid": session.to_string(), "jti": token,
        "tenant_id": tenant.to_string(), "iat": now().as_second(), "exp": now().as_second() + 3600 })
}

fn header() -> Header {
    Header { typ: Some("at+jwt".to_owned()), kid: Some("1".to_owned()), ..Header::new(Algorithm::EdDSA) }
}

#[test]
fn a_token_is_read_back_until_its_hour_is_over() {
    let tokens = tokens(SECRET);
    let token = tokens.issue(&claims(), now()).unwrap();

    let last = now() + SignedDuration::from_secs(3599);

    assert_eq!(tokens.verify(&token, now()), Some(claims()));
    assert_eq!(tokens.verify(&token, last), Some(claims()));
    assert_eq!(tokens.verify(&token, last + SignedDuration::from_secs(1)), None);
    assert_eq!(tokens.verify(&token, now() - SignedDuration::from_secs(61)), None);
}

#[test]
fn a_token_that_differs_in_any_pinned_part_is_refused() {
    let tokens = tokens(SECRET);
    let sign = |header: &Header, body: &Value| encode(header, body, &tokens.signing).unwrap();
    assert_eq!(tokens.verify(&sign(&header(), &body()), now()), Some(claims()));

    let header_without = |typ: Option<&str>, kid: Option<&str>| Header {
        typ: typ.map(str::to_owned),
        kid: kid.map(str::to_owned),
        ..header()
    };
    for wrong in [
        header_without(Some("JWT"), Some("1")),
        header_without(None, Some("1")),
        header_without(Some("at+jwt"), Some("2")),
        header_without(Some("at+jwt"), Some("../../../../dev/null")),
        header_without(Some("at+jwt"), None),
    ] {
        assert_eq!(tokens.verify(&sign(&wrong, &body()), now()), None, "{wrong:?}");
    }
    for (name, value) in [
        ("iss", json!("somebody")),
        ("aud", json!("another-api")),
        ("aud", json!(null)),
        ("exp", json!(null)),
        ("exp", json!(now().as_second())),
        ("iat", json!(now().as_second() + 3600)),
        ("sub", json!("mem_x")),
        ("sid", json!(null)),
        ("jti", json!("x")),
        ("tenant_id", json!("")),
    ] {
        let mut wrong = body();
        wrong[name] = value;
        assert_eq!(tokens.verify(&sign(&header(), &wrong), now()), None, "{wrong}");
    }
}

#[test]
fn a_token_of_another_key_or_algorithm_is_refused() {
    let tokens = tokens(SECRET);
    let foreign = self::tokens(OTHER_SECRET).issue(&claims(), now()).unwrap();
    assert_eq!(tokens.verify(&foreign, now()), None);

    // The public key as the secret of a symmetric algorithm.
    let confused = Header { alg: Algorithm::HS256, ..header() };
    let confused = encode(&confused, &body(), &EncodingKey::from_secret(&tokens.public_key)).unwrap();
    assert_eq!(tokens.verify(&confused, now()), None);

    let good = tokens.issue(&claims(), now()).unwrap();
    let parts: Vec<&str> = good.split('.').collect();
    // {"alg":"none","typ":"at+jwt","kid":"1"}
    let none = "eyJhbGciOiJub25lIiwidHlwIjoiYXQrand0Iiwia2lkIjoiMSJ9";
    for forged in [
        format!("{none}.{}.", parts[1]),
        format!("{none}.{}.{}", parts[1], parts[2]),
        format!("{}.{}.", parts[0], parts[1]),
        format!("{}.{}", parts[0], parts[1]),
        format!("{}.{}.{}", parts[0], parts[1], "A".repeat(86)),
        "..".to_owned(),
        String::new(),
    ] {
        assert_eq!(tokens.verify(&forged, now()), None, "{forged}");
    }
}

#[test]
fn the_key_set_holds_the_public_key_alone() {
    let set = tokens(SECRET).key_set();

    let key = &set["keys"][0];
    assert_eq!(
        (key["kty"].as_str(), key["crv"].as_str(), key["kid"].as_str()),
        (Some("OKP"), Some("Ed25519"), Some("1"))
    );
    assert_eq!(key["x"].as_str().unwrap().len(), 43);
    assert!(key.get("d").is_none());
    assert_ne!(set, tokens(OTHER_SECRET).key_set());
}
