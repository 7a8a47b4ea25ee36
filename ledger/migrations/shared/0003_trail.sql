-- +goose Up
-- What the balance has shown since a purchase was sent, as JSON, at a provider
-- without books: the last samples and the rises that could be the purchase. On
-- the row, so that it survives a restart with everything else. '' = nothing yet.
ALTER TABLE purchase ADD COLUMN trail TEXT NOT NULL DEFAULT ''
  CONSTRAINT purchase_trail_bounded CHECK (length(trail) <= 10000);
