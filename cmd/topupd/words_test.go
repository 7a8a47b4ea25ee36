package main

import (
	"bytes"
	"strings"
	"testing"
	"time"

	"topupd/internal/english"
	"topupd/ledger"
	"topupd/topup"
)

func TestEveryReasonHasWordsAndAdvice(t *testing.T) {
	t.Parallel()
	for _, r := range topup.Reasons() {
		said, ok := reasonWords[r]
		switch {
		case !ok || said.means == "":
			t.Errorf("reason %s has no words: add them to reasonWords", r)
		case !strings.HasSuffix(said.do, "."):
			t.Errorf("the advice for %s is not a sentence: %q", r, said.do)
		case strings.HasSuffix(said.means, "."):
			t.Errorf("the words for %s end the sentence that they are put into: %q", r, said.means)
		}
	}
	if len(reasonWords) != len(topup.Reasons()) {
		t.Errorf("reasonWords has %d entries, there are %d reasons", len(reasonWords), len(topup.Reasons()))
	}
}

func TestEveryStateHasASentenceAndTroubleHasANextStep(t *testing.T) {
	t.Parallel()
	now := time.Date(2026, 11, 20, 12, 0, 0, 0, time.UTC)
	clock := func(t time.Time) string { return t.Format(time.TimeOnly) }
	for _, s := range topup.States() {
		p := topup.Purchase{ID: "0198c0de-0000-7000-8000-00000000beef", State: s, Payment: topup.PaymentNone}
		sentence := standsOf(p, clock)
		if strings.Contains(sentence, "does not know") || sentence == "" {
			t.Errorf("state %s has no sentence: %q", s, sentence)
		}
		if step := nextStep(p, now); (step != "") != (s == topup.Parked) {
			t.Errorf("next step of a plain %s purchase: %q", s, step)
		}
	}
	if got := standsOf(topup.Purchase{State: "frozen"}, clock); !strings.Contains(got, "does not know") {
		t.Errorf("an unknown state is told as %q", got)
	}
}

func TestNextStep(t *testing.T) {
	t.Parallel()
	now := time.Date(2026, 11, 20, 12, 0, 0, 0, time.UTC)
	ago := func(d time.Duration) *time.Time { return new(now.Add(-d)) }
	confirmed := topup.Purchase{ID: "0198c0de-0000-7000-8000-00000000beef", State: topup.Confirmed, ConfirmedAt: ago(time.Hour + 1)}
	for _, tt := range []struct {
		name  string
		spoil func(*topup.Purchase)
		want  string // part of it; "" = nothing to do
	}{
		{"an effect not seen for over an hour", func(*topup.Purchase) {}, "resolve 0000beef charged"},
		{"exactly an hour is not over it", func(p *topup.Purchase) { p.ConfirmedAt = ago(time.Hour) }, ""},
		{"an unpaid invoice comes first", func(p *topup.Purchase) { p.Payment = topup.PaymentFailed }, "another card"},
		{"a settled purchase with another price", func(p *topup.Purchase) {
			p.State, p.Rule, p.Charged = topup.Settled, "api-credits", &topup.Money{Minor: 1, Currency: "EUR"}
		}, "resume --rule api-credits"},
		{"a settled purchase", func(p *topup.Purchase) { p.State = topup.Settled }, ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			p := confirmed
			tt.spoil(&p)
			got := nextStep(p, now)
			if (got == "") != (tt.want == "") || !strings.Contains(got, tt.want) {
				t.Errorf("nextStep = %q, want %q in it", got, tt.want)
			}
		})
	}
}

func TestLong(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		d    time.Duration
		want string
	}{
		{-time.Second, "0 s"},
		{59 * time.Second, "59 s"},
		{time.Minute, "1 min"},
		{14*time.Minute + 59*time.Second, "14 min"},
		{3*time.Hour + 5*time.Minute, "3 h 5 min"},
		{24 * time.Hour, "1 d"},
		{49 * time.Hour, "2 d 1 h"},
	} {
		if got := long(tt.d); got != tt.want {
			t.Errorf("long(%s) = %q, want %q", tt.d, got, tt.want)
		}
		if got := short(tt.d); !strings.HasPrefix(tt.want, got) || strings.Count(got, " ") != 1 {
			t.Errorf("short(%s) = %q of %q", tt.d, got, tt.want)
		}
	}
}

func TestGrouped(t *testing.T) {
	t.Parallel()
	for n, want := range map[int]string{0: "0", 999: "999", 1000: "1,000", 1234567: "1,234,567", -1000: "-1,000", -100: "-100"} {
		if got := english.Grouped(n); got != want {
			t.Errorf("english.Grouped(%d) = %q, want %q", n, got, want)
		}
	}
}

// terminal is an app that believes to write to one.
func terminal(out *bytes.Buffer, now time.Time) *app {
	return &app{
		stdout: out, now: func() time.Time { return now }, terminal: true, color: true, width: 80,
		zone: time.FixedZone("CET", 3600), getenv: func(string) string { return "" },
	}
}

func TestTimesOnATerminalAreLocalWithTheZoneSaidOnce(t *testing.T) {
	t.Parallel()
	now := time.Date(2026, 11, 20, 23, 30, 0, 0, time.UTC) // the 21st in CET
	var out bytes.Buffer
	a := terminal(&out, now)
	for _, tt := range []struct {
		name string
		at   time.Time
		want string
	}{
		{"the time of day is enough today", now.Add(-time.Minute), "00:29:00"},
		{"another day has its date", now.Add(-time.Hour), "2026-11-20 23:30:00"},
		{"no time", time.Time{}, "-"},
	} {
		if got := a.clock(tt.at); got != tt.want {
			t.Errorf("%s: clock = %q, want %q", tt.name, got, tt.want)
		}
	}
	a.purchaseTable([]topup.Purchase{{ID: "0198c0de-0000-7000-8000-00000000beef", PlannedAt: now, State: topup.Parked, Price: topup.Money{Currency: "EUR"}}}, false)
	if got := out.String(); strings.Count(got, "UTC+01:00") != 1 || !strings.Contains(got, "\x1b[31mparked\x1b[0m") {
		t.Errorf("the table says the zone once and paints what needs a person:\n%s", got)
	}
}

func TestTablesFitTheirWidth(t *testing.T) {
	t.Parallel()
	long := strings.Repeat("a very long name ", 10)
	g := grid{indent: "  ", columns: []column{{title: "id"}, {title: "amount", right: true}, {title: "why", wrap: true}}, rows: [][]string{
		{long, "1,000.00 EUR", long}, {"x", "1.00 EUR", ""},
	}}
	for _, width := range []int{minWidth, 80, maxWidth} {
		for line := range strings.SplitSeq(g.render(width), "\n") {
			if n := len([]rune(line)); n > width || strings.TrimRight(line, " ") != line {
				t.Errorf("width %d: a line of %d columns: %q", width, n, line)
			}
		}
	}
	const id = "3f2504e0-4f89-11d3-9a0c-0305e82c3301-3f2504e0"
	g.rows[0] = []string{id, "1.00 EUR", "short"}
	if got := g.render(maxWidth); !strings.Contains(got, id) {
		t.Errorf("an id is cut although there is room:\n%s", got)
	}
	if got := g.render(80); !strings.Contains(got, "  1.00 EUR") {
		t.Errorf("amounts are right-aligned:\n%s", got)
	}
}

func TestNamesFromOutsideCannotMoveTheCursor(t *testing.T) {
	t.Parallel()
	if got := printable("Ada\x1b[2J\r\nGmbH\u202e"); strings.ContainsAny(got, "\x1b\r\n\u202e") {
		t.Errorf("printable = %q", got)
	}
	if got := printable("Bo & Söhne 株式会社"); got != "Bo & Söhne 株式会社" {
		t.Errorf("printable changed a harmless name: %q", got)
	}
}

func TestLiftedLinesNameEverything(t *testing.T) {
	t.Parallel()
	got := liftedLines(ledger.Resumed{Suspensions: 2, Refunds: 1, Implausible: 3, Stop: true, Hold: true, Quarantine: true})
	if len(got) != 6 || liftedLines(ledger.Resumed{}) != nil {
		t.Errorf("liftedLines = %q", got)
	}
}

func TestOverlappingPauses(t *testing.T) {
	t.Parallel()
	now := time.Date(2026, 11, 20, 12, 0, 0, 0, time.UTC)
	customer := topup.Pause{Scope: topup.PauseCustomer, Provider: "p", Subject: "c"}
	for _, tt := range []struct {
		name    string
		pause   topup.Pause
		resumed topup.Pause
		want    bool
	}{
		{"everything covers a customer", topup.Pause{Scope: topup.PauseAll}, customer, true},
		{"but not when it is over", topup.Pause{Scope: topup.PauseAll, Until: &now}, customer, false},
		{"the provider covers its customer", topup.Pause{Scope: topup.PauseProvider, Provider: "p"}, customer, true},
		{"another provider does not", topup.Pause{Scope: topup.PauseProvider, Provider: "q"}, customer, false},
		{"a customer everywhere covers the customer here", topup.Pause{Scope: topup.PauseCustomer, Subject: "c"}, customer, true},
		{"another customer does not", topup.Pause{Scope: topup.PauseCustomer, Subject: "d"}, customer, false},
		{"a provider may hold a resumed rule", topup.Pause{Scope: topup.PauseProvider, Provider: "p"}, topup.Pause{Scope: topup.PauseRule, Subject: "r"}, true},
		{"a customer is part of everything", customer, topup.Pause{Scope: topup.PauseAll}, true},
		{"a customer is part of the provider", customer, topup.Pause{Scope: topup.PauseProvider, Provider: "p"}, true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			if got := overlaps(tt.pause, tt.resumed, now); got != tt.want {
				t.Errorf("overlaps = %v, want %v", got, tt.want)
			}
		})
	}
}
