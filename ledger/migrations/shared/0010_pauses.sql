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
