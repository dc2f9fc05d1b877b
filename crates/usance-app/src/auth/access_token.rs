//! Access tokens of members: EdDSA JWTs (RFC 8725: one algorithm, one issuer, one audience, one type, one key).

use aws_lc_rs::signature::{Ed25519KeyPair, KeyPair};
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use jiff::{SignedDuration, Timestamp};
use jsonwebtoken::{Algorithm, DecodingKey, EncodingKey, Header, Validation};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use usance_core::ids::{MemberId, SessionId, TenantId};
use uuid::Uuid;

use super::keyring::Keyring;
use crate::error::{Error, Result};

/// How far the clock of another instance may be ahead.
const SKEW_SECONDS: i64 = 60;
const ISSUER: &str = "usance";
const AUDIENCE: &str = "usance-api";
const TYPE: &str = "at+jwt"; // RFC 9068
const KEY_ID: &str = "1";

#[derive(Debug, Serialize, Deserialize)]
struct Claims {
    iss: String,
    aud: String,
    sub: String,
    sid: String,
    jti: Uuid,
    tenant_id: String,
    iat: i64,
    exp: i64,
}

/// What an access token says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AccessClaims {
    /// Whose rows it reaches.
    pub tenant: TenantId,
    /// Who presents it.
    pub member: MemberId,
    /// The session that it belongs to.
    pub session: SessionId,
    /// The refresh token of the same answer.
    pub token: Uuid,
}

/// Signs and verifies access tokens.
pub struct AccessTokens {
    signing: EncodingKey,
    verifying: DecodingKey,
    public_key: Vec<u8>,
    lifetime: SignedDuration,
}

impl std::fmt::Debug for AccessTokens {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("AccessTokens")
    }
}

impl AccessTokens {
    /// Derives the signing key of the installation; tokens are valid for `lifetime`.
    pub fn new(keyring: &Keyring, lifetime: SignedDuration) -> Result<Self> {
        let cannot = |_| Error::Internal("the key of the access tokens cannot be derived");
        let pair = Ed25519KeyPair::from_seed_unchecked(&keyring.derive("access token")).map_err(cannot)?;
        let document = pair
            .to_pkcs8v1()
            .map_err(|_| Error::Internal("the key of the access tokens cannot be encoded"))?;
        Ok(Self {
            signing: EncodingKey::from_ed_der(document.as_ref()),
            verifying: DecodingKey::from_ed_der(pair.public_key().as_ref()),
            public_key: pair.public_key().as_ref().to_vec(),
            lifetime,
        })
    }

    /// The public key as a JWK set (RFC 7517, RFC 8037).
    pub fn key_set(&self) -> Value {
        let x = URL_SAFE_NO_PAD.encode(&self.public_key);
        json!({ "keys": [{ "kty": "OKP", "crv": "Ed25519", "use": "sig", "alg": "EdDSA", "kid": KEY_ID, "x": x }] })
    }

    /// Issues a token.
    pub fn issue(&self, claims: &AccessClaims, now: Timestamp) -> Result<String> {
        let claims = Claims {
            iss: ISSUER.to_owned(),
            aud: AUDIENCE.to_owned(),
            sub: claims.member.to_string(),
            sid: claims.session.to_string(),
            jti: claims.token,
            tenant_id: claims.tenant.to_string(),
            iat: now.as_second(),
            exp: now.saturating_add(self.lifetime).unwrap_or(now).as_second(),
        };
        let header = Header {
            typ: Some(TYPE.to_owned()),
            kid: Some(KEY_ID.to_owned()),
            ..Header::new(Algorithm::EdDSA)
        };
        jsonwebtoken::encode(&header, &claims, &self.signing)
            .map_err(|_| Error::Internal("the access token cannot be signed"))
    }

    /// Reads a token that this installation issued and that is still valid.
    pub fn verify(&self, token: &str, now: Timestamp) -> Option<AccessClaims> {
        let mut validation = Validation::new(Algorithm::EdDSA);
        validation.set_issuer(&[ISSUER]);
        validation.set_audience(&[AUDIENCE]);
        validation.set_required_spec_claims(&["exp", "iss", "aud", "sub"]);
        // The library would read the machine's clock; the time is compared below.
        validation.validate_exp = false;
        let data = jsonwebtoken::decode::<Claims>(token, &self.verifying, &validation).ok()?;
        let current = data.claims.iat <= now.as_second().saturating_add(SKEW_SECONDS)
            && now.as_second() < data.claims.exp;
        let ours = data.header.typ.as_deref() == Some(TYPE) && data.header.kid.as_deref() == Some(KEY_ID);
        if !current || !ours {
            return None;
        }
        Some(AccessClaims {
            tenant: data.claims.tenant_id.parse().ok()?,
            member: data.claims.sub.parse().ok()?,
            session: data.claims.sid.parse().ok()?,
            token: data.claims.jti,
        })
    }
}

#[cfg(test)]
mod tests;
