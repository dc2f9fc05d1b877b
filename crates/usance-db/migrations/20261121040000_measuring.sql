-- Buckets of every aggregation: a minimum is folded like a maximum.

ALTER TABLE usage_buckets ADD COLUMN value_min numeric;
