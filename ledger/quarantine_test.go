package ledger_test

import (
	"errors"
	"strings"
	"testing"
	"time"

	"topupd/ledger"
	"topupd/topup"
)

// moved makes the stored lineage one that this database has not, as a restored
// dump or a promoted standby would, and lets the ledger find out.
func moved(t *testing.T, url string, s *ledger.Store) (topup.Lease, time.Time) {
	t.Helper()
	if _, err := rawSQL(t, url).ExecContext(t.Context(), `UPDATE lineage SET timeline = timeline - 1`); err != nil {
		t.Fatal(err)
	}
	lease := takeLease(t, s)
	standing := standingOf(t, s)
	if standing.Quarantined == "" || standing.QuarantinedAt == nil || standing.QuarantineHeld {
		t.Fatalf("after the database moved: %+v, want a quarantine that ends by itself", standing)
	}
	return lease, *standing.QuarantinedAt
}

func standingOf(t *testing.T, s *ledger.Store) topup.Standing {
	t.Helper()
	standing, err := s.Standing(t.Context(), topup.Target{Provider: provider, Customer: "cus_1", Product: "itm_credits"})
	if err != nil {
		t.Fatal(err)
	}
	return standing
}

func eachEngine(t *testing.T, test func(t *testing.T, url string, s *ledger.Store)) {
	t.Helper()
	for _, engine := range engines {
		t.Run(engine.name, func(t *testing.T) {
			t.Parallel()
			url := engine.fresh(t)
			s := open(t, url, ledger.Options{})
			takeLease(t, s)
			test(t, url, s)
		})
	}
}

// P18: every right to spend is refused from the moment in which the database is
// another one, and stays refused once it was inspected.
func TestADatabaseThatMovedGivesNoRights(t *testing.T) {
	t.Parallel()
	for _, right := range []struct {
		name string
		ask  func(*testing.T, *ledger.Store) func() error
	}{
		{"plan", func(t *testing.T, s *ledger.Store) func() error {
			r := planRequest(t, s, "cus_1")
			return func() error { _, err := s.Plan(t.Context(), r); return err }
		}},
		{"permit", func(t *testing.T, s *ledger.Store) func() error {
			r := permission(t, plannedPurchase(t, s), takeLease(t, s))
			return func() error { _, err := s.Permit(t.Context(), r); return err }
		}},
	} {
		t.Run(right.name, func(t *testing.T) {
			t.Parallel()
			eachEngine(t, func(t *testing.T, url string, s *ledger.Store) {
				ask := right.ask(t, s)
				if _, err := rawSQL(t, url).ExecContext(t.Context(), `UPDATE lineage SET identity = 'another'`); err != nil {
					t.Fatal(err)
				}
				if err := ask(); !errors.Is(err, topup.ErrProviderStopped) || !strings.Contains(err.Error(), "another one than before") {
					t.Errorf("at once: %v, want ErrProviderStopped that says why", err)
				}
				if err := ask(); !errors.Is(err, topup.ErrProviderStopped) || !strings.Contains(err.Error(), "is quarantined") {
					t.Errorf("once it was inspected: %v, want ErrProviderStopped by the quarantine", err)
				}
			})
		})
	}
}

func TestTwoProcessesInspectOnce(t *testing.T) {
	t.Parallel()
	eachEngine(t, func(t *testing.T, url string, s *ledger.Store) {
		_, began := moved(t, url, s)
		other := open(t, url, ledger.Options{})
		takeLease(t, other)
		if got := standingOf(t, other).QuarantinedAt; got == nil || !got.Equal(began) {
			t.Errorf("a second process found the quarantine since %v, it began at %s", got, began)
		}
	})
}

func TestAQuarantineEndsForWhoReadTheBooks(t *testing.T) {
	t.Parallel()
	eachEngine(t, func(t *testing.T, url string, s *ledger.Store) {
		lease, began := moved(t, url, s)
		before := standingOf(t, s).KnownAt
		must(t, s.NoteKnown(t.Context(), lease, began.Add(time.Second)))
		if got := standingOf(t, s).KnownAt; !got.Equal(before) {
			t.Errorf("known up to %s during the quarantine, was %s", got, before)
		}
		end := topup.QuarantineEnd{Lease: lease, Since: began, ReadAt: began.Add(time.Hour), Others: began.Add(time.Minute)}
		for name, change := range map[string]func(*topup.QuarantineEnd){
			"another quarantine": func(e *topup.QuarantineEnd) { e.Since = began.Add(-time.Second) },
			"a lease of before":  func(e *topup.QuarantineEnd) { e.Lease.Term-- },
		} {
			wrong := end
			change(&wrong)
			if _, err := s.EndQuarantine(t.Context(), wrong); !errors.Is(err, topup.ErrOvertaken) && !errors.Is(err, topup.ErrLeaseLost) {
				t.Errorf("%s: %v, want it refused", name, err)
			}
		}
		why, err := s.EndQuarantine(t.Context(), end)
		if got := standingOf(t, s); err != nil || why != "" || got.Quarantined != "" || got.QuarantinedAt != nil || !got.KnownAt.Equal(end.ReadAt) {
			t.Errorf("EndQuarantine = %q, %v; afterwards %+v", why, err, got)
		}
		if _, err := s.EndQuarantine(t.Context(), end); !errors.Is(err, topup.ErrOvertaken) {
			t.Errorf("a second time: %v, want ErrOvertaken", err)
		}
		if _, err := s.Plan(t.Context(), planRequest(t, s, "cus_1")); err != nil {
			t.Errorf("a purchase afterwards: %v", err)
		}
	})
}

// A purchase that was made while nobody here could make one is somebody else's,
// who may go on: a clone of the database with the same key.
func TestAQuarantineStaysForAPersonWhenSomebodyElseBuys(t *testing.T) {
	t.Parallel()
	eachEngine(t, func(t *testing.T, url string, s *ledger.Store) {
		target := topup.Target{Provider: provider, Customer: "cus_1", Product: "itm_credits"}
		lease, began := moved(t, url, s)
		imports := func(rows ...topup.Topup) {
			t.Helper()
			if n, err := s.Import(t.Context(), target, rows); n != len(rows) || err != nil {
				t.Fatalf("Import = %d, %v", n, err)
			}
		}
		eventually(t, "the clock moves on", func() bool { now, err := s.Now(t.Context()); return err == nil && now.After(began) })
		imports(
			topup.Topup{ID: "inv_lost", Invoice: "inv_lost", At: began},
			topup.Topup{ID: "ctx_gift", At: began.Add(time.Hour)}, // nobody paid for it
		)
		others := began
		imports(topup.Topup{ID: "inv_other", Invoice: "inv_other", At: began.Add(time.Hour)}) // now: a clock that is ahead
		why, err := s.EndQuarantine(t.Context(), topup.QuarantineEnd{Lease: lease, Since: began, ReadAt: began, Others: others})
		got := standingOf(t, s)
		if err != nil || !strings.Contains(why, "inv_other") || !strings.Contains(why, "resume --provider hyperline") || got.Quarantined != why || !got.QuarantineHeld {
			t.Fatalf("EndQuarantine = %q, %v; afterwards %+v", why, err, got)
		}
		if _, err := s.EndQuarantine(t.Context(), topup.QuarantineEnd{Lease: lease, Since: began}); !errors.Is(err, topup.ErrOvertaken) {
			t.Errorf("ended again without a person: %v", err)
		}
		r, err := s.Resume(t.Context(), topup.Pause{Scope: topup.PauseProvider, Provider: provider, By: "ana", Reason: "looked"})
		if err != nil || !r.Quarantine {
			t.Fatalf("Resume = %+v, %v", r, err)
		}
		if got := standingOf(t, s); got.Quarantined != "" || got.QuarantineHeld || got.KnownAt.Before(began) {
			t.Errorf("after resume: %+v", got)
		}
	})
}

func TestWhatIsKnownGoesBackOnlyFromTheFuture(t *testing.T) {
	t.Parallel()
	eachEngine(t, func(t *testing.T, _ string, s *ledger.Store) {
		lease, first := takeLease(t, s), standingOf(t, s).KnownAt
		if first.IsZero() {
			t.Fatal("a ledger that begins knows nothing of its beginning")
		}
		soon, later := first.Add(time.Millisecond), first.Add(2*time.Millisecond)
		eventually(t, "both are in the past", func() bool { return standingOf(t, s).Now.After(later) })
		for _, step := range []struct{ noted, want time.Time }{
			{soon, soon},
			{first, soon},
			{first.Add(-time.Hour), soon},
			{first.Add(time.Hour), first.Add(time.Hour)}, // by a clock that is ahead
			{later, later},
			{soon, later},
		} {
			must(t, s.NoteKnown(t.Context(), lease, step.noted))
			if got := standingOf(t, s).KnownAt; !got.Equal(step.want) {
				t.Errorf("%s was noted: known up to %s, want %s", step.noted, got, step.want)
			}
		}
		lease.Term--
		must(t, s.NoteKnown(t.Context(), lease, later.Add(time.Millisecond)))
		if got := standingOf(t, s).KnownAt; !got.Equal(later) {
			t.Errorf("known up to %s by a lease of before", got)
		}
	})
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
