-- When an invoice was last sent to its customer, in the tenant's time.

ALTER TABLE invoices ADD COLUMN sent_at timestamptz;
