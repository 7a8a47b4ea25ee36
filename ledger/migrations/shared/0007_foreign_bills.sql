-- +goose Up
-- What was imported by its bill alone, asked for before each purchase.
CREATE INDEX foreign_topup_bills ON foreign_topup (provider, customer, product, at) WHERE id = invoice;
