-- What the beacons said in a round of deliveries, once for all devices it was for: their notes (a JSON array), and the challenges
-- they answer, 32 bytes each, in their order in the tree. `clears` of a job on a device is of what was sent before there were rounds.
CREATE TABLE round (
    org         TEXT NOT NULL REFERENCES org (id),
    number      BIGINT NOT NULL,
    challenges  BYTEA NOT NULL,
    notes       TEXT NOT NULL,
    PRIMARY KEY (org, number)
);
ALTER TABLE job_device ADD COLUMN round BIGINT;
CREATE INDEX job_device_by_round ON job_device (org, round);
