-- Commercial terms: what a tenant says of itself on invoices, what it takes off, and what it adds in taxes.

-- The seller's data and billing policies, shared by both modes. A tenant without a row has the defaults. What the
-- registration asks for stays in tenants: domain, branding and what invoice numbers begin with.
CREATE TABLE tenant_profiles (
    tenant_id             uuid PRIMARY KEY REFERENCES tenants,
    legal_name            text, -- the company's name if absent
    address               jsonb NOT NULL,
    email                 text, -- the tenant's own if absent
    tax_ids               jsonb NOT NULL, -- list of type and value
    payment_terms_days    smallint NOT NULL,
    invoice_terms         text NOT NULL,
    invoice_footer        text NOT NULL,
    grace_period_hours    smallint NOT NULL,
    late_usage            text NOT NULL,
    coupon_order          text NOT NULL,
    dunning_retry_days    smallint[] NOT NULL,
    dunning_final_action  text NOT NULL,
    updated_at            timestamptz NOT NULL,
    CONSTRAINT tenant_profiles_payment_terms_days_check CHECK (payment_terms_days BETWEEN 0 AND 365),
    CONSTRAINT tenant_profiles_grace_period_hours_check CHECK (grace_period_hours BETWEEN 0 AND 720),
    CONSTRAINT tenant_profiles_late_usage_check CHECK (late_usage IN ('next_invoice', 'credit_note_and_reissue')),
    CONSTRAINT tenant_profiles_coupon_order_check CHECK (
        coupon_order IN ('percent_before_fixed', 'as_applied', 'pro_rata_on_remaining')
    ),
    CONSTRAINT tenant_profiles_dunning_final_action_check CHECK (dunning_final_action IN ('cancel', 'mark_unpaid'))
);
CALL protect_tenant_table('tenant_profiles');
GRANT SELECT, INSERT, UPDATE ON tenant_profiles TO usance_app;

-- Apart from the profile, which is read for every invoice.
CREATE TABLE tenant_logos (
    tenant_id   uuid PRIMARY KEY REFERENCES tenants,
    media_type  text NOT NULL,
    bytes       bytea NOT NULL,
    updated_at  timestamptz NOT NULL,
    CONSTRAINT tenant_logos_media_type_check CHECK (media_type IN ('image/png', 'image/jpeg')),
    CONSTRAINT tenant_logos_bytes_check CHECK (length(bytes) BETWEEN 1 AND 262144)
);
CALL protect_tenant_table('tenant_logos');
GRANT SELECT, INSERT, UPDATE, DELETE ON tenant_logos TO usance_app;

ALTER TABLE tenants ADD CONSTRAINT tenants_invoice_prefix_check CHECK (invoice_prefix ~ '^[A-Z0-9-]{1,12}$');

CREATE TABLE coupons (
    tenant_id         uuid NOT NULL REFERENCES tenants,
    livemode          boolean NOT NULL,
    id                uuid NOT NULL,
    code              text NOT NULL,
    name              text NOT NULL,
    percent           numeric(28, 12),
    amount_minor      bigint,
    currency          text,
    duration          text NOT NULL,
    duration_periods  integer,
    max_redemptions   integer, -- without limit if absent
    times_redeemed    integer NOT NULL DEFAULT 0,
    redeem_by         timestamptz,
    metadata          jsonb NOT NULL,
    created_at        timestamptz NOT NULL,
    updated_at        timestamptz NOT NULL,
    archived_at       timestamptz,
    PRIMARY KEY (tenant_id, livemode, id),
    CONSTRAINT coupons_code_key UNIQUE (tenant_id, livemode, code),
    CONSTRAINT coupons_value_check CHECK ((percent IS NULL) <> (amount_minor IS NULL)),
    CONSTRAINT coupons_percent_check CHECK (percent > 0 AND percent <= 100),
    CONSTRAINT coupons_amount_check CHECK (amount_minor > 0),
    CONSTRAINT coupons_currency_check CHECK ((amount_minor IS NULL) = (currency IS NULL) AND currency ~ '^[A-Z]{3}$'),
    CONSTRAINT coupons_duration_check CHECK (duration IN ('once', 'repeating', 'forever')),
    CONSTRAINT coupons_duration_periods_check CHECK (
        (duration = 'repeating') = (duration_periods IS NOT NULL) AND duration_periods > 0
    ),
    CONSTRAINT coupons_max_redemptions_check CHECK (max_redemptions > 0),
    CONSTRAINT coupons_times_redeemed_check CHECK (times_redeemed >= 0)
);
CALL protect_tenant_table('coupons');
-- What a coupon takes off never changes: nobody may update these columns.
GRANT SELECT, INSERT ON coupons TO usance_app;
GRANT UPDATE (name, max_redemptions, times_redeemed, redeem_by, metadata, updated_at, archived_at) ON coupons TO usance_app;

-- The plans that a coupon is limited to; without any it is good for all.
CREATE TABLE coupon_plans (
    tenant_id  uuid NOT NULL,
    livemode   boolean NOT NULL,
    coupon_id  uuid NOT NULL,
    plan_id    uuid NOT NULL,
    PRIMARY KEY (tenant_id, livemode, coupon_id, plan_id),
    CONSTRAINT coupon_plans_coupon_id_fkey FOREIGN KEY (tenant_id, livemode, coupon_id) REFERENCES coupons,
    CONSTRAINT coupon_plans_plan_id_fkey FOREIGN KEY (tenant_id, livemode, plan_id) REFERENCES plans
);
CALL protect_tenant_table('coupon_plans');
GRANT SELECT, INSERT ON coupon_plans TO usance_app;

-- A coupon that a customer has redeemed, for all of its subscriptions or for one.
CREATE TABLE discounts (
    tenant_id         uuid NOT NULL,
    livemode          boolean NOT NULL,
    id                uuid NOT NULL,
    customer_id       uuid NOT NULL,
    subscription_id   uuid, -- all subscriptions of the customer if absent
    coupon_id         uuid NOT NULL,
    position          integer NOT NULL, -- the order in which the customer redeemed
    periods_left      integer, -- for ever if absent
    fixed_left_minor  bigint, -- of a fixed amount that is taken off once
    created_at        timestamptz NOT NULL, -- tenant time, as ended_at
    ended_at          timestamptz,
    PRIMARY KEY (tenant_id, livemode, id),
    CONSTRAINT discounts_position_key UNIQUE (tenant_id, livemode, customer_id, position),
    CONSTRAINT discounts_customer_id_fkey FOREIGN KEY (tenant_id, livemode, customer_id) REFERENCES customers,
    CONSTRAINT discounts_subscription_id_fkey FOREIGN KEY (tenant_id, livemode, subscription_id) REFERENCES subscriptions,
    CONSTRAINT discounts_coupon_id_fkey FOREIGN KEY (tenant_id, livemode, coupon_id) REFERENCES coupons,
    CONSTRAINT discounts_periods_left_check CHECK (periods_left >= 0),
    CONSTRAINT discounts_fixed_left_check CHECK (fixed_left_minor >= 0)
);
CALL protect_tenant_table('discounts');
GRANT SELECT, INSERT ON discounts TO usance_app;
GRANT UPDATE (periods_left, fixed_left_minor, ended_at) ON discounts TO usance_app;

CREATE TABLE tax_rates (
    tenant_id    uuid NOT NULL REFERENCES tenants,
    livemode     boolean NOT NULL,
    id           uuid NOT NULL,
    code         text NOT NULL,
    name         text NOT NULL, -- on the invoice
    percent      numeric(28, 12) NOT NULL,
    inclusive    boolean NOT NULL, -- whether prices hold the tax
    region       text NOT NULL,
    description  text NOT NULL,
    created_at   timestamptz NOT NULL,
    updated_at   timestamptz NOT NULL,
    archived_at  timestamptz,
    PRIMARY KEY (tenant_id, livemode, id),
    CONSTRAINT tax_rates_code_key UNIQUE (tenant_id, livemode, code),
    CONSTRAINT tax_rates_percent_check CHECK (percent BETWEEN 0 AND 100),
    CONSTRAINT tax_rates_region_check CHECK (region <> '')
);
CREATE INDEX tax_rates_region_idx ON tax_rates (tenant_id, livemode, region) WHERE archived_at IS NULL;
CALL protect_tenant_table('tax_rates');
GRANT SELECT, INSERT ON tax_rates TO usance_app;
GRANT UPDATE (name, description, updated_at, archived_at) ON tax_rates TO usance_app;

CREATE INDEX customers_tax_region_idx ON customers (tenant_id, livemode, (tax ->> 'region')) WHERE tax ? 'region';
