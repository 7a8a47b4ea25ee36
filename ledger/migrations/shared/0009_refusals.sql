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

-- What shows that a price at a provider is what is billed: per connection, rule,
-- price and pack, when a bill of that amount was last seen. Until one was,
-- purchases go one after the other, so that a wrong price is billed once.
CREATE TABLE canary (
  provider       TEXT   NOT NULL REFERENCES provider (id),
  rule           TEXT   NOT NULL CONSTRAINT canary_rule_bounded CHECK (length(rule) BETWEEN 1 AND 200),
  price_id       TEXT   NOT NULL CONSTRAINT canary_price_id_bounded CHECK (length(price_id) <= 300),
  price_minor    BIGINT NOT NULL,
  price_currency TEXT   NOT NULL CONSTRAINT canary_currency_is_a_code CHECK (length(price_currency) = 3),
  credits_micro  BIGINT NOT NULL,
  passed_at      BIGINT,                       -- NULL: not since price or pack changed
  purchase       TEXT   NOT NULL DEFAULT '',   -- the newest that went alone and may still be billed
  next_at        BIGINT,                       -- when another one goes although that one shows nothing
  since_at       BIGINT,                       -- since when the price has been bought at and not been shown
  PRIMARY KEY (provider, rule, price_id, price_minor, price_currency, credits_micro)
);

-- Refused requests of the last hour, until the rule has bought something: the same
-- refusal at several customers is about the rule. counted is 0 until the customer
-- was read again; one that is gone from the provider does not count.
CREATE TABLE refusal (
  purchase TEXT   NOT NULL PRIMARY KEY REFERENCES purchase (id),
  provider TEXT   NOT NULL,
  customer TEXT   NOT NULL,
  product  TEXT   NOT NULL,
  rule     TEXT   NOT NULL,
  version  TEXT   NOT NULL,
  sign     TEXT   NOT NULL CONSTRAINT refusal_sign_bounded CHECK (length(sign) <= 1000), -- status and words without ids
  words    TEXT   NOT NULL CONSTRAINT refusal_words_bounded CHECK (length(words) <= 4000),
  at       BIGINT NOT NULL,
  counted  BIGINT NOT NULL DEFAULT 0 CONSTRAINT refusal_counted_is_a_bool CHECK (counted IN (0, 1))
);
CREATE INDEX refusal_alike ON refusal (rule, sign, at);
CREATE INDEX refusal_uncounted ON refusal (provider, at) WHERE counted = 0;

-- Rules that topupd has stopped because the provider refuses what they ask for,
-- and when one customer is tried again.
CREATE TABLE refused_rule (
  rule     TEXT   NOT NULL PRIMARY KEY CONSTRAINT refused_rule_bounded CHECK (length(rule) BETWEEN 1 AND 200),
  version  TEXT   NOT NULL,
  since_at BIGINT NOT NULL,
  wait_us  BIGINT NOT NULL,
  probe_at BIGINT NOT NULL,                    -- not before
  purchase TEXT   NOT NULL DEFAULT ''          -- the newest that was let through
);

-- Purchases whose bill was refunded when their customer was low again: whoever paid
-- it back may not want it bought again. Holds the customer until a person resumes
-- it, and never again for the same bill.
CREATE TABLE refund (
  provider    TEXT   NOT NULL,
  invoice     TEXT   NOT NULL CONSTRAINT refund_invoice_bounded CHECK (length(invoice) BETWEEN 1 AND 300),
  customer    TEXT   NOT NULL,
  product     TEXT   NOT NULL,
  why         TEXT   NOT NULL CONSTRAINT refund_why_bounded CHECK (length(why) BETWEEN 1 AND 2000),
  seen_at     BIGINT NOT NULL,
  released_at BIGINT,
  released_by TEXT   NOT NULL DEFAULT '' CONSTRAINT refund_released_by_bounded CHECK (length(released_by) <= 300),
  PRIMARY KEY (provider, invoice),
  FOREIGN KEY (provider, customer, product) REFERENCES target (provider, customer, product)
);
CREATE INDEX refund_of_target ON refund (provider, customer, product);
CREATE INDEX refund_holds ON refund (provider) WHERE released_at IS NULL;
CREATE INDEX refund_of_customer ON refund (customer) WHERE released_at IS NULL;
