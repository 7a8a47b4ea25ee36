package topup

import (
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"
)

var (
	wallet = Target{Provider: "talkover://app.talkover.ai/env-1", Customer: "env-1", Product: "credits"}
	confer = time.Date(2026, 11, 20, 12, 0, 0, 0, time.UTC) // of the confirm read
)

// unclear is a purchase of 100 whose answer was lost: read at 41 and sent at once.
func unclear() Purchase {
	return Purchase{
		ID: "0199-purchase-1", Target: wallet, Credits: 100 * Credit, Price: Money{Minor: 100_00, Currency: "USD"},
		QuietPeriod: 15 * time.Minute, PurchaseTimeout: 75 * time.Second, Policy: PolicyReview,
		BalanceBefore: 41 * Credit, ReadAt: confer, RefreshedAt: confer,
		State: Sent, SentAt: &confer, LastSentAt: &confer, Reason: FailedTimeout, Payment: PaymentNone,
	}
}

// show is a sample that shows a balance some time after the confirm read.
func show(after time.Duration, balance Credits) *Sample {
	at := confer.Add(after)
	return &Sample{Reading: Reading{Target: wallet, Balance: balance, ReadAt: at, RefreshedAt: at, Account: Account{Currency: "USD"}}}
}

// look is one step of a trail: what a look some time after the confirm read found.
type look struct {
	at     int // seconds
	shows  Credits
	change func(*Sample)
}

// run looks as the reconciler does, and once more when the quiet period is over.
func run(p Purchase, others *Others, looks ...look) Purchase {
	step := func(p Purchase, s *Sample, after time.Duration) Purchase {
		if p.State != Sent {
			return p
		}
		now := confer.Add(after)
		c, ask := Sampled(p, s, now)
		if ask {
			c = Weighed(c, others, now)
		}
		return c.Next
	}
	for _, l := range looks {
		after := time.Duration(l.at) * time.Second
		s := show(after, l.shows)
		if l.change != nil {
			l.change(s)
		}
		p = step(p, s, after)
	}
	for range 4 { // the fourth is past everything that is waited for
		p = step(p, nil, p.QuietUntil().Sub(confer))
	}
	return step(p, nil, p.QuietUntil().Add(Scaled(UnavailableAfter, p.QuietPeriod)).Sub(confer))
}

func ago(d time.Duration) func(*Sample) {
	return func(s *Sample) { s.Reading.RefreshedAt = s.Reading.ReadAt.Add(-d) }
}

func TestWhichRisesConfirm(t *testing.T) {
	t.Parallel()
	other := func(s *Sample) { s.EnvironmentProblem = "the token's owner is in environment env-2" }
	native := func(s *Sample) { s.Reading.Native = "Talkover's own auto top-up is on" }
	real := func(s *Sample) { s.Reading.Account.Currency = "BRL" }
	bad := func(s *Sample) { s.Reading.Bad, s.Reading.Balance = "balance is null", 0 }
	back := func(s *Sample) { s.Reading.ReadAt = s.Reading.ReadAt.Add(-11 * time.Second) }
	unstamped := func(s *Sample) { s.Reading.RefreshedAt = time.Time{} }
	for _, tt := range []struct {
		name  string
		looks []look
		want  State
	}{
		{"a clean rise", []look{{5, 141, nil}, {15, 141, nil}}, Confirmed},
		{"a rise that comes late", []look{{5, 41, nil}, {15, 40, nil}, {25, 140, nil}, {35, 139, nil}}, Confirmed},
		{"usage hides a fifth", []look{{5, 121, nil}, {15, 121, nil}}, Confirmed},
		{"usage hides more than a fifth", []look{{5, 120, nil}, {15, 120, nil}}, NeedsReview},
		{"more than was bought", []look{{5, 142, nil}, {15, 142, nil}}, NeedsReview},
		{"no rise", []look{{5, 41, nil}, {15, 40, nil}, {25, 39, nil}}, NeedsReview},
		{"nothing could be read", nil, NeedsReview},
		{"a gap of thirty seconds", []look{{30, 141, nil}, {60, 141, nil}}, Confirmed},
		{"a longer gap", []look{{31, 141, nil}, {41, 141, nil}}, NeedsReview},
		{"a longer gap without stamps", []look{{31, 141, unstamped}, {41, 141, unstamped}}, NeedsReview},
		{"a rise when the quiet period ends", []look{{893, 41, nil}, {900, 141, nil}, {903, 141, nil}}, Confirmed},
		{"a rise when the quiet period ends, that nothing shows again", []look{{893, 41, nil}, {900, 141, nil}, {903, 41, nil}, {931, 41, nil}}, NeedsReview},
		{"an old balance that is higher", []look{{5, 41, nil}, {15, 141, ago(12 * time.Second)}, {25, 141, ago(20 * time.Second)}}, NeedsReview},
		{"a gap by the provider's stamps", []look{{25, 41, nil}, {35, 41, ago(9 * time.Second)}, {45, 141, nil}, {55, 141, ago(-10 * time.Second)}}, Confirmed},
		{"stamps too far apart", []look{{5, 41, ago(4 * time.Second)}, {30, 141, ago(-2 * time.Second)}, {40, 141, nil}}, NeedsReview},
		{"a rise that nothing shows again", []look{{5, 141, nil}, {15, 41, nil}, {25, 41, nil}}, NeedsReview},
		{"a rise that nothing showed in time", []look{{5, 141, nil}, {36, 141, nil}}, NeedsReview},
		{"a slip to zero from less than that below", []look{{5, 0, nil}, {15, 90, nil}, {25, 90, nil}}, NeedsReview},
		{"a slip to zero and back", []look{{5, 90, nil}, {15, 0, nil}, {25, 90, nil}, {35, 90, nil}}, NeedsReview},
		{"two rises", []look{{5, 141, nil}, {15, 141, nil}, {25, 241, nil}, {35, 241, nil}}, NeedsReview},
		{"an old balance in between", []look{{5, 141, nil}, {15, 41, ago(20 * time.Second)}, {25, 141, nil}}, Confirmed},
		{"an old balance before", []look{{5, 40, nil}, {15, 40, ago(20 * time.Second)}, {25, 140, nil}, {35, 140, nil}}, Confirmed},
		{"a balance that cannot be read in between", []look{{5, 0, bad}, {15, 141, nil}, {25, 141, nil}}, Confirmed},
		{"a clock that was set back in between", []look{{5, 41, nil}, {15, 141, back}, {25, 141, nil}}, NeedsReview},
		{"no stamps at all", []look{{5, 41, unstamped}, {15, 141, unstamped}, {25, 141, unstamped}}, Confirmed},
		{"another environment in between", []look{{5, 41, nil}, {15, 41, other}, {20, 141, nil}, {30, 141, nil}}, NeedsReview},
		{"another environment shows the rise", []look{{5, 141, other}, {15, 141, other}}, NeedsReview},
		{"another environment long before", []look{{5, 41, other}, {15, 41, nil}, {25, 141, nil}, {35, 141, nil}}, Confirmed},
		{"native top-up is on when it rises", []look{{5, 141, native}, {15, 141, nil}}, NeedsReview},
		{"native top-up was on before it rose", []look{{5, 41, native}, {15, 141, nil}, {25, 141, nil}}, NeedsReview},
		{"native top-up is switched on later", []look{{5, 141, nil}, {15, 141, nil}, {25, 140, native}}, Confirmed},
		{"another currency", []look{{5, 141, real}, {15, 141, real}}, NeedsReview},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			for i := range tt.looks {
				tt.looks[i].shows *= Credit
			}
			got := run(unclear(), &Others{}, tt.looks...)
			if got.State != tt.want {
				t.Errorf("%s (%s), want %s; trail %+v", got.State, got.Found, tt.want, got.Trail)
			}
			if got.State == NeedsReview && got.NextLookAt != nil {
				t.Errorf("in review, and looked at again at %v", got.NextLookAt)
			}
		})
	}
}

func TestWhatElseMayHaveRaisedTheBalance(t *testing.T) {
	t.Parallel()
	rise := []look{{5, 41 * Credit, nil}, {15, 140 * Credit, nil}, {25, 140 * Credit, nil}} // between 12:00:05 and :15
	at := func(seconds int) time.Time { return confer.Add(time.Duration(seconds) * time.Second) }
	row := func(seconds int) []Topup { return []Topup{{ID: "topup-1", Credits: 100 * Credit, At: at(seconds)}} }
	elsewhere := Target{Provider: "talkover://app.talkover.ai/env-2", Customer: "env-2", Product: "credits"}
	apart := Target{Provider: "talkover://app.talkover.ai/env-3", Customer: "env-3", Product: "credits"}
	bought := func(target Target, change func(*Purchase)) []Purchase {
		q := Purchase{ID: "0199-purchase-2", Target: target, Credits: 100 * Credit, State: Credited, SentAt: &confer, LastSentAt: &confer}
		change(&q)
		return []Purchase{q}
	}
	ended := func(sent int) func(*Purchase) {
		return func(q *Purchase) { last := at(sent); q.ResolvedBy, q.SentAt, q.LastSentAt = "ana", &last, &last }
	}
	answered := func(row, finished int) func(*Purchase) {
		return func(q *Purchase) {
			r, f := at(row), at(finished)
			q.ReferenceBy, q.RowAt, q.FinishedAt = "answer", &r, &f
		}
	}
	seen := func(before, after int) func(*Purchase) {
		return func(q *Purchase) {
			q.State = Sent
			q.Trail.Jumps = []Jump{{Before: Level{ReadAt: at(before)}, After: Level{ReadAt: at(after), Balance: 100 * Credit}}}
		}
	}
	for _, tt := range []struct {
		name   string
		others Others
		want   State
	}{
		{"nothing", Others{}, Confirmed},
		{"a recharge at the time", Others{Recharges: row(10)}, NeedsReview},
		{"a recharge half an hour before", Others{Recharges: row(5 - 30*60)}, NeedsReview},
		{"one long before", Others{Recharges: row(5 - 30*60 - 1)}, Confirmed},
		{"one long after", Others{Recharges: row(15 + 2*60 + 1)}, Confirmed},
		{"an imported addition", Others{External: row(0)}, NeedsReview},
		{"a recharge under way for days", Others{Pending: row(-100_000)}, NeedsReview},
		{"a recharge that began afterwards", Others{Pending: row(600)}, Confirmed},
		{"an earlier purchase that a person ended", Others{Purchases: bought(wallet, func(q *Purchase) { q.ResolvedBy = "ana" })}, NeedsReview},
		{"an earlier one that a person ended, sent as long before as a match may take", Others{Purchases: bought(wallet, ended(5-30*60))}, NeedsReview},
		{"one sent longer before", Others{Purchases: bought(wallet, ended(5-30*60-1))}, Confirmed},
		{"an earlier one of another size", Others{Purchases: bought(wallet, func(q *Purchase) { q.ResolvedBy, q.Credits = "ana", 98*Credit })}, Confirmed},
		{"an earlier one that was seen", Others{Purchases: bought(wallet, answered(-600, -590))}, Confirmed},
		{"another account's, whose credits were not seen", Others{Purchases: bought(elsewhere, answered(10, 20))}, NeedsReview},
		{"another account's, still open", Others{Purchases: bought(elsewhere, func(q *Purchase) {
			answered(-600, 0)(q)
			q.FinishedAt = nil
		})}, NeedsReview},
		{"another account's, whose credits were seen there, which is apart", Others{Purchases: bought(apart, answered(10, 20))}, Confirmed},
		{"another account's, still open, which is apart", Others{Purchases: bought(apart, func(q *Purchase) {
			answered(-600, 0)(q)
			q.FinishedAt = nil
		})}, NeedsReview},
		{"another account rose at the same time, and is apart", Others{Purchases: bought(apart, seen(0, 10))}, Confirmed},
		{"another account's, seen before", Others{Purchases: bought(elsewhere, answered(-10, 4))}, Confirmed},
		{"another account's, bought afterwards", Others{Purchases: bought(elsewhere, answered(16, 30))}, Confirmed},
		{"another account rose at the same time", Others{Purchases: bought(elsewhere, seen(0, 10))}, NeedsReview},
		{"another account rose at another time", Others{Purchases: bought(elsewhere, seen(15, 25))}, Confirmed},
		{"the purchase itself", Others{Purchases: []Purchase{unclear()}}, Confirmed},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			p := unclear()
			p.Trail.begin(p)
			p.Trail.Apart = []Apart{{Account: apart.Provider, Times: apartTimes}, {Account: elsewhere.Provider, Times: apartTimes - 1}}
			if got := run(p, &tt.others, rise...); got.State != tt.want {
				t.Errorf("%s (%s), want %s", got.State, got.Found, tt.want)
			}
		})
	}
	other := unclear()
	other.Reason = FailedMismatch
	if got := run(other, &Others{}, rise...); got.State != NeedsReview || !strings.Contains(got.Found, "another amount") {
		t.Errorf("an answer about another purchase: %s, found %q; want in review", got.State, got.Found)
	}
	if got := run(unclear(), nil, rise...); got.State != NeedsReview {
		t.Errorf("nobody could be asked: %s, want in review", got.State)
	}
}

// TestAnAnswerAboutAnotherAmountCountsOnceTheBalanceShowsIt: what was charged is
// then known, and the rule can be stopped for it.
func TestAnAnswerAboutAnotherAmountCountsOnceTheBalanceShowsIt(t *testing.T) {
	t.Parallel()
	usd := func(minor int64) *Money { return &Money{Minor: minor, Currency: "USD"} }
	for _, tt := range []struct {
		name    string
		said    Answer
		rise    Credits
		want    State
		charged *Money
	}{
		{"the rise that it names", Answer{Reference: "txn_1", Charged: usd(150_00)}, 150 * Credit, Confirmed, usd(150_00)},
		{"usage hides a little of it", Answer{Reference: "txn_1", Charged: usd(150_00)}, 120 * Credit, Confirmed, usd(150_00)},
		{"the rise that was ordered", Answer{Reference: "txn_1", Charged: usd(150_00)}, 100 * Credit, NeedsReview, nil},
		{"no rise", Answer{Reference: "txn_1", Charged: usd(150_00)}, 0, NeedsReview, nil},
		{"no reference", Answer{Charged: usd(150_00)}, 150 * Credit, NeedsReview, nil},
		{"another currency", Answer{Reference: "txn_1", Charged: &Money{Minor: 150_00, Currency: "EUR"}}, 150 * Credit, NeedsReview, nil},
		{"nothing", Answer{Reference: "txn_1", Charged: usd(0)}, 150 * Credit, NeedsReview, nil},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			tt.said.Verdict, tt.said.Reason = Unknown, FailedMismatch
			p := Answered(unclear(), tt.said, false, confer).Next
			got := run(p, &Others{}, look{5, 41 * Credit, nil}, look{15, 41*Credit + tt.rise, nil}, look{25, 41*Credit + tt.rise, nil})
			if got.State != tt.want || (got.State == Confirmed) != (got.Reference == "txn_1") {
				t.Errorf("%s with reference %q (%s), want %s", got.State, got.Reference, got.Found, tt.want)
			}
			if again := run(p, &Others{Purchases: []Purchase{{ID: "0199-purchase-2", Target: wallet, State: Credited, Reference: "txn_1"}}},
				look{5, 41 * Credit, nil}, look{15, 41*Credit + tt.rise, nil}, look{25, 41*Credit + tt.rise, nil}); again.State != NeedsReview {
				t.Errorf("%s by a transaction that explains another purchase, want in review", again.State)
			}
			if (got.Charged == nil) != (tt.charged == nil) || got.Charged != nil && *got.Charged != *tt.charged {
				t.Errorf("charged %v, want %v", got.Charged, tt.charged)
			}
		})
	}
}

// TestWhoHasABalanceOfItsOwn: another account read between two samples that
// stand still, and that shows something else, twice.
func TestWhoHasABalanceOfItsOwn(t *testing.T) {
	t.Parallel()
	const other = ProviderID("talkover://app.talkover.ai/env-2")
	shown := func(second int, balance Credits) Shown {
		at := confer.Add(time.Duration(second) * time.Second)
		return Shown{Account: other, Level: Level{Balance: balance, ReadAt: at.Add(time.Hour), AsOf: at}} // of a process whose clock is wrong
	}
	for _, tt := range []struct {
		name   string
		levels []Credits // 10 s apart, from 12:00:00 on
		shown  []Shown   // by which the last two are compared, one after the other
		want   bool
	}{
		{"twice another balance", []Credits{50, 49}, []Shown{shown(2, 90), shown(7, 90)}, true},
		{"lower counts too", []Credits{50, 49}, []Shown{shown(2, 28), shown(7, 28)}, true},
		{"at the samples themselves", []Credits{50, 49}, []Shown{shown(0, 90), shown(10, 90)}, true},
		{"once", []Credits{50, 49}, []Shown{shown(2, 90)}, false},
		{"one reading twice", []Credits{50, 49}, []Shown{shown(2, 90), shown(2, 90)}, false},
		{"before the samples", []Credits{50, 49}, []Shown{shown(-2, 90), shown(-1, 90)}, false},
		{"after the samples", []Credits{50, 49}, []Shown{shown(11, 90), shown(12, 90)}, false},
		{"nearly the same", []Credits{50, 49}, []Shown{shown(2, 70), shown(7, 29)}, false},
		{"while the balance rose", []Credits{50, 90}, []Shown{shown(2, 200), shown(7, 200)}, false},
		{"one sample", []Credits{50}, []Shown{shown(0, 200), shown(0, 200)}, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			c := Change{Next: unclear()}
			for i, balance := range tt.levels {
				at := confer.Add(time.Duration(10*i) * time.Second)
				c.Next.Trail.Levels = append(c.Next.Trail.Levels, levelOf(balance*Credit, at, at))
			}
			for _, s := range tt.shown {
				s.Level.Balance *= Credit
				c = Compared(c, []Shown{s})
			}
			if got := c.Next.Trail.apart(other); got != tt.want {
				t.Errorf("apart %t, want %t: %v", got, tt.want, c.Next.Trail.Apart)
			}
		})
	}
	var c Change
	c.Next = unclear()
	c.Next.Trail.Levels = []Level{levelOf(0, confer, confer), levelOf(0, confer, confer)}
	for i := range 3 * maxApart {
		c = Compared(c, []Shown{{Account: ProviderID(rune('a' + i)), Level: levelOf(1000*Credit, confer, confer)}})
	}
	if len(c.Next.Trail.Apart) != maxApart {
		t.Errorf("%d accounts are remembered, want %d", len(c.Next.Trail.Apart), maxApart)
	}
}

// TestARiseIsShownAtOnceAndClaimedWhenTheQuietPeriodIsOver, for until then the
// request may still run, and the rise be somebody else's.
func TestARiseIsShownAtOnceAndClaimedWhenTheQuietPeriodIsOver(t *testing.T) {
	t.Parallel()
	p := unclear()
	c, ask := Sampled(p, show(5*time.Second, 138*Credit+Credit/2), confer.Add(5*time.Second))
	if ask || !c.Next.NextLookAt.Equal(confer.Add(15*time.Second)) {
		t.Fatalf("one figure alone: ask %t, next look %v", ask, c.Next.NextLookAt)
	}
	c, ask = Sampled(c.Next, show(15*time.Second, 138*Credit), confer.Add(15*time.Second))
	if !ask {
		t.Fatal("a rise that lasted is not asked about")
	}
	c = Weighed(c, &Others{}, confer.Add(15*time.Second))
	if want := "found a rise of 97.50 USD at 2026-11-20T12:00:05Z, counts from 2026-11-20T12:15:00Z"; c.Next.Found != want || c.Next.State != Sent {
		t.Fatalf("%s, found %q, want sent and %q", c.Next.State, c.Next.Found, want)
	}
	c, ask = Sampled(c.Next, nil, confer.Add(14*time.Minute+59*time.Second))
	if ask || !c.Next.NextLookAt.Equal(p.QuietUntil()) {
		t.Fatalf("in between: ask %t, next look %v, want the end of the quiet period", ask, c.Next.NextLookAt)
	}
	now := p.QuietUntil()
	c, ask = Sampled(c.Next, nil, now)
	if !ask {
		t.Fatal("not asked once more before it is claimed")
	}
	waits := Weighed(c, nil, now)
	if waits.Next.State != Sent || waits.Next.NextLookAt == nil {
		t.Errorf("nobody could be asked: %s, next look %v; want another try", waits.Next.State, waits.Next.NextLookAt)
	}
	got := Weighed(c, &Others{}, now).Next
	if got.State != Confirmed || got.Reference != "balance-increase@2026-11-20T12:00:05Z" || got.ReferenceBy != "evidence" ||
		got.Payment != PaymentNone || got.Reason != FailedNone || !got.RowAt.Equal(confer.Add(5*time.Second)) {
		t.Errorf("claimed: %+v", got)
	}
	reading := Reading{Target: wallet, Balance: 12 * Credit, ReadAt: now, RefreshedAt: now} // used up meanwhile
	if credited := Followed(got, Books{}, &reading, false, now).Next; credited.State != Credited {
		t.Errorf("%s after its effect was seen, want credited", credited.State)
	}
	reading.RefreshedAt = confer // a balance from before the rise
	if early := Followed(got, Books{}, &reading, false, now).Next; early.State != Confirmed {
		t.Errorf("%s by a balance older than the rise, want confirmed", early.State)
	}
}

// TestALateYesNamesWhatARiseConfirmed: the transaction's id takes the rise's
// place, and nothing counts as somebody else's.
func TestALateYesNamesWhatARiseConfirmed(t *testing.T) {
	t.Parallel()
	p := run(unclear(), &Others{}, look{5, 141 * Credit, nil}, look{15, 141 * Credit, nil})
	for _, state := range []State{Confirmed, Credited} {
		p.State = state
		c, failure := Replied(p, Reply{Answer: Answer{Verdict: Accepted, Reference: "txn_1"}}, confer.Add(time.Hour))
		if failure != FailedNone || c.Next.State != state || c.Next.Reference != "txn_1" || c.Next.ReferenceBy != "answer" || len(c.External) > 0 {
			t.Errorf("%s: %q, %+v", state, failure, c)
		}
		if !c.Next.rose() || !c.Next.RowAt.Equal(*p.RowAt) {
			t.Errorf("%s: the rise is forgotten: %+v", state, c.Next)
		}
	}
}

// TestAnAnswerInBetweenLeavesNoGap: the looks for books would come half a minute
// later and more.
func TestAnAnswerInBetweenLeavesNoGap(t *testing.T) {
	t.Parallel()
	for _, answered := range []time.Duration{time.Second, 16 * time.Second, 75 * time.Second} {
		now := confer.Add(answered)
		c, _ := Sampled(unclear(), show(answered-500*time.Millisecond, 41*Credit), now.Add(-500*time.Millisecond))
		got := Answered(c.Next, Answer{Verdict: Unknown, Reason: FailedTimeout, Written: 300}, false, now).Next
		if got.State != Sent || got.NextLookAt.After(now.Add(sampleAgain)) {
			t.Errorf("answered after %s: %s, next look %v", answered, got.State, got.NextLookAt)
		}
	}
}

func TestATrailIsBounded(t *testing.T) {
	t.Parallel()
	p := unclear()
	for i := range 600 {
		after := time.Duration(i+1) * 500 * time.Millisecond
		c, _ := Sampled(p, show(after, Credits(41+100*(i/7))*Credit), confer.Add(after))
		p = c.Next
	}
	if len(p.Trail.Levels) > maxLevels || len(p.Trail.Jumps) > maxJumps {
		t.Errorf("%d levels, %d jumps", len(p.Trail.Levels), len(p.Trail.Jumps))
	}
}

// TestOnlyACleanRiseConfirms draws what balances may show while a purchase is
// unclear. Whatever they show, it is confirmed only by one rise of four fifths to
// the whole of its amount between two samples of this environment at most 30 s
// apart that lasted and that nothing else explains.
func TestOnlyACleanRiseConfirms(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		amount := Credits(rapid.Int64Range(1, int64(500*Credit)).Draw(t, "amount"))
		p := unclear()
		p.Credits, p.BalanceBefore = amount, Credits(rapid.Int64Range(-int64(amount), int64(amount)).Draw(t, "before"))
		type shown struct {
			at      time.Duration
			balance Credits
		}
		usable, clean, broken := []shown{{0, p.BalanceBefore}}, 0, false
		at, balance := time.Duration(0), p.BalanceBefore
		var looks []look
		for range rapid.IntRange(0, 12).Draw(t, "samples") {
			seconds := rapid.SampledFrom([]int{1, 5, 10, 10, 10, 20, 30, 31, 60}).Draw(t, "seconds")
			at += time.Duration(seconds) * time.Second
			if at >= p.QuietPeriod {
				break
			}
			balance += Credits(rapid.SampledFrom([]int64{0, 0, 0, -1, 79, 80, 90, 100, 101}).Draw(t, "moves by")) * amount / 100
			l := look{at: int(at / time.Second), shows: balance}
			kind := rapid.SampledFrom([]string{"good", "good", "good", "good", "elsewhere", "native", "bad", "old"}).Draw(t, "kind")
			switch kind {
			case "elsewhere":
				l.change = func(s *Sample) { s.EnvironmentProblem = "elsewhere" }
			case "native":
				l.change = func(s *Sample) { s.Reading.Native = "on" }
			case "bad":
				l.change = func(s *Sample) { s.Reading.Bad = "null" }
			case "old":
				l.change = ago(time.Hour)
			}
			looks = append(looks, l)
			switch kind {
			case "elsewhere", "native":
				broken = true // what comes next has no neighbour
			case "good":
				if last := usable[len(usable)-1]; !broken && at-last.at <= JumpGap {
					if rise := balance - last.balance; 5*rise >= 4*amount && rise <= amount {
						clean++
					}
				}
				usable, broken = append(usable, shown{at, balance}), false
			}
		}
		got := run(p, &Others{}, looks...)
		if got.State == Confirmed && clean == 0 {
			t.Fatalf("confirmed by no clean rise: %+v", got.Trail)
		}
		if got.State == Confirmed {
			j := got.Trail.held()[0]
			if rise := j.Rise(); 5*rise < 4*amount || rise > amount || j.After.ReadAt.Sub(j.Before.ReadAt) > JumpGap {
				t.Fatalf("confirmed by %+v", j)
			}
		}
		if got.State != Confirmed && got.State != NeedsReview {
			t.Fatalf("%s is no end", got.State)
		}
		explained := &Others{Recharges: []Topup{{ID: "topup-1", At: confer}}}
		if other := run(p, explained, looks...); other.State == Confirmed && other.Trail.held()[0].Before.at().Before(confer.Add(othersBefore)) {
			t.Fatalf("confirmed in spite of a recharge: %+v", other.Trail)
		}
	})
}

// TestACleanRiseAlwaysConfirms: a steady balance, sampled as often as planned,
// with a charge at any moment and usage that hides at most a fifth of it.
func TestACleanRiseAlwaysConfirms(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		p := unclear()
		charged := rapid.IntRange(0, 840).Draw(t, "charged after") // seconds
		usage := Credits(rapid.Int64Range(0, int64(p.Credits/5)/60).Draw(t, "usage a second"))
		lost := rapid.IntRange(0, 60).Draw(t, "the sample that is lost")
		var looks []look
		for n, at := 0, 5; at < 890; n, at = n+1, at+10 {
			balance := p.BalanceBefore - Credits(at)*usage
			if at > charged {
				balance += p.Credits
			}
			l := look{at: at, shows: balance}
			if n == lost {
				l.change = func(s *Sample) { s.Reading.Bad = "null" }
			}
			looks = append(looks, l)
		}
		got := run(p, &Others{}, looks...)
		if got.State != Confirmed || !strings.HasPrefix(got.Reference, "balance-increase@") {
			t.Fatalf("%s: %s, %+v", got.State, got.Detail, got.Trail)
		}
	})
}
