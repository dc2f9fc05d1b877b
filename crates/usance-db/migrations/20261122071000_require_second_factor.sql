-- Whether members of the tenant must have a second factor. On the row that every request of a member reads anyway.
ALTER TABLE tenants ADD COLUMN require_second_factor boolean NOT NULL DEFAULT false;
