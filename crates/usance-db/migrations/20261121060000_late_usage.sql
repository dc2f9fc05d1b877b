-- Usage that comes after its stretch was settled: what is to be rated again.

CREATE TABLE late_usage (
    tenant_id        uuid NOT NULL,
    livemode         boolean NOT NULL,
    subscription_id  uuid NOT NULL,
    item_id          uuid NOT NULL,
    period_start     timestamptz NOT NULL, -- of the settled stretch
    PRIMARY KEY (tenant_id, livemode, subscription_id, item_id, period_start)
);
CALL protect_tenant_table('late_usage');
CREATE POLICY writer ON late_usage TO usance_writer USING (true) WITH CHECK (true);
GRANT SELECT, DELETE ON late_usage TO usance_app;
GRANT SELECT, INSERT ON late_usage TO usance_writer;

-- The writer plans the look at it.
CREATE POLICY writer ON due_work TO usance_writer USING (true) WITH CHECK (true);
GRANT SELECT, INSERT ON due_work TO usance_writer;

ALTER TABLE unbilled_events
    DROP CONSTRAINT unbilled_events_reason_check,
    ADD CONSTRAINT unbilled_events_reason_check CHECK (
        reason IN ('unknown_meter', 'unknown_customer', 'no_subscription', 'invalid_value')
    ) NOT VALID; -- period_closed was a reason before late usage was rated
