-- A device keeps the join by which it came: the batch whose place it took, whatever enrollment follows.
ALTER TABLE device ADD COLUMN batch TEXT;
UPDATE device SET batch = enroll WHERE join_note IS NOT NULL;
-- Which enrollment of the device it is: 0 for one that joined. Of devices enrolled before by their own statement it is not
-- known here; the next one says.
ALTER TABLE device ADD COLUMN seq BIGINT NOT NULL DEFAULT 0;
CREATE INDEX device_by_batch ON device (org, batch);

-- The statements that speak of one device: its own enrollments by their number, and its end behind them all.
CREATE TABLE enrollment (
    org         TEXT NOT NULL,
    device      TEXT NOT NULL,
    seq         BIGINT NOT NULL,
    statement   TEXT NOT NULL,
    PRIMARY KEY (org, device, statement),
    FOREIGN KEY (org, statement) REFERENCES statement (org, hash)
);
