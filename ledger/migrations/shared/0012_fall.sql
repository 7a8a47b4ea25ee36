-- +goose Up
-- Balances that became zero or unreadable although nothing explains it (P14): one
-- row per target, from the sweep that saw it. Rows of two minutes are counted, of
-- all accounts of a host where a provider is one account, so that processes agree
-- on a crowd. A row is open until the balance is back, or believed because a
-- person or an expiry at the provider says that it is true.
CREATE TABLE fall (
  provider     TEXT   NOT NULL REFERENCES provider (id),
  customer     TEXT   NOT NULL CONSTRAINT fall_customer_bounded CHECK (length(customer) BETWEEN 1 AND 300),
  product      TEXT   NOT NULL CONSTRAINT fall_product_bounded CHECK (length(product) BETWEEN 1 AND 300),
  at           BIGINT NOT NULL,
  before_micro BIGINT NOT NULL,                -- the balance that was believed last
  read_at      BIGINT NOT NULL,                -- of the first reading that showed it
  as_of        BIGINT,                         -- the provider's stamp on it
  bad          BIGINT NOT NULL CONSTRAINT fall_bad_is_a_bool CHECK (bad IN (0, 1)),       -- unreadable, no zero
  twice        BIGINT NOT NULL CONSTRAINT fall_twice_is_a_bool CHECK (twice IN (0, 1)),   -- must be seen by a second witness
  beside       BIGINT NOT NULL CONSTRAINT fall_beside_is_a_bool CHECK (beside IN (0, 1)), -- held with a crowd, and no part of it
  state        TEXT   NOT NULL CONSTRAINT fall_state_known CHECK (state IN ('open', 'believed', 'over')),
  PRIMARY KEY (provider, customer, product)
);
CREATE INDEX fall_newest ON fall (at);
CREATE INDEX fall_of_provider ON fall (provider, at);
CREATE INDEX fall_not_over ON fall (provider) WHERE state <> 'over';

-- When readings held the target, which readings can end; NULL when only a person can.
ALTER TABLE target ADD COLUMN doubted_at BIGINT;

-- What was bought and ends at a time explains a fall.
CREATE INDEX purchase_expiring ON purchase (provider, expires_at) WHERE expires_at IS NOT NULL;
