-- A transaction of the group commit in one round trip: waiting for the server between statements took longer than they did.
--
-- All arrays of rows have one element a row, but tenants and modes have a single one if all rows share it: there is less to
-- send.

-- Claims keys, and stores events whose keys are claimed with them or were claimed before.
CREATE FUNCTION store_events(
    keys uuid[], key_tenants uuid[], key_livemodes boolean[], payload_hashes uuid[], key_times timestamptz[],
    tenants uuid[], livemodes boolean[], customers uuid[], times timestamptz[], id_hashes uuid[], ids text[], types text[],
    properties_texts text[], received timestamptz
) RETURNS void
LANGUAGE plpgsql
SET search_path = public, pg_temp
AS $$
BEGIN
    INSERT INTO event_keys (key, tenant_id, livemode, payload_hash, occurred_at)
    SELECT r.key, coalesce(r.tenant_id, key_tenants[1]), coalesce(r.livemode, key_livemodes[1]), r.payload_hash, r.occurred_at
    FROM (
        SELECT unnest(keys) AS key, unnest(key_tenants) AS tenant_id, unnest(key_livemodes) AS livemode,
            unnest(payload_hashes) AS payload_hash, unnest(key_times) AS occurred_at
    ) AS r;
    INSERT INTO events (tenant_id, livemode, customer_id, occurred_at, id_hash, id, type, properties, received_at)
    SELECT coalesce(r.tenant_id, tenants[1]), coalesce(r.livemode, livemodes[1]), r.customer_id, r.occurred_at, r.id_hash,
        r.id, r.type, r.properties, received
    FROM (
        SELECT unnest(tenants) AS tenant_id, unnest(livemodes) AS livemode, unnest(customers) AS customer_id,
            unnest(times) AS occurred_at, unnest(id_hashes) AS id_hash, unnest(ids) AS id, unnest(types) AS type,
            unnest(properties_texts) AS properties
    ) AS r;
END
$$;

-- Adds folded events to the buckets of what is counted or added up. Most buckets are there, and an update costs a sixth less
-- than an insert that updates. Those that this transaction did not update are made, or another one made them meanwhile.
CREATE FUNCTION fold_sums(
    tenants uuid[], livemodes boolean[], customers uuid[], meters uuid[], bucket_starts timestamptz[],
    event_counts bigint[], value_sums numeric[], first_times timestamptz[], last_times timestamptz[],
    high_digests bigint[], low_digests bigint[]
) RETURNS void
LANGUAGE plpgsql
SET search_path = public, pg_temp
AS $$
DECLARE
    updated bigint;
BEGIN
    UPDATE usage_buckets AS b SET
        event_count = b.event_count + r.event_count,
        value_sum = b.value_sum + r.value_sum,
        first_at = least(b.first_at, r.first_at),
        last_at = greatest(b.last_at, r.last_at),
        digest_high = b.digest_high # r.digest_high,
        digest_low = b.digest_low # r.digest_low
    FROM (
        SELECT unnest(tenants) AS tenant_id, unnest(livemodes) AS livemode, unnest(customers) AS customer_id,
            unnest(meters) AS meter_id, unnest(bucket_starts) AS bucket_start, unnest(event_counts) AS event_count,
            unnest(value_sums) AS value_sum, unnest(first_times) AS first_at, unnest(last_times) AS last_at,
            unnest(high_digests) AS digest_high, unnest(low_digests) AS digest_low
    ) AS r
    WHERE b.tenant_id = coalesce(r.tenant_id, tenants[1]) AND b.livemode = coalesce(r.livemode, livemodes[1])
        AND b.customer_id = r.customer_id AND b.meter_id = r.meter_id AND b.bucket_start = r.bucket_start;
    GET DIAGNOSTICS updated = ROW_COUNT;
    IF updated = cardinality(customers) THEN
        RETURN;
    END IF;
    INSERT INTO usage_buckets AS b (tenant_id, livemode, customer_id, meter_id, bucket_start, event_count, value_sum, first_at,
        last_at, digest_high, digest_low)
    SELECT coalesce(r.tenant_id, tenants[1]), coalesce(r.livemode, livemodes[1]), r.customer_id, r.meter_id, r.bucket_start,
        r.event_count, r.value_sum, r.first_at, r.last_at, r.digest_high, r.digest_low
    FROM (
        SELECT unnest(tenants) AS tenant_id, unnest(livemodes) AS livemode, unnest(customers) AS customer_id,
            unnest(meters) AS meter_id, unnest(bucket_starts) AS bucket_start, unnest(event_counts) AS event_count,
            unnest(value_sums) AS value_sum, unnest(first_times) AS first_at, unnest(last_times) AS last_at,
            unnest(high_digests) AS digest_high, unnest(low_digests) AS digest_low
    ) AS r
    WHERE NOT EXISTS (
        SELECT FROM usage_buckets AS own
        WHERE own.customer_id = r.customer_id AND own.meter_id = r.meter_id AND own.bucket_start = r.bucket_start
            AND own.tenant_id = coalesce(r.tenant_id, tenants[1]) AND own.livemode = coalesce(r.livemode, livemodes[1])
            AND own.xmin = pg_current_xact_id()::xid
    )
    ON CONFLICT (tenant_id, livemode, customer_id, meter_id, bucket_start) DO UPDATE SET
        event_count = b.event_count + excluded.event_count,
        value_sum = b.value_sum + excluded.value_sum,
        first_at = least(b.first_at, excluded.first_at),
        last_at = greatest(b.last_at, excluded.last_at),
        digest_high = b.digest_high # excluded.digest_high,
        digest_low = b.digest_low # excluded.digest_low;
END
$$;

-- Stores and counts events that were resolved by catalogues of these versions (0 for one that never changed), which are held
-- still from here on; does nothing and says so if one has another version.
CREATE FUNCTION ingest_at_once(
    seats bigint[], catalog_tenants uuid[], catalog_livemodes boolean[], versions bigint[],
    keys uuid[], key_tenants uuid[], key_livemodes boolean[], payload_hashes uuid[], key_times timestamptz[],
    tenants uuid[], livemodes boolean[], customers uuid[], times timestamptz[], id_hashes uuid[], ids text[], types text[],
    properties_texts text[], received timestamptz,
    bucket_tenants uuid[], bucket_livemodes boolean[], bucket_customers uuid[], meters uuid[], bucket_starts timestamptz[],
    event_counts bigint[], value_sums numeric[], first_times timestamptz[], last_times timestamptz[],
    high_digests bigint[], low_digests bigint[]
) RETURNS boolean
LANGUAGE plpgsql
SET search_path = public, pg_temp
AS $$
BEGIN
    PERFORM pg_advisory_xact_lock_shared(seat) FROM unnest(seats) AS seat;
    -- A statement of a function sees what was committed before it began.
    PERFORM FROM unnest(catalog_tenants, catalog_livemodes, versions) AS s (tenant_id, livemode, version)
        LEFT JOIN catalog_versions v ON v.tenant_id = s.tenant_id AND v.livemode = s.livemode
        WHERE coalesce(v.version, 0) <> s.version;
    IF FOUND THEN
        RETURN false;
    END IF;
    PERFORM store_events(keys, key_tenants, key_livemodes, payload_hashes, key_times, tenants, livemodes, customers, times,
        id_hashes, ids, types, properties_texts, received);
    PERFORM fold_sums(bucket_tenants, bucket_livemodes, bucket_customers, meters, bucket_starts, event_counts, value_sums,
        first_times, last_times, high_digests, low_digests);
    RETURN true;
END
$$;

REVOKE EXECUTE ON FUNCTION store_events, fold_sums, ingest_at_once FROM PUBLIC;
GRANT EXECUTE ON FUNCTION store_events, fold_sums, ingest_at_once TO usance_writer;
