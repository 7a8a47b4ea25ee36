package ledger_test

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"topupd/ledger"
	"topupd/topup"
)

// closed makes a migrated ledger that nobody has open, and returns its path.
func closed(t *testing.T) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "topupd.db")
	s := unmigrated(t, "sqlite:"+path, ledger.Options{Lock: true})
	if _, err := s.Migrate(t.Context()); err != nil {
		t.Fatal(err)
	}
	must(t, s.Close())
	return path
}

// refuses tells that the file cannot be opened that way, with these words.
func refuses(t *testing.T, what, path string, o ledger.Options, words ...string) {
	t.Helper()
	s, err := ledger.Open(t.Context(), "sqlite:"+path, o)
	if err == nil {
		t.Errorf("%s: opened", what)
		must(t, s.Close())
		return
	}
	for _, word := range words {
		if !strings.Contains(err.Error(), word) {
			t.Errorf("%s: %q does not say %q", what, err, word)
		}
	}
}

// A lock that is named after the path knows nothing of a file's other names.
func TestASecondNameOfTheFileIsRefused(t *testing.T) {
	t.Parallel()
	path := closed(t)
	dir := t.TempDir()
	hard, soft, folder := filepath.Join(dir, "hard.db"), filepath.Join(dir, "soft.db"), filepath.Join(dir, "folder")
	must(t, errors.Join(os.Link(path, hard), os.Symlink(path, soft), os.Symlink(filepath.Dir(path), folder)))
	for _, o := range []ledger.Options{{Lock: true}, {}} {
		refuses(t, "the hard link", hard, o, hard+" has 2 names", "-inum", "charge twice")
		refuses(t, "the file that has one", path, o, path+" has 2 names", "delete all but this one")
		refuses(t, "the symbolic link", soft, o, soft+" is a symbolic link", path)
	}
	must(t, os.Remove(hard))

	daemon := open(t, "sqlite:"+filepath.Join(folder, "topupd.db"), ledger.Options{Lock: true}) // systemd's folders are links
	refuses(t, "the same file through its real folder", path, ledger.Options{Lock: true}, "locked by process")
	reader := open(t, "sqlite:"+soft, ledger.Options{ReadOnly: true})
	p := sentPurchase(t, daemon)
	if _, err := reader.Purchase(t.Context(), p.ID); err != nil {
		t.Errorf("a reader through a symbolic link: %v", err)
	}

	must(t, os.Link(path, hard)) // as cp -al does
	person := open(t, "sqlite:"+path, ledger.Options{})
	if _, err := person.Pause(t.Context(), topup.Pause{Scope: topup.PauseAll, By: "ana", Reason: "look into it"}); err != nil {
		t.Errorf("a pause beside a daemon whose file got a second name: %v", err)
	}
	must(t, person.Close())
	refuses(t, "a pause under the second name", hard, ledger.Options{}, hard+" has 2 names")
	must(t, os.Remove(hard))

	moved := filepath.Join(filepath.Dir(path), "moved.db")
	must(t, os.Rename(path, moved))
	refuses(t, "the file under a new name", moved, ledger.Options{Lock: true}, "open already")
	must(t, os.Rename(moved, path))
}

// An empty ledger in the place of one that was moved away has forgotten
// everything that was bought.
func TestALedgerThatIsGoneIsNotBegunAnew(t *testing.T) {
	t.Parallel()
	path := closed(t)
	away := path + ".away"
	must(t, os.Rename(path, away))
	refuses(t, "moved away", path, ledger.Options{Lock: true}, path+" is gone", "topupd restore", path+".lock")
	refuses(t, "and for a command", path, ledger.Options{}, path+" is gone")
	must(t, os.Remove(path+".lock"))
	must(t, os.WriteFile(path+"-wal", []byte("what was not yet in the file"), 0o600))
	refuses(t, "with its log left", path, ledger.Options{Lock: true}, path+" is gone", "-wal")
	must(t, errors.Join(os.Remove(path+"-wal"), os.Rename(away, path)))
	open(t, "sqlite:"+path, ledger.Options{Lock: true})
}

// What is bought on a file that nobody will find again is bought again later.
func TestAFileThatIsTakenAwayBuysNothing(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name string
		do   func(t *testing.T, path string)
		want string
	}{
		{"renamed", func(t *testing.T, path string) { must(t, os.Rename(path, path+".away")) }, "was renamed or deleted"},
		{"replaced", func(t *testing.T, path string) {
			must(t, os.Rename(path, path+".away"))
			must(t, os.WriteFile(path, nil, 0o600))
		}, "was replaced by another file"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			path := closed(t)
			s := open(t, "sqlite:"+path, ledger.Options{Lock: true})
			must(t, s.Examine(t.Context()))
			p := plannedPurchase(t, s)
			permit, plan := permission(t, p, takeLease(t, s)), planRequest(t, s, "cus_2")
			tt.do(t, path)
			_, permitted := s.Permit(t.Context(), permit)
			_, planned := s.Plan(t.Context(), plan)
			for what, err := range map[string]error{"Fit": s.Fit(), "Permit": permitted, "Plan": planned} {
				if !errors.Is(err, topup.ErrLedgerUnfit) || !strings.Contains(err.Error(), path+" "+tt.want) {
					t.Errorf("%s: %v, want ErrLedgerUnfit: %s %s", what, err, path, tt.want)
				}
			}
			if got, err := s.Purchase(t.Context(), p.ID); err != nil || got.State != topup.Planned {
				t.Errorf("the purchase is %s, %v", got.State, err)
			}
			must(t, os.Rename(path+".away", path))
			must(t, s.Fit())
			if _, err := s.Permit(t.Context(), permit); err != nil {
				t.Errorf("with the file back: %v", err)
			}
		})
	}
}
