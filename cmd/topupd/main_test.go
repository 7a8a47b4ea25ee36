package main

import (
	"context"
	"errors"
	"io"
	"net/http/httptest"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/govalues/decimal"
	"github.com/rogpeppe/go-internal/testscript"

	"topupd/clients/emulator"
	"topupd/ledger"
)

// TestMain lets the scripts run this program as "topupd".
func TestMain(m *testing.M) {
	testscript.Main(m, map[string]func(){"topupd": main})
}

// TestScripts runs the real program against emulated providers and a SQLite
// ledger, with the configuration of testdata/default unless the script brings
// its own. The commands of the scripts beside the usual ones:
//
//	seed KIND [ID [CUSTOMER]] puts a purchase or decisions into the ledger (seed_test.go)
//	world SETTING…   changes the emulated providers
//	mask FILE TO     copies output, with what nobody can know beforehand masked
//	pauseid NAME     puts the id that the last pause printed into a variable
//	documented PAGE  runs every command that a page names
//	keep NAME FORM   puts what a form finds in the last output or error into one
func TestScripts(t *testing.T) {
	t.Parallel()
	testscript.Run(t, testscript.Params{
		Dir: "testdata/script",
		Setup: func(env *testscript.Env) error {
			world := newWorld()
			server := httptest.NewServer(world.Handler())
			env.Defer(server.Close)
			env.Values[worldKey{}] = world
			env.Setenv("EMULATOR", server.URL)
			env.Setenv("USER", "alice")
			env.Setenv("HOME", env.WorkDir)
			env.Setenv("TOPUPD_CONFIG", filepath.Join(env.WorkDir, "topupd.yml"))
			return install(env.WorkDir)
		},
		Cmds: map[string]func(*testscript.TestScript, bool, []string){
			"seed": seedCmd, "world": worldCmd, "mask": maskCmd, "pauseid": pauseIDCmd, "keep": keepCmd, "documented": documentedCmd,
		},
		UpdateScripts: os.Getenv("UPDATE_SCRIPTS") != "",
	})
}

type worldKey struct{}

// newWorld is the same in every script: six customers with 500 credits each and
// a threshold of 100, and one environment with 80.
func newWorld() *emulator.Emulator {
	same := func(n int64) emulator.Range {
		return emulator.Range{Min: decimal.MustNew(n, 0), Max: decimal.MustNew(n, 0)}
	}
	return emulator.New(emulator.Options{
		Seed: 7,
		Hyperline: emulator.HyperlineOptions{
			Customers: 6, NoUsage: true, Threshold: decimal.MustNew(100, 0), StartBalance: same(500), Reads: -1, Writes: -1,
		},
		Talkover: emulator.TalkoverOptions{Environments: 1, NoUsage: true, StartBalance: same(80), Requests: -1},
	})
}

// install puts the default configuration where the script has none.
func install(dir string) error {
	return filepath.WalkDir("testdata/default", func(path string, d os.DirEntry, err error) error {
		if err != nil {
			return err
		}
		rel, err := filepath.Rel("testdata/default", path)
		if err != nil {
			return err
		}
		to := filepath.Join(dir, rel)
		if d.IsDir() {
			return os.MkdirAll(to, 0o755)
		}
		if _, err := os.Stat(to); !errors.Is(err, os.ErrNotExist) {
			return err
		}
		content, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		return os.WriteFile(to, content, 0o600)
	})
}

// worldCmd is "world balance ID N", "world card ID good|declined|missing",
// "world native ID", "world buy ID" (the small pack, at the portal) or "world
// outage PROVIDER" ("-" ends it). An ID may be "#N": the Nth customer.
func worldCmd(ts *testscript.TestScript, neg bool, args []string) {
	world, ok := ts.Value(worldKey{}).(*emulator.Emulator)
	if !ok || neg || len(args) < 2 {
		ts.Fatalf("usage: world SETTING ARGUMENTS")
	}
	if n, err := strconv.Atoi(strings.TrimPrefix(args[1], "#")); err == nil {
		args[1] = world.Customers()[n-1].ID
	}
	var err error
	switch args[0] {
	case "balance":
		err = world.SetBalance(args[1], decimal.MustParse(args[2]))
	case "card":
		err = world.SetCard(args[1], emulator.Card(args[2]))
	case "native":
		err = world.SetAutoTopup(args[1], true)
	case "buy":
		err = world.PortalPurchase(args[1])
	case "outage":
		world.SetFaults(emulator.Faults{})
		if args[1] != "-" {
			world.SetFaults(emulator.Faults{Provider: args[1], Outage: 1})
		}
	default:
		err = errors.New("no such setting: " + args[0])
	}
	ts.Check(err)
}

// unknowable is what differs from run to run, and what stands for it.
var unknowable = []struct {
	form *regexp.Regexp
	mask string
}{
	{regexp.MustCompile(`127\.0\.0\.1:\d+`), "EMULATOR"},
	{regexp.MustCompile(`in \d+\.\d s`), "in N s"},
	{regexp.MustCompile(`\d+ d\b( \d+ h)?`), "AGE"},
	{regexp.MustCompile(`inv_[0-9A-Za-z]{6,}`), "inv_ID"},
	{regexp.MustCompile(`topupd resume [0-9a-f]{8}`), "topupd resume PAUSE"},
	{regexp.MustCompile(`\([0-9a-f]{8}\)`), "(PAUSE)"},
	{regexp.MustCompile(`d-[0-9a-f]{12}`), "d-000000000000"}, // as wide as it is
}

// maskCmd is "mask FILE TO": it copies what the last command printed, with
// masks where nobody can know the text beforehand. Times of
// today are TIME, and of tomorrow, when caps begin anew.
func maskCmd(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 2 {
		ts.Fatalf("usage: mask FILE TO")
	}
	text := ts.ReadFile(args[0])
	for _, u := range unknowable {
		text = u.form.ReplaceAllString(text, u.mask)
	}
	for _, day := range []time.Time{time.Now(), time.Now().Add(-time.Minute), time.Now().Add(24 * time.Hour)} {
		today := regexp.MustCompile(day.UTC().Format(time.DateOnly) + `T[0-9:.]+Z`)
		text = today.ReplaceAllString(text, "TIME")
	}
	ts.Check(os.WriteFile(ts.MkAbs(args[1]), []byte(text), 0o600))
}

// pauseIDCmd is "pauseid NAME": scripts lift pauses by their ids.
func pauseIDCmd(ts *testscript.TestScript, neg bool, args []string) {
	keepCmd(ts, neg, append(args, `topupd resume ([0-9a-f]{8}) `))
}

// keepCmd is "keep NAME FORM": the form's first group is kept.
func keepCmd(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 2 {
		ts.Fatalf("usage: keep NAME FORM")
	}
	found := regexp.MustCompile(args[1]).FindStringSubmatch(ts.ReadFile("stdout") + ts.ReadFile("stderr"))
	if found == nil {
		ts.Fatalf("nothing is like %s", args[1])
	}
	ts.Setenv(args[0], found[1])
}

// scriptApp is the program as the script's environment sees it.
func scriptApp(ts *testscript.TestScript, now func() time.Time) *app {
	a := newApp(context.Background(), ts.Getenv, io.Discard, io.Discard)
	a.chooseConfig("")
	a.now = now
	return a
}

// scriptLedger opens and migrates the script's ledger with a clock of its own.
func scriptLedger(ts *testscript.TestScript, a *app) (*ledger.Store, *loaded) {
	l, err := a.load()
	ts.Check(err)
	store, err := a.openLedger(l, ledger.Options{Now: a.now})
	ts.Check(err)
	ts.Defer(func() { ts.Check(store.Close()) })
	_, err = store.Migrate(a.ctx)
	ts.Check(err)
	return store, l
}
