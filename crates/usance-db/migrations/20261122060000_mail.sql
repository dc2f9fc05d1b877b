-- Mails: what is to be sent to people, written with its cause, and sent by a worker by the wall clock. Also the tokens that members
-- are mailed, and which of their addresses are known to be theirs.

-- A request to reset a password waits here too until its members are looked up, under a tenant that does not exist, so that an
-- address that nobody has costs what others cost: therefore no foreign key.
CREATE TABLE mails (
    tenant_id        uuid NOT NULL,
    id               uuid NOT NULL,
    kind             text NOT NULL,
    sealed           bytea, -- recipient and content, which may hold a token; gone when the mail has ended
    once_key         text, -- what is told once only, and to whom
    status           text NOT NULL DEFAULT 'pending',
    attempts         integer NOT NULL DEFAULT 0,
    next_attempt_at  timestamptz, -- null when it has ended; while somebody is at it, the end of the lease
    leased_until     timestamptz, -- somebody is at it
    last_error       text, -- neither the address nor the content is in it
    created_at       timestamptz NOT NULL,
    expires_at       timestamptz, -- afterwards it would be of no use
    ended_at         timestamptz,
    PRIMARY KEY (tenant_id, id),
    CONSTRAINT mails_once_key_key UNIQUE (tenant_id, once_key),
    CONSTRAINT mails_status_check CHECK (status IN ('pending', 'sent', 'dead')),
    CONSTRAINT mails_sealed_check CHECK ((status = 'pending') = (sealed IS NOT NULL)),
    CONSTRAINT mails_next_attempt_at_check CHECK ((status = 'pending') = (next_attempt_at IS NOT NULL)),
    CONSTRAINT mails_leased_until_check CHECK (leased_until IS NULL OR next_attempt_at = leased_until),
    CONSTRAINT mails_ended_at_check CHECK ((status = 'pending') = (ended_at IS NULL))
);
-- Workers look for mails that are due before they know the tenant.
CREATE INDEX mails_next_attempt_at_idx ON mails (next_attempt_at) WHERE status = 'pending';
CREATE INDEX mails_tenant_next_attempt_at_idx ON mails (tenant_id, next_attempt_at) WHERE status = 'pending';
CREATE INDEX mails_ended_at_idx ON mails (tenant_id, ended_at) WHERE status <> 'pending';
CALL protect_tenant_table('mails');
CREATE POLICY system ON mails FOR SELECT TO usance_system USING (true);
GRANT SELECT (tenant_id, status, next_attempt_at) ON mails TO usance_system;
GRANT SELECT, INSERT, DELETE ON mails TO usance_app;
GRANT UPDATE (sealed, status, attempts, next_attempt_at, leased_until, last_error, ended_at) ON mails TO usance_app;

-- Mails to one address that others can cause, whatever tenant they come from: under tenants that do not exist, as attempts to
-- sign in to an account that nobody has.
CREATE TABLE mail_limits (
    tenant_id          uuid NOT NULL,
    address_hash       bytea NOT NULL, -- keyed
    kind               text NOT NULL,
    window_started_at  timestamptz NOT NULL,
    mails              integer NOT NULL,
    PRIMARY KEY (tenant_id, address_hash, kind),
    CONSTRAINT mail_limits_mails_check CHECK (mails > 0)
);
CALL protect_tenant_table('mail_limits');
GRANT SELECT, INSERT, DELETE ON mail_limits TO usance_app;
GRANT UPDATE (window_started_at, mails) ON mail_limits TO usance_app;

-- What a member proves with a token that came by mail.
CREATE TABLE member_tokens (
    tenant_id   uuid NOT NULL,
    id          uuid NOT NULL,
    member_id   uuid NOT NULL,
    purpose     text NOT NULL,
    token_hash  bytea NOT NULL, -- SHA-256 of the token
    created_at  timestamptz NOT NULL,
    expires_at  timestamptz NOT NULL,
    used_at     timestamptz,
    revoked_at  timestamptz,
    PRIMARY KEY (tenant_id, id),
    CONSTRAINT member_tokens_token_hash_key UNIQUE (tenant_id, token_hash),
    CONSTRAINT member_tokens_member_id_fkey FOREIGN KEY (tenant_id, member_id) REFERENCES members,
    CONSTRAINT member_tokens_purpose_check CHECK (purpose IN ('verify_email', 'reset_password')),
    CONSTRAINT member_tokens_ended_check CHECK (used_at IS NULL OR revoked_at IS NULL)
);
CREATE INDEX member_tokens_member_id_idx ON member_tokens (tenant_id, member_id, purpose, created_at);
CALL protect_tenant_table('member_tokens');
GRANT SELECT, INSERT, DELETE ON member_tokens TO usance_app;
GRANT UPDATE (used_at, revoked_at) ON member_tokens TO usance_app;

ALTER TABLE members ADD COLUMN email_verified_at timestamptz; -- when it was known that the member reads what is sent there
GRANT UPDATE (email_verified_at) ON members TO usance_app;

-- The token that was mailed proves the address; the one that the inviter was shown does not.
ALTER TABLE invitations ADD COLUMN mailed_token_hash bytea;
CREATE UNIQUE INDEX invitations_mailed_token_hash_key ON invitations (tenant_id, mailed_token_hash);
