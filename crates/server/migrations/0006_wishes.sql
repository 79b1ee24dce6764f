-- Joins that were or may be logged and made no device: noted before the log can have them, so that what stands there can be
-- explained. One that made a device is the device's, and no longer here.
CREATE TABLE wish (
    org         TEXT NOT NULL,
    hash        TEXT NOT NULL,
    device      TEXT NOT NULL,
    batch       TEXT NOT NULL,
    note        TEXT NOT NULL,
    proof       TEXT,
    PRIMARY KEY (org, hash)
);
CREATE INDEX wish_by_batch ON wish (org, batch);
CREATE INDEX wish_by_device ON wish (org, device);
