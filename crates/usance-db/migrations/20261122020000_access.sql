-- Who is let in: members' sessions, the life of API keys, the throttle of sign-ins, and the audit log.

-- A sign-in and everything that descends from it. The refresh tokens of a session are one family.
CREATE TABLE member_sessions (
    tenant_id       uuid NOT NULL,
    id              uuid NOT NULL,
    member_id       uuid NOT NULL,
    address         text, -- where it began
    user_agent      text NOT NULL DEFAULT '',
    created_at      timestamptz NOT NULL,
    last_used_at    timestamptz NOT NULL, -- when its tokens were last renewed
    expires_at      timestamptz NOT NULL, -- of its newest refresh token
    revoked_at      timestamptz,
    revoked_reason  text,
    PRIMARY KEY (tenant_id, id),
    CONSTRAINT member_sessions_member_id_fkey FOREIGN KEY (tenant_id, member_id) REFERENCES members,
    CONSTRAINT member_sessions_revoked_check CHECK ((revoked_at IS NULL) = (revoked_reason IS NULL)),
    CONSTRAINT member_sessions_revoked_reason_check
        CHECK (revoked_reason IN ('signed_out', 'revoked', 'password_changed', 'token_reused', 'member_changed'))
);
CREATE INDEX member_sessions_member_id_idx ON member_sessions (tenant_id, member_id, id);
CALL protect_tenant_table('member_sessions');
GRANT SELECT, INSERT ON member_sessions TO usance_app;
GRANT UPDATE (last_used_at, expires_at, revoked_at, revoked_reason) ON member_sessions TO usance_app;

-- Tokens that are older than this file belong to no session and are refused: their members sign in again.
ALTER TABLE refresh_tokens
    ADD COLUMN successor_id uuid, -- the token that the last answer carried
    ADD COLUMN reissued_at timestamptz, -- when the answer was made a second time
    ADD COLUMN access_used_at timestamptz, -- when the access token of the same answer was first used
    ADD COLUMN revoked_at timestamptz, -- when another token took its place
    ADD CONSTRAINT refresh_tokens_family_id_fkey FOREIGN KEY (tenant_id, family_id) REFERENCES member_sessions NOT VALID,
    ADD CONSTRAINT refresh_tokens_successor_id_check CHECK ((consumed_at IS NULL) = (successor_id IS NULL)) NOT VALID,
    ADD CONSTRAINT refresh_tokens_reissued_at_check CHECK (reissued_at IS NULL OR consumed_at IS NOT NULL);
REVOKE UPDATE ON refresh_tokens FROM usance_app;
GRANT UPDATE (consumed_at, successor_id, reissued_at, access_used_at, revoked_at) ON refresh_tokens TO usance_app;

-- A sign-in names an address and no tenant.
CREATE INDEX members_email_idx ON members (email);
CREATE POLICY system ON members FOR SELECT TO usance_system USING (true);
GRANT SELECT (tenant_id, id, email, is_active, created_at) ON members TO usance_system;
GRANT SELECT (email) ON tenants TO usance_system;

-- Attempts to sign in, by account and by where they come from. An address that nobody has is counted like one that
-- somebody has, under a tenant that does not exist: therefore no foreign key.
CREATE TABLE sign_in_attempts (
    tenant_id          uuid NOT NULL,
    account_hash       bytea NOT NULL,
    source             bytea NOT NULL, -- a network from which the member signed in before; empty for all others together
    window_started_at  timestamptz NOT NULL,
    attempts           integer NOT NULL,
    PRIMARY KEY (tenant_id, account_hash, source),
    CONSTRAINT sign_in_attempts_attempts_check CHECK (attempts > 0)
);
CALL protect_tenant_table('sign_in_attempts');
GRANT SELECT, INSERT, UPDATE, DELETE ON sign_in_attempts TO usance_app;

CREATE TABLE sign_in_networks (
    tenant_id     uuid NOT NULL,
    account_hash  bytea NOT NULL,
    source        bytea NOT NULL,
    signed_in_at  timestamptz NOT NULL,
    PRIMARY KEY (tenant_id, account_hash, source)
);
CALL protect_tenant_table('sign_in_networks');
GRANT SELECT, INSERT, UPDATE, DELETE ON sign_in_networks TO usance_app;

ALTER TABLE api_keys
    ADD COLUMN name text, -- null for the pair that every tenant has in each mode
    ADD COLUMN scopes text[] NOT NULL DEFAULT '{all}',
    ADD COLUMN expires_at timestamptz,
    ADD COLUMN last_used_at timestamptz, -- to the minute
    ADD COLUMN revoked_reason text,
    ADD CONSTRAINT api_keys_scopes_check CHECK (cardinality(scopes) > 0),
    ADD CONSTRAINT api_keys_revoked_reason_check CHECK (revoked_reason IS NULL OR revoked_at IS NOT NULL);
REVOKE UPDATE ON api_keys FROM usance_app;
GRANT UPDATE (expires_at, last_used_at, revoked_at, revoked_reason) ON api_keys TO usance_app;
GRANT SELECT (scopes, expires_at, last_used_at) ON api_keys TO usance_system;

-- Who did what. Written with the change, and never changed. It holds both modes, so that a tenant reads it in one piece.
CREATE TABLE audit_entries (
    tenant_id     uuid NOT NULL REFERENCES tenants,
    id            uuid NOT NULL,
    actor_type    text NOT NULL,
    actor_id      text, -- null for the system
    action        text NOT NULL,
    subject_type  text NOT NULL,
    subject_id    text NOT NULL,
    mode          text, -- null where it concerns both
    before        jsonb,
    after         jsonb,
    reason        text,
    address       text,
    request_id    text NOT NULL,
    created_at    timestamptz NOT NULL,
    PRIMARY KEY (tenant_id, id),
    CONSTRAINT audit_entries_actor_type_check CHECK (actor_type IN ('member', 'api_key', 'system')),
    CONSTRAINT audit_entries_actor_id_check CHECK ((actor_type = 'system') = (actor_id IS NULL)),
    CONSTRAINT audit_entries_mode_check CHECK (mode IN ('test', 'live'))
);
CREATE INDEX audit_entries_action_idx ON audit_entries (tenant_id, action, id);
CREATE INDEX audit_entries_subject_id_idx ON audit_entries (tenant_id, subject_id, id);
CALL protect_tenant_table('audit_entries');
GRANT SELECT, INSERT ON audit_entries TO usance_app;
