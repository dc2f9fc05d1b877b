-- A claim takes the earliest work, and of that due at the same time the last kind in the alphabet: the index is in this
-- order, so that a claim among many thousands that are due at once reads a few of them.
DROP INDEX due_work_tenant_due_at_idx;
CREATE INDEX due_work_tenant_due_at_idx ON due_work (tenant_id, livemode, due_at, kind DESC, subject_id) WHERE NOT parked;
