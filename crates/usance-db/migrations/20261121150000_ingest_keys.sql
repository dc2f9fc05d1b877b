-- What an event costs most in PostgreSQL is finding its place in the indexes. Keys begin with what tells rows apart: beginning
-- with the tenant and the mode, three values are compared at every step where one decides.

ALTER TABLE event_keys DROP CONSTRAINT event_keys_pkey;
ALTER TABLE event_keys ADD CONSTRAINT event_keys_pkey PRIMARY KEY (id_hash, tenant_id, livemode);

ALTER TABLE usage_buckets DROP CONSTRAINT usage_buckets_pkey;
ALTER TABLE usage_buckets ADD CONSTRAINT usage_buckets_pkey PRIMARY KEY (customer_id, meter_id, bucket_start, tenant_id, livemode);

ALTER TABLE usage_values DROP CONSTRAINT usage_values_pkey;
ALTER TABLE usage_values ADD CONSTRAINT usage_values_pkey
    PRIMARY KEY (customer_id, meter_id, bucket_start, value_hash, tenant_id, livemode);

-- A customer has one tenant and one mode.
DROP INDEX events_customer_id_idx;
CREATE INDEX events_customer_id_idx ON events (customer_id, occurred_at);
