package deploytest

import (
	"log/slog"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

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
	output(t, File("prometheus"), program(t, "promtool", "prometheus"), "test", "rules", "alerts_test.yml")

	// An alert that no test has seen firing may be unable to.
	tests := string(read(t, File("prometheus", "alerts_test.yml")))
	for _, r := range alerts(t) {
		fires := regexp.MustCompile(`alertname: ` + r.Alert + `\n\s+exp_alerts:\n`)
		silent := regexp.MustCompile(`alertname: ` + r.Alert + `\n\s+exp_alerts: \[\]\n`)
		if !fires.MatchString(tests) || !silent.MatchString(tests) {
			t.Errorf("alerts_test.yml does not see %s both firing and silent", r.Alert)
		}
	}
}

func TestAlertsSayWhatToDo(t *testing.T) {
	t.Parallel()
	paging := []string{"TopupCustomerDry", "TopupCustomerAboutToRunDry", "TopupDaemonAbsent", "TopupSweepLate"}
	for _, r := range alerts(t) {
		want := "ticket"
		if slices.Contains(paging, r.Alert) {
			want = "page"
		}
		if got := r.Labels["severity"]; got != want {
			t.Errorf("%s: severity %q, want %q: pages are for customers dry or about to be, and for nobody watching", r.Alert, got, want)
		}
		for _, key := range []string{"summary", "description"} {
			if r.Annotations[key] == "" {
				t.Errorf("%s has no %s", r.Alert, key)
			}
		}
		if got, want := r.Annotations["runbook_url"], "docs/operations.md#"+strings.ToLower(r.Alert); got != want {
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
