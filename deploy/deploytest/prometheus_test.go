package deploytest

import (
	"bytes"
	"errors"
	"fmt"
	"log/slog"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/common/model"
	"github.com/prometheus/prometheus/model/rulefmt"
	"github.com/prometheus/prometheus/promql/parser"
)

// program returns where a program is; a machine without it fails the test.
func program(t *testing.T, name, pkg string) string {
	t.Helper()
	path, err := exec.LookPath(name)
	if err != nil {
		t.Fatalf("%s is missing: run make test, which installs it (Debian: apt-get install --no-install-recommends %s)", name, pkg)
	}
	return path
}

// output runs a program in a folder and returns all it says; it fails the test
// when the program does.
func output(t *testing.T, dir, name string, args ...string) string {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), name, args...)
	cmd.Dir = dir
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("%s %s: %v\n%s", filepath.Base(name), strings.Join(args, " "), err, out)
	}
	return string(out)
}

func TestAlertRulesAreSound(t *testing.T) {
	t.Parallel()
	promtool := program(t, "promtool", "prometheus")
	output(t, File("prometheus"), promtool, "check", "rules", "--lint=all", "--lint-fatal", "alerts.yml")

	// promtool may be years old; the current parser must agree.
	p := parser.NewParser(parser.Options{})
	if _, errs := rulefmt.ParseFile(File("prometheus", "alerts.yml"), false, model.UTF8Validation, p, slog.New(slog.DiscardHandler)); len(errs) > 0 {
		t.Errorf("alerts.yml: %v", errs)
	}
}

func TestAlertsFireWhenTheyShould(t *testing.T) {
	t.Parallel()
	output(t, File("prometheus"), program(t, "promtool", "prometheus"), "test", "rules", "alerts_test.yml", "alerts_long_test.yml")

	// An alert that no test has seen firing may be unable to.
	tests := string(read(t, File("prometheus", "alerts_test.yml"))) + string(read(t, File("prometheus", "alerts_long_test.yml")))
	for _, r := range alerts(t) {
		fires := regexp.MustCompile(`alertname: ` + r.Alert + `\n\s+exp_alerts:\n`)
		silent := regexp.MustCompile(`alertname: ` + r.Alert + `\n\s+exp_alerts: \[\]\n`)
		if !fires.MatchString(tests) || !silent.MatchString(tests) {
			t.Errorf("alerts_test.yml does not see %s both firing and silent", r.Alert)
		}
	}
}

// docs is the base of every runbook_url: DOCS of the Makefile.
func docs(t *testing.T) string {
	t.Helper()
	set := regexp.MustCompile(`(?m)^DOCS \?= (\S+)$`).FindSubmatch(read(t, File("..", "Makefile")))
	if set == nil {
		t.Fatal("the Makefile sets no DOCS")
	}
	return string(set[1])
}

// A notification is read on a phone: a link that is not absolute leads nowhere.
func TestTheBaseOfRunbooksIsSetOnce(t *testing.T) {
	t.Parallel()
	if base, err := url.Parse(docs(t)); err != nil || base.Scheme != "https" || base.Host == "" {
		t.Errorf("DOCS of the Makefile is %q, %v; want an absolute address", docs(t), err)
	}
	folder := t.TempDir()
	copied := func(name string) string { return filepath.Join(folder, "deploy", "prometheus", name) }
	err := os.MkdirAll(copied(""), 0o700)
	files := []string{"alerts.yml", "alerts_test.yml"}
	for _, name := range files {
		err = errors.Join(err, os.WriteFile(copied(name), read(t, File("prometheus", name)), 0o600))
	}
	makefile, bad := filepath.Abs(File("..", "Makefile"))
	if err = errors.Join(err, bad); err != nil {
		t.Fatal(err)
	}
	const other = "https://wiki.test/on-call"
	output(t, folder, program(t, "make", "make"), "-f", makefile, "runbooks", "DOCS="+other)
	for _, name := range files {
		want := bytes.ReplaceAll(read(t, File("prometheus", name)), []byte(docs(t)+"/operations.md#"), []byte(other+"/operations.md#"))
		if got := read(t, copied(name)); !bytes.Equal(got, want) || !bytes.Contains(got, []byte(other)) {
			t.Errorf("make runbooks does not change every runbook_url of %s, and nothing else", name)
		}
	}
}

func TestAlertsSayWhatToDo(t *testing.T) {
	t.Parallel()
	paging := []string{"TopupCustomerOutOfCredits", "TopupCustomerAboutToRunOut", "TopupDaemonAbsent", "TopupPollLate", "TopupBooksDiffer", "TopupLedgerUnfit", "TopupBalancesHeld", "TopupNoLeaseHolder", "TopupTokenRefused"}
	for _, r := range alerts(t) {
		want := "ticket"
		if slices.Contains(paging, r.Alert) {
			want = "page"
		}
		if got := r.Labels["severity"]; got != want {
			t.Errorf("%s: severity %q, want %q: pages are for customers dry or about to be, for nobody watching or balances that say nothing, for a ledger that nothing may be bought on, and for books that differ", r.Alert, got, want)
		}
		for _, key := range []string{"summary", "description"} {
			if r.Annotations[key] == "" {
				t.Errorf("%s has no %s", r.Alert, key)
			}
		}
		if got, want := r.Annotations["runbook_url"], docs(t)+"/operations.md#"+strings.ToLower(r.Alert); got != want {
			t.Errorf("%s: runbook_url %q, want %q", r.Alert, got, want)
		}
	}
}

func TestEveryAlertHasASectionInTheHandbook(t *testing.T) {
	t.Parallel()
	handbook := string(read(t, File("..", "docs", "operations.md")))
	for _, r := range alerts(t) {
		heading := regexp.MustCompile("(?m)^#{2,4} `?" + r.Alert + "`?$")
		if !heading.MatchString(handbook) {
			t.Errorf("docs/operations.md has no heading %q: its runbook_url leads nowhere", r.Alert)
		}
	}
}

func TestExamplesOfPrometheusAndAlertmanagerAreSound(t *testing.T) {
	t.Parallel()
	output(t, File("prometheus"), program(t, "promtool", "prometheus"), "check", "config", "prometheus.yml")
	output(t, File("prometheus"), program(t, "amtool", "prometheus-alertmanager"), "check-config", "alertmanager.yml")
}

// mayBeEmpty are the queries of the board that have nothing to show while all is
// well, with the reason.
var mayBeEmpty = map[string]string{
	"panel Ledger, query A":             "errors of the database: there are none",
	"panel Replicas and rules, query B": "a broken reload: there is none",
}

// TestExpressionsAreAnsweredByARealPrometheus scrapes a daemon that buys, with
// every alert loaded. Every expression must be evaluated, and everything on the
// board must have something to show.
func TestExpressionsAreAnsweredByARealPrometheus(t *testing.T) {
	t.Parallel()
	p := scrapeDemo(t)
	p.reload()                 // what the board's annotation marks
	shown := map[string]bool{} // at least once: some things come and go
	eventually(t, 60*time.Second, "everything on the board to show something", func() string {
		var left []string
		for _, e := range Expressions(t) {
			n, problem := p.series(e.Query)
			if problem != "" {
				t.Fatalf("%s: %s\n%s", e.Where, problem, e.Query)
			}
			shown[e.Where] = shown[e.Where] || n > 0
			if !shown[e.Where] && !e.Alert && mayBeEmpty[e.Where] == "" {
				left = append(left, e.Where+": "+e.Query)
			}
		}
		return strings.Join(left, "\n")
	})
	checkRules(t, p)
}

// checkRules waits until every alert was evaluated, and fails when one could not
// be.
func checkRules(t *testing.T, p scraped) {
	t.Helper()
	want := len(alerts(t))
	eventually(t, 30*time.Second, "every alert to be evaluated", func() string {
		var data struct {
			Groups []struct {
				Rules []struct{ Name, Health, LastError string }
			}
		}
		if problem := p.ask("/api/v1/rules", nil, &data); problem != "" {
			return problem
		}
		well := 0
		for _, g := range data.Groups {
			for _, r := range g.Rules {
				if r.Health == "err" {
					t.Fatalf("alert %s cannot be evaluated: %s", r.Name, r.LastError)
				}
				if r.Health == "ok" {
					well++
				}
			}
		}
		if well != want {
			return fmt.Sprintf("%d of %d alerts were evaluated", well, want)
		}
		return ""
	})
}
