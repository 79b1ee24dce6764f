-- What the server watches for, as the policy's tripwires and the jobs' `halt_above` say.

-- Refusals that count, of the last day: those that a halt itself makes, or that pass, stand only among the receipts.
CREATE TABLE refusal (
    org         TEXT NOT NULL REFERENCES org (id),
    device      TEXT NOT NULL,
    number      BIGINT NOT NULL,
    code        TEXT NOT NULL,
    times       BIGINT NOT NULL,
    received_ms BIGINT NOT NULL,
    PRIMARY KEY (org, device, number)
);
CREATE INDEX refusal_by_time ON refusal (org, received_ms);

-- What devices told of files that nobody should touch. `touched` is false of one that was missing from the start, or came.
CREATE TABLE canary (
    org         TEXT NOT NULL REFERENCES org (id),
    device      TEXT NOT NULL,
    hash        TEXT NOT NULL,
    path        TEXT NOT NULL,
    touched     BOOLEAN NOT NULL,
    note        TEXT NOT NULL,
    received_ms BIGINT NOT NULL,
    PRIMARY KEY (org, device, hash)
);
CREATE INDEX canary_by_time ON canary (org, received_ms);

-- A tripwire that was touched, or a job of which too much failed. `over_ms` is there once it is over.
CREATE TABLE touch (
    org         TEXT NOT NULL REFERENCES org (id),
    number      BIGINT NOT NULL,
    tripwire    TEXT NOT NULL,
    since_ms    BIGINT NOT NULL,
    last_ms     BIGINT NOT NULL,
    count       BIGINT NOT NULL,
    words       TEXT NOT NULL,
    evidence    TEXT NOT NULL,
    halt        TEXT,
    unhalted    TEXT NOT NULL,
    until_ms    BIGINT,
    over_ms     BIGINT,
    PRIMARY KEY (org, number)
);
