-- The second factor of members: an authenticator (RFC 6238), and recovery codes for the day on which it is lost.

-- On the member's own row, whose lock a sign-in takes: a code is accepted once however many present it.
ALTER TABLE members
    ADD COLUMN totp_secret_sealed bytea, -- encrypted, bound to this row
    ADD COLUMN totp_began_at timestamptz, -- when the secret was made
    ADD COLUMN second_factor_at timestamptz, -- since when a sign-in needs a code
    ADD COLUMN totp_last_step bigint, -- of the last code that was accepted
    ADD CONSTRAINT members_totp_began_at_check CHECK ((totp_secret_sealed IS NULL) = (totp_began_at IS NULL)),
    ADD CONSTRAINT members_second_factor_at_check CHECK (second_factor_at IS NULL OR totp_secret_sealed IS NOT NULL),
    ADD CONSTRAINT members_totp_last_step_check CHECK ((second_factor_at IS NULL) = (totp_last_step IS NULL));
GRANT UPDATE (totp_secret_sealed, totp_began_at, second_factor_at, totp_last_step) ON members TO usance_app;

CREATE TABLE recovery_codes (
    tenant_id   uuid NOT NULL,
    member_id   uuid NOT NULL,
    code_hash   bytea NOT NULL, -- keyed
    created_at  timestamptz NOT NULL,
    used_at     timestamptz,
    PRIMARY KEY (tenant_id, member_id, code_hash),
    CONSTRAINT recovery_codes_member_id_fkey FOREIGN KEY (tenant_id, member_id) REFERENCES members
);
CALL protect_tenant_table('recovery_codes');
GRANT SELECT, INSERT, DELETE ON recovery_codes TO usance_app;
GRANT UPDATE (used_at) ON recovery_codes TO usance_app;
