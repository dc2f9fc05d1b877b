//! Access tokens of members: EdDSA JWTs that are valid for an hour.

use aws_lc_rs::signature::{Ed25519KeyPair, KeyPair};
use jiff::{SignedDuration, Timestamp};
use jsonwebtoken::{Algorithm, DecodingKey, EncodingKey, Header, Validation};
use serde::{Deserialize, Serialize};
use usance_core::ids::{MemberId, TenantId};

use super::keyring::Keyring;
use crate::error::{Error, Result};

/// How long an access token is valid.
pub const ACCESS_TOKEN_LIFETIME: SignedDuration = SignedDuration::from_mins(60);
/// How long a refresh token is valid.
pub const REFRESH_TOKEN_LIFETIME: SignedDuration = SignedDuration::from_hours(7 * 24);

const ISSUER: &str = "usance";
const AUDIENCE: &str = "usance-api";
const TYPE: &str = "at+jwt"; // RFC 9068
const KEY_ID: &str = "1";

#[derive(Debug, Serialize, Deserialize)]
struct Claims {
    iss: String,
    aud: String,
    sub: String,
    tenant_id: String,
    iat: i64,
    exp: i64,
}

/// Signs and verifies access tokens.
pub struct AccessTokens {
    signing: EncodingKey,
    verifying: DecodingKey,
}

impl std::fmt::Debug for AccessTokens {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("AccessTokens")
    }
}

impl AccessTokens {
    /// Derives the signing key of the installation.
    pub fn new(keyring: &Keyring) -> Result<Self> {
        let cannot = |_| Error::Internal("the key of the access tokens cannot be derived");
        let pair = Ed25519KeyPair::from_seed_unchecked(&keyring.derive("access token")).map_err(cannot)?;
        let document = pair
            .to_pkcs8v1()
            .map_err(|_| Error::Internal("the key of the access tokens cannot be encoded"))?;
        Ok(Self {
            signing: EncodingKey::from_ed_der(document.as_ref()),
            verifying: DecodingKey::from_ed_der(pair.public_key().as_ref()),
        })
    }

    /// Issues a token for a member.
    pub fn issue(&self, tenant: TenantId, member: MemberId, now: Timestamp) -> Result<String> {
        let claims = Claims {
            iss: ISSUER.to_owned(),
            aud: AUDIENCE.to_owned(),
            sub: member.to_string(),
            tenant_id: tenant.to_string(),
            iat: now.as_second(),
            exp: (now + ACCESS_TOKEN_LIFETIME).as_second(),
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
    pub fn verify(&self, token: &str, now: Timestamp) -> Option<(TenantId, MemberId)> {
        let mut validation = Validation::new(Algorithm::EdDSA);
        validation.set_issuer(&[ISSUER]);
        validation.set_audience(&[AUDIENCE]);
        // The library would read the machine's clock; the time is compared below.
        validation.validate_exp = false;
        let data = jsonwebtoken::decode::<Claims>(token, &self.verifying, &validation).ok()?;
        let current = data.claims.iat <= now.as_second() + 60 && now.as_second() < data.claims.exp;
        if !current || data.header.typ.as_deref() != Some(TYPE) {
            return None;
        }
        Some((data.claims.tenant_id.parse().ok()?, data.claims.sub.parse().ok()?))
    }
}
