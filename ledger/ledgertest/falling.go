package ledgertest

import (
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"topupd/ledger"
	"topupd/topup"
)

var falling = map[string]func(*testing.T, Opener){
	"a handful is no crowd, and one more holds all of them":   fallsCrowd,
	"falls count together for two minutes":                    fallsInTime,
	"a crowd is a share of who is watched":                    fallsShare,
	"whoever is held still belongs to the next crowd":         fallsBesideTheHeld,
	"what falls beside a crowd is held and does not count":    fallsBeside,
	"a belief is over when credits came":                      fallsAfterBelief,
	"a known fall keeps its first reading":                    fallsKeepTheirFirst,
	"a balance that is back falls anew":                       fallsEnd,
	"accounts of a host count together, whoever sees them":    fallsOfAccounts,
	"accounts that nobody watches do not count":               accountsThatAreGone,
	"two processes see one crowd":                             fallsRace,
	"readings end only what readings held":                    doubtsLifted,
	"a contradiction is not ended by readings":                doubtContradicted,
	"a person believes what is waited for":                    fallsBelieved,
	"what was bought to expire is listed while it may matter": expiringListed,
	"ten thousand at once":                                    fallsOfMany,
}

// fell is a fall of the target from 85 credits to zero, seen now.
func (d *desk) fell(target topup.Target) topup.Fall {
	return topup.Fall{Target: target, Before: 85 * topup.Credit, ReadAt: d.clock.Now(), AsOf: d.clock.Now().Add(-time.Second)}
}

// noteFalls notes that targets of a provider fell, of so many that are watched.
func (d *desk) noteFalls(watched int, targets ...topup.Target) topup.Crowd {
	d.t.Helper()
	f := topup.Falls{Provider: targets[0].Provider, Watched: watched}
	for _, target := range targets {
		f.List = append(f.List, d.fell(target))
	}
	crowd, err := d.store.NoteFalls(d.ctx(), f)
	d.must(err)
	return crowd
}

// doubt holds four or more targets because they fell together.
func (d *desk) doubt(targets ...topup.Target) {
	d.t.Helper()
	if crowd := d.noteFalls(len(targets), targets...); crowd.Held != len(targets) {
		d.t.Fatalf("%d fell and the crowd is %+v", len(targets), crowd)
	}
}

// held lists who of the first n customers is held.
func (d *desk) held(n int) (held []int) {
	d.t.Helper()
	for i := 1; i <= n; i++ {
		if d.standing(customer(i)).Implausible != "" {
			held = append(held, i)
		}
	}
	return held
}

func (d *desk) wantHeld(n int, want ...int) {
	d.t.Helper()
	if diff := cmp.Diff(want, d.held(n)); diff != "" {
		d.t.Errorf("held (-want +got):\n%s", diff)
	}
}

func fallsCrowd(t *testing.T, open Opener) {
	d := newDesk(t, open)
	if crowd := d.noteFalls(12, customer(1), customer(2), customer(3)); crowd != (topup.Crowd{Fell: 3, Of: 12}) {
		t.Errorf("three fell: %+v", crowd)
	}
	d.wantHeld(5)
	crowd := d.noteFalls(12, customer(4))
	if crowd.Fell != 4 || crowd.Held != 4 || crowd.Why != "4 of 12 balances became zero or unreadable within 2m0s" {
		t.Errorf("a fourth fell: %+v", crowd)
	}
	d.wantHeld(5, 1, 2, 3, 4)
	s := d.standing(customer(1))
	if !strings.Contains(s.Implausible, crowd.Why) || !strings.Contains(s.Implausible, "topupd resume --provider hyperline") || s.DoubtedAt == nil || !s.DoubtedAt.Equal(noon) {
		t.Errorf("held for %q since %v", s.Implausible, s.DoubtedAt)
	}
	if diff := cmp.Diff(&topup.Fall{Target: customer(1), At: noon, Before: 85 * topup.Credit, ReadAt: noon, AsOf: noon.Add(-time.Second)}, s.Fall); diff != "" {
		t.Errorf("the fall (-want +got):\n%s", diff)
	}
	if crowd, err := d.store.NoteFalls(t.Context(), topup.Falls{Provider: hyperline, Watched: 12}); err != nil || crowd != (topup.Crowd{}) {
		t.Errorf("nothing fell: %+v, %v", crowd, err)
	}
}

func fallsInTime(t *testing.T, open Opener) {
	for _, tt := range []struct {
		later time.Duration
		held  int
	}{{topup.FallWindow, 4}, {topup.FallWindow + time.Microsecond, 0}, {-topup.FallWindow - time.Microsecond, 0}} {
		d := newDesk(t, open)
		d.noteFalls(12, customer(1), customer(2), customer(3))
		d.clock.forward(tt.later)
		if crowd := d.noteFalls(12, customer(4)); crowd.Held != tt.held {
			t.Errorf("%s later: %+v", tt.later, crowd)
		}
	}
}

func fallsShare(t *testing.T, open Opener) {
	d := newDesk(t, open)
	if crowd := d.noteFalls(40, customer(1), customer(2), customer(3), customer(4)); crowd.Held != 0 {
		t.Errorf("a tenth: %+v", crowd)
	}
	if crowd := d.noteFalls(40, customer(5)); crowd.Held != 5 {
		t.Errorf("more than a tenth: %+v", crowd)
	}
}

func fallsBesideTheHeld(t *testing.T, open Opener) {
	d := newDesk(t, open)
	d.doubt(customer(1), customer(2), customer(3), customer(4))
	d.clock.forward(time.Hour)
	if crowd := d.noteFalls(12, customer(5)); crowd.Fell != 5 || crowd.Held != 1 {
		t.Errorf("an hour later another one falls: %+v", crowd)
	}
	d.wantHeld(6, 1, 2, 3, 4, 5)
}

func fallsBeside(t *testing.T, open Opener) {
	d := newDesk(t, open)
	f := topup.Falls{Provider: hyperline, Watched: 12}
	for n := 1; n <= 4; n++ {
		f.List = append(f.List, d.fell(customer(n)))
	}
	f.List[3].Beside = true
	crowd, err := d.store.NoteFalls(t.Context(), f)
	if err != nil || crowd.Fell != 3 || crowd.Held != 0 {
		t.Errorf("three and one beside: %+v, %v", crowd, err)
	}
	if crowd := d.noteFalls(12, customer(5)); crowd.Fell != 4 || crowd.Held != 5 {
		t.Errorf("four and one beside: %+v", crowd)
	}
	d.wantHeld(5, 1, 2, 3, 4, 5)

	// One that ran out by itself, got credits, and still shows nothing.
	d = newDesk(t, open)
	d.noteFalls(12, customer(6))
	d.clock.forward(time.Hour)
	late := d.fell(customer(6))
	late.Beside = true
	crowd, err = d.store.NoteFalls(t.Context(), topup.Falls{Provider: hyperline, Watched: 12, List: []topup.Fall{
		late, d.fell(customer(1)), d.fell(customer(2)), d.fell(customer(3)), d.fell(customer(4)),
	}})
	if err != nil || crowd.Held != 5 || crowd.Fell != 4 {
		t.Errorf("four, and one whose credits came: %+v, %v", crowd, err)
	}
}

func fallsKeepTheirFirst(t *testing.T, open Opener) {
	d := newDesk(t, open)
	bad := d.fell(customer(1))
	bad.Bad = true
	_, err := d.store.NoteFalls(t.Context(), topup.Falls{Provider: hyperline, Watched: 12, List: []topup.Fall{bad, d.fell(customer(2))}})
	d.must(err)
	d.clock.forward(time.Minute)
	d.noteFalls(12, customer(1), customer(2))
	if s := d.standing(customer(1)); s.Fall == nil || s.Fall.Bad || !s.Fall.ReadAt.Equal(noon.Add(time.Minute)) {
		t.Errorf("unreadable, then zero: %+v, want the zero", s.Fall)
	}
	if s := d.standing(customer(2)); s.Fall == nil || !s.Fall.ReadAt.Equal(noon) || !s.Fall.At.Equal(noon) {
		t.Errorf("zero twice: %+v, want the first", s.Fall)
	}
}

func fallsEnd(t *testing.T, open Opener) {
	d := newDesk(t, open)
	d.noteFalls(12, customer(1), customer(2), customer(3))
	d.must(d.store.EndFalls(t.Context(), []topup.Target{customer(1), customer(2)}))
	d.must(d.store.EndFalls(t.Context(), nil))
	if s := d.standing(customer(1)); s.Fall != nil {
		t.Errorf("it is back, and still fallen: %+v", s.Fall)
	}
	// Who is back fell all the same, and is no longer held.
	if crowd := d.noteFalls(12, customer(4)); crowd.Fell != 4 || crowd.Held != 2 {
		t.Errorf("a fourth fell: %+v", crowd)
	}
	d.wantHeld(4, 3, 4)
	d.clock.forward(time.Minute)
	d.noteFalls(12, customer(1))
	if s := d.standing(customer(1)); s.Fall == nil || !s.Fall.ReadAt.Equal(noon.Add(time.Minute)) {
		t.Errorf("it fell again: %+v", s.Fall)
	}
}

// account is the one target of the nth Talkover environment.
func account(n int) topup.Target {
	id := fmt.Sprintf("env-%d", n)
	return topup.Target{Provider: topup.ProviderID("talkover://app.talkover.ai/" + id), Customer: topup.CustomerID(id), Product: "credits"}
}

// accounts registers Talkover environments that somebody watches.
func (d *desk) accounts(n int) {
	d.t.Helper()
	for i := 1; i <= n; i++ {
		id := account(i).Provider
		d.must(d.store.Register(d.ctx(), []ledger.Provider{{ID: id, Name: fmt.Sprintf("voice-%d", i), Type: "talkover"}}))
		_, _, err := d.store.Acquire(d.ctx(), id, holder, time.Hour)
		d.must(err)
	}
}

func (d *desk) accountFell(target topup.Target) topup.Crowd {
	d.t.Helper()
	f := d.fell(target)
	f.Twice = true
	crowd, err := d.store.NoteFalls(d.ctx(), topup.Falls{Provider: target.Provider, List: []topup.Fall{f}, Watched: 1, Account: true})
	d.must(err)
	return crowd
}

func fallsOfAccounts(t *testing.T, open Opener) {
	for _, tt := range []struct {
		of, fall int
		held     bool
	}{{1, 1, false}, {2, 1, false}, {2, 2, true}, {3, 1, false}, {3, 2, true}, {4, 2, false}, {4, 3, true}} {
		t.Run(fmt.Sprintf("%d of %d", tt.fall, tt.of), func(t *testing.T) {
			d := newDesk(t, open)
			d.accounts(tt.of)
			d.noteFalls(3, customer(1), customer(2), customer(3)) // of another host
			var last topup.Crowd
			for i := 1; i <= tt.fall; i++ {
				if i > 1 {
					d.clock.forward(topup.FallWindow / time.Duration(tt.fall))
				}
				last = d.accountFell(account(i))
			}
			if last.Fell != tt.fall || last.Of != tt.of || (last.Held == tt.fall) != tt.held {
				t.Errorf("the last of them: %+v", last)
			}
			s := d.standing(account(1))
			if (s.Implausible != "") != tt.held || s.Fall == nil || !s.Fall.Twice {
				t.Errorf("the first of them: held %q, %+v", s.Implausible, s.Fall)
			}
			if tt.held && !strings.Contains(s.Implausible, "resume --provider voice-1.") {
				t.Errorf("the first is held for %q, which is not its own remedy", s.Implausible)
			}
			d.wantHeld(3)
		})
	}
}

func accountsThatAreGone(t *testing.T, open Opener) {
	d := newDesk(t, open)
	d.accounts(4)
	d.clock.forward(time.Hour + topup.FallWindow + time.Microsecond)
	for _, i := range []int{1, 2} {
		_, _, err := d.store.Acquire(t.Context(), account(i).Provider, holder, time.Hour)
		d.must(err)
	}
	d.accountFell(account(1))
	if crowd := d.accountFell(account(2)); crowd.Of != 2 || crowd.Held != 2 {
		t.Errorf("two of four that were ever watched, and two are: %+v", crowd)
	}
}

func fallsRace(t *testing.T, open Opener) {
	d := newDesk(t, open)
	d.accounts(2)
	var both sync.WaitGroup
	for i := 1; i <= 2; i++ {
		both.Go(func() {
			f := d.fell(account(i))
			f.Twice = true
			_, err := d.store.NoteFalls(d.ctx(), topup.Falls{Provider: account(i).Provider, List: []topup.Fall{f}, Watched: 1, Account: true})
			d.must(err)
		})
	}
	both.Wait()
	for i := 1; i <= 2; i++ {
		if d.standing(account(i)).Implausible == "" {
			t.Errorf("both accounts fell at once, and %d is not held", i)
		}
	}
}

func expiringListed(t *testing.T, open Opener) {
	d := newDesk(t, open)
	end := noon.Add(11*time.Hour + 59*time.Minute + 59*time.Second)
	expires := func(at time.Time) func(*topup.PlanRequest) {
		return func(r *topup.PlanRequest) { r.Purchase.ExpiresAt = &at }
	}
	d.advance(d.advance(d.send(acme, expires(end)), confirmed("inv_1")), credited)
	d.advance(d.send(customer(1), expires(end)), confirmed("inv_2"))
	d.advance(d.send(customer(2), expires(end)), refused) // bought nothing, or is not known to have
	d.plan(customer(3), expires(end))
	d.advance(d.send(customer(4), expires(end.Add(48*time.Hour))), confirmed("inv_4"))
	got, err := d.store.Expiring(t.Context(), hyperline, noon, end)
	d.must(err)
	pack := []topup.Batch{{Credits: d.request(acme).Purchase.Credits, ExpiresAt: end}}
	if diff := cmp.Diff(map[topup.Target][]topup.Batch{acme: pack, customer(1): pack}, got); diff != "" {
		t.Errorf("expiring (-want +got):\n%s", diff)
	}
	for _, none := range [][2]time.Time{{noon, end.Add(-time.Microsecond)}, {end.Add(time.Microsecond), end.Add(time.Hour)}} {
		if got, err := d.store.Expiring(t.Context(), hyperline, none[0], none[1]); err != nil || len(got) != 0 {
			t.Errorf("from %s to %s: %v, %v", none[0], none[1], got, err)
		}
	}
}

func fallsOfMany(t *testing.T, open Opener) {
	d := newDesk(t, open)
	const many = 10_000 / Slowdown
	var all []topup.Target
	for n := range many {
		all = append(all, customer(n+1))
	}
	if crowd := d.noteFalls(many, all...); crowd.Held != many {
		t.Errorf("%+v", crowd)
	}
	if lifted, err := d.store.LiftDoubts(t.Context(), all, "they are back"); err != nil || lifted != many {
		t.Errorf("lifted %d, %v", lifted, err)
	}
	d.must(d.store.EndFalls(t.Context(), all))
	if known, _, err := d.store.Standings(t.Context(), hyperline); err != nil || known[customer(many)].Fall != nil || known[customer(1)].Implausible != "" {
		t.Errorf("after all: %+v, %v", known[customer(many)], err)
	}
}
