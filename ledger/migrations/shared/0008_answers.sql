-- +goose Up
-- When the answer to the request was stored: a permit is answered once.
ALTER TABLE permit ADD COLUMN answered_at BIGINT;
-- An answer said that something was made, or that its key is of no use: never sent again.
ALTER TABLE purchase ADD COLUMN never_repeat BIGINT NOT NULL DEFAULT 0
  CONSTRAINT purchase_never_repeat_is_a_bool CHECK (never_repeat IN (0, 1));
