-- The same text on SQLite and PostgreSQL (BYTEA is a type to both). Times are milliseconds since 1970, hashes and
-- ids are printed.

CREATE TABLE org (
    id          TEXT PRIMARY KEY,
    name        TEXT NOT NULL,
    log_origin  TEXT NOT NULL UNIQUE,
    created_ms  BIGINT NOT NULL
);

-- Seeds of the keys that the server holds for an organization: its log and its own halt. Kept apart from the rows
-- that are read all the time. `org` is empty between prepare and begin.
CREATE TABLE org_key (
    draft       TEXT PRIMARY KEY,
    org         TEXT UNIQUE REFERENCES org (id),
    name        TEXT NOT NULL,
    log_origin  TEXT NOT NULL UNIQUE,
    log_seed    BYTEA NOT NULL,
    halt_seed   BYTEA NOT NULL,
    created_ms  BIGINT NOT NULL
);

CREATE TABLE api_token (
    hash        TEXT PRIMARY KEY,
    org         TEXT REFERENCES org (id),
    draft       TEXT,
    name        TEXT NOT NULL,
    created_ms  BIGINT NOT NULL
);

-- Statements that people signed. `envelope` grows with each signature until `missing` is empty; `leaf` and `proof` are
-- set once it is logged.
CREATE TABLE statement (
    org         TEXT NOT NULL REFERENCES org (id),
    hash        TEXT NOT NULL,
    kind        TEXT NOT NULL,
    envelope    TEXT NOT NULL,
    targets     TEXT NOT NULL,
    missing     TEXT NOT NULL,
    leaf        BIGINT,
    proof       TEXT,
    received_ms BIGINT NOT NULL,
    PRIMARY KEY (org, hash)
);
CREATE INDEX statement_by_kind ON statement (org, kind, received_ms);

-- An entry stands in a log once: who appends it again is told where.
CREATE TABLE leaf (
    org         TEXT NOT NULL REFERENCES org (id),
    place       BIGINT NOT NULL,
    hash        TEXT NOT NULL,
    entry       TEXT NOT NULL,
    PRIMARY KEY (org, place),
    UNIQUE (org, hash)
);

-- Tiles of the log as c2sp.org/tlog-tiles cuts them: up to 256 hashes of 32 bytes.
CREATE TABLE tile (
    org         TEXT NOT NULL REFERENCES org (id),
    level       BIGINT NOT NULL,
    place       BIGINT NOT NULL,
    hashes      BYTEA NOT NULL,
    PRIMARY KEY (org, level, place)
);

-- The newest checkpoint: signed by the log, cosigned by at least the quorum.
CREATE TABLE checkpoint (
    org         TEXT PRIMARY KEY REFERENCES org (id),
    size        BIGINT NOT NULL,
    note        TEXT NOT NULL
);

CREATE TABLE device (
    org           TEXT NOT NULL REFERENCES org (id),
    id            TEXT NOT NULL,
    enroll        TEXT NOT NULL,
    join_note     TEXT,
    join_proof    TEXT,
    leaf          BIGINT NOT NULL,
    labels        TEXT NOT NULL,
    version       TEXT NOT NULL,
    hostname      TEXT NOT NULL,
    system        TEXT NOT NULL,
    policy_number BIGINT NOT NULL,
    last_seen_ms  BIGINT NOT NULL,
    retired       BOOLEAN NOT NULL DEFAULT FALSE,
    PRIMARY KEY (org, id)
);

-- A job on a device. `verdict` is `waiting`, `sent`, or the newest receipt's.
CREATE TABLE job_device (
    org         TEXT NOT NULL,
    job         TEXT NOT NULL,
    device      TEXT NOT NULL,
    verdict     TEXT NOT NULL,
    because     TEXT NOT NULL,
    receipt     BIGINT,
    challenge   TEXT,
    clears      TEXT,
    sent_ms     BIGINT,
    attempts    BIGINT NOT NULL DEFAULT 0,
    PRIMARY KEY (org, job, device),
    FOREIGN KEY (org, job) REFERENCES statement (org, hash)
);
CREATE INDEX job_device_by_device ON job_device (org, device, verdict);

CREATE TABLE receipt (
    org         TEXT NOT NULL,
    device      TEXT NOT NULL,
    number      BIGINT NOT NULL,
    hash        TEXT NOT NULL,
    job         TEXT,
    note        TEXT NOT NULL,
    batch       TEXT,
    place       BIGINT,
    path        TEXT,
    received_ms BIGINT NOT NULL,
    PRIMARY KEY (org, device, number),
    FOREIGN KEY (org, device) REFERENCES device (org, id)
);
CREATE INDEX receipt_by_job ON receipt (org, job);
CREATE INDEX receipt_by_batch ON receipt (org, batch);

-- Receipts are logged in batches: the root of a tree of receipts is a leaf of the log.
CREATE TABLE batch (
    org         TEXT NOT NULL REFERENCES org (id),
    root        TEXT NOT NULL,
    size        BIGINT NOT NULL,
    leaf        BIGINT NOT NULL,
    proof       TEXT NOT NULL,
    PRIMARY KEY (org, root)
);

CREATE TABLE output (
    org         TEXT NOT NULL,
    job         TEXT NOT NULL,
    device      TEXT NOT NULL,
    step        BIGINT NOT NULL,
    place       BIGINT NOT NULL,
    stream      BIGINT NOT NULL,
    bytes       BYTEA NOT NULL,
    PRIMARY KEY (org, job, device, step, place)
);
