package emulator

import (
	"encoding/json"
	"net/http"
	"slices"
	"strconv"
	"time"
)

func (t *talkover) getSettings(v *visit) answer {
	s := &v.env.native
	body := t.settings(v.env)
	body["scheduled_amount"], body["day_of_month"] = nil, nil
	if s.monthly > 0 {
		body["scheduled_amount"] = t.money(s.monthly)
	}
	if s.day > 0 {
		body["day_of_month"] = s.day
	}
	today := v.env.today(v.now)
	body["recharge_count_today"] = len(today)
	body["last_recharge_at"] = nil
	for _, r := range slices.Backward(v.env.history) {
		if r.status == "succeeded" {
			body["last_recharge_at"] = second(r.created)
			break
		}
	}
	body["currency"] = v.env.currency
	return success(body)
}

// settings is what the answers of reading and changing them share.
func (t *talkover) settings(env *environment) object {
	s := &env.native
	body := object{
		"is_enabled": s.enabled, "threshold_amount": nil, "recharge_amount": nil, "payment_method_id": nil,
		"scheduled_payment_enabled": s.scheduled, "daily_limit": t.money(limited(t.opts.Profile.DailyLimit)),
	}
	if s.configured {
		body["threshold_amount"], body["recharge_amount"] = t.money(s.threshold), t.money(s.amount)
		body["payment_method_id"] = s.cardID
	}
	return body
}

type settingsBody struct {
	Enabled   *bool     `json:"is_enabled"`
	Threshold *quantity `json:"threshold_amount"`
	Amount    *quantity `json:"recharge_amount"`
	Scheduled *bool     `json:"scheduled_payment_enabled"`
	Monthly   *quantity `json:"scheduled_amount"`
	Day       *int      `json:"day_of_month"`
	CardID    *string   `json:"payment_method_id"`
}

// putSettings changes the fields that came; nothing if one of them is bad.
func (t *talkover) putSettings(v *visit) answer {
	var body settingsBody
	if err := json.Unmarshal(v.body, &body); err != nil {
		return t.invalid("body", "The settings must be a JSON object with numbers for amounts.")
	}
	for field, q := range map[string]*quantity{
		"threshold_amount": body.Threshold, "recharge_amount": body.Amount, "scheduled_amount": body.Monthly,
	} {
		if q != nil && (*q < one || *q > 1000*one) {
			return t.invalid(field, "The amount must be between 1 and 1000.")
		}
	}
	if body.Day != nil && (*body.Day < 1 || *body.Day > 28) {
		return t.invalid("day_of_month", "The day of month must be between 1 and 28.")
	}
	if body.CardID != nil && v.env.card(*body.CardID) == nil {
		return t.invalid("payment_method_id", "The selected payment method is invalid.")
	}
	changed := body.onto(v.env.native)
	if changed.scheduled && (changed.monthly == 0 || changed.day == 0) {
		return t.invalid("scheduled_amount", "The scheduled amount and day are required when scheduled payments are enabled.")
	}
	changed.updated = v.now
	v.env.native, v.env.nativeAfter = changed, time.Time{}
	return t.changed(v)
}

// onto is s with the fields that the body has.
func (b settingsBody) onto(s nativeSettings) nativeSettings {
	set(&s.enabled, b.Enabled)
	set(&s.threshold, b.Threshold)
	set(&s.amount, b.Amount)
	set(&s.scheduled, b.Scheduled)
	set(&s.monthly, b.Monthly)
	set(&s.day, b.Day)
	set(&s.cardID, b.CardID)
	s.configured = s.configured || s.amount > 0
	return s
}

func set[T any](into, from *T) {
	if from != nil {
		*into = *from
	}
}

func (t *talkover) changed(v *visit) answer {
	body := t.settings(v.env)
	body["updated_at"] = second(v.now)
	return success(body)
}

// disable stops new recharges; a queued one still completes.
func (t *talkover) disable(v *visit) answer {
	v.env.native.enabled, v.env.native.updated = false, v.now
	body := t.settings(v.env)
	delete(body, "scheduled_payment_enabled")
	delete(body, "daily_limit")
	body["updated_at"] = second(v.now)
	return success(body)
}

// test charges recharge_amount at once, whatever the balance: real money.
func (t *talkover) test(v *visit) answer {
	s := v.env.native
	if !s.configured {
		return refusal(http.StatusUnprocessableEntity, "AUTO_TOPUP_NOT_CONFIGURED", "Auto topup is not configured")
	}
	r := &recharge{
		id: t.uuid("topup-"), trigger: "test", status: "pending", amount: s.amount, cardID: s.cardID, created: v.now, listed: true,
	}
	v.env.history = append(v.env.history, r)
	after := v.env.nativeAfter
	t.collect(v.env, r, v.now)
	v.env.nativeAfter = after // only a recharge of its own makes native top-up wait
	if r.status == "failed" {
		return paymentFailed(true)
	}
	return t.charged(v.env, r.amount, r.transaction, "Test recharge completed successfully")
}

// listHistory is newest first, as the example is; native recharges only.
func (t *talkover) listHistory(v *visit) answer {
	perPage, current := 25, 1
	for _, f := range []struct {
		name string
		into *int
		max  int
	}{{"per_page", &perPage, 100}, {"page", &current, 1_000_000}} {
		text := v.query.Get(f.name)
		if text == "" {
			continue
		}
		n, err := strconv.Atoi(text)
		if err != nil || n < 1 || n > f.max {
			return t.invalid(f.name, "The "+f.name+" must be between 1 and "+strconv.Itoa(f.max)+".")
		}
		*f.into = n
	}
	var listed []*recharge
	for _, r := range slices.Backward(v.env.history) {
		if r.listed {
			listed = append(listed, r)
		}
	}
	rows := make([]object, 0, perPage)
	for _, r := range cutWindow(listed, page{take: perPage, skip: (current - 1) * perPage}) {
		rows = append(rows, t.entry(v.env, r))
	}
	return jsonAnswer(http.StatusOK, object{"success": true, "data": rows, "pagination": object{
		"current_page": current, "per_page": perPage, "total": len(listed), "last_page": max(1, (len(listed)+perPage-1)/perPage),
	}})
}

// entry leaves out on failure, and while pending, what the example leaves out.
func (t *talkover) entry(env *environment, r *recharge) object {
	row := object{
		"id": r.id, "amount": t.money(r.amount), "currency": env.currency, "trigger": r.trigger, "status": r.status,
		"payment_method_id": r.cardID, "created_at": second(r.created),
	}
	switch r.status {
	case "failed":
		row["failure_reason"] = r.reason
	case "succeeded":
		row["balance_before"], row["balance_after"] = t.money(r.before), t.money(r.after)
		row["transaction_id"] = r.transaction
	}
	return row
}

func (t *talkover) listCards(v *visit) answer {
	cards := make([]object, 0, len(v.env.cards))
	for _, c := range v.env.cards {
		if c.state == CardMissing {
			continue
		}
		cards = append(cards, object{
			"id": c.id, "type": "card", "is_default": c.isDefault, "created_at": second(c.created),
			"card": object{"brand": c.brand, "last4": c.last4, "exp_month": 12, "exp_year": v.now.Year() + 2},
		})
	}
	return success(cards)
}
