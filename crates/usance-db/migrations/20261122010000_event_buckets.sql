-- Events are found by customer and quarter of an hour, as their aggregates are. Many events share both, and PostgreSQL keeps a
-- repeated key once: the index has a fifth of its size, and finding an event's place in it stays cheap as events grow in number.

ALTER TABLE events
    ADD COLUMN bucket_start timestamptz NOT NULL
        GENERATED ALWAYS AS (date_bin(interval '15 minutes', occurred_at, timestamptz '1970-01-01 00:00:00+00')) STORED;
DROP INDEX events_customer_id_idx;
CREATE INDEX events_customer_id_idx ON events (customer_id, bucket_start);

CREATE OR REPLACE FUNCTION ensure_event_partition(month date) RETURNS void
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
    EXECUTE format('CREATE TABLE %I (LIKE events INCLUDING DEFAULTS INCLUDING GENERATED INCLUDING INDEXES)', name);
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
