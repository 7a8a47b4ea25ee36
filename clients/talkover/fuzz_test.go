package talkover

import (
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"topupd/clients"
	"topupd/topup"
)

// seeds are the documented bodies, whole and cut.
func seeds(f *testing.F) [][]byte {
	f.Helper()
	files, err := filepath.Glob("testdata/*.json")
	if err != nil || len(files) == 0 {
		f.Fatalf("no documented bodies: %v", err)
	}
	var all [][]byte
	for _, file := range files {
		body, err := os.ReadFile(file)
		if err != nil {
			f.Fatal(err)
		}
		all = append(all, body, body[:len(body)/2])
	}
	return append(all,
		[]byte(`{"success":true,"data":{"balance":1e30,"currency":"USD","auto_topup_enabled":false,"as_of":"2024-01-15T19:30:00Z"}}`),
		[]byte(`{"success":true,"data":{"balance":"-0.0000005","currency":"USD","auto_topup_enabled":false,"as_of":"2024-01-15T19:30:00Z"}}`),
		[]byte(`{"success":true,"data":[{"id":"a","status":"pending","created_at":"2024-01-15T19:30:00Z"}],"pagination":{"current_page":1,"last_page":99999999999999999999}}`),
	)
}

// asIs is quote without tokens to redact.
func asIs(text string) string { return clients.Quote([]byte(text)) }

func FuzzAnswer(f *testing.F) {
	for _, body := range seeds(f) {
		for _, status := range []int{200, 307, 402, 403, 429, 500} {
			f.Add(status, body)
		}
	}
	price := topup.Money{Minor: 100_00, Currency: "USD"}
	f.Fuzz(func(t *testing.T, status int, body []byte) {
		a := judge(clients.Raw{Status: status, Body: body, Written: 1}, price, asIs)
		switch a.Verdict {
		case topup.Yes:
			if status < 200 || status > 299 || a.Reference == "" || a.Charged == nil || *a.Charged != price || !json.Valid(body) {
				t.Errorf("%d %q is a yes: %+v", status, body, a)
			}
		case topup.No:
			if !slices.Contains([]int{401, 402, 403, 404, 422}, status) || !json.Valid(body) {
				t.Errorf("%d %q is a no", status, body)
			}
		case topup.NotRun:
			if status != 429 || !json.Valid(body) {
				t.Errorf("%d %q was not run", status, body)
			}
		case topup.Unclear:
			if a.Reason == topup.FailedNone || a.Detail == "" {
				t.Errorf("%d %q is unclear without a reason: %+v", status, body, a)
			}
		default:
			t.Errorf("verdict %q", a.Verdict)
		}
		if len(a.Detail) > 2_000 || len(a.Reference) > maxID {
			t.Errorf("%d bytes of detail, %d of reference", len(a.Detail), len(a.Reference))
		}
		if a.Stop && a.Verdict != topup.No {
			t.Errorf("%d %q stops the provider without a no", status, body)
		}
	})
}

func FuzzSweepBody(f *testing.F) {
	for _, body := range seeds(f) {
		f.Add(body)
	}
	now := time.Date(2024, 1, 15, 19, 31, 0, 0, time.UTC)
	c := &Client{id: "talkover://app.talkover.ai/env-uuid-1", environment: "env-uuid-1"}
	f.Fuzz(func(t *testing.T, body []byte) {
		o, err := clients.ParseObject(body)
		if err != nil {
			return
		}
		r := c.see(reply{Object: o, sentAt: now}).reading
		if len(r.Bad) > 1_000 || len(r.Native) > 1_000 {
			t.Errorf("%d bytes of bad, %d of native", len(r.Bad), len(r.Native))
		}
		if r.Bad != "" {
			return
		}
		if r.Balance > topup.MaxCredits || r.Balance < -topup.MaxCredits {
			t.Errorf("balance %v of %q", r.Balance, body)
		}
		if _, err := topup.ParseCurrency(string(r.Account.Currency)); err != nil {
			t.Errorf("currency %q of %q", r.Account.Currency, body)
		}
		if r.RefreshedAt.IsZero() || r.RefreshedAt.After(now) {
			t.Errorf("stamp %v of %q", r.RefreshedAt, body)
		}
		data, ok := o.Object("data")
		if !ok || !data.Has("balance") {
			t.Errorf("%q has no balance, and yet %v", body, r.Balance)
		}
	})
}

func FuzzNative(f *testing.F) {
	for _, body := range seeds(f) {
		f.Add(body)
	}
	now := time.Date(2024, 1, 15, 19, 31, 0, 0, time.UTC)
	f.Fuzz(func(t *testing.T, body []byte) {
		o, err := clients.ParseObject(body)
		if err != nil {
			return
		}
		if data, ok := o.Object("data"); ok {
			if n, err := readSettings(data); err == nil && n.on() != (n.text != "") {
				t.Errorf("settings %q: on %v, text %q", body, n.on(), n.text)
			}
		}
		page, err := readHistory(o, 1)
		if err != nil {
			return
		}
		for _, r := range once(page.rows) {
			if r.id == "" || len(r.id) > maxID || r.at.IsZero() {
				t.Errorf("recharge %+v of %q", r, body)
			}
		}
		_ = underWay(page.rows, now)
		all, err := topups(page.rows, now)
		if err != nil {
			return
		}
		for _, x := range all {
			if x.Credits > topup.MaxCredits || x.At.Before(now.Add(-recent)) {
				t.Errorf("top-up %+v of %q", x, body)
			}
		}
		_, _ = readCards(o)
	})
}
