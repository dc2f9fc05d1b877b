-- What an invoice costs the ledger: the chain's row, which every batch takes, refers to the tenant already, and limits are
-- looked at for the accounts that may have one.
ALTER TABLE ledger_transfers DROP CONSTRAINT ledger_transfers_tenant_id_fkey;
ALTER TABLE ledger_links DROP CONSTRAINT ledger_links_tenant_id_fkey;
ALTER TABLE ledger_accounts
    ADD CONSTRAINT ledger_accounts_limited_check CHECK (debit_limit IS NULL OR code IN ('wallet', 'quota'));

CREATE OR REPLACE FUNCTION post_transfers() RETURNS trigger LANGUAGE plpgsql AS $$
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
    FROM (
        SELECT DISTINCT tenant_id, livemode, debit_code, debit_owner_id, unit FROM new_transfers
        WHERE debit_code IN ('wallet', 'quota') AND kind IN ('single', 'pending') AND NOT over_limit
    ) n
    JOIN ledger_accounts a ON a.tenant_id = n.tenant_id AND a.livemode = n.livemode AND a.code = n.debit_code
        AND a.owner_id = n.debit_owner_id AND a.unit = n.unit
    WHERE a.debits_posted + a.debits_pending > a.credits_posted + a.debit_limit
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

-- A top-up that is asked for again under its Idempotency-Key is the same one, also if the answer to the first was lost.
ALTER TABLE wallet_top_ups ADD COLUMN reference text;
CREATE UNIQUE INDEX wallet_top_ups_reference_key ON wallet_top_ups (tenant_id, livemode, wallet_id, reference)
    WHERE reference IS NOT NULL;
