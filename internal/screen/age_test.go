package screen

import (
	"bytes"
	"strings"
	"testing"
	"time"

	"topupd/topup"
)

func TestAnOpenPurchaseSaysHowLongItHasWaited(t *testing.T) {
	t.Parallel()
	now := time.Date(2026, 11, 20, 12, 0, 0, 0, time.UTC)
	ago := func(d time.Duration) time.Time { return now.Add(-d) }
	inReview := topup.Evidence{At: ago(time.Hour), To: topup.NeedsReview}
	for _, tt := range []struct {
		name     string
		purchase topup.Purchase
		evidence []topup.Evidence
		want     string
	}{
		{"a planned one since its plan", topup.Purchase{State: topup.Planned}, nil, "Open for 2 h."},
		{"a sent one since its send", topup.Purchase{State: topup.Sent, LastSentAt: new(ago(12 * time.Minute))}, nil, "Open for 2 h, sent 12 min ago."},
		{"a repeated one since its last send", topup.Purchase{State: topup.Sent, Repeats: 1, LastSentAt: new(ago(time.Minute))}, nil, "Open for 2 h, sent for the last time 1 min ago."},
		{"a purchase that needs review since it needed review, whatever was looked at since", topup.Purchase{State: topup.NeedsReview}, []topup.Evidence{
			{At: ago(90 * time.Minute), To: topup.Sent}, inReview, {At: ago(time.Minute)}, {At: ago(0), To: topup.NeedsReview},
		}, "Open for 2 h, needs_review for 1 h."},
		{"one without evidence since its plan", topup.Purchase{State: topup.NeedsReview}, nil, "Open for 2 h."},
		{"one of a clock that is ahead has no age below zero", topup.Purchase{State: topup.Sent, LastSentAt: new(now.Add(time.Minute))}, nil, "Open for 2 h, sent 0 s ago."},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			tt.purchase.PlannedAt = ago(2 * time.Hour)
			if got := ageOf(tt.purchase, tt.evidence, now); got != tt.want {
				t.Errorf("ageOf = %q, want %q", got, tt.want)
			}
		})
	}
	for _, s := range topup.States() {
		if got := OpenFor(topup.Purchase{State: s, PlannedAt: ago(time.Hour)}, now, Short); (got == "1 h") != s.Open() {
			t.Errorf("a %s purchase is open for %q", s, got)
		}
	}
}

func TestATargetSaysSinceWhenItIsLowInTrouble(t *testing.T) {
	t.Parallel()
	now := time.Date(2026, 11, 20, 12, 0, 0, 0, time.UTC)
	hour := now.Add(-time.Hour)
	low, high, threshold := new(1*topup.Credit), new(9*topup.Credit), new(5*topup.Credit)
	for _, tt := range []struct {
		name string
		e    topup.Evaluation
		want time.Time
	}{
		{"low for a reason of trouble: since the reason is the same", topup.Evaluation{Reason: topup.OverCap, Balance: low}, hour},
		{"the daemon knows an earlier reason of trouble", topup.Evaluation{
			Reason: topup.OverCap, Balance: low, Detail: []byte(`{"trouble_since":"2026-11-20T09:00:00Z"}`),
		}, now.Add(-3 * time.Hour)},
		{"low while unreadable: only the daemon knows", topup.Evaluation{
			Reason: topup.BadReading, Detail: []byte(`{"trouble_since":"2026-11-20T09:00:00Z"}`),
		}, now.Add(-3 * time.Hour)},
		{"low and waited for", topup.Evaluation{Reason: topup.StillOpen, Balance: low}, time.Time{}},
		{"unreadable, and never low", topup.Evaluation{Reason: topup.BadReading}, time.Time{}},
		{"not low", topup.Evaluation{Reason: topup.StaleReading, Balance: high}, time.Time{}},
		{"a detail that cannot be read", topup.Evaluation{Reason: topup.OverCap, Balance: low, Detail: []byte(`{`)}, hour},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			tt.e.Since, tt.e.Threshold = hour, threshold
			if got := TroubleSince(tt.e); !got.Equal(tt.want) {
				t.Errorf("troubleSince = %s, want %s", got, tt.want)
			}
		})
	}
	var out bytes.Buffer
	terminal(&out, now).Targets([]topup.Evaluation{
		{At: now, Since: hour, Reason: topup.OverCap, Balance: low, Threshold: threshold},
		{At: now, Since: hour, Reason: topup.Enough, Balance: high, Threshold: threshold},
	})
	if got := out.String(); strings.Count(got, "  1 h\n") != 1 || !strings.Contains(got, "IN TROUBLE FOR\n") {
		t.Errorf("the table says for how long:\n%s", got)
	}
}
