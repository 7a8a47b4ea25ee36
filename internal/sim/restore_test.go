package sim

import (
	"context"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"topupd/clients/emulator"
	"topupd/ledger"
	"topupd/topup"
)

// personAfter is when a person goes on after a restore: later than everything that
// was under way can still arrive, be executed and be shown.
const personAfter = quietPeriod + 10*time.Minute

// openLedger opens the ledger of a history: in memory, or in a file when one will
// be restored.
func (w *world) openLedger(t *testing.T) {
	w.url = "sqlite::memory:"
	if slices.ContainsFunc(w.h.Events, func(e event) bool { return e.Kind == restored }) {
		w.url = "sqlite:" + filepath.Join(folder(t), "topupd.db")
	}
	if err := w.reopen(); err != nil {
		t.Fatal(err)
	}
}

// folder is one in memory where there is such a thing: every commit is synced.
func folder(t *testing.T) string {
	dir, err := os.MkdirTemp("/dev/shm", "topupd-sim-") //nolint:usetesting // t.TempDir lies on the disk
	if err != nil {
		return t.TempDir()
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	return dir
}

func (w *world) ledgerOptions() ledger.Options {
	return ledger.Options{Now: w.dbNow, AnyFilesystem: true}
}

func (w *world) reopen() (err error) {
	ctx := context.Background()
	if w.store, err = ledger.Open(ctx, w.url, w.ledgerOptions()); err != nil {
		return err
	}
	if _, err := w.store.Migrate(ctx); err != nil {
		return err
	}
	return w.store.Examine(ctx)
}

// backUp copies the ledger. After d every process dies, and the copy is put in
// the place of the ledger: what was stored meanwhile is forgotten.
func (w *world) backUp(d time.Duration) {
	taken := w.now()
	c, err := w.store.Backup(context.Background(), w.url[len("sqlite:"):]+".backup", true)
	if err != nil {
		w.judge.breach("harness", "", "backing up: %v", err)
		return
	}
	w.after(d, func() { w.restore(c.Path, taken) })
}

// restore is a person who restores a copy and goes on as the manual says.
func (w *world) restore(from string, taken time.Time) {
	ctx := context.Background()
	w.tell("", "* the ledger of %s ago is restored", w.now().Sub(taken))
	for n := range w.replicas {
		w.kill(n, time.Minute)
	}
	fail := func(what string, err error) bool {
		if err != nil {
			w.judge.breach("harness", "", "%s: %v", what, err)
		}
		return err != nil
	}
	if fail("closing the ledger", w.store.Close()) {
		return
	}
	if _, err := ledger.Restore(ctx, w.url, from, "sim", w.ledgerOptions()); fail("restoring", err) {
		return
	}
	if fail("opening the restored ledger", w.reopen()) {
		return
	}
	rows, err := w.store.Purchases(ctx, ledger.Filter{})
	if fail("listing", err) {
		return
	}
	pauses, err := w.store.Pauses(ctx)
	if fail("listing the pauses", err) {
		return
	}
	w.locked(func() { clear(w.leases) })
	w.judge.restored(rows, pauses, taken)
	w.after(personAfter, func() {
		w.resolve()
		for _, p := range slices.Clone(w.judge.pauses) {
			if p.Until == nil {
				w.unpause(p.Pause)
			}
		}
		for _, id := range w.providers() {
			w.unpause(topup.Pause{Scope: topup.PauseProvider, Provider: id, Reason: "compared", By: "sim"})
		}
	})
}

// comparing tells whether the books of a provider are still to be read. A person
// waits for that, where there are books.
func (w *world) comparing(provider topup.ProviderID) bool {
	if provider != hyperlineID {
		return false
	}
	_, base, err := w.store.Standings(context.Background(), provider)
	if err != nil {
		w.judge.breach("harness", "", "reading the quarantine: %v", err)
	}
	return base.Quarantined != "" && !base.QuarantineHeld
}

// restored forgets what the ledger has forgotten.
func (j *judge) restored(rows []topup.Purchase, pauses []topup.Pause, taken time.Time) {
	j.w.mu.Lock()
	defer j.w.mu.Unlock()
	known := map[string]bool{}
	clear(j.open)
	for _, p := range rows {
		known[p.ID] = true
		f := j.rows[p.ID]
		f.forgotten = f.forgotten || f.row.Revision != p.Revision
		f.row = p
		for _, at := range f.arrivals {
			if at.After(taken) {
				f.notRun++ // the ledger may give the same permit again
			}
		}
		if p.State.Open() {
			j.open[p.Target] = p.ID
		}
		if p.State.Open() || !p.Payment.Ended() {
			j.live[p.ID] = f
		} else {
			delete(j.live, p.ID)
		}
	}
	for id, f := range j.rows {
		if !known[id] {
			j.lost = append(j.lost, f)
			delete(j.rows, id)
			delete(j.live, id)
		}
	}
	j.pauses = nil
	for _, p := range pauses {
		j.paused(p)
	}
	j.refunds = map[topup.CustomerID]refund{}
	j.allowed()
	j.tally.restores++
}

// recovered holds what the lost ledger had bought against what the ledger knows in
// the end: each charge is claimed by a purchase or imported. It tells whose
// charges they are.
func (j *judge) recovered(list []topup.Purchase, books emulator.Books) (explained map[string]bool) {
	explained = map[string]bool{}
	forgotten := slices.Clone(j.lost)
	for _, f := range j.rows {
		if f.forgotten {
			forgotten = append(forgotten, f)
		}
	}
	if len(forgotten) == 0 {
		return explained
	}
	known := map[string]bool{}
	for _, p := range list {
		known[p.Reference] = true
	}
	imports, err := j.w.store.Imports(context.Background(), hyperlineID, j.w.h.begins().Add(-24*time.Hour))
	if err != nil {
		j.breach("harness", "", "listing what was imported: %v", err)
	}
	for _, t := range imports {
		known[t.Invoice] = true
	}
	for _, f := range forgotten {
		for _, c := range chargesOf(books, f) {
			explained[c.Invoice+c.ID] = true
			if c.Provider == "hyperline" && c.Captured && !known[c.Invoice] {
				j.breach("lost", f.row.Target.Customer, "%s was bought by a ledger that is lost, and the restored one does not know it: %s", f.row.Short(), c.Invoice)
			}
			j.needed(books, f, c)
		}
	}
	return explained
}
