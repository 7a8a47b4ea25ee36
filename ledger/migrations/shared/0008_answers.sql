-- +goose Up
-- When the answer to the request was stored: a permit is answered once.
ALTER TABLE permit ADD COLUMN answered_at BIGINT;
-- An answer said that something was made, or that its key is of no use: never sent again.
ALTER TABLE purchase ADD COLUMN never_repeat BIGINT NOT NULL DEFAULT 0
  CONSTRAINT purchase_never_repeat_is_a_bool CHECK (never_repeat IN (0, 1));
-- Whole requests that the provider turned away before they ran: in a row, no next
-- one before, and how many on the UTC day that begins then.
ALTER TABLE target ADD COLUMN unused BIGINT NOT NULL DEFAULT 0
  CONSTRAINT target_unused_in_range CHECK (unused BETWEEN 0 AND 1000000);
ALTER TABLE target ADD COLUMN unused_until BIGINT;
ALTER TABLE target ADD COLUMN unused_day BIGINT;
ALTER TABLE target ADD COLUMN unused_today BIGINT NOT NULL DEFAULT 0
  CONSTRAINT target_unused_today_in_range CHECK (unused_today BETWEEN 0 AND 1000000);
