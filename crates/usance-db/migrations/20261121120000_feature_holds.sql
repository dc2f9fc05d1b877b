-- Holds of units: a quantity of a feature that is reserved before work, and counts against the limit beside what was used.
-- Whoever changes a hold locks the customer's counter of the feature first.

ALTER TABLE entitlement_counters
    ADD COLUMN held numeric NOT NULL DEFAULT 0, -- what its open holds hold, those that have expired unseen included
    ADD CONSTRAINT entitlement_counters_held_check CHECK (held >= 0);

CREATE TABLE feature_holds (
    tenant_id    uuid NOT NULL,
    livemode     boolean NOT NULL,
    id           uuid NOT NULL, -- its text is also the id of the usage event that records what was settled
    customer_id  uuid NOT NULL,
    feature_id   uuid NOT NULL,
    reference    text, -- the tenant's own name for it, or that of its request
    quantity     numeric(28, 12) NOT NULL,
    status       text NOT NULL,
    settled      numeric(28, 12) NOT NULL DEFAULT 0,
    description  text NOT NULL,
    seconds      integer NOT NULL, -- for how long it was asked for
    created_at   timestamptz NOT NULL, -- tenant time, as the others
    expires_at   timestamptz NOT NULL,
    resolved_at  timestamptz,
    PRIMARY KEY (tenant_id, livemode, id),
    CONSTRAINT feature_holds_reference_key UNIQUE (tenant_id, livemode, customer_id, reference),
    CONSTRAINT feature_holds_counter_fkey FOREIGN KEY (tenant_id, livemode, customer_id, feature_id)
        REFERENCES entitlement_counters (tenant_id, livemode, customer_id, feature_id),
    CONSTRAINT feature_holds_status_check CHECK (status IN ('open', 'settled', 'released', 'expired')),
    CONSTRAINT feature_holds_quantity_check CHECK (quantity > 0 AND settled BETWEEN 0 AND quantity),
    CONSTRAINT feature_holds_settled_check CHECK (settled = 0 OR status = 'settled'),
    CONSTRAINT feature_holds_resolved_check CHECK ((status = 'open') = (resolved_at IS NULL)),
    CONSTRAINT feature_holds_time_check CHECK (seconds > 0 AND expires_at > created_at)
);
CREATE INDEX feature_holds_open_idx ON feature_holds (tenant_id, livemode, customer_id, feature_id, expires_at) WHERE status = 'open';
CALL protect_tenant_table('feature_holds');
GRANT SELECT, INSERT ON feature_holds TO usance_app;
GRANT UPDATE (status, settled, expires_at, resolved_at) ON feature_holds TO usance_app;

CREATE TRIGGER feature_holds_resolved BEFORE UPDATE ON feature_holds FOR EACH ROW WHEN (OLD.status <> 'open')
    EXECUTE FUNCTION keep_resolved_hold();

-- Counters count what is held, whoever changes a hold.
CREATE FUNCTION count_new_holds() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    UPDATE entitlement_counters c SET held = trim_scale(c.held + n.quantity)
    FROM (
        SELECT tenant_id, livemode, customer_id, feature_id, sum(quantity) AS quantity FROM new_holds
        WHERE status = 'open'
        GROUP BY tenant_id, livemode, customer_id, feature_id
    ) n
    WHERE c.tenant_id = n.tenant_id AND c.livemode = n.livemode AND c.customer_id = n.customer_id AND c.feature_id = n.feature_id;
    RETURN NULL;
END
$$;
CREATE FUNCTION count_resolved_holds() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    UPDATE entitlement_counters c SET held = trim_scale(c.held - n.quantity)
    FROM (
        SELECT tenant_id, livemode, customer_id, feature_id, sum(quantity) AS quantity FROM new_holds
        WHERE status <> 'open' -- it was open: what is resolved cannot be updated
        GROUP BY tenant_id, livemode, customer_id, feature_id
    ) n
    WHERE c.tenant_id = n.tenant_id AND c.livemode = n.livemode AND c.customer_id = n.customer_id AND c.feature_id = n.feature_id;
    RETURN NULL;
END
$$;
CREATE TRIGGER feature_holds_made AFTER INSERT ON feature_holds
    REFERENCING NEW TABLE AS new_holds FOR EACH STATEMENT EXECUTE FUNCTION count_new_holds();
CREATE TRIGGER feature_holds_ended AFTER UPDATE ON feature_holds
    REFERENCING NEW TABLE AS new_holds FOR EACH STATEMENT EXECUTE FUNCTION count_resolved_holds();
