-- Sign-in by OpenID Connect, for members and for customers.

-- An issuer that a tenant trusts to say who somebody is.
CREATE TABLE identity_providers (
    tenant_id             uuid NOT NULL REFERENCES tenants,
    id                    uuid NOT NULL,
    name                  text NOT NULL,
    audience              text NOT NULL,
    mode                  text, -- whose customers sign in; null for members, who are of both modes
    issuer                text NOT NULL,
    client_id             text NOT NULL,
    client_secret_sealed  bytea, -- encrypted, bound to this row; null for a public client
    sign_up_currency      text, -- null where strangers do not become customers
    trusts_second_factor  boolean NOT NULL DEFAULT false, -- whether a sign-in there stands in for a member's second factor here
    created_at            timestamptz NOT NULL,
    updated_at            timestamptz NOT NULL,
    deleted_at            timestamptz,
    PRIMARY KEY (tenant_id, id),
    CONSTRAINT identity_providers_audience_check CHECK (audience IN ('members', 'customers')),
    CONSTRAINT identity_providers_mode_check
        CHECK (CASE audience WHEN 'members' THEN mode IS NULL ELSE mode IN ('test', 'live') AND mode IS NOT NULL END),
    CONSTRAINT identity_providers_sign_up_currency_check
        CHECK (sign_up_currency IS NULL OR audience = 'customers' AND sign_up_currency ~ '^[A-Z]{3}$')
);
CALL protect_tenant_table('identity_providers');
GRANT SELECT, INSERT ON identity_providers TO usance_app;
GRANT UPDATE (name, client_id, client_secret_sealed, sign_up_currency, trusts_second_factor, updated_at, deleted_at) ON identity_providers TO usance_app;
-- The address of a sign-in names the provider alone.
CREATE POLICY system ON identity_providers FOR SELECT TO usance_system USING (deleted_at IS NULL);
GRANT SELECT (tenant_id, id, deleted_at) ON identity_providers TO usance_system;
CREATE UNIQUE INDEX identity_providers_id_key ON identity_providers (id);

-- Whom a subject of a provider is known as. A link is made once and never moved.
CREATE TABLE identities (
    tenant_id    uuid NOT NULL,
    provider_id  uuid NOT NULL,
    subject      text NOT NULL, -- unique and never reassigned within the issuer (OpenID Connect Core 1.0, section 2)
    member_id    uuid,
    customer_id  uuid,
    is_live      boolean, -- the mode of the customer
    created_at   timestamptz NOT NULL,
    PRIMARY KEY (tenant_id, provider_id, subject),
    CONSTRAINT identities_provider_id_fkey FOREIGN KEY (tenant_id, provider_id) REFERENCES identity_providers,
    CONSTRAINT identities_member_id_fkey FOREIGN KEY (tenant_id, member_id) REFERENCES members,
    CONSTRAINT identities_customer_id_fkey FOREIGN KEY (tenant_id, is_live, customer_id) REFERENCES customers (tenant_id, livemode, id),
    CONSTRAINT identities_subject_check CHECK (octet_length(subject) BETWEEN 1 AND 255),
    CONSTRAINT identities_one_check CHECK (num_nonnulls(member_id, customer_id) = 1 AND (customer_id IS NULL) = (is_live IS NULL))
);
CALL protect_tenant_table('identities');
-- One subject for each: an address that is given to somebody else must not bring the account along.
CREATE UNIQUE INDEX identities_member_id_key ON identities (tenant_id, member_id, provider_id) WHERE member_id IS NOT NULL;
CREATE UNIQUE INDEX identities_customer_id_key ON identities (tenant_id, customer_id, provider_id) WHERE customer_id IS NOT NULL;
GRANT SELECT, INSERT, DELETE ON identities TO usance_app;

-- Browsers on their way to a provider and back. Used up by being removed.
CREATE TABLE oidc_sign_ins (
    tenant_id        uuid NOT NULL,
    state_hash       bytea NOT NULL, -- SHA-256 of the state
    provider_id      uuid NOT NULL,
    browser_hash     bytea NOT NULL, -- SHA-256 of the cookie of the browser that began
    nonce_hash       bytea NOT NULL, -- SHA-256 of the nonce that the ID token must carry
    verifier_sealed  bytea NOT NULL, -- of PKCE (RFC 7636), encrypted, bound to the state
    expires_at       timestamptz NOT NULL,
    PRIMARY KEY (tenant_id, state_hash),
    CONSTRAINT oidc_sign_ins_provider_id_fkey FOREIGN KEY (tenant_id, provider_id) REFERENCES identity_providers
);
CREATE INDEX oidc_sign_ins_expires_at_idx ON oidc_sign_ins (tenant_id, expires_at);
CALL protect_tenant_table('oidc_sign_ins');
GRANT SELECT, INSERT, DELETE ON oidc_sign_ins TO usance_app;

CREATE INDEX customers_email_idx ON customers (tenant_id, livemode, lower(email)) WHERE deleted_at IS NULL;

-- Sessions that began by a provider end with it.
ALTER TABLE member_sessions
    ADD COLUMN provider_id uuid,
    ADD CONSTRAINT member_sessions_provider_id_fkey FOREIGN KEY (tenant_id, provider_id) REFERENCES identity_providers;
CREATE INDEX member_sessions_provider_id_idx ON member_sessions (tenant_id, provider_id) WHERE provider_id IS NOT NULL AND revoked_at IS NULL;
GRANT UPDATE (provider_id) ON member_sessions TO usance_app;

-- Somebody else may have prepared a member with an address that was never verified.
GRANT SELECT (email_verified_at) ON members TO usance_system;
