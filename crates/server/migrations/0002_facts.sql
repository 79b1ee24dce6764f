-- What a device did that a person should know of: one row a kind, however often it happens. `evidence` is a JSON array of
-- notes that the device signed, of the first time.
CREATE TABLE fact (
    org         TEXT NOT NULL,
    device      TEXT NOT NULL,
    kind        TEXT NOT NULL,
    words       TEXT NOT NULL,
    evidence    TEXT NOT NULL,
    times       BIGINT NOT NULL,
    first_ms    BIGINT NOT NULL,
    last_ms     BIGINT NOT NULL,
    PRIMARY KEY (org, device, kind),
    FOREIGN KEY (org, device) REFERENCES device (org, id)
);

-- How many receipts a device may still bring: about a job, and about nothing it was given.
ALTER TABLE job_device ADD COLUMN receipts_left BIGINT NOT NULL DEFAULT 10000;
ALTER TABLE device ADD COLUMN receipts_left BIGINT NOT NULL DEFAULT 8192;

-- A key that says more than a stranger may is looked for without its organization.
CREATE INDEX device_by_id ON device (id);
