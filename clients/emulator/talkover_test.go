package emulator

import (
	"encoding/json"
	"net/http"
	"strings"
	"testing"
	"time"
)

// The examples below are those of Talkover's documentation (read 2026-11-20).
const (
	exampleBalance  = `{"success":true,"data":{"balance":250.00,"currency":"USD","auto_topup_enabled":true,"as_of":"2024-01-15T19:30:00Z"}}`
	exampleBought   = `{"success":true,"data":{"amount_charged":100.00,"currency":"USD","new_balance":250.00,"transaction_id":"txn_uuid_1"}}`
	exampleSettings = `{"success":true,"data":{"is_enabled":true,"threshold_amount":50.00,"recharge_amount":100.00,"scheduled_payment_enabled":false,
 "scheduled_amount":null,"day_of_month":null,"payment_method_id":"pm_uuid_1","daily_limit":500.00,"recharge_count_today":0,
 "last_recharge_at":"2024-01-10T14:30:00Z","currency":"USD"}}`
	exampleChanged = `{"success":true,"data":{"is_enabled":true,"threshold_amount":50.00,"recharge_amount":100.00,"scheduled_payment_enabled":false,
 "payment_method_id":"pm_uuid_1","daily_limit":500.00,"updated_at":"2024-01-15T13:00:00Z"}}`
	exampleDisabled = `{"success":true,"data":{"is_enabled":false,"threshold_amount":50.00,"recharge_amount":100.00,"payment_method_id":"pm_uuid_1","updated_at":"2024-01-15T13:30:00Z"}}`
	exampleTested   = `{"success":true,"message":"Test recharge completed successfully","data":{"amount_charged":100.00,"currency":"USD","new_balance":250.00,"transaction_id":"txn_uuid_1"}}`
	exampleHistory  = `{"success":true,"data":[
 {"id":"topup-uuid-1","amount":100.00,"currency":"USD","trigger":"threshold","status":"succeeded","balance_before":42.00,"balance_after":142.00,
  "payment_method_id":"pm_uuid_1","transaction_id":"txn_uuid_1","created_at":"2024-01-10T14:30:00Z"}],
 "pagination":{"current_page":1,"per_page":10,"total":23,"last_page":3}}`
	exampleFailed = `{"success":true,"data":[
 {"id":"topup-uuid-2","amount":200.00,"currency":"USD","trigger":"scheduled","status":"failed","failure_reason":"card_declined",
  "payment_method_id":"pm_uuid_1","created_at":"2024-01-01T08:00:00Z"}],
 "pagination":{"current_page":1,"per_page":10,"total":23,"last_page":3}}`
	exampleCards = `{"success":true,"data":[
 {"id":"pm_uuid_1","type":"card","card":{"brand":"visa","last4":"4242","exp_month":12,"exp_year":2027},"is_default":true,"created_at":"2024-01-01T10:00:00Z"}]}`
	exampleUser = `{"id":"user-uuid-1","name":"Alice Doe","email":"alice@example.com","current_environment_id":"env-uuid-1","created_at":"2024-01-01T10:00:00Z"}`
)

const native = "/talkover/api/v1/auto-topup/"

func TestTalkoverAnswersAsDocumented(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct{ name, method, path, body, documented string }{
		{"balance", "GET", balancePath, "", exampleBalance},
		{"purchase", "POST", topUpPath, topUpOrder, exampleBought},
		{"settings", "GET", native + "settings", "", exampleSettings},
		{"changed settings", "PUT", native + "settings", `{"is_enabled":true,"threshold_amount":50,"recharge_amount":100}`, exampleChanged},
		{"monthly settings", "PUT", native + "settings", `{"is_enabled":true,"scheduled_payment_enabled":true,"scheduled_amount":200,"day_of_month":1}`, exampleChanged},
		{"only disabling", "PUT", native + "settings", `{"is_enabled":false}`, exampleChanged},
		{"disable", "POST", native + "disable", "", exampleDisabled},
		{"test", "POST", native + "test", "", exampleTested},
		{"cards", "GET", native + "payment-methods", "", exampleCards},
		{"user, without an envelope", "GET", "/talkover/api/user", "", exampleUser},
		{"health", "GET", "/talkover/api/v1/health", "", `{"status":"ok"}`},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			b := newBench(t, Options{})
			wantShape(t, tt.documented, b.ask(tt.method, tt.path, tt.body, nil).want(t, http.StatusOK).body)
		})
	}
	t.Run("history of a success and of a failure", func(t *testing.T) {
		t.Parallel()
		b := newBench(t, Options{})
		b.ask("POST", native+"test", "", nil).want(t, http.StatusOK)
		wantShape(t, exampleHistory, b.get(native+"history").want(t, http.StatusOK).body)
		wantShape(t, exampleSettings, b.get(native+"settings").want(t, http.StatusOK).body)
		must(t, b.SetCard("env-1", CardDeclined))
		declined := b.ask("POST", native+"test", "", nil).want(t, http.StatusPaymentRequired)
		if want := `{"code":"PAYMENT_FAILED","details":{"decline_reason":"insufficient_funds"},"message":"Payment method declined","success":false}`; declined.body != want {
			t.Errorf("body %s, want %s", declined.body, want)
		}
		wantShape(t, exampleFailed, b.get(native+"history?per_page=1").want(t, http.StatusOK).body)
	})
}

func TestTalkoverRefusesAsDocumented(t *testing.T) {
	t.Parallel()
	b := newBench(t, Options{Talkover: TalkoverOptions{Environments: 2}})
	environment := header{"Authorization": "Bearer talq_emulator_1"}
	human := header{"Authorization": "Bearer user_emulator_1"}
	for _, tt := range []struct {
		name, method, path, body string
		headers                  header
		status                   int
	}{
		{"an environment token cannot read the balance", "GET", balancePath, "", environment, 401},
		{"nor buy", "POST", topUpPath, topUpOrder, environment, 401},
		{"nor be a user", "GET", "/talkover/api/user", "", environment, 401},
		{"a user token cannot read native settings", "GET", native + "settings", "", human, 401},
		{"nor charge a test", "POST", native + "test", "", human, 401},
		{"no token", "GET", balancePath, "", header{"Authorization": ""}, 401},
		{"an unknown path", "GET", "/talkover/api/v1/transactions", "", nil, 404},
		{"no amount", "POST", topUpPath, `{}`, nil, 422},
		{"zero", "POST", topUpPath, `{"amount":0}`, nil, 422},
		{"less", "POST", topUpPath, `{"amount":-1}`, nil, 422},
		{"an amount as text", "POST", topUpPath, `{"amount":"100.00"}`, nil, 422},
		{"a third of a cent", "POST", topUpPath, `{"amount":0.003}`, nil, 422},
		{"another environment's card", "POST", topUpPath, `{"amount":5,"payment_method_id":"pm_x"}`, nil, 422},
		{"no body", "POST", topUpPath, ``, nil, 422},
		{"a threshold below 1", "PUT", native + "settings", `{"threshold_amount":0.99}`, nil, 422},
		{"a recharge above 1000", "PUT", native + "settings", `{"recharge_amount":1000.01}`, nil, 422},
		{"the 29th", "PUT", native + "settings", `{"day_of_month":29}`, nil, 422},
		{"monthly without an amount", "PUT", native + "settings", `{"scheduled_payment_enabled":true}`, nil, 422},
		{"101 a page", "GET", native + "history?per_page=101", "", nil, 422},
	} {
		t.Run(tt.name, func(t *testing.T) {
			r := b.ask(tt.method, tt.path, tt.body, tt.headers).want(t, tt.status)
			if !json.Valid([]byte(r.body)) {
				t.Errorf("body %q", r.body)
			}
		})
	}
	b.wantCaptured(0)
}

func TestTalkoverWritesErrorsInEveryDocumentedShape(t *testing.T) {
	t.Parallel()
	b := newBench(t, Options{Talkover: TalkoverOptions{Requests: -1}})
	seen := func(ask func() response, wanted ...string) {
		t.Helper()
		bodies := map[string]bool{}
		for range 12 {
			bodies[ask().body] = true
		}
		for _, want := range wanted {
			if !bodies[want] {
				t.Errorf("never answered %s, only %v", want, bodies)
			}
			delete(bodies, want)
		}
		if len(bodies) > 0 {
			t.Errorf("answered in unknown shapes: %v", bodies)
		}
	}
	seen(func() response { return b.ask("GET", balancePath, "", header{"Authorization": "Bearer x"}) },
		`{"code":"INVALID_TOKEN","message":"Invalid token","success":false}`,
		`{"error":{"code":"INVALID_API_KEY","details":{},"message":"Invalid API key"},"success":false}`,
		`{"error":{"code":"INVALID_TOKEN","message":"Invalid token"}}`,
		`{"error":"UNAUTHORIZED","message":"Unauthorized","status_code":401}`,
		`{"message":"Missing Bearer Token"}`,
		`{"message":"Unauthenticated.","success":false}`)
	seen(func() response { return b.ask("POST", topUpPath, `{"amount":0}`, nil) },
		`{"errors":{"amount":["The amount must be greater than 0."]},"message":"The given data was invalid.","success":false}`,
		`{"errors":{"amount":["The amount must be greater than 0."]},"message":"The given data was invalid."}`)
	b.SetFaults(Faults{Fail500: 1})
	seen(func() response { return b.ask("POST", topUpPath, topUpOrder, nil) },
		`{"message":"Internal server error.","success":false}`,
		`{"error":{"code":"SERVER_ERROR","details":{},"message":"Internal server error."},"success":false}`)
	b.SetFaults(Faults{Decline: 1})
	seen(func() response { return b.ask("POST", topUpPath, topUpOrder, nil) },
		`{"code":"PAYMENT_FAILED","message":"Payment method declined","success":false}`,
		`{"code":"PAYMENT_FAILED","details":{"decline_reason":"insufficient_funds"},"message":"Payment method declined","success":false}`)
	b.SetFaults(Faults{DeclineNoCredits: 1})
	seen(func() response { return b.ask("POST", topUpPath, topUpOrder, nil) },
		`{"code":"INSUFFICIENT_CREDITS","message":"Insufficient credits","success":false}`)
	b.SetFaults(Faults{Throttle: 1})
	waits := map[string]bool{}
	seen(func() response {
		r := b.ask("POST", topUpPath, topUpOrder, nil)
		waits[r.header.Get("Retry-After")] = true
		return r
	},
		`{"error":{"code":"RATE_LIMIT_EXCEEDED","details":{"retry_after":1},"message":"Rate limit exceeded"}}`,
		`{"message":"Too many requests. Please try again later.","success":false}`,
		`{"message":"Rate limit exceeded","success":false}`)
	if len(waits) != 2 {
		t.Errorf("Retry-After was %v, want it with and without", waits)
	}
}

func TestTalkoverLimitsEachToken(t *testing.T) {
	t.Parallel()
	b := newBench(t, Options{Talkover: TalkoverOptions{Requests: 1}})
	first := b.get(balancePath).want(t, http.StatusOK)
	if got := first.header.Get("X-RateLimit-Remaining") + first.header.Get("X-RateLimit-Reset"); got != "01795176060" {
		t.Errorf("remaining and reset %s", got)
	}
	b.get(balancePath).want(t, http.StatusTooManyRequests)
	b.get(native+"settings").want(t, http.StatusOK) // another token
	b.get("/talkover/api/v1/health").want(t, http.StatusOK)
	b.pass(time.Minute)
	b.get(balancePath).want(t, http.StatusOK)
	quiet := newBench(t, Options{Talkover: TalkoverOptions{Requests: 1, Profile: TalkoverProfile{NoHeaders: true}}})
	if h := quiet.get(balancePath).header.Get("X-RateLimit-Limit"); h != "" {
		t.Errorf("X-RateLimit-Limit %s although switched off", h)
	}
}

func TestTalkoverWritesMoneyAsTheProfileSays(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		style         MoneyStyle
		balance, want string
	}{
		{"", "41.2", `"balance":41.20,`},
		{"", "41.2034", `"balance":41.2034,`},
		{"", "-3.5", `"balance":-3.50,`},
		{MoneyString, "41.2", `"balance":"41.20",`},
	} {
		b := newBench(t, Options{Talkover: TalkoverOptions{Profile: TalkoverProfile{Money: tt.style}}})
		must(t, b.SetBalance("env-1", dec(tt.balance)))
		if got := b.get(balancePath).body; !strings.Contains(got, tt.want) {
			t.Errorf("%s as %q: %s", tt.balance, tt.style, got)
		}
	}
	b := newBench(t, Options{Talkover: TalkoverOptions{Profile: TalkoverProfile{Money: MoneyMixed}}})
	must(t, b.SetBalance("env-1", dec("7")))
	if both := b.get(balancePath).body + b.get(balancePath).body; !strings.Contains(both, `"balance":7.00`) || !strings.Contains(both, `"balance":"7.00"`) {
		t.Errorf("mixed: %s", both)
	}
}

func TestTalkoverHasNoMemoryOfKeys(t *testing.T) {
	t.Parallel()
	b := newBench(t, Options{})
	for range 2 {
		b.ask("POST", topUpPath, topUpOrder, header{"Idempotency-Key": keyOne}).want(t, http.StatusOK)
	}
	b.wantCaptured(2)
	if key := b.Books().Charges[1].Key; key != keyOne {
		t.Errorf("booked key %q", key)
	}
}

// talkoverBalance is what a read shows.
func (b *bench) talkoverBalance() (balance, asOf string) {
	b.t.Helper()
	var r struct {
		Data struct {
			Balance json.Number
			AsOf    string `json:"as_of"`
		}
	}
	b.get(balancePath).want(b.t, http.StatusOK).into(b.t, &r)
	return r.Data.Balance.String(), r.Data.AsOf
}

func TestALateTalkoverChargeLeavesTheBalanceFlatThenJumps(t *testing.T) {
	t.Parallel()
	b := newBench(t, Options{Talkover: TalkoverOptions{PostLate: time.Hour, Requests: -1}})
	must(t, b.SetBalance("env-1", dec("10")))
	b.ask("POST", topUpPath, topUpOrder, nil).want(t, http.StatusOK)
	charge := b.Books().Charges[0]
	for b.clock.now().Before(charge.At.Add(time.Hour)) {
		want := map[bool]string{true: "10.00", false: "110.00"}[b.clock.now().Before(charge.VisibleAt)]
		if got, asOf := b.talkoverBalance(); got != want || asOf != second(b.clock.now()) {
			t.Fatalf("at %s balance %s as of %s, want %s: posted at %s", b.clock.now(), got, asOf, want, charge.VisibleAt)
		}
		b.pass(time.Minute)
	}
}

// history lists the native recharges as "trigger status".
func (b *bench) history() []string {
	b.t.Helper()
	var r struct {
		Data []struct{ Trigger, Status string }
	}
	b.get(native+"history").want(b.t, http.StatusOK).into(b.t, &r)
	var out []string
	for _, row := range r.Data {
		out = append(out, row.Trigger+" "+row.Status)
	}
	return out
}

func TestANativeRechargeIsQueuedThenPendingThenOver(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name    string
		profile TalkoverProfile
		meddle  func(*bench)
		queued  []string
		last    string
		charges int
	}{
		{"it succeeds", TalkoverProfile{}, func(*bench) {}, nil, "threshold succeeded", 1},
		{"it fails with a declined card", TalkoverProfile{}, func(b *bench) { must(b.t, b.SetCard("env-1", CardDeclined)) }, nil, "threshold failed", 0},
		{"a queued one completes although disabled", TalkoverProfile{}, func(b *bench) {
			b.ask("POST", native+"disable", "", nil).want(b.t, http.StatusOK)
		}, nil, "threshold succeeded", 1},
		{"a queued one may be listed already", TalkoverProfile{QueuedVisible: true}, func(*bench) {}, []string{"threshold pending"}, "threshold succeeded", 1},
		{"the daily limit holds it back", TalkoverProfile{DailyLimit: dec("99")}, func(*bench) {}, nil, "threshold failed", 0},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			b := newBench(t, Options{Talkover: TalkoverOptions{Profile: tt.profile}})
			must(t, b.SetAutoTopup("env-1", true))
			must(t, b.SetBalance("env-1", dec("50")))
			b.pass(time.Second)
			if got := b.history(); got != nil {
				t.Fatalf("at the threshold: %v", got)
			}
			must(t, b.SetBalance("env-1", dec("49.99")))
			b.pass(time.Second)
			tt.meddle(b)
			if got := b.history(); len(got) != len(tt.queued) {
				t.Errorf("queued: %v, want %v", got, tt.queued)
			}
			b.pass(5 * time.Second)
			if got := b.history(); len(got) != 1 || got[0] != "threshold pending" {
				t.Errorf("after the queue: %v", got)
			}
			b.pass(3 * time.Second)
			b.pass(30 * time.Second)
			if got := b.history(); len(got) != 1 || got[0] != tt.last {
				t.Errorf("at the end: %v, want %s", got, tt.last)
			}
			b.wantCaptured(tt.charges)
		})
	}
}

func TestAMonthlyRechargeRunsOnceOnItsDay(t *testing.T) {
	t.Parallel()
	b := newBench(t, Options{})
	b.ask("PUT", native+"settings", `{"is_enabled":true,"scheduled_payment_enabled":true,"scheduled_amount":200,"day_of_month":22}`, nil).want(t, http.StatusOK)
	must(t, b.SetBalance("env-1", dec("500")))
	for range 4 * 24 {
		b.pass(time.Hour)
	}
	b.wantCaptured(1)
	if c := b.Books().Charges[0]; c.Amount != "200.00" || c.Source != SourceScheduled || c.At.Day() != 22 {
		t.Errorf("charge %+v", c)
	}
}

func TestAUserWhoSwitchesEnvironmentFillsTheOther(t *testing.T) {
	t.Parallel()
	b := newBench(t, Options{Talkover: TalkoverOptions{Environments: 2}})
	must(t, b.SwitchEnvironment("env-1", "env-2"))
	if body := b.get("/talkover/api/user").body; !strings.Contains(body, `"current_environment_id":"env-2"`) {
		t.Errorf("user %s", body)
	}
	b.ask("POST", topUpPath, topUpOrder, nil).want(t, http.StatusOK)
	if c := b.Books().Charges[0]; c.Customer != "env-2" {
		t.Errorf("charge %+v, want it at env-2", c)
	}
	if err := b.SwitchEnvironment("env-1", "env-9"); err == nil {
		t.Error("switched to an environment that does not exist")
	}
}
