//! The calls of Stripe Connect.

use secrecy::{ExposeSecret, SecretString};
use serde::Deserialize;
use url::Url;
use usance_core::ids::TenantId;

use super::{
    Account, ConnectStyle, StripeClient, StripeError,
    account::{AccountWire, is_account_id},
};

#[derive(Deserialize)]
struct Authorized {
    stripe_user_id: String,
}

#[derive(Deserialize)]
struct Ignored {}

#[derive(Deserialize)]
struct AccountLink {
    url: String,
}

impl StripeClient {
    /// The page of Stripe that asks the owner of an account whether the platform may use it.
    pub(crate) fn authorize_url(
        &self,
        style: ConnectStyle,
        client_id: &str,
        state: &SecretString,
        redirect_uri: &str,
    ) -> Result<String, url::ParseError> {
        let path = match style {
            ConnectStyle::Express => "/express/oauth/authorize",
            ConnectStyle::Standard | ConnectStyle::AccountLinks => "/oauth/authorize",
        };
        let parameters = [
            ("client_id", client_id),
            ("state", state.expose_secret()),
            ("redirect_uri", redirect_uri),
            ("response_type", "code"),
            ("scope", "read_write"),
        ];
        let url = Url::parse_with_params(&format!("{}{path}", self.connect_base()), parameters)?;
        Ok(url.into())
    }

    /// Exchanges the code of a callback, once, for the id of the account. The tokens of the answer are not kept: the
    /// platform's own key and the id are enough.
    pub(crate) async fn exchange_code(&self, code: &str) -> Result<String, StripeError> {
        let fields = [("grant_type", "authorization_code"), ("code", code)];
        let Authorized { stripe_user_id } = self.post_oauth("/oauth/token", &fields).await?;
        Some(stripe_user_id).filter(|id| is_account_id(id)).ok_or_else(no_account)
    }

    /// Ends the platform's access to an account.
    pub(crate) async fn deauthorize(&self, client_id: &str, account_id: &str) -> Result<(), StripeError> {
        let fields = [("client_id", client_id), ("stripe_user_id", account_id)];
        let Ignored {} = self.post_oauth("/oauth/deauthorize", &fields).await?;
        Ok(())
    }

    /// Reads an account. The id must come from Stripe.
    pub(crate) async fn get_account(&self, id: &str) -> Result<Account, StripeError> {
        let wire: AccountWire = self.get(&format!("/v1/accounts/{id}")).await?;
        wire.read().ok_or_else(no_account)
    }

    /// Makes an Express account for a tenant.
    pub(crate) async fn create_account(
        &self,
        tenant: TenantId,
        idempotency_key: &str,
    ) -> Result<Account, StripeError> {
        let tenant = tenant.to_string();
        let fields = [
            ("type", "express"),
            ("capabilities[card_payments][requested]", "true"),
            ("capabilities[transfers][requested]", "true"),
            ("metadata[usance_tenant]", tenant.as_str()),
        ];
        let wire: AccountWire = self.post("/v1/accounts", idempotency_key, &fields).await?;
        wire.read().ok_or_else(no_account)
    }

    /// Makes the address of the page on which the owner of an account completes it. It works once and for some minutes.
    pub(crate) async fn create_account_link(
        &self,
        account_id: &str,
        return_url: &str,
        refresh_url: &str,
        idempotency_key: &str,
    ) -> Result<String, StripeError> {
        let fields = [
            ("account", account_id),
            ("return_url", return_url),
            ("refresh_url", refresh_url),
            ("type", "account_onboarding"),
        ];
        let AccountLink { url } = self.post("/v1/account_links", idempotency_key, &fields).await?;
        Ok(url)
    }
}

fn no_account() -> StripeError {
    StripeError::unreadable(reqwest::StatusCode::OK, None)
}
