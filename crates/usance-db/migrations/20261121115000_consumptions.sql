-- Which events recorded what was consumed of a feature without a meter, so that a correction of one gives it back. The
-- quantity is in the properties of the event's revisions.
CREATE TABLE consumptions (
    tenant_id    uuid NOT NULL,
    livemode     boolean NOT NULL,
    origin_hash  uuid NOT NULL, -- id_hash of the event as it was sent
    feature_id   uuid NOT NULL,
    PRIMARY KEY (tenant_id, livemode, origin_hash),
    CONSTRAINT consumptions_feature_id_fkey FOREIGN KEY (tenant_id, livemode, feature_id) REFERENCES features
);
CALL protect_tenant_table('consumptions');
CREATE POLICY writer ON consumptions TO usance_writer USING (true) WITH CHECK (true);
GRANT SELECT ON consumptions TO usance_app;
GRANT INSERT ON consumptions TO usance_writer;
