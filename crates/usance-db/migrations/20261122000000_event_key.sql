-- The key of an event is 16 bytes that stand for tenant, mode and id: the index that every event must find its place in has half
-- its size, and a key is compared once at every step. The payload hash has a fixed size too, half of what it had.

-- The same as usance_core::metering::event_key: the first 16 bytes of SHA-256 over id hash, tenant and mode.
CREATE FUNCTION event_key(tenant uuid, livemode boolean, id_hash uuid) RETURNS uuid LANGUAGE sql IMMUTABLE AS $$
    SELECT encode(substring(sha256(uuid_send(id_hash) || uuid_send(tenant) || boolsend(livemode)) FOR 16), 'hex')::uuid
$$;

ALTER TABLE event_keys RENAME TO long_event_keys;
ALTER TABLE long_event_keys RENAME CONSTRAINT event_keys_pkey TO long_event_keys_pkey;
ALTER TABLE long_event_keys NO FORCE ROW LEVEL SECURITY; -- the owner reads all of it, once

CREATE TABLE event_keys (
    key           uuid NOT NULL,
    tenant_id     uuid NOT NULL,
    payload_hash  uuid NOT NULL, -- first 16 bytes of SHA-256
    occurred_at   timestamptz NOT NULL,
    livemode      boolean NOT NULL
);
INSERT INTO event_keys (key, tenant_id, payload_hash, occurred_at, livemode)
SELECT event_key(tenant_id, livemode, id_hash), tenant_id, encode(substring(payload_hash FOR 16), 'hex')::uuid, occurred_at, livemode
FROM long_event_keys;
ALTER TABLE event_keys ADD CONSTRAINT event_keys_pkey PRIMARY KEY (key);
DROP TABLE long_event_keys;

CALL protect_tenant_table('event_keys');
CREATE POLICY writer ON event_keys TO usance_writer USING (true) WITH CHECK (true);
GRANT SELECT ON event_keys TO usance_app;
GRANT SELECT, INSERT ON event_keys TO usance_writer;
