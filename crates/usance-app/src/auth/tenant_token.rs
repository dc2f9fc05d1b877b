//! Random tokens that name their tenant: `rt_`, the tenant's id, and 43 random characters. The tenant is not secret, and must
//! be known before the token can be looked up.

use secrecy::{ExposeSecret, SecretString};
use usance_core::{clock::Random, ids::TenantId};

use super::api_key::random_text;

const RANDOM_LENGTH: usize = 43;

/// Makes a token of the kind that the prefix tells.
pub(crate) fn generate(random: &dyn Random, prefix: &str, tenant: TenantId) -> SecretString {
    format!("{prefix}_{tenant}_{}", random_text(random, RANDOM_LENGTH)).into()
}

/// The tenant that a token of the kind names.
pub(crate) fn tenant_of(prefix: &str, token: &SecretString) -> Option<TenantId> {
    let rest = token.expose_secret().strip_prefix(prefix)?.strip_prefix('_')?;
    let (tenant, _) = rest.rsplit_once('_')?;
    tenant.parse().ok()
}
