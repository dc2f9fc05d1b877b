-- Tenancy: who may reach which rows.
--
-- Three roles, none of which can log in; a transaction takes one with set_config('role', ..., true):
--   usance_app     one tenant and one mode, named by app.tenant_id and app.livemode
--   usance_writer  the group commit of usage events: all tenants, the ingest tables only
--   usance_system  finds a tenant from a key and work that is due: all tenants, few columns
-- They are made before this file runs, because roles belong to the cluster and not to the database.
-- A policy compares with current_setting() without a default, so that a missing context is an error and never an empty answer.

CREATE PROCEDURE protect_tenant_table(target regclass)
LANGUAGE plpgsql
AS $$
DECLARE
    has_livemode boolean := EXISTS (
        SELECT FROM pg_attribute WHERE attrelid = target AND attname = 'livemode' AND NOT attisdropped
    );
    predicate text := 'tenant_id = current_setting(''app.tenant_id'')::uuid';
BEGIN
    IF has_livemode THEN
        predicate := predicate || ' AND livemode = current_setting(''app.livemode'')::boolean';
    END IF;
    EXECUTE format('ALTER TABLE %s ENABLE ROW LEVEL SECURITY', target);
    EXECUTE format('ALTER TABLE %s FORCE ROW LEVEL SECURITY', target);
    EXECUTE format('CREATE POLICY tenant ON %s TO usance_app USING (%s) WITH CHECK (%s)', target, predicate, predicate);
END
$$;

CREATE TABLE tenants (
    tenant_id                  uuid PRIMARY KEY,
    company_name               text NOT NULL,
    slug                       text NOT NULL CONSTRAINT tenants_slug_key UNIQUE,
    email                      text NOT NULL CONSTRAINT tenants_email_key UNIQUE,
    domain                     text,
    is_active                  boolean NOT NULL DEFAULT true,
    subscription_tier          text NOT NULL DEFAULT 'free',
    platform_fee_percentage    numeric(5, 2) NOT NULL DEFAULT 15.00,
    stripe_connect_account_id  text,
    stripe_connect_status      text NOT NULL DEFAULT 'pending',
    branding                   jsonb NOT NULL DEFAULT '{}',
    webhook_url                text,
    webhook_secret_sealed      bytea NOT NULL, -- encrypted, bound to this row
    invoice_prefix             text NOT NULL DEFAULT 'INV',
    created_at                 timestamptz NOT NULL,
    updated_at                 timestamptz NOT NULL,
    CONSTRAINT tenants_email_check CHECK (email = lower(email)),
    CONSTRAINT tenants_slug_check CHECK (slug ~ '^[a-z0-9]+(-[a-z0-9]+)*$')
);
CALL protect_tenant_table('tenants');
CREATE POLICY system ON tenants FOR SELECT TO usance_system USING (true);
GRANT SELECT, INSERT, UPDATE ON tenants TO usance_app;
GRANT SELECT (tenant_id, slug, is_active) ON tenants TO usance_system;

CREATE TABLE members (
    tenant_id      uuid NOT NULL REFERENCES tenants,
    id             uuid NOT NULL,
    email          text NOT NULL,
    password_hash  text NOT NULL, -- PHC string
    first_name     text NOT NULL DEFAULT '',
    last_name      text NOT NULL DEFAULT '',
    role           text NOT NULL,
    is_active      boolean NOT NULL DEFAULT true,
    last_login_at  timestamptz,
    created_at     timestamptz NOT NULL,
    updated_at     timestamptz NOT NULL,
    PRIMARY KEY (tenant_id, id),
    CONSTRAINT members_email_key UNIQUE (tenant_id, email),
    CONSTRAINT members_role_check CHECK (role IN ('owner', 'admin', 'developer', 'viewer'))
);
CALL protect_tenant_table('members');
GRANT SELECT, INSERT, UPDATE ON members TO usance_app;

CREATE TABLE refresh_tokens (
    tenant_id    uuid NOT NULL,
    id           uuid NOT NULL,
    member_id    uuid NOT NULL,
    family_id    uuid NOT NULL, -- all tokens that descend from one sign-in
    token_hash   bytea NOT NULL,
    expires_at   timestamptz NOT NULL,
    consumed_at  timestamptz,
    created_at   timestamptz NOT NULL,
    PRIMARY KEY (tenant_id, id),
    CONSTRAINT refresh_tokens_token_hash_key UNIQUE (tenant_id, token_hash),
    CONSTRAINT refresh_tokens_member_id_fkey FOREIGN KEY (tenant_id, member_id) REFERENCES members
);
CALL protect_tenant_table('refresh_tokens');
GRANT SELECT, INSERT, UPDATE ON refresh_tokens TO usance_app;

CREATE TABLE api_keys (
    tenant_id        uuid NOT NULL REFERENCES tenants,
    livemode         boolean NOT NULL,
    id               uuid NOT NULL,
    kind             text NOT NULL,
    key_hash         bytea NOT NULL, -- HMAC-SHA-256 of the whole key
    pepper_version   smallint NOT NULL,
    publishable_key  text, -- publishable keys are not secret; secret ones are never stored
    masked           text NOT NULL,
    created_at       timestamptz NOT NULL,
    revoked_at       timestamptz,
    PRIMARY KEY (tenant_id, livemode, id),
    CONSTRAINT api_keys_kind_check CHECK (kind IN ('secret', 'publishable')),
    CONSTRAINT api_keys_publishable_key_check CHECK ((kind = 'publishable') = (publishable_key IS NOT NULL))
);
-- The hash is looked up before the tenant is known, so that this key cannot be led by tenant_id.
CREATE UNIQUE INDEX api_keys_key_hash_key ON api_keys (key_hash);
CALL protect_tenant_table('api_keys');
CREATE POLICY system ON api_keys FOR SELECT TO usance_system USING (true);
GRANT SELECT, INSERT, UPDATE ON api_keys TO usance_app;
GRANT SELECT (tenant_id, livemode, id, kind, key_hash, revoked_at) ON api_keys TO usance_system;

-- The tenant's own time in test mode; without a row the wall clock is the tenant's time.
CREATE TABLE test_clocks (
    tenant_id   uuid PRIMARY KEY REFERENCES tenants,
    frozen_at   timestamptz NOT NULL,
    updated_at  timestamptz NOT NULL
);
CALL protect_tenant_table('test_clocks');
CREATE POLICY system ON test_clocks FOR SELECT TO usance_system USING (true);
GRANT SELECT, INSERT, UPDATE ON test_clocks TO usance_app;
GRANT SELECT ON test_clocks TO usance_system;

-- The answer to a request that carried an Idempotency-Key, written in the transaction of its effect; or, of a request
-- that takes several transactions, the note that it runs.
CREATE TABLE idempotency_keys (
    tenant_id     uuid NOT NULL REFERENCES tenants,
    livemode      boolean NOT NULL,
    route         text NOT NULL, -- SHA-256 of method and path, hexadecimal
    key           text NOT NULL,
    request_hash  bytea NOT NULL,
    status        smallint, -- null while the request runs
    body          bytea,
    created_at    timestamptz NOT NULL,
    expires_at    timestamptz NOT NULL,
    locked_until  timestamptz, -- while the request runs: when it counts as lost and may run again
    PRIMARY KEY (tenant_id, livemode, route, key),
    CONSTRAINT idempotency_keys_locked_until_check CHECK ((status IS NULL) = (locked_until IS NOT NULL))
);
CALL protect_tenant_table('idempotency_keys');
GRANT SELECT, INSERT, UPDATE, DELETE ON idempotency_keys TO usance_app;

-- What the outside world is told, written in the transaction of the change that it tells.
CREATE TABLE outbox_events (
    tenant_id   uuid NOT NULL REFERENCES tenants,
    livemode    boolean NOT NULL,
    id          uuid NOT NULL,
    sequence    bigint GENERATED ALWAYS AS IDENTITY,
    type        text NOT NULL,
    data        jsonb NOT NULL,
    created_at  timestamptz NOT NULL,
    PRIMARY KEY (tenant_id, livemode, id)
);
CREATE INDEX outbox_events_sequence_idx ON outbox_events (tenant_id, livemode, sequence);
CALL protect_tenant_table('outbox_events');
GRANT SELECT, INSERT ON outbox_events TO usance_app;

-- Everything that happens by itself when a tenant's time reaches due_at.
CREATE TABLE due_work (
    tenant_id   uuid NOT NULL REFERENCES tenants,
    livemode    boolean NOT NULL,
    kind        text NOT NULL,
    subject_id  uuid NOT NULL,
    due_at      timestamptz NOT NULL,
    revision    integer NOT NULL DEFAULT 0, -- counts how often it was planned anew
    attempts    integer NOT NULL DEFAULT 0,
    retry_at    timestamptz, -- wall clock; not before this after a failure
    leased_until  timestamptz, -- wall clock; somebody is at it, outside a transaction
    last_error  text,
    parked      boolean NOT NULL DEFAULT false, -- gave up: a person must look
    PRIMARY KEY (tenant_id, livemode, kind, subject_id)
);
CREATE INDEX due_work_tenant_due_at_idx ON due_work (tenant_id, livemode, due_at) WHERE NOT parked;
-- Workers look for tenants with due work before they know the tenant.
CREATE INDEX due_work_due_at_idx ON due_work (due_at) WHERE NOT parked;
CALL protect_tenant_table('due_work');
CREATE POLICY system ON due_work FOR SELECT TO usance_system USING (true);
GRANT SELECT, INSERT, UPDATE, DELETE ON due_work TO usance_app;
GRANT SELECT ON due_work TO usance_system;
