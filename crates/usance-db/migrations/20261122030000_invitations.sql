-- Invitations: how a tenant's staff grows. A member is there only after the invitation was accepted.
CREATE TABLE invitations (
    tenant_id    uuid NOT NULL REFERENCES tenants,
    id           uuid NOT NULL,
    email        text NOT NULL,
    role         text NOT NULL,
    token_hash   bytea NOT NULL, -- SHA-256 of the token
    invited_by   uuid NOT NULL,
    created_at   timestamptz NOT NULL,
    expires_at   timestamptz NOT NULL,
    accepted_at  timestamptz,
    revoked_at   timestamptz,
    PRIMARY KEY (tenant_id, id),
    CONSTRAINT invitations_token_hash_key UNIQUE (tenant_id, token_hash),
    CONSTRAINT invitations_invited_by_fkey FOREIGN KEY (tenant_id, invited_by) REFERENCES members,
    CONSTRAINT invitations_email_check CHECK (email = lower(email)),
    CONSTRAINT invitations_role_check CHECK (role IN ('owner', 'admin', 'developer', 'viewer')),
    CONSTRAINT invitations_ended_check CHECK (accepted_at IS NULL OR revoked_at IS NULL)
);
-- One open invitation for each address.
CREATE UNIQUE INDEX invitations_open_key ON invitations (tenant_id, email) WHERE accepted_at IS NULL AND revoked_at IS NULL;
CALL protect_tenant_table('invitations');
GRANT SELECT, INSERT ON invitations TO usance_app;
GRANT UPDATE (accepted_at, revoked_at) ON invitations TO usance_app;

-- Who a member is stays; what it may do and whether it may sign in changes.
REVOKE UPDATE ON members FROM usance_app;
GRANT UPDATE (password_hash, role, is_active, last_login_at, updated_at) ON members TO usance_app;
