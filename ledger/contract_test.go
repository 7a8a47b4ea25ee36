package ledger_test

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"topupd/ledger"
	"topupd/ledger/ledgertest"
)

// engines are the stores, each with a way to make an empty database.
var engines = []struct {
	name  string
	fresh func(testing.TB) string
}{
	{"postgres", ledgertest.Postgres},
	{"sqlite", func(t testing.TB) string { return "sqlite:" + filepath.Join(t.TempDir(), "topupd.db") }},
}

// open opens a migrated ledger until the test ends.
func open(t testing.TB, url string, o ledger.Options) *ledger.Store {
	t.Helper()
	path, isSQLite := strings.CutPrefix(url, "sqlite:")
	if _, err := os.Stat(path); isSQLite && path != ":memory:" && errors.Is(err, os.ErrNotExist) {
		if err := os.WriteFile(path, schema(t), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	s, err := ledger.Open(t.Context(), url, o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	if path == ":memory:" {
		ledger.Load(t, s, schema(t))
	}
	if !o.ReadOnly {
		if _, err := s.Migrate(t.Context()); err != nil {
			t.Fatal(err)
		}
		if err := s.Examine(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	return s
}

func TestContract(t *testing.T) {
	t.Parallel()
	for _, engine := range engines {
		t.Run(engine.name, func(t *testing.T) {
			t.Parallel()
			ledgertest.Exercise(t, func(t testing.TB, o ledger.Options) *ledger.Store { return open(t, engine.fresh(t), o) })
		})
	}
	t.Run("sqlite in memory", func(t *testing.T) {
		t.Parallel()
		ledgertest.Exercise(t, func(t testing.TB, o ledger.Options) *ledger.Store { return open(t, "sqlite::memory:", o) })
	})
}

// template is a migrated SQLite file: copying it is ten times as fast as
// migrating anew under the race detector.
var template = sync.OnceValues(func() ([]byte, error) {
	dir, err := os.MkdirTemp("", "topupd-template-")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(dir)
	file := filepath.Join(dir, "topupd.db")
	s, err := ledger.Open(context.Background(), "sqlite:"+file, ledger.Options{})
	if err != nil {
		return nil, err
	}
	_, err = s.Migrate(context.Background())
	if err = errors.Join(err, s.Close()); err != nil {
		return nil, err
	}
	return os.ReadFile(file)
})

func schema(t testing.TB) []byte {
	t.Helper()
	file, err := template()
	if err != nil {
		t.Fatal(err)
	}
	return file
}
