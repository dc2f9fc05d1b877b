-- Wallets: prepaid money of a customer. The balance is that of the wallet's ledger account, which also keeps the debt
-- limit and what holds reserve. Whoever changes a wallet locks its row here first.

CREATE TABLE wallets (
    tenant_id             uuid NOT NULL,
    livemode              boolean NOT NULL,
    id                    uuid NOT NULL,
    customer_id           uuid NOT NULL,
    currency              text NOT NULL,
    low_balance_minor     bigint, -- below it the wallet is announced as low
    recharge_below_minor  bigint, -- below it the wallet is topped up by itself
    recharge_minor        bigint,
    recharge_month_minor  bigint, -- at most that much by itself in a calendar month, UTC; null: any amount
    recharge_armed        boolean NOT NULL DEFAULT true, -- the next crossing of the threshold tops up
    limit_announced       boolean NOT NULL DEFAULT false, -- since the balance was last raised
    usage_exact           numeric(28, 12) NOT NULL DEFAULT 0, -- major units
    usage_debited_minor   bigint NOT NULL DEFAULT 0,
    last_entry            bigint NOT NULL DEFAULT 0,
    created_at            timestamptz NOT NULL, -- tenant time
    updated_at            timestamptz NOT NULL,
    PRIMARY KEY (tenant_id, livemode, id),
    CONSTRAINT wallets_customer_key UNIQUE (tenant_id, livemode, customer_id, currency),
    CONSTRAINT wallets_customer_id_fkey FOREIGN KEY (tenant_id, livemode, customer_id) REFERENCES customers,
    CONSTRAINT wallets_currency_check CHECK (currency ~ '^[A-Z]{3}$'),
    CONSTRAINT wallets_recharge_check CHECK (
        (recharge_below_minor IS NULL) = (recharge_minor IS NULL)
        AND (recharge_month_minor IS NULL OR recharge_minor IS NOT NULL)
        AND recharge_minor > 0 AND recharge_month_minor > 0
    ),
    CONSTRAINT wallets_usage_check CHECK (usage_exact >= 0 AND usage_debited_minor >= 0)
);
CALL protect_tenant_table('wallets');
GRANT SELECT, INSERT, UPDATE ON wallets TO usance_app;

CREATE TABLE wallet_grants (
    tenant_id     uuid NOT NULL,
    livemode      boolean NOT NULL,
    id            uuid NOT NULL,
    wallet_id     uuid NOT NULL,
    kind          text NOT NULL,
    amount_minor  bigint NOT NULL,
    left_minor    bigint NOT NULL,
    priority      smallint NOT NULL, -- lower is used first
    description   text NOT NULL,
    expires_at    timestamptz,
    created_at    timestamptz NOT NULL, -- tenant time
    PRIMARY KEY (tenant_id, livemode, id),
    CONSTRAINT wallet_grants_wallet_id_fkey FOREIGN KEY (tenant_id, livemode, wallet_id) REFERENCES wallets,
    CONSTRAINT wallet_grants_kind_check CHECK (kind IN ('promotional', 'paid')),
    CONSTRAINT wallet_grants_amount_check CHECK (amount_minor > 0 AND left_minor BETWEEN 0 AND amount_minor),
    CONSTRAINT wallet_grants_priority_check CHECK (priority BETWEEN 0 AND 100)
);
CREATE INDEX wallet_grants_left_idx ON wallet_grants (tenant_id, livemode, wallet_id) WHERE left_minor > 0;
CALL protect_tenant_table('wallet_grants');
GRANT SELECT, INSERT ON wallet_grants TO usance_app;
GRANT UPDATE (left_minor) ON wallet_grants TO usance_app;

-- Every change of a balance; never changed itself.
CREATE TABLE wallet_entries (
    tenant_id            uuid NOT NULL,
    livemode             boolean NOT NULL,
    id                   uuid NOT NULL,
    wallet_id            uuid NOT NULL,
    sequence             bigint NOT NULL, -- of the wallet, from 1
    type                 text NOT NULL,
    amount_minor         bigint NOT NULL, -- negative of what is taken out
    balance_after_minor  bigint NOT NULL,
    over_limit           boolean NOT NULL, -- it had happened already, and no limit could stop it
    reference            text, -- the tenant's own name for a debit
    subject_id           uuid, -- the grant, top-up or hold
    description          text NOT NULL,
    created_at           timestamptz NOT NULL, -- tenant time
    PRIMARY KEY (tenant_id, livemode, id),
    CONSTRAINT wallet_entries_sequence_key UNIQUE (tenant_id, livemode, wallet_id, sequence),
    CONSTRAINT wallet_entries_wallet_id_fkey FOREIGN KEY (tenant_id, livemode, wallet_id) REFERENCES wallets,
    CONSTRAINT wallet_entries_type_check CHECK (type IN ('grant', 'top_up', 'debit', 'usage', 'hold', 'expiry')),
    CONSTRAINT wallet_entries_amount_check CHECK (
        CASE WHEN type IN ('grant', 'top_up') THEN amount_minor > 0 ELSE amount_minor < 0 END
    )
);
CALL protect_tenant_table('wallet_entries');
GRANT SELECT, INSERT ON wallet_entries TO usance_app;

-- What became of each debit or hold that has a name, so that it happens once: also its refusal stays what it was.
CREATE TABLE wallet_operations (
    tenant_id   uuid NOT NULL,
    livemode    boolean NOT NULL,
    wallet_id   uuid NOT NULL,
    reference   text NOT NULL,
    request     jsonb NOT NULL,
    outcome     jsonb NOT NULL,
    created_at  timestamptz NOT NULL, -- tenant time
    PRIMARY KEY (tenant_id, livemode, wallet_id, reference),
    CONSTRAINT wallet_operations_wallet_id_fkey FOREIGN KEY (tenant_id, livemode, wallet_id) REFERENCES wallets
);
CALL protect_tenant_table('wallet_operations');
GRANT SELECT, INSERT ON wallet_operations TO usance_app;

-- A hold reserves an amount of any account that has a limit.
CREATE TABLE holds (
    tenant_id      uuid NOT NULL REFERENCES tenants,
    livemode       boolean NOT NULL,
    id             uuid NOT NULL,
    account_code   text NOT NULL,
    owner_id       uuid NOT NULL,
    unit           text NOT NULL,
    amount         bigint NOT NULL,
    status         text NOT NULL,
    settled        bigint NOT NULL DEFAULT 0,
    description    text NOT NULL,
    created_at     timestamptz NOT NULL, -- tenant time, as the others
    expires_at     timestamptz NOT NULL,
    resolved_at    timestamptz,
    PRIMARY KEY (tenant_id, livemode, id),
    CONSTRAINT holds_account_fkey FOREIGN KEY (tenant_id, livemode, account_code, owner_id, unit) REFERENCES ledger_accounts,
    CONSTRAINT holds_status_check CHECK (status IN ('open', 'settled', 'released', 'expired')),
    CONSTRAINT holds_amount_check CHECK (amount > 0 AND settled BETWEEN 0 AND amount),
    CONSTRAINT holds_settled_check CHECK (settled = 0 OR status = 'settled'),
    CONSTRAINT holds_resolved_check CHECK ((status = 'open') = (resolved_at IS NULL))
);
CREATE INDEX holds_open_idx ON holds (tenant_id, livemode, account_code, owner_id, unit, expires_at) WHERE status = 'open';
CALL protect_tenant_table('holds');
GRANT SELECT, INSERT ON holds TO usance_app;
GRANT UPDATE (status, settled, expires_at, resolved_at) ON holds TO usance_app;

-- What is resolved stays resolved.
CREATE FUNCTION keep_resolved_hold() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'hold % is %', OLD.id, OLD.status USING ERRCODE = 'check_violation', CONSTRAINT = 'holds_open_check';
END
$$;
CREATE TRIGGER holds_resolved BEFORE UPDATE ON holds FOR EACH ROW WHEN (OLD.status <> 'open')
    EXECUTE FUNCTION keep_resolved_hold();

CREATE TABLE wallet_top_ups (
    tenant_id          uuid NOT NULL,
    livemode           boolean NOT NULL,
    id                 uuid NOT NULL, -- also the idempotency key at the gateway
    wallet_id          uuid NOT NULL,
    payment_method_id  uuid NOT NULL,
    gateway            text NOT NULL,
    automatic          boolean NOT NULL,
    status             text NOT NULL,
    amount_minor       bigint NOT NULL,
    currency           text NOT NULL,
    gateway_reference  text,
    failure_code       text,
    created_at         timestamptz NOT NULL, -- tenant time
    sent_at            timestamptz, -- when the gateway was last asked, UTC
    updated_at         timestamptz NOT NULL, -- UTC
    PRIMARY KEY (tenant_id, livemode, id),
    CONSTRAINT wallet_top_ups_wallet_id_fkey FOREIGN KEY (tenant_id, livemode, wallet_id) REFERENCES wallets,
    CONSTRAINT wallet_top_ups_payment_method_id_fkey FOREIGN KEY (tenant_id, livemode, payment_method_id) REFERENCES payment_methods,
    CONSTRAINT wallet_top_ups_status_check CHECK (status IN ('processing', 'succeeded', 'failed', 'unknown')),
    CONSTRAINT wallet_top_ups_amount_check CHECK (amount_minor > 0)
);
CREATE INDEX wallet_top_ups_wallet_id_idx ON wallet_top_ups (tenant_id, livemode, wallet_id, id);
-- However many debits cross the threshold at once, one top-up answers.
CREATE UNIQUE INDEX wallet_top_ups_automatic_key ON wallet_top_ups (tenant_id, livemode, wallet_id)
    WHERE automatic AND status IN ('processing', 'unknown');
CALL protect_tenant_table('wallet_top_ups');
GRANT SELECT, INSERT ON wallet_top_ups TO usance_app;
GRANT UPDATE (status, gateway_reference, failure_code, sent_at, updated_at) ON wallet_top_ups TO usance_app;
