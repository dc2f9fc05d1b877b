//! Prefixed, sortable ids in `TypeID` form: `cus_` + 26 characters of base32 over a `UUIDv7`.

use std::{fmt, str::FromStr};

use uuid::Uuid;

/// Crockford's alphabet in lower case, as the `TypeID` specification (0.3) fixes it.
const ALPHABET: &[u8; 32] = b"0123456789abcdefghjkmnpqrstvwxyz";
const SUFFIX_LENGTH: usize = 26;

/// A text that is not an id of the expected kind.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("not an id of the form {prefix}_ and 26 characters")]
pub struct InvalidId {
    /// The prefix that the expected kind of id begins with.
    pub prefix: &'static str,
}

macro_rules! ids {
    ($($(#[$doc:meta])* $name:ident = $prefix:literal;)*) => {$(
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(Uuid);

        impl $name {
            /// What the text form begins with, before the underscore.
            pub const PREFIX: &'static str = $prefix;

            /// Wraps a UUID that is known to belong to this kind.
            pub const fn from_uuid(uuid: Uuid) -> Self {
                Self(uuid)
            }

            /// The UUID as it is stored.
            pub const fn uuid(self) -> Uuid {
                self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{}_", Self::PREFIX)?;
                write_suffix(self.0, f)
            }
        }

        impl FromStr for $name {
            type Err = InvalidId;

            fn from_str(text: &str) -> Result<Self, InvalidId> {
                let suffix = text.strip_prefix(Self::PREFIX).and_then(|rest| rest.strip_prefix('_'));
                suffix.and_then(parse_suffix).map(Self).ok_or(InvalidId { prefix: Self::PREFIX })
            }
        }

        impl serde::Serialize for $name {
            fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.collect_str(self)
            }
        }
    )*};
}

ids! {
    /// Names a tenant.
    TenantId = "ten";
    /// Names a member: a person on a tenant's staff.
    MemberId = "mem";
    /// Names an API key; it is not the key itself.
    ApiKeyId = "key";
    /// Names a session of a member: a sign-in and all tokens that descend from it.
    SessionId = "ses";
    /// Names an invitation to a tenant's staff.
    InvitationId = "invt";
    /// Names a token by which a customer reads what is its own.
    CustomerTokenId = "ctk";
    /// Names an issuer that a tenant trusts to say who somebody is.
    IdentityProviderId = "idp";
    /// Names a mail.
    MailId = "mail";
    /// Names an entry of the audit log.
    AuditEntryId = "aud";
    /// Names a meter.
    MeterId = "mtr";
    /// Names a feature.
    FeatureId = "feat";
    /// Names the counter of what a customer uses of a feature.
    EntitlementCounterId = "entc";
    /// Names a plan over all its versions.
    PlanId = "plan";
    /// Names one immutable version of a plan.
    PlanVersionId = "plv";
    /// Names the migration of a plan's subscriptions to its newest version.
    PlanMigrationId = "mig";
    /// Names a price of one plan version.
    PriceId = "price";
    /// Names a customer.
    CustomerId = "cus";
    /// Names a subscription.
    SubscriptionId = "sub";
    /// Names an item of a subscription: its plan or an add-on.
    SubscriptionItemId = "si";
    /// Names an invoice.
    InvoiceId = "inv";
    /// Names a line item of an invoice.
    LineItemId = "line";
    /// Names a credit note.
    CreditNoteId = "cn";
    /// Names a refund.
    RefundId = "re";
    /// Names an entry of a customer's credit balance.
    CreditBalanceEntryId = "cbe";
    /// Names a payment.
    PaymentId = "pay";
    /// Names a payment method.
    PaymentMethodId = "pm";
    /// Names a wallet.
    WalletId = "wal";
    /// Names credits that were given to a wallet at once.
    WalletGrantId = "wgr";
    /// Names an entry of a wallet.
    WalletEntryId = "wen";
    /// Names a top-up of a wallet.
    TopUpId = "top";
    /// Names a hold.
    HoldId = "hold";
    /// Names a coupon.
    CouponId = "coup";
    /// Names a discount: a coupon that a customer has redeemed.
    DiscountId = "disc";
    /// Names a tax rate.
    TaxRateId = "txr";
    /// Names a correction of a usage event.
    CorrectionId = "cor";
    /// Names a session of corrections.
    CorrectionSessionId = "cors";
    /// Names an outbox event.
    OutboxEventId = "evt";
    /// An address that a tenant is told at.
    WebhookEndpointId = "whe";
    /// Names an event on its way to an endpoint.
    WebhookDeliveryId = "dlv";
    /// Names a request, for logs and error answers.
    RequestId = "req";
}

fn write_suffix(uuid: Uuid, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    let value = uuid.as_u128();
    for position in (0..SUFFIX_LENGTH).rev() {
        let index = (value >> (position * 5)) & 31;
        let symbol = ALPHABET[usize::try_from(index).expect("an index below 32 fits")];
        fmt::Write::write_char(f, char::from(symbol))?;
    }
    Ok(())
}

fn parse_suffix(suffix: &str) -> Option<Uuid> {
    let bytes = suffix.as_bytes();
    // 26 symbols hold 130 bits: the first may not exceed 7.
    if bytes.len() != SUFFIX_LENGTH || bytes[0] > b'7' {
        return None;
    }
    let mut value = 0u128;
    for byte in bytes {
        let index = ALPHABET.iter().position(|symbol| symbol == byte)?;
        value = (value << 5) | u128::try_from(index).ok()?;
    }
    Some(Uuid::from_u128(value))
}

/// Builds a `UUIDv7` (RFC 9562) from the time in milliseconds since 1970 and ten random bytes.
pub fn uuid_v7(unix_ms: u64, random: [u8; 10]) -> Uuid {
    uuid::Builder::from_unix_timestamp_millis(unix_ms, &random).into_uuid()
}

#[cfg(test)]
mod tests;
