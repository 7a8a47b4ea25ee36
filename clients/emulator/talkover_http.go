package emulator

import (
	"encoding/json"
	"maps"
	"net/http"
	"strconv"
	"time"
)

// visit is an admitted Talkover call and whose it is: user calls have a user
// and the environment that is current, environment calls only the latter.
type visit struct {
	call
	user *user
	env  *environment
}

type visitHandle func(*visit) answer

func (t *talkover) routes(mux *http.ServeMux) {
	const api = "/talkover/api/v1"
	for pattern, fn := range map[string]visitHandle{
		"GET /talkover/api/user":          t.getUser,
		"GET " + api + "/credits/balance": t.getBalance,
	} {
		mux.HandleFunc(pattern, t.serve(t.asUser, fn))
	}
	for pattern, fn := range map[string]visitHandle{
		"GET " + api + "/auto-topup/settings":        t.getSettings,
		"PUT " + api + "/auto-topup/settings":        t.putSettings,
		"POST " + api + "/auto-topup/disable":        t.disable,
		"POST " + api + "/auto-topup/test":           t.test,
		"GET " + api + "/auto-topup/history":         t.listHistory,
		"GET " + api + "/auto-topup/payment-methods": t.listCards,
	} {
		mux.HandleFunc(pattern, t.serve(t.asEnvironment, fn))
	}
	mux.HandleFunc("POST "+api+"/credits/purchase", t.servePurchase)
	mux.HandleFunc("GET "+api+"/health", func(rw http.ResponseWriter, r *http.Request) {
		t.send(rw, r, jsonAnswer(http.StatusOK, object{"status": "ok"}), t.clock(), 0)
	})
	mux.HandleFunc("/talkover/", func(rw http.ResponseWriter, r *http.Request) {
		t.send(rw, r, refusal(http.StatusNotFound, "NOT_FOUND", "The requested resource was not found."), t.clock(), 0)
	})
}

// asUser takes user tokens; an environment token is refused with 401 (which
// answer the wrong kind gets is not documented).
func (t *talkover) asUser(c call) *visit {
	token, _ := bearerToken(c.r)
	if u := t.users[token]; u != nil {
		return &visit{call: c, user: u, env: u.current}
	}
	return nil
}

// asEnvironment takes environment tokens only.
func (t *talkover) asEnvironment(c call) *visit {
	token, _ := bearerToken(c.r)
	if env := t.owners[token]; env != nil {
		return &visit{call: c, env: env}
	}
	return nil
}

// serve runs everything but purchases.
func (t *talkover) serve(who func(call) *visit, fn visitHandle) http.HandlerFunc {
	return func(rw http.ResponseWriter, r *http.Request) {
		body, err := readBody(r)
		if err != nil {
			return
		}
		var a answer
		var date time.Time
		var hangFor time.Duration
		t.locked(func(now time.Time) {
			hangFor = t.faults.HangFor
			c := call{r: r, query: r.URL.Query(), body: body, now: now}
			a, date = t.through(TalkoverName, r, now, func() answer {
				return t.admit(c, who, func(v *visit, q quota) answer { return t.read(v, fn, q) })
			})
		})
		t.send(rw, r, a, date, hangFor)
	}
}

// read answers, or spoils the answer of a GET.
func (t *talkover) read(v *visit, fn visitHandle, q quota) answer {
	if v.r.Method != http.MethodGet {
		return fn(v)
	}
	fault := t.faults.draw(t.rng, TalkoverName, readRates)
	if fault == "read_throttle" {
		return t.tooMany(q.retryAfter(v.now))
	}
	return fn(v).spoil(fault, t.serverError)
}

// admit checks outage, token and rate. X-RateLimit-Reset is in seconds since
// 1970; the format is not documented.
func (t *talkover) admit(c call, who func(call) *visit, then func(*visit, quota) answer) answer {
	if a, out := t.outage(TalkoverName); out {
		return a
	}
	v := who(c)
	if v == nil {
		return t.unauthorised()
	}
	token, _ := bearerToken(c.r)
	q := t.calls.take(token, c.now)
	var a answer
	if q.refused {
		a = t.tooMany(q.retryAfter(c.now))
	} else {
		a = then(v, q)
	}
	if !q.limited || t.opts.Profile.NoHeaders {
		return a
	}
	if a.header == nil {
		a.header = http.Header{}
	}
	a.header.Set("X-RateLimit-Limit", strconv.Itoa(q.limit))
	a.header.Set("X-RateLimit-Remaining", strconv.Itoa(q.remaining))
	a.header.Set("X-RateLimit-Reset", strconv.FormatInt(q.reset.Unix(), 10))
	return a
}

// getUser has no envelope.
func (t *talkover) getUser(v *visit) answer {
	return jsonAnswer(http.StatusOK, object{
		"id": v.user.id, "name": v.user.name, "email": v.user.email,
		"current_environment_id": v.env.id, "created_at": second(v.user.created),
	})
}

func (t *talkover) getBalance(v *visit) answer {
	balance, at := t.reading(v.env, v.now)
	shown := t.money(balance)
	switch t.faults.draw(t.rng, TalkoverName, rowRates) {
	case "stale_balance":
		shown, at = t.money(v.env.older), v.env.olderAt
	case "glitch_balance":
		shown = t.glitch()
	case "all_zero":
		shown = t.money(0)
	case "all_null":
		shown = json.RawMessage("null")
	}
	return success(object{
		"balance": shown, "currency": v.env.currency,
		"auto_topup_enabled": v.env.native.enabled, "as_of": second(at),
	})
}

// servePurchase takes a purchase in two halves, as Hyperline's, but without any
// memory: every request that reaches the till is a charge.
func (t *talkover) servePurchase(rw http.ResponseWriter, r *http.Request) {
	body, err := readBody(r)
	if err != nil {
		return
	}
	var p *purchaseRun
	var v *visit
	var a answer
	var date time.Time
	t.locked(func(now time.Time) {
		date = now
		c := call{r: r, query: r.URL.Query(), body: body, now: now}
		a = t.admit(c, t.asUser, func(visitor *visit, q quota) answer {
			v = visitor
			p = t.receive(TalkoverName, v.env.id, c, t.opts.ExecuteLate)
			return t.beforeTill(p, v, q)
		})
	})
	if p == nil {
		t.send(rw, r, a, date, 0)
		return
	}
	if a.status == 0 && p.late == 0 {
		t.wait(p.delay)
	}
	t.locked(func(now time.Time) {
		done := a
		if a.status == 0 && p.late == 0 {
			date = now
			done = t.buy(p, v, now)
			maps.Copy(done.header, a.header)
		}
		a = t.squeezed(TalkoverName, done.spoil(p.fault, t.serverError))
		p.entry.Status = statusLeaving(a)
	})
	t.send(rw, r, a, date, p.hangFor)
}

// beforeTill answers what never reaches the till; status 0 is on its way there.
func (t *talkover) beforeTill(p *purchaseRun, v *visit, q quota) answer {
	switch {
	case p.fault == "throttle":
		return t.tooMany(q.retryAfter(p.now))
	case p.fault == "redirect_307":
		return redirect(p.r)
	case !p.executes():
		return answer{status: http.StatusInternalServerError} // spoilt before it leaves
	case p.late > 0:
		t.at(p.now.Add(p.late), func(at time.Time) { t.buy(p, v, at) })
	}
	return answer{}
}

// buy charges the card that the request names, else the default one, and fills
// the user's current environment.
func (t *talkover) buy(p *purchaseRun, v *visit, now time.Time) answer {
	var body struct {
		Amount *quantity `json:"amount"`
		CardID string    `json:"payment_method_id"`
	}
	if err := json.Unmarshal(p.body, &body); err != nil {
		return t.invalid("amount", "The amount must be a number.")
	}
	switch {
	case p.fault == "refuse":
		return t.invalid("amount", "Purchases are disabled for "+v.env.id+".")
	case body.Amount == nil:
		return t.invalid("amount", "The amount field is required.")
	case *body.Amount <= 0:
		return t.invalid("amount", "The amount must be greater than 0.")
	case *body.Amount%cent != 0 || *body.Amount > maxAmount:
		return t.invalid("amount", "The amount must have at most two decimal places and not exceed 1000000.")
	}
	card := v.env.card(body.CardID)
	if card == nil && body.CardID != "" {
		return t.invalid("payment_method_id", "The selected payment method is invalid.")
	}
	switch {
	case p.fault == "decline_201_unpaid":
		return jsonAnswer(http.StatusOK, object{"success": false, "message": "Payment is being processed"})
	case p.fault == "decline_no_credits":
		return insufficientCredits()
	case p.declines() || card == nil || card.state != CardGood:
		return paymentFailed(t.next("402", 2) == 0)
	}
	amount := minor(p.price(int64(*body.Amount / cent)))
	id := t.credit(v.env, amount, SourceAPI, p, now)
	p.entry.Executed = true
	return t.charged(v.env, amount, id, "")
}

// maxAmount bounds a purchase, inclusive; no bound is documented.
const maxAmount = 1_000_000 * one

func (t *talkover) charged(env *environment, amount quantity, id, text string) answer {
	body := object{"success": true, "data": object{
		"amount_charged": t.money(amount), "currency": env.currency,
		"new_balance": t.money(env.balance), "transaction_id": id,
	}}
	if text != "" {
		body["message"] = text
	}
	return jsonAnswer(http.StatusOK, body)
}
