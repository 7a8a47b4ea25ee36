-- +goose Up
-- A request that the provider refuses is no declined payment: another card does
-- not help, another rule may. refusals counts those since the last success beside
-- the declines, refusal is the last one in the provider's words ('' when the last
-- failure was a decline), and the other two say under which terms: a new version
-- of the rule is not held back by what an old one was refused for.
ALTER TABLE target ADD COLUMN refusals BIGINT NOT NULL DEFAULT 0
  CONSTRAINT target_refusals_in_range CHECK (refusals BETWEEN 0 AND 1000000);
ALTER TABLE target ADD COLUMN refusal TEXT NOT NULL DEFAULT ''
  CONSTRAINT target_refusal_bounded CHECK (length(refusal) <= 4000);
ALTER TABLE target ADD COLUMN refusal_rule TEXT NOT NULL DEFAULT ''
  CONSTRAINT target_refusal_rule_bounded CHECK (length(refusal_rule) <= 200);
ALTER TABLE target ADD COLUMN refusal_version TEXT NOT NULL DEFAULT ''
  CONSTRAINT target_refusal_version_bounded CHECK (length(refusal_version) <= 200);
