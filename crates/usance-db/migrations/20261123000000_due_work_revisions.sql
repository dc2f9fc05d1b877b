-- Work that was done and is planned anew must not be taken for what a slow worker claimed before: a revision is given once.
CREATE SEQUENCE due_work_revision_seq START WITH 2147483648; -- beyond those that were counted
ALTER TABLE due_work
    ALTER COLUMN revision TYPE bigint,
    ALTER COLUMN revision SET DEFAULT nextval('due_work_revision_seq');
ALTER SEQUENCE due_work_revision_seq OWNED BY due_work.revision;
GRANT USAGE ON SEQUENCE due_work_revision_seq TO usance_app, usance_writer;
