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
  id                 TEXT   NOT NULL PRIMARY KEY CONSTRAINT provider_id_bounded CHECK (length(id) BETWEEN 1 AND 300),
  name               TEXT   NOT NULL CONSTRAINT provider_name_bounded CHECK (length(name) <= 200),
  type               TEXT   NOT NULL CONSTRAINT provider_type_bounded CHECK (length(type) <= 50),
  first_seen_at      BIGINT NOT NULL,
  hold_lifted_at     BIGINT,                       -- a person ended the first hold early
  stopped            TEXT   NOT NULL DEFAULT '' CONSTRAINT provider_stopped_bounded CHECK (length(stopped) <= 2000),
  stopped_token      TEXT   NOT NULL DEFAULT '' CONSTRAINT provider_stopped_token_bounded CHECK (length(stopped_token) <= 200),
  quarantined        TEXT   NOT NULL DEFAULT '' CONSTRAINT provider_quarantined_bounded CHECK (length(quarantined) <= 2000),
  holder             TEXT   NOT NULL DEFAULT '' CONSTRAINT provider_holder_bounded CHECK (length(holder) <= 200),
  lease_until        BIGINT NOT NULL DEFAULT 0,
  term               BIGINT NOT NULL DEFAULT 0 CONSTRAINT provider_term_not_negative CHECK (term >= 0),
  -- When a quarantine began, whether only a person ends it, and whose word would
  -- end it at once: the holder that the lineage found when it moved.
  quarantined_at     BIGINT,
  quarantine_held    BIGINT NOT NULL DEFAULT 0 CONSTRAINT provider_quarantine_held_is_a_bit CHECK (quarantine_held IN (0, 1)),
  quarantine_witness TEXT   NOT NULL DEFAULT '' CONSTRAINT provider_quarantine_witness_bounded CHECK (length(quarantine_witness) <= 1000),
  -- Up to when the ledger knows every purchase that the provider's books show.
  known_at           BIGINT
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
  external_at          BIGINT,                  -- the same of the newest addition that is not ours
  credited_at          BIGINT,
  ended_at            BIGINT,
  ended_state         TEXT   NOT NULL DEFAULT '' CONSTRAINT target_ended_state_known CHECK (ended_state IN ('', 'credited', 'declined', 'cancelled')),
  implausible         TEXT   NOT NULL DEFAULT '' CONSTRAINT target_implausible_bounded CHECK (length(implausible) <= 2000),
  -- Whole requests that the provider turned away before they ran: in a row, no next
  -- one before, and how many on the UTC day that begins then.
  unused              BIGINT NOT NULL DEFAULT 0 CONSTRAINT target_unused_in_range CHECK (unused BETWEEN 0 AND 1000000),
  unused_until        BIGINT,
  unused_day          BIGINT,
  unused_today        BIGINT NOT NULL DEFAULT 0 CONSTRAINT target_unused_today_in_range CHECK (unused_today BETWEEN 0 AND 1000000),
  -- A request that the provider refuses is no declined payment: another card does
  -- not help, another rule may. refusals counts those since the last success beside
  -- the declines, refusal is the last one in the provider's words ('' when the last
  -- failure was a decline), and the other two say under which terms: a new version
  -- of the rule is not held back by what an old one was refused for.
  refusals            BIGINT NOT NULL DEFAULT 0 CONSTRAINT target_refusals_in_range CHECK (refusals BETWEEN 0 AND 1000000),
  refusal             TEXT   NOT NULL DEFAULT '' CONSTRAINT target_refusal_bounded CHECK (length(refusal) <= 4000),
  refusal_rule        TEXT   NOT NULL DEFAULT '' CONSTRAINT target_refusal_rule_bounded CHECK (length(refusal_rule) <= 200),
  refusal_version     TEXT   NOT NULL DEFAULT '' CONSTRAINT target_refusal_version_bounded CHECK (length(refusal_version) <= 200),
  -- When readings held the target, which readings can end; NULL when only a person can.
  doubted_at          BIGINT,
  PRIMARY KEY (provider, customer, product)
);
-- Whom resuming a rule sets free.
CREATE INDEX target_refused ON target (refusal_rule) WHERE refusal_rule <> '';
-- What a person lifts.
CREATE INDEX target_of_customer ON target (customer);
CREATE INDEX target_implausible ON target (provider) WHERE implausible <> '';

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
  policy              TEXT   NOT NULL CONSTRAINT purchase_policy_known CHECK (policy IN ('retry', 'review')),
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

  state               TEXT   NOT NULL CONSTRAINT purchase_state_known CHECK (state IN ('planned', 'held', 'sent', 'confirmed', 'needs_review', 'credited', 'declined', 'cancelled')),
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
  -- What the balance has shown since a purchase was sent, as JSON, at a provider
  -- without books: the last samples and the rises that could be the purchase. On
  -- the row, so that it survives a restart with everything else. '' = nothing yet.
  trail               TEXT   NOT NULL DEFAULT '' CONSTRAINT purchase_trail_bounded CHECK (length(trail) <= 10000),
  -- An answer said that something was made, or that its key is of no use: never sent again.
  never_repeat        BIGINT NOT NULL DEFAULT 0 CONSTRAINT purchase_never_repeat_is_a_bool CHECK (never_repeat IN (0, 1)),
  -- Whether retention has been here: of a closed purchase, only what is kept for
  -- ever is left.
  trimmed             BIGINT NOT NULL DEFAULT 0 CONSTRAINT purchase_trimmed_is_a_bool CHECK (trimmed IN (0, 1)),
  -- A person's correcting entry: the newest is on the row, each is in the history
  -- for ever. It goes between final states, so that nothing is opened again.
  corrected_at        BIGINT,
  corrected_from      TEXT   NOT NULL DEFAULT '' CONSTRAINT purchase_corrected_from_known CHECK (corrected_from IN ('', 'confirmed', 'credited', 'declined', 'cancelled')),

  FOREIGN KEY (provider, customer, product) REFERENCES target (provider, customer, product),
  -- Nothing counts as bought without the provider's own id or a person's name.
  CONSTRAINT purchase_confirmed_by_reference_or_person CHECK (state NOT IN ('confirmed', 'credited') OR reference IS NOT NULL OR resolved_by <> ''),
  CONSTRAINT purchase_declined_has_a_reason CHECK (state <> 'declined' OR reason <> '' OR resolved_by <> ''),
  CONSTRAINT purchase_resolved_with_a_note CHECK (resolved_by = '' OR note <> ''),
  -- Nobody may tell what became of a request before it had a permit.
  CONSTRAINT purchase_sent_has_times CHECK (state IN ('planned', 'held', 'cancelled') OR (sent_at IS NOT NULL AND last_sent_at IS NOT NULL)),
  -- Absence proves nothing while the request may still run; 12 hours after the first one it is a person's turn.
  CONSTRAINT purchase_reviewed_after_quiet_period CHECK (state <> 'needs_review' OR changed_at >= last_sent_at + quiet_period_us OR changed_at > sent_at + 43200000000),
  CONSTRAINT purchase_finished_when_final CHECK ((state IN ('credited', 'declined', 'cancelled')) = (finished_at IS NOT NULL))
);

-- P1: at most one open purchase per target, however many processes run. A
-- state that this index does not know blocks.
CREATE UNIQUE INDEX purchase_one_open ON purchase (provider, customer, product)
  WHERE state NOT IN ('credited', 'declined', 'cancelled');
-- One charge at the provider explains one purchase.
CREATE UNIQUE INDEX purchase_reference ON purchase (provider, reference) WHERE reference IS NOT NULL;
CREATE UNIQUE INDEX purchase_key ON purchase (idempotency_key);
CREATE INDEX purchase_due ON purchase (provider, next_look_at) WHERE next_look_at IS NOT NULL;
CREATE INDEX purchase_newest ON purchase (planned_at, id);
CREATE INDEX purchase_of_target ON purchase (provider, customer, product, planned_at);
CREATE INDEX purchase_unpaid ON purchase (provider, payment) WHERE payment IN ('pending', 'failed');
CREATE INDEX purchase_uncounted ON purchase (provider, finished_at) WHERE finished_at IS NOT NULL AND counted = 0;
-- What was bought and ends at a time explains a fall.
CREATE INDEX purchase_expiring ON purchase (provider, expires_at) WHERE expires_at IS NOT NULL;
-- Purchases, newest first, by what a person names.
CREATE INDEX purchase_of_provider ON purchase (provider, planned_at, id);
CREATE INDEX purchase_of_customer ON purchase (customer, planned_at, id);
CREATE INDEX purchase_of_rule ON purchase (rule, planned_at, id);
CREATE INDEX purchase_in_state ON purchase (state, planned_at, id);
-- By the beginning and by the end of their ids.
CREATE INDEX purchase_begins ON purchase (substr(id, 1, 8));
CREATE INDEX purchase_ends ON purchase (substr(id, length(id) - 3));
-- What a comparison with the books could not judge yet.
CREATE INDEX purchase_finished ON purchase (provider, finished_at) WHERE finished_at IS NOT NULL;
CREATE INDEX purchase_quiet ON purchase (provider, (last_sent_at + quiet_period_us));
CREATE INDEX purchase_untrimmed ON purchase (finished_at) WHERE finished_at IS NOT NULL AND trimmed = 0;
CREATE INDEX purchase_decided ON purchase (planned_at, id) WHERE resolved_by <> '';

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
  -- When the answer to the request was stored: a permit is answered once.
  answered_at       BIGINT,
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
CREATE TABLE external_topup (
  provider       TEXT   NOT NULL,
  id             TEXT   NOT NULL CONSTRAINT external_topup_id_bounded CHECK (length(id) BETWEEN 1 AND 300),
  customer       TEXT   NOT NULL,
  product        TEXT   NOT NULL,
  invoice        TEXT   NOT NULL CONSTRAINT external_topup_invoice_bounded CHECK (length(invoice) <= 300),
  credits_micro  BIGINT NOT NULL,
  price_minor    BIGINT NOT NULL,
  price_currency TEXT   NOT NULL CONSTRAINT external_topup_currency_is_a_code CHECK (length(price_currency) IN (0, 3)),
  price_id       TEXT   NOT NULL CONSTRAINT external_topup_price_id_bounded CHECK (length(price_id) <= 300),
  source         TEXT   NOT NULL CONSTRAINT external_topup_source_bounded CHECK (length(source) <= 300),
  at             BIGINT NOT NULL,
  imported_at    BIGINT NOT NULL,
  PRIMARY KEY (provider, id),
  FOREIGN KEY (provider, customer, product) REFERENCES target (provider, customer, product)
);
-- Tables of a million rows: every question of the daemon, and those that people
-- ask day by day, finds its rows by an index (TestNothingScansALargeTable).
-- Additions by somebody else: by the invoice behind them, by their target, and
-- by either of their times.
CREATE INDEX external_topup_invoice ON external_topup (provider, invoice) WHERE invoice <> '';
CREATE INDEX external_topup_of_target ON external_topup (provider, customer, product, at);
CREATE INDEX external_topup_at ON external_topup (provider, at);
CREATE INDEX external_topup_imported ON external_topup (provider, imported_at);

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
-- What is spent in the windows of now, for gauges: the windows of a scope that
-- begin at a time, the fullest last.
CREATE INDEX cap_window_now ON cap_window (scope, period, starts_at, currency, total);

-- Switches thrown by people (P12), and what topupd stops by itself.

CREATE TABLE pause (
  id        TEXT   NOT NULL PRIMARY KEY CONSTRAINT pause_id_is_short CHECK (length(id) BETWEEN 1 AND 64),
  scope     TEXT   NOT NULL CONSTRAINT pause_scope_known CHECK (scope IN ('all', 'provider', 'rule', 'customer')),
  provider  TEXT   NOT NULL,
  subject   TEXT   NOT NULL CONSTRAINT pause_subject_bounded CHECK (length(subject) <= 300), -- rule or customer
  cause     TEXT   NOT NULL CONSTRAINT pause_cause_bounded CHECK (length(cause) <= 50),      -- '' = a person's
  until_at  BIGINT,
  reason    TEXT   NOT NULL CONSTRAINT pause_reason_bounded CHECK (length(reason) <= 2000),
  by_whom   TEXT   NOT NULL CONSTRAINT pause_by_somebody CHECK (length(by_whom) BETWEEN 1 AND 300),
  at        BIGINT NOT NULL,
  -- What topupd saw is true until somebody has looked at it.
  CONSTRAINT pause_own_has_no_end CHECK (cause = '' OR until_at IS NULL)
);
CREATE UNIQUE INDEX pause_own_once ON pause (scope, provider, subject, cause) WHERE cause <> '';

-- What people did; append-only.
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
CREATE INDEX action_newest ON action (at, id);
-- A difference with the provider's books is acknowledged once; the log of actions
-- keeps by whom, when and why. Nothing takes it back.
CREATE UNIQUE INDEX action_acknowledged_once ON action (subject) WHERE kind = 'acknowledge';

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
  -- By which threshold each target was judged last, whatever the decision was:
  -- what "low under the old terms" means. The smallest number = no rule was for it.
  judged_micro    BIGINT,
  judged_at       BIGINT,
  PRIMARY KEY (provider, customer, product)
);
CREATE INDEX snapshot_of_customer ON snapshot (customer);
CREATE INDEX snapshot_of_rule ON snapshot (rule, provider, customer, product);

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

-- Which database this is (P18). A promoted standby, a restored dump and a copy
-- say something else about themselves than what was stored here before.
CREATE TABLE lineage (
  id       BIGINT NOT NULL PRIMARY KEY CONSTRAINT lineage_is_one_row CHECK (id = 1),
  identity TEXT   NOT NULL CONSTRAINT lineage_identity_bounded CHECK (length(identity) BETWEEN 1 AND 300),
  timeline BIGINT NOT NULL,
  since_at BIGINT NOT NULL
);

-- What every write that decides about money leaves behind, for an hour: a process
-- that was told that it is stored finds it again after a promotion, or knows that
-- it was lost.
CREATE TABLE mark (
  token TEXT   NOT NULL PRIMARY KEY CONSTRAINT mark_token_bounded CHECK (length(token) BETWEEN 8 AND 64),
  at    BIGINT NOT NULL
);

-- The newest complete comparison of a provider with its books: what the gauges
-- show after a restart and on every replica, and when the next one is due.
CREATE TABLE verification (
  provider TEXT   NOT NULL PRIMARY KEY REFERENCES provider (id),
  at       BIGINT NOT NULL,
  since_at BIGINT NOT NULL,
  counts   TEXT   NOT NULL CONSTRAINT verification_counts_bounded CHECK (length(counts) <= 10000),    -- findings by kind, JSON
  findings TEXT   NOT NULL CONSTRAINT verification_findings_bounded CHECK (length(findings) <= 1000000) -- their keys, JSON
);

-- What was found out about a provider by trying it. Nothing is ever deleted: the
-- most careful of all findings counts that no person has withdrawn. Not tied to the table of providers:
-- a finding must not begin the first hold of a provider that no daemon has seen.
CREATE TABLE capability (
  provider TEXT   NOT NULL CONSTRAINT capability_provider_bounded CHECK (length(provider) BETWEEN 1 AND 300),
  name     TEXT   NOT NULL CONSTRAINT capability_name_bounded CHECK (length(name) BETWEEN 1 AND 50),
  found_at BIGINT NOT NULL,
  value    TEXT   NOT NULL CONSTRAINT capability_value_bounded CHECK (length(value) BETWEEN 1 AND 100),
  by_whom  TEXT   NOT NULL CONSTRAINT capability_by_bounded CHECK (length(by_whom) BETWEEN 1 AND 300),
  report   TEXT   NOT NULL CONSTRAINT capability_report_is_a_hash CHECK (length(report) = 64),
  withdrawn_at  BIGINT,
  withdrawn_by  TEXT NOT NULL DEFAULT '' CONSTRAINT capability_withdrawn_by_bounded CHECK (length(withdrawn_by) <= 300),
  withdrawn_why TEXT NOT NULL DEFAULT '' CONSTRAINT capability_withdrawn_why_bounded CHECK (length(withdrawn_why) <= 2000),
  PRIMARY KEY (provider, name, found_at, value),
  CONSTRAINT capability_withdrawn_by_somebody CHECK (withdrawn_at IS NULL OR (withdrawn_by <> '' AND withdrawn_why <> ''))
);

-- Every request that an experiment was about to put on the wire, written before
-- its first byte left. answer stays '' when nobody could store what came.
CREATE TABLE experiment (
  id              TEXT   NOT NULL PRIMARY KEY CONSTRAINT experiment_id_bounded CHECK (length(id) BETWEEN 8 AND 64),
  provider        TEXT   NOT NULL CONSTRAINT experiment_provider_bounded CHECK (length(provider) BETWEEN 1 AND 300),
  customer        TEXT   NOT NULL CONSTRAINT experiment_customer_bounded CHECK (length(customer) BETWEEN 1 AND 300),
  product         TEXT   NOT NULL CONSTRAINT experiment_product_bounded CHECK (length(product) BETWEEN 1 AND 300),
  name            TEXT   NOT NULL CONSTRAINT experiment_name_bounded CHECK (length(name) BETWEEN 1 AND 100),
  price_minor     BIGINT NOT NULL CONSTRAINT experiment_price_in_range CHECK (price_minor BETWEEN 1 AND 1000000000000000),
  price_currency  TEXT   NOT NULL CONSTRAINT experiment_currency_is_a_code CHECK (length(price_currency) = 3),
  idempotency_key TEXT   NOT NULL CONSTRAINT experiment_key_bounded CHECK (length(idempotency_key) BETWEEN 16 AND 64),
  fingerprint     TEXT   NOT NULL CONSTRAINT experiment_fingerprint_bounded CHECK (length(fingerprint) BETWEEN 1 AND 128),
  by_whom         TEXT   NOT NULL CONSTRAINT experiment_by_bounded CHECK (length(by_whom) BETWEEN 1 AND 300),
  at              BIGINT NOT NULL,
  answer          TEXT   NOT NULL DEFAULT '' CONSTRAINT experiment_answer_bounded CHECK (length(answer) <= 2000)
);

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

-- Since when the credits of a product are watched at a provider. early = 1: since
-- the ledger's first hour, when every rule is new and none is a change.
CREATE TABLE watched (
  provider TEXT   NOT NULL,
  product  TEXT   NOT NULL,
  since_at BIGINT NOT NULL,
  early    BIGINT NOT NULL CONSTRAINT watched_early_is_a_bool CHECK (early IN (0, 1)),
  PRIMARY KEY (provider, product)
);

-- Targets that are low only by a change of terms and were not bought for since.
CREATE TABLE raised (
  provider  TEXT   NOT NULL,
  customer  TEXT   NOT NULL,
  product   TEXT   NOT NULL,
  rule      TEXT   NOT NULL CONSTRAINT raised_rule_bounded CHECK (length(rule) BETWEEN 1 AND 200),
  old_micro BIGINT NOT NULL,                   -- whoever falls below this is low by usage
  new_micro BIGINT NOT NULL,
  at        BIGINT NOT NULL,
  PRIMARY KEY (provider, customer, product)
);
CREATE INDEX raised_of_rule ON raised (rule, at);
CREATE INDEX raised_of_customer ON raised (customer);

-- The purchases that only a change has brought about, per rule; n of change_count
-- serialises those that are being planned.
CREATE TABLE raised_bought (
  purchase TEXT   NOT NULL PRIMARY KEY,
  rule     TEXT   NOT NULL,
  at       BIGINT NOT NULL
);
CREATE INDEX raised_bought_of_rule ON raised_bought (rule, at);


CREATE TABLE change_count (
  rule TEXT   NOT NULL PRIMARY KEY,
  n    BIGINT NOT NULL
);

-- Balances that became zero or unreadable although nothing explains it (P14): one
-- row per target, from the poll that saw it. Rows of two minutes are counted, of
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

-- The chart of a purchase's life; the guards of 0002 refuse every other pair.
CREATE TABLE purchase_transition (
  from_state TEXT NOT NULL,
  to_state   TEXT NOT NULL,
  PRIMARY KEY (from_state, to_state)
);
INSERT INTO purchase_transition (from_state, to_state) VALUES
  ('planned', 'sent'), ('planned', 'cancelled'),
  ('held', 'planned'), ('held', 'cancelled'),
  ('sent', 'confirmed'), ('sent', 'declined'), ('sent', 'cancelled'), ('sent', 'needs_review'),
  ('confirmed', 'credited'), ('confirmed', 'declined'),
  ('needs_review', 'confirmed'), ('needs_review', 'declined'),
  -- A person's correction.
  ('credited', 'declined'), ('declined', 'credited'), ('cancelled', 'credited');
