package sim

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"topupd/ledger"
	"topupd/topup"
)

// TestStoryNoOpenPurchaseWaitsInSilence: P16. In bad weather, at every minute,
// each purchase that is open is one of those that the metrics count by state,
// and none is older than the age that they show for it. A purchase that nobody
// looks at any more would be seen to grow old there.
func TestStoryNoOpenPurchaseWaitsInSilence(t *testing.T) {
	samples, open := 0, 0
	for seed := uint64(1); seed <= 2; seed++ {
		s := &script{t: t, paths: map[string][]string{}}
		synctest.Test(t, func(t *testing.T) {
			time.Sleep(time.Until(began))
			s.world = newWorld(t, generate(seed, 60, storm))
			s.world.script = s
			s.minutely = func() {
				samples++
				open += s.agree()
			}
			s.at(40*time.Minute, s.end)
			s.drive()
			s.close(t)
		})
	}
	if samples < 30 || open == 0 {
		t.Errorf("%d samples with %d open purchases: want many, else this tests nothing", samples, open)
	}
}

// agree holds what the metrics are told against what was stored, and returns how
// many purchases are open.
func (s *script) agree() (open int) {
	type key struct {
		Provider topup.ProviderID
		State    topup.State
	}
	want := map[key]ledger.OpenCount{}
	for _, f := range s.judge.rows {
		p := f.row
		if !p.State.Open() {
			continue
		}
		open++
		k := key{p.Target.Provider, p.State}
		c := want[k]
		c.Provider, c.State = p.Target.Provider, p.State
		c.Count++
		if planned := p.PlannedAt; c.Oldest == nil || planned.Before(*c.Oldest) {
			c.Oldest = &planned
		}
		want[k] = c
	}
	counts, err := s.store.OpenCounts(context.Background())
	if err != nil {
		s.t.Error(err)
	}
	got := map[key]ledger.OpenCount{}
	for _, c := range counts {
		got[key{c.Provider, c.State}] = c
	}
	if diff := cmp.Diff(want, got); diff != "" {
		s.t.Errorf("at %s the metrics are told otherwise (-stored +told):\n%s", s.now().Sub(began), diff)
	}
	return open
}
