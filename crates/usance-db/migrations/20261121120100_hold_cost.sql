-- What a hold costs a wallet that everybody uses: finding what has expired must not read what is still open, and the account
-- refers to the tenant already.
CREATE INDEX holds_expiry_idx ON holds (tenant_id, livemode, account_code, owner_id, expires_at) WHERE status = 'open';
DROP INDEX holds_open_idx;
ALTER TABLE holds DROP CONSTRAINT holds_tenant_id_fkey;
