-- The ledger: double entry in minor units. A transfer is one row with both legs, so that it always balances; accounts count
-- what went through them; every commit that transfers anything adds one link to the hash chain of its tenant and mode.

CREATE TABLE ledger_accounts (
    tenant_id        uuid NOT NULL REFERENCES tenants,
    livemode         boolean NOT NULL,
    code             text NOT NULL, -- of the chart of accounts
    owner_id         uuid NOT NULL, -- the customer or wallet; the tenant for its own accounts
    unit             text NOT NULL, -- a currency, in minor units; or the id of a feature, in millionths of its unit
    debits_pending   numeric(38) NOT NULL DEFAULT 0,
    debits_posted    numeric(38) NOT NULL DEFAULT 0,
    credits_pending  numeric(38) NOT NULL DEFAULT 0,
    credits_posted   numeric(38) NOT NULL DEFAULT 0,
    debit_limit      bigint, -- how far debits, pending ones included, may exceed posted credits; null: any distance
    PRIMARY KEY (tenant_id, livemode, code, owner_id, unit),
    CONSTRAINT ledger_accounts_code_check CHECK (code IN (
        'receivable', 'revenue', 'tax_payable', 'credit_balance', 'clearing', 'unapplied', 'refunds_payable', 'refunds',
        'write_off', 'wallet', 'promotion', 'breakage', 'quota', 'consumption'
    )),
    CONSTRAINT ledger_accounts_unit_check CHECK (unit ~ '^([A-Z]{3}|feat_[0-9a-z]{26})$'),
    CONSTRAINT ledger_accounts_counters_check CHECK (
        least(debits_pending, debits_posted, credits_pending, credits_posted) >= 0
    ),
    CONSTRAINT ledger_accounts_debit_limit_check CHECK (debit_limit >= 0)
) WITH (fillfactor = 70); -- rows are updated often and in place
CALL protect_tenant_table('ledger_accounts');
GRANT SELECT, INSERT, UPDATE ON ledger_accounts TO usance_app;

-- The end of each chain. Whoever adds a link holds this row until its commit: it is taken at the very end of a transaction.
CREATE TABLE ledger_chains (
    tenant_id  uuid NOT NULL REFERENCES tenants,
    livemode   boolean NOT NULL,
    last_link  bigint NOT NULL,
    last_hash  bytea NOT NULL,
    PRIMARY KEY (tenant_id, livemode),
    CONSTRAINT ledger_chains_last_hash_check CHECK (length(last_hash) = 32)
) WITH (fillfactor = 50);
CALL protect_tenant_table('ledger_chains');
GRANT SELECT, INSERT, UPDATE ON ledger_chains TO usance_app;

-- One for each commit: SHA-256 of the previous hash, the link's number and the digest of its transfers.
CREATE TABLE ledger_links (
    tenant_id      uuid NOT NULL REFERENCES tenants,
    livemode       boolean NOT NULL,
    link           bigint NOT NULL, -- from 1, without a gap
    transfers      integer NOT NULL,
    previous_hash  bytea NOT NULL,
    hash           bytea NOT NULL,
    PRIMARY KEY (tenant_id, livemode, link),
    CONSTRAINT ledger_links_link_check CHECK (link > 0 AND transfers > 0),
    CONSTRAINT ledger_links_hash_check CHECK (length(previous_hash) = 32 AND length(hash) = 32)
);
CALL protect_tenant_table('ledger_links');
GRANT SELECT, INSERT ON ledger_links TO usance_app;

-- What happened for one reason to one source happens once: the two are the key.
CREATE TABLE ledger_transfers (
    tenant_id        uuid NOT NULL REFERENCES tenants,
    livemode         boolean NOT NULL,
    source_id        uuid NOT NULL, -- the invoice, payment, refund, credit note, entry or hold that it posts
    reason           text NOT NULL,
    link             bigint NOT NULL,
    kind             text NOT NULL,
    debit_code       text NOT NULL,
    debit_owner_id   uuid NOT NULL,
    credit_code      text NOT NULL,
    credit_owner_id  uuid NOT NULL,
    unit             text NOT NULL,
    amount           bigint NOT NULL, -- posted or, of a pending one, held
    pending_id       uuid, -- the source of the pending transfer that this one resolves
    pending_amount   bigint, -- what that one held
    invoice_id       uuid,
    over_limit       boolean NOT NULL DEFAULT false, -- it happened already, so that no limit could stop it
    posted_at        timestamptz NOT NULL, -- tenant time
    PRIMARY KEY (tenant_id, livemode, source_id, reason),
    CONSTRAINT ledger_transfers_kind_check CHECK (kind IN ('single', 'pending', 'post', 'void', 'expire')),
    CONSTRAINT ledger_transfers_legs_check CHECK ((debit_code, debit_owner_id) <> (credit_code, credit_owner_id)),
    CONSTRAINT ledger_transfers_amount_check CHECK (amount > 0),
    CONSTRAINT ledger_transfers_pending_check CHECK (
        CASE
            WHEN kind IN ('single', 'pending') THEN num_nonnulls(pending_id, pending_amount) = 0
            WHEN kind = 'post' THEN num_nulls(pending_id, pending_amount) = 0 AND amount <= pending_amount
            ELSE num_nulls(pending_id, pending_amount) = 0 AND amount = pending_amount
        END
    )
);
-- A pending transfer is resolved at most once.
CREATE UNIQUE INDEX ledger_transfers_pending_id_key ON ledger_transfers (tenant_id, livemode, pending_id)
    WHERE pending_id IS NOT NULL;
CALL protect_tenant_table('ledger_transfers');
GRANT SELECT, INSERT ON ledger_transfers TO usance_app;

-- What the hash of a transfer covers: every column of it.
CREATE FUNCTION ledger_transfer_text(t ledger_transfers) RETURNS text LANGUAGE sql STABLE AS $$
    SELECT concat(
        t.source_id, '|', t.reason, '|', t.kind, '|', t.debit_code, '|', t.debit_owner_id, '|', t.credit_code, '|',
        t.credit_owner_id, '|', t.unit, '|', t.amount, '|', t.pending_id, '|', t.pending_amount, '|', t.invoice_id, '|',
        t.over_limit, '|', (extract(epoch FROM t.posted_at) * 1000000)::bigint
    )
$$;
CREATE FUNCTION ledger_hash(previous_hash bytea, link bigint, texts text) RETURNS bytea LANGUAGE sql IMMUTABLE AS $$
    SELECT sha256(previous_hash || int8send(link) || sha256(convert_to(texts, 'UTF8')))
$$;

-- Whatever inserts transfers: accounts count them, limits hold, and the chain goes on.
CREATE FUNCTION post_transfers() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    batch record;
    chain ledger_chains%ROWTYPE;
    next_hash bytea;
    exceeded record;
BEGIN
    SELECT min(link) AS link, max(link) AS last_link, count(*) AS transfers,
        string_agg(ledger_transfer_text(n::ledger_transfers), E'\n' ORDER BY source_id, reason COLLATE "C") AS texts
    INTO batch FROM new_transfers n;
    IF batch.transfers = 0 THEN
        RETURN NULL;
    END IF;
    SELECT c.* INTO chain FROM ledger_chains c
    WHERE (tenant_id, livemode) = (SELECT tenant_id, livemode FROM new_transfers LIMIT 1);
    IF (batch.link, batch.last_link) IS DISTINCT FROM (chain.last_link + 1, chain.last_link + 1) THEN
        RAISE EXCEPTION 'transfers of link % do not follow link %', batch.link, chain.last_link
            USING ERRCODE = 'check_violation', CONSTRAINT = 'ledger_transfers_link_check';
    END IF;

    INSERT INTO ledger_accounts (tenant_id, livemode, code, owner_id, unit)
    SELECT tenant_id, livemode, debit_code, debit_owner_id, unit FROM new_transfers
    UNION
    SELECT tenant_id, livemode, credit_code, credit_owner_id, unit FROM new_transfers
    ON CONFLICT DO NOTHING;
    UPDATE ledger_accounts a
    SET debits_pending = a.debits_pending + sums.debits_pending, debits_posted = a.debits_posted + sums.debits_posted,
        credits_pending = a.credits_pending + sums.credits_pending, credits_posted = a.credits_posted + sums.credits_posted
    FROM (
        SELECT tenant_id, livemode, code, owner_id, unit,
            sum(CASE WHEN debit THEN pending ELSE 0 END) AS debits_pending,
            sum(CASE WHEN debit THEN posted ELSE 0 END) AS debits_posted,
            sum(CASE WHEN debit THEN 0 ELSE pending END) AS credits_pending,
            sum(CASE WHEN debit THEN 0 ELSE posted END) AS credits_posted
        FROM (
            SELECT n.tenant_id, n.livemode, leg.debit, leg.code, leg.owner_id, n.unit,
                CASE kind WHEN 'single' THEN 0 WHEN 'pending' THEN amount ELSE -pending_amount END AS pending,
                CASE WHEN kind IN ('single', 'post') THEN amount ELSE 0 END AS posted
            FROM new_transfers n,
                LATERAL (VALUES (true, debit_code, debit_owner_id), (false, credit_code, credit_owner_id)) AS leg (debit, code, owner_id)
        ) legs
        GROUP BY tenant_id, livemode, code, owner_id, unit
    ) sums
    WHERE a.tenant_id = sums.tenant_id AND a.livemode = sums.livemode AND a.code = sums.code
        AND a.owner_id = sums.owner_id AND a.unit = sums.unit;

    SELECT a.code, a.owner_id INTO exceeded
    FROM ledger_accounts a
    JOIN new_transfers n ON n.tenant_id = a.tenant_id AND n.livemode = a.livemode AND n.debit_code = a.code
        AND n.debit_owner_id = a.owner_id AND n.unit = a.unit
    WHERE a.debit_limit IS NOT NULL AND n.kind IN ('single', 'pending') AND NOT n.over_limit
        AND a.debits_posted + a.debits_pending > a.credits_posted + a.debit_limit
    LIMIT 1;
    IF FOUND THEN
        RAISE EXCEPTION 'the account % of % would exceed its limit', exceeded.code, exceeded.owner_id
            USING ERRCODE = 'check_violation', CONSTRAINT = 'ledger_accounts_limit_check';
    END IF;

    next_hash := ledger_hash(chain.last_hash, batch.link, batch.texts);
    INSERT INTO ledger_links (tenant_id, livemode, link, transfers, previous_hash, hash)
    VALUES (chain.tenant_id, chain.livemode, batch.link, batch.transfers, chain.last_hash, next_hash);
    UPDATE ledger_chains SET last_link = batch.link, last_hash = next_hash
    WHERE tenant_id = chain.tenant_id AND livemode = chain.livemode;
    RETURN NULL;
END
$$;
CREATE TRIGGER ledger_transfers_posted AFTER INSERT ON ledger_transfers
    REFERENCING NEW TABLE AS new_transfers FOR EACH STATEMENT EXECUTE FUNCTION post_transfers();

-- Nobody is granted UPDATE or DELETE; the owner of the tables is stopped too.
CREATE FUNCTION keep_ledger() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION '% is append-only', TG_TABLE_NAME USING ERRCODE = 'check_violation', CONSTRAINT = 'ledger_append_only_check';
END
$$;
CREATE TRIGGER ledger_transfers_kept BEFORE UPDATE OR DELETE OR TRUNCATE ON ledger_transfers
    FOR EACH STATEMENT EXECUTE FUNCTION keep_ledger();
CREATE TRIGGER ledger_links_kept BEFORE UPDATE OR DELETE OR TRUNCATE ON ledger_links
    FOR EACH STATEMENT EXECUTE FUNCTION keep_ledger();
