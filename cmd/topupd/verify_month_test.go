package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/govalues/decimal"

	"topupd/clients/emulator"
	"topupd/config"
	"topupd/internal/verify"
	"topupd/ledger"
	"topupd/rules"
	"topupd/scheduler"
	"topupd/topup"
)

// month is a month of purchases, in the emulated provider's books and in a
// ledger, and a connection between the two without a rate limit.
type month struct {
	t         testing.TB
	now       time.Time // of every clock
	world     *emulator.Emulator
	url       string // of its server
	customers []string
	store     *ledger.Store
	provider  config.Provider
	lease     topup.Lease
	client    *connection
	n         int
}

var monthEnd = time.Date(2026, 11, 20, 12, 0, 0, 0, time.UTC)

const monthDays = 30

func newMonth(t testing.TB, customers int) *month {
	t.Helper()
	return newMonthIn(t, "sqlite::memory:", customers)
}

// newMonthIn has its ledger in a database.
func newMonthIn(t testing.TB, database string, customers int) *month {
	t.Helper()
	m := &month{t: t, now: monthEnd.AddDate(0, 0, -monthDays)}
	clock := func() time.Time { return m.now }
	same := emulator.Range{Min: decimal.MustNew(500, 0), Max: decimal.MustNew(500, 0)}
	m.world = emulator.New(emulator.Options{
		Seed: 11, Now: clock,
		Hyperline: emulator.HyperlineOptions{Customers: customers, NoUsage: true, StartBalance: same, Reads: -1, Writes: -1},
	})
	server := httptest.NewServer(m.world.Handler())
	t.Cleanup(server.Close)
	for _, c := range m.world.Customers() {
		m.customers = append(m.customers, c.ID)
	}
	base, err := url.Parse(server.URL)
	m.must(err)
	m.provider = config.Provider{
		Name: "hyperline", Type: config.Hyperline, BaseURL: base, Token: config.NewSecret(emulator.DefaultToken),
		RateLimit:       config.RateLimit{Reads: config.Rate{Count: 999_999, Window: time.Second}, Writes: config.Rate{Count: 999_999, Window: time.Second}, SharePercent: 100},
		PurchaseTimeout: 75 * time.Second, Unclear: config.Unclear{Policy: config.Replay, QuietPeriod: 15 * time.Minute},
	}
	m.url = server.URL
	m.store, err = ledger.Open(t.Context(), database, ledger.Options{Now: clock})
	m.must(err)
	t.Cleanup(func() { _ = m.store.Close() })
	_, err = m.store.Migrate(t.Context())
	m.must(err)
	m.must(m.store.Register(t.Context(), []ledger.Provider{{ID: m.provider.Identity(), Name: "hyperline", Type: "hyperline"}}))
	m.client, err = connectTo(m.provider, slog.New(slog.DiscardHandler), nil)
	m.must(err)
	return m
}

func (m *month) must(err error) {
	m.t.Helper()
	if err != nil {
		m.t.Fatal(err)
	}
}

func (m *month) ctx() context.Context { return m.t.Context() }

// fill makes n purchases spread over the month, ten minutes or more before its
// end each, and moves the clocks to the end.
func (m *month) fill(n int) (made []topup.Purchase) {
	m.t.Helper()
	step := (monthDays*24*time.Hour - 2*time.Hour) / time.Duration(n)
	for i := range n {
		m.now = monthEnd.AddDate(0, 0, -monthDays).Add(time.Duration(i) * step)
		made = append(made, m.buy(i))
	}
	m.now = monthEnd
	return made
}

// buy settles one purchase of the small pack on both sides.
func (m *month) buy(i int) topup.Purchase {
	m.t.Helper()
	expires := monthEnd.AddDate(0, 6, 0)
	customer := m.customers[i%len(m.customers)]
	p := m.send(customer, &expires)
	ids, err := m.world.AddPast(emulator.PastPurchase{Customer: customer, At: m.now, Expires: &expires, Key: p.Key})
	m.must(err)
	return m.settle(p, ids[0])
}

// send plans and permits a purchase of the small pack.
func (m *month) send(customer string, expires *time.Time) topup.Purchase {
	m.t.Helper()
	var ok bool
	var err error
	m.lease, ok, err = m.store.Acquire(m.ctx(), m.provider.Identity(), "month", time.Hour)
	if m.must(err); !ok {
		m.t.Fatal("the lease is somebody else's")
	}
	m.n++
	id, key := fmt.Sprintf("0198c0de-0000-7000-8000-%012d", m.n), fmt.Sprintf("0198c0de-0000-4000-8000-%012d", m.n)
	target := topup.Target{Provider: m.provider.Identity(), Customer: topup.CustomerID(customer), Product: emulator.Product}
	standing, err := m.store.Standing(m.ctx(), target)
	m.must(err)
	request := topup.Request{Method: "POST", Path: "/v1/customers/" + customer + "/credits/" + emulator.Product + "/purchase", Body: []byte(`{"credit_count":120}`)}
	p, err := m.store.Plan(m.ctx(), topup.PlanRequest{
		Purchase: topup.Purchase{
			ID: id, Key: key, Target: target, ProviderName: "hyperline", Rule: "api-credits", RuleVersion: "v1", Terms: []byte(`{}`),
			Credits: 120 * topup.Credit, Price: topup.Money{Minor: 200_00, Currency: "EUR"}, PriceID: emulator.SmallPack, ExpiresAt: expires,
			Request: request, Fingerprint: request.Fingerprint(), Policy: topup.PolicyReplay,
			QuietPeriod: 15 * time.Minute, PurchaseTimeout: 75 * time.Second, MaxReadingAge: 2 * time.Minute,
			Declines:      topup.DeclineTerms{Backoff: time.Hour, MaxBackoff: 24 * time.Hour, SuspendAfter: 4},
			BalanceBefore: 40 * topup.Credit, Threshold: 100 * topup.Credit, ReadAt: m.now, RefreshedAt: m.now,
		},
		Lease: m.lease, TokenFingerprint: "token", Facts: topup.Facts{Version: standing.Version, At: m.now, MaxAge: time.Minute},
	})
	m.must(err)
	p, err = m.store.Permit(m.ctx(), topup.PermitRequest{Purchase: p, Token: "token-" + id, Replica: "month", Lease: m.lease, TokenFingerprint: "token"})
	m.must(err)
	return p
}

func (m *month) advance(c topup.Change) topup.Purchase {
	m.t.Helper()
	p, err := m.store.Advance(m.ctx(), c)
	m.must(err)
	return p
}

// settle answers yes with the invoice, and lets books and balance show it.
func (m *month) settle(p topup.Purchase, invoice string) topup.Purchase {
	m.t.Helper()
	p = m.advance(topup.Answered(p, topup.Answer{Verdict: topup.Yes, Reference: invoice, Status: 201, Written: 400}, true, m.now))
	reading := topup.Reading{Target: p.Target, Balance: 160 * topup.Credit, ReadAt: m.now, RefreshedAt: m.now}
	return m.advance(topup.Followed(p, topup.Books{
		Complete: true,
		Topups:   []topup.Topup{{ID: "row", Invoice: invoice, Credits: p.Credits, At: m.now}},
		Invoices: []topup.Invoice{{ID: invoice, Amount: p.Price, Status: "paid", Payment: topup.PaymentPaid, Credit: true}},
	}, &reading, true, m.now))
}

// refuse lets the provider say no, which two complete looks bear out.
func (m *month) refuse(p topup.Purchase) topup.Purchase {
	m.t.Helper()
	p = m.advance(topup.Answered(p, topup.Answer{Verdict: topup.No, Reason: topup.FailedDeclined, Detail: "card declined", Status: 402, Written: 400}, true, m.now))
	for range 2 {
		m.now = m.now.Add(10 * time.Minute)
		c, _ := topup.Looked(p, topup.Books{Complete: true}, nil, m.now)
		p = m.advance(c)
	}
	return p
}

func (m *month) verify() verify.Report {
	m.t.Helper()
	l := &loaded{book: &scheduler.Rulebook{Rules: rules.Set{Rules: []rules.Rule{{Name: "api-credits", Providers: []string{"hyperline"}, Product: emulator.Product}}}}}
	report, err := verifierOf(m.client, l, m.store, func() time.Time { return m.now }).Run(m.ctx(), monthEnd.AddDate(0, 0, -monthDays))
	m.must(err)
	return report
}

// planted is what stands in a finding of the month; texts are left out.
type planted struct {
	Kind              verify.Kind
	Customer          string
	Purchase, Invoice string
}

// plant makes ten kinds of differences, one each, and returns what must be found.
func (m *month) plant(made []topup.Purchase) (want []planted) {
	m.t.Helper()
	spoiled := func(n int, mistake emulator.Mistake, kind verify.Kind) {
		p := made[n]
		m.must(m.world.Spoil(p.Reference, mistake))
		want = append(want, planted{kind, string(p.Target.Customer), p.ID, p.Reference})
	}
	// A second charge within minutes of the first.
	twice := made[len(made)/2]
	ids, err := m.world.AddPast(emulator.PastPurchase{Customer: string(twice.Target.Customer), At: twice.SentAt.Add(3 * time.Minute), Expires: twice.ExpiresAt})
	m.must(err)
	want = append(want, planted{verify.DoubleCharge, string(twice.Target.Customer), twice.ID, ids[0]})
	// Refused here, charged there after all.
	m.now = monthEnd.Add(-time.Hour)
	no := m.send(m.customers[0], nil)
	ids, err = m.world.AddPast(emulator.PastPurchase{Customer: m.customers[0], At: m.now.Add(20 * time.Second)})
	m.must(err)
	m.refuse(no)
	want = append(want, planted{verify.ChargedAfterNo, m.customers[0], no.ID, ids[0]})
	m.now = monthEnd
	spoiled(10, emulator.MistakeNoInvoice, verify.MissingInvoice)
	spoiled(20, emulator.MistakeNoRow, verify.MissingRow)
	spoiled(30, emulator.MistakeTwoRows, verify.CreditedTwice)
	spoiled(40, emulator.MistakeAmount, verify.AmountDiffers)
	spoiled(50, emulator.MistakeExpiry, verify.ExpiryDiffers)
	spoiled(60, emulator.MistakeUnpaid, verify.PaymentDiffers)
	spoiled(70, emulator.MistakeRefunded, verify.Reversed)
	// Somebody else's, far from every purchase of the customer.
	ids, err = m.world.AddPast(emulator.PastPurchase{
		Customer: string(made[80].Target.Customer), Price: emulator.LargePack, At: made[80].SentAt.Add(2 * time.Hour),
	})
	m.must(err)
	return append(want, planted{verify.UnknownInvoice, string(made[80].Target.Customer), "", ids[0]})
}

// innocent adds what must not be found: imported purchases of the customer, a
// bill that was refunded, top-ups of the customer's and of the provider's own,
// purchases that are open or young.
func (m *month) innocent(made []topup.Purchase) {
	m.t.Helper()
	p := made[90]
	at := p.SentAt.Add(5 * time.Minute)
	ids, err := m.world.AddPast(emulator.PastPurchase{Customer: string(p.Target.Customer), At: at, Source: emulator.SourcePortal})
	m.must(err)
	_, err = m.store.Import(m.ctx(), p.Target, []topup.Topup{{ID: "cdt_portal", Invoice: ids[0], Credits: p.Credits, Price: p.Price, Source: "portal", At: at}})
	m.must(err)
	ids, err = m.world.AddPast(emulator.PastPurchase{Customer: string(p.Target.Customer), At: p.SentAt.Add(6 * time.Minute)})
	m.must(err)
	m.must(m.world.Spoil(ids[0], emulator.MistakeRefunded))
	for _, source := range []string{emulator.SourceNative, emulator.SourcePortal} { // topupd had no reason to import them
		_, err = m.world.AddPast(emulator.PastPurchase{Customer: m.customers[3], Price: emulator.LargePack, At: monthEnd.Add(-10 * time.Hour), Source: source})
		m.must(err)
	}
	m.now = monthEnd.Add(-5 * time.Minute)
	m.send(m.customers[1], nil)
	_, err = m.world.AddPast(emulator.PastPurchase{Customer: m.customers[1], At: m.now})
	m.must(err)
	m.buy(2)
	m.now = monthEnd
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
	made := m.fill(n)
	t.Logf("%d purchases of %d customers made in %s", n, len(m.customers), time.Since(began).Round(time.Millisecond))

	if clean := m.verify(); len(clean.Findings) != 0 || !clean.Whole() || clean.Purchases != n {
		t.Fatalf("equal books: %d judged, findings %+v, unread %q", clean.Purchases, clean.Findings, clean.Incomplete)
	}
	want := m.plant(made)
	m.innocent(made)
	began = time.Now()
	report := m.verify()
	took := time.Since(began)
	t.Logf("compared in %s", took.Round(time.Millisecond))

	var got []planted
	for _, f := range report.Findings {
		got = append(got, planted{f.Kind, string(f.Customer), f.Purchase, f.Invoice})
	}
	sorted := func(list []planted) map[planted]int {
		count := map[planted]int{}
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
		known, err := acknowledged(m.ctx(), m.store)
		m.must(err)
		r := compared{from: m.client, report: m.verify()}
		r.divide(known)
		return r
	}
	m.acknowledge(findings[0], "ana")
	r := divided()
	if len(r.known) != 1 || r.known[0].ID != findings[0].ID || r.known[0].action.By != "ana" || len(r.report.Findings) != len(findings)-1 {
		m.t.Fatalf("%d acknowledged, %d others of %d", len(r.known), len(r.report.Findings), len(findings))
	}
	for _, f := range findings[1:] {
		m.acknowledge(f, "ana")
	}
	if r = divided(); len(r.report.Findings) != 0 || verdict([]compared{r}) != nil {
		m.t.Errorf("all acknowledged, and it says %v of %+v", verdict([]compared{r}), r.report.Findings)
	}
	twice := made[len(made)/2]
	ids, err := m.world.AddPast(emulator.PastPurchase{Customer: string(twice.Target.Customer), At: twice.SentAt.Add(4 * time.Minute), Expires: twice.ExpiresAt})
	m.must(err)
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
	code = run(m.ctx(), args, func(name string) string { return env[name] }, &out, &problems)
	return out.String(), problems.String(), code
}

// The whole of it, by the program itself: a month is listed without a gap, each
// planted difference is found, one is acknowledged, and the next one is found.
func TestAMonthIsListedWholeAndADifferenceOfItAcknowledged(t *testing.T) {
	t.Parallel()
	folder := t.TempDir()
	size := monthSize(t)
	m := newMonthIn(t, "sqlite:"+filepath.Join(folder, "topupd.db"), max(20, size/20))
	made := m.fill(size)
	m.must(os.WriteFile(filepath.Join(folder, "topupd.yml"), fmt.Appendf(nil, `mode: active
database_url: sqlite:%s
providers:
  - {name: hyperline, type: hyperline, base_url: %s, token: %s, rate_limit: {reads: 999999/1s, writes: 999999/1s, share: 100%%}}
limits: {global: {day: {spend: {EUR: 20000.00}}}}
rule_files: [rules.yml]
`, filepath.Join(folder, "topupd.db"), m.url, emulator.DefaultToken), 0o600))
	m.must(os.WriteFile(filepath.Join(folder, "rules.yml"), fmt.Appendf(nil, `rules:
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
	want := m.plant(made)
	since := []string{"--since", monthEnd.AddDate(0, 0, -monthDays).Format(time.DateOnly)}
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
	if last := rest[len(rest)-1]; len(rest) != len(first) || code != exitPerson || last.ID != double.ID || given(last.AcknowledgedBy) != "ana" || given(last.AcknowledgedNote) != "ticket 4711" ||
		rest[0].AcknowledgedBy != nil {
		t.Errorf("one acknowledged: exit %d, %d listed, last %+v", code, len(rest), last)
	}
	if one, code := found("--id", double.ID); len(one) != 1 || code != exitDone {
		t.Errorf("--id of an acknowledged one: exit %d, %d listed", code, len(one))
	}
	twice := made[len(made)/2]
	next, err := m.world.AddPast(emulator.PastPurchase{Customer: string(twice.Target.Customer), At: twice.SentAt.Add(4 * time.Minute), Expires: twice.ExpiresAt})
	m.must(err)
	news, code := found()
	news = slices.DeleteFunc(news, func(r findingRecord) bool { return slices.Contains(ids(first), r.ID) })
	if len(news) != 1 || code != exitPerson || news[0].Kind != string(verify.DoubleCharge) || given(news[0].Invoice) != next[0] {
		t.Errorf("the next double charge, exit %d: %+v", code, news)
	}
}

func BenchmarkVerifyMonth(b *testing.B) {
	m := newMonth(b, max(20, monthSize(b)/20))
	m.fill(monthSize(b))
	b.ReportAllocs()
	for b.Loop() {
		if report := m.verify(); len(report.Findings) != 0 || !report.Whole() {
			b.Fatalf("%+v", report)
		}
	}
	b.ReportMetric(float64(monthSize(b)), "purchases")
}
