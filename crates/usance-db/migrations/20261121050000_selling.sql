-- Selling: which plans the public pricing shows, and the migration of subscriptions to a newer version of their plan.

ALTER TABLE plans ADD COLUMN visible boolean NOT NULL DEFAULT true;

-- A migration goes through the subscriptions from the newest id to the oldest; the cursor says how far it is.
CREATE TABLE plan_migrations (
    tenant_id      uuid NOT NULL,
    livemode       boolean NOT NULL,
    id             uuid NOT NULL,
    plan_id        uuid NOT NULL,
    to_version_id  uuid NOT NULL,
    from_versions  integer[] NOT NULL, -- numbers, ascending
    at_period_end  boolean NOT NULL, -- else at once
    total          bigint NOT NULL, -- subscriptions when it began
    done           bigint NOT NULL DEFAULT 0,
    skipped        bigint NOT NULL DEFAULT 0,
    failed         bigint NOT NULL DEFAULT 0,
    cursor         uuid, -- the subscription that was dealt with last
    created_at     timestamptz NOT NULL, -- tenant time
    finished_at    timestamptz, -- tenant time
    PRIMARY KEY (tenant_id, livemode, id),
    CONSTRAINT plan_migrations_plan_id_fkey FOREIGN KEY (tenant_id, livemode, plan_id) REFERENCES plans,
    CONSTRAINT plan_migrations_to_version_id_fkey FOREIGN KEY (tenant_id, livemode, to_version_id) REFERENCES plan_versions
);
CREATE INDEX plan_migrations_plan_id_idx ON plan_migrations (tenant_id, livemode, plan_id);
CALL protect_tenant_table('plan_migrations');
GRANT SELECT, INSERT, UPDATE ON plan_migrations TO usance_app;

-- The subscriptions that a migration left as they were, and why.
CREATE TABLE plan_migration_exceptions (
    tenant_id        uuid NOT NULL,
    livemode         boolean NOT NULL,
    migration_id     uuid NOT NULL,
    subscription_id  uuid NOT NULL,
    outcome          text NOT NULL,
    reason           text NOT NULL,
    PRIMARY KEY (tenant_id, livemode, migration_id, subscription_id),
    CONSTRAINT plan_migration_exceptions_migration_id_fkey FOREIGN KEY (tenant_id, livemode, migration_id) REFERENCES plan_migrations,
    CONSTRAINT plan_migration_exceptions_subscription_id_fkey FOREIGN KEY (tenant_id, livemode, subscription_id) REFERENCES subscriptions,
    CONSTRAINT plan_migration_exceptions_outcome_check CHECK (outcome IN ('skipped', 'failed'))
);
CALL protect_tenant_table('plan_migration_exceptions');
GRANT SELECT, INSERT ON plan_migration_exceptions TO usance_app;
