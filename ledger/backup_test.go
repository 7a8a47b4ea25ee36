package ledger_test

import (
	"database/sql"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"topupd/ledger"
	"topupd/topup"
)

// copied makes a backup of a daemon's ledger, as topupd backup does beside it.
func copied(t *testing.T, path string) string {
	t.Helper()
	to := filepath.Join(t.TempDir(), "copy.db")
	reader := open(t, "sqlite:"+path, ledger.Options{ReadOnly: true})
	c, err := reader.Backup(t.Context(), to, false)
	must(t, errors.Join(err, reader.Close()))
	if c.Path != to {
		t.Fatalf("the copy is %s, want %s", c.Path, to)
	}
	return to
}

func restore(t *testing.T, path, from string) (ledger.Restored, error) {
	t.Helper()
	return ledger.Restore(t.Context(), "sqlite:"+path, from, "ana", ledger.Options{})
}

// files lists the folder of a file.
func filesBeside(t *testing.T, path string) (names []string) {
	t.Helper()
	entries, err := os.ReadDir(filepath.Dir(path))
	must(t, err)
	for _, e := range entries {
		names = append(names, e.Name())
	}
	return names
}

func TestABackupIsOneWholeFileOfOneMoment(t *testing.T) {
	t.Parallel()
	path := closed(t)
	daemon := open(t, "sqlite:"+path, ledger.Options{Lock: true})
	p := sentPurchase(t, daemon)
	to := copied(t, path)
	if names := filesBeside(t, to); len(names) != 1 {
		t.Errorf("beside the copy there are %q", names)
	}
	info, err := os.Stat(to)
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("the copy is %v, %v; want mode 0600", info, err)
	}
	reader := open(t, "sqlite:"+to, ledger.Options{ReadOnly: true})
	if got, err := reader.Purchase(t.Context(), p.ID); err != nil || got.State != topup.Sent {
		t.Errorf("the purchase in the copy: %s, %v", got.State, err)
	}
	if names := filesBeside(t, to); len(names) != 1 { // it may lie where nothing can be written
		t.Errorf("beside the copy that is read there are %q", names)
	}
}

func TestABackupOverwritesNothingThatIsNeeded(t *testing.T) {
	t.Parallel()
	path := closed(t)
	reader := open(t, "sqlite:"+path, ledger.Options{ReadOnly: true})
	there, other := filepath.Join(t.TempDir(), "there.db"), closed(t)
	must(t, os.WriteFile(there, []byte("mine"), 0o600))
	for _, tt := range []struct {
		to      string
		replace bool
		want    string
	}{
		{path, true, "belongs to the ledger itself"},
		{path + "-wal", true, "belongs to the ledger itself"},
		{path + ".lock", true, "belongs to the ledger itself"},
		{filepath.Dir(path), true, "is a folder"},
		{there, false, "say --replace"},
		{other, true, "is a ledger that is or was in use"},
		{filepath.Join(t.TempDir(), "no", "folder.db"), false, "no such file"},
	} {
		if _, err := reader.Backup(t.Context(), tt.to, tt.replace); err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("to %s: %v, want %q", tt.to, err, tt.want)
		}
	}
	if text, err := os.ReadFile(there); string(text) != "mine" {
		t.Errorf("the file that was there: %q, %v", text, err)
	}
	if _, err := reader.Backup(t.Context(), there, true); err != nil {
		t.Errorf("with --replace: %v", err)
	}
	if _, err := open(t, "sqlite::memory:", ledger.Options{}).Backup(t.Context(), there, true); !errors.Is(err, ledger.ErrNoFile) {
		t.Errorf("of a ledger without a file: %v, want ErrNoFile", err)
	}
}

func TestADamagedLedgerIsNotBackedUp(t *testing.T) {
	t.Parallel()
	path := closed(t)
	loseEntries(t, path)
	to := filepath.Join(t.TempDir(), "copy.db")
	reader := open(t, "sqlite:"+path, ledger.Options{ReadOnly: true})
	if _, err := reader.Backup(t.Context(), to, false); !errors.Is(err, topup.ErrLedgerUnfit) {
		t.Errorf("Backup = %v, want ErrLedgerUnfit", err)
	}
	if names := filesBeside(t, to); len(names) != 0 {
		t.Errorf("it left %q", names)
	}
}

// loseEntries takes an entry out of the index that keeps P1.
func loseEntries(t *testing.T, path string) {
	t.Helper()
	s := open(t, "sqlite:"+path, ledger.Options{})
	plannedPurchase(t, s)
	must(t, s.Close())
	withRawFile(t, path, func(db *sql.DB) {
		run(t, db, `PRAGMA writable_schema = ON`, `UPDATE sqlite_master SET sql = replace(sql, 'state NOT IN', 'state IN') WHERE name = 'purchase_one_open'`)
	})
	withRawFile(t, path, func(db *sql.DB) {
		run(t, db, `REINDEX purchase_one_open`, `PRAGMA writable_schema = ON`,
			`UPDATE sqlite_master SET sql = replace(sql, 'state IN', 'state NOT IN') WHERE name = 'purchase_one_open'`)
	})
}

// killed puts into an empty folder what kill -9 leaves of a daemon's ledger: the
// file, and a log with what is not yet in it.
func killed(t *testing.T, path string) string {
	t.Helper()
	left := filepath.Join(t.TempDir(), "topupd.db")
	for _, suffix := range []string{"", "-wal", "-shm", ".lock"} {
		text, err := os.ReadFile(path + suffix)
		must(t, err)
		must(t, os.WriteFile(left+suffix, text, 0o640))
	}
	return left
}

// The log that a killed daemon left must not be replayed over the copy: it did,
// and four of fifteen ledgers were malformed.
func TestARestoreForgetsTheLogOfTheOldFile(t *testing.T) {
	t.Parallel()
	path := closed(t)
	daemon := open(t, "sqlite:"+path, ledger.Options{Lock: true})
	kept := sentPurchase(t, daemon)
	from := copied(t, path)
	lost := planRequest(t, daemon, "cus_2")
	lost.Purchase.Rule = "another" // of which no first purchase is under way
	if _, err := daemon.Plan(t.Context(), lost); err != nil {
		t.Fatal(err)
	}
	path = killed(t, path)
	r, err := restore(t, path, from)
	if err != nil {
		t.Fatal(err)
	}
	if r.Path != path || r.Purchases != 1 || r.Newest == nil || len(r.Providers) != 1 {
		t.Errorf("Restore = %+v", r)
	}
	for _, suffix := range []string{"-wal", "-shm", "-journal", ".incoming", ".restoring", ".incoming.lock"} {
		if _, err := os.Lstat(path + suffix); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("%s is there: %v", path+suffix, err)
		}
	}
	if info, err := os.Stat(path); err != nil || info.Mode().Perm() != 0o640 {
		t.Errorf("the mode of the file: %v, %v", info.Mode(), err)
	}
	old := open(t, "sqlite:"+r.Kept, ledger.Options{ReadOnly: true})
	if _, err := old.Purchase(t.Context(), lost.Purchase.ID); err != nil {
		t.Errorf("the ledger that was replaced lacks what was in its log: %v", err)
	}

	s := open(t, "sqlite:"+path, ledger.Options{Lock: true})
	if _, err := s.Purchase(t.Context(), kept.ID); err != nil {
		t.Errorf("what is in the copy: %v", err)
	}
	if _, err := s.Purchase(t.Context(), lost.Purchase.ID); !errors.Is(err, topup.ErrNotFound) {
		t.Errorf("what came after the copy: %v", err)
	}
	restoredIsHeld(t, s, from)
}

// restoredIsHeld: paused until a person resumes, then quarantined until the books
// were read.
func restoredIsHeld(t *testing.T, s *ledger.Store, from string) {
	t.Helper()
	if _, err := s.Plan(t.Context(), planRequest(t, s, "cus_3")); !errors.Is(err, topup.ErrProviderStopped) || !strings.Contains(err.Error(), "restored from "+from) {
		t.Errorf("a purchase: %v, want the quarantine", err)
	}
	standing := standingOf(t, s)
	if standing.Quarantined == "" || standing.QuarantineHeld || standing.QuarantinedAt == nil {
		t.Fatalf("after a restore: %+v, want a quarantine that the books end", standing)
	}
	if p, err := s.Pauses(t.Context()); err != nil || len(p) != 1 || p[0].Scope != topup.PauseAll || p[0].By != "ana" || p[0].Until != nil {
		t.Errorf("the pauses: %+v, %v", p, err)
	}
	lease := takeLease(t, s)
	if _, err := s.EndQuarantine(t.Context(), topup.QuarantineEnd{Lease: lease, Since: *standing.QuarantinedAt, ReadAt: time.Now(), Others: time.Now()}); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Plan(t.Context(), planRequest(t, s, "cus_3")); !errors.Is(err, topup.ErrPaused) {
		t.Errorf("a purchase after the books were read: %v, want the pause", err)
	}
}

// A restore that dies leaves a ledger that nobody opens, at whichever step.
func TestAnInterruptedRestoreIsFinishedByAnother(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name  string
		state func(t *testing.T, path string)
		open  bool // nothing was touched yet
	}{
		{"while the copy is made", func(t *testing.T, path string) { must(t, os.WriteFile(path+".incoming", []byte("half"), 0o600)) }, true},
		{"before the old file has gone", func(t *testing.T, path string) { must(t, os.WriteFile(path+".restoring", []byte("x"), 0o640)) }, false},
		{"before its log has gone", func(t *testing.T, path string) {
			must(t, errors.Join(os.WriteFile(path+".restoring", []byte("x"), 0o640), os.Rename(path, path+".replaced-x")))
		}, false},
		{"before the new file has its name", func(t *testing.T, path string) {
			must(t, errors.Join(os.WriteFile(path+".restoring", []byte("x"), 0o640), os.Rename(path, path+".replaced-x"),
				os.Rename(path+"-wal", path+".replaced-x-wal"), os.Remove(path+"-shm")))
		}, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			path := closed(t)
			daemon := open(t, "sqlite:"+path, ledger.Options{Lock: true})
			p := sentPurchase(t, daemon)
			from := copied(t, path)
			path = killed(t, path)
			tt.state(t, path)
			for _, o := range []ledger.Options{{Lock: true}, {}, {ReadOnly: true}} {
				s, err := ledger.Open(t.Context(), "sqlite:"+path, o)
				if err == nil {
					must(t, s.Close())
				}
				if (err == nil) != tt.open {
					t.Errorf("opened with %+v: %v", o, err)
				}
				if err != nil && !o.ReadOnly && !strings.Contains(err.Error(), "run topupd restore again") {
					t.Errorf("the error has no remedy: %v", err)
				}
			}
			if _, err := restore(t, path, from); err != nil {
				t.Fatal(err)
			}
			info, err := os.Stat(path)
			if err != nil || info.Mode().Perm() != 0o640 {
				t.Errorf("the mode of the file: %v, %v", info, err)
			}
			s := open(t, "sqlite:"+path, ledger.Options{Lock: true})
			if _, err := s.Purchase(t.Context(), p.ID); err != nil {
				t.Error(err)
			}
		})
	}
}

func TestWhatIsNotRestored(t *testing.T) {
	t.Parallel()
	path := closed(t)
	good := copied(t, path)
	dir := t.TempDir()
	at := func(name string) string { return filepath.Join(dir, name) }
	duplicate := func(name string, change ...string) string {
		text, err := os.ReadFile(good)
		must(t, err)
		must(t, os.WriteFile(at(name), text, 0o600))
		withRawFile(t, at(name), func(db *sql.DB) { run(t, db, change...) })
		return at(name)
	}
	must(t, os.WriteFile(at("text"), []byte(strings.Repeat("this is no database\n", 100)), 0o600))
	withRawFile(t, at("other"), func(db *sql.DB) { run(t, db, `CREATE TABLE purchase (id)`) })
	damaged := closed(t)
	loseEntries(t, damaged)
	before, err := os.ReadFile(path)
	must(t, err)
	for _, tt := range []struct {
		name, from, want string
		is               error
	}{
		{"nothing", at("none"), "there is no copy to restore", nil},
		{"a folder", dir, "is a folder", nil},
		{"a text", at("text"), "is not a SQLite database", nil},
		{"another program's", at("other"), "is no ledger of topupd", nil},
		{"a newer one", duplicate("newer", `INSERT INTO goose_db_version (version_id, is_applied) VALUES (99999, 1)`), "newer than this topupd", ledger.ErrSchemaTooNew},
		{"a damaged one", damaged, "purchase_one_open", topup.ErrLedgerUnfit},
		{"the ledger itself", path, "is the ledger itself", nil},
	} {
		_, err := restore(t, path, tt.from)
		if err == nil || !strings.Contains(err.Error(), tt.want) || tt.is != nil && !errors.Is(err, tt.is) {
			t.Errorf("%s: %v, want %q", tt.name, err, tt.want)
		}
	}
	if after, err := os.ReadFile(path); err != nil || string(after) != string(before) {
		t.Errorf("the ledger was touched: %v", err)
	}
	if names := strings.Join(filesBeside(t, path), " "); strings.Contains(names, "incoming") || strings.Contains(names, "restoring") || strings.Contains(names, "replaced") {
		t.Errorf("it left %s", names)
	}
	if _, err := ledger.Restore(t.Context(), "postgres://x/y", good, "ana", ledger.Options{}); !errors.Is(err, ledger.ErrNoFile) {
		t.Errorf("PostgreSQL: %v, want ErrNoFile", err)
	}
	for _, o := range []ledger.Options{{Lock: true}, {ReadOnly: true}} {
		busy := unmigrated(t, "sqlite:"+path, o)
		if _, err := restore(t, path, good); !errors.Is(err, ledger.ErrLocked) {
			t.Errorf("while it is open with %+v: %v, want ErrLocked", o, err)
		}
		must(t, busy.Close())
	}
	empty := filepath.Join(t.TempDir(), "new", "topupd.db")
	if r, err := restore(t, empty, good); err != nil || r.Kept != "" {
		t.Errorf("where no ledger was: %+v, %v", r, err)
	}
}
