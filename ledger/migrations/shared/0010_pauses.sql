-- +goose Up
-- Pauses stack: each has an id, and none ends or replaces another. What topupd
-- stops by itself has a cause, and is there once for each cause and subject.
ALTER TABLE pause RENAME TO pause_before_stacks;
CREATE TABLE pause (
  id        TEXT   NOT NULL PRIMARY KEY CONSTRAINT pause_id_is_short CHECK (length(id) BETWEEN 1 AND 64),
  scope     TEXT   NOT NULL CONSTRAINT pause_scope_known CHECK (scope IN ('all', 'provider', 'rule', 'customer')),
  provider  TEXT   NOT NULL,
  subject   TEXT   NOT NULL CONSTRAINT pause_subject_bounded CHECK (length(subject) <= 300), -- rule or customer
  cause     TEXT   NOT NULL CONSTRAINT pause_cause_bounded CHECK (length(cause) <= 50),      -- '' = a person's
  until_at  BIGINT,
  reason    TEXT   NOT NULL CONSTRAINT pause_reason_bounded CHECK (length(reason) <= 2000),
  by_whom   TEXT   NOT NULL CONSTRAINT pause_by_somebody CHECK (length(by_whom) BETWEEN 1 AND 300),
  at        BIGINT NOT NULL,
  -- What topupd saw is true until somebody has looked at it.
  CONSTRAINT pause_own_has_no_end CHECK (cause = '' OR until_at IS NULL)
);
CREATE UNIQUE INDEX pause_own_once ON pause (scope, provider, subject, cause) WHERE cause <> '';
INSERT INTO pause (id, scope, provider, subject, cause, until_at, reason, by_whom, at)
  SELECT 'p' || CAST(row_number() OVER (ORDER BY at, scope, provider, id) AS TEXT), scope, provider, id,
    CASE WHEN by_whom = 'topupd' AND scope = 'rule' AND until_at IS NULL THEN 'price' ELSE '' END,
    until_at, reason, CASE WHEN by_whom = '' THEN 'somebody' ELSE by_whom END, at
  FROM pause_before_stacks;
DROP TABLE pause_before_stacks;

-- Whom resuming a rule sets free.
CREATE INDEX target_refused ON target (refusal_rule) WHERE refusal_rule <> '';

-- By which threshold each target was judged last, whatever the decision was:
-- what "low under the old terms" means. The smallest number = no rule was for it.
ALTER TABLE snapshot ADD COLUMN judged_micro BIGINT;
ALTER TABLE snapshot ADD COLUMN judged_at BIGINT;
UPDATE snapshot SET judged_micro = threshold_micro, judged_at = at WHERE balance_micro IS NOT NULL AND threshold_micro IS NOT NULL;

-- Since when the credits of a product are watched at a provider. early = 1: since
-- the ledger's first hour, when every rule is new and none is a change.
CREATE TABLE watched (
  provider TEXT   NOT NULL,
  product  TEXT   NOT NULL,
  since_at BIGINT NOT NULL,
  early    BIGINT NOT NULL CONSTRAINT watched_early_is_a_bool CHECK (early IN (0, 1)),
  PRIMARY KEY (provider, product)
);
INSERT INTO watched (provider, product, since_at, early) SELECT DISTINCT provider, product, 0, 1 FROM snapshot;

-- Targets that are low only by a change of terms and were not bought for since.
CREATE TABLE raised (
  provider  TEXT   NOT NULL,
  customer  TEXT   NOT NULL,
  product   TEXT   NOT NULL,
  rule      TEXT   NOT NULL CONSTRAINT raised_rule_bounded CHECK (length(rule) BETWEEN 1 AND 200),
  old_micro BIGINT NOT NULL,                   -- whoever falls below this is low by usage
  new_micro BIGINT NOT NULL,
  at        BIGINT NOT NULL,
  PRIMARY KEY (provider, customer, product)
);
CREATE INDEX raised_of_rule ON raised (rule, at);
CREATE INDEX raised_of_customer ON raised (customer);

-- The purchases that only a change has brought about, per rule; n of change_count
-- serialises those that are being planned.
CREATE TABLE raised_bought (
  purchase TEXT   NOT NULL PRIMARY KEY,
  rule     TEXT   NOT NULL,
  at       BIGINT NOT NULL
);
CREATE INDEX raised_bought_of_rule ON raised_bought (rule, at);
CREATE TABLE change_count (
  rule TEXT   NOT NULL PRIMARY KEY,
  n    BIGINT NOT NULL
);
