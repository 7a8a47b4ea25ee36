package ledger_test

import (
	"context"
	"fmt"
	"os"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"topupd/ledger"
	"topupd/ledger/ledgertest"
	"topupd/topup"
)

// largeTables grow with the customers or with the years. A statement that reads
// one of them from end to end gets slower until it passes its time limit, or
// holds a lock for longer than a lease lives.
var largeTables = []string{"purchase", "target", "permit", "evidence", "external_topup", "snapshot", "evaluation", "fall"}

// mostRows bounds what one step of a plan reads: the largest page.
const mostRows = 2500

// everyTarget is the one question that reads all rows of a provider at once: every
// ten minutes each is asked whether a clock has left something of it in the future.
var everyTarget = regexp.MustCompile(` FROM target WHERE provider = (\?|\$1)\s+AND \(ended_at > [^)]*\)$`)

// largeRows is how many rows the tables get. TOPUPD_TEST_ROWS=1000000 is a long
// life; below 10,000 the server rightly reads whole tables.
func largeRows(t *testing.T) int {
	t.Helper()
	text := os.Getenv("TOPUPD_TEST_ROWS")
	if text == "" {
		return 20_000
	}
	n, err := strconv.Atoi(text)
	if err != nil {
		t.Fatal(err)
	}
	return n
}

// No operation of the daemon, and no question that people ask day by day, reads
// a large table from end to end.
func TestNothingScansALargeTable(t *testing.T) {
	t.Parallel()
	for _, engine := range engines {
		t.Run(engine.name, func(t *testing.T) {
			t.Parallel()
			url := engine.fresh(t)
			open(t, url, ledger.Options{})
			large := ledgertest.Fill(t, url, largeRows(t), time.Now())
			var mu sync.Mutex
			operation := ""
			s := ledger.Explain(t, url, largeTables, mostRows, func(query, complaint string) {
				mu.Lock()
				defer mu.Unlock()
				if !everyTarget.MatchString(query) {
					t.Errorf("%s: %s\n\t%s", operation, complaint, strings.Join(strings.Fields(query), " "))
				}
			})
			o := operating(t, s, large)
			for _, step := range o.steps() {
				mu.Lock()
				operation = step.name
				mu.Unlock()
				begun := time.Now()
				if err := step.run(t.Context()); err != nil {
					t.Errorf("%s: %v", step.name, err)
				}
				t.Logf("%-28s %s", step.name, time.Since(begun).Round(time.Millisecond))
			}
			var rows int
			must(t, rawSQL(t, url).QueryRowContext(t.Context(), `SELECT count(*) FROM purchase`).Scan(&rows))
			all, err := s.Purchases(t.Context(), ledger.Filter{})
			ids := map[string]bool{}
			for _, p := range all {
				ids[p.ID] = true
			}
			if err != nil || rows == 0 || len(all) != rows || len(ids) != rows || !slices.IsSortedFunc(all, func(a, b topup.Purchase) int { return b.PlannedAt.Compare(a.PlannedAt) }) {
				t.Errorf("all purchases: %d, %d of them different, %v; want %d, newest first", len(all), len(ids), err, rows)
			}
		})
	}
}

// Whatever the number of targets, a process that takes over remembers all of
// them, and targets lists all.
func TestAllTargetsAreRemembered(t *testing.T) {
	t.Parallel()
	const rows = 100_000/ledgertest.Slowdown + 1
	for _, engine := range engines {
		t.Run(engine.name, func(t *testing.T) {
			t.Parallel()
			url := engine.fresh(t)
			s := open(t, url, ledger.Options{})
			takeLease(t, s)
			if _, err := rawSQL(t, url).ExecContext(t.Context(), fmt.Sprintf(`INSERT INTO snapshot (provider, customer, product, provider_name, customer_name, product_name,
					at, since_at, reason, text, rule, rule_version, purchase, detail, evaluations)
				WITH RECURSIVE num(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM num WHERE i < %d)
				SELECT '%s', 'cus_' || i, 'itm', '', '', '', 1, 1, 'enough', '', '', '', '', '', 1 FROM num`, rows, provider)); err != nil {
				t.Fatal(err)
			}
			known, err := s.Snapshot(t.Context(), provider)
			if err != nil {
				t.Fatal(err)
			}
			seen := map[topup.Target]bool{}
			for _, e := range known {
				seen[e.Target] = true
			}
			listed, err := s.Targets(t.Context(), ledger.Filter{})
			if err != nil || len(known) != rows || len(seen) != rows || len(listed) != rows {
				t.Errorf("remembered %d, %d of them different, listed %d, %v; want %d", len(known), len(seen), len(listed), err, rows)
			}
		})
	}
}

// operator does everything that a ledger is asked for once.
type operator struct {
	t        *testing.T
	s        *ledger.Store
	large    ledgertest.Large
	provider topup.ProviderID
	lease    topup.Lease
	p        topup.Purchase
	now      time.Time
}

type operation struct {
	name string
	run  func(context.Context) error
}

func operating(t *testing.T, s *ledger.Store, large ledgertest.Large) *operator {
	t.Helper()
	o := &operator{t: t, s: s, large: large, provider: topup.ProviderID(large.Provider)}
	var ok bool
	var err error
	if o.lease, ok, err = s.Acquire(t.Context(), o.provider, "test", time.Hour); err != nil || !ok {
		t.Fatal(ok, err)
	}
	if o.now, err = s.Now(t.Context()); err != nil {
		t.Fatal(err)
	}
	return o
}

// target is one in the middle of the tables.
func (o *operator) target() topup.Target {
	return topup.Target{Provider: o.provider, Customer: topup.CustomerID(ledgertest.LargeCustomer(o.large.Rows / 2)), Product: ledgertest.LargeProduct}
}

func (o *operator) steps() []operation {
	return slices.Concat(o.buying(), o.reading(), o.imports(), o.comparing(), o.people())
}

func (o *operator) buying() []operation {
	key, token := "key-for-the-plan-of-a-large-one", "token-for-the-plan-of-a-large-one"
	return []operation{
		{"renew", func(ctx context.Context) error { _, err := o.s.Renew(ctx, o.lease, time.Hour); return err }},
		{"standing", func(ctx context.Context) error { _, err := o.s.Standing(ctx, o.target()); return err }},
		{"standings", func(ctx context.Context) error { _, _, err := o.s.Standings(ctx, o.provider); return err }},
		{"over_cap", func(ctx context.Context) error {
			_, err := o.s.OverCap(ctx, o.target(), "rule-1", topup.Money{Minor: 1, Currency: "EUR"},
				[]topup.Cap{{Scope: topup.CapCustomer, Period: topup.CapDay, Limit: 5}})
			return err
		}},
		{"plan", func(ctx context.Context) (err error) {
			request := topup.Request{Method: "POST", Path: "/v1/purchase", Body: []byte(`{}`)}
			o.p, err = o.s.Plan(ctx, topup.PlanRequest{
				Purchase: topup.Purchase{
					ID: "purchase-of-the-large-one", Target: o.target(), Rule: "rule-1", Credits: topup.Credit,
					Price: topup.Money{Minor: 200_00, Currency: "EUR"}, Key: key, Request: request, Fingerprint: request.Fingerprint(),
					Policy: topup.PolicyRetry, QuietPeriod: time.Minute, PurchaseTimeout: time.Minute,
				},
				Lease: o.lease, Facts: topup.Facts{Version: 3, At: o.now, MaxAge: time.Hour},
				Evidence: []topup.Evidence{{Kind: topup.EvidencePlanned}},
			})
			return err
		}},
		{"permit", func(ctx context.Context) (err error) {
			o.p, err = o.s.Permit(ctx, topup.PermitRequest{Purchase: o.p, Token: token, Replica: "test", Lease: o.lease})
			return err
		}},
		{"answer", func(ctx context.Context) (err error) {
			yes := topup.Answer{Verdict: topup.Accepted, Reference: "inv_new", Written: 1}
			o.p, err = o.s.Answer(ctx, topup.AnswerRequest{
				Purchase: o.p, Permit: token, Answer: yes,
				Change: func(row topup.Purchase, now time.Time) topup.Change { return topup.Answered(row, yes, true, now) },
			})
			return err
		}},
		{"advance to the end", func(ctx context.Context) error {
			next := o.p
			next.State, next.Payment, next.RowAt, next.NextLookAt = topup.Credited, topup.PaymentPaid, &o.now, nil
			_, err := o.s.Advance(ctx, topup.Change{Next: next, External: []topup.Topup{{ID: "row_new1", Invoice: "bill_new1", At: o.now}}})
			return err
		}},
		{"append", func(ctx context.Context) error {
			return o.s.Append(ctx, o.p.ID, topup.Evidence{Kind: topup.EvidenceLook})
		}},
		{"take_finished", func(ctx context.Context) error { _, err := o.s.TakeFinished(ctx, o.provider, 100); return err }},
		{"note_payment_methods", func(ctx context.Context) error { _, err := o.s.NotePaymentMethods(ctx, o.target(), "f"); return err }},
		{"hold_implausible", func(ctx context.Context) error {
			_, err := o.s.NoteFalls(ctx, topup.Falls{Provider: o.provider, Watched: 100, List: []topup.Fall{{Target: o.target(), ReadAt: o.now}}})
			return err
		}},
		{"hold_implausible, of accounts", func(ctx context.Context) error {
			account := topup.ProviderID(o.large.Elsewhere)
			_, err := o.s.NoteFalls(ctx, topup.Falls{Provider: account, Watched: 1, Account: true, List: []topup.Fall{{
				Target: topup.Target{Provider: account, Customer: "account", Product: "balance"}, ReadAt: o.now,
			}}})
			return err
		}},
		{"lift_doubts", func(ctx context.Context) error {
			_, err := o.s.LiftDoubts(ctx, []topup.Target{o.target()}, "test")
			return err
		}},
		{"end_falls", func(ctx context.Context) error { return o.s.EndFalls(ctx, []topup.Target{o.target()}) }},
		{"expiring", func(ctx context.Context) error {
			_, err := o.s.Expiring(ctx, o.provider, o.now.Add(-time.Hour), o.now.Add(time.Hour))
			return err
		}},
		{"record_evaluations", func(ctx context.Context) error {
			return o.s.RecordEvaluations(ctx, []topup.Evaluation{{Target: o.target(), At: o.now, Reason: topup.Enough}})
		}},
	}
}

func (o *operator) reading() []operation {
	newest := func() (topup.Purchase, error) {
		return o.s.Purchase(o.t.Context(), ledgertest.LargePurchase(o.large.Rows))
	}
	return []operation{
		{"snapshot", func(ctx context.Context) error {
			known, err := o.s.Snapshot(ctx, o.provider)
			if err == nil && len(known) != o.large.Rows {
				err = fmt.Errorf("%d targets of %d", len(known), o.large.Rows)
			}
			return err
		}},
		{"rewind", func(ctx context.Context) error { return o.s.Rewind(ctx, o.provider) }},
		{"due", func(ctx context.Context) error {
			_, due, err := o.s.Due(ctx, o.provider, 1000)
			if err == nil && len(due) != o.large.Open {
				err = fmt.Errorf("%d due of %d", len(due), o.large.Open)
			}
			return err
		}},
		{"open_counts", func(ctx context.Context) error { _, err := o.s.OpenCounts(ctx); return err }},
		{"unpaid_counts", func(ctx context.Context) error { _, err := o.s.UnpaidCounts(ctx); return err }},
		{"providers_with_open", func(ctx context.Context) error { _, err := o.s.ProvidersWithOpen(ctx); return err }},
		{"spent", func(ctx context.Context) error {
			_, _, err := o.s.Spent(ctx, topup.CapCustomer, o.provider, "cus_1", topup.CapDay)
			return err
		}},
		{"others", func(ctx context.Context) error {
			p, err := newest()
			if err == nil {
				_, err = o.s.Others(ctx, p, o.now.Add(-time.Hour))
			}
			return err
		}},
		{"elsewhere", func(ctx context.Context) error {
			p, err := newest()
			p.Target.Provider = topup.ProviderID(o.large.Elsewhere)
			if err == nil {
				_, err = o.s.Elsewhere(ctx, p, o.now.Add(-time.Hour))
			}
			return err
		}},
		{"elsewhere of the large one", func(ctx context.Context) error {
			p, err := newest()
			if err == nil {
				_, err = o.s.Elsewhere(ctx, p, o.now.Add(-time.Hour))
			}
			return err
		}},
		{"evidence", func(ctx context.Context) error { _, err := o.s.Evidence(ctx, ledgertest.LargePurchase(7)); return err }},
		{"permits", func(ctx context.Context) error { _, err := o.s.Permits(ctx, ledgertest.LargePurchase(7)); return err }},
	}
}

func (o *operator) imports() []operation {
	imported := func(r topup.Topup, want int) func(context.Context) error {
		return func(ctx context.Context) error {
			r.At = o.now
			n, err := o.s.Import(ctx, o.target(), []topup.Topup{r})
			if err == nil && n != want {
				err = fmt.Errorf("imported %d, want %d", n, want)
			}
			return err
		}
	}
	return []operation{
		{"import an unknown row", imported(topup.Topup{ID: "row_new", Invoice: "bill_new"}, 1)},
		{"import a row without invoice", imported(topup.Topup{ID: "row_gift"}, 1)},
		{"import a known row", imported(topup.Topup{ID: "row_7"}, 0)},
		{"import a known invoice", imported(topup.Topup{ID: "another", Invoice: "bill_8"}, 0)},
		{"import what is ours", imported(topup.Topup{ID: "another", Invoice: "inv_8"}, 0)},
		{"claimed", func(ctx context.Context) error {
			got, err := o.s.Claimed(ctx, o.provider, []string{"inv_1", "inv_nobody"}, "")
			if err == nil && len(got) != 1 {
				err = fmt.Errorf("claimed: %v", got)
			}
			return err
		}},
		{"note_known", func(ctx context.Context) error { return o.s.NoteKnown(ctx, o.lease, o.now) }},
	}
}

func (o *operator) comparing() []operation {
	since := o.now.Add(-6 * time.Hour)
	return []operation{
		{"planned", func(ctx context.Context) error { _, err := o.s.Planned(ctx, o.provider, since); return err }},
		{"planned, all", func(ctx context.Context) error {
			all, err := o.s.Planned(ctx, o.provider, time.Unix(0, 0))
			if err == nil && len(all) <= o.large.Rows {
				err = fmt.Errorf("%d purchases of %d", len(all), o.large.Rows+1)
			}
			return err
		}},
		{"unjudged", func(ctx context.Context) error {
			_, err := o.s.Unjudged(ctx, o.provider, o.now.Add(-time.Minute), []string{ledgertest.LargePurchase(3)})
			return err
		}},
		{"named", func(ctx context.Context) error { _, err := o.s.Named(ctx, o.provider, since); return err }},
		{"imports", func(ctx context.Context) error { _, err := o.s.Imports(ctx, o.provider, since); return err }},
		{"forget_evaluations", func(ctx context.Context) error {
			_, _, _, err := o.s.ForgetEvaluations(ctx, o.now.AddDate(0, 0, -90), o.target())
			return err
		}},
		{"forget_evidence", func(ctx context.Context) error {
			_, done, err := o.s.ForgetEvidence(ctx, o.now)
			if err == nil && done {
				err = fmt.Errorf("it was done at once")
			}
			return err
		}},
	}
}

func (o *operator) people() []operation {
	purchases := func(f ledger.Filter, want int) func(context.Context) error {
		return func(ctx context.Context) error {
			list, err := o.s.Purchases(ctx, f)
			if err == nil && len(list) != want {
				err = fmt.Errorf("%d purchases, want %d", len(list), want)
			}
			return err
		}
	}
	evaluations := func(read func(context.Context, ledger.Filter) ([]topup.Evaluation, error), f ledger.Filter) func(context.Context) error {
		return func(ctx context.Context) error {
			list, err := read(ctx, f)
			if err == nil && len(list) == 0 {
				err = fmt.Errorf("nothing was found")
			}
			return err
		}
	}
	customer := topup.CustomerID(ledgertest.LargeCustomer(9))
	list := []operation{
		{"purchases of a customer", purchases(ledger.Filter{Customer: customer}, 1)},
		{"purchases of a target", purchases(ledger.Filter{Provider: o.provider, Customer: customer, Product: ledgertest.LargeProduct}, 1)},
		{"purchases by a rule", purchases(ledger.Filter{Rule: "rule-7", Limit: 5}, 5)},
		{"purchases by an unknown rule", purchases(ledger.Filter{Rule: "nobody"}, 0)},
		{"purchases of a provider", purchases(ledger.Filter{Provider: o.provider, Limit: 5}, 5)},
		{"purchases in a state", purchases(ledger.Filter{States: []topup.State{topup.Sent}}, o.large.Open)},
		{"purchases in open states", purchases(ledger.Filter{States: []topup.State{topup.Sent, topup.Confirmed, topup.NeedsReview}}, o.large.Open)},
		{"purchases with a payment", purchases(ledger.Filter{Payments: []topup.Payment{topup.PaymentFailed}}, 0)},
		{"purchases that a person decided", purchases(ledger.Filter{Decided: true, Limit: 5}, 0)},
		{"purchases lately", purchases(ledger.Filter{Since: o.large.Now.Add(-90 * time.Second)}, 3)},
		{"the newest purchases", purchases(ledger.Filter{Limit: 5}, 5)},
		{"purchase by its end", func(ctx context.Context) error { _, err := o.s.Purchase(ctx, "large-one"); return err }},
		{"evaluations of a customer", evaluations(o.s.Evaluations, ledger.Filter{Customer: customer})},
		{"targets of a customer", evaluations(o.s.Targets, ledger.Filter{Customer: customer})},
		{"targets, the first", evaluations(o.s.Targets, ledger.Filter{Provider: o.provider, Limit: 10})},
		{"whether a customer is known", func(ctx context.Context) error {
			known, err := o.s.Known(ctx, "", customer)
			if err == nil && !known {
				err = fmt.Errorf("a customer is not known")
			}
			return err
		}},
		{"whether a stranger is known", func(ctx context.Context) error { _, err := o.s.Known(ctx, o.provider, "nobody"); return err }},
		{"pauses", func(ctx context.Context) error { _, err := o.s.Pauses(ctx); return err }},
		{"actions", func(ctx context.Context) error { _, err := o.s.Actions(ctx, 10); return err }},
		{"acknowledge", func(ctx context.Context) error {
			_, err := o.s.Acknowledge(ctx, ledger.Action{Provider: o.provider, Subject: "d-0123456789ab", By: "test", Reason: "test"})
			return err
		}},
		{"acknowledgements", func(ctx context.Context) error { _, err := o.s.Acknowledgements(ctx); return err }},
	}
	for _, p := range []topup.Pause{
		{Scope: topup.PauseCustomer, Subject: string(customer)}, {Scope: topup.PauseRule, Subject: "rule-1"}, {Scope: topup.PauseProvider, Provider: o.provider},
	} {
		p.Reason, p.By = "test", "test"
		list = append(list,
			operation{"pause a " + string(p.Scope), func(ctx context.Context) error { _, err := o.s.Pause(ctx, p); return err }},
			operation{"resume a " + string(p.Scope), func(ctx context.Context) error { _, err := o.s.Resume(ctx, p); return err }})
	}
	return list
}
