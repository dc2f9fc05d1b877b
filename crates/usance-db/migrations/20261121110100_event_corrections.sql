-- What was said about events afterwards. An event is never changed: a correction takes one of its revisions out of the
-- count or brings one back, and an amendment is a further event that counts in the place of another one.

-- The revisions of each event that was ever corrected; without a row an event has one revision, and it counts.
CREATE TABLE event_revisions (
    tenant_id    uuid NOT NULL,
    livemode     boolean NOT NULL,
    origin_hash  uuid NOT NULL, -- id_hash of the event as it was sent
    revision     integer NOT NULL, -- 0 is the event as it was sent
    id_hash      uuid NOT NULL,
    customer_id  uuid NOT NULL,
    occurred_at  timestamptz NOT NULL,
    voided_at    timestamptz, -- null while it counts
    PRIMARY KEY (tenant_id, livemode, origin_hash, revision),
    CONSTRAINT event_revisions_revision_check CHECK (revision >= 0)
);
CREATE UNIQUE INDEX event_revisions_counted_key ON event_revisions (tenant_id, livemode, origin_hash) WHERE voided_at IS NULL;
CREATE INDEX event_revisions_event_idx ON event_revisions (tenant_id, livemode, customer_id, occurred_at, id_hash);
CALL protect_tenant_table('event_revisions');
CREATE POLICY writer ON event_revisions TO usance_writer USING (true) WITH CHECK (true);
GRANT SELECT ON event_revisions TO usance_app;
GRANT SELECT, INSERT, UPDATE ON event_revisions TO usance_writer;

-- Every correction, in order: which revision counted before it, and which after it.
CREATE TABLE event_corrections (
    tenant_id      uuid NOT NULL,
    livemode       boolean NOT NULL,
    id             uuid NOT NULL,
    session_id     uuid,
    origin_hash    uuid NOT NULL,
    event_id       text NOT NULL, -- as sent
    from_revision  integer,
    to_revision    integer,
    reason         text NOT NULL,
    created_at     timestamptz NOT NULL,
    PRIMARY KEY (tenant_id, livemode, id),
    CONSTRAINT event_corrections_revision_check CHECK (from_revision IS DISTINCT FROM to_revision)
);
CREATE INDEX event_corrections_session_id_idx ON event_corrections (tenant_id, livemode, session_id) WHERE session_id IS NOT NULL;
CALL protect_tenant_table('event_corrections');
CREATE POLICY writer ON event_corrections TO usance_writer USING (true) WITH CHECK (true);
GRANT SELECT ON event_corrections TO usance_app;
GRANT SELECT, INSERT ON event_corrections TO usance_writer;

-- Corrections that are looked at together before they are made, and can be taken back together.
CREATE TABLE correction_sessions (
    tenant_id    uuid NOT NULL,
    livemode     boolean NOT NULL,
    id           uuid NOT NULL,
    description  text NOT NULL,
    corrections  text NOT NULL, -- JSON, as sent
    created_at   timestamptz NOT NULL,
    applied_at   timestamptz,
    undone_at    timestamptz,
    PRIMARY KEY (tenant_id, livemode, id),
    CONSTRAINT correction_sessions_undone_at_check CHECK (undone_at IS NULL OR applied_at IS NOT NULL)
);
CALL protect_tenant_table('correction_sessions');
GRANT SELECT, INSERT ON correction_sessions TO usance_app;
GRANT UPDATE (applied_at, undone_at) ON correction_sessions TO usance_app;

-- A correction folds the buckets that it touches anew: an aggregate has no inverse.
GRANT DELETE ON usage_buckets TO usance_writer;
GRANT DELETE ON usage_values TO usance_writer;
