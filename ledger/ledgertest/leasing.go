package ledgertest

import (
	"testing"
	"time"

	"topupd/ledger"
	"topupd/topup"
)

var leasing = map[string]func(*testing.T, Opener){
	"one process holds a lease until it runs out":             oneHolder,
	"a term is never used again":                              termsGrow,
	"the same holder keeps its term":                          sameHolder,
	"a lease that ran out is not renewed":                     ranOut,
	"a release ends its own term only":                        releaseOwnTerm,
	"a holder needs a name, and a lease an end":               leaseBounds,
	"when a provider was first seen is stored once":           firstSeenOnce,
	"the label of a provider follows the YAML":                labelFollows,
	"providers with open purchases are counted":               openPerProvider,
	"a lease of a provider that is not registered is refused": leaseOfStranger,
}

func (d *desk) acquire(who string, want bool) topup.Lease {
	d.t.Helper()
	lease, ok, err := d.store.Acquire(d.ctx(), hyperline, who, 12*time.Second)
	d.must(err)
	if ok != want {
		d.t.Fatalf("%s acquired %t, want %t", who, ok, want)
	}
	return lease
}

func oneHolder(t *testing.T, open Opener) {
	d := newDesk(t, open)
	d.must(d.store.Release(t.Context(), d.leases[hyperline]))
	first := d.acquire("a", true)
	d.clock.forward(12*time.Second - time.Microsecond)
	d.acquire("b", false)
	if ok, err := d.store.Renew(t.Context(), first, 12*time.Second); !ok || err != nil {
		t.Fatalf("Renew = %t, %v", ok, err)
	}
	d.clock.forward(time.Second)
	d.acquire("b", false)
	d.clock.forward(11 * time.Second)
	second := d.acquire("b", true)
	if second.Term != first.Term+1 {
		t.Errorf("term %d after %d", second.Term, first.Term)
	}
}

func termsGrow(t *testing.T, open Opener) {
	d := newDesk(t, open)
	last := d.leases[hyperline].Term
	lease := d.leases[hyperline]
	for range 5 {
		d.must(d.store.Release(t.Context(), lease))
		lease = d.acquire("a", true)
		if lease.Term <= last {
			t.Fatalf("term %d after %d", lease.Term, last)
		}
		last = lease.Term
		d.clock.forward(12 * time.Second)
		lease = d.acquire("a", true) // it ran out: ours again, but a new holding
		if lease.Term <= last {
			t.Fatalf("term %d after %d had run out", lease.Term, last)
		}
		last = lease.Term
	}
}

func sameHolder(t *testing.T, open Opener) {
	d := newDesk(t, open)
	if lease := d.acquire(holder, true); lease != d.leases[hyperline] {
		t.Errorf("acquiring again = %+v, want %+v", lease, d.leases[hyperline])
	}
}

func ranOut(t *testing.T, open Opener) {
	d := newDesk(t, open)
	d.clock.forward(time.Hour)
	if ok, err := d.store.Renew(t.Context(), d.leases[hyperline], time.Hour); ok || err != nil {
		t.Errorf("Renew = %t, %v; want false", ok, err)
	}
}

func releaseOwnTerm(t *testing.T, open Opener) {
	d := newDesk(t, open)
	old := d.leases[hyperline]
	d.clock.forward(time.Hour)
	current := d.acquire("b", true)
	d.must(d.store.Release(t.Context(), old))
	if ok, err := d.store.Renew(t.Context(), current, 12*time.Second); !ok || err != nil {
		t.Errorf("a late release ended the next holding: %t, %v", ok, err)
	}
	if ok, err := d.store.Renew(t.Context(), old, 12*time.Second); ok || err != nil {
		t.Errorf("the old term was renewed: %t, %v", ok, err)
	}
}

func leaseBounds(t *testing.T, open Opener) {
	d := newDesk(t, open)
	for name, try := range map[string]func() error{
		"no name":  func() error { _, _, err := d.store.Acquire(t.Context(), hyperline, "", time.Second); return err },
		"no time":  func() error { _, _, err := d.store.Acquire(t.Context(), hyperline, "a", 0); return err },
		"two days": func() error { _, _, err := d.store.Acquire(t.Context(), hyperline, "a", 48*time.Hour); return err },
		"renewed for no time": func() error {
			_, err := d.store.Renew(t.Context(), d.leases[hyperline], 0)
			return err
		},
	} {
		if err := try(); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
}

func leaseOfStranger(t *testing.T, open Opener) {
	d := newDesk(t, open)
	if _, _, err := d.store.Acquire(t.Context(), "hyperline://nowhere/", "a", time.Second); err == nil {
		t.Error("acquired")
	}
}

func firstSeenOnce(t *testing.T, open Opener) {
	d := newDesk(t, open)
	d.clock.forward(time.Hour)
	d.must(d.store.Register(t.Context(), []ledger.Provider{{ID: hyperline, Name: "hyperline", Type: "hyperline"}}))
	if s := d.standing(acme); s.FirstSeenAt == nil || !s.FirstSeenAt.Equal(noon) {
		t.Errorf("first seen at %v, want %v", s.FirstSeenAt, noon)
	}
}

func labelFollows(t *testing.T, open Opener) {
	d := newDesk(t, open)
	p := d.plan(acme)
	d.must(d.store.Register(t.Context(), []ledger.Provider{{ID: hyperline, Name: "billing-eu", Type: "hyperline"}}))
	list, err := d.store.Providers(t.Context())
	d.must(err)
	if len(list) != 2 || list[0].Name != "billing-eu" || !list[0].FirstSeenAt.Equal(noon) {
		t.Errorf("providers = %+v", list)
	}
	if s := d.standing(acme); s.Open == nil || s.Open.ID != p.ID {
		t.Error("renaming the provider lost its open purchase")
	}
}

func openPerProvider(t *testing.T, open Opener) {
	d := newDesk(t, open)
	d.plan(acme)
	d.advance(d.plan(customer(1)), cancelled)
	counts, err := d.store.ProvidersWithOpen(t.Context())
	d.must(err)
	if len(counts) != 1 || counts[hyperline] != 1 {
		t.Errorf("counts = %v, want one at hyperline", counts)
	}
}
