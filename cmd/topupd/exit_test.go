package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/alecthomas/kong"

	"topupd/internal/screen"
)

// TestCtrlC: whoever ended a command knows it, and what went wrong before is told.
func TestCtrlC(t *testing.T) {
	t.Parallel()
	ended, end := context.WithCancel(t.Context())
	end()
	for _, tt := range []struct {
		name string
		ctx  context.Context
		err  error
		code int
		said bool
	}{
		{"in the middle", ended, fmt.Errorf("listing: %w", context.Canceled), exitInterrupted, false},
		{"after a mistake", ended, errors.New("no luck"), exitFailed, true},
		{"when it was done", ended, nil, exitDone, false},
		{"somebody else's context", t.Context(), context.Canceled, exitFailed, true},
	} {
		var stderr bytes.Buffer
		a := &app{Screen: screen.New(os.Getenv, io.Discard, &stderr, time.Now), ctx: tt.ctx}
		if code := a.conclude(tt.err); code != tt.code || (stderr.Len() > 0) != tt.said {
			t.Errorf("%s: %d, %q", tt.name, code, stderr.String())
		}
	}
}

// installed is a folder with the scripts' configuration, of providers at url.
func installed(t *testing.T, url string) func(string) string {
	t.Helper()
	dir := t.TempDir()
	if err := install(dir); err != nil {
		t.Fatal(err)
	}
	env := map[string]string{"EMULATOR": url, "USER": "ana", "TOPUPD_CONFIG": filepath.Join(dir, "topupd.yml"), "HOME": dir}
	return func(name string) string { return env[name] }
}

// TestCtrlCInAVisit: half a look at a provider is no finding and no report, and
// begins no experiment.
func TestCtrlCInAVisit(t *testing.T) {
	t.Parallel()
	for name, more := range map[string][]string{
		"looking": nil,
		"buying":  {"--spend-at-most", "500.00 EUR", "--customer", "cus_a", "--yes"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			ctx, end := context.WithCancel(t.Context())
			server := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
				if r.Method != http.MethodGet {
					t.Errorf("%s %s was sent", r.Method, r.URL)
				}
				end() // a person who sees that the provider hangs
				<-r.Context().Done()
			}))
			defer server.Close()
			getenv := installed(t, server.URL)
			report := filepath.Join(t.TempDir(), "report.json")
			var stdout, stderr bytes.Buffer
			code := run(ctx, append([]string{"doctor", "--provider", "hyperline", "--report", report}, more...), getenv, &stdout, &stderr)
			if code != exitInterrupted || stdout.Len()+stderr.Len() > 0 {
				t.Errorf("exit %d, printed %q and %q; want %d and nothing", code, stdout.String(), stderr.String(), exitInterrupted)
			}
			if _, err := os.Stat(report); !errors.Is(err, os.ErrNotExist) {
				t.Errorf("a report was written: %v", err)
			}
		})
	}
}

// TestNothingIsNotEverybody: a flag or an argument that a script filled with
// nothing is refused by every command: resume --customer "" would be about everybody.
func TestNothingIsNotEverybody(t *testing.T) {
	t.Parallel()
	world := httptest.NewServer(newWorld().Handler())
	defer world.Close()
	getenv := installed(t, world.URL)
	for _, args := range [][]string{
		{"migrate"},
		{"pause", "--reason", "prices change"},
	} {
		if code := run(t.Context(), args, getenv, io.Discard, io.Discard); code != exitDone {
			t.Fatalf("%s: exit %d", args[0], code)
		}
	}
	parser, err := kong.New(&cli{}, vocabulary())
	if err != nil {
		t.Fatal(err)
	}
	something := func(v *kong.Value) string {
		if v.Enum != "" {
			return strings.Split(v.Enum, ",")[0]
		}
		return "x"
	}
	texts := func(v *kong.Value) bool {
		return v.Target.Kind() == reflect.String || v.Target.Kind() == reflect.Slice
	}
	tried := 0
	for _, command := range parser.Model.Leaves(true) {
		path := strings.Fields(command.Path())
		// args are the command with all that it requires, and one text empty.
		args := func(empty *kong.Value, with string) []string {
			args := slices.Clone(path)
			for _, flags := range command.AllFlags(true) {
				for _, flag := range flags {
					switch {
					case flag.Value == empty:
						args = append(args, "--"+flag.Name+"="+with)
					case flag.Required:
						args = append(args, "--"+flag.Name+"="+something(flag.Value))
					}
				}
			}
			for _, positional := range command.Positional {
				switch {
				case positional == empty:
					args = append(args, with)
				case positional.Required || positional.Position < len(command.Positional)-1:
					args = append(args, something(positional))
				}
			}
			return args
		}
		refused := func(v *kong.Value, name string) {
			if !texts(v) {
				return
			}
			for _, with := range []string{"", " "} {
				if with != "" && v.Tag.Type == "path" {
					continue // " " is a file's name
				}
				tried++
				var stderr bytes.Buffer
				code := run(t.Context(), args(v, with), getenv, io.Discard, &stderr)
				if code != exitUsage || !strings.Contains(stderr.String(), name) || v.Enum == "" && !strings.Contains(stderr.String(), " is empty: write something there") {
					t.Errorf("%q: exit %d, %q", args(v, with), code, stderr.String())
				}
			}
		}
		for _, flags := range command.AllFlags(true) {
			for _, flag := range flags {
				refused(flag.Value, "--"+flag.Name)
			}
		}
		for _, positional := range command.Positional {
			refused(positional, positional.Name)
		}
	}
	if tried < 100 {
		t.Errorf("%d flags and arguments were tried", tried)
	}
	var stdout bytes.Buffer
	if code := run(t.Context(), []string{"resume", "--reason", "they are in"}, getenv, &stdout, io.Discard); code != exitDone || !strings.Contains(stdout.String(), "lifted the pause of everything") {
		t.Errorf("the pause of everything did not hold to the end: exit %d, %q", code, stdout.String())
	}
}

// TestLongWordsAreCut: what a person typed never hides what is said about it.
func TestLongWordsAreCut(t *testing.T) {
	t.Parallel()
	world := httptest.NewServer(newWorld().Handler())
	defer world.Close()
	getenv, long := installed(t, world.URL), strings.Repeat("🦊", 5000)
	zeros := strings.Repeat("0", 5000)
	if code := run(t.Context(), []string{"migrate"}, getenv, io.Discard, io.Discard); code != exitDone {
		t.Fatalf("migrate: exit %d", code)
	}
	for _, args := range [][]string{
		{"purchases", "--rule", long},
		{"purchases", "--provider", long},
		{"purchases", "--state", long},
		{"purchases", "--since", long},
		{"purchases", "--customer", long},
		{"purchases", "show", long},
		{"purchases", "resolve", long, "charged", "--note", "x"},
		{"targets", "--rule", long},
		{"targets", "--customer", long},
		{"explain", long},
		{"explain", "--provider", long, "x"},
		{"verify", "--provider", long},
		{"verify", "--since", long},
		{"verify", "ack", long, "--note", "x"},
		{"pause", "--customer", long, "--reason", "x"},
		{"pause", "--rule", long, "--reason", "x"},
		{"pause", "--until", long, "--reason", "x"},
		{"resume", long, "--reason", "x"},
		{"doctor", "--provider", long},
		{"doctor", "--adopt", long, "--provider", "hyperline"},
		{"doctor", "--withdraw", long, "--provider", "hyperline", "--reason", "x", "--by", "x"},
		{"doctor", "--spend-at-most", long, "--customer", "x", "--provider", "hyperline", "--by", "x"},
		{"doctor", "--spend-at-most", "0." + zeros + " EUR", "--customer", "x", "--provider", "hyperline", "--by", "x"},
		{"targets", "add", "hyperline", "x", "y", "--threshold", long},
		{"targets", "add", long, "x", "y"},
		{"verify", "--since", "2999-01-01T00:00:00." + zeros + "Z"},
		{"pause", "--until", "2001-01-01T00:00:00." + zeros + "Z", "--reason", "x"},
		{"plan", "--provider", long},
	} {
		var stderr bytes.Buffer
		code := run(t.Context(), args, getenv, io.Discard, &stderr)
		if code == exitDone || stderr.Len() == 0 || utf8.RuneCountInString(stderr.String()) > 1000 {
			t.Errorf("%s %s: exit %d, %d letters: %.200s", args[0], args[1], code, utf8.RuneCountInString(stderr.String()), stderr.String())
		}
	}
}

func TestReport(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name string
		err  error
		code int
		want string
	}{
		{"nothing went wrong", nil, exitDone, ""},
		{"a plain error", errors.New("no luck"), exitFailed, "topupd: no luck\n"},
		{"a mistake of the person", usage("--limit %d: write 0 or more", -1), exitUsage, "topupd: --limit -1: write 0 or more\n"},
		{"a wrapped one keeps its code", fmt.Errorf("planning: %w", usage("no")), exitUsage, "topupd: planning: no\n"},
		{"everything has been said", &exitError{code: exitUsage}, exitUsage, ""},
		{"something needs a person", &exitError{code: exitPerson, err: errors.New("one needs review")}, exitPerson, "topupd: one needs review\n"},
		{"the outer code wins", &exitError{code: exitFailed, err: usage("no")}, exitFailed, "topupd: no\n"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			var stderr bytes.Buffer
			if code := report(&stderr, tt.err); code != tt.code || stderr.String() != tt.want {
				t.Errorf("report = %d, %q; want %d, %q", code, stderr.String(), tt.code, tt.want)
			}
		})
	}
}
