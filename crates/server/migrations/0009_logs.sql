-- An organization may go on in another log. Each log that the server keeps has a number, 1 for the first; a log that replaced
-- another has the higher one. `nth_log` says of a place in which of the logs that policies have named it is: 0 for the first.

-- Keys that were drawn for logs that replace, or may replace, the one before.
CREATE TABLE new_log (
    org         TEXT NOT NULL REFERENCES org (id),
    log         BIGINT NOT NULL,
    origin      TEXT NOT NULL UNIQUE,
    seed        BYTEA NOT NULL,
    created_ms  BIGINT NOT NULL,
    PRIMARY KEY (org, log)
);

CREATE TABLE leaf_of_log (
    org         TEXT NOT NULL REFERENCES org (id),
    log         BIGINT NOT NULL,
    place       BIGINT NOT NULL,
    hash        TEXT NOT NULL,
    entry       TEXT NOT NULL,
    PRIMARY KEY (org, log, place),
    UNIQUE (org, log, hash)
);
INSERT INTO leaf_of_log (org, log, place, hash, entry) SELECT org, 1, place, hash, entry FROM leaf;
DROP TABLE leaf;
ALTER TABLE leaf_of_log RENAME TO leaf;

CREATE TABLE tile_of_log (
    org         TEXT NOT NULL REFERENCES org (id),
    log         BIGINT NOT NULL,
    level       BIGINT NOT NULL,
    place       BIGINT NOT NULL,
    hashes      BYTEA NOT NULL,
    PRIMARY KEY (org, log, level, place)
);
INSERT INTO tile_of_log (org, log, level, place, hashes) SELECT org, 1, level, place, hashes FROM tile;
DROP TABLE tile;
ALTER TABLE tile_of_log RENAME TO tile;

CREATE TABLE checkpoint_of_log (
    org         TEXT NOT NULL REFERENCES org (id),
    log         BIGINT NOT NULL,
    size        BIGINT NOT NULL,
    note        TEXT NOT NULL,
    PRIMARY KEY (org, log)
);
INSERT INTO checkpoint_of_log (org, log, size, note) SELECT org, 1, size, note FROM checkpoint;
DROP TABLE checkpoint;
ALTER TABLE checkpoint_of_log RENAME TO checkpoint;

ALTER TABLE statement ADD COLUMN nth_log BIGINT NOT NULL DEFAULT 0;
ALTER TABLE device ADD COLUMN nth_log BIGINT NOT NULL DEFAULT 0;
ALTER TABLE batch ADD COLUMN nth_log BIGINT NOT NULL DEFAULT 0;
