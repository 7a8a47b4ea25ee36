-- +goose Up
-- What was found out about a provider by trying it. Nothing is ever deleted: the
-- most careful of all findings counts that no person has withdrawn. Not tied to the table of providers:
-- a finding must not begin the first hold of a provider that no daemon has seen.
CREATE TABLE capability (
  provider TEXT   NOT NULL CONSTRAINT capability_provider_bounded CHECK (length(provider) BETWEEN 1 AND 300),
  name     TEXT   NOT NULL CONSTRAINT capability_name_bounded CHECK (length(name) BETWEEN 1 AND 50),
  found_at BIGINT NOT NULL,
  value    TEXT   NOT NULL CONSTRAINT capability_value_bounded CHECK (length(value) BETWEEN 1 AND 100),
  by_whom  TEXT   NOT NULL CONSTRAINT capability_by_bounded CHECK (length(by_whom) BETWEEN 1 AND 300),
  report   TEXT   NOT NULL CONSTRAINT capability_report_is_a_hash CHECK (length(report) = 64),
  withdrawn_at  BIGINT,
  withdrawn_by  TEXT NOT NULL DEFAULT '' CONSTRAINT capability_withdrawn_by_bounded CHECK (length(withdrawn_by) <= 300),
  withdrawn_why TEXT NOT NULL DEFAULT '' CONSTRAINT capability_withdrawn_why_bounded CHECK (length(withdrawn_why) <= 2000),
  PRIMARY KEY (provider, name, found_at, value),
  CONSTRAINT capability_withdrawn_by_somebody CHECK (withdrawn_at IS NULL OR (withdrawn_by <> '' AND withdrawn_why <> ''))
);

-- Every request that an experiment was about to put on the wire, written before
-- its first byte left. answer stays '' when nobody could store what came.
CREATE TABLE experiment (
  id              TEXT   NOT NULL PRIMARY KEY CONSTRAINT experiment_id_bounded CHECK (length(id) BETWEEN 8 AND 64),
  provider        TEXT   NOT NULL CONSTRAINT experiment_provider_bounded CHECK (length(provider) BETWEEN 1 AND 300),
  customer        TEXT   NOT NULL CONSTRAINT experiment_customer_bounded CHECK (length(customer) BETWEEN 1 AND 300),
  product         TEXT   NOT NULL CONSTRAINT experiment_product_bounded CHECK (length(product) BETWEEN 1 AND 300),
  name            TEXT   NOT NULL CONSTRAINT experiment_name_bounded CHECK (length(name) BETWEEN 1 AND 100),
  price_minor     BIGINT NOT NULL CONSTRAINT experiment_price_in_range CHECK (price_minor BETWEEN 1 AND 1000000000000000),
  price_currency  TEXT   NOT NULL CONSTRAINT experiment_currency_is_a_code CHECK (length(price_currency) = 3),
  idempotency_key TEXT   NOT NULL CONSTRAINT experiment_key_bounded CHECK (length(idempotency_key) BETWEEN 16 AND 64),
  fingerprint     TEXT   NOT NULL CONSTRAINT experiment_fingerprint_bounded CHECK (length(fingerprint) BETWEEN 1 AND 128),
  by_whom         TEXT   NOT NULL CONSTRAINT experiment_by_bounded CHECK (length(by_whom) BETWEEN 1 AND 300),
  at              BIGINT NOT NULL,
  answer          TEXT   NOT NULL DEFAULT '' CONSTRAINT experiment_answer_bounded CHECK (length(answer) <= 2000)
);
