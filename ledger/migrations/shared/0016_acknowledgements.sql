-- +goose Up
-- A difference with the provider's books is acknowledged once; the log of actions
-- keeps by whom, when and why. Nothing takes it back.
CREATE UNIQUE INDEX action_acknowledged_once ON action (subject) WHERE kind = 'acknowledge';
