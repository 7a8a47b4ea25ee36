package metrics_test

import (
	"bytes"
	"flag"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/common/expfmt"
	"go.uber.org/goleak"

	"topupd/metrics"
	"topupd/topup"
)

var update = flag.Bool("update", false, "write the golden files anew")

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// noon is when every test happens.
var noon = time.Date(2026, 11, 20, 12, 0, 0, 0, time.UTC)

// fixture is a Metrics on a registry of its own, with its log.
type fixture struct {
	*metrics.Metrics
	reg *prometheus.Registry
	log *lines
}

func setup(t testing.TB, o metrics.Options) fixture {
	t.Helper()
	log := &lines{}
	o.Logger = newLogger(log)
	if o.MaxSeries == 0 {
		o.MaxSeries = 2000
	}
	reg := prometheus.NewPedanticRegistry()
	return fixture{metrics.New(reg, o), reg, log}
}

func newLogger(log *lines) *slog.Logger { return slog.New(slog.NewTextHandler(log, nil)) }

// text is the whole registry as a scrape shows it.
func (f fixture) text(t interface {
	Helper()
	Fatalf(format string, args ...any)
},
) string {
	t.Helper()
	families, err := f.reg.Gather()
	if err != nil {
		t.Fatalf("Gather: %v", err)
	}
	var out bytes.Buffer
	for _, family := range families {
		if _, err := expfmt.MetricFamilyToText(&out, family); err != nil {
			t.Fatalf("writing %s: %v", family.GetName(), err)
		}
	}
	return out.String()
}

// series is what a scrape shows of the named metrics, comments left out.
func (f fixture) series(t testing.TB, names ...string) string {
	t.Helper()
	var kept []string
	for line := range strings.Lines(f.text(t)) {
		for _, name := range names {
			if strings.HasPrefix(line, name+"{") || strings.HasPrefix(line, name+" ") {
				kept = append(kept, line)
			}
		}
	}
	return strings.Join(kept, "")
}

// has fails unless a scrape shows the line.
func (f fixture) has(t testing.TB, line string) {
	t.Helper()
	if text := f.text(t); !strings.Contains("\n"+text, "\n"+line+"\n") {
		name, _, _ := strings.Cut(line, "{")
		t.Errorf("the scrape lacks %s; it has\n%s", line, f.series(t, name))
	}
}

// golden compares with a file in testdata, or writes it.
func golden(t testing.TB, name, got string) {
	t.Helper()
	path := filepath.Join("testdata", name)
	if *update {
		if err := os.WriteFile(path, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatalf("%v; run go test ./metrics -update", err)
	}
	if diff := cmp.Diff(string(want), got); diff != "" {
		t.Errorf("%s differs (-want +got); if it should, run go test ./metrics -update:\n%s", path, diff)
	}
}

// lines is a log that tests read.
type lines struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (l *lines) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.buf.Write(p)
}

func (l *lines) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.buf.String()
}

func credits(n topup.Credits) *topup.Credits { return new(n * topup.Credit) }

// target is a target whose balance and threshold are whole credits.
func target(customer string, balance, threshold topup.Credits, reason topup.Reason) metrics.TargetState {
	return metrics.TargetState{
		Target:  topup.Target{Provider: "hyperline://api.hyperline.co/", Customer: topup.CustomerID(customer), Product: "itm_1"},
		Balance: credits(balance), Threshold: credits(threshold), Reason: reason,
	}
}
