-- Entitlements: what plans, trials, add-ons and single subscriptions grant of features, and what was used of it.

-- The usage of its meter counts against the limits of a feature; without a meter, what is consumed does.
ALTER TABLE features
    ADD COLUMN meter_id uuid,
    ADD CONSTRAINT features_meter_id_fkey FOREIGN KEY (tenant_id, livemode, meter_id) REFERENCES meters;

ALTER TABLE plan_entitlements
    ADD COLUMN in_trial boolean NOT NULL DEFAULT false, -- instead of the other one, while the trial runs
    DROP CONSTRAINT plan_entitlements_pkey,
    ADD CONSTRAINT plan_entitlements_pkey PRIMARY KEY (tenant_id, livemode, plan_version_id, feature_id, in_trial),
    DROP CONSTRAINT plan_entitlements_reset_check,
    ADD CONSTRAINT plan_entitlements_reset_check CHECK (reset IN ('minute', 'hour', 'day', 'month', 'period', 'never')),
    ADD CONSTRAINT plan_entitlements_usage_limit_check CHECK (usage_limit >= 0),
    ADD CONSTRAINT plan_entitlements_sliding_check CHECK (time_window = 'fixed' OR reset NOT IN ('period', 'never')) NOT VALID;

-- What one subscription grants instead of its plan.
CREATE TABLE subscription_entitlements (
    tenant_id        uuid NOT NULL,
    livemode         boolean NOT NULL,
    subscription_id  uuid NOT NULL,
    feature_id       uuid NOT NULL,
    value            text,
    usage_limit      numeric(28, 12),
    reset            text NOT NULL,
    time_window      text NOT NULL,
    hard             boolean NOT NULL,
    PRIMARY KEY (tenant_id, livemode, subscription_id, feature_id),
    CONSTRAINT subscription_entitlements_subscription_id_fkey FOREIGN KEY (tenant_id, livemode, subscription_id) REFERENCES subscriptions,
    CONSTRAINT subscription_entitlements_feature_id_fkey FOREIGN KEY (tenant_id, livemode, feature_id) REFERENCES features,
    CONSTRAINT subscription_entitlements_value_check CHECK (value IS NULL OR usage_limit IS NULL),
    CONSTRAINT subscription_entitlements_usage_limit_check CHECK (usage_limit >= 0),
    CONSTRAINT subscription_entitlements_reset_check CHECK (reset IN ('minute', 'hour', 'day', 'month', 'period', 'never')),
    CONSTRAINT subscription_entitlements_time_window_check CHECK (time_window IN ('fixed', 'sliding')),
    CONSTRAINT subscription_entitlements_sliding_check CHECK (time_window = 'fixed' OR reset NOT IN ('period', 'never'))
);
CALL protect_tenant_table('subscription_entitlements');
GRANT SELECT, INSERT, DELETE ON subscription_entitlements TO usance_app;

-- What a customer used of a feature in its current window. The row is locked by whoever consumes, so that a limit holds
-- however many do so at once.
CREATE TABLE entitlement_counters (
    tenant_id      uuid NOT NULL,
    livemode       boolean NOT NULL,
    id             uuid NOT NULL,
    customer_id    uuid NOT NULL,
    feature_id     uuid NOT NULL,
    window_start   timestamptz NOT NULL, -- of the fixed window that `used` belongs to
    used           numeric NOT NULL, -- of a meter: what it came to when somebody consumed last
    slot_times     timestamptz[] NOT NULL DEFAULT '{}', -- of a sliding window: the last use of each slot
    slot_uses      numeric[] NOT NULL DEFAULT '{}',
    exhausted      boolean NOT NULL DEFAULT false, -- whether subscribers were told so, and not yet of its end
    PRIMARY KEY (tenant_id, livemode, id),
    CONSTRAINT entitlement_counters_customer_id_key UNIQUE (tenant_id, livemode, customer_id, feature_id),
    CONSTRAINT entitlement_counters_customer_id_fkey FOREIGN KEY (tenant_id, livemode, customer_id) REFERENCES customers,
    CONSTRAINT entitlement_counters_feature_id_fkey FOREIGN KEY (tenant_id, livemode, feature_id) REFERENCES features,
    CONSTRAINT entitlement_counters_used_check CHECK (used >= 0),
    CONSTRAINT entitlement_counters_slots_check CHECK (cardinality(slot_times) = cardinality(slot_uses))
) WITH (fillfactor = 70);
CALL protect_tenant_table('entitlement_counters');
GRANT SELECT, INSERT, UPDATE ON entitlement_counters TO usance_app;
