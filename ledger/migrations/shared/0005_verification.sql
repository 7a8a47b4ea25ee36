-- +goose Up
-- The newest complete comparison of a provider with its books: what the gauges
-- show after a restart and on every replica, and when the next one is due.
CREATE TABLE verification (
  provider TEXT   NOT NULL PRIMARY KEY REFERENCES provider (id),
  at       BIGINT NOT NULL,
  since_at BIGINT NOT NULL,
  counts   TEXT   NOT NULL CONSTRAINT verification_counts_bounded CHECK (length(counts) <= 10000),    -- findings by kind, JSON
  findings TEXT   NOT NULL CONSTRAINT verification_findings_bounded CHECK (length(findings) <= 1000000) -- their keys, JSON
);
