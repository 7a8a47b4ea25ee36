package main

import (
	"context"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

func TestCulprit(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct{ name, output, want string }{
		{"one test", "--- FAIL: TestPlan (0.00s)\n    plan_test.go:3: no\nFAIL\n", "TestPlan"},
		{"the innermost part", "--- FAIL: TestContract (0.0s)\n    --- FAIL: TestContract/sqlite (0.0s)\n        --- FAIL: TestContract/sqlite/plan (0.0s)\n", "TestContract/sqlite/plan"},
		{"the first of several", "--- FAIL: TestA (0.0s)\n--- FAIL: TestB (0.0s)\n", "TestA"},
		{"a test that hung", "panic: test timed out after 1m0s\n\trunning tests:\n\t\tTestEver (59s)\n\ngoroutine 1\n", "TestEver (did not end)"},
		{"a panic outside of tests", "panic: oh\n\ngoroutine 1\n", "panic: oh"},
		{"nothing at all", "", "it failed without a word"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			if got := culprit(tt.output); got != tt.want {
				t.Errorf("%q, want %q", got, tt.want)
			}
		})
	}
}

// program is a test program of a few lines of shell.
func program(t *testing.T, k killer, lines string) suite {
	t.Helper()
	file := filepath.Join(t.TempDir(), "program")
	if err := os.WriteFile(file, []byte("#!/bin/sh\n"+lines+"\n"), 0o700); err != nil {
		t.Fatal(err)
	}
	return suite{k, filepath.Dir(file), file}
}

func TestTheHunt(t *testing.T) {
	t.Parallel()
	tests := killer{Kind: byTests, Timeout: 30 * time.Second}
	noticing := func(name, pkg, kind, mutants string) suite {
		k := tests
		k.Name, k.Package, k.Kind = name, pkg, kind
		return program(t, k, `case "$TOPUPD_MUTANT" in `+mutants+`) echo "    x_test.go:7: seed 7: P1, 4 events"; echo "--- FAIL: Test`+name+` (0.0s)"; exit 1;; esac`)
	}
	suites := []suite{
		noticing("Far", "rules", byTests, "both|far"), noticing("Near", "ledger", byTests, "both"),
		noticing("simulation", "internal/sim", bySimulation, "both"),
		program(t, killer{Name: "tired", Kind: bySimulation, Timeout: 30 * time.Second}, `[ -z "$TOPUPD_MUTANT" ] || { echo "panic: test timed out"; exit 2; }`),
	}
	mutants := []mutant{
		{Name: "both", Edits: []edit{{File: "ledger/plan.go"}}},
		{Name: "far", Schema: []statement{{"", "DROP INDEX it"}}},
		{Name: "none"},
	}
	killedBy := func(all bool) [][]string {
		t.Helper()
		results, err := hunt(t.Context(), options{all: all}, mutants, suites, io.Discard)
		if err != nil {
			t.Fatal(err)
		}
		var lists [][]string
		for _, r := range results {
			lists = append(lists, r.killedBy)
		}
		return lists
	}
	if err := healthy(t.Context(), suites, io.Discard); err != nil {
		t.Errorf("healthy programs: %v", err)
	}
	first := [][]string{{"Near: TestNear", "simulation seed 7: P1, 4 events"}, {"Far: TestFar"}, nil}
	if diff := cmp.Diff(first, killedBy(false)); diff != "" {
		t.Errorf("the first of each kind (-want +got):\n%s", diff)
	}
	every := [][]string{{"Near: TestNear", "Far: TestFar", "simulation seed 7: P1, 4 events"}, {"Far: TestFar"}, nil}
	if diff := cmp.Diff(every, killedBy(true)); diff != "" {
		t.Errorf("all of them (-want +got):\n%s", diff)
	}
}

func TestAKillerThatFailsAnywayIsNoKiller(t *testing.T) {
	t.Parallel()
	broken := program(t, killer{Name: "rules", Timeout: 30 * time.Second}, "echo '--- FAIL: TestDecide (0.0s)'; exit 1")
	err := healthy(t.Context(), []suite{broken}, io.Discard)
	if err == nil || !strings.Contains(err.Error(), "rules fails without any mutant") || !strings.Contains(err.Error(), "TestDecide") {
		t.Errorf("error %v, want to be told which test fails without a mutant", err)
	}
}

// A mutant may loop for ever, and what its tests started with it.
func TestAMutantThatNeverEndsIsEnded(t *testing.T) {
	t.Parallel()
	started := filepath.Join(t.TempDir(), "pid")
	s := program(t, killer{Name: "looping", Timeout: 200 * time.Millisecond}, `sleep 600 & echo $! > `+started+`; wait`)
	v, err := s.try(t.Context(), "loop")
	if err != nil || !v.Killed {
		t.Fatalf("%+v, %v: want it killed", v, err)
	}
	pid, err := os.ReadFile(started)
	if err != nil {
		t.Fatal(err)
	}
	ended := func() bool {
		state, err := os.ReadFile("/proc/" + strings.TrimSpace(string(pid)) + "/stat")
		return err != nil || strings.Contains(string(state), ") Z ")
	}
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	for !ended() {
		if ctx.Err() != nil {
			t.Fatalf("process %s that the tests started outlived them", pid)
		}
	}
}

// Rapid writes what it found beside the tests, and a mutant's findings must not
// lie in the source.
func TestFindingsAreNotKeptInTheSource(t *testing.T) {
	t.Parallel()
	s := program(t, killer{}, "")
	if s.usesRapid() {
		t.Error("a folder without tests is said to use rapid")
	}
	if err := os.WriteFile(filepath.Join(s.folder, "a_test.go"), []byte("package a\n\nimport \"pgregory.net/rapid\"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if !s.usesRapid() {
		t.Error("a test that uses rapid was not recognised")
	}
}

func TestTheReport(t *testing.T) {
	t.Parallel()
	var out strings.Builder
	survived := report(&out, []result{
		{mutant: mutant{Name: "no-index", Rule: "one at a time", Promises: "P1"}, killedBy: []string{"ledger: TestPlan", "simulation seed 7: P1, 4 events"}, took: 1300 * time.Millisecond},
		{mutant: mutant{Name: "late", Rule: "in time", Promises: "P4 P5"}},
	})
	want := `
| mutant   | rule removed  | breaks | killed by                                         | seconds |
|----------|---------------|--------|---------------------------------------------------|---------|
| no-index | one at a time | P1     | ledger: TestPlan; simulation seed 7: P1, 4 events | 1.3     |
| late     | in time       | P4 P5  | SURVIVED                                          | 0.0     |

1 of 2 killed
`
	if survived != 1 {
		t.Errorf("%d survived, want 1", survived)
	}
	if diff := cmp.Diff(want[1:], out.String()); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func TestTheCommandLine(t *testing.T) {
	t.Parallel()
	o, err := parse([]string{"-all", "-run=^no-", "-killers=ledger"}, io.Discard)
	if err != nil || !o.all || o.mutants.String() != "^no-" || !o.killers.MatchString("ledger, SQLite") {
		t.Errorf("%+v, %v", o, err)
	}
	if _, err := parse([]string{"-run=("}, io.Discard); err == nil {
		t.Error("a broken pattern is taken")
	}
}

func TestTheKillers(t *testing.T) {
	t.Parallel()
	root := t.TempDir()
	names := func() (list []string) {
		for _, k := range killers(root) {
			if _, err := regexp.Compile(k.Run); err != nil || k.Timeout <= 0 {
				t.Errorf("%s runs %q within %s: %v", k.Name, k.Run, k.Timeout, err)
			}
			list = append(list, k.Name)
		}
		return list
	}
	without := names()
	if err := os.MkdirAll(filepath.Join(root, "internal", "sim"), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(root, "internal", "sim", "sim_test.go"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(append(without, "simulation"), names()); diff != "" {
		t.Errorf("with a simulation (-want +got):\n%s", diff)
	}
}
