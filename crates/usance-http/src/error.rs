//! Errors as `application/problem+json` (RFC 9457).

use axum::{
    body::Body,
    http::{HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
};
use serde_json::{Map, Value, json};
use usance_app::error::{Code, Error, Refusal, chain};
use usance_core::ids::RequestId;
use usance_db::DbError;

/// The result of a handler.
pub(crate) type ApiResult<T> = Result<T, ApiError>;

/// An error on its way to the client.
#[derive(Debug)]
pub(crate) struct ApiError {
    refusal: Refusal,
    status: StatusCode,
    /// What went wrong inside, for the log alone.
    cause: Option<String>,
}

impl ApiError {
    /// Answers with another status than the code's own.
    pub(crate) fn with_status(mut self, status: StatusCode) -> Self {
        self.status = status;
        self
    }

    pub(crate) fn code(&self) -> Code {
        self.refusal.code
    }

    pub(crate) fn refusal_mut(&mut self) -> &mut Refusal {
        &mut self.refusal
    }

    /// The answer's members without the request's id: what an idempotency key may keep.
    pub(crate) fn members(&self) -> Map<String, Value> {
        let code = self.refusal.code.as_str();
        let mut members = Map::new();
        members.insert("type".to_owned(), json!(problem_type(self.refusal.code)));
        members.insert("title".to_owned(), json!(self.status.canonical_reason().unwrap_or("Error")));
        members.insert("status".to_owned(), json!(self.status.as_u16()));
        members.insert("code".to_owned(), json!(code));
        members.insert("detail".to_owned(), json!(self.refusal.detail));
        if !self.refusal.fields.is_empty() {
            let fault = |fault: &usance_app::error::FieldFault| json!({ "pointer": fault.pointer, "code": fault.code, "detail": fault.detail });
            members.insert("errors".to_owned(), self.refusal.fields.iter().map(fault).collect());
        }
        for (name, value) in &self.refusal.extensions {
            // A field of the request may have the name of one of ours.
            members.entry(name.as_str()).or_insert_with(|| value.clone());
        }
        members
    }
}

/// The page that describes a code.
fn problem_type(code: Code) -> String {
    format!("https://docs.usance.dev/errors/{}", code.as_str())
}

#[expect(clippy::too_many_lines, reason = "one line for each code")]
fn status(code: Code) -> StatusCode {
    match code {
        Code::MalformedJson
        | Code::StripeAlreadyConnected
        | Code::StripeNotConnected
        | Code::StripeConnectDenied
        | Code::StripeConnectExpired
        | Code::SignatureInvalid => StatusCode::BAD_REQUEST,
        Code::Unauthorized
        | Code::InvalidCredentials
        | Code::TokenNotValid
        | Code::SecondFactorRequired
        | Code::SecondFactorInvalid => StatusCode::UNAUTHORIZED,
        Code::PaymentDeclined | Code::DebtLimitExceeded => StatusCode::PAYMENT_REQUIRED,
        Code::Forbidden
        | Code::SecondFactorEnrolmentRequired
        | Code::SubscriptionInactive
        | Code::FeatureNotIncluded
        | Code::StripeStateInvalid
        | Code::SignInDenied
        | Code::SignInStateInvalid => StatusCode::FORBIDDEN,
        Code::NotFound => StatusCode::NOT_FOUND,
        Code::MethodNotAllowed => StatusCode::METHOD_NOT_ALLOWED,
        Code::EmailTaken
        | Code::IdempotencyKeyInUse
        | Code::MeterExists
        | Code::FeatureExists
        | Code::PlanExists
        | Code::MigrationInProgress
        | Code::CustomerExists
        | Code::SubscriptionExists
        | Code::CustomerHasSubscription
        | Code::MeterInUse
        | Code::CouponExists
        | Code::CouponNotRedeemable
        | Code::DiscountExists
        | Code::TaxRateExists
        | Code::TaxRateInUse
        | Code::EventConflict
        | Code::EventNotCorrectable
        | Code::CorrectionSessionState
        | Code::TestClockInUse
        | Code::InvoiceNotDraft
        | Code::InvoiceNotPayable
        | Code::InvoiceNotVoidable
        | Code::InvoiceNotSendable
        | Code::NoEmail
        | Code::SubscriptionState
        | Code::NoPaymentMethod
        | Code::PaymentUnknown
        | Code::PaymentInProgress
        | Code::PaymentNotRefundable
        | Code::InvoiceNotCreditable
        | Code::CreditNoteTooLarge
        | Code::RefundTooLarge
        | Code::HoldNotOpen
        | Code::MemberExists
        | Code::InvitationExists
        | Code::LastOwner
        | Code::SecondFactorState
        | Code::WebhookEndpointState
        | Code::StripeAccountInUse => StatusCode::CONFLICT,
        Code::WebhookTimeout => StatusCode::REQUEST_TIMEOUT,
        Code::WebhookUnreachable | Code::IdentityProviderError => StatusCode::BAD_GATEWAY,
        Code::PayloadTooLarge => StatusCode::PAYLOAD_TOO_LARGE,
        Code::UnsupportedMediaType => StatusCode::UNSUPPORTED_MEDIA_TYPE,
        Code::InvalidField
        | Code::IdempotencyKeyReused
        | Code::CurrencyMismatch
        | Code::EventRejected
        | Code::TestModeOnly
        | Code::TestClockBackwards
        | Code::TestClockTooFar => StatusCode::UNPROCESSABLE_ENTITY,
        Code::TooManyRequests | Code::RateLimitExceeded => StatusCode::TOO_MANY_REQUESTS,
        Code::InternalError | Code::StripeError => StatusCode::INTERNAL_SERVER_ERROR,
        Code::Timeout
        | Code::Unavailable
        | Code::PdfNotBuilt
        | Code::StripeNotConfigured
        | Code::SignInNotConfigured => StatusCode::SERVICE_UNAVAILABLE,
    }
}

impl From<Refusal> for ApiError {
    fn from(refusal: Refusal) -> Self {
        Self { status: status(refusal.code), refusal, cause: None }
    }
}

impl From<DbError> for ApiError {
    fn from(error: DbError) -> Self {
        Error::from(error).into()
    }
}

impl From<Error> for ApiError {
    fn from(error: Error) -> Self {
        let failed = |code, detail: &'static str, error: &Error| Self {
            cause: Some(chain(error)),
            ..Refusal::new(code, detail).into()
        };
        match error {
            Error::Refused(refusal) => (*refusal).into(),
            Error::Db(DbError::Unavailable(_)) => failed(
                Code::Unavailable,
                "the database cannot be reached at the moment: send the same request again",
                &error,
            ),
            Error::Db(DbError::UnstorableText) => {
                Error::field("", "unstorable_text", "a text holds a NUL character, which cannot be stored")
                    .into()
            }
            Error::Db(DbError::Contended(_)) => failed(
                Code::Unavailable,
                "too many requests change the same thing: send the same request again",
                &error,
            ),
            Error::Db(_)
            | Error::Rate(_)
            | Error::Invoice(_)
            | Error::Money(_)
            | Error::Period(_)
            | Error::StoredEvent(_)
            | Error::TooManyGroups { .. }
            | Error::Document(_)
            | Error::Pdf(_)
            | Error::Internal(_) => failed(
                Code::InternalError,
                "something went wrong on our side; the request_id names it in our logs",
                &error,
            ),
        }
    }
}

/// An error that waits in the response for its request id.
#[derive(Debug, Clone)]
pub(crate) struct Problem {
    members: Map<String, Value>,
    cause: Option<String>,
    retry_helps: bool,
}

/// Whether the same request may be answered otherwise after a while. What was not set up stays so.
fn retry_helps(code: Code) -> bool {
    matches!(
        code,
        Code::TooManyRequests
            | Code::RateLimitExceeded
            | Code::IdempotencyKeyInUse
            | Code::Timeout
            | Code::Unavailable
    )
}

impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        let mut response = self.status.into_response();
        let members = self.members();
        let retry_helps = retry_helps(self.refusal.code);
        response.extensions_mut().insert(Problem { members, cause: self.cause, retry_helps });
        response
    }
}

/// Writes the body of an answer that carries a [`Problem`]; logs what a person must look at.
pub(crate) fn render(mut response: Response, request_id: RequestId) -> Response {
    let Some(mut problem) = response.extensions_mut().remove::<Problem>() else { return response };
    if let Some(cause) = &problem.cause {
        tracing::error!(request.id = %request_id, cause, "Request failed");
    }
    problem.members.insert("request_id".to_owned(), json!(request_id.to_string()));
    let unauthorized = response.status() == StatusCode::UNAUTHORIZED;
    let seconds = problem.members.get("retry_after_seconds").and_then(Value::as_u64).unwrap_or(1);
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/problem+json"));
    if problem.retry_helps {
        headers.entry(header::RETRY_AFTER).or_insert(HeaderValue::from(seconds));
    }
    if unauthorized {
        headers.insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
    }
    headers.remove(header::CONTENT_LENGTH);
    *response.body_mut() = Body::from(Value::Object(problem.members).to_string());
    response
}

/// An error as a response of its own, for what happens outside the handlers.
pub(crate) fn refused(code: Code, detail: &'static str) -> Response {
    ApiError::from(Refusal::new(code, detail)).into_response()
}

pub(crate) async fn no_such_route() -> Response {
    refused(Code::NotFound, "there is nothing at this address: /docs lists every route")
}

pub(crate) async fn no_such_method() -> Response {
    refused(Code::MethodNotAllowed, "this address knows other methods: /docs lists them")
}
