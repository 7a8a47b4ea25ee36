-- +goose Up
-- What the tables of 0001 cannot say: which change of a row is allowed. Every
-- refusal names its rule as a constraint.

-- +goose StatementBegin
CREATE FUNCTION topupd_refuse(rule TEXT) RETURNS VOID LANGUAGE plpgsql AS $$
BEGIN
  RAISE EXCEPTION 'refused by rule %', rule USING ERRCODE = '23514', CONSTRAINT = rule;
END $$;
-- +goose StatementEnd

-- +goose StatementBegin
CREATE FUNCTION purchase_inserted() RETURNS TRIGGER LANGUAGE plpgsql AS $$
BEGIN
  IF NEW.state NOT IN ('planned', 'held') OR NEW.revision <> 1 OR NEW.attempts <> 0 OR NEW.repeats <> 0
     OR NEW.permit_token <> '' OR NEW.sent_at IS NOT NULL OR NEW.reference IS NOT NULL OR NEW.counted <> 0 THEN
    PERFORM topupd_refuse('purchase_begins_unsent');
  END IF;
  RETURN NEW;
END $$;
-- +goose StatementEnd
CREATE TRIGGER purchase_inserted BEFORE INSERT ON purchase FOR EACH ROW EXECUTE FUNCTION purchase_inserted();

-- +goose StatementBegin
CREATE FUNCTION purchase_updated() RETURNS TRIGGER LANGUAGE plpgsql AS $$
BEGIN
  IF (NEW.id, NEW.provider, NEW.customer, NEW.product, NEW.provider_name, NEW.customer_name, NEW.product_name,
      NEW.rule, NEW.rule_version, NEW.terms, NEW.credits_micro, NEW.price_minor, NEW.price_currency, NEW.price_id,
      NEW.payment_method_id, NEW.expires_at, NEW.idempotency_key, NEW.request_method, NEW.request_path, NEW.request_body,
      NEW.fingerprint, NEW.policy, NEW.quiet_period_us, NEW.purchase_timeout_us, NEW.backoff_us, NEW.max_backoff_us,
      NEW.suspend_after, NEW.max_reading_age_us, NEW.balance_micro, NEW.threshold_micro, NEW.read_at, NEW.refreshed_at,
      NEW.baseline, NEW.planned_at)
     IS DISTINCT FROM
     (OLD.id, OLD.provider, OLD.customer, OLD.product, OLD.provider_name, OLD.customer_name, OLD.product_name,
      OLD.rule, OLD.rule_version, OLD.terms, OLD.credits_micro, OLD.price_minor, OLD.price_currency, OLD.price_id,
      OLD.payment_method_id, OLD.expires_at, OLD.idempotency_key, OLD.request_method, OLD.request_path, OLD.request_body,
      OLD.fingerprint, OLD.policy, OLD.quiet_period_us, OLD.purchase_timeout_us, OLD.backoff_us, OLD.max_backoff_us,
      OLD.suspend_after, OLD.max_reading_age_us, OLD.balance_micro, OLD.threshold_micro, OLD.read_at, OLD.refreshed_at,
      OLD.baseline, OLD.planned_at) THEN
    PERFORM topupd_refuse('purchase_order_is_frozen');
  END IF;
  IF NEW.revision < OLD.revision OR (NEW.revision = OLD.revision AND
     (NEW.state <> OLD.state OR NEW.payment <> OLD.payment OR NEW.permit_token <> OLD.permit_token
      OR NEW.reference IS DISTINCT FROM OLD.reference)) THEN
    PERFORM topupd_refuse('purchase_revision_grows');
  END IF;
  IF NEW.state <> OLD.state AND NOT EXISTS
     (SELECT 1 FROM purchase_transition t WHERE t.from_state = OLD.state AND t.to_state = NEW.state) THEN
    PERFORM topupd_refuse('purchase_transition_allowed');
  END IF;
  IF (NEW.permit_token <> OLD.permit_token OR (NEW.state = 'sent' AND OLD.state <> 'sent')) AND NOT EXISTS
     (SELECT 1 FROM permit p WHERE p.purchase_id = NEW.id AND p.token = NEW.permit_token
      AND p.idempotency_key = NEW.idempotency_key AND p.fingerprint = NEW.fingerprint) THEN
    PERFORM topupd_refuse('purchase_sent_under_a_permit');
  END IF;
  IF OLD.sent_at IS NOT NULL AND NEW.sent_at IS DISTINCT FROM OLD.sent_at THEN
    PERFORM topupd_refuse('purchase_first_send_is_frozen');
  END IF;
  IF OLD.state = 'sent' AND NEW.state = 'declined' AND NEW.refused = 0 AND NEW.resolved_by = ''
     AND NOT (NEW.repeats = 0 AND NEW.attempts <= 1 AND NEW.reason NOT IN ('', 'not_found'))
     AND NOT (NEW.empty_looks >= 2 AND NEW.changed_at >= NEW.last_sent_at + NEW.quiet_period_us) THEN
    PERFORM topupd_refuse('purchase_declined_by_answer_or_looks');
  END IF;
  IF OLD.state = 'confirmed' AND NEW.state = 'declined' AND NEW.payment <> 'void' AND NEW.resolved_by = '' THEN
    PERFORM topupd_refuse('purchase_declined_when_void');
  END IF;
  RETURN NEW;
END $$;
-- +goose StatementEnd
CREATE TRIGGER purchase_updated BEFORE UPDATE ON purchase FOR EACH ROW EXECUTE FUNCTION purchase_updated();

-- +goose StatementBegin
CREATE FUNCTION history_kept() RETURNS TRIGGER LANGUAGE plpgsql AS $$
BEGIN
  PERFORM topupd_refuse(TG_TABLE_NAME || '_is_kept');
  RETURN NULL;
END $$;
-- +goose StatementEnd
CREATE TRIGGER purchase_kept BEFORE DELETE ON purchase FOR EACH ROW EXECUTE FUNCTION history_kept();
CREATE TRIGGER provider_kept BEFORE DELETE ON provider FOR EACH ROW EXECUTE FUNCTION history_kept();
CREATE TRIGGER target_kept BEFORE DELETE ON target FOR EACH ROW EXECUTE FUNCTION history_kept();
CREATE TRIGGER cap_window_kept BEFORE DELETE ON cap_window FOR EACH ROW EXECUTE FUNCTION history_kept();
CREATE TRIGGER evidence_kept BEFORE UPDATE ON evidence FOR EACH ROW EXECUTE FUNCTION history_kept();
CREATE TRIGGER external_topup_kept BEFORE UPDATE OR DELETE ON external_topup FOR EACH ROW EXECUTE FUNCTION history_kept();
CREATE TRIGGER action_kept BEFORE UPDATE OR DELETE ON action FOR EACH ROW EXECUTE FUNCTION history_kept();
CREATE TRIGGER permit_kept BEFORE DELETE ON permit FOR EACH ROW EXECUTE FUNCTION history_kept();
CREATE TRIGGER purchase_transition_kept BEFORE UPDATE OR DELETE ON purchase_transition FOR EACH ROW EXECUTE FUNCTION history_kept();

-- Retention: of a purchase that ended 90 days ago, its payment too, the steps
-- between may go. What was permitted, answered and decided by people never does.
-- +goose StatementBegin
CREATE FUNCTION evidence_deleted() RETURNS TRIGGER LANGUAGE plpgsql AS $$
BEGIN
  IF OLD.kind NOT IN ('planned', 'look', 'payment', 'state') OR NOT EXISTS
     (SELECT 1 FROM purchase p WHERE p.id = OLD.purchase_id AND p.state IN ('credited', 'declined', 'cancelled') AND p.payment NOT IN ('pending', 'failed')
      AND p.finished_at < CAST(extract(epoch FROM clock_timestamp()) * 1000000 AS BIGINT) - 7776000000000) THEN
    PERFORM topupd_refuse('evidence_is_kept');
  END IF;
  RETURN OLD;
END $$;
-- +goose StatementEnd
CREATE TRIGGER evidence_deleted BEFORE DELETE ON evidence FOR EACH ROW EXECUTE FUNCTION evidence_deleted();

-- +goose StatementBegin
CREATE FUNCTION permit_updated() RETURNS TRIGGER LANGUAGE plpgsql AS $$
BEGIN
  IF (NEW.purchase_id, NEW.n, NEW.token, NEW.replica, NEW.at, NEW.idempotency_key, NEW.fingerprint, NEW.token_fingerprint, NEW.term)
     IS DISTINCT FROM
     (OLD.purchase_id, OLD.n, OLD.token, OLD.replica, OLD.at, OLD.idempotency_key, OLD.fingerprint, OLD.token_fingerprint, OLD.term)
     OR NEW.used > OLD.used THEN
    PERFORM topupd_refuse('permit_is_kept');
  END IF;
  RETURN NEW;
END $$;
-- +goose StatementEnd
CREATE TRIGGER permit_updated BEFORE UPDATE ON permit FOR EACH ROW EXECUTE FUNCTION permit_updated();

-- +goose StatementBegin
CREATE FUNCTION term_grows() RETURNS TRIGGER LANGUAGE plpgsql AS $$
BEGIN
  IF NEW.term < OLD.term OR (NEW.term = OLD.term AND NEW.holder <> OLD.holder AND NEW.holder <> '') THEN
    PERFORM topupd_refuse('provider_term_grows');
  END IF;
  IF NEW.id <> OLD.id OR NEW.first_seen_at <> OLD.first_seen_at THEN
    PERFORM topupd_refuse('provider_identity_is_frozen');
  END IF;
  RETURN NEW;
END $$;
-- +goose StatementEnd
CREATE TRIGGER provider_updated BEFORE UPDATE ON provider FOR EACH ROW EXECUTE FUNCTION term_grows();

-- +goose StatementBegin
CREATE FUNCTION version_grows() RETURNS TRIGGER LANGUAGE plpgsql AS $$
BEGIN
  IF NEW.version < OLD.version THEN
    PERFORM topupd_refuse('target_version_grows');
  END IF;
  RETURN NEW;
END $$;
-- +goose StatementEnd
CREATE TRIGGER target_updated BEFORE UPDATE ON target FOR EACH ROW EXECUTE FUNCTION version_grows();

-- A purchase ends once. Only a person's correction, with its entry in the history, makes another end of it.
-- +goose StatementBegin
CREATE FUNCTION purchase_corrected() RETURNS TRIGGER LANGUAGE plpgsql AS $$
BEGIN
  IF NEW.resolved_by = '' OR NEW.corrected_at IS DISTINCT FROM NEW.changed_at OR NEW.corrected_from <> OLD.state OR NOT EXISTS
     (SELECT 1 FROM evidence e WHERE e.purchase_id = NEW.id AND e.kind = 'corrected' AND e.at = NEW.corrected_at
      AND e.from_state = OLD.state AND e.to_state = NEW.state) THEN
    PERFORM topupd_refuse('purchase_ends_once_or_is_corrected');
  END IF;
  RETURN NEW;
END $$;
-- +goose StatementEnd
CREATE TRIGGER purchase_corrected BEFORE UPDATE ON purchase FOR EACH ROW
  WHEN (OLD.state IN ('credited', 'declined', 'cancelled') AND NEW.state <> OLD.state OR NEW.corrected_at IS DISTINCT FROM OLD.corrected_at)
  EXECUTE FUNCTION purchase_corrected();
