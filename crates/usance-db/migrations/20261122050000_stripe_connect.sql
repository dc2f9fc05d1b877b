-- Stripe Connect: the account at Stripe that a tenant takes money with, and the way to it.

ALTER TABLE tenants
    ADD CONSTRAINT tenants_stripe_connect_status_check
        CHECK (stripe_connect_status IN ('pending', 'connected', 'active', 'restricted', 'disconnected')),
    ADD CONSTRAINT tenants_stripe_connect_account_id_check
        CHECK ((stripe_connect_account_id IS NOT NULL) = (stripe_connect_status IN ('connected', 'active', 'restricted'))),
    ADD CONSTRAINT tenants_platform_fee_percentage_check CHECK (platform_fee_percentage BETWEEN 0 AND 100);
-- An account takes the money of one tenant. Stripe names the account before the tenant is known, so that this key cannot be
-- led by tenant_id. It is partial, because the columns of a whole one count as those that other rows refer to: setting the
-- account would then wait for everybody who adds such rows, and could deadlock with them.
CREATE UNIQUE INDEX tenants_stripe_connect_account_id_key ON tenants (stripe_connect_account_id)
    WHERE stripe_connect_account_id IS NOT NULL;
GRANT SELECT (stripe_connect_account_id) ON tenants TO usance_system;

-- A member on the way to Stripe and back. The browser that comes back has no credential but the state.
CREATE TABLE stripe_connect_states (
    tenant_id    uuid NOT NULL REFERENCES tenants,
    id           uuid NOT NULL,
    state_hash   bytea NOT NULL, -- SHA-256 of the state
    mode         text NOT NULL, -- the one that the member looked at; the connection serves both
    member_id    uuid NOT NULL, -- who began
    session_id   uuid NOT NULL,
    account_id   text, -- made beforehand for account links; otherwise Stripe names the account at the end
    created_at   timestamptz NOT NULL,
    expires_at   timestamptz NOT NULL,
    consumed_at  timestamptz,
    PRIMARY KEY (tenant_id, id),
    CONSTRAINT stripe_connect_states_state_hash_key UNIQUE (tenant_id, state_hash),
    CONSTRAINT stripe_connect_states_member_id_fkey FOREIGN KEY (tenant_id, member_id) REFERENCES members,
    CONSTRAINT stripe_connect_states_session_id_fkey FOREIGN KEY (tenant_id, session_id) REFERENCES member_sessions,
    CONSTRAINT stripe_connect_states_mode_check CHECK (mode IN ('test', 'live'))
);
CALL protect_tenant_table('stripe_connect_states');
GRANT SELECT, INSERT ON stripe_connect_states TO usance_app;
GRANT UPDATE (consumed_at, account_id) ON stripe_connect_states TO usance_app;
