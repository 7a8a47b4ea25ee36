-- +goose Up
-- What the tables of 0001 cannot say: which change of a row is allowed. Every
-- refusal names its rule. SQLite would also keep text or a fraction in a BIGINT
-- column, which PostgreSQL refuses or rounds; here both are refused.

-- +goose StatementBegin
CREATE TRIGGER purchase_inserted BEFORE INSERT ON purchase FOR EACH ROW BEGIN
  SELECT RAISE(ABORT, 'purchase_begins_unsent') WHERE NEW.state NOT IN ('planned', 'held') OR NEW.revision <> 1 OR NEW.attempts <> 0 OR NEW.repeats <> 0
    OR NEW.permit_token <> '' OR NEW.sent_at IS NOT NULL OR NEW.reference IS NOT NULL OR NEW.counted <> 0;
  SELECT RAISE(ABORT, 'purchase_numbers_are_whole') WHERE typeof(NEW.credits_micro) <> 'integer' OR typeof(NEW.price_minor) <> 'integer' OR typeof(NEW.quiet_period_us) <> 'integer'
    OR typeof(NEW.balance_micro) <> 'integer' OR typeof(NEW.threshold_micro) <> 'integer' OR typeof(NEW.planned_at) <> 'integer'
    OR typeof(NEW.revision) <> 'integer' OR typeof(NEW.attempts) <> 'integer' OR typeof(NEW.repeats) <> 'integer';
END;
-- +goose StatementEnd

-- +goose StatementBegin
CREATE TRIGGER purchase_updated BEFORE UPDATE ON purchase FOR EACH ROW BEGIN
  SELECT RAISE(ABORT, 'purchase_order_is_frozen') WHERE NEW.id IS NOT OLD.id OR NEW.provider IS NOT OLD.provider OR NEW.customer IS NOT OLD.customer
    OR NEW.product IS NOT OLD.product OR NEW.provider_name IS NOT OLD.provider_name
    OR NEW.customer_name IS NOT OLD.customer_name OR NEW.product_name IS NOT OLD.product_name
    OR NEW.rule IS NOT OLD.rule OR NEW.rule_version IS NOT OLD.rule_version OR NEW.terms IS NOT OLD.terms
    OR NEW.credits_micro IS NOT OLD.credits_micro OR NEW.price_minor IS NOT OLD.price_minor
    OR NEW.price_currency IS NOT OLD.price_currency OR NEW.price_id IS NOT OLD.price_id
    OR NEW.payment_method_id IS NOT OLD.payment_method_id OR NEW.expires_at IS NOT OLD.expires_at
    OR NEW.idempotency_key IS NOT OLD.idempotency_key OR NEW.request_method IS NOT OLD.request_method
    OR NEW.request_path IS NOT OLD.request_path OR NEW.request_body IS NOT OLD.request_body
    OR NEW.fingerprint IS NOT OLD.fingerprint OR NEW.policy IS NOT OLD.policy
    OR NEW.quiet_period_us IS NOT OLD.quiet_period_us OR NEW.purchase_timeout_us IS NOT OLD.purchase_timeout_us
    OR NEW.backoff_us IS NOT OLD.backoff_us OR NEW.max_backoff_us IS NOT OLD.max_backoff_us
    OR NEW.suspend_after IS NOT OLD.suspend_after OR NEW.max_reading_age_us IS NOT OLD.max_reading_age_us
    OR NEW.balance_micro IS NOT OLD.balance_micro OR NEW.threshold_micro IS NOT OLD.threshold_micro
    OR NEW.read_at IS NOT OLD.read_at OR NEW.refreshed_at IS NOT OLD.refreshed_at
    OR NEW.baseline IS NOT OLD.baseline OR NEW.planned_at IS NOT OLD.planned_at;
  SELECT RAISE(ABORT, 'purchase_revision_grows') WHERE NEW.revision < OLD.revision OR (NEW.revision = OLD.revision
    AND (NEW.state <> OLD.state OR NEW.payment <> OLD.payment OR NEW.permit_token <> OLD.permit_token OR NEW.reference IS NOT OLD.reference));
  SELECT RAISE(ABORT, 'purchase_transition_allowed') WHERE NEW.state <> OLD.state AND NOT EXISTS
    (SELECT 1 FROM purchase_transition t WHERE t.from_state = OLD.state AND t.to_state = NEW.state);
  SELECT RAISE(ABORT, 'purchase_sent_under_a_permit') WHERE (NEW.permit_token <> OLD.permit_token OR (NEW.state = 'sent' AND OLD.state <> 'sent')) AND NOT EXISTS
    (SELECT 1 FROM permit p WHERE p.purchase_id = NEW.id AND p.token = NEW.permit_token
     AND p.idempotency_key = NEW.idempotency_key AND p.fingerprint = NEW.fingerprint);
  SELECT RAISE(ABORT, 'purchase_first_send_is_frozen') WHERE OLD.sent_at IS NOT NULL AND NEW.sent_at IS NOT OLD.sent_at;
  SELECT RAISE(ABORT, 'purchase_declined_by_answer_or_looks') WHERE OLD.state = 'sent' AND NEW.state = 'declined' AND NEW.refused = 0 AND NEW.resolved_by = ''
    AND NOT (NEW.repeats = 0 AND NEW.attempts <= 1 AND NEW.reason NOT IN ('', 'not_found'))
    AND NOT (NEW.empty_looks >= 2 AND NEW.changed_at >= NEW.last_sent_at + NEW.quiet_period_us);
  SELECT RAISE(ABORT, 'purchase_declined_when_void') WHERE OLD.state = 'confirmed' AND NEW.state = 'declined' AND NEW.payment <> 'void' AND NEW.resolved_by = '';
  SELECT RAISE(ABORT, 'purchase_numbers_are_whole') WHERE typeof(NEW.revision) <> 'integer' OR typeof(NEW.attempts) <> 'integer' OR typeof(NEW.repeats) <> 'integer';
END;
-- +goose StatementEnd

-- +goose StatementBegin
CREATE TRIGGER purchase_kept BEFORE DELETE ON purchase FOR EACH ROW BEGIN
  SELECT RAISE(ABORT, 'purchase_is_kept') WHERE TRUE;
END;
-- +goose StatementEnd

-- +goose StatementBegin
CREATE TRIGGER provider_kept BEFORE DELETE ON provider FOR EACH ROW BEGIN
  SELECT RAISE(ABORT, 'provider_is_kept') WHERE TRUE;
END;
-- +goose StatementEnd

-- +goose StatementBegin
CREATE TRIGGER target_kept BEFORE DELETE ON target FOR EACH ROW BEGIN
  SELECT RAISE(ABORT, 'target_is_kept') WHERE TRUE;
END;
-- +goose StatementEnd

-- +goose StatementBegin
CREATE TRIGGER cap_window_kept BEFORE DELETE ON cap_window FOR EACH ROW BEGIN
  SELECT RAISE(ABORT, 'cap_window_is_kept') WHERE TRUE;
END;
-- +goose StatementEnd

-- Retention: of a purchase that ended 90 days ago, its payment too, the steps
-- between may go. What was permitted, answered and decided by people never does.
-- +goose StatementBegin
CREATE TRIGGER evidence_kept BEFORE DELETE ON evidence FOR EACH ROW BEGIN
  SELECT RAISE(ABORT, 'evidence_is_kept') WHERE OLD.kind NOT IN ('planned', 'look', 'payment', 'state') OR NOT EXISTS
    (SELECT 1 FROM purchase p WHERE p.id = OLD.purchase_id AND p.state IN ('credited', 'declined', 'cancelled') AND p.payment NOT IN ('pending', 'failed')
     AND p.finished_at < CAST(unixepoch('now') AS INTEGER) * 1000000 - 7776000000000);
END;
-- +goose StatementEnd

-- +goose StatementBegin
CREATE TRIGGER external_topup_kept BEFORE DELETE ON external_topup FOR EACH ROW BEGIN
  SELECT RAISE(ABORT, 'external_topup_is_kept') WHERE TRUE;
END;
-- +goose StatementEnd

-- +goose StatementBegin
CREATE TRIGGER action_kept BEFORE DELETE ON action FOR EACH ROW BEGIN
  SELECT RAISE(ABORT, 'action_is_kept') WHERE TRUE;
END;
-- +goose StatementEnd

-- +goose StatementBegin
CREATE TRIGGER permit_kept BEFORE DELETE ON permit FOR EACH ROW BEGIN
  SELECT RAISE(ABORT, 'permit_is_kept') WHERE TRUE;
END;
-- +goose StatementEnd

-- +goose StatementBegin
CREATE TRIGGER purchase_transition_kept BEFORE DELETE ON purchase_transition FOR EACH ROW BEGIN
  SELECT RAISE(ABORT, 'purchase_transition_is_kept') WHERE TRUE;
END;
-- +goose StatementEnd

-- +goose StatementBegin
CREATE TRIGGER evidence_unchanged BEFORE UPDATE ON evidence FOR EACH ROW BEGIN
  SELECT RAISE(ABORT, 'evidence_is_kept') WHERE TRUE;
END;
-- +goose StatementEnd

-- +goose StatementBegin
CREATE TRIGGER external_topup_unchanged BEFORE UPDATE ON external_topup FOR EACH ROW BEGIN
  SELECT RAISE(ABORT, 'external_topup_is_kept') WHERE TRUE;
END;
-- +goose StatementEnd

-- +goose StatementBegin
CREATE TRIGGER action_unchanged BEFORE UPDATE ON action FOR EACH ROW BEGIN
  SELECT RAISE(ABORT, 'action_is_kept') WHERE TRUE;
END;
-- +goose StatementEnd

-- +goose StatementBegin
CREATE TRIGGER purchase_transition_unchanged BEFORE UPDATE ON purchase_transition FOR EACH ROW BEGIN
  SELECT RAISE(ABORT, 'purchase_transition_is_kept') WHERE TRUE;
END;
-- +goose StatementEnd

-- +goose StatementBegin
CREATE TRIGGER permit_updated BEFORE UPDATE ON permit FOR EACH ROW BEGIN
  SELECT RAISE(ABORT, 'permit_is_kept') WHERE NEW.purchase_id IS NOT OLD.purchase_id OR NEW.n IS NOT OLD.n OR NEW.token IS NOT OLD.token
    OR NEW.replica IS NOT OLD.replica OR NEW.at IS NOT OLD.at OR NEW.idempotency_key IS NOT OLD.idempotency_key
    OR NEW.fingerprint IS NOT OLD.fingerprint OR NEW.token_fingerprint IS NOT OLD.token_fingerprint
    OR NEW.term IS NOT OLD.term OR NEW.used > OLD.used;
END;
-- +goose StatementEnd

-- +goose StatementBegin
CREATE TRIGGER provider_updated BEFORE UPDATE ON provider FOR EACH ROW BEGIN
  SELECT RAISE(ABORT, 'provider_term_grows') WHERE NEW.term < OLD.term OR (NEW.term = OLD.term AND NEW.holder <> OLD.holder AND NEW.holder <> '');
  SELECT RAISE(ABORT, 'provider_identity_is_frozen') WHERE NEW.id <> OLD.id OR NEW.first_seen_at <> OLD.first_seen_at;
END;
-- +goose StatementEnd

-- +goose StatementBegin
CREATE TRIGGER target_updated BEFORE UPDATE ON target FOR EACH ROW BEGIN
  SELECT RAISE(ABORT, 'target_version_grows') WHERE NEW.version < OLD.version;
END;
-- +goose StatementEnd

-- +goose StatementBegin
CREATE TRIGGER cap_window_inserted BEFORE INSERT ON cap_window FOR EACH ROW BEGIN
  SELECT RAISE(ABORT, 'cap_window_total_is_whole') WHERE typeof(NEW.total) <> 'integer';
END;
-- +goose StatementEnd

-- +goose StatementBegin
CREATE TRIGGER cap_window_updated BEFORE UPDATE ON cap_window FOR EACH ROW BEGIN
  SELECT RAISE(ABORT, 'cap_window_total_is_whole') WHERE typeof(NEW.total) <> 'integer';
END;
-- +goose StatementEnd

-- A purchase ends once. Only a person's correction, with its entry in the history, makes another end of it.
-- +goose StatementBegin
CREATE TRIGGER purchase_corrected BEFORE UPDATE ON purchase FOR EACH ROW
WHEN OLD.state IN ('credited', 'declined', 'cancelled') AND NEW.state <> OLD.state OR NEW.corrected_at IS NOT OLD.corrected_at BEGIN
  SELECT RAISE(ABORT, 'purchase_ends_once_or_is_corrected') WHERE NEW.resolved_by = '' OR NEW.corrected_at IS NOT NEW.changed_at
    OR NEW.corrected_from <> OLD.state OR NOT EXISTS
    (SELECT 1 FROM evidence e WHERE e.purchase_id = NEW.id AND e.kind = 'corrected' AND e.at = NEW.corrected_at
     AND e.from_state = OLD.state AND e.to_state = NEW.state);
END;
-- +goose StatementEnd
