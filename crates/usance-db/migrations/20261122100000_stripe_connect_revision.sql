-- Counts what is learnt of a tenant's connection to Stripe: an answer of Stripe that was asked for before the last of it may be
-- older than what is stored.
ALTER TABLE tenants ADD COLUMN stripe_connect_revision bigint NOT NULL DEFAULT 0;
