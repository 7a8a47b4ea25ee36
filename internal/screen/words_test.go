package screen

import (
	"bytes"
	"strings"
	"testing"
	"time"

	"topupd/topup"
)

func TestEveryReasonHasWordsAndAdvice(t *testing.T) {
	t.Parallel()
	for _, r := range topup.Reasons() {
		said, ok := reasonWords[r]
		switch {
		case !ok || said.Means == "":
			t.Errorf("reason %s has no words: add them to reasonWords", r)
		case !strings.HasSuffix(said.Do, "."):
			t.Errorf("the advice for %s is not a sentence: %q", r, said.Do)
		case strings.HasSuffix(said.Means, "."):
			t.Errorf("the words for %s end the sentence that they are put into: %q", r, said.Means)
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
		sentence := StandsOf(p, clock)
		if strings.Contains(sentence, "does not know") || sentence == "" {
			t.Errorf("state %s has no sentence: %q", s, sentence)
		}
		if step := NextStep(p, now); (step != "") != (s == topup.NeedsReview) {
			t.Errorf("next step of a plain %s purchase: %q", s, step)
		}
	}
	if got := StandsOf(topup.Purchase{State: "frozen"}, clock); !strings.Contains(got, "does not know") {
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
		{"a credited purchase with another price", func(p *topup.Purchase) {
			p.State, p.Rule, p.Charged = topup.Credited, "api-credits", &topup.Money{Minor: 1, Currency: "EUR"}
		}, "resume --rule api-credits"},
		{"a credited purchase", func(p *topup.Purchase) { p.State = topup.Credited }, ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			p := confirmed
			tt.spoil(&p)
			got := NextStep(p, now)
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
		if got := Long(tt.d); got != tt.want {
			t.Errorf("Long(%s) = %q, want %q", tt.d, got, tt.want)
		}
		if got := Short(tt.d); !strings.HasPrefix(tt.want, got) || strings.Count(got, " ") != 1 {
			t.Errorf("Short(%s) = %q of %q", tt.d, got, tt.want)
		}
	}
}

// terminal is a screen that believes to write to one.
func terminal(out *bytes.Buffer, now time.Time) *Screen {
	return &Screen{
		Out: out, Now: func() time.Time { return now }, Terminal: true, Color: true, Width: 80,
		Zone: time.FixedZone("CET", 3600),
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
		if got := a.Clock(tt.at); got != tt.want {
			t.Errorf("%s: clock = %q, want %q", tt.name, got, tt.want)
		}
	}
	a.Purchases([]topup.Purchase{{ID: "0198c0de-0000-7000-8000-00000000beef", PlannedAt: now, State: topup.NeedsReview, Price: topup.Money{Currency: "EUR"}}}, false)
	if got := out.String(); strings.Count(got, "UTC+01:00") != 1 || !strings.Contains(got, "\x1b[31mneeds_review\x1b[0m") {
		t.Errorf("the table says the zone once and paints what needs a person:\n%s", got)
	}
}

func TestTablesFitTheirWidth(t *testing.T) {
	t.Parallel()
	long := strings.Repeat("a very long name ", 10)
	g := Grid{Indent: "  ", Columns: []Column{{Title: "id"}, {Title: "amount", Right: true}, {Title: "why", Wrap: true}}, Rows: [][]string{
		{long, "1,000.00 EUR", long}, {"x", "1.00 EUR", ""},
	}}
	for _, width := range []int{minWidth, 80, MaxWidth} {
		for line := range strings.SplitSeq(g.Render(width), "\n") {
			if n := len([]rune(line)); n > width || strings.TrimRight(line, " ") != line {
				t.Errorf("width %d: a line of %d columns: %q", width, n, line)
			}
		}
	}
	const id = "3f2504e0-4f89-11d3-9a0c-0305e82c3301-3f2504e0"
	g.Rows[0] = []string{id, "1.00 EUR", "short"}
	if got := g.Render(MaxWidth); !strings.Contains(got, id) {
		t.Errorf("an id is cut although there is room:\n%s", got)
	}
	if got := g.Render(80); !strings.Contains(got, "  1.00 EUR") {
		t.Errorf("amounts are right-aligned:\n%s", got)
	}
}

func TestNamesFromOutsideCannotMoveTheCursor(t *testing.T) {
	t.Parallel()
	if got := Printable("Ada\x1b[2J\r\nGmbH\u202e"); strings.ContainsAny(got, "\x1b\r\n\u202e") {
		t.Errorf("printable = %q", got)
	}
	if got := Printable("Bo & Söhne 株式会社"); got != "Bo & Söhne 株式会社" {
		t.Errorf("printable changed a harmless name: %q", got)
	}
}
