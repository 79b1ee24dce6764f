-- A job that repeats writes again each time; of each the last occurrence's output is kept.
ALTER TABLE output ADD COLUMN occurrence BIGINT NOT NULL DEFAULT 0;
