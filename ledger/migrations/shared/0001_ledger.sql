-- +goose Up
-- The ledger. One DDL for PostgreSQL and SQLite; what needs a procedural
-- language stands in 0002, once per engine.
--
-- Times are BIGINT microseconds since 1970 in UTC (*_at, *_until), durations
-- BIGINT microseconds (*_us), credits millionths (*_micro), money minor units
-- (*_minor): SQLite has no time type, and neither engine may round. Booleans
-- are 0 and 1. '' means "none" where NULL is not allowed.

-- A provider connection: its identity, who works on it, what stops it.
CREATE TABLE provider (
  id             TEXT   NOT NULL PRIMARY KEY CONSTRAINT provider_id_bounded CHECK (length(id) BETWEEN 1 AND 300),
  name           TEXT   NOT NULL CONSTRAINT provider_name_bounded CHECK (length(name) <= 200),
  type           TEXT   NOT NULL CONSTRAINT provider_type_bounded CHECK (length(type) <= 50),
  first_seen_at  BIGINT NOT NULL,
  hold_lifted_at BIGINT,                       -- a person ended the first hold early
  stopped        TEXT   NOT NULL DEFAULT '' CONSTRAINT provider_stopped_bounded CHECK (length(stopped) <= 2000),
  stopped_token  TEXT   NOT NULL DEFAULT '' CONSTRAINT provider_stopped_token_bounded CHECK (length(stopped_token) <= 200),
  quarantined    TEXT   NOT NULL DEFAULT '' CONSTRAINT provider_quarantined_bounded CHECK (length(quarantined) <= 2000),
  holder         TEXT   NOT NULL DEFAULT '' CONSTRAINT provider_holder_bounded CHECK (length(holder) <= 200),
  lease_until    BIGINT NOT NULL DEFAULT 0,
  term           BIGINT NOT NULL DEFAULT 0 CONSTRAINT provider_term_not_negative CHECK (term >= 0)
);

-- What decisions about one target rest on. Whatever could change a decision
-- raises version, and one that was made on an older version is refused (P1).
CREATE TABLE target (
  provider            TEXT   NOT NULL REFERENCES provider (id),
  customer            TEXT   NOT NULL CONSTRAINT target_customer_bounded CHECK (length(customer) BETWEEN 1 AND 300),
  product             TEXT   NOT NULL CONSTRAINT target_product_bounded CHECK (length(product) BETWEEN 1 AND 300),
  version             BIGINT NOT NULL DEFAULT 0 CONSTRAINT target_version_not_negative CHECK (version >= 0),
  declines            BIGINT NOT NULL DEFAULT 0 CONSTRAINT target_declines_in_range CHECK (declines BETWEEN 0 AND 1000000),
  backoff_until       BIGINT,
  suspended_at        BIGINT,
  payment_fingerprint TEXT   NOT NULL DEFAULT '' CONSTRAINT target_payment_fingerprint_bounded CHECK (length(payment_fingerprint) <= 2000),
  newest_row_at       BIGINT,                  -- provider time of the newest addition of credits, whoever made it
  foreign_at          BIGINT,                  -- the same of the newest addition that is not ours
  settled_at          BIGINT,
  ended_at            BIGINT,
  ended_state         TEXT   NOT NULL DEFAULT '' CONSTRAINT target_ended_state_known CHECK (ended_state IN ('', 'settled', 'declined', 'cancelled')),
  implausible         TEXT   NOT NULL DEFAULT '' CONSTRAINT target_implausible_bounded CHECK (length(implausible) <= 2000),
  PRIMARY KEY (provider, customer, product)
);

-- One intent to buy. Columns down to planned_at never change.
CREATE TABLE purchase (
  id                  TEXT   NOT NULL PRIMARY KEY CONSTRAINT purchase_id_bounded CHECK (length(id) BETWEEN 8 AND 64),
  revision            BIGINT NOT NULL CONSTRAINT purchase_revision_positive CHECK (revision >= 1),
  provider            TEXT   NOT NULL,
  customer            TEXT   NOT NULL,
  product             TEXT   NOT NULL,
  provider_name       TEXT   NOT NULL CONSTRAINT purchase_provider_name_bounded CHECK (length(provider_name) <= 200),
  customer_name       TEXT   NOT NULL CONSTRAINT purchase_customer_name_bounded CHECK (length(customer_name) <= 1000),
  product_name        TEXT   NOT NULL CONSTRAINT purchase_product_name_bounded CHECK (length(product_name) <= 1000),
  rule                TEXT   NOT NULL CONSTRAINT purchase_rule_bounded CHECK (length(rule) BETWEEN 1 AND 200),
  rule_version        TEXT   NOT NULL CONSTRAINT purchase_rule_version_bounded CHECK (length(rule_version) <= 200),
  terms               TEXT   NOT NULL CONSTRAINT purchase_terms_bounded CHECK (length(terms) <= 100000),
  credits_micro       BIGINT NOT NULL CONSTRAINT purchase_credits_in_range CHECK (credits_micro BETWEEN 0 AND 1000000000000000000),
  price_minor         BIGINT NOT NULL CONSTRAINT purchase_price_in_range CHECK (price_minor BETWEEN 1 AND 1000000000000000),
  price_currency      TEXT   NOT NULL CONSTRAINT purchase_currency_is_a_code CHECK (length(price_currency) = 3),
  price_id            TEXT   NOT NULL CONSTRAINT purchase_price_id_bounded CHECK (length(price_id) <= 300),
  payment_method_id   TEXT   NOT NULL CONSTRAINT purchase_payment_method_bounded CHECK (length(payment_method_id) <= 300),
  expires_at          BIGINT,
  idempotency_key     TEXT   NOT NULL CONSTRAINT purchase_key_bounded CHECK (length(idempotency_key) BETWEEN 16 AND 64),
  request_method      TEXT   NOT NULL CONSTRAINT purchase_method_bounded CHECK (length(request_method) BETWEEN 1 AND 10),
  request_path        TEXT   NOT NULL CONSTRAINT purchase_path_bounded CHECK (length(request_path) BETWEEN 1 AND 4000),
  request_body        BYTEA  NOT NULL CONSTRAINT purchase_body_bounded CHECK (length(request_body) <= 100000),
  fingerprint         TEXT   NOT NULL CONSTRAINT purchase_fingerprint_bounded CHECK (length(fingerprint) BETWEEN 1 AND 128),
  policy              TEXT   NOT NULL CONSTRAINT purchase_policy_known CHECK (policy IN ('replay', 'park')),
  quiet_period_us     BIGINT NOT NULL CONSTRAINT purchase_quiet_period_in_range CHECK (quiet_period_us BETWEEN 0 AND 604800000000),
  purchase_timeout_us BIGINT NOT NULL CONSTRAINT purchase_timeout_in_range CHECK (purchase_timeout_us BETWEEN 0 AND 86400000000),
  backoff_us          BIGINT NOT NULL CONSTRAINT purchase_backoff_in_range CHECK (backoff_us BETWEEN 0 AND 31622400000000),
  max_backoff_us      BIGINT NOT NULL CONSTRAINT purchase_max_backoff_in_range CHECK (max_backoff_us BETWEEN 0 AND 31622400000000),
  suspend_after       BIGINT NOT NULL CONSTRAINT purchase_suspend_after_in_range CHECK (suspend_after BETWEEN 0 AND 1000000),
  max_reading_age_us  BIGINT NOT NULL CONSTRAINT purchase_max_reading_age_in_range CHECK (max_reading_age_us BETWEEN 0 AND 86400000000),
  balance_micro       BIGINT NOT NULL CONSTRAINT purchase_balance_in_range CHECK (balance_micro BETWEEN -1000000000000000000 AND 1000000000000000000),
  threshold_micro     BIGINT NOT NULL CONSTRAINT purchase_threshold_in_range CHECK (threshold_micro BETWEEN -1000000000000000000 AND 1000000000000000000),
  read_at             BIGINT,
  refreshed_at        BIGINT,
  baseline            TEXT   NOT NULL CONSTRAINT purchase_baseline_bounded CHECK (length(baseline) <= 1000000),
  planned_at          BIGINT NOT NULL,

  state               TEXT   NOT NULL CONSTRAINT purchase_state_known CHECK (state IN ('planned', 'held', 'sent', 'confirmed', 'parked', 'settled', 'declined', 'cancelled')),
  payment             TEXT   NOT NULL CONSTRAINT purchase_payment_known CHECK (payment IN ('none', 'pending', 'paid', 'failed', 'void')),
  reason              TEXT   NOT NULL DEFAULT '' CONSTRAINT purchase_reason_bounded CHECK (length(reason) <= 50),
  detail              TEXT   NOT NULL DEFAULT '' CONSTRAINT purchase_detail_bounded CHECK (length(detail) <= 4000),
  permit_token        TEXT   NOT NULL DEFAULT '' CONSTRAINT purchase_permit_token_bounded CHECK (length(permit_token) <= 64),
  permit_at           BIGINT,
  sent_at             BIGINT,
  last_sent_at        BIGINT,
  attempts            BIGINT NOT NULL DEFAULT 0 CONSTRAINT purchase_attempts_in_range CHECK (attempts BETWEEN 0 AND 1000),
  repeats             BIGINT NOT NULL DEFAULT 0 CONSTRAINT purchase_at_most_three_repeats CHECK (repeats BETWEEN 0 AND 3),
  refused             BIGINT NOT NULL DEFAULT 0 CONSTRAINT purchase_refused_is_a_bool CHECK (refused IN (0, 1)),
  reference           TEXT   CONSTRAINT purchase_reference_bounded CHECK (length(reference) BETWEEN 1 AND 300),
  reference_by        TEXT   NOT NULL DEFAULT '' CONSTRAINT purchase_reference_by_known CHECK (reference_by IN ('', 'answer', 'evidence', 'person')),
  row_at              BIGINT,
  charged_minor       BIGINT CONSTRAINT purchase_charged_in_range CHECK (charged_minor BETWEEN -1000000000000000 AND 1000000000000000),
  charged_currency    TEXT   NOT NULL DEFAULT '' CONSTRAINT purchase_charged_currency_is_a_code CHECK (length(charged_currency) IN (0, 3)),
  confirmed_at        BIGINT,
  empty_looks         BIGINT NOT NULL DEFAULT 0 CONSTRAINT purchase_empty_looks_in_range CHECK (empty_looks BETWEEN 0 AND 1000000),
  empty_look_at       BIGINT,
  looked_at           BIGINT,
  look_step           BIGINT NOT NULL DEFAULT 0 CONSTRAINT purchase_look_step_in_range CHECK (look_step BETWEEN 0 AND 1000000000),
  next_look_at        BIGINT,
  found               TEXT   NOT NULL DEFAULT '' CONSTRAINT purchase_found_bounded CHECK (length(found) <= 4000),
  found_at            BIGINT,
  finished_at         BIGINT,
  resolved_by         TEXT   NOT NULL DEFAULT '' CONSTRAINT purchase_resolved_by_bounded CHECK (length(resolved_by) <= 300),
  note                TEXT   NOT NULL DEFAULT '' CONSTRAINT purchase_note_bounded CHECK (length(note) <= 4000),
  changed_at          BIGINT NOT NULL,
  counted             BIGINT NOT NULL DEFAULT 0 CONSTRAINT purchase_counted_is_a_bool CHECK (counted IN (0, 1)),

  FOREIGN KEY (provider, customer, product) REFERENCES target (provider, customer, product),
  -- Nothing counts as bought without the provider's own id or a person's name.
  CONSTRAINT purchase_confirmed_by_reference_or_person CHECK (state NOT IN ('confirmed', 'settled') OR reference IS NOT NULL OR resolved_by <> ''),
  CONSTRAINT purchase_declined_has_a_reason CHECK (state <> 'declined' OR reason <> '' OR resolved_by <> ''),
  CONSTRAINT purchase_resolved_with_a_note CHECK (resolved_by = '' OR note <> ''),
  -- Nobody may tell what became of a request before it had a permit.
  CONSTRAINT purchase_sent_has_times CHECK (state IN ('planned', 'held', 'cancelled') OR (sent_at IS NOT NULL AND last_sent_at IS NOT NULL)),
  -- Absence proves nothing while the request may still run; 12 hours after the first one it is a person's turn.
  CONSTRAINT purchase_parked_after_quiet_period CHECK (state <> 'parked' OR changed_at >= last_sent_at + quiet_period_us OR changed_at > sent_at + 43200000000),
  CONSTRAINT purchase_finished_when_final CHECK ((state IN ('settled', 'declined', 'cancelled')) = (finished_at IS NOT NULL))
);

-- P1: at most one open purchase per target, however many processes run. A
-- state that this index does not know blocks.
CREATE UNIQUE INDEX purchase_one_open ON purchase (provider, customer, product)
  WHERE state NOT IN ('settled', 'declined', 'cancelled');
-- One charge at the provider explains one purchase.
CREATE UNIQUE INDEX purchase_reference ON purchase (provider, reference) WHERE reference IS NOT NULL;
CREATE UNIQUE INDEX purchase_key ON purchase (idempotency_key);
CREATE INDEX purchase_due ON purchase (provider, next_look_at) WHERE next_look_at IS NOT NULL;
CREATE INDEX purchase_newest ON purchase (planned_at, id);
CREATE INDEX purchase_of_target ON purchase (provider, customer, product, planned_at);
CREATE INDEX purchase_unpaid ON purchase (provider, payment) WHERE payment IN ('pending', 'failed');
CREATE INDEX purchase_uncounted ON purchase (provider, finished_at) WHERE finished_at IS NOT NULL AND counted = 0;

-- The right to put one request on the wire. A purchase is sent only under one.
CREATE TABLE permit (
  purchase_id       TEXT   NOT NULL REFERENCES purchase (id),
  n                 BIGINT NOT NULL CONSTRAINT permit_n_in_range CHECK (n BETWEEN 1 AND 1000),
  token             TEXT   NOT NULL CONSTRAINT permit_token_bounded CHECK (length(token) BETWEEN 16 AND 64),
  replica           TEXT   NOT NULL CONSTRAINT permit_replica_bounded CHECK (length(replica) <= 300),
  at                BIGINT NOT NULL,
  idempotency_key   TEXT   NOT NULL,
  fingerprint       TEXT   NOT NULL,           -- of the request
  token_fingerprint TEXT   NOT NULL CONSTRAINT permit_token_fingerprint_bounded CHECK (length(token_fingerprint) <= 200),
  term              BIGINT NOT NULL,           -- of the lease it was given under
  used              BIGINT NOT NULL DEFAULT 1 CONSTRAINT permit_used_is_a_bool CHECK (used IN (0, 1)), -- 0: certainly not run
  PRIMARY KEY (purchase_id, n),
  CONSTRAINT permit_token_once UNIQUE (token)
);

-- Append-only history of a purchase.
CREATE TABLE evidence (
  purchase_id TEXT   NOT NULL REFERENCES purchase (id),
  n           BIGINT NOT NULL,
  at          BIGINT NOT NULL,
  kind        TEXT   NOT NULL CONSTRAINT evidence_kind_bounded CHECK (length(kind) BETWEEN 1 AND 50),
  from_state  TEXT   NOT NULL,
  to_state    TEXT   NOT NULL,
  text        TEXT   NOT NULL CONSTRAINT evidence_text_bounded CHECK (length(text) <= 4000),
  detail      TEXT   NOT NULL CONSTRAINT evidence_detail_bounded CHECK (length(detail) <= 200000),
  PRIMARY KEY (purchase_id, n)
);

-- Additions of credits at the provider that are not ours.
CREATE TABLE foreign_topup (
  provider       TEXT   NOT NULL,
  id             TEXT   NOT NULL CONSTRAINT foreign_topup_id_bounded CHECK (length(id) BETWEEN 1 AND 300),
  customer       TEXT   NOT NULL,
  product        TEXT   NOT NULL,
  invoice        TEXT   NOT NULL CONSTRAINT foreign_topup_invoice_bounded CHECK (length(invoice) <= 300),
  credits_micro  BIGINT NOT NULL,
  price_minor    BIGINT NOT NULL,
  price_currency TEXT   NOT NULL CONSTRAINT foreign_topup_currency_is_a_code CHECK (length(price_currency) IN (0, 3)),
  price_id       TEXT   NOT NULL CONSTRAINT foreign_topup_price_id_bounded CHECK (length(price_id) <= 300),
  source         TEXT   NOT NULL CONSTRAINT foreign_topup_source_bounded CHECK (length(source) <= 300),
  at             BIGINT NOT NULL,
  imported_at    BIGINT NOT NULL,
  PRIMARY KEY (provider, id),
  FOREIGN KEY (provider, customer, product) REFERENCES target (provider, customer, product)
);

-- Counters behind the caps (P6): purchases ('' as currency) and spend excluding
-- tax, per scope and UTC calendar window of planned_at.
CREATE TABLE cap_window (
  scope     TEXT   NOT NULL CONSTRAINT cap_window_scope_known CHECK (scope IN ('global', 'provider', 'rule', 'customer')),
  provider  TEXT   NOT NULL,                   -- '' for global and rule
  id        TEXT   NOT NULL,                   -- rule name or customer id, else ''
  period    TEXT   NOT NULL CONSTRAINT cap_window_period_known CHECK (period IN ('hour', 'day', 'month')),
  starts_at BIGINT NOT NULL,
  currency  TEXT   NOT NULL CONSTRAINT cap_window_currency_is_a_code CHECK (length(currency) IN (0, 3)),
  total     BIGINT NOT NULL CONSTRAINT cap_window_total_in_range CHECK (total BETWEEN 0 AND 4000000000000000000),
  PRIMARY KEY (scope, provider, id, period, starts_at, currency)
);

-- Switches thrown by people (P12).
CREATE TABLE pause (
  scope     TEXT   NOT NULL CONSTRAINT pause_scope_known CHECK (scope IN ('all', 'provider', 'rule', 'customer')),
  provider  TEXT   NOT NULL,
  id        TEXT   NOT NULL CONSTRAINT pause_id_bounded CHECK (length(id) <= 300),
  until_at  BIGINT,
  reason    TEXT   NOT NULL CONSTRAINT pause_reason_bounded CHECK (length(reason) <= 2000),
  by_whom   TEXT   NOT NULL CONSTRAINT pause_by_whom_bounded CHECK (length(by_whom) <= 300),
  at        BIGINT NOT NULL,
  PRIMARY KEY (scope, provider, id)
);

-- What people did; append-only.
CREATE TABLE action (
  id       TEXT   NOT NULL PRIMARY KEY,
  at       BIGINT NOT NULL,
  kind     TEXT   NOT NULL CONSTRAINT action_kind_known CHECK (kind IN ('pause', 'resume', 'resolve')),
  scope    TEXT   NOT NULL,
  provider TEXT   NOT NULL,
  subject  TEXT   NOT NULL,                    -- rule, customer or purchase
  until_at BIGINT,
  by_whom  TEXT   NOT NULL,
  reason   TEXT   NOT NULL,
  effect   TEXT   NOT NULL
);
CREATE INDEX action_newest ON action (at, id);

-- The latest evaluation of each target (P15). evaluations counts them: its
-- remainder by 20 is the slot that the next one takes.
CREATE TABLE snapshot (
  provider        TEXT   NOT NULL REFERENCES provider (id),
  customer        TEXT   NOT NULL,
  product         TEXT   NOT NULL,
  provider_name   TEXT   NOT NULL,
  customer_name   TEXT   NOT NULL,
  product_name    TEXT   NOT NULL,
  at              BIGINT NOT NULL,
  since_at        BIGINT NOT NULL,             -- since when the reason has been the same
  reason          TEXT   NOT NULL,
  text            TEXT   NOT NULL,
  rule            TEXT   NOT NULL,
  rule_version    TEXT   NOT NULL,
  balance_micro   BIGINT,
  threshold_micro BIGINT,
  read_at         BIGINT,
  refreshed_at    BIGINT,
  purchase        TEXT   NOT NULL,
  detail          TEXT   NOT NULL,
  evaluations     BIGINT NOT NULL,
  PRIMARY KEY (provider, customer, product)
);
CREATE INDEX snapshot_of_customer ON snapshot (customer);

-- The last 20 evaluations of each target.
CREATE TABLE evaluation (
  provider        TEXT   NOT NULL,
  customer        TEXT   NOT NULL,
  product         TEXT   NOT NULL,
  slot            BIGINT NOT NULL CONSTRAINT evaluation_slot_in_range CHECK (slot BETWEEN 0 AND 19),
  n               BIGINT NOT NULL,
  provider_name   TEXT   NOT NULL,
  customer_name   TEXT   NOT NULL,
  product_name    TEXT   NOT NULL,
  at              BIGINT NOT NULL,
  since_at        BIGINT NOT NULL,
  reason          TEXT   NOT NULL,
  text            TEXT   NOT NULL,
  rule            TEXT   NOT NULL,
  rule_version    TEXT   NOT NULL,
  balance_micro   BIGINT,
  threshold_micro BIGINT,
  read_at         BIGINT,
  refreshed_at    BIGINT,
  purchase        TEXT   NOT NULL,
  detail          TEXT   NOT NULL,
  PRIMARY KEY (provider, customer, product, slot)
);

-- The chart of a purchase's life; the guards of 0002 refuse every other pair.
CREATE TABLE purchase_transition (
  from_state TEXT NOT NULL,
  to_state   TEXT NOT NULL,
  PRIMARY KEY (from_state, to_state)
);
INSERT INTO purchase_transition (from_state, to_state) VALUES
  ('planned', 'sent'), ('planned', 'cancelled'),
  ('held', 'planned'), ('held', 'cancelled'),
  ('sent', 'confirmed'), ('sent', 'declined'), ('sent', 'cancelled'), ('sent', 'parked'),
  ('confirmed', 'settled'), ('confirmed', 'declined'),
  ('parked', 'confirmed'), ('parked', 'declined');
