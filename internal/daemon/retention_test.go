package daemon

import (
	"bytes"
	"fmt"
	"log/slog"
	"strings"
	"testing"
	"time"

	"topupd/config"
	"topupd/internal/verify/verifytest"
	"topupd/ledger"
	"topupd/topup"
)

// The daemon deletes what its configuration lets go, all of it, and says so once.
func TestTheDaemonForgetsWhatRetentionLetsGo(t *testing.T) {
	t.Parallel()
	const day = 24 * time.Hour
	now := verifytest.MonthEnd
	store, err := ledger.Open(t.Context(), "sqlite::memory:", ledger.Options{Now: func() time.Time { return now }})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = store.Close() })
	if _, err := store.Migrate(t.Context()); err != nil {
		t.Fatal(err)
	}
	const provider = topup.ProviderID("hyperline://api.hyperline.co/")
	if err := store.Register(t.Context(), []ledger.Provider{{ID: provider, Name: "hyperline", Type: "hyperline"}}); err != nil {
		t.Fatal(err)
	}
	var evaluations []topup.Evaluation
	for i := range 500 { // several batches
		e := topup.Evaluation{Target: topup.Target{Provider: provider, Customer: topup.CustomerID(fmt.Sprint("cus_", i)), Product: "itm"}, Reason: topup.Enough}
		for _, ago := range []time.Duration{31 * day, 29 * day} {
			e.At = now.Add(-ago)
			evaluations = append(evaluations, e)
		}
	}
	if err := store.RecordEvaluations(t.Context(), evaluations); err != nil {
		t.Fatal(err)
	}
	var log bytes.Buffer
	d := &Daemon{
		options: Options{Log: slog.New(slog.NewTextHandler(&log, nil))}, store: store,
		setup: &Setup{Config: &config.Config{Retention: config.Retention{Evaluations: 30 * day, Evidence: 730 * day}}},
	}
	for range 2 {
		d.forgetNow(t.Context())
	}
	left, err := store.Evaluations(t.Context(), ledger.Filter{})
	if err != nil || len(left) != 500 {
		t.Errorf("%d evaluations are left, %v; want each customer's younger one", len(left), err)
	}
	if text := log.String(); strings.Count(text, "msg=retention") != 1 || !strings.Contains(text, "evaluations=500 evidence=0") {
		t.Errorf("the log says %q, want one line with how many", text)
	}
	d.forget(t.Context()) // without a lease
	if strings.Count(log.String(), "msg=retention") != 1 {
		t.Error("it worked without a lease")
	}
}
