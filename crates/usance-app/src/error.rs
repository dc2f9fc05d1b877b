//! What a use case answers when it does not do what was asked.

use std::borrow::Cow;

use serde_json::{Map, Value};
use usance_core::{
    invoice::{InvoiceError, document::DocumentError},
    metering::RejectReason,
    money::MoneyError,
    period::PeriodError,
    rating::RateError,
};
use usance_db::DbError;

/// The outcome of every use case.
pub type Result<T> = std::result::Result<T, Error>;

/// Refused, or failed.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The caller can mend it; nothing was changed.
    #[error("refused: {}", .0.detail)]
    Refused(Box<Refusal>),
    /// The database failed.
    #[error("the database failed")]
    Db(#[from] DbError),
    /// A stored plan and a quantity cannot be billed; a person must look.
    #[error("the usage cannot be rated")]
    Rate(#[from] RateError),
    /// An invoice cannot be summed; a person must look.
    #[error("the invoice cannot be summed")]
    Invoice(#[from] InvoiceError),
    /// An amount is beyond what can be represented; a person must look.
    #[error("an amount is too large")]
    Money(#[from] MoneyError),
    /// A billing period cannot be computed; a person must look.
    #[error("the billing period cannot be computed")]
    Period(#[from] PeriodError),
    /// A stored event cannot be read; a person must look.
    #[error("a stored event cannot be read: {}", .0.as_str())]
    StoredEvent(RejectReason),
    /// The events of one customer fall into more groups than one price may have; a person must look.
    #[error(
        "the usage of the meter `{meter}` falls into more than {most} groups: take a property with fewer values for `group_by`"
    )]
    TooManyGroups {
        /// The code of the meter.
        meter: String,
        /// The groups that there may be.
        most: usize,
    },
    /// An invoice contradicts itself and must not reach its customer; a person must look.
    #[error("the invoice cannot be shown")]
    Document(#[from] DocumentError),
    /// An invoice cannot be laid out; a person must look.
    #[error("the PDF cannot be made: {0}")]
    Pdf(String),
    /// A bug, or a value in the database that the code cannot read.
    #[error("{0}")]
    Internal(&'static str),
}

/// The stable name of a refusal. Each has a page in `docs/errors`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[expect(missing_docs, reason = "a page in docs/errors describes each code")]
pub enum Code {
    NotFound,
    Unauthorized,
    InvalidCredentials,
    TokenNotValid,
    SecondFactorRequired,
    SecondFactorInvalid,
    SecondFactorState,
    SecondFactorEnrolmentRequired,
    Forbidden,
    MalformedJson,
    InvalidField,
    UnsupportedMediaType,
    PayloadTooLarge,
    MethodNotAllowed,
    IdempotencyKeyReused,
    IdempotencyKeyInUse,
    EmailTaken,
    MeterExists,
    FeatureExists,
    PlanExists,
    MigrationInProgress,
    CustomerExists,
    SubscriptionExists,
    CustomerHasSubscription,
    MeterInUse,
    CurrencyMismatch,
    CouponExists,
    CouponNotRedeemable,
    DiscountExists,
    TaxRateExists,
    TaxRateInUse,
    EventConflict,
    EventRejected,
    EventNotCorrectable,
    CorrectionSessionState,
    TooManyRequests,
    RateLimitExceeded,
    SubscriptionInactive,
    FeatureNotIncluded,
    TestModeOnly,
    TestClockBackwards,
    TestClockTooFar,
    TestClockInUse,
    SubscriptionState,
    InvoiceNotDraft,
    InvoiceNotPayable,
    InvoiceNotVoidable,
    InvoiceNotSendable,
    NoEmail,
    PdfNotBuilt,
    NoPaymentMethod,
    PaymentDeclined,
    PaymentUnknown,
    PaymentInProgress,
    PaymentNotRefundable,
    InvoiceNotCreditable,
    CreditNoteTooLarge,
    RefundTooLarge,
    DebtLimitExceeded,
    HoldNotOpen,
    MemberExists,
    InvitationExists,
    LastOwner,
    WebhookEndpointState,
    WebhookTimeout,
    WebhookUnreachable,
    StripeAlreadyConnected,
    StripeNotConnected,
    StripeConnectDenied,
    StripeConnectExpired,
    StripeStateInvalid,
    StripeAccountInUse,
    StripeError,
    StripeNotConfigured,
    SignatureInvalid,
    SignInDenied,
    SignInStateInvalid,
    SignInNotConfigured,
    IdentityProviderError,
    Timeout,
    Unavailable,
    InternalError,
}

impl Code {
    /// Every code.
    pub const ALL: [Self; 82] = [
        Self::NotFound,
        Self::Unauthorized,
        Self::InvalidCredentials,
        Self::TokenNotValid,
        Self::SecondFactorRequired,
        Self::SecondFactorInvalid,
        Self::SecondFactorState,
        Self::SecondFactorEnrolmentRequired,
        Self::Forbidden,
        Self::MalformedJson,
        Self::InvalidField,
        Self::UnsupportedMediaType,
        Self::PayloadTooLarge,
        Self::MethodNotAllowed,
        Self::IdempotencyKeyReused,
        Self::IdempotencyKeyInUse,
        Self::EmailTaken,
        Self::MeterExists,
        Self::FeatureExists,
        Self::PlanExists,
        Self::MigrationInProgress,
        Self::CustomerExists,
        Self::SubscriptionExists,
        Self::CustomerHasSubscription,
        Self::MeterInUse,
        Self::CurrencyMismatch,
        Self::CouponExists,
        Self::CouponNotRedeemable,
        Self::DiscountExists,
        Self::TaxRateExists,
        Self::TaxRateInUse,
        Self::EventConflict,
        Self::EventRejected,
        Self::EventNotCorrectable,
        Self::CorrectionSessionState,
        Self::TooManyRequests,
        Self::RateLimitExceeded,
        Self::SubscriptionInactive,
        Self::FeatureNotIncluded,
        Self::TestModeOnly,
        Self::TestClockBackwards,
        Self::TestClockTooFar,
        Self::TestClockInUse,
        Self::SubscriptionState,
        Self::InvoiceNotDraft,
        Self::InvoiceNotPayable,
        Self::InvoiceNotVoidable,
        Self::InvoiceNotSendable,
        Self::NoEmail,
        Self::PdfNotBuilt,
        Self::NoPaymentMethod,
        Self::PaymentDeclined,
        Self::PaymentUnknown,
        Self::PaymentInProgress,
        Self::PaymentNotRefundable,
        Self::InvoiceNotCreditable,
        Self::CreditNoteTooLarge,
        Self::RefundTooLarge,
        Self::DebtLimitExceeded,
        Self::HoldNotOpen,
        Self::MemberExists,
        Self::InvitationExists,
        Self::LastOwner,
        Self::WebhookEndpointState,
        Self::WebhookTimeout,
        Self::WebhookUnreachable,
        Self::StripeAlreadyConnected,
        Self::StripeNotConnected,
        Self::StripeConnectDenied,
        Self::StripeConnectExpired,
        Self::StripeStateInvalid,
        Self::StripeAccountInUse,
        Self::StripeError,
        Self::StripeNotConfigured,
        Self::SignatureInvalid,
        Self::SignInDenied,
        Self::SignInStateInvalid,
        Self::SignInNotConfigured,
        Self::IdentityProviderError,
        Self::Timeout,
        Self::Unavailable,
        Self::InternalError,
    ];

    /// The word in the answer and in the address of its page.
    #[expect(clippy::too_many_lines, reason = "one line for each code")]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::NotFound => "not_found",
            Self::Unauthorized => "unauthorized",
            Self::InvalidCredentials => "invalid_credentials",
            Self::TokenNotValid => "token_not_valid",
            Self::SecondFactorRequired => "second_factor_required",
            Self::SecondFactorInvalid => "second_factor_invalid",
            Self::SecondFactorState => "second_factor_state",
            Self::SecondFactorEnrolmentRequired => "second_factor_enrolment_required",
            Self::Forbidden => "forbidden",
            Self::MalformedJson => "malformed_json",
            Self::InvalidField => "invalid_field",
            Self::UnsupportedMediaType => "unsupported_media_type",
            Self::PayloadTooLarge => "payload_too_large",
            Self::MethodNotAllowed => "method_not_allowed",
            Self::IdempotencyKeyReused => "idempotency_key_reused",
            Self::IdempotencyKeyInUse => "idempotency_key_in_use",
            Self::EmailTaken => "email_taken",
            Self::MeterExists => "meter_exists",
            Self::FeatureExists => "feature_exists",
            Self::PlanExists => "plan_exists",
            Self::MigrationInProgress => "migration_in_progress",
            Self::CustomerExists => "customer_exists",
            Self::SubscriptionExists => "subscription_exists",
            Self::CustomerHasSubscription => "customer_has_subscription",
            Self::MeterInUse => "meter_in_use",
            Self::CurrencyMismatch => "currency_mismatch",
            Self::CouponExists => "coupon_exists",
            Self::CouponNotRedeemable => "coupon_not_redeemable",
            Self::DiscountExists => "discount_exists",
            Self::TaxRateExists => "tax_rate_exists",
            Self::TaxRateInUse => "tax_rate_in_use",
            Self::EventConflict => "event_conflict",
            Self::EventRejected => "event_rejected",
            Self::EventNotCorrectable => "event_not_correctable",
            Self::CorrectionSessionState => "correction_session_state",
            Self::TooManyRequests => "too_many_requests",
            Self::RateLimitExceeded => "rate_limit_exceeded",
            Self::SubscriptionInactive => "subscription_inactive",
            Self::FeatureNotIncluded => "feature_not_included",
            Self::TestModeOnly => "test_mode_only",
            Self::TestClockBackwards => "test_clock_backwards",
            Self::TestClockTooFar => "test_clock_too_far",
            Self::TestClockInUse => "test_clock_in_use",
            Self::InvoiceNotDraft => "invoice_not_draft",
            Self::InvoiceNotPayable => "invoice_not_payable",
            Self::InvoiceNotVoidable => "invoice_not_voidable",
            Self::InvoiceNotSendable => "invoice_not_sendable",
            Self::NoEmail => "no_email",
            Self::PdfNotBuilt => "pdf_not_built",
            Self::SubscriptionState => "subscription_state",
            Self::NoPaymentMethod => "no_payment_method",
            Self::PaymentDeclined => "payment_declined",
            Self::PaymentUnknown => "payment_unknown",
            Self::PaymentInProgress => "payment_in_progress",
            Self::PaymentNotRefundable => "payment_not_refundable",
            Self::InvoiceNotCreditable => "invoice_not_creditable",
            Self::CreditNoteTooLarge => "credit_note_too_large",
            Self::RefundTooLarge => "refund_too_large",
            Self::DebtLimitExceeded => "debt_limit_exceeded",
            Self::HoldNotOpen => "hold_not_open",
            Self::MemberExists => "member_exists",
            Self::InvitationExists => "invitation_exists",
            Self::LastOwner => "last_owner",
            Self::WebhookEndpointState => "webhook_endpoint_state",
            Self::WebhookTimeout => "webhook_timeout",
            Self::WebhookUnreachable => "webhook_unreachable",
            Self::StripeAlreadyConnected => "stripe_already_connected",
            Self::StripeNotConnected => "stripe_not_connected",
            Self::StripeConnectDenied => "stripe_connect_denied",
            Self::StripeConnectExpired => "stripe_connect_expired",
            Self::StripeStateInvalid => "stripe_state_invalid",
            Self::StripeAccountInUse => "stripe_account_in_use",
            Self::StripeError => "stripe_error",
            Self::StripeNotConfigured => "stripe_not_configured",
            Self::SignatureInvalid => "signature_invalid",
            Self::SignInDenied => "sign_in_denied",
            Self::SignInStateInvalid => "sign_in_state_invalid",
            Self::SignInNotConfigured => "sign_in_not_configured",
            Self::IdentityProviderError => "identity_provider_error",
            Self::Timeout => "timeout",
            Self::Unavailable => "unavailable",
            Self::InternalError => "internal_error",
        }
    }
}

/// One field that cannot be accepted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FieldFault {
    /// JSON pointer (RFC 6901) into the request's body, or `?name` for a query parameter.
    pub pointer: String,
    /// A word for programs.
    pub code: &'static str,
    /// What is wrong and what to do, as a sentence.
    pub detail: String,
}

/// A refusal: why, and what the caller can do.
#[derive(Debug, Clone)]
pub struct Refusal {
    /// The stable name.
    pub code: Code,
    /// What is wrong and what to do, as a sentence.
    pub detail: Cow<'static, str>,
    /// The fields that are at fault.
    pub fields: Vec<FieldFault>,
    /// Further members of the answer.
    pub extensions: Map<String, Value>,
}

impl Refusal {
    /// A refusal without fields.
    pub fn new(code: Code, detail: impl Into<Cow<'static, str>>) -> Self {
        Self { code, detail: detail.into(), fields: Vec::new(), extensions: Map::new() }
    }

    /// Adds a member to the answer.
    #[must_use]
    pub fn with(mut self, name: &str, value: impl Into<Value>) -> Self {
        self.extensions.insert(name.to_owned(), value.into());
        self
    }
}

impl From<Refusal> for Error {
    fn from(refusal: Refusal) -> Self {
        Self::Refused(Box::new(refusal))
    }
}

impl Error {
    /// A refusal without fields.
    pub fn refused(code: Code, detail: impl Into<Cow<'static, str>>) -> Self {
        Refusal::new(code, detail).into()
    }

    /// Nothing of that name that the caller may see.
    pub fn not_found(what: &'static str) -> Self {
        Self::refused(Code::NotFound, format!("there is no such {what}"))
    }

    /// One field that cannot be accepted.
    pub fn field(pointer: &str, code: &'static str, detail: impl Into<String>) -> Self {
        let mut faults = Faults::default();
        faults.add(pointer, code, detail);
        faults.refusal()
    }

    /// Puts the fields at fault under a pointer; any other error stays.
    #[must_use]
    pub fn under(self, pointer: &str) -> Self {
        let Self::Refused(mut refusal) = self else { return self };
        for field in &mut refusal.fields {
            field.pointer.insert_str(0, pointer);
        }
        Self::Refused(refusal)
    }

    /// Turns the refusal of a constraint into the refusal that it means.
    pub fn on_conflict(error: DbError, constraint: &str, code: Code, detail: &'static str) -> Self {
        if error.is_conflict(constraint) { Self::refused(code, detail) } else { Self::Db(error) }
    }
}

/// Collects the faults of all fields, so that a caller learns them at once.
#[derive(Debug, Default)]
pub struct Faults(Vec<FieldFault>);

impl Faults {
    /// Notes a fault.
    pub fn add(&mut self, pointer: &str, code: &'static str, detail: impl Into<String>) {
        self.0.push(FieldFault { pointer: pointer.to_owned(), code, detail: detail.into() });
    }

    /// Succeeds if there is none.
    pub fn check(self) -> Result<()> {
        if self.0.is_empty() { Ok(()) } else { Err(self.refusal()) }
    }

    fn refusal(self) -> Error {
        let detail = match self.0.as_slice() {
            [only] if only.pointer.is_empty() => only.detail.clone(),
            [only] => format!("{}: {}", only.pointer, only.detail),
            faults => format!("{} fields cannot be accepted; see errors", faults.len()),
        };
        Error::from(Refusal { fields: self.0, ..Refusal::new(Code::InvalidField, detail) })
    }
}

/// An error with everything that caused it, for the log and for the person who looks at parked work.
pub fn chain(error: &dyn std::error::Error) -> String {
    let causes = std::iter::successors(error.source(), |cause| cause.source());
    causes.fold(error.to_string(), |text, cause| format!("{text}: {cause}"))
}
