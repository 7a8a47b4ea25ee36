package emulator

import (
	"net/http"
	"strings"
	"testing"
	"time"
)

// TestTheProfilesPlayWhatIsNotDocumented: each one changes what a client sees,
// and what the default shows stays as it is.
func TestTheProfilesPlayWhatIsNotDocumented(t *testing.T) {
	t.Parallel()
	const later = `,"expires_at":"2027-01-15T10:20:37Z"}`
	withExpiry := strings.TrimSuffix(smallOrder, "}") + later
	for _, tt := range []struct {
		name    string
		profile HyperlineProfile
		path    string
		want    []string // in this order in the answer
		not     string
	}{
		{"an expiry is shown as a date", HyperlineProfile{}, creditPath + "/transactions?type=topup", []string{`"expires_at":"2027-01-15"`}, ""},
		{"or without its seconds", HyperlineProfile{ExpiryShown: ExpiryMinutes}, creditPath + "/transactions", []string{`"expires_at":"2027-01-15T10:20:00`}, ""},
		{"or whole", HyperlineProfile{ExpiryShown: ExpirySeconds}, creditPath + "/transactions", []string{`"expires_at":"2027-01-15T10:20:37`}, ""},
		{"the ledger is newest first", HyperlineProfile{}, creditPath + "/transactions", []string{`"type":"usage"`, `"type":"topup"`}, ""},
		{"or oldest first", HyperlineProfile{RowsOldestFirst: true}, creditPath + "/transactions", []string{`"type":"topup"`, `"type":"usage"`}, ""},
		{"its filter by type is honoured", HyperlineProfile{}, creditPath + "/transactions?type=topup", []string{`"type":"topup"`}, `"type":"usage"`},
		{"or ignored", HyperlineProfile{TypeFilterIgnored: true}, creditPath + "/transactions?type=topup", []string{`"type":"usage"`, `"type":"topup"`}, ""},
		{"invoices are sorted", HyperlineProfile{}, "/v2/invoices?sort=created_at&order=desc", []string{`"number":"INV2"`, `"number":"INV1"`}, ""},
		{"or not", HyperlineProfile{InvoiceSortIgnored: true}, "/v2/invoices?sort=created_at&order=desc", []string{`"number":"INV1"`, `"number":"INV2"`}, ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			b := newBench(t, Options{Hyperline: HyperlineOptions{Profile: tt.profile}})
			b.buyAs(keyOne, withExpiry).want(t, http.StatusCreated)
			b.pass(time.Second)
			b.buyAs(keyTwo, withExpiry).want(t, http.StatusCreated)
			b.pass(time.Second)
			b.ask("POST", creditPath+"/usage", `{"usage_retained":1}`, nil).want(t, http.StatusCreated)
			body := b.ask("GET", tt.path, "", nil).want(t, http.StatusOK).body
			at := 0
			for _, want := range tt.want {
				next := strings.Index(body[at:], want)
				if next < 0 {
					t.Fatalf("%s is not there in its place: %s", want, body)
				}
				at += next
			}
			if tt.not != "" && strings.Contains(body, tt.not) {
				t.Errorf("%s is there: %s", tt.not, body)
			}
		})
	}
}

func TestAChargeThatShowsLateShowsNowhereBefore(t *testing.T) {
	t.Parallel()
	b := newBench(t, Options{Hyperline: HyperlineOptions{Profile: HyperlineProfile{VisibleAfter: time.Minute}}})
	b.buy(keyOne).want(t, http.StatusCreated)
	shown := func() bool {
		rows := b.ask("GET", creditPath+"/transactions", "", nil).body + b.ask("GET", "/v2/invoices?status=all", "", nil).body
		return strings.Contains(rows, "inv_")
	}
	b.pass(time.Minute - time.Second)
	if shown() {
		t.Error("a charge shows before its time")
	}
	b.pass(time.Second)
	if !shown() {
		t.Error("a charge does not show in its time")
	}
}

func TestABalanceIsRefreshedOnlySoOften(t *testing.T) {
	t.Parallel()
	b := newBench(t, Options{Hyperline: HyperlineOptions{Profile: HyperlineProfile{RefreshEvery: 10 * time.Second}}})
	read := func() string { return b.ask("GET", creditPath, "", nil).want(t, http.StatusOK).body }
	b.pass(10 * time.Second)
	first := read()
	b.pass(9 * time.Second)
	if again := read(); again != first {
		t.Errorf("refreshed too early: %s, then %s", first, again)
	}
	b.pass(time.Second)
	if again := read(); again == first {
		t.Error("not refreshed after 10 s")
	}
}
