package topup

import (
	"strings"
	"testing"
	"time"
)

// TestCorrecting: a correcting entry goes between ends, or ends what counted as
// bought; it opens nothing.
func TestCorrecting(t *testing.T) {
	sent := time.Date(2026, 11, 20, 12, 0, 0, 0, time.UTC)
	after := sent.Add(15 * time.Minute)
	p := func(state State, reference string) Purchase {
		return Purchase{State: state, Reference: reference, QuietPeriod: 15 * time.Minute, LastSentAt: &sent, SentAt: &sent, Price: Money{Minor: 20000, Currency: "EUR"}}
	}
	corrected := p(Declined, "")
	corrected.CorrectedAt, corrected.ResolvedBy = &after, "ada"
	unsent := Purchase{State: Cancelled, QuietPeriod: 15 * time.Minute}
	charged := func(reference string) Resolution { return Resolution{Note: "n", Charged: true, Reference: reference} }
	for _, tt := range []struct {
		name string
		p    Purchase
		r    Resolution
		now  time.Time
		want State  // "" = refused
		says string // the refusal
	}{
		{"declined, charged after all", p(Declined, ""), charged("inv_1"), after, Credited, ""},
		{"declined, charged without a reference", p(Declined, ""), charged(""), after, Credited, ""},
		{"cancelled, charged after all", p(Cancelled, ""), charged("inv_1"), after, Credited, ""},
		{"credited, never charged", p(Credited, "inv_1"), Resolution{Note: "n"}, after, Declined, ""},
		{"confirmed, never charged", p(Confirmed, "inv_1"), Resolution{Note: "n"}, after, Declined, ""},
		{"credited as another one", p(Credited, "inv_1"), charged("inv_2"), after, Credited, ""},
		{"corrected once more", corrected, Resolution{Note: "n", Charged: true, Again: true}, after, Credited, ""},

		{"credited as the same", p(Credited, "inv_1"), charged("inv_1"), after, "", "counts as charged already"},
		{"credited, no reference", p(Credited, "inv_1"), charged(""), after, "", "counts as charged already"},
		{"declined, not charged", p(Declined, ""), Resolution{Note: "n"}, after, "", "counts as not charged already"},
		{"cancelled, not charged", p(Cancelled, ""), Resolution{Note: "n"}, after, "", "counts as not charged already"},
		{"credited, a moment too early", p(Credited, "inv_1"), Resolution{Note: "n"}, after.Add(-1), "", "the quiet period lasts until"},
		{"a correction of a correction", corrected, charged("inv_1"), after, "", "ada corrected it"},
		{"no note", p(Declined, ""), Resolution{Charged: true}, after, "", "a note is required"},
		{"never sent", unsent, charged("inv_1"), after, "", "never sent"},
		{"confirmed, charged", p(Confirmed, "inv_1"), charged("inv_1"), after, "", "topupd purchases resolve"},
		{"needs_review", p(NeedsReview, ""), Resolution{Note: "n"}, after, "", "topupd purchases resolve"},
		{"sent", p(Sent, ""), charged("inv_1"), after, "", "topupd purchases resolve"},
		{"planned", p(Planned, ""), Resolution{Note: "n"}, after, "", "topupd purchases resolve"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			c, err := Corrected(tt.p, tt.r, tt.now)
			switch {
			case tt.want == "" && (err == nil || !strings.Contains(err.Error(), tt.says)):
				t.Fatalf("Corrected = %s, %v; want a refusal that says %q", c.Next.State, err, tt.says)
			case tt.want == "":
				return
			case err != nil || c.Next.State != tt.want || c.Next.State.Open() || !c.Correction || c.Next.CorrectedFrom != tt.p.State:
				t.Fatalf("Corrected = %s from %s, correction %t, %v; want %s", c.Next.State, c.Next.CorrectedFrom, c.Correction, err, tt.want)
			}
			if e := c.Evidence; len(e) != 1 || e[0].Kind != EvidenceCorrected || e[0].From != tt.p.State || e[0].To != tt.want {
				t.Errorf("the entry: %+v", e)
			}
			if !tt.r.Charged && (c.Next.Reference != "" || c.Next.RowAt != nil || c.Next.NextLookAt != nil || c.Next.Reason == FailedNone) {
				t.Errorf("not charged, but %q, row %v, next look %v, reason %q", c.Next.Reference, c.Next.RowAt, c.Next.NextLookAt, c.Next.Reason)
			}
		})
	}
}

// TestWhatTheBooksShowOfACorrection: the payment is followed on, and a bill at
// another price says what was really charged.
func TestWhatTheBooksShowOfACorrection(t *testing.T) {
	sent := time.Date(2026, 11, 20, 12, 0, 0, 0, time.UTC)
	p := Purchase{State: Declined, QuietPeriod: 15 * time.Minute, LastSentAt: &sent, SentAt: &sent, PlannedAt: sent, Price: Money{Minor: 20000, Currency: "EUR"}}
	row := Topup{ID: "cdt_1", Invoice: "inv_1", At: sent.Add(time.Second)}
	bill := Invoice{ID: "inv_1", Amount: Money{Minor: 22000, Currency: "EUR"}, Payment: PaymentPending, At: sent}
	seen := Match{ID: "inv_1", Row: &row, Invoice: &bill, At: sent}
	c, err := Corrected(p, Resolution{Note: "n", By: "ada", Charged: true, Reference: "inv_1", Seen: &seen}, sent.Add(time.Hour))
	if err != nil {
		t.Fatal(err)
	}
	n := c.Next
	if n.Payment != PaymentPending || n.NextLookAt == nil || n.RowAt == nil || !n.RowAt.Equal(row.At) {
		t.Errorf("payment %s, next look %v, row %v", n.Payment, n.NextLookAt, n.RowAt)
	}
	if n.Charged == nil || *n.Charged != bill.Amount || n.Reason != FailedMismatch {
		t.Errorf("charged %v, reason %q; want 220.00 EUR and a mismatch", n.Charged, n.Reason)
	}
}

// TestALookedUpChargeWaitsForItsRow: a person who names an invoice has not seen
// its credits; readings from before them must not settle it.
func TestALookedUpChargeWaitsForItsRow(t *testing.T) {
	sent := time.Date(2026, 11, 20, 12, 0, 0, 0, time.UTC)
	inReview := Purchase{State: NeedsReview, Reason: FailedTimeout, QuietPeriod: 15 * time.Minute, LastSentAt: &sent, SentAt: &sent}
	bill := Invoice{ID: "inv_1", Payment: PaymentPaid, At: sent}
	for _, tt := range []struct {
		name string
		r    Resolution
		row  bool
	}{
		{"looked up, no row yet", Resolution{Reference: "inv_1", Seen: &Match{ID: "inv_1", Invoice: &bill}}, false},
		{"nobody could look", Resolution{Reference: "txn_1"}, true},
	} {
		tt.r.Note, tt.r.Charged = "n", true
		c, err := Resolved(inReview, tt.r, sent.Add(time.Hour))
		if err != nil || (c.Next.RowAt != nil) != tt.row || c.Next.Reason != FailedNone {
			t.Errorf("%s: row %v, reason %q, %v; want a row: %t", tt.name, c.Next.RowAt, c.Next.Reason, err, tt.row)
		}
	}
	other := Purchase{State: Confirmed, Reference: "inv_1"}
	if _, err := Resolved(other, Resolution{Note: "n", Charged: true, Reference: "inv_2"}, sent); err == nil || !strings.Contains(err.Error(), "bought as inv_1") {
		t.Errorf("a confirmed one under another reference: %v", err)
	}
}

func TestOnWord(t *testing.T) {
	for _, tt := range []struct {
		p            Purchase
		books, voice bool
	}{
		{Purchase{State: Credited, Reference: "inv_1"}, false, false},
		{Purchase{State: Credited, Reference: "inv_1", ResolvedBy: "ada"}, false, true},
		{Purchase{State: Credited, ResolvedBy: "ada"}, true, true},
		{Purchase{State: Declined, ResolvedBy: "ada"}, false, true},
	} {
		if got := tt.p.OnWord(true); got != tt.books {
			t.Errorf("%+v with books: %t", tt.p, got)
		}
		if got := tt.p.OnWord(false); got != tt.voice {
			t.Errorf("%+v without: %t", tt.p, got)
		}
	}
}
