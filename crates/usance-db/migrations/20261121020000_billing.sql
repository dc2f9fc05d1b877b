-- The subscription engine: items, trials and planned changes; drafts, discounts and credits on invoices.

-- The owner is under row-level security too; while rows are moved to their new places it is lifted.
ALTER TABLE subscriptions NO FORCE ROW LEVEL SECURITY;
ALTER TABLE billing_periods NO FORCE ROW LEVEL SECURITY;
ALTER TABLE invoices NO FORCE ROW LEVEL SECURITY;
ALTER TABLE line_items NO FORCE ROW LEVEL SECURITY;
ALTER TABLE prices NO FORCE ROW LEVEL SECURITY;
ALTER TABLE due_work NO FORCE ROW LEVEL SECURITY;

-- Policies are data of the plan version. A version that was made for one subscription (price overrides) names the
-- version that it departs from.
ALTER TABLE plans
    ADD COLUMN kind text NOT NULL DEFAULT 'plan',
    ADD CONSTRAINT plans_kind_check CHECK (kind IN ('plan', 'add_on'));
ALTER TABLE plan_versions
    ADD COLUMN override_of uuid,
    ADD COLUMN proration text NOT NULL DEFAULT 'day_exclusive_end',
    ADD COLUMN first_tier_flat text NOT NULL DEFAULT 'charge', -- at zero usage
    ADD COLUMN coupon_order text NOT NULL DEFAULT 'percent_before_fixed',
    ADD COLUMN late_usage text NOT NULL DEFAULT 'next_invoice',
    ADD COLUMN trial_unit text,
    ADD COLUMN trial_count smallint,
    ADD COLUMN trial_price numeric(28, 12), -- major units, once; null: free
    ADD COLUMN trial_then text NOT NULL DEFAULT 'convert',
    ADD COLUMN minimum numeric(28, 12), -- minimum commitment per full period, major units
    ADD COLUMN billing_thresholds bigint[] NOT NULL DEFAULT '{}', -- minor units; usage that crosses one is invoiced at once
    ADD CONSTRAINT plan_versions_override_of_fkey FOREIGN KEY (tenant_id, livemode, override_of) REFERENCES plan_versions,
    ADD CONSTRAINT plan_versions_proration_check CHECK (proration IN ('day_exclusive_end', 'day_inclusive', 'second', 'none')),
    ADD CONSTRAINT plan_versions_first_tier_flat_check CHECK (first_tier_flat IN ('charge', 'skip')),
    ADD CONSTRAINT plan_versions_coupon_order_check CHECK (coupon_order IN ('percent_before_fixed', 'as_applied', 'pro_rata_on_remaining')),
    ADD CONSTRAINT plan_versions_late_usage_check CHECK (late_usage IN ('next_invoice', 'credit_note_and_reissue')),
    ADD CONSTRAINT plan_versions_trial_check CHECK (
        (trial_unit IS NULL) = (trial_count IS NULL) AND trial_unit IN ('hour', 'day') AND trial_count > 0
    ),
    ADD CONSTRAINT plan_versions_trial_then_check CHECK (trial_then IN ('convert', 'cancel')),
    ADD CONSTRAINT plan_versions_minimum_check CHECK (minimum > 0),
    DROP CONSTRAINT plan_versions_version_key;
CREATE UNIQUE INDEX plan_versions_version_key ON plan_versions (tenant_id, livemode, plan_id, version) WHERE override_of IS NULL;

ALTER TABLE subscriptions
    ADD COLUMN anchor_at timestamptz, -- anniversary periods count from here
    ADD COLUMN full_start timestamptz, -- the uncut period around the open one: what a proration divides by
    ADD COLUMN full_end timestamptz,
    ADD COLUMN trial_ends_at timestamptz,
    ADD COLUMN trial_then text,
    ADD COLUMN cancel_at timestamptz,
    ADD COLUMN scheduled_at timestamptz,
    ADD COLUMN scheduled_items jsonb; -- the terms that a planned change leads to: item, plan version and quantity of each
UPDATE subscriptions SET anchor_at = start_at, full_start = period_start, full_end = period_end;
ALTER TABLE subscriptions
    ALTER COLUMN anchor_at SET NOT NULL,
    ALTER COLUMN full_start SET NOT NULL,
    ALTER COLUMN full_end SET NOT NULL,
    ADD CONSTRAINT subscriptions_full_check CHECK (full_start <= period_start AND period_end <= full_end),
    ADD CONSTRAINT subscriptions_trial_then_check CHECK (trial_then IN ('convert', 'cancel')),
    ADD CONSTRAINT subscriptions_trial_check CHECK ((trial_ends_at IS NULL) = (trial_then IS NULL)),
    ADD CONSTRAINT subscriptions_scheduled_check CHECK ((scheduled_at IS NULL) = (scheduled_items IS NULL)),
    ADD CONSTRAINT subscriptions_canceled_check CHECK ((status = 'canceled') = (ended_at IS NOT NULL));

-- What a subscription buys: its plan at position 0, then add-ons.
CREATE TABLE subscription_items (
    tenant_id        uuid NOT NULL,
    livemode         boolean NOT NULL,
    id               uuid NOT NULL,
    subscription_id  uuid NOT NULL,
    position         smallint NOT NULL,
    plan_version_id  uuid NOT NULL,
    quantity         integer NOT NULL,
    billed_to        timestamptz NOT NULL, -- usage from here on belongs to the open period
    seats_from       timestamptz NOT NULL, -- since when, in the open period, the quantity holds
    PRIMARY KEY (tenant_id, livemode, id),
    CONSTRAINT subscription_items_position_key UNIQUE (tenant_id, livemode, subscription_id, position) DEFERRABLE,
    CONSTRAINT subscription_items_subscription_id_fkey FOREIGN KEY (tenant_id, livemode, subscription_id) REFERENCES subscriptions,
    CONSTRAINT subscription_items_plan_version_id_fkey FOREIGN KEY (tenant_id, livemode, plan_version_id) REFERENCES plan_versions,
    CONSTRAINT subscription_items_quantity_check CHECK (quantity >= 0),
    CONSTRAINT subscription_items_seats_from_check CHECK (billed_to <= seats_from)
);
INSERT INTO subscription_items (tenant_id, livemode, id, subscription_id, position, plan_version_id, quantity, billed_to, seats_from)
SELECT tenant_id, livemode, id, id, 0, plan_version_id, quantity, period_start, period_start FROM subscriptions;
CALL protect_tenant_table('subscription_items');
GRANT SELECT, INSERT, UPDATE, DELETE ON subscription_items TO usance_app;

-- Each stretch of an item's life that was settled, by which plan version and on which invoice; a trial, or a stretch
-- with nothing to pay, has none. Overlap is impossible.
ALTER TABLE billing_periods
    ADD COLUMN item_id uuid,
    ADD COLUMN plan_version_id uuid,
    ADD COLUMN full_period tstzrange,
    ADD COLUMN free boolean NOT NULL DEFAULT false;
UPDATE billing_periods b SET item_id = s.id, plan_version_id = s.plan_version_id, full_period = b.period
FROM subscriptions s WHERE s.tenant_id = b.tenant_id AND s.livemode = b.livemode AND s.id = b.subscription_id;
ALTER TABLE billing_periods
    ALTER COLUMN item_id SET NOT NULL,
    ALTER COLUMN plan_version_id SET NOT NULL,
    ALTER COLUMN full_period SET NOT NULL,
    ALTER COLUMN invoice_id DROP NOT NULL,
    DROP CONSTRAINT billing_periods_pkey,
    DROP CONSTRAINT billing_periods_period_excl,
    ADD CONSTRAINT billing_periods_pkey PRIMARY KEY (tenant_id, livemode, item_id, period),
    ADD CONSTRAINT billing_periods_period_excl EXCLUDE USING gist (
        tenant_id WITH =, livemode WITH =, item_id WITH =, period WITH &&
    ),
    ADD CONSTRAINT billing_periods_plan_version_id_fkey FOREIGN KEY (tenant_id, livemode, plan_version_id) REFERENCES plan_versions;
CREATE INDEX billing_periods_subscription_id_idx ON billing_periods (tenant_id, livemode, subscription_id);

ALTER TABLE subscriptions DROP COLUMN plan_version_id, DROP COLUMN quantity;

ALTER TABLE invoices
    ALTER COLUMN subscription_id DROP NOT NULL,
    ADD COLUMN kind text NOT NULL DEFAULT 'subscription',
    ADD COLUMN discount_minor bigint NOT NULL DEFAULT 0,
    ADD COLUMN tax_behavior text NOT NULL DEFAULT 'exclusive',
    ADD COLUMN balance_applied_minor bigint NOT NULL DEFAULT 0, -- taken from the customer's credit balance
    ADD COLUMN credited_minor bigint NOT NULL DEFAULT 0, -- by credit notes, before it was paid
    ADD COLUMN finalize_at timestamptz, -- of a draft in its grace period
    ADD COLUMN voided_at timestamptz,
    ADD COLUMN failed_attempts smallint NOT NULL DEFAULT 0, -- dunning
    ADD COLUMN first_failed_at timestamptz,
    ADD COLUMN memo text NOT NULL DEFAULT '',
    ADD COLUMN parties jsonb NOT NULL DEFAULT '{}', -- seller and customer as they were when it was finalized
    ADD CONSTRAINT invoices_kind_check CHECK (kind IN ('subscription', 'one_off', 'progressive', 'late_usage')),
    ADD CONSTRAINT invoices_subscription_id_check CHECK ((kind = 'one_off') = (subscription_id IS NULL)),
    ADD CONSTRAINT invoices_discount_check CHECK (discount_minor >= 0 OR subtotal_minor < 0),
    ADD CONSTRAINT invoices_tax_behavior_check CHECK (tax_behavior IN ('exclusive', 'inclusive')),
    DROP CONSTRAINT invoices_total_check,
    ADD CONSTRAINT invoices_total_check CHECK (
        total_minor = subtotal_minor - discount_minor + CASE tax_behavior WHEN 'exclusive' THEN tax_minor ELSE 0 END
    ),
    ADD CONSTRAINT invoices_balance_applied_check CHECK (balance_applied_minor >= 0 AND credited_minor >= 0),
    DROP CONSTRAINT invoices_paid_check,
    ADD CONSTRAINT invoices_paid_check CHECK (
        paid_minor >= 0 AND paid_minor + balance_applied_minor + credited_minor <= greatest(total_minor, 0)
    ),
    DROP CONSTRAINT invoices_paid_status_check,
    ADD CONSTRAINT invoices_paid_status_check CHECK (
        (status = 'paid') <= (paid_minor + balance_applied_minor + credited_minor = greatest(total_minor, 0))
    );
CREATE INDEX invoices_subscription_id_idx ON invoices (tenant_id, livemode, subscription_id);

-- What an invoice says never changes once it has a number.
CREATE FUNCTION keep_issued_invoice() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF OLD.status <> 'draft' AND (
        NEW.number, NEW.sequence, NEW.customer_id, NEW.subscription_id, NEW.currency, NEW.period_start, NEW.period_end,
        NEW.subtotal_minor, NEW.discount_minor, NEW.tax_minor, NEW.total_minor, NEW.tax_behavior, NEW.finalized_at
    ) IS DISTINCT FROM (
        OLD.number, OLD.sequence, OLD.customer_id, OLD.subscription_id, OLD.currency, OLD.period_start, OLD.period_end,
        OLD.subtotal_minor, OLD.discount_minor, OLD.tax_minor, OLD.total_minor, OLD.tax_behavior, OLD.finalized_at
    ) THEN
        RAISE EXCEPTION 'invoice % is issued', OLD.number USING ERRCODE = 'check_violation', CONSTRAINT = 'invoices_issued_check';
    END IF;
    RETURN NEW;
END
$$;
CREATE TRIGGER invoices_issued BEFORE UPDATE ON invoices FOR EACH ROW EXECUTE FUNCTION keep_issued_invoice();

ALTER TABLE line_items
    ALTER COLUMN price_id DROP NOT NULL,
    ADD COLUMN kind text NOT NULL DEFAULT 'usage',
    ADD COLUMN subscription_id uuid,
    ADD COLUMN item_id uuid,
    ADD COLUMN discount_minor bigint NOT NULL DEFAULT 0,
    ADD COLUMN revision integer NOT NULL DEFAULT 0, -- of the rating of one stretch: late usage books the difference
    ADD COLUMN share text, -- the part of a full period that is charged, such as 17/31; null: the whole
    ADD COLUMN credited_line_id uuid, -- the charge that this line gives back in part
    ADD CONSTRAINT line_items_kind_check CHECK (
        kind IN ('fee', 'usage', 'adjustment', 'credit', 'minimum', 'trial', 'one_off', 'progressive')
    ),
    ADD CONSTRAINT line_items_price_check CHECK ((price_id IS NULL) = (kind IN ('minimum', 'trial', 'one_off', 'progressive'))),
    ADD CONSTRAINT line_items_credited_check CHECK (credited_line_id IS NULL OR kind IN ('credit', 'progressive')),
    ADD CONSTRAINT line_items_credited_line_id_fkey FOREIGN KEY (tenant_id, livemode, credited_line_id) REFERENCES line_items,
    DROP CONSTRAINT line_items_period_key;
UPDATE line_items l SET subscription_id = i.subscription_id, item_id = i.subscription_id, kind = CASE WHEN p.meter_id IS NULL THEN 'fee' ELSE 'usage' END
FROM invoices i, prices p
WHERE i.tenant_id = l.tenant_id AND i.livemode = l.livemode AND i.id = l.invoice_id
    AND p.tenant_id = l.tenant_id AND p.livemode = l.livemode AND p.id = l.price_id;
-- A usage entry is on at most one line per price, and each correction of a rating is booked once.
CREATE UNIQUE INDEX line_items_usage_key ON line_items (tenant_id, livemode, item_id, price_id, period_start, revision)
    WHERE kind IN ('usage', 'adjustment');
-- A charge is given back at most once.
CREATE UNIQUE INDEX line_items_credited_line_id_key ON line_items (tenant_id, livemode, credited_line_id) WHERE credited_line_id IS NOT NULL;
-- Charges that a change or a cancellation may give back.
CREATE INDEX line_items_fee_idx ON line_items (tenant_id, livemode, item_id, period_end) WHERE kind = 'fee';

-- The lines of a draft are written anew when it is rated again; those of an issued invoice stay.
CREATE FUNCTION keep_issued_lines() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF EXISTS (
        SELECT FROM invoices
        WHERE tenant_id = OLD.tenant_id AND livemode = OLD.livemode AND id = OLD.invoice_id AND status <> 'draft'
    ) THEN
        RAISE EXCEPTION 'the invoice of line item % is issued', OLD.id USING ERRCODE = 'check_violation', CONSTRAINT = 'line_items_issued_check';
    END IF;
    RETURN OLD;
END
$$;
CREATE TRIGGER line_items_issued BEFORE DELETE ON line_items FOR EACH ROW EXECUTE FUNCTION keep_issued_lines();
GRANT DELETE ON line_items TO usance_app;

-- What an invoice took of a customer's discounts; given back when it is voided.
CREATE TABLE discount_uses (
    tenant_id     uuid NOT NULL,
    livemode      boolean NOT NULL,
    invoice_id    uuid NOT NULL,
    discount_id   uuid NOT NULL,
    amount_minor  bigint NOT NULL,
    periods       integer NOT NULL,
    fixed_minor   bigint NOT NULL,
    PRIMARY KEY (tenant_id, livemode, invoice_id, discount_id),
    CONSTRAINT discount_uses_invoice_id_fkey FOREIGN KEY (tenant_id, livemode, invoice_id) REFERENCES invoices,
    CONSTRAINT discount_uses_discount_id_fkey FOREIGN KEY (tenant_id, livemode, discount_id) REFERENCES discounts
);
CALL protect_tenant_table('discount_uses');
GRANT SELECT, INSERT, DELETE ON discount_uses TO usance_app;

-- What the tenant owes a customer: credit notes and negative invoices add, invoices take. The balance is the sum.
CREATE TABLE credit_balance_entries (
    tenant_id       uuid NOT NULL,
    livemode        boolean NOT NULL,
    id              uuid NOT NULL,
    customer_id     uuid NOT NULL,
    currency        text NOT NULL,
    amount_minor    bigint NOT NULL,
    reason          text NOT NULL,
    invoice_id      uuid,
    credit_note_id  uuid,
    created_at      timestamptz NOT NULL, -- tenant time
    PRIMARY KEY (tenant_id, livemode, id),
    CONSTRAINT credit_balance_entries_customer_id_fkey FOREIGN KEY (tenant_id, livemode, customer_id) REFERENCES customers,
    CONSTRAINT credit_balance_entries_invoice_id_fkey FOREIGN KEY (tenant_id, livemode, invoice_id) REFERENCES invoices,
    CONSTRAINT credit_balance_entries_amount_check CHECK (amount_minor <> 0),
    CONSTRAINT credit_balance_entries_reason_check CHECK (
        reason IN ('negative_invoice', 'credit_note', 'applied_to_invoice', 'invoice_voided')
    )
);
CREATE INDEX credit_balance_entries_customer_id_idx ON credit_balance_entries (tenant_id, livemode, customer_id, currency);
CALL protect_tenant_table('credit_balance_entries');
GRANT SELECT, INSERT ON credit_balance_entries TO usance_app;

UPDATE due_work SET kind = 'advance_subscription' WHERE kind = 'close_period';
-- What an open subscription waits for is one thing: its next due time.
DELETE FROM due_work w WHERE kind = 'open_subscription' AND EXISTS (
    SELECT FROM due_work o WHERE o.tenant_id = w.tenant_id AND o.livemode = w.livemode AND o.subject_id = w.subject_id AND o.kind = 'advance_subscription'
);

ALTER TABLE subscriptions FORCE ROW LEVEL SECURITY;
ALTER TABLE billing_periods FORCE ROW LEVEL SECURITY;
ALTER TABLE invoices FORCE ROW LEVEL SECURITY;
ALTER TABLE line_items FORCE ROW LEVEL SECURITY;
ALTER TABLE prices FORCE ROW LEVEL SECURITY;
ALTER TABLE due_work FORCE ROW LEVEL SECURITY;
