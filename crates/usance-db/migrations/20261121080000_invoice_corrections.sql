-- Invoices that stand in the place of others, because usage came after those were issued.

ALTER TABLE invoices
    DROP CONSTRAINT invoices_kind_check,
    ADD CONSTRAINT invoices_kind_check CHECK (kind IN ('subscription', 'one_off', 'progressive', 'late_usage', 'reissue'));

-- Written at once and never changed. An invoice is corrected once; its correction can be corrected again.
CREATE TABLE invoice_corrections (
    tenant_id             uuid NOT NULL,
    livemode              boolean NOT NULL,
    corrected_invoice_id  uuid NOT NULL, -- credited in full
    invoice_id            uuid NOT NULL, -- bills the same anew
    credit_note_id        uuid, -- none where nothing had been billed
    PRIMARY KEY (tenant_id, livemode, corrected_invoice_id),
    CONSTRAINT invoice_corrections_invoice_id_key UNIQUE (tenant_id, livemode, invoice_id),
    CONSTRAINT invoice_corrections_credit_note_id_key UNIQUE (tenant_id, livemode, credit_note_id),
    CONSTRAINT invoice_corrections_corrected_fkey FOREIGN KEY (tenant_id, livemode, corrected_invoice_id) REFERENCES invoices,
    CONSTRAINT invoice_corrections_invoice_id_fkey FOREIGN KEY (tenant_id, livemode, invoice_id) REFERENCES invoices,
    CONSTRAINT invoice_corrections_credit_note_id_fkey FOREIGN KEY (tenant_id, livemode, credit_note_id) REFERENCES credit_notes,
    CONSTRAINT invoice_corrections_other_check CHECK (invoice_id <> corrected_invoice_id)
);
CALL protect_tenant_table('invoice_corrections');
GRANT SELECT, INSERT ON invoice_corrections TO usance_app;
