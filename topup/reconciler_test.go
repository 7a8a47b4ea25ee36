package topup

import (
	"context"
	"slices"
	"testing"
	"time"
)

// hanging is a provider that never answers about some purchases.
type hanging struct {
	*world
	about []string // purchases
	asked chan string
}

func (h hanging) Follow(ctx context.Context, ps []Purchase, tell func(Purchase, Books, error)) {
	for _, p := range ps {
		if !slices.Contains(h.about, p.ID) {
			h.world.Follow(ctx, []Purchase{p}, tell)
		}
	}
	for _, p := range ps {
		if slices.Contains(h.about, p.ID) {
			h.asked <- p.ID
			<-ctx.Done()
			tell(p, Books{}, ctx.Err())
		}
	}
}

func (h hanging) Books(ctx context.Context, t Target, since time.Time) (Books, error) {
	if slices.Contains(h.about, string(t.Customer)) {
		h.asked <- string(t.Customer)
		<-ctx.Done()
		return Books{}, ctx.Err()
	}
	return h.world.Books(ctx, t, since)
}

// TestWhoHangsHoldsUpNobody: whatever the provider never answers, followed or
// looked for, the others are credited in the same visit and in the next.
func TestWhoHangsHoldsUpNobody(t *testing.T) {
	w := newWorld()
	first, second := w.plan(), w.plan()
	for _, p := range []Purchase{first, second} {
		if _, err := w.purchaser().Buy(t.Context(), p, Lease{}); err != nil {
			t.Fatal(err)
		}
	}
	stuck, lost := w.plan(), w.plan()
	at := w.now
	stuck.State, stuck.Reference = Confirmed, "inv_never"
	lost.State, lost.Target.Customer = Sent, "cus_lost"
	for _, p := range []*Purchase{&stuck, &lost} {
		p.SentAt, p.LastSentAt, p.NextLookAt, p.ConfirmedAt = &at, &at, &at, &at
		w.ledger.rows[p.ID] = *p
	}
	late := w.ledger.rows[second.ID]
	due := w.now.Add(time.Hour) // due when the visits hang already
	late.NextLookAt = &due
	w.ledger.rows[second.ID] = late

	ctx, stop := context.WithCancel(t.Context())
	r := w.reconciler()
	r.Provider = hanging{w, []string{stuck.ID, "cus_lost"}, make(chan string, 2)}
	asked := r.Provider.(hanging).asked
	state := func(id string) State {
		w.ledger.mu.Lock()
		defer w.ledger.mu.Unlock()
		return w.ledger.rows[id].State
	}
	credited := func(id string) {
		t.Helper()
		for deadline := time.Now().Add(30 * time.Second); state(id) != Credited; time.Sleep(time.Millisecond) {
			if time.Now().After(deadline) {
				t.Fatalf("%s is %s while another hangs, want credited", id, state(id))
			}
		}
	}
	w.advance(time.Minute)
	if _, err := r.Visit(ctx, Lease{}); err != nil {
		t.Fatal(err)
	}
	<-asked
	<-asked
	credited(first.ID)
	w.advance(time.Hour)
	if _, err := r.Visit(ctx, Lease{}); err != nil {
		t.Fatal(err)
	}
	credited(second.ID)
	if n := len(asked); n != 0 {
		t.Errorf("%d questions were asked again while they hang", n)
	}
	stop()
	r.Wait()
}
