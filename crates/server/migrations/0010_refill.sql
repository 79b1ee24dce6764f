-- The day, counted from 1970, up to which a device was given what it may bring about nothing that it was asked for.
ALTER TABLE device ADD COLUMN receipts_day BIGINT NOT NULL DEFAULT 0;
