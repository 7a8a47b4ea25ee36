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
CREATE FUNCTION purchase_corrected() RETURNS TRIGGER LANGUAGE plpgsql AS $$
BEGIN
  IF NEW.resolved_by = '' OR NEW.corrected_at IS DISTINCT FROM NEW.changed_at OR NEW.corrected_from <> OLD.state OR NOT EXISTS
     (SELECT 1 FROM evidence e WHERE e.purchase_id = NEW.id AND e.kind = 'corrected' AND e.at = NEW.corrected_at
      AND e.from_state = OLD.state AND e.to_state = NEW.state) THEN
    PERFORM topupd_refuse('purchase_ends_once_or_is_corrected');
  END IF;
  RETURN NEW;
END $$;
-- +goose StatementEnd
CREATE TRIGGER purchase_corrected BEFORE UPDATE ON purchase FOR EACH ROW
  WHEN (OLD.state IN ('settled', 'declined', 'cancelled') AND NEW.state <> OLD.state OR NEW.corrected_at IS DISTINCT FROM OLD.corrected_at)
  EXECUTE FUNCTION purchase_corrected();

-- A correction is an action too.
ALTER TABLE action DROP CONSTRAINT action_kind_known;
ALTER TABLE action ADD CONSTRAINT action_kind_bounded CHECK (length(kind) BETWEEN 1 AND 50);
