-- Invoices, their lines, and the payments that settle them.

CREATE EXTENSION IF NOT EXISTS btree_gist;

CREATE TABLE invoices (
    tenant_id        uuid NOT NULL,
    livemode         boolean NOT NULL,
    id               uuid NOT NULL,
    customer_id      uuid NOT NULL,
    subscription_id  uuid NOT NULL,
    status           text NOT NULL,
    sequence         bigint, -- gapless per tenant and mode; given when finalized
    number           text,
    currency         text NOT NULL,
    period_start     timestamptz NOT NULL,
    period_end       timestamptz NOT NULL,
    subtotal_minor   bigint NOT NULL,
    tax_minor        bigint NOT NULL,
    total_minor      bigint NOT NULL,
    paid_minor       bigint NOT NULL DEFAULT 0,
    created_at       timestamptz NOT NULL, -- tenant time, as all times of an invoice
    finalized_at     timestamptz,
    due_at           timestamptz,
    paid_at          timestamptz,
    PRIMARY KEY (tenant_id, livemode, id),
    CONSTRAINT invoices_sequence_key UNIQUE (tenant_id, livemode, sequence),
    CONSTRAINT invoices_number_key UNIQUE (tenant_id, livemode, number),
    CONSTRAINT invoices_customer_id_fkey FOREIGN KEY (tenant_id, livemode, customer_id) REFERENCES customers,
    CONSTRAINT invoices_subscription_id_fkey FOREIGN KEY (tenant_id, livemode, subscription_id) REFERENCES subscriptions,
    CONSTRAINT invoices_status_check CHECK (status IN ('draft', 'finalized', 'paid', 'void', 'uncollectible')),
    CONSTRAINT invoices_number_check CHECK ((status = 'draft') = (sequence IS NULL) AND (sequence IS NULL) = (number IS NULL)),
    CONSTRAINT invoices_total_check CHECK (total_minor = subtotal_minor + tax_minor),
    CONSTRAINT invoices_paid_check CHECK (paid_minor BETWEEN 0 AND greatest(total_minor, 0)),
    CONSTRAINT invoices_paid_status_check CHECK ((status = 'paid') <= (paid_minor = greatest(total_minor, 0)))
);
CREATE INDEX invoices_customer_id_idx ON invoices (tenant_id, livemode, customer_id, id);
CALL protect_tenant_table('invoices');
GRANT SELECT, INSERT, UPDATE ON invoices TO usance_app;

CREATE TABLE invoice_sequences (
    tenant_id  uuid NOT NULL REFERENCES tenants,
    livemode   boolean NOT NULL,
    last       bigint NOT NULL,
    PRIMARY KEY (tenant_id, livemode)
);
CALL protect_tenant_table('invoice_sequences');
GRANT SELECT, INSERT, UPDATE ON invoice_sequences TO usance_app;

-- Each period of a subscription that was closed, and by which invoice. Overlap is impossible.
CREATE TABLE billing_periods (
    tenant_id        uuid NOT NULL,
    livemode         boolean NOT NULL,
    subscription_id  uuid NOT NULL,
    period           tstzrange NOT NULL,
    invoice_id       uuid NOT NULL,
    PRIMARY KEY (tenant_id, livemode, subscription_id, period),
    CONSTRAINT billing_periods_invoice_id_fkey FOREIGN KEY (tenant_id, livemode, invoice_id) REFERENCES invoices,
    CONSTRAINT billing_periods_period_excl EXCLUDE USING gist (
        tenant_id WITH =, livemode WITH =, subscription_id WITH =, period WITH &&
    ),
    CONSTRAINT billing_periods_period_check CHECK (lower_inc(period) AND NOT upper_inc(period) AND NOT isempty(period))
);
CALL protect_tenant_table('billing_periods');
GRANT SELECT, INSERT ON billing_periods TO usance_app;

-- Written with the invoice and never changed: nobody is granted UPDATE.
CREATE TABLE line_items (
    tenant_id        uuid NOT NULL,
    livemode         boolean NOT NULL,
    id               uuid NOT NULL,
    invoice_id       uuid NOT NULL,
    position         smallint NOT NULL,
    price_id         uuid NOT NULL,
    description      text NOT NULL,
    period_start     timestamptz NOT NULL, -- of the service that the line charges
    period_end       timestamptz NOT NULL,
    quantity         numeric(28, 12) NOT NULL,
    exact_amount     numeric NOT NULL, -- major units, before the one rounding
    amount_minor     bigint NOT NULL,
    tax_minor        bigint NOT NULL,
    arithmetic       jsonb NOT NULL, -- the steps that sum to exact_amount
    taxes            jsonb NOT NULL, -- name, percent and amount per rate; they sum to tax_minor
    event_count      bigint,
    first_event_at   timestamptz,
    last_event_at    timestamptz,
    events_digest    uuid, -- exclusive or over the events' id_hash
    PRIMARY KEY (tenant_id, livemode, id),
    CONSTRAINT line_items_position_key UNIQUE (tenant_id, livemode, invoice_id, position),
    CONSTRAINT line_items_period_key UNIQUE (tenant_id, livemode, invoice_id, price_id, period_start),
    CONSTRAINT line_items_invoice_id_fkey FOREIGN KEY (tenant_id, livemode, invoice_id) REFERENCES invoices,
    CONSTRAINT line_items_price_id_fkey FOREIGN KEY (tenant_id, livemode, price_id) REFERENCES prices
);
CALL protect_tenant_table('line_items');
GRANT SELECT, INSERT ON line_items TO usance_app;

CREATE TABLE payments (
    tenant_id          uuid NOT NULL,
    livemode           boolean NOT NULL,
    id                 uuid NOT NULL, -- also the idempotency key at the gateway
    invoice_id         uuid NOT NULL,
    customer_id        uuid NOT NULL,
    payment_method_id  uuid NOT NULL,
    gateway            text NOT NULL,
    status             text NOT NULL,
    amount_minor       bigint NOT NULL,
    currency           text NOT NULL,
    gateway_reference  text,
    failure_code       text,
    created_at         timestamptz NOT NULL,
    updated_at         timestamptz NOT NULL,
    PRIMARY KEY (tenant_id, livemode, id),
    CONSTRAINT payments_invoice_id_fkey FOREIGN KEY (tenant_id, livemode, invoice_id) REFERENCES invoices,
    CONSTRAINT payments_customer_id_fkey FOREIGN KEY (tenant_id, livemode, customer_id) REFERENCES customers,
    CONSTRAINT payments_payment_method_id_fkey FOREIGN KEY (tenant_id, livemode, payment_method_id) REFERENCES payment_methods,
    CONSTRAINT payments_status_check CHECK (status IN ('processing', 'succeeded', 'failed', 'unknown')),
    CONSTRAINT payments_amount_check CHECK (amount_minor > 0)
);
-- An invoice is never paid twice: while one payment may have taken money, there is no other.
CREATE UNIQUE INDEX payments_invoice_id_key ON payments (tenant_id, livemode, invoice_id) WHERE status <> 'failed';
CREATE INDEX payments_customer_id_idx ON payments (tenant_id, livemode, customer_id);
CALL protect_tenant_table('payments');
GRANT SELECT, INSERT, UPDATE ON payments TO usance_app;
