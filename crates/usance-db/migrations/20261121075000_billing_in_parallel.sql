-- Several billing runs of one tenant work at the same time. They meet where invoices get their numbers, so that comes
-- last: what belongs to an invoice is written before it, and its reference is checked at the commit.
ALTER TABLE line_items ALTER CONSTRAINT line_items_invoice_id_fkey DEFERRABLE INITIALLY DEFERRED;
ALTER TABLE billing_periods ALTER CONSTRAINT billing_periods_invoice_id_fkey DEFERRABLE INITIALLY DEFERRED;
ALTER TABLE discount_uses ALTER CONSTRAINT discount_uses_invoice_id_fkey DEFERRABLE INITIALLY DEFERRED;
ALTER TABLE credit_balance_entries ALTER CONSTRAINT credit_balance_entries_invoice_id_fkey DEFERRABLE INITIALLY DEFERRED;

-- Row-level security lets a row be written for the tenant of the transaction only, and that one exists. The check would
-- make parallel runs meet at the tenant's row, once for every event.
ALTER TABLE outbox_events DROP CONSTRAINT outbox_events_tenant_id_fkey;
ALTER TABLE due_work DROP CONSTRAINT due_work_tenant_id_fkey;

-- Prices and plan versions are never removed: nobody is granted DELETE. A check for each line and period would cost a sixth
-- of a billing run, and make parallel ones meet at the few rows of the plan.
ALTER TABLE line_items DROP CONSTRAINT line_items_price_id_fkey;
ALTER TABLE billing_periods DROP CONSTRAINT billing_periods_plan_version_id_fkey;
