-- Beacons' words that a policy of the recovery set has waited its time: signed notes, by the SHA-256 of each.
CREATE TABLE recovered (
    org         TEXT NOT NULL,
    hash        TEXT NOT NULL,
    note        TEXT NOT NULL,
    PRIMARY KEY (org, hash),
    FOREIGN KEY (org) REFERENCES org (id)
);
