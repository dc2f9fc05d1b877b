-- What a customer sees of itself.
--
-- A fourth role, usance_customer, reads one customer's rows of one tenant and mode, named by app.customer_id beside
-- app.tenant_id and app.livemode. It writes nothing. What a policy below does not give cannot be seen, whatever a
-- statement forgets.

CREATE TABLE customer_tokens (
    tenant_id     uuid NOT NULL REFERENCES tenants,
    livemode      boolean NOT NULL,
    id            uuid NOT NULL,
    customer_id   uuid NOT NULL,
    token_hash    bytea NOT NULL, -- SHA-256 of the token
    created_at    timestamptz NOT NULL,
    expires_at    timestamptz NOT NULL,
    revoked_at    timestamptz,
    PRIMARY KEY (tenant_id, livemode, id),
    CONSTRAINT customer_tokens_token_hash_key UNIQUE (tenant_id, livemode, token_hash),
    CONSTRAINT customer_tokens_customer_id_fkey FOREIGN KEY (tenant_id, livemode, customer_id) REFERENCES customers,
    CONSTRAINT customer_tokens_expires_at_check CHECK (expires_at > created_at)
);
CREATE INDEX customer_tokens_customer_id_idx ON customer_tokens (tenant_id, livemode, customer_id, expires_at);
CALL protect_tenant_table('customer_tokens');
GRANT SELECT, INSERT, DELETE ON customer_tokens TO usance_app;
GRANT UPDATE (revoked_at) ON customer_tokens TO usance_app;

-- Lets customers read the rows of their tenant and mode for which the predicate holds.
CREATE PROCEDURE let_customers_read(target regclass, predicate text)
LANGUAGE plpgsql
AS $$
DECLARE
    has_livemode boolean := EXISTS (
        SELECT FROM pg_attribute WHERE attrelid = target AND attname = 'livemode' AND NOT attisdropped
    );
    own text := 'tenant_id = current_setting(''app.tenant_id'')::uuid AND ' || predicate;
BEGIN
    IF has_livemode THEN
        own := 'livemode = current_setting(''app.livemode'')::boolean AND ' || own;
    END IF;
    EXECUTE format('CREATE POLICY customer ON %s FOR SELECT TO usance_customer USING (%s)', target, own);
    EXECUTE format('GRANT SELECT ON %s TO usance_customer', target);
END
$$;

CALL let_customers_read('customers', 'id = current_setting(''app.customer_id'')::uuid');
-- A draft is nobody's business but the tenant's: it changes until it is final.
CALL let_customers_read('invoices', 'customer_id = current_setting(''app.customer_id'')::uuid AND status <> ''draft''');
CALL let_customers_read('line_items', 'invoice_id IN (SELECT id FROM invoices)');
CALL let_customers_read('invoice_corrections', 'invoice_id IN (SELECT id FROM invoices)');

DO $$
DECLARE
    target text;
BEGIN
    FOREACH target IN ARRAY ARRAY['subscriptions', 'payment_methods', 'payments', 'refunds', 'credit_notes', 'discounts',
        'credit_balance_entries', 'wallets']
    LOOP
        CALL let_customers_read(target, 'customer_id = current_setting(''app.customer_id'')::uuid');
    END LOOP;
    FOREACH target IN ARRAY ARRAY['subscription_items', 'subscription_entitlements', 'billing_periods']
    LOOP
        CALL let_customers_read(target, 'subscription_id IN (SELECT id FROM subscriptions)');
    END LOOP;
    CALL let_customers_read('credit_note_lines', 'credit_note_id IN (SELECT id FROM credit_notes)');
    FOREACH target IN ARRAY ARRAY['wallet_entries', 'wallet_grants']
    LOOP
        CALL let_customers_read(target, 'wallet_id IN (SELECT id FROM wallets)');
    END LOOP;
    CALL let_customers_read('ledger_accounts', 'code = ''wallet'' AND owner_id IN (SELECT id FROM wallets)');
    CALL let_customers_read('holds', 'account_code = ''wallet'' AND owner_id IN (SELECT id FROM wallets)');
    CALL let_customers_read('coupons', 'id IN (SELECT coupon_id FROM discounts)');
    CALL let_customers_read('coupon_plans', 'coupon_id IN (SELECT id FROM coupons)');
    -- What a tenant sells is no secret of one customer.
    FOREACH target IN ARRAY ARRAY['plans', 'plan_versions', 'plan_entitlements', 'prices', 'features', 'meters', 'test_clocks']
    LOOP
        CALL let_customers_read(target, 'true');
    END LOOP;
END
$$;

ALTER TABLE audit_entries
    DROP CONSTRAINT audit_entries_actor_type_check,
    ADD CONSTRAINT audit_entries_actor_type_check CHECK (actor_type IN ('member', 'api_key', 'customer', 'system'));
