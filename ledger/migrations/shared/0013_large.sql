-- +goose Up
-- Tables of a million rows: every question of the daemon, and those that people
-- ask day by day, finds its rows by an index (TestNothingScansALargeTable).

-- Additions by somebody else: by the invoice behind them, by their target, and
-- by either of their times.
CREATE INDEX foreign_topup_invoice ON foreign_topup (provider, invoice) WHERE invoice <> '';
DROP INDEX foreign_topup_bills;
CREATE INDEX foreign_topup_of_target ON foreign_topup (provider, customer, product, at);
CREATE INDEX foreign_topup_at ON foreign_topup (provider, at);
CREATE INDEX foreign_topup_imported ON foreign_topup (provider, imported_at);

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

CREATE INDEX snapshot_of_rule ON snapshot (rule, provider, customer, product);

-- What a person lifts.
CREATE INDEX target_of_customer ON target (customer);
CREATE INDEX target_implausible ON target (provider) WHERE implausible <> '';

-- Whether retention has been here: of a closed purchase, only what is kept for
-- ever is left.
ALTER TABLE purchase ADD COLUMN trimmed BIGINT NOT NULL DEFAULT 0 CONSTRAINT purchase_trimmed_is_a_bool CHECK (trimmed IN (0, 1));
CREATE INDEX purchase_untrimmed ON purchase (finished_at) WHERE finished_at IS NOT NULL AND trimmed = 0;
