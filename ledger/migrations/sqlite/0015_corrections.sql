-- +goose Up
-- A person's correcting entry: the newest is on the row, each is in the history
-- for ever. It goes between final states, so that nothing is opened again.
ALTER TABLE purchase ADD COLUMN corrected_at BIGINT;
ALTER TABLE purchase ADD COLUMN corrected_from TEXT NOT NULL DEFAULT ''
  CONSTRAINT purchase_corrected_from_known CHECK (corrected_from IN ('', 'confirmed', 'settled', 'declined', 'cancelled'));
INSERT INTO purchase_transition (from_state, to_state) VALUES
  ('settled', 'declined'), ('declined', 'settled'), ('cancelled', 'settled');
CREATE INDEX purchase_decided ON purchase (planned_at, id) WHERE resolved_by <> '';

-- +goose StatementBegin
CREATE TRIGGER purchase_corrected BEFORE UPDATE ON purchase FOR EACH ROW
WHEN OLD.state IN ('settled', 'declined', 'cancelled') AND NEW.state <> OLD.state OR NEW.corrected_at IS NOT OLD.corrected_at BEGIN
  SELECT RAISE(ABORT, 'purchase_ends_once_or_is_corrected') WHERE NEW.resolved_by = '' OR NEW.corrected_at IS NOT NEW.changed_at
    OR NEW.corrected_from <> OLD.state OR NOT EXISTS
    (SELECT 1 FROM evidence e WHERE e.purchase_id = NEW.id AND e.kind = 'corrected' AND e.at = NEW.corrected_at
     AND e.from_state = OLD.state AND e.to_state = NEW.state);
END;
-- +goose StatementEnd

-- A correction is an action too. SQLite changes no constraint: the table is built anew.
ALTER TABLE action RENAME TO action_before_corrections;
CREATE TABLE action (
  id       TEXT   NOT NULL PRIMARY KEY,
  at       BIGINT NOT NULL,
  kind     TEXT   NOT NULL CONSTRAINT action_kind_bounded CHECK (length(kind) BETWEEN 1 AND 50),
  scope    TEXT   NOT NULL,
  provider TEXT   NOT NULL,
  subject  TEXT   NOT NULL,                    -- rule, customer or purchase
  until_at BIGINT,
  by_whom  TEXT   NOT NULL,
  reason   TEXT   NOT NULL,
  effect   TEXT   NOT NULL
);
INSERT INTO action (id, at, kind, scope, provider, subject, until_at, by_whom, reason, effect)
  SELECT id, at, kind, scope, provider, subject, until_at, by_whom, reason, effect FROM action_before_corrections;
DROP TABLE action_before_corrections;
CREATE INDEX action_newest ON action (at, id);
-- +goose StatementBegin
CREATE TRIGGER action_kept BEFORE DELETE ON action FOR EACH ROW BEGIN
  SELECT RAISE(ABORT, 'action_is_kept') WHERE TRUE;
END;
-- +goose StatementEnd
-- +goose StatementBegin
CREATE TRIGGER action_unchanged BEFORE UPDATE ON action FOR EACH ROW BEGIN
  SELECT RAISE(ABORT, 'action_is_kept') WHERE TRUE;
END;
-- +goose StatementEnd
