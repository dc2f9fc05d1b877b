//! Who is calling: API keys, member tokens, passwords, and the secret that they all hang on.

pub mod access_token;
pub mod api_key;
mod authenticate;
pub mod keyring;
pub mod password;
pub(crate) mod tenant_token;

pub(crate) use authenticate::role_of;
pub use authenticate::{
    Caller, Credential, Identity, KeyCache, SignedInCustomer, SignedInMember, authenticate,
};
