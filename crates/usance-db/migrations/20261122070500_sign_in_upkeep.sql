-- What is forgotten after a time is found by its time.
CREATE INDEX sign_in_attempts_window_started_at_idx ON sign_in_attempts (tenant_id, window_started_at);
CREATE INDEX sign_in_networks_signed_in_at_idx ON sign_in_networks (tenant_id, signed_in_at);

-- Ways to Stripe that ended long ago tell nothing any more; those of an account that was made beforehand stay.
CREATE INDEX stripe_connect_states_expires_at_idx ON stripe_connect_states (tenant_id, expires_at) WHERE account_id IS NULL;
GRANT DELETE ON stripe_connect_states TO usance_app;
