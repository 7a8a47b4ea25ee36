package e2e

import (
	"database/sql"
	"errors"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"topupd/clients/emulator"
)

// elsewhere is the configuration of the place with another path for its ledger.
func (k *killing) elsewhere(name, path string) (config string) {
	k.t.Helper()
	k.write(name, strings.ReplaceAll(k.yaml(), k.db, "sqlite:"+path))
	return filepath.Join(k.dir, name)
}

// TestASecondNameOfTheLedger: P1, P19. A daemon works, and a second one is started
// on its file by other names: as a link of either kind, and by the name that the
// file was moved to. Each is refused, and nobody is charged twice.
func TestASecondNameOfTheLedger(t *testing.T) {
	t.Parallel()
	k := newTrial(t, sqliteURL(t), steady(30), brisk())
	d := k.started()
	k.buys(5, "purchases before")
	path := strings.TrimPrefix(k.db, "sqlite:")
	hard, soft, moved := filepath.Join(k.dir, "hard.db"), filepath.Join(k.dir, "soft.db"), path+".moved"
	second := func(what, name string, words ...string) {
		t.Helper()
		cmd := exec.Command(binary, "run", "--config", k.elsewhere("second.yml", name))
		out, err := cmd.CombinedOutput()
		if code := cmd.ProcessState.ExitCode(); err == nil || code != 1 {
			t.Errorf("%s: exit %d, want 1", what, code)
		}
		contains(t, what, string(out), words...)
	}
	if err := errors.Join(os.Link(path, hard), os.Symlink(path, soft)); err != nil {
		t.Fatal(err)
	}
	second("a hard link", hard, hard+" has 2 names (hard links)", "charge twice", "delete all but this one")
	second("a symbolic link", soft, soft+" is a symbolic link", path)
	if err := errors.Join(os.Remove(hard), os.Rename(path, moved)); err != nil {
		t.Fatal(err)
	}
	second("the name it was moved to", moved, moved+" open under another name", "stop it first")
	if err := os.Rename(moved, path); err != nil {
		t.Fatal(err)
	}
	k.buys(5, "purchases after")
	k.over(d)
}

// TestTheLedgerIsTakenAway: P2, P19. The file is renamed, deleted or replaced
// under the daemon, and then somebody falls low. Nothing is bought, the daemon is
// not ready and says why; with the file back it buys once.
func TestTheLedgerIsTakenAway(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct{ name, word string }{
		{"renamed", "was renamed or deleted"}, {"deleted", "was renamed or deleted"}, {"replaced", "was replaced by another file"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			p := newPlace(t, sqliteURL(t), quiet(2, 1000), settings{})
			d := p.started()
			d.ready(http.StatusOK)
			path := strings.TrimPrefix(p.db, "sqlite:")
			err := os.Rename(path, path+".away")
			if tt.name == "replaced" {
				err = errors.Join(err, os.WriteFile(path, nil, 0o600))
			}
			if tt.name == "deleted" { // what holds its bytes is the daemon alone
				err = errors.Join(err, os.Remove(path+".away"))
			}
			if err != nil {
				t.Fatal(err)
			}
			p.setBalance(emulator.FirstCustomer, 100)
			d.ready(http.StatusServiceUnavailable)
			_, body := d.get("/-/ready")
			contains(t, "/-/ready", body, path+" "+tt.word, "nothing is bought")
			until(t, time.Minute, "the metric to say it", func() bool { return d.value("topupd_ledger_fit") == 0 })
			d.decides("quarantined")
			d.polls(3)
			if n := p.asked(); n != 0 {
				t.Fatalf("%d purchases were asked for", n)
			}
			if !d.has("ledger", map[string]any{"level": "ERROR"}) {
				t.Errorf("no log line tells of it:\n%s", d.tail(20))
			}
			if tt.name == "renamed" || tt.name == "replaced" {
				if err := os.Rename(path+".away", path); err != nil {
					t.Fatal(err)
				}
				d.ready(http.StatusOK)
				p.settles(1)
				return
			}
			d.stop()
			out, errs, code := p.run("run", "--once")
			if code != 1 || !strings.Contains(errs, path+" is gone") || !strings.Contains(errs, "topupd restore") {
				t.Errorf("a start without the file: exit %d, %s %s", code, out, errs)
			}
		})
	}
}

// TestALedgerThatIsDamaged: P1, P19. The index that keeps a target from a second
// open purchase lacks an entry, as a torn restore leaves it. The daemon watches,
// buys nothing, and says why.
func TestALedgerThatIsDamaged(t *testing.T) {
	t.Parallel()
	p := newPlace(t, sqliteURL(t), quiet(2, 1000), settings{})
	d := p.started()
	p.setBalance(emulator.FirstCustomer, 100)
	p.settles(1)
	d.stop()
	loseIndexEntries(t, strings.TrimPrefix(p.db, "sqlite:"))
	p.setBalance(emulator.FirstCustomer, 100)
	d = p.started()
	d.ready(http.StatusServiceUnavailable)
	until(t, time.Minute, "the log to say it", func() bool { return d.has("ledger", map[string]any{"level": "ERROR"}) })
	_, body := d.get("/-/ready")
	contains(t, "/-/ready", body, "missing from index purchase_reference", "topupd restore")
	d.decides("quarantined")
	d.polls(3)
	if n := p.asked(); n != 1 {
		t.Errorf("%d purchases were asked for, want the one of before", n)
	}
	if _, errs, code := p.run("run", "--once"); code != 1 {
		t.Errorf("run --once beside it: exit %d, %s", code, errs)
	}
}

// TestASQLiteLedgerOnAFilesystemWithoutLocks: the switch is in the configuration,
// and what it risks is in the log.
func TestASQLiteLedgerOnAFilesystemWithoutLocks(t *testing.T) {
	t.Parallel()
	k := newTrial(t, "sqlite:/proc/self/topupd.db", quiet(1, 1000), settings{})
	for _, command := range [][]string{{"run"}, {"migrate"}} {
		_, errs, code := k.place.run(command...)
		if code != 1 {
			t.Errorf("%s: exit %d, want 1", command, code)
		}
		contains(t, command[0], errs, "/proc/self/topupd.db lies on a file system that topupd does not know", "two would charge twice",
			"use PostgreSQL", "database_filesystem: any_at_the_risk_of_double_charges")
	}
	k.edit("topupd.yml", "http: ", "database_filesystem: any_at_the_risk_of_double_charges\nhttp: ")
	_, errs, code := k.place.run("run")
	if code != 1 {
		t.Errorf("run: exit %d, want 1: /proc takes no file", code)
	}
	contains(t, "run with the switch", errs, "database_filesystem", "two daemons on this file charge twice", "locking the ledger")
}

// loseIndexEntries takes the entries out of the index that lets one charge
// explain one purchase, and leaves the rows.
func loseIndexEntries(t *testing.T, path string) {
	t.Helper()
	for _, statements := range [][]string{
		{`PRAGMA writable_schema = ON`, `UPDATE sqlite_master SET sql = replace(sql, 'reference IS NOT NULL', 'reference IS NULL') WHERE name = 'purchase_reference'`},
		{
			`REINDEX purchase_reference`, `PRAGMA writable_schema = ON`,
			`UPDATE sqlite_master SET sql = replace(sql, 'reference IS NULL', 'reference IS NOT NULL') WHERE name = 'purchase_reference'`,
		},
	} {
		db, err := sql.Open("sqlite", path)
		if err != nil {
			t.Fatal(err)
		}
		db.SetMaxOpenConns(1)
		for _, statement := range statements {
			if _, err := db.ExecContext(t.Context(), statement); err != nil {
				t.Fatalf("%s: %v", statement, err)
			}
		}
		if err := db.Close(); err != nil {
			t.Fatal(err)
		}
	}
}
