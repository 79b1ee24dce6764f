-- In which order the organization's chain was offered what it is made of: statements and beacons' words, by their hashes.
-- What a chain takes depends on what it holds, so only the same order makes the same chain again.
CREATE TABLE offered (
    org         TEXT NOT NULL,
    place       BIGINT NOT NULL,
    hash        TEXT NOT NULL,
    PRIMARY KEY (org, place),
    UNIQUE (org, hash),
    FOREIGN KEY (org) REFERENCES org (id)
);
