package screen

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"topupd/topup"
)

// longAgo is when the purchases of these tests were made.
var longAgo = time.Date(2026, 1, 15, 9, 0, 0, 0, time.UTC)

func TestTheDecisionIsReadFromTheFirstLineOfTheHistory(t *testing.T) {
	t.Parallel()
	p := topup.Purchase{BalanceBefore: 41 * topup.Credit, Threshold: 100 * topup.Credit, ReadAt: longAgo}
	evidence := []topup.Evidence{
		{Kind: topup.EvidencePlanned, Text: "balance 43, read again 41, below 100", Detail: []byte(`{
			"threshold_from":"customer","first_low_at":"2026-01-15T08:59:50Z","first_balance":"43","confirmed_balance":"41",
			"payment_method":"card","caps":["customer.day.purchases 10","global.day.spend.EUR 20000.00"]}`)},
		{Kind: topup.EvidencePlanned, Text: "never a second one", Detail: []byte(`{"first_balance":"1"}`)},
	}
	want := decisionRecord{
		Text: new("balance 43, read again 41, below 100"), FirstBalance: new("43"), FirstLowAt: new("2026-01-15T08:59:50Z"),
		SecondBalance: "41", SecondReadAt: new("2026-01-15T09:00:00Z"), Threshold: "100", ThresholdFrom: new("customer"),
		PaymentMethod: new("card"), Caps: []string{"customer.day.purchases 10", "global.day.spend.EUR 20000.00"},
	}
	if diff := cmp.Diff(want, decisionOf(p, evidence)); diff != "" {
		t.Errorf("decisionOf (-want +got):\n%s", diff)
	}
	var screen Screen
	lines := map[string]string{}
	for _, line := range screen.decisionLines(p, decisionOf(p, evidence)) {
		lines[line[0]] = line[1]
	}
	for title, text := range map[string]string{
		"first reading": "43, first low 2026-01-15T08:59:50Z", "second reading": "41, read 2026-01-15T09:00:00Z",
		"threshold": "100 (of the customer)", "caps": "customer.day.purchases 10 · global.day.spend.EUR 20000.00",
	} {
		if lines[title] != text {
			t.Errorf("%s: %q, want %q", title, lines[title], text)
		}
	}
}

func TestAChangedRequestDoesNotHold(t *testing.T) {
	t.Parallel()
	p := topup.Purchase{Request: topup.Request{Method: "POST", Path: "/purchase", Body: []byte(`{"credit_count":120}`)}}
	p.Fingerprint = p.Request.Fingerprint()
	held := func() bool { return p.Request.Fingerprint() == p.Fingerprint }
	if !held() {
		t.Fatal("a request does not hold its own fingerprint")
	}
	p.Request.Body = []byte(`{"credit_count":12000}`)
	var screen Screen
	said := false
	for _, line := range screen.frozenLines(p, ProofFile{FingerprintHeld: held()}) {
		said = said || line[0] == "sha-256" && len(line[1]) > len(p.Fingerprint) && line[1] != p.Fingerprint+", worked out again now: the same"
	}
	if !said {
		t.Error("the page does not say that the stored request was changed")
	}
}

func TestReadingsAroundAPurchaseBelongToItsProof(t *testing.T) {
	t.Parallel()
	p := topup.Purchase{PlannedAt: longAgo, FinishedAt: new(longAgo.Add(time.Minute))}
	for _, tt := range []struct {
		name string
		at   time.Time
		want bool
	}{
		{"shortly before", longAgo.Add(-time.Minute), true},
		{"long before", longAgo.Add(-2 * time.Hour), false},
		{"shortly after", longAgo.Add(10 * time.Minute), true},
		{"the next day", longAgo.Add(24 * time.Hour), false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			if got := around(p, tt.at); got != tt.want {
				t.Errorf("around = %v, want %v", got, tt.want)
			}
		})
	}
}
