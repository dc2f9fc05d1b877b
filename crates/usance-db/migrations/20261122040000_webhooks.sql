-- Webhooks out: whom a tenant tells, what, and how it went. Deliveries are their own queue, by the wall clock: they call the
-- outside world, which no test clock moves.

CREATE TABLE webhook_endpoints (
    tenant_id        uuid NOT NULL REFERENCES tenants,
    livemode         boolean NOT NULL,
    id               uuid NOT NULL,
    url              text, -- null for the default endpoint while it is not configured: its secret stays
    description      text NOT NULL DEFAULT '',
    event_types      text[] NOT NULL, -- empty: all
    is_default       boolean NOT NULL,
    disabled_at      timestamptz,
    disabled_reason  text,
    failed_at        timestamptz, -- the failure from which others are measured, since the last success
    failing_since    timestamptz,
    created_at       timestamptz NOT NULL,
    updated_at       timestamptz NOT NULL,
    deleted_at       timestamptz,
    PRIMARY KEY (tenant_id, livemode, id),
    CONSTRAINT webhook_endpoints_url_check CHECK (url IS NOT NULL OR is_default),
    CONSTRAINT webhook_endpoints_disabled_check CHECK ((disabled_at IS NULL) = (disabled_reason IS NULL)),
    CONSTRAINT webhook_endpoints_disabled_reason_check CHECK (disabled_reason IN ('by_tenant', 'failing', 'gone')),
    CONSTRAINT webhook_endpoints_failing_since_check CHECK (failing_since IS NULL OR failed_at IS NOT NULL)
);
CREATE UNIQUE INDEX webhook_endpoints_default_key ON webhook_endpoints (tenant_id, livemode) WHERE is_default AND deleted_at IS NULL;
CALL protect_tenant_table('webhook_endpoints');
GRANT SELECT, INSERT ON webhook_endpoints TO usance_app;
GRANT UPDATE (url, description, event_types, disabled_at, disabled_reason, failed_at, failing_since, updated_at, deleted_at)
    ON webhook_endpoints TO usance_app;

-- One secret signs for ever; those that it replaced sign until they expire, and are removed when they are read next.
CREATE TABLE webhook_secrets (
    tenant_id    uuid NOT NULL,
    livemode     boolean NOT NULL,
    endpoint_id  uuid NOT NULL,
    id           uuid NOT NULL,
    sealed       bytea NOT NULL,
    created_at   timestamptz NOT NULL,
    expires_at   timestamptz,
    PRIMARY KEY (tenant_id, livemode, endpoint_id, id),
    CONSTRAINT webhook_secrets_endpoint_id_fkey FOREIGN KEY (tenant_id, livemode, endpoint_id) REFERENCES webhook_endpoints
);
CREATE UNIQUE INDEX webhook_secrets_current_key ON webhook_secrets (tenant_id, livemode, endpoint_id) WHERE expires_at IS NULL;
CALL protect_tenant_table('webhook_secrets');
GRANT SELECT, INSERT, DELETE ON webhook_secrets TO usance_app;
GRANT UPDATE (expires_at) ON webhook_secrets TO usance_app;

-- Names a delivery: as old as its event, and the rest follows from event and endpoint.
CREATE FUNCTION webhook_delivery_id(event uuid, endpoint uuid) RETURNS uuid
    LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE
    RETURN encode(
        substr(uuid_send(event), 1, 6) || substr(sha256(uuid_send(event) || uuid_send(endpoint)), 1, 10), 'hex'
    )::uuid;

-- An event on its way to an endpoint. Written with the event.
CREATE TABLE webhook_deliveries (
    tenant_id        uuid NOT NULL,
    livemode         boolean NOT NULL,
    id               uuid NOT NULL,
    event_id         uuid NOT NULL,
    endpoint_id      uuid NOT NULL,
    status           text NOT NULL DEFAULT 'pending',
    attempts         integer NOT NULL DEFAULT 0, -- since it was sent the last time by hand
    next_attempt_at  timestamptz, -- null when it has ended; while somebody is at it, the end of the lease
    leased_until     timestamptz, -- somebody is at it
    created_at       timestamptz NOT NULL,
    ended_at         timestamptz,
    PRIMARY KEY (tenant_id, livemode, id),
    CONSTRAINT webhook_deliveries_event_id_key UNIQUE (tenant_id, livemode, event_id, endpoint_id),
    CONSTRAINT webhook_deliveries_event_id_fkey FOREIGN KEY (tenant_id, livemode, event_id) REFERENCES outbox_events,
    -- Endpoints are never removed: nobody is granted DELETE. A reference would make parallel billing runs meet at their rows.
    CONSTRAINT webhook_deliveries_status_check CHECK (status IN ('pending', 'delivered', 'dead')),
    CONSTRAINT webhook_deliveries_next_attempt_at_check CHECK ((status = 'pending') = (next_attempt_at IS NOT NULL)),
    CONSTRAINT webhook_deliveries_leased_until_check CHECK (leased_until IS NULL OR next_attempt_at = leased_until),
    CONSTRAINT webhook_deliveries_ended_at_check CHECK ((status = 'pending') = (ended_at IS NULL))
);
CREATE INDEX webhook_deliveries_endpoint_id_idx ON webhook_deliveries (tenant_id, livemode, endpoint_id, id);
-- Workers look for endpoints with deliveries that are due before they know the tenant.
CREATE INDEX webhook_deliveries_next_attempt_at_idx ON webhook_deliveries (tenant_id, livemode, endpoint_id, next_attempt_at)
    WHERE status = 'pending';
CREATE INDEX webhook_deliveries_leased_until_idx ON webhook_deliveries (tenant_id, livemode, endpoint_id)
    WHERE leased_until IS NOT NULL;
CALL protect_tenant_table('webhook_deliveries');
CREATE POLICY system ON webhook_deliveries FOR SELECT TO usance_system USING (true);
GRANT SELECT (tenant_id, livemode, endpoint_id, status, next_attempt_at, leased_until) ON webhook_deliveries TO usance_system;
GRANT SELECT, INSERT ON webhook_deliveries TO usance_app;
GRANT UPDATE (status, attempts, next_attempt_at, leased_until, ended_at) ON webhook_deliveries TO usance_app;

-- What an endpoint answered, attempt by attempt.
CREATE TABLE webhook_attempts (
    tenant_id     uuid NOT NULL,
    livemode      boolean NOT NULL,
    delivery_id   uuid NOT NULL,
    id            uuid NOT NULL,
    attempted_at  timestamptz NOT NULL,
    duration_us   bigint NOT NULL,
    status_code   smallint, -- null without an answer
    error         text,
    response      text NOT NULL DEFAULT '', -- its beginning
    PRIMARY KEY (tenant_id, livemode, delivery_id, id),
    CONSTRAINT webhook_attempts_delivery_id_fkey FOREIGN KEY (tenant_id, livemode, delivery_id) REFERENCES webhook_deliveries,
    CONSTRAINT webhook_attempts_answer_check CHECK ((status_code IS NULL) = (error IS NOT NULL))
);
CALL protect_tenant_table('webhook_attempts');
GRANT SELECT, INSERT ON webhook_attempts TO usance_app;

-- Where a tenant is told is a matter of its endpoints.
ALTER TABLE tenants DROP COLUMN webhook_url, DROP COLUMN webhook_secret_sealed;
