//! The permission matrix: for each route who may call it. A route that is not in it is not served.

use usance_core::access::{
    Area::{
        self, Catalog, Customers, Entitlements, Invoices, Payments, Settings, Subscriptions, Usage, Wallets,
        Webhooks,
    },
    Right,
    Role::{self, Admin, Developer, Owner, Viewer},
};

use super::{Access, Grant, Modes, Route, SecretKeys};

/// Anybody, without a credential.
const OPEN: Access = Access::Open;
/// Every key, to learn whether it is honoured.
const ANY_KEY: Access = Access::Granted(Grant {
    role: None,
    secret_keys: SecretKeys::Any,
    publishable_keys: true,
    customers: false,
    modes: Modes::Both,
    enrolling: false,
});
/// A customer, about the token that is sent.
const CUSTOMER: Access = Access::Granted(Grant {
    role: None,
    secret_keys: SecretKeys::None,
    publishable_keys: false,
    customers: true,
    modes: Modes::Both,
    enrolling: false,
});

/// All members, and secret keys with the scope to read in the area.
const fn read(area: Area) -> Access {
    granted(Some(Viewer), SecretKeys::With(area, Right::Read), false)
}

/// The same from developers on: addresses of webhooks may hold secrets.
const fn develop(area: Area) -> Access {
    granted(Some(Developer), SecretKeys::With(area, Right::Read), false)
}

/// Members with the role or a greater one, and secret keys with the scope to write in the area.
const fn write(role: Role, area: Area) -> Access {
    granted(Some(role), SecretKeys::With(area, Right::Write), false)
}

/// What a browser may see, and whoever may read in the area.
const fn public(area: Area) -> Access {
    granted(Some(Viewer), SecretKeys::With(area, Right::Read), true)
}

/// The same as [`read`], and each customer what is its own.
const fn own(area: Area) -> Access {
    match read(area) {
        Access::Open => Access::Open,
        Access::Granted(grant) => Access::Granted(Grant { customers: true, ..grant }),
    }
}

/// Members with the role or a greater one, and no keys: what decides who is let in is not done by programs.
const fn member(role: Role) -> Access {
    granted(Some(role), SecretKeys::None, false)
}

const fn granted(role: Option<Role>, secret_keys: SecretKeys, publishable_keys: bool) -> Access {
    Access::Granted(Grant {
        role,
        secret_keys,
        publishable_keys,
        customers: false,
        modes: Modes::Both,
        enrolling: false,
    })
}

/// The same in test mode only.
const fn in_test_mode(access: Access) -> Access {
    match access {
        Access::Open => Access::Open,
        Access::Granted(grant) => Access::Granted(Grant { modes: Modes::Test, ..grant }),
    }
}

/// All members, also one who must enrol a second factor first.
const fn oneself() -> Access {
    match member(Viewer) {
        Access::Open => Access::Open,
        Access::Granted(grant) => Access::Granted(Grant { enrolling: true, ..grant }),
    }
}

const fn route(method: &'static str, path: &'static str, access: Access) -> Route {
    Route { method, path, access }
}

/// Every route, by path.
pub(super) const ROUTES: &[Route] = &[
    route("GET", "/api/v1/add-ons", read(Catalog)),
    route("POST", "/api/v1/add-ons", write(Developer, Catalog)),
    route("GET", "/api/v1/add-ons/{code}", read(Catalog)),
    route("PATCH", "/api/v1/add-ons/{code}", write(Developer, Catalog)),
    route("DELETE", "/api/v1/add-ons/{code}", write(Developer, Catalog)),
    route("GET", "/api/v1/api-keys", member(Admin)),
    route("POST", "/api/v1/api-keys", member(Owner)),
    route("POST", "/api/v1/api-keys/{id}/revoke", member(Owner)),
    route("GET", "/api/v1/audit", member(Admin)),
    route("GET", "/api/v1/audit-log", member(Admin)),
    route("POST", "/api/v1/auth/customers/logout", CUSTOMER),
    route("GET", "/api/v1/auth/tenants/api-keys", member(Admin)),
    route("POST", "/api/v1/auth/tenants/api-keys/regenerate", member(Owner)),
    route("POST", "/api/v1/auth/tenants/api-keys/revoke", member(Owner)),
    route("POST", "/api/v1/auth/tenants/change-password", oneself()),
    route("GET", "/api/v1/auth/tenants/details", read(Settings)),
    route("POST", "/api/v1/auth/tenants/invitations/accept", OPEN),
    route("POST", "/api/v1/auth/tenants/login", OPEN),
    route("POST", "/api/v1/auth/tenants/logout", oneself()),
    route("GET", "/api/v1/auth/tenants/me", oneself()),
    route("POST", "/api/v1/auth/tenants/password-reset", OPEN),
    route("POST", "/api/v1/auth/tenants/password-reset/request", OPEN),
    route("POST", "/api/v1/auth/tenants/register", OPEN),
    route("GET", "/api/v1/auth/tenants/sessions", oneself()),
    route("DELETE", "/api/v1/auth/tenants/sessions/{id}", oneself()),
    route("GET", "/api/v1/auth/tenants/stripe/callback", OPEN),
    route("POST", "/api/v1/auth/tenants/stripe/connect", member(Owner)),
    route("POST", "/api/v1/auth/tenants/stripe/disconnect", member(Owner)),
    route("DELETE", "/api/v1/auth/tenants/stripe/disconnect", member(Owner)),
    route("GET", "/api/v1/auth/tenants/stripe/status", member(Admin)),
    route("POST", "/api/v1/auth/tenants/token/refresh", OPEN),
    route("POST", "/api/v1/auth/tenants/totp", oneself()),
    route("POST", "/api/v1/auth/tenants/totp/confirm", oneself()),
    route("POST", "/api/v1/auth/tenants/totp/disable", oneself()),
    route("POST", "/api/v1/auth/tenants/totp/recovery-codes", member(Viewer)),
    route("GET", "/api/v1/auth/tenants/verify", ANY_KEY),
    route("POST", "/api/v1/auth/tenants/verify-email", OPEN),
    route("POST", "/api/v1/auth/tenants/verify-email/request", member(Viewer)),
    route("GET", "/api/v1/auth/tenants/webhooks/config", member(Admin)),
    route("POST", "/api/v1/auth/tenants/webhooks/config", member(Admin)),
    route("DELETE", "/api/v1/auth/tenants/webhooks/config", member(Admin)),
    route("POST", "/api/v1/auth/tenants/webhooks/test", member(Admin)),
    route("GET", "/api/v1/correction-sessions", read(Usage)),
    route("POST", "/api/v1/correction-sessions", write(Developer, Usage)),
    route("GET", "/api/v1/correction-sessions/{session}", read(Usage)),
    route("POST", "/api/v1/correction-sessions/{session}/apply", write(Developer, Usage)),
    route("GET", "/api/v1/correction-sessions/{session}/preview", read(Usage)),
    route("POST", "/api/v1/correction-sessions/{session}/undo", write(Developer, Usage)),
    route("GET", "/api/v1/coupons", read(Catalog)),
    route("POST", "/api/v1/coupons", write(Developer, Catalog)),
    route("GET", "/api/v1/coupons/{code}", read(Catalog)),
    route("PATCH", "/api/v1/coupons/{code}", write(Developer, Catalog)),
    route("DELETE", "/api/v1/coupons/{code}", write(Developer, Catalog)),
    route("GET", "/api/v1/credit-notes", own(Invoices)),
    route("POST", "/api/v1/credit-notes", write(Admin, Invoices)),
    route("GET", "/api/v1/credit-notes/{id}", own(Invoices)),
    route("GET", "/api/v1/customers", read(Customers)),
    route("POST", "/api/v1/customers", write(Developer, Customers)),
    route("GET", "/api/v1/customers/{customer}", own(Customers)),
    route("PATCH", "/api/v1/customers/{customer}", write(Developer, Customers)),
    route("DELETE", "/api/v1/customers/{customer}", write(Admin, Customers)),
    route("GET", "/api/v1/customers/{customer}/access", own(Entitlements)),
    route("GET", "/api/v1/customers/{customer}/credit-balance", own(Invoices)),
    route("GET", "/api/v1/customers/{customer}/discounts", own(Customers)),
    route("POST", "/api/v1/customers/{customer}/discounts", write(Developer, Customers)),
    route("DELETE", "/api/v1/customers/{customer}/discounts/{id}", write(Developer, Customers)),
    route("GET", "/api/v1/customers/{customer}/invoices", own(Invoices)),
    route("GET", "/api/v1/customers/{customer}/payment-methods", own(Payments)),
    route("POST", "/api/v1/customers/{customer}/payment-methods", write(Developer, Payments)),
    route("DELETE", "/api/v1/customers/{customer}/payment-methods/{id}", write(Developer, Payments)),
    route("GET", "/api/v1/customers/{customer}/tokens", read(Customers)),
    route("POST", "/api/v1/customers/{customer}/tokens", write(Developer, Customers)),
    route("DELETE", "/api/v1/customers/{customer}/tokens/{id}", write(Developer, Customers)),
    route("GET", "/api/v1/customers/{customer}/usage", own(Usage)),
    route("GET", "/api/v1/customers/{customer}/wallet", own(Wallets)),
    route("GET", "/api/v1/deliveries", develop(Webhooks)),
    route("GET", "/api/v1/deliveries/{id}", develop(Webhooks)),
    route("POST", "/api/v1/deliveries/{id}/replay", write(Developer, Webhooks)),
    route("GET", "/api/v1/entitlements/check", own(Entitlements)),
    route("POST", "/api/v1/entitlements/consume", write(Developer, Entitlements)),
    route("GET", "/api/v1/events", read(Usage)),
    route("POST", "/api/v1/events", write(Developer, Usage)),
    route("GET", "/api/v1/events/unbilled", read(Usage)),
    route("POST", "/api/v1/events/{event}/amend", write(Developer, Usage)),
    route("POST", "/api/v1/events/{event}/void", write(Developer, Usage)),
    route("GET", "/api/v1/features", read(Catalog)),
    route("POST", "/api/v1/features", write(Developer, Catalog)),
    route("GET", "/api/v1/features/{code}", read(Catalog)),
    route("PATCH", "/api/v1/features/{code}", write(Developer, Catalog)),
    route("DELETE", "/api/v1/features/{code}", write(Developer, Catalog)),
    route("POST", "/api/v1/holds", write(Developer, Wallets)),
    route("GET", "/api/v1/holds/{id}", read(Wallets)),
    route("POST", "/api/v1/holds/{id}/extend", write(Developer, Wallets)),
    route("POST", "/api/v1/holds/{id}/release", write(Developer, Wallets)),
    route("POST", "/api/v1/holds/{id}/settle", write(Developer, Wallets)),
    route("GET", "/api/v1/identity-providers", member(Admin)),
    route("POST", "/api/v1/identity-providers", member(Owner)),
    route("PATCH", "/api/v1/identity-providers/{id}", member(Owner)),
    route("DELETE", "/api/v1/identity-providers/{id}", member(Owner)),
    route("POST", "/api/v1/inbound/stripe/connect", OPEN),
    route("GET", "/api/v1/invoices", own(Invoices)),
    route("POST", "/api/v1/invoices", write(Admin, Invoices)),
    route("POST", "/api/v1/invoices/preview", read(Invoices)),
    route("GET", "/api/v1/invoices/{id}", own(Invoices)),
    route("GET", "/api/v1/invoices/{id}.pdf", own(Invoices)),
    route("GET", "/api/v1/invoices/{id}/explain", own(Invoices)),
    route("POST", "/api/v1/invoices/{id}/finalize", write(Admin, Invoices)),
    route("POST", "/api/v1/invoices/{id}/mark-uncollectible", write(Admin, Invoices)),
    route("POST", "/api/v1/invoices/{id}/pay", write(Admin, Payments)),
    route("POST", "/api/v1/invoices/{id}/send", write(Developer, Invoices)),
    route("POST", "/api/v1/invoices/{id}/void", write(Admin, Invoices)),
    route("GET", "/api/v1/members", member(Admin)),
    route("GET", "/api/v1/members/invitations", member(Admin)),
    route("POST", "/api/v1/members/invitations", member(Admin)),
    route("DELETE", "/api/v1/members/invitations/{id}", member(Admin)),
    route("PATCH", "/api/v1/members/{id}", member(Admin)),
    route("DELETE", "/api/v1/members/{id}/second-factor", member(Admin)),
    route("GET", "/api/v1/meters", read(Catalog)),
    route("POST", "/api/v1/meters", write(Developer, Catalog)),
    route("GET", "/api/v1/meters/{code}", read(Catalog)),
    route("PATCH", "/api/v1/meters/{code}", write(Developer, Catalog)),
    route("DELETE", "/api/v1/meters/{code}", write(Developer, Catalog)),
    route("GET", "/api/v1/payments", own(Payments)),
    route("POST", "/api/v1/payments/{id}/refunds", write(Admin, Payments)),
    route("GET", "/api/v1/plans", read(Catalog)),
    route("POST", "/api/v1/plans", write(Developer, Catalog)),
    route("GET", "/api/v1/plans/{code}", read(Catalog)),
    route("PATCH", "/api/v1/plans/{code}", write(Developer, Catalog)),
    route("DELETE", "/api/v1/plans/{code}", write(Developer, Catalog)),
    route("POST", "/api/v1/plans/{code}/migrations", write(Developer, Subscriptions)),
    route("GET", "/api/v1/plans/{code}/migrations/{id}", read(Subscriptions)),
    route("GET", "/api/v1/plans/{code}/versions", read(Catalog)),
    route("GET", "/api/v1/pricing", public(Catalog)),
    route("GET", "/api/v1/pricing/{tenant_slug}", OPEN),
    route("POST", "/api/v1/quotes", read(Catalog)),
    route("GET", "/api/v1/refunds", own(Payments)),
    route("GET", "/api/v1/refunds/{id}", own(Payments)),
    route("GET", "/api/v1/subscriptions", own(Subscriptions)),
    route("POST", "/api/v1/subscriptions", write(Developer, Subscriptions)),
    route("GET", "/api/v1/subscriptions/{id}", own(Subscriptions)),
    route("POST", "/api/v1/subscriptions/{id}/cancel", write(Developer, Subscriptions)),
    route("POST", "/api/v1/subscriptions/{id}/change", write(Developer, Subscriptions)),
    route("GET", "/api/v1/subscriptions/{id}/entitlements", own(Subscriptions)),
    route("PUT", "/api/v1/subscriptions/{id}/entitlements", write(Developer, Subscriptions)),
    route("POST", "/api/v1/subscriptions/{id}/pause", write(Developer, Subscriptions)),
    route("POST", "/api/v1/subscriptions/{id}/resume", write(Developer, Subscriptions)),
    route("POST", "/api/v1/subscriptions/{id}/uncancel", write(Developer, Subscriptions)),
    route("GET", "/api/v1/tax-rates", read(Settings)),
    route("POST", "/api/v1/tax-rates", write(Admin, Settings)),
    route("GET", "/api/v1/tax-rates/{code}", read(Settings)),
    route("PATCH", "/api/v1/tax-rates/{code}", write(Admin, Settings)),
    route("DELETE", "/api/v1/tax-rates/{code}", write(Admin, Settings)),
    route("GET", "/api/v1/tenant", read(Settings)),
    route("PATCH", "/api/v1/tenant", write(Admin, Settings)),
    route("GET", "/api/v1/tenant/logo", read(Settings)),
    route("GET", "/api/v1/test-clock", in_test_mode(read(Settings))),
    route("PUT", "/api/v1/test-clock", in_test_mode(write(Developer, Settings))),
    route("POST", "/api/v1/test-clock/advance", in_test_mode(write(Developer, Settings))),
    route("GET", "/api/v1/usage", own(Usage)),
    route("GET", "/api/v1/wallets/{id}", own(Wallets)),
    route("PATCH", "/api/v1/wallets/{id}", write(Admin, Wallets)),
    route("POST", "/api/v1/wallets/{id}/debits", write(Developer, Wallets)),
    route("GET", "/api/v1/wallets/{id}/entries", own(Wallets)),
    route("POST", "/api/v1/wallets/{id}/grants", write(Admin, Wallets)),
    route("POST", "/api/v1/wallets/{id}/topups", write(Admin, Wallets)),
    route("GET", "/api/v1/webhook-endpoints", develop(Webhooks)),
    route("POST", "/api/v1/webhook-endpoints", write(Admin, Webhooks)),
    route("GET", "/api/v1/webhook-endpoints/{id}", develop(Webhooks)),
    route("PATCH", "/api/v1/webhook-endpoints/{id}", write(Admin, Webhooks)),
    route("DELETE", "/api/v1/webhook-endpoints/{id}", write(Admin, Webhooks)),
    route("POST", "/api/v1/webhook-endpoints/{id}/replay", write(Developer, Webhooks)),
    route("POST", "/api/v1/webhook-endpoints/{id}/rotate-secret", write(Admin, Webhooks)),
    route("POST", "/api/v1/webhook-endpoints/{id}/test", write(Developer, Webhooks)),
    route("GET", "/api/v1/webhook-event-types", develop(Webhooks)),
    route("GET", "/", OPEN),
    route("GET", "/.well-known/jwks.json", OPEN),
    // Of the router that benchmarks compare with.
    route("GET", "/api/v1/constant", read(Settings)),
    route("GET", "/auth/{provider}/callback", OPEN),
    route("GET", "/auth/{provider}/login", OPEN),
    route("GET", "/health", OPEN),
    route("GET", "/invoices/{token}", OPEN),
    route("GET", "/invoices/{token}/pdf", OPEN),
    route("GET", "/livez", OPEN),
    route("GET", "/metrics", OPEN),
    route("GET", "/openapi.json", OPEN),
    route("GET", "/readyz", OPEN),
];
