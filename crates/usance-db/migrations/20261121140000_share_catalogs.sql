-- What the group commit does first, in one round trip: it holds catalogues still, and only then reads their versions. Each
-- statement of a function sees what was committed before it began.
CREATE FUNCTION share_catalogs(seats bigint[], tenants uuid[], livemodes boolean[])
RETURNS TABLE (tenant_id uuid, livemode boolean, version bigint)
LANGUAGE plpgsql
SET search_path = public, pg_temp
AS $$
BEGIN
    PERFORM pg_advisory_xact_lock_shared(seat) FROM unnest(seats) AS seat;
    RETURN QUERY
        SELECT v.tenant_id, v.livemode, v.version
        FROM unnest(tenants, livemodes) AS s (tenant_id, livemode)
        JOIN catalog_versions v ON v.tenant_id = s.tenant_id AND v.livemode = s.livemode;
END
$$;
REVOKE EXECUTE ON FUNCTION share_catalogs(bigint[], uuid[], boolean[]) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION share_catalogs(bigint[], uuid[], boolean[]) TO usance_writer;
