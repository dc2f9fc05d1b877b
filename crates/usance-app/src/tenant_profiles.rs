//! What a tenant says of itself on invoices, and its billing policies.

use std::collections::BTreeMap;

use serde_json::json;
use usance_core::{access::Role, discount::CouponOrder, late_usage::LateUsage};
use usance_db::{
    TenantTx,
    tenant_profiles::{self, Logo, TenantProfile},
};

use crate::{
    Change, Cx,
    audit::{self, Audited},
    error::{Error, Faults, Result},
    fields::{check_members, check_paragraphs, check_text, check_word, read_email, read_whole},
    logo,
    members::{own_role, require_rank},
    outbox::announce,
};

/// What happens to the subscription after the last failed payment.
const FINAL_ACTIONS: [&str; 2] = ["cancel", "mark_unpaid"];
const PREFIX_LENGTH_MAX: usize = 12;
const DOMAIN_LENGTH_MAX: usize = 253;
const DOMAIN_LABEL_LENGTH_MAX: usize = 63;
const TAX_IDS_MAX: usize = 10;
const RETRIES_MAX: usize = 12;
const RETRY_DAY_MAX: i16 = 90;

/// What is to change of a profile; absent fields stay.
#[derive(Debug, Default)]
pub struct UpdateTenantProfile {
    /// The seller's name on invoices.
    pub legal_name: Option<String>,
    /// Postal address.
    pub address: Option<BTreeMap<String, String>>,
    /// The seller's e-mail address on invoices.
    pub email: Option<String>,
    /// Type and value of each.
    pub tax_ids: Option<Vec<(String, String)>>,
    /// 0 to 365.
    pub payment_terms_days: Option<i32>,
    /// 1 to 12 of `A` to `Z`, `0` to `9` and the hyphen.
    pub invoice_number_prefix: Option<String>,
    /// Several lines.
    pub invoice_terms: Option<String>,
    /// Several lines.
    pub invoice_footer: Option<String>,
    /// PNG or JPEG in base64 or as a `data:` address, at most 256 KiB and 2048 pixels wide and high.
    pub logo: Change<String>,
    /// `#` and six hexadecimal digits.
    pub brand_color: Change<String>,
    /// A host name.
    pub domain: Change<String>,
    /// Whether members must have a second factor; owners change it.
    pub require_second_factor: Option<bool>,
    /// The billing policies.
    pub policies: UpdatePolicies,
}

/// What is to change of the billing policies; absent fields stay.
#[derive(Debug, Default)]
pub struct UpdatePolicies {
    /// 0 to 720.
    pub grace_period_hours: Option<i32>,
    /// `next_invoice` or `credit_note_and_reissue`.
    pub late_usage: Option<String>,
    /// `percent_before_fixed`, `as_applied` or `pro_rata_on_remaining`.
    pub coupon_order: Option<String>,
    /// Ascending days after the first failed payment, 1 to 90.
    pub retry_days: Option<Vec<i32>>,
    /// `cancel` or `mark_unpaid`.
    pub final_action: Option<String>,
}

/// Reads the profile, with the defaults where nothing was set.
pub async fn get(tx: &mut TenantTx) -> Result<TenantProfile> {
    Ok(tenant_profiles::get(tx).await?)
}

/// Reads the logo.
pub async fn get_logo(tx: &mut TenantTx) -> Result<Logo> {
    tenant_profiles::find_logo(tx).await?.ok_or_else(|| Error::not_found("logo"))
}

/// Changes the profile, in both modes.
pub async fn update(cx: &Cx, tx: &mut TenantTx, mut input: UpdateTenantProfile) -> Result<TenantProfile> {
    let mut faults = Faults::default();
    let logo = match std::mem::take(&mut input.logo) {
        Change::Set(text) => logo::read(&mut faults, text).await?.map_or(Change::Keep, Change::Set),
        Change::Clear => Change::Clear,
        Change::Keep => Change::Keep,
    };
    let mut profile = tenant_profiles::lock(tx).await?;
    let policies = std::mem::take(&mut input.policies);
    if let Some(required) = input.require_second_factor {
        require_second_factor(cx, tx, &mut profile, required).await?;
    }
    apply_seller(&mut faults, &mut profile, input);
    apply_policies(&mut faults, &mut profile, policies);
    faults.check()?;
    profile.updated_at = cx.now;
    tenant_profiles::store(tx, &profile).await?;
    match &logo {
        Change::Set(logo) => tenant_profiles::store_logo(tx, logo, cx.now).await?,
        Change::Clear => tenant_profiles::remove_logo(tx).await?,
        Change::Keep => {}
    }
    logo.map(|logo| logo.media_type).apply(&mut profile.logo_media_type);
    announce(cx, tx, "tenant.updated", json!({ "id": tx.scope().tenant })).await?;
    Ok(profile)
}

/// It decides who is let in, which is the owners' to say.
async fn require_second_factor(
    cx: &Cx,
    tx: &mut TenantTx,
    profile: &mut TenantProfile,
    required: bool,
) -> Result<()> {
    require_rank(own_role(cx, tx).await?, Role::Owner)?;
    let before = std::mem::replace(&mut profile.require_second_factor, required);
    if before == required {
        return Ok(());
    }
    let audited = Audited {
        action: "tenant.second_factor_policy_changed",
        subject_type: "tenant",
        subject_id: tx.scope().tenant.to_string(),
        before: Some(json!({ "require_second_factor": before })),
        after: Some(json!({ "require_second_factor": required })),
        ..Audited::default()
    };
    audit::record(cx, tx, audited).await
}

fn apply_seller(faults: &mut Faults, profile: &mut TenantProfile, input: UpdateTenantProfile) {
    if let Some(legal_name) = input.legal_name {
        check_text(faults, "/legal_name", &legal_name);
        profile.legal_name = legal_name;
    }
    if let Some(address) = input.address {
        check_members(faults, "/address", &address);
        profile.address = json!(address);
    }
    if let Some(email) = input.email {
        profile.email = read_email(faults, "/email", &email);
    }
    if let Some(tax_ids) = input.tax_ids {
        check_tax_ids(faults, &tax_ids);
        profile.tax_ids =
            tax_ids.iter().map(|(kind, value)| json!({ "type": kind, "value": value })).collect();
    }
    if let Some(days) = input.payment_terms_days {
        let days = read_whole(faults, "/payment_terms_days", days, 0..=365);
        profile.payment_terms_days = days.unwrap_or_default();
    }
    if let Some(prefix) = input.invoice_number_prefix {
        check_prefix(faults, &prefix);
        profile.invoice_number_prefix = prefix;
    }
    for (pointer, text, field) in [
        ("/invoice_terms", input.invoice_terms, &mut profile.invoice_terms),
        ("/invoice_footer", input.invoice_footer, &mut profile.invoice_footer),
    ] {
        if let Some(text) = text {
            check_paragraphs(faults, pointer, &text);
            *field = text;
        }
    }
    input.brand_color.map(|color| read_color(faults, &color)).apply(&mut profile.brand_color);
    input.domain.map(|domain| read_domain(faults, &domain)).apply(&mut profile.domain);
}

fn apply_policies(faults: &mut Faults, profile: &mut TenantProfile, input: UpdatePolicies) {
    if let Some(hours) = input.grace_period_hours {
        let hours = read_whole(faults, "/grace_period_hours", hours, 0..=720);
        profile.grace_period_hours = hours.unwrap_or_default();
    }
    if let Some(days) = input.retry_days {
        profile.dunning_retry_days = read_retry_days(faults, &days);
    }
    let (late, orders) = (LateUsage::ALL.map(LateUsage::as_str), CouponOrder::ALL.map(CouponOrder::as_str));
    for (pointer, word, words, field) in [
        ("/late_usage", input.late_usage, &late[..], &mut profile.late_usage),
        ("/coupon_order", input.coupon_order, &orders, &mut profile.coupon_order),
        ("/dunning/final_action", input.final_action, &FINAL_ACTIONS, &mut profile.dunning_final_action),
    ] {
        if let Some(word) = word {
            check_word(faults, pointer, &word, words);
            *field = word;
        }
    }
}

fn check_tax_ids(faults: &mut Faults, tax_ids: &[(String, String)]) {
    if tax_ids.len() > TAX_IDS_MAX {
        faults.add("/tax_ids", "too_many", format!("must have at most {TAX_IDS_MAX} tax ids"));
        return;
    }
    for (index, (kind, value)) in tax_ids.iter().enumerate() {
        check_text(faults, &format!("/tax_ids/{index}/type"), kind);
        check_text(faults, &format!("/tax_ids/{index}/value"), value);
    }
}

fn check_prefix(faults: &mut Faults, prefix: &str) {
    let allowed = |byte: u8| byte.is_ascii_uppercase() || byte.is_ascii_digit() || byte == b'-';
    if prefix.is_empty() || prefix.len() > PREFIX_LENGTH_MAX || !prefix.bytes().all(allowed) {
        let detail = format!("use 1 to {PREFIX_LENGTH_MAX} letters A to Z, digits or hyphens");
        faults.add("/invoice_number_prefix", "invalid_prefix", detail);
    }
}

fn read_color(faults: &mut Faults, text: &str) -> String {
    let digits = text.strip_prefix('#').unwrap_or_default();
    if digits.len() != 6 || !digits.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        let detail = "must be # and six hexadecimal digits, such as #1d4ed8";
        faults.add("/brand_color", "invalid_color", detail);
    }
    text.to_lowercase()
}

fn read_domain(faults: &mut Faults, text: &str) -> String {
    let is_label = |label: &str| {
        (1..=DOMAIN_LABEL_LENGTH_MAX).contains(&label.len())
            && !label.starts_with('-')
            && !label.ends_with('-')
            && label.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
    };
    if text.len() > DOMAIN_LENGTH_MAX || !text.contains('.') || !text.split('.').all(is_label) {
        faults.add("/domain", "invalid_domain", "must be a host name such as billing.example.com");
    }
    text.to_lowercase()
}

fn read_retry_days(faults: &mut Faults, days: &[i32]) -> Vec<i16> {
    let pointer = "/dunning/retry_days";
    if days.len() > RETRIES_MAX {
        faults.add(pointer, "too_many", format!("must have at most {RETRIES_MAX} days"));
        return Vec::new();
    }
    let mut read = Vec::new();
    for (index, day) in days.iter().enumerate() {
        read.extend(read_whole(faults, &format!("{pointer}/{index}"), *day, 1..=RETRY_DAY_MAX));
    }
    if !read.is_sorted_by(|earlier, later| earlier < later) {
        faults.add(pointer, "not_ascending", "each day must be later than the one before");
    }
    read
}

#[cfg(test)]
mod tests;
