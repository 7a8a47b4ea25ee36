package ledger_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"topupd/ledger"
	"topupd/topup"
)

func TestALedgerSurvivesItsProcess(t *testing.T) {
	t.Parallel()
	for _, engine := range engines {
		url := engine.fresh(t)
		first := unmigrated(t, url, ledger.Options{})
		if _, err := first.Migrate(t.Context()); err != nil {
			t.Fatal(err)
		}
		p := sentPurchase(t, first)
		lease := takeLease(t, first)
		if err := first.Close(); err != nil {
			t.Fatal(err)
		}
		second := open(t, url, ledger.Options{})
		got, err := second.Purchase(t.Context(), p.ID)
		if diff := cmp.Diff(p, got); diff != "" || err != nil {
			t.Errorf("%s: the purchase after a restart: %v\n%s", engine.name, err, diff)
		}
		if _, ok, err := second.Acquire(t.Context(), provider, "another process", time.Second); ok || err != nil {
			t.Errorf("%s: another process took a lease that is held: %t, %v", engine.name, ok, err)
		}
		if err := second.Release(t.Context(), lease); err != nil {
			t.Fatal(err)
		}
		next, ok, err := second.Acquire(t.Context(), provider, "another process", time.Second)
		if err != nil || !ok || next.Term <= lease.Term {
			t.Errorf("%s: term %d after %d, %t, %v", engine.name, next.Term, lease.Term, ok, err)
		}
	}
}

func TestTheLockKeepsASecondDaemonOut(t *testing.T) {
	t.Parallel()
	url := engines[1].fresh(t)
	file := strings.TrimPrefix(url, "sqlite:")
	first := open(t, url, ledger.Options{Lock: true})
	_, err := ledger.Open(t.Context(), url, ledger.Options{Lock: true})
	if !errors.Is(err, ledger.ErrLocked) || !strings.Contains(err.Error(), file+".lock") || !strings.Contains(err.Error(), strconv.Itoa(os.Getpid())) {
		t.Errorf("a second daemon: %v, want ErrLocked with the file and the process", err)
	}
	sentPurchase(t, first)
	if err := first.Close(); err != nil {
		t.Fatal(err)
	}
	open(t, url, ledger.Options{Lock: true})
}

func TestAReaderBesideTheDaemon(t *testing.T) {
	t.Parallel()
	url := engines[1].fresh(t)
	daemon := open(t, url, ledger.Options{Lock: true})
	reader := open(t, url, ledger.Options{ReadOnly: true})
	p := sentPurchase(t, daemon)
	if got, err := reader.Purchase(t.Context(), p.ID); err != nil || got.State != topup.Sent {
		t.Errorf("the reader sees %s, %v", got.State, err)
	}
	if err := reader.CheckSchema(t.Context()); err != nil {
		t.Errorf("CheckSchema = %v", err)
	}
	if _, err := reader.Pause(t.Context(), topup.Pause{Scope: topup.PauseAll, By: "ana"}); !errors.Is(err, ledger.ErrReadOnly) {
		t.Errorf("a write by the reader: %v, want ErrReadOnly", err)
	}
	if _, err := reader.Migrate(t.Context()); !errors.Is(err, ledger.ErrReadOnly) {
		t.Errorf("Migrate by the reader: %v, want ErrReadOnly", err)
	}
	// A person's command beside the daemon writes without the daemon's lock.
	person := open(t, url, ledger.Options{})
	if _, err := person.Pause(t.Context(), topup.Pause{Scope: topup.PauseAll, By: "ana", Reason: "look into it"}); err != nil {
		t.Errorf("a pause beside the daemon: %v", err)
	}
	if list, err := daemon.Pauses(t.Context()); len(list) != 1 || err != nil {
		t.Errorf("the daemon sees %v, %v", list, err)
	}
}

func TestReadingNeedsNoDaemon(t *testing.T) {
	t.Parallel()
	url := engines[1].fresh(t)
	daemon := unmigrated(t, url, ledger.Options{Lock: true})
	reader := open(t, url, ledger.Options{ReadOnly: true})
	if err := reader.CheckSchema(t.Context()); !errors.Is(err, ledger.ErrSchemaTooOld) {
		t.Errorf("CheckSchema of an empty file = %v, want ErrSchemaTooOld", err)
	}
	if _, err := daemon.Migrate(t.Context()); err != nil {
		t.Fatal(err)
	}
	must(t, daemon.Examine(t.Context()))
	p := sentPurchase(t, daemon)
	if err := errors.Join(reader.Close(), daemon.Close()); err != nil {
		t.Fatal(err)
	}
	alone := open(t, url, ledger.Options{ReadOnly: true})
	if got, err := alone.Purchase(t.Context(), p.ID); err != nil || got.ID != p.ID {
		t.Errorf("a reader alone: %v", err)
	}
}

func TestReadersDoNotWaitForAWriter(t *testing.T) {
	t.Parallel()
	url := engines[1].fresh(t)
	s := open(t, url, ledger.Options{})
	p := sentPurchase(t, s)
	conn, err := rawSQL(t, url).Conn(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if _, err := conn.ExecContext(t.Context(), `BEGIN IMMEDIATE`); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Purchase(t.Context(), p.ID); err != nil {
		t.Errorf("a read beside an open write: %v", err)
	}
	err = s.Append(t.Context(), p.ID, topup.Evidence{Kind: topup.EvidenceLook, Text: "x"})
	if err == nil || errors.Is(err, topup.ErrInDoubt) || !strings.Contains(err.Error(), "another process writes") {
		t.Errorf("a write beside an open write: %v, want to be told who is in the way", err)
	}
	if _, err := conn.ExecContext(t.Context(), `ROLLBACK`); err != nil {
		t.Fatal(err)
	}
	if err := s.Append(t.Context(), p.ID, topup.Evidence{Kind: topup.EvidenceLook, Text: "x"}); err != nil {
		t.Errorf("afterwards: %v", err)
	}
}

func TestSQLiteFilesThatCannotBeUsed(t *testing.T) {
	t.Parallel()
	garbage := filepath.Join(t.TempDir(), "garbage.db")
	if err := os.WriteFile(garbage, []byte(strings.Repeat("this is no database\n", 100)), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		name, url string
		o         ledger.Options
		want      string
	}{
		{"not a database", "sqlite:" + garbage, ledger.Options{}, "is not a SQLite database"},
		{"nothing to read", "sqlite:" + filepath.Join(t.TempDir(), "none.db"), ledger.Options{ReadOnly: true}, "there is no ledger to read"},
		{"a folder that cannot be written", "sqlite:/proc/topupd/topupd.db", ledger.Options{}, "/proc/topupd"},
		{"a folder in place of the file", "sqlite:" + t.TempDir(), ledger.Options{}, "cannot be opened"},
	} {
		s, err := ledger.Open(t.Context(), tt.url, tt.o)
		if err == nil {
			t.Errorf("%s: opened, %v", tt.name, s.Close())
			continue
		}
		if !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s: %q, want %q", tt.name, err, tt.want)
		}
	}
}

// The superuser may write to any file, so the test makes SQLite refuse instead
// of the file system.
func TestAReadOnlyFileSaysSo(t *testing.T) {
	t.Parallel()
	url := engines[1].fresh(t)
	s := open(t, url, ledger.Options{})
	p := sentPurchase(t, s)
	ledger.MakeReadOnly(t, s)
	err := s.Append(t.Context(), p.ID, topup.Evidence{Kind: topup.EvidenceLook, Text: "x"})
	if err == nil || errors.Is(err, topup.ErrInDoubt) || !strings.Contains(err.Error(), "cannot be written") {
		t.Errorf("Append = %v, want to be told that the file cannot be written", err)
	}
	if _, err := s.Purchase(t.Context(), p.ID); err != nil {
		t.Errorf("a read: %v", err)
	}
}

func TestAFullDiskStoresNothing(t *testing.T) {
	t.Parallel()
	s := open(t, engines[1].fresh(t), ledger.Options{})
	p := sentPurchase(t, s)
	ledger.LimitPages(t, s)
	line := topup.Evidence{Kind: topup.EvidenceLook, Text: "x", Detail: []byte(strings.Repeat("x", 100_000))}
	var err error
	for range 20 {
		if err = s.Append(t.Context(), p.ID, line); err != nil {
			break
		}
	}
	if err == nil || !strings.Contains(err.Error(), "disk is full") {
		t.Fatalf("Append = %v, want a full disk", err)
	}
	before, err := s.Evidence(t.Context(), p.ID)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range before {
		if e.Kind == topup.EvidenceLook && len(e.Detail) != len(line.Detail) {
			t.Errorf("half a line was stored: %d bytes", len(e.Detail))
		}
	}
}

func TestANewFileIsItsOwnersAlone(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "state", "odd ?#%name.db")
	unmigrated(t, "sqlite:"+file, ledger.Options{})
	info, err := os.Stat(file)
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("%v, %v; want a file of mode 0600 under exactly that name", info, err)
	}
}

func TestTheLockIsGivenBackHoweverTheProcessEnds(t *testing.T) {
	t.Parallel()
	url := engines[1].fresh(t)
	file := strings.TrimPrefix(url, "sqlite:") + ".lock"
	// What a killed daemon leaves behind: the file with its process id, unlocked.
	if err := os.WriteFile(file, []byte("999999\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	open(t, url, ledger.Options{Lock: true})
	f, err := os.Open(file)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err == nil {
		t.Error("the ledger is open and its lock is free")
	}
}

func TestMigrateWaitsForTheDaemonsLock(t *testing.T) {
	t.Parallel()
	url := engines[1].fresh(t)
	daemon := unmigrated(t, url, ledger.Options{Lock: true})
	command := unmigrated(t, url, ledger.Options{})
	ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	if _, err := command.Migrate(ctx); !errors.Is(err, ledger.ErrLocked) {
		t.Errorf("Migrate under a daemon: %v, want ErrLocked", err)
	}
	if _, err := daemon.Migrate(t.Context()); err != nil {
		t.Fatal(err)
	}
	if applied, err := command.Migrate(t.Context()); len(applied) != 0 || err != nil {
		t.Errorf("nothing to migrate needs no lock: %v, %v", applied, err)
	}
}

// A large poll is stored in parts, between which a purchase gets its permit.
func TestAPermitWaitsForNoLargePoll(t *testing.T) {
	t.Parallel()
	s := open(t, engines[1].fresh(t), ledger.Options{})
	p, lease := plannedPurchase(t, s), takeLease(t, s)
	poll := make([]topup.Evaluation, 20_000)
	for i := range poll {
		poll[i] = topup.Evaluation{
			Target: topup.Target{Provider: provider, Customer: topup.CustomerID(fmt.Sprintf("cus_%05d", i)), Product: "itm"}, At: time.Now(), Reason: topup.Enough,
		}
	}
	stored := make(chan error, 1)
	go func() { stored <- s.RecordEvaluations(t.Context(), poll) }()
	seen := func(f ledger.Filter) int {
		list, err := s.Targets(t.Context(), f)
		if err != nil {
			t.Fatal(err)
		}
		return len(list)
	}
	eventually(t, "the poll has begun to be stored", func() bool { return seen(ledger.Filter{Limit: 1}) > 0 })
	if _, err := s.Permit(t.Context(), permission(t, p, lease)); err != nil {
		t.Fatal(err)
	}
	if n := seen(ledger.Filter{Customer: "cus_19999"}); n != 0 {
		t.Error("the permit came after the whole poll")
	}
	if err := <-stored; err != nil || seen(ledger.Filter{}) != len(poll) {
		t.Errorf("stored %d of %d, %v", seen(ledger.Filter{}), len(poll), err)
	}
}
