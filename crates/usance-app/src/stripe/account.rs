//! Accounts of others at Stripe. Fields that Stripe leaves out or sets to null count as empty.

use serde::Deserialize;

/// An account of a tenant.
#[derive(Debug, Clone)]
pub struct Account {
    /// `acct_` and letters and digits.
    pub id: String,
    /// Whether it takes payments.
    pub charges_enabled: bool,
    /// Whether it is paid out.
    pub payouts_enabled: bool,
    /// Whether its owner has completed Stripe's questions.
    pub details_submitted: bool,
    /// What Stripe waits for.
    pub requirements: Requirements,
    /// Of its owner.
    pub email: Option<String>,
    /// For example `company`.
    pub business_type: Option<String>,
    /// Two letters (ISO 3166-1).
    pub country: Option<String>,
    /// Lower case, as Stripe writes currencies.
    pub default_currency: Option<String>,
}

/// What Stripe waits for before an account may do everything, by Stripe's own names of fields.
#[derive(Debug, Clone, Default)]
pub struct Requirements {
    /// By the next deadline.
    pub currently_due: Vec<String>,
    /// Some day.
    pub eventually_due: Vec<String>,
    /// Since a deadline that has passed.
    pub past_due: Vec<String>,
    /// Why something is turned off.
    pub disabled_reason: Option<String>,
}

#[derive(Deserialize)]
pub(super) struct AccountWire {
    id: String,
    charges_enabled: Option<bool>,
    payouts_enabled: Option<bool>,
    details_submitted: Option<bool>,
    requirements: Option<RequirementsWire>,
    email: Option<String>,
    business_type: Option<String>,
    country: Option<String>,
    default_currency: Option<String>,
}

#[derive(Deserialize)]
struct RequirementsWire {
    currently_due: Option<Vec<String>>,
    eventually_due: Option<Vec<String>>,
    past_due: Option<Vec<String>>,
    disabled_reason: Option<String>,
}

impl AccountWire {
    /// The account, if its id is one.
    pub(super) fn read(self) -> Option<Account> {
        Some(Account {
            id: Some(self.id).filter(|id| is_account_id(id))?,
            charges_enabled: self.charges_enabled.unwrap_or_default(),
            payouts_enabled: self.payouts_enabled.unwrap_or_default(),
            details_submitted: self.details_submitted.unwrap_or_default(),
            requirements: self.requirements.map(Requirements::from).unwrap_or_default(),
            email: self.email,
            business_type: self.business_type,
            country: self.country,
            default_currency: self.default_currency,
        })
    }
}

impl From<RequirementsWire> for Requirements {
    fn from(wire: RequirementsWire) -> Self {
        Self {
            currently_due: wire.currently_due.unwrap_or_default(),
            eventually_due: wire.eventually_due.unwrap_or_default(),
            past_due: wire.past_due.unwrap_or_default(),
            disabled_reason: wire.disabled_reason,
        }
    }
}

/// Whether a text is the id of an account, and so can be stored and be a part of a path.
pub(super) fn is_account_id(text: &str) -> bool {
    let rest = text.strip_prefix("acct_").unwrap_or_default();
    (1..=64).contains(&rest.len()) && rest.bytes().all(|byte| byte.is_ascii_alphanumeric())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_stripe_leaves_out_or_sets_to_null_is_empty() {
        let wire = r#"{"id":"acct_1A","charges_enabled":true,"requirements":{"past_due":null},"email":null}"#;

        let account = serde_json::from_str::<AccountWire>(wire).unwrap().read().unwrap();

        assert!(account.charges_enabled && !account.payouts_enabled && !account.details_submitted);
        assert!(account.requirements.past_due.is_empty() && account.email.is_none());
    }

    #[test]
    fn only_what_is_safe_in_a_path_is_an_account() {
        assert!(is_account_id("acct_1032D82eZvKYlo2C"));
        for text in
            ["", "acct_", "acct_1/../x", "acct_1?x", "cus_1", "acct_1\0", &format!("acct_{}", "1".repeat(65))]
        {
            assert!(!is_account_id(text), "{text}");
        }
    }
}
