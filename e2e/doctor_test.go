package e2e

import (
	"cmp"
	"encoding/json"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/govalues/decimal"

	"topupd/clients/emulator"
)

// saw is what the doctor must say about one thing.
type saw struct{ name, status, text string }

// doctored is one reading of what the documentation leaves open: what the doctor
// must find, and what the daemon must make of it.
type doctored struct {
	name    string
	profile emulator.HyperlineProfile
	want    []saw
	caps    map[string]string // stored, by name; "" is any value
	quiet   string            // of the configuration
	effect  string            // part of the daemon's log line; "" = none
	ignored bool              // no repeat may be sent
}

var doctoredProfiles = []doctored{
	{
		name: "as documented",
		want: []saw{
			{"same key again", "ok", "the same answer again"},
			{"same key, other bytes", "ok", "417"},
			{"same key, other purchase", "ok", "417"},
			{"two at the same time", "ok", "409"},
			{"declined card", "ok", "left no invoice"},
			{"ledger order", "ok", "newest first"},
			{"invoice order", "ok", "newest first"},
			{"seconds of expires_at", "ok", "cut"},
			{"balance refresh", "ok", "at every read"},
			{"skip limit", "ok", "none"},
			{"type filter", "ok", "honoured"},
		},
		caps: map[string]string{"keys_honoured": "yes", "expires_at_seconds": "cut", "visible_after": ""},
	},
	{
		name: "keys ignored", profile: emulator.HyperlineProfile{KeysIgnored: true},
		want: []saw{{"same key again", "fail", "charged again"}, {"two at the same time", "not known", "not tried"}},
		caps: map[string]string{"keys_honoured": "no"}, effect: "no unclear purchase is repeated", ignored: true,
	},
	{
		name: "a request runs beside another of its key", profile: emulator.HyperlineProfile{ConcurrentRuns: true},
		want: []saw{{"same key again", "ok", "the same answer again"}, {"two at the same time", "fail", "both were charged"}},
		caps: map[string]string{"keys_honoured": ""}, effect: "no unclear purchase is repeated", ignored: true,
	},
	{
		name: "a success is remembered after a 5xx", profile: emulator.HyperlineProfile{RememberAfter5xx: true},
		want: []saw{{"same key again", "ok", "the same answer again"}},
	},
	{
		name: "bodies are compared by meaning", profile: emulator.HyperlineProfile{CompareMeaning: true},
		want: []saw{{"same key, other bytes", "ok", "by meaning"}, {"same key, other purchase", "ok", "417"}},
	},
	{
		name: "no 417: the first answer again", profile: emulator.HyperlineProfile{OtherBytes: emulator.OtherBytesReplayed},
		want: []saw{{"same key, other purchase", "warn", "bodies are not compared"}},
		caps: map[string]string{"keys_honoured": "yes"},
	},
	{
		name: "no 417: other bytes run", profile: emulator.HyperlineProfile{OtherBytes: emulator.OtherBytesRun},
		want: []saw{{"same key, other bytes", "warn", "executed"}, {"same key, other purchase", "warn", "executed"}},
		caps: map[string]string{"keys_honoured": "yes"},
	},
	{
		name: "purchases show late", profile: emulator.HyperlineProfile{VisibleAfter: 1500 * time.Millisecond}, quiet: "4s",
		want: []saw{{"visibility", "warn", "too slow for a quiet period of 4s"}, {"same key again", "ok", "the same answer again"}},
		caps: map[string]string{"visible_after": ""}, effect: "quiet period raised from 4s",
	},
	{
		name: "skip is refused early", profile: emulator.HyperlineProfile{SkipLimit: 100},
		want: []saw{{"skip limit", "ok", "beyond 100 "}}, caps: map[string]string{"skip_limit": "100"}, effect: "beyond 100 rows",
	},
	{
		name: "lists in the other order, filters ignored",
		profile: emulator.HyperlineProfile{
			RowsOldestFirst: true, InvoiceSortIgnored: true, TypeFilterIgnored: true,
		},
		want: []saw{{"ledger order", "ok", "oldest first"}, {"invoice order", "warn", "oldest first"}, {"type filter", "warn", "ignored"}},
	},
	{
		name: "seconds of expires_at are kept", profile: emulator.HyperlineProfile{ExpiryShown: emulator.ExpirySeconds},
		want: []saw{{"seconds of expires_at", "ok", "kept"}}, caps: map[string]string{"expires_at_seconds": "kept"},
	},
	{
		name: "seconds of expires_at are cut", profile: emulator.HyperlineProfile{ExpiryShown: emulator.ExpiryMinutes},
		want: []saw{{"seconds of expires_at", "ok", "cut"}}, caps: map[string]string{"expires_at_seconds": "cut"},
	},
	{
		name: "balances are refreshed now and then", profile: emulator.HyperlineProfile{RefreshEvery: time.Second},
		want: []saw{{"balance refresh", "ok", "at most"}}, caps: map[string]string{"refresh_every": ""},
	},
	{
		name: "declines leave an unpaid invoice", profile: emulator.HyperlineProfile{Decline: emulator.DeclineRefusedUnpaid},
		want: []saw{{"declined card", "ok", "status to_pay"}},
	},
	{
		name: "declines are created and unpaid", profile: emulator.HyperlineProfile{Decline: emulator.DeclineCreatedUnpaid},
		want: []saw{{"declined card", "ok", "accepted (201)"}},
	},
	{
		name: "credits are granted unpaid", profile: emulator.HyperlineProfile{Decline: emulator.DeclineRefusedUnpaid, GrantUnpaid: true},
		want: []saw{{"declined card", "warn", "1 row of credits"}},
	},
}

// TestTheDoctorIsRightAndTheDaemonObeys: for every profile the doctor's
// experiments find what the emulator was told to play, within the bound, and the
// daemon that then runs on that ledger charges nobody twice under lost answers.
// Where keys mean nothing it repeats nothing (P4).
func TestTheDoctorIsRightAndTheDaemonObeys(t *testing.T) {
	t.Parallel()
	for _, tt := range doctoredProfiles {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			p := tt.place(t)
			tt.experiments(t, p)
			before := len(p.emu.Books().Requests)
			tt.daemon(t, p, before)
		})
	}
}

func (tt doctored) place(t *testing.T) *place {
	t.Helper()
	whole := func(n int64) emulator.Range {
		return emulator.Range{Min: decimal.MustNew(n, 0), Max: decimal.MustNew(n, 0)}
	}
	return newPlace(t, sqliteURL(t), emulator.Options{
		Seed: 42,
		Hyperline: emulator.HyperlineOptions{
			Customers: max(10, tt.profile.SkipLimit+20), NoUsage: true, Threshold: decimal.MustNew(100, 0), StartBalance: whole(500), Reads: -1, Writes: -1, Profile: tt.profile,
		},
		Faults: emulator.Faults{PurchaseDelay: 200 * time.Millisecond},
	}, settings{Quiet: cmp.Or(tt.quiet, "5s"), PurchaseTimeout: "1s"})
}

// experiments runs the doctor and holds its report against the profile.
func (tt doctored) experiments(t *testing.T, p *place) {
	t.Helper()
	customers := p.emu.Customers()
	first, declined := customers[0].ID, customers[1].ID
	for _, err := range []error{p.emu.SetCard(declined, emulator.CardDeclined), p.emu.PortalPurchase(first)} {
		if err != nil {
			t.Fatal(err)
		}
	}
	until(t, time.Minute, "the customer's own purchase to show", func() bool { return time.Now().After(p.emu.Books().Charges[0].VisibleAt) })
	p.use(first)
	file := filepath.Join(p.dir, "doctor.json")
	out, errs, code := p.run("doctor", "--spend-at-most", "7200.00 EUR", "--customer", first, "--declined-customer", declined,
		"--yes", "--wait", "30s", "--watch", "3s", "--by", "tester", "--report", file, "-o", "json")
	var findings []struct{ Kind, Name, Status, Saw string }
	err := json.Unmarshal([]byte(out), &findings)
	wantCode := 0
	for _, f := range findings {
		if f.Status == "warn" || f.Status == "fail" {
			wantCode = 3
		}
	}
	if err != nil || code != wantCode {
		t.Fatalf("doctor: exit %d, want %d, %v\n%s\n%s", code, wantCode, err, out, errs)
	}
	for _, want := range tt.want {
		found := false
		for _, f := range findings {
			found = found || f.Name == want.name && f.Status == want.status && strings.Contains(f.Saw, want.text)
		}
		if !found {
			t.Errorf("the doctor does not say %q %s with %q; it says\n%s", want.name, want.status, want.text, out)
		}
	}
	tt.bound(t, p)
	tt.stored(t, p, file)
}

// use posts usage, so that the customer's ledger has rows of two types.
func (p *place) use(customer string) {
	p.t.Helper()
	at := p.url + "/v1/customers/" + customer + "/credits/" + emulator.Product + "/usage"
	request, err := http.NewRequestWithContext(p.t.Context(), http.MethodPost, at, strings.NewReader(`{"usage_retained":5}`))
	if err != nil {
		p.t.Fatal(err)
	}
	request.Header.Set("Authorization", "Bearer "+emulator.DefaultToken)
	answer, err := http.DefaultClient.Do(request)
	if err != nil {
		p.t.Fatal(err)
	}
	_ = answer.Body.Close()
	if answer.StatusCode != http.StatusCreated {
		p.t.Fatalf("posting usage: %s", answer.Status)
	}
}

// bound: nothing beyond what was allowed was even sent, and each was announced.
func (tt doctored) bound(t *testing.T, p *place) {
	t.Helper()
	spent := int64(0)
	for _, c := range p.emu.Books().Charges {
		if c.Source == emulator.SourceAPI {
			spent += c.AmountMinor
		}
	}
	if sent := len(p.emu.Books().Requests); spent > 7200_00 || sent > 8 {
		t.Errorf("%d requests, charges of %d cents: more than was allowed", sent, spent)
	}
}

func (tt doctored) stored(t *testing.T, p *place, file string) {
	t.Helper()
	report, err := os.ReadFile(file)
	if err != nil || strings.Contains(string(report), "test_emulator") || !strings.Contains(string(report), `"by":"tester"`) {
		t.Errorf("the report is not signed, or holds the token (%v): %s", err, report)
	}
	out, errs, code := p.run("doctor", "--show", "-o", "json")
	var list []struct{ Name, Value, By, Report string }
	if err := json.Unmarshal([]byte(out), &list); err != nil || code != 0 {
		t.Fatalf("doctor --show: exit %d, %v: %s", code, err, errs)
	}
	for name, value := range tt.caps {
		found := false
		for _, c := range list {
			found = found || c.Name == name && (value == "" || c.Value == value) && c.By == "tester" && strings.Contains(string(report), c.Report)
		}
		if !found {
			t.Errorf("%s %s is not stored under the report's hash: %s", name, value, out)
		}
	}
}

// daemon lets everybody run low under lost answers and holds the ledger against
// the provider's books.
func (tt doctored) daemon(t *testing.T, p *place, before int) {
	t.Helper()
	doctors := p.emu.Books().Charges
	p.emu.SetFaults(emulator.Faults{DropUncharged: 0.35, ChargeThenDrop: 0.2, ChargeThen500: 0.1, Fail500: 0.1})
	if err := p.emu.Force("drop_without_charging", "charge_then_drop", "drop_without_charging", "charge_then_500", "drop_without_charging"); err != nil {
		t.Fatal(err)
	}
	low := p.emu.Customers()[2:10]
	for _, c := range low {
		if err := p.emu.SetBalance(c.ID, decimal.MustNew(20, 0)); err != nil {
			t.Fatal(err)
		}
	}
	d := p.started()
	if tt.effect != "" && !strings.Contains(d.tail(1000), tt.effect) {
		t.Errorf("the daemon does not say that it obeys: %q is not in\n%s", tt.effect, d.tail(20))
	}
	until(t, 4*time.Minute, "a purchase for everybody, and none open", func() bool { return tt.over(p, len(low)) })
	if code := d.stop(); code != 0 {
		t.Errorf("the daemon ended with %d", code)
	}
	tt.judge(t, p, before, len(doctors))
}

// over: every low customer has a purchase that is credited or, where no repeat is
// allowed, in review; nothing is on its way.
func (tt doctored) over(p *place, customers int) bool {
	done := map[string]bool{}
	for _, b := range p.purchases() {
		switch b.State {
		case "credited", "needs_review":
			done[b.Customer] = true
		case "planned", "held", "sent", "confirmed":
			return false
		}
	}
	return len(done) == customers
}

func (tt doctored) judge(t *testing.T, p *place, before, doctors int) {
	t.Helper()
	books := p.emu.Books()
	sent, executed := map[string]int{}, map[string]int{}
	for _, r := range books.Requests[before:] {
		sent[r.Key]++
		if r.Executed {
			executed[r.Key]++
		}
	}
	repeats := 0
	for key, n := range sent {
		if executed[key] > 1 {
			t.Errorf("the purchase under key %s was executed %d times", key, executed[key])
		}
		repeats += n - 1
	}
	if tt.ignored && repeats > 0 {
		t.Errorf("%d requests were repeated although keys mean nothing", repeats)
	}
	if !tt.ignored && repeats == 0 {
		t.Error("no request was repeated: the lost ones were not tried again")
	}
	charged := map[string]int{}
	for _, c := range books.Charges[doctors:] {
		if c.Captured {
			charged[c.Customer]++
		}
	}
	for customer, n := range charged {
		if n > 1 {
			t.Errorf("%s was charged %d times for one need", customer, n)
		}
	}
}

// TestARunningDaemonFollowsTheDoctor: what is found beside it holds without a
// restart, also for a purchase that was on its way before (P4).
func TestARunningDaemonFollowsTheDoctor(t *testing.T) {
	t.Parallel()
	for name, database := range databases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			tt := doctored{profile: emulator.HyperlineProfile{KeysIgnored: true}, quiet: "25s"}
			p := tt.place(t)
			p.db = database(t)
			p.write("topupd.yml", p.yaml())
			if err := p.emu.Force("drop_without_charging"); err != nil {
				t.Fatal(err)
			}
			customers := p.emu.Customers()
			if err := p.emu.SetBalance(customers[2].ID, decimal.MustNew(20, 0)); err != nil {
				t.Fatal(err)
			}
			d := p.started()
			until(t, time.Minute, "a purchase that was lost", func() bool { return p.open() == 1 && len(p.emu.Books().Requests) == 1 })
			out, errs, code := p.run("doctor", "--spend-at-most", "1800.00 EUR", "--customer", customers[0].ID, "--yes", "--watch", "0s", "--by", "tester")
			if code != 3 || !strings.Contains(out, "charged again") {
				t.Fatalf("doctor: exit %d\n%s\n%s", code, out, errs)
			}
			until(t, time.Minute, "the daemon to obey", func() bool { return d.has("doctor's finding obeyed", nil) })
			until(t, 2*time.Minute, "the lost purchase to need review", func() bool {
				list := p.purchases()
				return len(list) == 1 && list[0].State == "needs_review" && list[0].Attempts == 1
			})
		})
	}
}
