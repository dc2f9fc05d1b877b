-- Credit notes: what of an issued invoice is taken back. Refunds: what of a payment is paid back.

CREATE TABLE credit_note_sequences (
    tenant_id  uuid NOT NULL REFERENCES tenants,
    livemode   boolean NOT NULL,
    last       bigint NOT NULL,
    PRIMARY KEY (tenant_id, livemode)
);
CALL protect_tenant_table('credit_note_sequences');
GRANT SELECT, INSERT, UPDATE ON credit_note_sequences TO usance_app;

-- Written at once and never changed: nobody is granted UPDATE or DELETE.
CREATE TABLE credit_notes (
    tenant_id       uuid NOT NULL,
    livemode        boolean NOT NULL,
    id              uuid NOT NULL,
    invoice_id      uuid NOT NULL,
    customer_id     uuid NOT NULL,
    sequence        bigint NOT NULL, -- gapless per tenant and mode
    number          text NOT NULL,
    reason          text NOT NULL,
    memo            text NOT NULL,
    currency        text NOT NULL,
    subtotal_minor  bigint NOT NULL,
    tax_minor       bigint NOT NULL,
    total_minor     bigint NOT NULL,
    reduced_minor   bigint NOT NULL, -- taken off what was due
    refunded_minor  bigint NOT NULL, -- asked back from the gateway; what it refuses goes to the balance later
    balance_minor   bigint NOT NULL, -- put to the customer's credit balance
    created_at      timestamptz NOT NULL, -- tenant time
    PRIMARY KEY (tenant_id, livemode, id),
    CONSTRAINT credit_notes_sequence_key UNIQUE (tenant_id, livemode, sequence),
    CONSTRAINT credit_notes_number_key UNIQUE (tenant_id, livemode, number),
    CONSTRAINT credit_notes_invoice_id_fkey FOREIGN KEY (tenant_id, livemode, invoice_id) REFERENCES invoices,
    CONSTRAINT credit_notes_customer_id_fkey FOREIGN KEY (tenant_id, livemode, customer_id) REFERENCES customers,
    CONSTRAINT credit_notes_reason_check CHECK (
        reason IN ('duplicate', 'fraudulent', 'order_change', 'product_unsatisfactory', 'other')
    ),
    CONSTRAINT credit_notes_total_check CHECK (
        total_minor > 0 AND total_minor IN (subtotal_minor, subtotal_minor + tax_minor)
    ),
    CONSTRAINT credit_notes_parts_check CHECK (
        least(reduced_minor, refunded_minor, balance_minor) >= 0
        AND reduced_minor + refunded_minor + balance_minor = total_minor
    )
);
CREATE INDEX credit_notes_invoice_id_idx ON credit_notes (tenant_id, livemode, invoice_id);
CREATE INDEX credit_notes_customer_id_idx ON credit_notes (tenant_id, livemode, customer_id, id);
CALL protect_tenant_table('credit_notes');
GRANT SELECT, INSERT ON credit_notes TO usance_app;

CREATE TABLE credit_note_lines (
    tenant_id       uuid NOT NULL,
    livemode        boolean NOT NULL,
    credit_note_id  uuid NOT NULL,
    line_item_id    uuid NOT NULL,
    amount_minor    bigint NOT NULL, -- of the line after its discount
    tax_minor       bigint NOT NULL,
    taxes           jsonb NOT NULL, -- name, percent and amount per rate, as on the line; they sum to tax_minor
    PRIMARY KEY (tenant_id, livemode, credit_note_id, line_item_id),
    CONSTRAINT credit_note_lines_credit_note_id_fkey FOREIGN KEY (tenant_id, livemode, credit_note_id) REFERENCES credit_notes,
    CONSTRAINT credit_note_lines_line_item_id_fkey FOREIGN KEY (tenant_id, livemode, line_item_id) REFERENCES line_items,
    CONSTRAINT credit_note_lines_amount_check CHECK (amount_minor <> 0)
);
CREATE INDEX credit_note_lines_line_item_id_idx ON credit_note_lines (tenant_id, livemode, line_item_id);
CALL protect_tenant_table('credit_note_lines');
GRANT SELECT, INSERT ON credit_note_lines TO usance_app;

CREATE TABLE refunds (
    tenant_id          uuid NOT NULL,
    livemode           boolean NOT NULL,
    id                 uuid NOT NULL, -- also the idempotency key at the gateway
    payment_id         uuid NOT NULL,
    customer_id        uuid NOT NULL,
    credit_note_id     uuid, -- absent of a refund that takes nothing off the invoice
    gateway            text NOT NULL,
    currency           text NOT NULL,
    amount_minor       bigint NOT NULL,
    status             text NOT NULL,
    reason             text NOT NULL,
    gateway_reference  text,
    failure_code       text,
    created_at         timestamptz NOT NULL, -- tenant time
    sent_at            timestamptz, -- when the gateway was last asked for it, UTC
    updated_at         timestamptz NOT NULL, -- UTC
    PRIMARY KEY (tenant_id, livemode, id),
    CONSTRAINT refunds_credit_note_id_key UNIQUE (tenant_id, livemode, credit_note_id),
    CONSTRAINT refunds_payment_id_fkey FOREIGN KEY (tenant_id, livemode, payment_id) REFERENCES payments,
    CONSTRAINT refunds_customer_id_fkey FOREIGN KEY (tenant_id, livemode, customer_id) REFERENCES customers,
    CONSTRAINT refunds_credit_note_id_fkey FOREIGN KEY (tenant_id, livemode, credit_note_id) REFERENCES credit_notes,
    CONSTRAINT refunds_status_check CHECK (status IN ('processing', 'succeeded', 'failed', 'unknown')),
    CONSTRAINT refunds_reason_check CHECK (
        reason IN ('duplicate', 'fraudulent', 'order_change', 'product_unsatisfactory', 'other')
    ),
    CONSTRAINT refunds_amount_check CHECK (amount_minor > 0)
);
CREATE INDEX refunds_payment_id_idx ON refunds (tenant_id, livemode, payment_id);
CREATE INDEX refunds_customer_id_idx ON refunds (tenant_id, livemode, customer_id, id);
CALL protect_tenant_table('refunds');
GRANT SELECT, INSERT ON refunds TO usance_app;
GRANT UPDATE (status, gateway_reference, failure_code, sent_at, updated_at) ON refunds TO usance_app;

ALTER TABLE credit_balance_entries
    ADD CONSTRAINT credit_balance_entries_credit_note_id_fkey
        FOREIGN KEY (tenant_id, livemode, credit_note_id) REFERENCES credit_notes,
    DROP CONSTRAINT credit_balance_entries_reason_check,
    ADD CONSTRAINT credit_balance_entries_reason_check CHECK (
        reason IN ('negative_invoice', 'credit_note', 'refund_failed', 'applied_to_invoice', 'invoice_voided')
    ),
    ADD CONSTRAINT credit_balance_entries_credit_note_check CHECK (
        (credit_note_id IS NOT NULL) = (reason IN ('credit_note', 'refund_failed'))
    );
CREATE INDEX credit_balance_entries_credited_idx ON credit_balance_entries (tenant_id, livemode, invoice_id)
    WHERE credit_note_id IS NOT NULL;

-- The credit notes of an issued invoice never exceed it, whoever writes at the same time.
CREATE FUNCTION cap_credit_notes() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    billed invoices%ROWTYPE;
    credited numeric;
BEGIN
    SELECT * INTO billed FROM invoices
    WHERE tenant_id = NEW.tenant_id AND livemode = NEW.livemode AND id = NEW.invoice_id
    FOR UPDATE;
    SELECT sum(total_minor) INTO credited FROM credit_notes
    WHERE tenant_id = NEW.tenant_id AND livemode = NEW.livemode AND invoice_id = NEW.invoice_id;
    IF billed.status IN ('draft', 'void') OR billed.customer_id <> NEW.customer_id OR billed.currency <> NEW.currency
        OR credited > billed.total_minor
    THEN
        RAISE EXCEPTION 'invoice % cannot be credited by %', NEW.invoice_id, NEW.total_minor
            USING ERRCODE = 'check_violation', CONSTRAINT = 'credit_notes_invoice_check';
    END IF;
    RETURN NULL;
END
$$;
CREATE TRIGGER credit_notes_capped AFTER INSERT ON credit_notes FOR EACH ROW EXECUTE FUNCTION cap_credit_notes();

-- Nor does any of their lines exceed the line that it credits. A negative line is given back negatively.
CREATE FUNCTION cap_credit_note_lines() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    billed record;
    credited record;
BEGIN
    SELECT l.amount_minor - l.discount_minor AS amount, l.tax_minor AS tax INTO billed
    FROM credit_notes n
    JOIN invoices i ON i.tenant_id = n.tenant_id AND i.livemode = n.livemode AND i.id = n.invoice_id
    JOIN line_items l ON l.tenant_id = n.tenant_id AND l.livemode = n.livemode AND l.invoice_id = i.id
    WHERE n.tenant_id = NEW.tenant_id AND n.livemode = NEW.livemode AND n.id = NEW.credit_note_id AND l.id = NEW.line_item_id
    FOR UPDATE OF i;
    SELECT sum(amount_minor) AS amount, sum(tax_minor) AS tax INTO credited FROM credit_note_lines
    WHERE tenant_id = NEW.tenant_id AND livemode = NEW.livemode AND line_item_id = NEW.line_item_id;
    IF billed IS NULL
        OR credited.amount NOT BETWEEN least(billed.amount, 0) AND greatest(billed.amount, 0)
        OR credited.tax NOT BETWEEN least(billed.tax, 0) AND greatest(billed.tax, 0)
    THEN
        RAISE EXCEPTION 'line item % cannot be credited by % and tax %', NEW.line_item_id, NEW.amount_minor, NEW.tax_minor
            USING ERRCODE = 'check_violation', CONSTRAINT = 'credit_note_lines_line_item_check';
    END IF;
    RETURN NULL;
END
$$;
CREATE TRIGGER credit_note_lines_capped AFTER INSERT ON credit_note_lines
    FOR EACH ROW EXECUTE FUNCTION cap_credit_note_lines();

-- The refunds of a payment that succeeded never exceed it, except for those that failed.
CREATE FUNCTION cap_refunds() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    paid payments%ROWTYPE;
    refunded numeric;
BEGIN
    SELECT * INTO paid FROM payments
    WHERE tenant_id = NEW.tenant_id AND livemode = NEW.livemode AND id = NEW.payment_id
    FOR UPDATE;
    SELECT sum(amount_minor) INTO refunded FROM refunds
    WHERE tenant_id = NEW.tenant_id AND livemode = NEW.livemode AND payment_id = NEW.payment_id AND status <> 'failed';
    IF paid.status <> 'succeeded' OR paid.currency <> NEW.currency OR refunded > paid.amount_minor THEN
        RAISE EXCEPTION 'payment % cannot be refunded by %', NEW.payment_id, NEW.amount_minor
            USING ERRCODE = 'check_violation', CONSTRAINT = 'refunds_payment_check';
    END IF;
    RETURN NULL;
END
$$;
CREATE TRIGGER refunds_capped AFTER INSERT OR UPDATE OF status ON refunds
    FOR EACH ROW WHEN (NEW.status <> 'failed') EXECUTE FUNCTION cap_refunds();

-- When all of a credit note is written, its lines add up to it and the gateway is asked for what it refunds.
CREATE FUNCTION check_credit_note() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    lines record;
    refunded bigint;
BEGIN
    SELECT sum(amount_minor) AS amount, sum(tax_minor) AS tax INTO lines FROM credit_note_lines
    WHERE tenant_id = NEW.tenant_id AND livemode = NEW.livemode AND credit_note_id = NEW.id;
    SELECT coalesce(sum(amount_minor), 0) INTO refunded FROM refunds
    WHERE tenant_id = NEW.tenant_id AND livemode = NEW.livemode AND credit_note_id = NEW.id;
    IF (lines.amount, lines.tax, refunded) IS DISTINCT FROM (NEW.subtotal_minor, NEW.tax_minor, NEW.refunded_minor) THEN
        RAISE EXCEPTION 'credit note % does not add up', NEW.number
            USING ERRCODE = 'check_violation', CONSTRAINT = 'credit_notes_lines_check';
    END IF;
    RETURN NULL;
END
$$;
CREATE CONSTRAINT TRIGGER credit_notes_complete AFTER INSERT ON credit_notes
    DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION check_credit_note();
