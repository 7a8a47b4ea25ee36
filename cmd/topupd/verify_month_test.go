package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"topupd/clients/emulator"
	"topupd/internal/daemon"
	"topupd/internal/screen"
	"topupd/internal/verify"
	"topupd/internal/verify/verifytest"
	"topupd/rules"
	"topupd/scheduler"
	"topupd/topup"
)

// month is one with the connection that it is compared through.
type month struct {
	*verifytest.Month
	t      testing.TB
	client *daemon.Connection
}

func newMonth(t testing.TB, customers int) *month {
	return newMonthIn(t, "sqlite::memory:", customers)
}

func newMonthIn(t testing.TB, database string, customers int) *month {
	t.Helper()
	m := &month{Month: verifytest.NewMonthIn(t, database, customers), t: t}
	var err error
	m.client, err = daemon.Connect(m.Provider, slog.New(slog.DiscardHandler), nil)
	m.Must(err)
	return m
}

func (m *month) verify() verify.Report {
	m.t.Helper()
	book := &scheduler.Rulebook{Rules: rules.Set{Rules: []rules.Rule{{Name: "api-credits", Providers: []string{"hyperline"}, Product: emulator.Product}}}}
	report, err := daemon.NewVerifier(m.client, book, m.Store, func() time.Time { return m.Now }).Run(m.Ctx(), verifytest.MonthEnd.AddDate(0, 0, -verifytest.MonthDays))
	m.Must(err)
	return report
}

// monthSize is how many purchases the month has; TOPUPD_VERIFY_MONTH=10000 for
// the figures of docs/benchmarks.md.
func monthSize(t testing.TB) int {
	text := os.Getenv("TOPUPD_VERIFY_MONTH")
	if text == "" {
		return monthDefault
	}
	n, err := strconv.Atoi(text)
	if err != nil || n < 100 {
		t.Fatalf("TOPUPD_VERIFY_MONTH=%s: write 100 or more", text)
	}
	return n
}

func TestVerifyFindsTenPlantedDifferencesInAMonthAndNothingElse(t *testing.T) {
	t.Parallel()
	n := monthSize(t)
	m := newMonth(t, max(20, n/20))
	began := time.Now()
	made := m.Fill(n)
	t.Logf("%d purchases of %d customers made in %s", n, len(m.Customers), time.Since(began).Round(time.Millisecond))

	if clean := m.verify(); len(clean.Findings) != 0 || !clean.Whole() || clean.Purchases != n {
		t.Fatalf("equal books: %d judged, findings %+v, unread %q", clean.Purchases, clean.Findings, clean.Incomplete)
	}
	want := m.Plant(made)
	m.Innocent(made)
	began = time.Now()
	report := m.verify()
	took := time.Since(began)
	t.Logf("compared in %s", took.Round(time.Millisecond))

	var got []verifytest.Planted
	for _, f := range report.Findings {
		got = append(got, verifytest.Planted{Kind: f.Kind, Customer: string(f.Customer), Purchase: f.Purchase, Invoice: f.Invoice})
	}
	sorted := func(list []verifytest.Planted) map[verifytest.Planted]int {
		count := map[verifytest.Planted]int{}
		for _, p := range list {
			count[p]++
		}
		return count
	}
	if diff := cmp.Diff(sorted(want), sorted(got)); diff != "" {
		t.Errorf("findings (-want +got):\n%s\n%+v", diff, report.Findings)
	}
	if !report.Whole() || report.Open != 1 || report.Young != 1 || report.Imported != 1 || report.Reversals != 1 || report.Native != 2 {
		t.Errorf("open %d, young %d, imported %d, reversals %d, native %d, unread %q; want one each, two native ones, and all read",
			report.Open, report.Young, report.Imported, report.Reversals, report.Native, report.Incomplete)
	}
	if took > time.Minute {
		t.Errorf("it took %s, want less than a minute", took)
	}
	m.livesWithOne(made, report.Findings)
}

// livesWithOne acknowledges one of the differences: it is listed apart from the
// others, and the next double charge, of the same purchase, is found.
func (m *month) livesWithOne(made []topup.Purchase, findings []verify.Finding) {
	m.t.Helper()
	divided := func() compared {
		known, err := daemon.Acknowledged(m.Ctx(), m.Store)
		m.Must(err)
		r := compared{from: m.client, report: m.verify()}
		r.divide(known)
		return r
	}
	m.Acknowledge(findings[0], "ana")
	r := divided()
	if len(r.known) != 1 || r.known[0].ID != findings[0].ID || r.known[0].action.By != "ana" || len(r.report.Findings) != len(findings)-1 {
		m.t.Fatalf("%d acknowledged, %d others of %d", len(r.known), len(r.report.Findings), len(findings))
	}
	for _, f := range findings[1:] {
		m.Acknowledge(f, "ana")
	}
	if r = divided(); len(r.report.Findings) != 0 || verdict([]compared{r}) != nil {
		m.t.Errorf("all acknowledged, and it says %v of %+v", verdict([]compared{r}), r.report.Findings)
	}
	twice := made[len(made)/2]
	ids, err := m.World.AddPast(emulator.PastPurchase{Customer: string(twice.Target.Customer), At: twice.SentAt.Add(4 * time.Minute), Expires: twice.ExpiresAt})
	m.Must(err)
	r = divided()
	if len(r.report.Findings) != 1 || r.report.Findings[0].Kind != verify.DoubleCharge || r.report.Findings[0].Invoice != ids[0] || verdict([]compared{r}) == nil {
		m.t.Errorf("the next double charge: %+v, %v", r.report.Findings, verdict([]compared{r}))
	}
}

// program runs topupd as a person does, in a folder with the configuration of the
// month, and returns what it wrote and its exit code.
func (m *month) program(folder string, args ...string) (stdout, stderr string, code int) {
	m.t.Helper()
	env := map[string]string{"TOPUPD_CONFIG": filepath.Join(folder, "topupd.yml"), "USER": "ana"}
	var out, problems bytes.Buffer
	code = run(m.Ctx(), args, func(name string) string { return env[name] }, &out, &problems)
	return out.String(), problems.String(), code
}

// The whole of it, by the program itself: a month is listed without a gap, each
// verifytest.Planted difference is found, one is acknowledged, and the next one is found.
func TestAMonthIsListedWholeAndADifferenceOfItAcknowledged(t *testing.T) {
	t.Parallel()
	folder := t.TempDir()
	size := monthSize(t)
	m := newMonthIn(t, "sqlite:"+filepath.Join(folder, "topupd.db"), max(20, size/20))
	made := m.Fill(size)
	m.Must(os.WriteFile(filepath.Join(folder, "topupd.yml"), fmt.Appendf(nil, `mode: active
database_url: sqlite:%s
providers:
  - {name: hyperline, type: hyperline, base_url: %s, token: %s, rate_limit: {reads: 999999/1s, writes: 999999/1s, share: 100%%}}
limits: {global: {day: {spend: {EUR: 20000.00}}}}
rule_files: [rules.yml]
`, filepath.Join(folder, "topupd.db"), m.URL, emulator.DefaultToken), 0o600))
	m.Must(os.WriteFile(filepath.Join(folder, "rules.yml"), fmt.Appendf(nil, `rules:
  - name: api-credits
    provider: hyperline
    product: %s
    match: {all: true}
    buy: {bundles: [{price_id: %s, credits: 120, price_excluding_tax: 200.00 EUR}]}
`, emulator.Product, emulator.SmallPack), 0o600))

	out, problems, code := m.program(folder, "purchases", "-o", "csv")
	if lines := strings.Count(out, "\n"); lines != size+1 || code != exitDone {
		t.Fatalf("purchases -o csv: %d lines of %d purchases and a header, exit %d\n%s", lines, size, code, problems)
	}
	want := m.Plant(made)
	since := []string{"--since", verifytest.MonthEnd.AddDate(0, 0, -verifytest.MonthDays).Format(time.DateOnly)}
	found := func(more ...string) (records []findingRecord, code int) {
		out, problems, code := m.program(folder, append(append([]string{"verify", "-o", "json"}, since...), more...)...)
		if err := json.Unmarshal([]byte(out), &records); err != nil {
			t.Fatalf("verify: %v, exit %d\n%s%s", err, code, out, problems)
		}
		return records, code
	}
	ids := func(records []findingRecord) (list []string) {
		for _, r := range records {
			list = append(list, r.ID)
		}
		return list
	}
	first, code := found()
	again, _ := found()
	if len(first) != len(want) || code != exitPerson || !slices.Equal(ids(first), ids(again)) {
		t.Fatalf("verify: exit %d, %d differences of %d; again %q, at first %q", code, len(first), len(want), ids(again), ids(first))
	}
	double := first[0]
	if double.Kind != string(verify.DoubleCharge) {
		t.Fatalf("the first is a %s", double.Kind)
	}
	if out, problems, code := m.program(folder, append([]string{"verify", "ack", double.ID, "--note", "ticket 4711"}, since...)...); code != exitDone {
		t.Fatalf("verify ack: exit %d\n%s%s", code, out, problems)
	}
	rest, code := found()
	if last := rest[len(rest)-1]; len(rest) != len(first) || code != exitPerson || last.ID != double.ID || screen.Given(last.AcknowledgedBy) != "ana" || screen.Given(last.AcknowledgedNote) != "ticket 4711" ||
		rest[0].AcknowledgedBy != nil {
		t.Errorf("one acknowledged: exit %d, %d listed, last %+v", code, len(rest), last)
	}
	if one, code := found("--id", double.ID); len(one) != 1 || code != exitDone {
		t.Errorf("--id of an acknowledged one: exit %d, %d listed", code, len(one))
	}
	twice := made[len(made)/2]
	next, err := m.World.AddPast(emulator.PastPurchase{Customer: string(twice.Target.Customer), At: twice.SentAt.Add(4 * time.Minute), Expires: twice.ExpiresAt})
	m.Must(err)
	news, code := found()
	news = slices.DeleteFunc(news, func(r findingRecord) bool { return slices.Contains(ids(first), r.ID) })
	if len(news) != 1 || code != exitPerson || news[0].Kind != string(verify.DoubleCharge) || screen.Given(news[0].Invoice) != next[0] {
		t.Errorf("the next double charge, exit %d: %+v", code, news)
	}
}

func BenchmarkVerifyMonth(b *testing.B) {
	m := newMonth(b, max(20, monthSize(b)/20))
	m.Fill(monthSize(b))
	b.ReportAllocs()
	for b.Loop() {
		if report := m.verify(); len(report.Findings) != 0 || !report.Whole() {
			b.Fatalf("%+v", report)
		}
	}
	b.ReportMetric(float64(monthSize(b)), "purchases")
}
