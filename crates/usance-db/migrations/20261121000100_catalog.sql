-- The catalogue: what is measured, what is sold, and to whom.

-- Counts the changes that decide how a usage event is resolved (meters, customers, subscriptions). The group commit
-- keeps what it looked up for as long as this number stays the same.
CREATE TABLE catalog_versions (
    tenant_id  uuid NOT NULL REFERENCES tenants,
    livemode   boolean NOT NULL,
    version    bigint NOT NULL,
    PRIMARY KEY (tenant_id, livemode)
);
CALL protect_tenant_table('catalog_versions');
CREATE POLICY writer ON catalog_versions FOR SELECT TO usance_writer USING (true);
GRANT SELECT, INSERT, UPDATE ON catalog_versions TO usance_app;
GRANT SELECT ON catalog_versions TO usance_writer;

CREATE TABLE meters (
    tenant_id       uuid NOT NULL REFERENCES tenants,
    livemode        boolean NOT NULL,
    id              uuid NOT NULL,
    code            text NOT NULL,
    name            text NOT NULL,
    event_type      text NOT NULL,
    aggregation     text NOT NULL,
    value_property  text,
    created_at      timestamptz NOT NULL,
    updated_at      timestamptz NOT NULL,
    archived_at     timestamptz,
    PRIMARY KEY (tenant_id, livemode, id),
    CONSTRAINT meters_code_key UNIQUE (tenant_id, livemode, code),
    CONSTRAINT meters_aggregation_check CHECK (aggregation IN ('count', 'sum', 'max', 'unique_count', 'latest')),
    CONSTRAINT meters_value_property_check CHECK ((aggregation = 'count') = (value_property IS NULL))
);
CALL protect_tenant_table('meters');
GRANT SELECT, INSERT, UPDATE ON meters TO usance_app;

CREATE TABLE features (
    tenant_id    uuid NOT NULL REFERENCES tenants,
    livemode     boolean NOT NULL,
    id           uuid NOT NULL,
    code         text NOT NULL,
    name         text NOT NULL,
    description  text NOT NULL DEFAULT '',
    created_at   timestamptz NOT NULL,
    updated_at   timestamptz NOT NULL,
    archived_at  timestamptz,
    PRIMARY KEY (tenant_id, livemode, id),
    CONSTRAINT features_code_key UNIQUE (tenant_id, livemode, code)
);
CALL protect_tenant_table('features');
GRANT SELECT, INSERT, UPDATE ON features TO usance_app;

CREATE TABLE plans (
    tenant_id    uuid NOT NULL REFERENCES tenants,
    livemode     boolean NOT NULL,
    id           uuid NOT NULL,
    code         text NOT NULL,
    name         text NOT NULL,
    description  text NOT NULL DEFAULT '',
    family       text,
    version      integer NOT NULL, -- the newest; new subscriptions take it
    created_at   timestamptz NOT NULL,
    updated_at   timestamptz NOT NULL,
    archived_at  timestamptz,
    PRIMARY KEY (tenant_id, livemode, id),
    CONSTRAINT plans_code_key UNIQUE (tenant_id, livemode, code)
);
CALL protect_tenant_table('plans');
GRANT SELECT, INSERT, UPDATE ON plans TO usance_app;

-- Immutable: nobody is granted UPDATE or DELETE on a version, its prices or its entitlements.
CREATE TABLE plan_versions (
    tenant_id       uuid NOT NULL,
    livemode        boolean NOT NULL,
    id              uuid NOT NULL,
    plan_id         uuid NOT NULL,
    version         integer NOT NULL,
    currency        text NOT NULL,
    interval_unit   text NOT NULL,
    interval_count  smallint NOT NULL,
    alignment       text NOT NULL,
    created_at      timestamptz NOT NULL,
    PRIMARY KEY (tenant_id, livemode, id),
    CONSTRAINT plan_versions_version_key UNIQUE (tenant_id, livemode, plan_id, version),
    CONSTRAINT plan_versions_plan_id_fkey FOREIGN KEY (tenant_id, livemode, plan_id) REFERENCES plans,
    CONSTRAINT plan_versions_currency_check CHECK (currency ~ '^[A-Z]{3}$'),
    CONSTRAINT plan_versions_interval_unit_check CHECK (interval_unit IN ('day', 'week', 'month', 'quarter', 'year')),
    CONSTRAINT plan_versions_interval_count_check CHECK (interval_count BETWEEN 1 AND 120),
    CONSTRAINT plan_versions_alignment_check CHECK (alignment IN ('calendar', 'anniversary'))
);
CALL protect_tenant_table('plan_versions');
GRANT SELECT, INSERT ON plan_versions TO usance_app;

CREATE TABLE prices (
    tenant_id        uuid NOT NULL,
    livemode         boolean NOT NULL,
    id               uuid NOT NULL,
    plan_version_id  uuid NOT NULL,
    position         smallint NOT NULL,
    code             text NOT NULL,
    name             text NOT NULL,
    meter_id         uuid,
    charge_model     text NOT NULL,
    parameters       jsonb NOT NULL, -- of the charge model; money as decimal strings in major units
    pay              text NOT NULL,
    PRIMARY KEY (tenant_id, livemode, id),
    CONSTRAINT prices_code_key UNIQUE (tenant_id, livemode, plan_version_id, code),
    CONSTRAINT prices_position_key UNIQUE (tenant_id, livemode, plan_version_id, position),
    CONSTRAINT prices_plan_version_id_fkey FOREIGN KEY (tenant_id, livemode, plan_version_id) REFERENCES plan_versions,
    CONSTRAINT prices_meter_id_fkey FOREIGN KEY (tenant_id, livemode, meter_id) REFERENCES meters,
    CONSTRAINT prices_pay_check CHECK (pay IN ('advance', 'arrears')),
    CONSTRAINT prices_metered_in_arrears_check CHECK (meter_id IS NULL OR pay = 'arrears')
);
CALL protect_tenant_table('prices');
GRANT SELECT, INSERT ON prices TO usance_app;

CREATE TABLE plan_entitlements (
    tenant_id        uuid NOT NULL,
    livemode         boolean NOT NULL,
    plan_version_id  uuid NOT NULL,
    feature_id       uuid NOT NULL,
    value            text, -- a static entitlement
    usage_limit      numeric(28, 12), -- a metered entitlement; both absent: boolean
    reset            text NOT NULL,
    time_window      text NOT NULL,
    hard             boolean NOT NULL,
    PRIMARY KEY (tenant_id, livemode, plan_version_id, feature_id),
    CONSTRAINT plan_entitlements_plan_version_id_fkey FOREIGN KEY (tenant_id, livemode, plan_version_id) REFERENCES plan_versions,
    CONSTRAINT plan_entitlements_feature_id_fkey FOREIGN KEY (tenant_id, livemode, feature_id) REFERENCES features,
    CONSTRAINT plan_entitlements_value_check CHECK (value IS NULL OR usage_limit IS NULL),
    CONSTRAINT plan_entitlements_reset_check CHECK (reset IN ('hour', 'day', 'month', 'period', 'never')),
    CONSTRAINT plan_entitlements_time_window_check CHECK (time_window IN ('fixed', 'sliding'))
);
CALL protect_tenant_table('plan_entitlements');
GRANT SELECT, INSERT ON plan_entitlements TO usance_app;

CREATE TABLE customers (
    tenant_id    uuid NOT NULL REFERENCES tenants,
    livemode     boolean NOT NULL,
    id           uuid NOT NULL,
    external_id  text,
    name         text NOT NULL,
    email        text,
    currency     text NOT NULL,
    time_zone    text NOT NULL, -- IANA name
    tax          jsonb NOT NULL,
    address      jsonb NOT NULL DEFAULT '{}',
    metadata     jsonb NOT NULL DEFAULT '{}',
    created_at   timestamptz NOT NULL,
    updated_at   timestamptz NOT NULL,
    deleted_at   timestamptz,
    PRIMARY KEY (tenant_id, livemode, id),
    CONSTRAINT customers_external_id_key UNIQUE (tenant_id, livemode, external_id),
    CONSTRAINT customers_external_id_check CHECK (external_id !~ '^cus_'),
    CONSTRAINT customers_currency_check CHECK (currency ~ '^[A-Z]{3}$')
);
CALL protect_tenant_table('customers');
GRANT SELECT, INSERT, UPDATE ON customers TO usance_app;

CREATE TABLE subscriptions (
    tenant_id        uuid NOT NULL,
    livemode         boolean NOT NULL,
    id               uuid NOT NULL,
    customer_id      uuid NOT NULL,
    plan_version_id  uuid NOT NULL,
    status           text NOT NULL,
    quantity         integer NOT NULL,
    start_at         timestamptz NOT NULL,
    period_start     timestamptz NOT NULL, -- the period that is open: earlier ones are invoiced
    period_end       timestamptz NOT NULL,
    ended_at         timestamptz,
    created_at       timestamptz NOT NULL,
    updated_at       timestamptz NOT NULL,
    PRIMARY KEY (tenant_id, livemode, id),
    CONSTRAINT subscriptions_customer_id_fkey FOREIGN KEY (tenant_id, livemode, customer_id) REFERENCES customers,
    CONSTRAINT subscriptions_plan_version_id_fkey FOREIGN KEY (tenant_id, livemode, plan_version_id) REFERENCES plan_versions,
    CONSTRAINT subscriptions_status_check CHECK (status IN ('incomplete', 'trialing', 'active', 'past_due', 'paused', 'canceled')),
    CONSTRAINT subscriptions_quantity_check CHECK (quantity >= 0),
    CONSTRAINT subscriptions_period_check CHECK (start_at <= period_start AND period_start < period_end),
    CONSTRAINT subscriptions_ended_at_check CHECK (ended_at >= start_at)
);
CREATE INDEX subscriptions_customer_id_idx ON subscriptions (tenant_id, livemode, customer_id);
CALL protect_tenant_table('subscriptions');
GRANT SELECT, INSERT, UPDATE ON subscriptions TO usance_app;

CREATE TABLE payment_methods (
    tenant_id          uuid NOT NULL,
    livemode           boolean NOT NULL,
    id                 uuid NOT NULL,
    customer_id        uuid NOT NULL,
    gateway            text NOT NULL,
    type               text NOT NULL,
    gateway_reference  text NOT NULL,
    brand              text,
    last4              text,
    created_at         timestamptz NOT NULL,
    deleted_at         timestamptz,
    PRIMARY KEY (tenant_id, livemode, id),
    CONSTRAINT payment_methods_customer_id_fkey FOREIGN KEY (tenant_id, livemode, customer_id) REFERENCES customers,
    CONSTRAINT payment_methods_type_check CHECK (type IN ('card', 'bank_transfer', 'paypal', 'wallet'))
);
CREATE INDEX payment_methods_customer_id_idx ON payment_methods (tenant_id, livemode, customer_id);
CALL protect_tenant_table('payment_methods');
GRANT SELECT, INSERT, UPDATE ON payment_methods TO usance_app;
