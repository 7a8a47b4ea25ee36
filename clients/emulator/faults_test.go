package emulator

import (
	"encoding/json"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// outcome is what a client saw and what truly happened.
type outcome struct {
	Status   int  // 0: no whole answer
	Captured int  // charges
	Executed bool // the request's own record
	JSON     bool // the body is whole JSON
}

func (b *bench) outcome(r response) outcome {
	books := b.Books()
	o := outcome{Captured: len(books.Captured()), JSON: r.err == nil && json.Valid([]byte(r.body))}
	if r.err == nil {
		o.Status = r.status
	}
	o.Executed = books.Requests[0].Executed
	return o
}

func TestEachPurchaseFaultDoesWhatItSays(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		fault               string
		hyperline, talkover outcome
	}{
		{"none", outcome{201, 1, true, true}, outcome{200, 1, true, true}},
		{"charge_then_500", outcome{500, 1, true, true}, outcome{500, 1, true, true}},
		{"charge_then_hang", outcome{0, 1, true, false}, outcome{0, 1, true, false}},
		{"charge_then_drop", outcome{0, 1, true, false}, outcome{0, 1, true, false}},
		{"charge_then_truncate", outcome{0, 1, true, false}, outcome{0, 1, true, false}},
		{"charge_then_html", outcome{200, 1, true, false}, outcome{200, 1, true, false}},
		{"fail_without_charging_500", outcome{500, 0, false, true}, outcome{500, 0, false, true}},
		{"drop_without_charging", outcome{0, 0, false, false}, outcome{0, 0, false, false}},
		{"hang_without_charging", outcome{0, 0, false, false}, outcome{0, 0, false, false}},
		{"decline", outcome{402, 0, false, true}, outcome{402, 0, false, true}},
		{"decline_201_unpaid", outcome{201, 0, true, true}, outcome{200, 0, false, true}},
		{"decline_no_credits", outcome{402, 0, false, true}, outcome{402, 0, false, true}},
		{"throttle", outcome{429, 0, false, false}, outcome{429, 0, false, true}},
		{"slow", outcome{201, 1, true, true}, outcome{200, 1, true, true}},
		{"redirect_307", outcome{307, 0, false, false}, outcome{307, 0, false, false}},
		{"wrong_amount", outcome{201, 1, true, true}, outcome{200, 1, true, true}},
		{"execute_late", outcome{0, 0, false, false}, outcome{0, 0, false, false}},
		{"refuse", outcome{400, 0, false, true}, outcome{422, 0, false, true}},
	} {
		t.Run(tt.fault, func(t *testing.T) {
			t.Parallel()
			faults := Faults{Next: []string{tt.fault}, HangFor: time.Millisecond, SlowFor: time.Millisecond}
			for provider, run := range map[string]struct {
				path, body string
				want       outcome
			}{
				"hyperline": {purchasePath, smallOrder, tt.hyperline},
				"talkover":  {topUpPath, topUpOrder, tt.talkover},
			} {
				b := newBench(t, Options{Faults: faults})
				got := b.outcome(b.ask("POST", run.path, run.body, nil))
				if diff := cmp.Diff(run.want, got); diff != "" {
					t.Errorf("%s (-want +got):\n%s", provider, diff)
				}
				request := b.Books().Requests[0]
				if want := strings.TrimPrefix(tt.fault, "none"); request.Fault != want {
					t.Errorf("%s: booked fault %q, want %q", provider, request.Fault, want)
				}
			}
		})
	}
}

func TestEveryPurchaseFaultIsTried(t *testing.T) {
	t.Parallel()
	if got := len(purchaseRates); got != 17 {
		t.Errorf("%d purchase faults: the table above has 17 and none", got)
	}
}

func TestAHangEndsWhenTheClientLeaves(t *testing.T) {
	t.Parallel()
	b := newBench(t, Options{Faults: Faults{ChargeThenHang: 1}})
	impatient := *b
	impatient.http = &http.Client{Timeout: 50 * time.Millisecond, Transport: &http.Transport{DisableKeepAlives: true}}
	if r := impatient.buy(keyOne); r.err == nil {
		t.Fatalf("answered %+v", r)
	}
	b.wantCaptured(1)
}

func TestLateExecutionHappensAfterTheConnectionIsGone(t *testing.T) {
	t.Parallel()
	for _, fault := range []string{"charge_then_drop", "charge_then_hang", "execute_late"} {
		t.Run(fault, func(t *testing.T) {
			t.Parallel()
			const late = 10 * time.Minute
			b := newBench(t, Options{
				Hyperline: HyperlineOptions{ExecuteLate: late}, Talkover: TalkoverOptions{ExecuteLate: late},
				Faults: Faults{Next: []string{fault}, HangFor: time.Millisecond},
			})
			if r := b.buy(keyOne); r.err == nil {
				t.Fatalf("answered %+v", r)
			}
			b.wantCaptured(0)
			b.buy(keyOne).want(t, http.StatusConflict) // still running
			b.SetFaults(Faults{Next: []string{fault}, HangFor: time.Millisecond})
			b.ask("POST", topUpPath, topUpOrder, nil)
			b.pass(late + time.Millisecond)
			b.wantCaptured(2)
			b.buy(keyOne).want(t, http.StatusCreated) // a replay
			b.wantCaptured(2)
			for _, r := range b.Books().Requests {
				if r.Fault == fault && (!r.Executed || r.Status != 0) {
					t.Errorf("request %+v: want executed and no answer", r)
				}
			}
		})
	}
}

func TestARedirectThatIsFollowedChargesThere(t *testing.T) {
	t.Parallel()
	b := newBench(t, Options{Faults: Faults{Next: []string{"redirect_307"}}})
	r := b.buy(keyOne).want(t, http.StatusTemporaryRedirect)
	b.ask("POST", r.header.Get("Location"), smallOrder, nil).want(t, http.StatusCreated)
	b.wantCaptured(1)
}

func TestAWrongAmountIsBookedAsItWasTaken(t *testing.T) {
	t.Parallel()
	b := newBench(t, Options{Faults: Faults{WrongAmount: 1}})
	b.buy(keyOne).want(t, http.StatusCreated)
	answer := b.ask("POST", topUpPath, topUpOrder, nil).want(t, http.StatusOK)
	books := b.Books()
	if got := []string{books.Charges[0].Amount, books.Charges[1].Amount}; !cmp.Equal(got, []string{"220.00", "110.00"}) {
		t.Errorf("charged %v, want 220.00 and 110.00", got)
	}
	if !strings.Contains(answer.body, `"amount_charged":110.00`) {
		t.Errorf("Talkover answered %s, want the true amount", answer.body)
	}
}

func TestEachReadFaultDoesWhatItSays(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		fault  string
		status int
		json   bool
	}{
		{"read_500", 500, true},
		{"read_hang", 0, false},
		{"read_html", 200, false},
		{"read_truncate", 0, false},
		{"read_throttle", 429, false},
	} {
		t.Run(tt.fault, func(t *testing.T) {
			t.Parallel()
			for _, path := range []string{"/v1/customers/credits", balancePath} {
				b := newBench(t, Options{Faults: Faults{Next: []string{tt.fault}, HangFor: time.Millisecond}})
				r := b.get(path)
				status := r.status
				if r.err != nil {
					status = 0
				}
				whole := r.err == nil && json.Valid([]byte(r.body))
				if status != tt.status || whole != (tt.json || path == balancePath && tt.fault == "read_throttle") {
					t.Errorf("%s: status %d, whole JSON %t, %v", path, status, whole, r.err)
				}
				b.get(path).want(t, http.StatusOK) // only the next one was forced
			}
		})
	}
}

func TestRowFaultsLieOnlyInTheAnswer(t *testing.T) {
	t.Parallel()
	b := newBench(t, Options{})
	must(t, b.SetBalance(FirstCustomer, dec("300")))
	must(t, b.SetBalance("env-1", dec("40.5")))
	b.pass(time.Minute)
	b.buy(keyOne).want(t, http.StatusCreated)
	b.ask("POST", topUpPath, topUpOrder, nil).want(t, http.StatusOK)
	b.pass(time.Second)

	for _, tt := range []struct {
		name                string
		faults              Faults
		hyperline, talkover string
	}{
		{"none", Faults{}, `"current_balance":420,`, `"balance":140.50,`},
		{"an older balance", Faults{Stale: 1}, `"current_balance":300,`, `"balance":40.50,`},
		{"null", Faults{Glitch: 1, GlitchValue: "null"}, `"current_balance":null,`, `"balance":null,`},
		{"a text", Faults{Glitch: 1, GlitchValue: `"abc"`}, `"current_balance":"abc",`, `"balance":"abc",`},
		{"far too much", Faults{Glitch: 1, GlitchValue: "1e30"}, `"current_balance":1e30,`, `"balance":1e30,`},
		{"nothing for anybody", Faults{AllZero: 1}, `"current_balance":0,`, `"balance":0.00,`},
		{"only the other provider", Faults{AllZero: 1, Provider: "talkover"}, `"current_balance":420,`, `"balance":0.00,`},
	} {
		t.Run(tt.name, func(t *testing.T) {
			must(t, tt.faults.Validate())
			b.SetFaults(tt.faults)
			for path, want := range map[string]string{creditPath: tt.hyperline, "/v1/customers/credits": tt.hyperline, balancePath: tt.talkover} {
				if got := b.get(path).want(t, http.StatusOK).body; !strings.Contains(got, want) {
					t.Errorf("%s: %s lacks %s", path, got, want)
				}
			}
		})
	}
	stale := Faults{Stale: 1}
	b.SetFaults(stale)
	if _, refreshed := b.balance(); refreshed >= "2026-11-20T12:01:00.000Z" {
		t.Errorf("an older balance came with the newer time %s", refreshed)
	}
	if got := b.Customers()[0].Balance; got != "420" {
		t.Errorf("the truth became %s", got)
	}
}

func TestAnOutageHitsEverything(t *testing.T) {
	t.Parallel()
	b := newBench(t, Options{Faults: Faults{Outage: 1}})
	seen := map[int]int{}
	for range 20 {
		for _, r := range []response{b.buy(keyOne), b.get("/v1/products"), b.get(balancePath), b.ask("POST", topUpPath, topUpOrder, nil)} {
			seen[r.status]++
		}
	}
	if seen[503] == 0 || seen[0] == 0 || seen[503]+seen[0] != 80 {
		t.Errorf("answers by status %v, want only 503 and none", seen)
	}
	b.wantCaptured(0)
}

func TestFaultsAreCheckedAndWrittenAsJSON(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct{ name, text, want string }{
		{"a probability above 1", `{"slow":1.5}`, "slow is 1.5"},
		{"a negative one", `{"slow":-0.1}`, "slow is -0.1"},
		{"a group above 1", `{"slow":0.6,"decline":0.6}`, "add up to 1.2"},
		{"an unknown name", `{"explode":1}`, `unknown field "explode"`},
		{"an unknown forced fault", `{"next":["explode"]}`, `"explode" is unknown`},
		{"an unknown provider", `{"provider":"acme"}`, `"acme" is neither`},
		{"a duration without a unit", `{"slow_for":"2"}`, `slow_for: "2" is not a duration`},
		{"a glitch that is no JSON", `{"glitch_value":"abc"}`, "is not JSON"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var f Faults
			if err := json.Unmarshal([]byte(tt.text), &f); err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("error %v, want one with %q", err, tt.want)
			}
		})
	}
	f := Faults{Provider: "hyperline", Slow: 0.5, SlowFor: 1500 * time.Millisecond, HangFor: time.Hour, Next: []string{"slow", "none"}}
	text, err := json.Marshal(f)
	if err != nil {
		t.Fatal(err)
	}
	var back Faults
	if err := json.Unmarshal(text, &back); err != nil || !cmp.Equal(f, back) {
		t.Errorf("%s came back as %+v, %v", text, back, err)
	}
	for _, name := range FaultNames() {
		var one Faults
		if err := one.Set(name, 0.25); err != nil || one.Active()[name] != 0.25 {
			t.Errorf("setting %s: %v, active %v", name, err, one.Active())
		}
	}
}

func TestForcedFaultsDoNotWaitForEachOther(t *testing.T) {
	t.Parallel()
	b := newBench(t, Options{})
	must(t, b.Force("read_500", "none", "decline"))
	b.buy(keyOne).want(t, http.StatusCreated)
	b.buy(keyTwo).want(t, http.StatusPaymentRequired)
	b.get("/v1/products").want(t, http.StatusInternalServerError)
	if left := b.Faults().Next; len(left) != 0 {
		t.Errorf("left in the queue: %v", left)
	}
}

func TestASlowPurchaseGoesOnWithoutItsClient(t *testing.T) {
	t.Parallel()
	b := newBench(t, Options{Faults: Faults{PurchaseDelay: 200 * time.Millisecond}})
	impatient := *b
	impatient.http = &http.Client{Timeout: 20 * time.Millisecond, Transport: &http.Transport{DisableKeepAlives: true}}
	if r := impatient.buy(keyOne); r.err == nil {
		t.Fatalf("answered %+v", r)
	}
	b.buy(keyOne).want(t, http.StatusConflict)
	b.wantCaptured(0)
	until(t, "the purchase was executed", func() bool { return b.captured() == 1 })
	b.SetFaults(Faults{})
	b.buy(keyOne).want(t, http.StatusCreated)
	b.wantCaptured(1)
}
