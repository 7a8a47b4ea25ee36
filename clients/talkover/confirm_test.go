package talkover_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"topupd/topup"
)

func TestConfirmOfAHealthyAccount(t *testing.T) {
	t.Parallel()
	a := healthy(t)
	conf, err := a.client(t).Confirm(t.Context(), order())
	if err != nil {
		t.Fatal(err)
	}
	conf.Reading.ReadAt = time.Time{}
	want := topup.Confirmation{
		Reading: topup.Reading{
			Target: target, CustomerName: "voice", ProductName: "credits",
			Balance: 41*topup.Credit + 200_000, RefreshedAt: noon.Add(-time.Minute),
			Account: topup.Account{Currency: "USD"},
		},
		ServerTime: noon,
	}
	if diff := cmp.Diff(want, conf); diff != "" {
		t.Errorf("confirmation (-want +got):\n%s", diff)
	}
	var paths []string
	for _, r := range a.requests() {
		paths = append(paths, r.method+" "+r.path+"?"+r.query)
	}
	wantPaths := []string{
		"GET " + balancePath + "?", "GET " + settingsPath + "?",
		"GET " + historyPath + "?page=1&per_page=100", "GET " + userPath + "?",
	}
	if diff := cmp.Diff(wantPaths, paths); diff != "" {
		t.Errorf("requests (-want +got):\n%s", diff)
	}
}

// spoilt is a healthy account with one answer changed, and what the confirm read
// makes of it.
var spoilt = []struct {
	name, path string
	page       page
	environ    string // parts of the problems; "" = none
	currency   string
	native     string
	bad        string
	err        string
}{
	{name: "another environment", path: userPath, page: page{body: `{"id":"user-uuid-1","current_environment_id":"env-uuid-2"}`}, environ: "is in environment env-uuid-2, not env-uuid-1"},
	{name: "no environment", path: userPath, page: page{body: `{"id":"user-uuid-1","current_environment_id":null}`}, environ: "does not say"},
	{name: "an environment that is a number", path: userPath, page: page{body: `{"id":"user-uuid-1","current_environment_id":7}`}, environ: "does not say"},
	{name: "a user that is a list", path: userPath, page: page{body: `[]`}, err: "user"},
	{name: "a user in an unknown place", path: userPath, page: page{status: 404, body: `{"message":"Not found."}`}, err: "404"},
	{name: "the account is in another currency", path: balancePath, page: page{body: `{"success":true,"data":{"balance":41.20,"currency":"BRL","auto_topup_enabled":false,"as_of":"2024-01-15T19:30:00Z"}}`}, currency: "the account is in BRL, the configured charge in USD"},
	{name: "small letters are the same currency", path: balancePath, page: page{body: `{"success":true,"data":{"balance":41.20,"currency":"usd","auto_topup_enabled":false,"as_of":"2024-01-15T19:30:00Z"}}`}},
	{name: "the settings are in another currency", path: settingsPath, page: page{body: `{"success":true,"data":{"is_enabled":false,"currency":"BRL"}}`}, currency: "BRL"},
	{name: "the currency of the settings is none", path: settingsPath, page: page{body: `{"success":true,"data":{"is_enabled":false,"currency":"credits"}}`}, err: "currency"},
	{name: "a balance that is none", path: balancePath, page: page{body: `{"success":true,"data":{"balance":null,"currency":"USD","auto_topup_enabled":false,"as_of":"2024-01-15T19:30:00Z"}}`}, bad: "balance is null"},
	{name: "the flag says native top-up is on, the settings deny it", path: balancePath, page: page{body: `{"success":true,"data":{"balance":41.20,"currency":"USD","auto_topup_enabled":true,"as_of":"2024-01-15T19:30:00Z"}}`}, native: "but its settings say that it is off"},
	{name: "the settings say it is on, the flag denies it", path: settingsPath, page: page{body: `{"success":true,"data":{"is_enabled":true,"threshold_amount":50.00,"recharge_amount":"100.00","currency":"USD"}}`}, native: "charges 100 when the balance falls below 50"},
	{name: "the flag cannot be read, the settings say that it is off", path: balancePath, page: page{body: `{"success":true,"data":{"balance":41.20,"currency":"USD","auto_topup_enabled":null,"as_of":"2024-01-15T19:30:00Z"}}`}, native: "auto_topup_enabled is null, but its settings say that it is off"},
	{name: "a monthly recharge", path: settingsPath, page: page{body: `{"success":true,"data":{"is_enabled":false,"scheduled_payment_enabled":true,"scheduled_amount":200,"day_of_month":1}}`}, native: "charges 200 once a month"},
	{name: "both, with amounts that cannot be read", path: settingsPath, page: page{body: `{"success":true,"data":{"is_enabled":true,"scheduled_payment_enabled":true}}`}, native: "an unreadable amount"},
	{name: "the documented settings", path: settingsPath, page: page{body: "settings"}, native: "own auto top-up charges 100 when the balance falls below 50"},
	{name: "settings as after an update", path: settingsPath, page: page{body: "settings_updated"}, native: "own auto top-up"},
	{name: "never configured: 404", path: settingsPath, page: page{status: 404, body: `{"success":false,"message":"Not found."}`}},
	{name: "never configured: its code", path: settingsPath, page: page{status: 422, body: "test_not_configured"}},
	{name: "never configured: no settings", path: settingsPath, page: page{body: `{"success":true,"data":null}`}},
	{name: "never configured: settings of nulls", path: settingsPath, page: page{body: `{"success":true,"data":{"is_enabled":null,"threshold_amount":null,"recharge_amount":null}}`}},
	{name: "a 404 that is a proxy's", path: settingsPath, page: page{status: 404, body: `<html>not here</html>`}, err: "404"},
	{name: "a 422 for another reason", path: settingsPath, page: page{status: 422, body: `{"message":"The given data was invalid.","errors":{}}`}, err: "422"},
	{name: "settings without the switch", path: settingsPath, page: page{body: `{"success":true,"data":{"threshold_amount":50}}`}, err: "is_enabled is missing"},
	{name: "settings with a switch that is a text", path: settingsPath, page: page{body: `{"success":true,"data":{"is_enabled":"no"}}`}, err: "is_enabled"},
	{name: "settings with a schedule that is a text", path: settingsPath, page: page{body: `{"success":true,"data":{"is_enabled":false,"scheduled_payment_enabled":"no"}}`}, err: "scheduled_payment_enabled"},
	{name: "settings that are a list", path: settingsPath, page: page{body: `{"success":true,"data":[]}`}, err: "data"},
	{name: "settings of another environment's token", path: settingsPath, page: page{status: 401, body: `{"success":false,"message":"Unauthenticated."}`}, err: "401"},
	{name: "a history in an unknown place", path: historyPath, page: page{status: 404, body: `{"success":false,"message":"Not found."}`}, err: "404"},
	{name: "a history without pages", path: historyPath, page: page{body: `{"success":true,"data":[]}`}, err: "pagination"},
	{name: "a history of another page", path: historyPath, page: page{body: history(2, 2, "")}, err: "current_page is 2"},
}

func TestConfirmOfSpoiltAccounts(t *testing.T) {
	t.Parallel()
	for _, tt := range spoilt {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			a := healthy(t)
			p := tt.page
			if !strings.ContainsAny(p.body, "{[<") {
				p.body = golden(t, p.body)
			}
			a.set(tt.path, p)
			conf, err := a.client(t).Confirm(t.Context(), order())
			if tt.err != "" {
				if err == nil || !strings.Contains(err.Error(), tt.err) {
					t.Errorf("Confirm() = %+v, %v; want an error with %q", conf, err, tt.err)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			for name, pair := range map[string][2]string{
				"environment problem": {conf.EnvironmentProblem, tt.environ},
				"currency problem":    {conf.CurrencyProblem, tt.currency},
				"native problem":      {conf.NativeProblem, tt.native},
				"native":              {conf.Reading.Native, tt.native},
				"bad":                 {conf.Reading.Bad, tt.bad},
			} {
				if got, want := pair[0], pair[1]; !strings.Contains(got, want) || want == "" && got != "" {
					t.Errorf("%s = %q, want %q", name, got, want)
				}
			}
		})
	}
}

func TestNativeTopupThatIsAllowedIsNoProblemUntilItIsUnderWay(t *testing.T) {
	t.Parallel()
	a := healthy(t)
	c := a.client(t)
	a.set(settingsPath, page{body: golden(t, "settings")})
	allowed := order()
	allowed.Native = true
	conf, err := c.Confirm(t.Context(), allowed)
	if err != nil || conf.NativeProblem != "" || conf.Reading.Native == "" {
		t.Errorf("Confirm() = %+v, %v; want native top-up to be told and to be no problem", conf, err)
	}
	a.set(historyPath, page{body: history(1, 1, line("topup-uuid-9", "pending", noon))})
	if conf, err = c.Confirm(t.Context(), allowed); err != nil || !strings.Contains(conf.NativeProblem, "topup-uuid-9") {
		t.Errorf("Confirm() = %+v, %v; want the pending recharge", conf, err)
	}
}

func TestAHistoryIsNotMissedWhereNativeTopupNeverWas(t *testing.T) {
	t.Parallel()
	a := healthy(t)
	gone := page{status: 404, body: `{"success":false,"message":"Not found."}`}
	a.set(settingsPath, gone)
	a.set(historyPath, gone)
	if conf, err := a.client(t).Confirm(t.Context(), order()); err != nil || conf.NativeProblem != "" {
		t.Errorf("Confirm() = %+v, %v", conf, err)
	}
}

func TestConfirmOfAnotherConnectionsTarget(t *testing.T) {
	t.Parallel()
	a := healthy(t)
	for _, spoil := range []func(*topup.Target){
		func(x *topup.Target) { x.Customer = "env-uuid-2" },
		func(x *topup.Target) { x.Product = "itm_1" },
		func(x *topup.Target) { x.Provider = "talkover://elsewhere/env-uuid-1" },
	} {
		o := order()
		spoil(&o.Target)
		if _, err := a.client(t).Confirm(t.Context(), o); err == nil {
			t.Errorf("Confirm(%v) was answered", o.Target)
		}
	}
	if n := len(a.requests()); n != 0 {
		t.Errorf("%d requests were sent", n)
	}
}

func TestRechargesOfTheLastDayAreTopups(t *testing.T) {
	t.Parallel()
	a := healthy(t)
	day := 24 * time.Hour
	lines := strings.Join([]string{
		line("topup-uuid-1", "succeeded", noon.Add(-time.Hour)),
		line("topup-uuid-2", "failed", noon.Add(-2*time.Hour)),
		line("topup-uuid-3", "succeeded", noon.Add(-day)),
		line("topup-uuid-4", "succeeded", noon.Add(-day-time.Second)),
	}, ",")
	a.set(historyPath, page{body: history(1, 1, lines)})
	conf, err := a.client(t).Confirm(t.Context(), order())
	if err != nil {
		t.Fatal(err)
	}
	price := topup.Money{Minor: 100_00, Currency: "USD"}
	want := []topup.Topup{
		{ID: "topup-uuid-1", Invoice: "txn_topup-uuid-1", Credits: 100 * topup.Credit, Price: price, Source: "threshold", At: noon.Add(-time.Hour)},
		{ID: "topup-uuid-3", Invoice: "txn_topup-uuid-3", Credits: 100 * topup.Credit, Price: price, Source: "threshold", At: noon.Add(-day)},
	}
	if diff := cmp.Diff(want, conf.Topups); diff != "" {
		t.Errorf("top-ups (-want +got):\n%s", diff)
	}
	if conf.NativeProblem != "" {
		t.Errorf("finished recharges are a problem: %s", conf.NativeProblem)
	}
}

func TestTheDocumentedHistoryIsRead(t *testing.T) {
	t.Parallel()
	a := healthy(t)
	// The example is page 1 of 3; its oldest line is older than anything that matters.
	a.set(historyPath, page{body: golden(t, "history")})
	conf, err := a.client(t).Confirm(t.Context(), order())
	if err != nil || len(conf.Topups) != 0 || conf.NativeProblem != "" {
		t.Errorf("Confirm() = %+v, %v", conf, err)
	}
}

func TestHostileHistoryLines(t *testing.T) {
	t.Parallel()
	a := healthy(t)
	c := a.client(t)
	recent := noon.Add(-time.Hour).Format(time.RFC3339)
	week := 7 * 24 * time.Hour
	for _, tt := range []struct{ name, line, native, err string }{
		{"a status that is not documented", line("t1", "processing", noon), `"processing"`, ""},
		{"pending for nearly a week", line("t1", "pending", noon.Add(-week)), "t1", ""},
		{"pending for longer", line("t1", "pending", noon.Add(-week-time.Second)), "", ""},
		{"pending in the future", line("t1", "pending", noon.Add(time.Hour)), "t1", ""},
		{"no id", `{"status":"failed","created_at":"` + recent + `"}`, "", "id is missing"},
		{"an id that is too long", line(strings.Repeat("x", 129), "failed", noon), "", "id"},
		{"no status", `{"id":"t1","created_at":"` + recent + `"}`, "", "status is missing"},
		{"no time", `{"id":"t1","status":"failed","created_at":null}`, "", "created_at is null"},
		{"a time that is none", `{"id":"t1","status":"failed","created_at":"10/01/2024"}`, "", "created_at"},
		{"a recharge without an amount", `{"id":"t1","status":"succeeded","currency":"USD","created_at":"` + recent + `"}`, "", "amount is missing"},
		{"a recharge of half a cent", `{"id":"t1","status":"succeeded","amount":0.005,"currency":"USD","created_at":"` + recent + `"}`, "", "amount"},
		{"a recharge without a currency", `{"id":"t1","status":"succeeded","amount":1,"created_at":"` + recent + `"}`, "", "currency is missing"},
		{"no object", `"t1"`, "", "line 0"},
		{"no object beside a good line", line("t0", "failed", noon) + `,null`, "", "line 1"},
		{"an old line without an id", `{"status":"pending","created_at":"` + noon.Add(-week-time.Second).Format(time.RFC3339) + `"}`, "", ""},
		{"an old line without a status", `{"id":"t1","created_at":"` + noon.Add(-week-time.Second).Format(time.RFC3339) + `"}`, "", ""},
		{"a week-old line without a status", `{"id":"t1","created_at":"` + noon.Add(-week).Format(time.RFC3339) + `"}`, "", "status is missing"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			a.set(historyPath, page{body: history(1, 1, tt.line)})
			conf, err := c.Confirm(t.Context(), order())
			switch {
			case tt.err != "":
				if err == nil || !strings.Contains(err.Error(), tt.err) {
					t.Errorf("Confirm() = %+v, %v; want an error with %q", conf, err, tt.err)
				}
			case err != nil:
				t.Error(err)
			case !strings.Contains(conf.NativeProblem, tt.native) || tt.native == "" && conf.NativeProblem != "":
				t.Errorf("native problem = %q, want %q", conf.NativeProblem, tt.native)
			}
		})
	}
}

// P8: the order of the history is not documented, so it must not matter.
func TestThePendingRechargeIsFoundOnAnyPage(t *testing.T) {
	t.Parallel()
	long := noon.Add(-60 * 24 * time.Hour)
	hour := func(n int) time.Time { return noon.Add(-time.Duration(n) * time.Hour) }
	for _, tt := range []struct {
		name  string
		pages []string
		reads int // of the history
		want  string
	}{
		{"newest first, on the second page", []string{
			line("a", "failed", hour(1)) + "," + line("b", "failed", hour(2)),
			line("c", "pending", hour(3)) + "," + line("d", "failed", long),
			line("e", "failed", long),
		}, 2, "recharge c"},
		{"newest first, ending on the first page", []string{
			line("a", "failed", hour(1)) + "," + line("d", "failed", long),
			line("e", "pending", long),
		}, 1, ""},
		{"oldest first", []string{
			line("a", "failed", long) + "," + line("b", "failed", long.Add(time.Hour)),
			line("c", "failed", long.Add(2*time.Hour)) + "," + line("d", "failed", hour(9)),
			line("e", "pending", hour(2)),
		}, 3, "recharge e"},
		{"in no order", []string{
			line("a", "failed", long) + "," + line("b", "failed", hour(1)) + "," + line("c", "failed", long),
			line("d", "failed", long),
			line("e", "pending", hour(2)),
		}, 3, "recharge e"},
		{"rows that moved to the next page", []string{
			line("a", "failed", hour(1)) + "," + line("b", "pending", hour(2)),
			line("b", "pending", hour(2)) + "," + line("c", "failed", long),
		}, 2, "recharge b"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			a := healthy(t)
			for i, lines := range tt.pages {
				a.set(fmt.Sprintf("%s?page=%d&per_page=100", historyPath, i+1), page{body: history(i+1, len(tt.pages), lines)})
			}
			conf, err := a.client(t).Confirm(t.Context(), order())
			if err != nil || !strings.Contains(conf.NativeProblem, tt.want) || tt.want == "" && conf.NativeProblem != "" {
				t.Errorf("native problem = %q, %v; want %q", conf.NativeProblem, err, tt.want)
			}
			reads := 0
			for _, r := range a.requests() {
				if r.path == historyPath {
					reads++
				}
			}
			if reads != tt.reads {
				t.Errorf("the history took %d reads, want %d", reads, tt.reads)
			}
		})
	}
}

func TestARechargeThatMovedToTheNextPageIsToldOnce(t *testing.T) {
	t.Parallel()
	a := healthy(t)
	moved := line("b", "succeeded", noon.Add(-2*time.Hour))
	for i, lines := range []string{
		line("a", "succeeded", noon.Add(-time.Hour)) + "," + moved,
		moved + "," + line("c", "failed", noon.Add(-60*24*time.Hour)),
	} {
		a.set(fmt.Sprintf("%s?page=%d&per_page=100", historyPath, i+1), page{body: history(i+1, 2, lines)})
	}
	conf, err := a.client(t).Confirm(t.Context(), order())
	if err != nil || len(conf.Topups) != 2 || conf.Topups[0].ID != "a" || conf.Topups[1].ID != "b" {
		t.Errorf("top-ups = %+v, %v; want a and b, once each", conf.Topups, err)
	}
}

func TestAnEndlessHistoryIsAnError(t *testing.T) {
	t.Parallel()
	a := healthy(t)
	for i := 1; i <= 12; i++ {
		a.set(fmt.Sprintf("%s?page=%d&per_page=100", historyPath, i),
			page{body: history(i, 1_000_000_000, line(fmt.Sprint("t", i), "failed", noon.Add(-time.Duration(i)*time.Minute)))})
	}
	_, err := a.client(t).Confirm(t.Context(), order())
	if err == nil || !strings.Contains(err.Error(), "does not end within 10 pages") {
		t.Errorf("Confirm() = %v", err)
	}
	if n := len(a.requests()); n != 12 { // balance, settings, ten pages
		t.Errorf("%d requests", n)
	}
}

func TestPaymentMethodsChangeTheirFingerprint(t *testing.T) {
	t.Parallel()
	a := healthy(t)
	c := a.client(t)
	print := func(body string) string {
		t.Helper()
		a.set(cardsPath, page{body: body})
		got, err := c.PaymentMethods(t.Context(), target)
		if err != nil {
			t.Fatal(err)
		}
		return got
	}
	documented := golden(t, "payment_methods")
	first := print(documented)
	one := `{"id":"pm_uuid_1","type":"card","card":{"brand":"visa","last4":"4242","exp_month":12,"exp_year":2027},"is_default":true}`
	two := `{"id":"pm_uuid_2","type":"card","card":{"brand":"mastercard","last4":"5555","exp_month":8,"exp_year":2026},"is_default":false}`
	if got := print(`{"success":true,"data":[` + two + `,` + one + `]}`); got != first {
		t.Error("the order of the cards matters")
	}
	for name, body := range map[string]string{
		"removed": `{"success":true,"data":[` + one + `]}`,
		"none":    `{"success":true,"data":[]}`,
		"no id":   strings.Replace(documented, `"id":"pm_uuid_2",`, ``, 1),
		"no card": `{"success":true,"data":[` + one + `,` + two + `,7]}`,
		"renewed": strings.Replace(documented, "2026", "2030", 1),
		"default": strings.Replace(documented, `"is_default":false`, `"is_default":true`, 1),
	} {
		if print(body) == first {
			t.Errorf("%s: the fingerprint is the same", name)
		}
	}
	if _, err := c.PaymentMethods(t.Context(), topup.Target{Customer: "env-uuid-2"}); err == nil {
		t.Error("another environment's cards were read")
	}
}
