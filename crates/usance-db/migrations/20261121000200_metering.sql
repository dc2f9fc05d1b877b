-- Metering: usage events, their identity, and the aggregates that are kept with them in one transaction.
--
-- These tables carry no foreign keys: customers and meters are never deleted, only archived, and the check would be
-- paid once per event. The group commit resolves both under a lock that a change to the catalogue also takes.

-- Who has been here: kept for ever, so that an event is counted once even after its month was dropped.
CREATE TABLE event_keys (
    tenant_id     uuid NOT NULL,
    livemode      boolean NOT NULL,
    id_hash       uuid NOT NULL, -- first 16 bytes of SHA-256(event id)
    payload_hash  bytea NOT NULL, -- SHA-256
    occurred_at   timestamptz NOT NULL,
    PRIMARY KEY (tenant_id, livemode, id_hash)
);
CALL protect_tenant_table('event_keys');
CREATE POLICY writer ON event_keys TO usance_writer USING (true) WITH CHECK (true);
GRANT SELECT ON event_keys TO usance_app;
GRANT SELECT, INSERT ON event_keys TO usance_writer;

-- Every event that is counted, in partitions by month of occurred_at.
CREATE TABLE events (
    tenant_id    uuid NOT NULL,
    livemode     boolean NOT NULL,
    customer_id  uuid NOT NULL,
    occurred_at  timestamptz NOT NULL,
    id_hash      uuid NOT NULL,
    id           text NOT NULL,
    type         text NOT NULL,
    properties   jsonb NOT NULL,
    received_at  timestamptz NOT NULL
) PARTITION BY RANGE (occurred_at);
-- Not unique: event_keys sees to that, and a shorter index is a cheaper event.
CREATE INDEX events_customer_id_idx ON events (tenant_id, livemode, customer_id, occurred_at);
CALL protect_tenant_table('events');
CREATE POLICY writer ON events TO usance_writer USING (true) WITH CHECK (true);
GRANT SELECT ON events TO usance_app;
GRANT SELECT, INSERT ON events TO usance_writer;

-- Makes the partition of a month. Attaching needs no lock that stops inserts into other months.
-- A definer's function, because the writer does not own the table; partitions are reached through the parent alone.
CREATE FUNCTION ensure_event_partition(month date) RETURNS void
LANGUAGE plpgsql
SECURITY DEFINER
SET search_path = public, pg_temp
AS $$
DECLARE
    first_day date := date_trunc('month', month)::date;
    name text := 'events_' || to_char(first_day, 'YYYY_MM');
BEGIN
    IF first_day NOT BETWEEN DATE '2000-01-01' AND DATE '2199-12-01' THEN
        RAISE EXCEPTION 'no event partition for %', month USING ERRCODE = 'check_violation';
    END IF;
    -- Nearly always it is there: only who makes one waits for others who do.
    IF to_regclass(name) IS NOT NULL THEN
        RETURN;
    END IF;
    PERFORM pg_advisory_xact_lock(hashtextextended('event_partitions', 0));
    -- Asked by a query, because to_regclass answers from a cache that waiting for an advisory lock does not refresh.
    IF EXISTS (SELECT FROM pg_class WHERE relname = name AND relnamespace = 'public'::regnamespace) THEN
        RETURN;
    END IF;
    EXECUTE format('CREATE TABLE %I (LIKE events INCLUDING DEFAULTS INCLUDING INDEXES)', name);
    EXECUTE format('ALTER TABLE %I ENABLE ROW LEVEL SECURITY', name);
    EXECUTE format('ALTER TABLE %I FORCE ROW LEVEL SECURITY', name);
    EXECUTE format(
        'ALTER TABLE events ATTACH PARTITION %I FOR VALUES FROM (%L) TO (%L)',
        name,
        first_day::timestamp AT TIME ZONE 'UTC',
        (first_day + interval '1 month')::timestamp AT TIME ZONE 'UTC'
    );
END
$$;
REVOKE EXECUTE ON FUNCTION ensure_event_partition(date) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION ensure_event_partition(date) TO usance_writer;

-- Durable, but not counted yet: no meter, customer or subscription takes the event. Listed until resolved, then rated.
CREATE TABLE unbilled_events (
    tenant_id     uuid NOT NULL,
    livemode      boolean NOT NULL,
    id_hash       uuid NOT NULL,
    id            text NOT NULL,
    type          text NOT NULL,
    customer      text NOT NULL, -- as sent
    subscription  text, -- as sent
    occurred_at   timestamptz NOT NULL,
    properties    jsonb NOT NULL,
    reason        text NOT NULL,
    received_at   timestamptz NOT NULL,
    PRIMARY KEY (tenant_id, livemode, id_hash),
    CONSTRAINT unbilled_events_reason_check CHECK (
        reason IN ('unknown_meter', 'unknown_customer', 'no_subscription', 'period_closed', 'invalid_value')
    )
);
CREATE INDEX unbilled_events_customer_idx ON unbilled_events (tenant_id, livemode, customer);
CREATE INDEX unbilled_events_type_idx ON unbilled_events (tenant_id, livemode, type);
CALL protect_tenant_table('unbilled_events');
CREATE POLICY writer ON unbilled_events TO usance_writer USING (true) WITH CHECK (true);
GRANT SELECT ON unbilled_events TO usance_app;
GRANT SELECT, INSERT, UPDATE, DELETE ON unbilled_events TO usance_writer;

-- Per customer, meter and quarter of an hour (UTC). Every column is folded by a commutative operation, so that the
-- order of events, batches and writers cannot matter. Rows are updated often and in place: hence the fill factor.
CREATE TABLE usage_buckets (
    tenant_id      uuid NOT NULL,
    livemode       boolean NOT NULL,
    customer_id    uuid NOT NULL,
    meter_id       uuid NOT NULL,
    bucket_start   timestamptz NOT NULL,
    event_count    bigint NOT NULL,
    value_sum      numeric NOT NULL, -- of the meter's value; 0 for a count
    value_max      numeric,
    latest_at      timestamptz, -- of the value below; ties go to the greater id_hash
    latest_hash    uuid,
    latest_value   numeric,
    first_at       timestamptz NOT NULL,
    last_at        timestamptz NOT NULL,
    digest_high    bigint NOT NULL, -- exclusive or over the events' id_hash
    digest_low     bigint NOT NULL,
    PRIMARY KEY (tenant_id, livemode, customer_id, meter_id, bucket_start)
) WITH (fillfactor = 70);
CALL protect_tenant_table('usage_buckets');
CREATE POLICY writer ON usage_buckets TO usance_writer USING (true) WITH CHECK (true);
GRANT SELECT ON usage_buckets TO usance_app;
GRANT SELECT, INSERT, UPDATE ON usage_buckets TO usance_writer;

-- The values that a unique count has seen in a bucket.
CREATE TABLE usage_values (
    tenant_id     uuid NOT NULL,
    livemode      boolean NOT NULL,
    customer_id   uuid NOT NULL,
    meter_id      uuid NOT NULL,
    bucket_start  timestamptz NOT NULL,
    value_hash    uuid NOT NULL, -- first 16 bytes of SHA-256(value)
    PRIMARY KEY (tenant_id, livemode, customer_id, meter_id, bucket_start, value_hash)
);
CALL protect_tenant_table('usage_values');
CREATE POLICY writer ON usage_values TO usance_writer USING (true) WITH CHECK (true);
GRANT SELECT ON usage_values TO usance_app;
GRANT SELECT, INSERT ON usage_values TO usance_writer;
