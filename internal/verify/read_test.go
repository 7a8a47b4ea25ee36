package verify

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"topupd/topup"
)

// fake is a provider and a ledger with the same books; each part may fail.
type fake struct {
	*books
	unlisted map[string]bool // bills that only their ids show
	// paidSince are bills that were paid after they were listed.
	paidSince map[string]topup.Invoice
	unread    []string
	billsErr  error
	billErr   error
	rowsErr   map[topup.CustomerID]error
	short     map[topup.CustomerID]bool
	ledgers   []topup.CustomerID // that were read
	lookups   []string
	booksErr  error
}

func (f *fake) Bills(_ context.Context, since time.Time, seen func(int)) (list []topup.Invoice, unread []string, err error) {
	for _, i := range f.Facts.Invoices {
		if !f.unlisted[i.ID] && !i.At.Before(since) {
			list = append(list, i)
		}
	}
	seen(len(list))
	return list, f.unread, f.billsErr
}

func (f *fake) Bill(_ context.Context, id string) (topup.Invoice, bool, error) {
	f.lookups = append(f.lookups, id)
	if paid, ok := f.paidSince[id]; ok {
		return paid, true, f.billErr
	}
	for _, i := range f.Facts.Invoices {
		if i.ID == id {
			return i, true, f.billErr
		}
	}
	return topup.Invoice{}, false, f.billErr
}

func (f *fake) Additions(_ context.Context, t topup.Target, _ topup.Currency, since time.Time) (list []topup.Topup, whole bool, err error) {
	f.ledgers = append(f.ledgers, t.Customer)
	for _, r := range f.Facts.Rows {
		if r.Target == t && !r.At.Before(since) {
			list = append(list, r.Topup)
		}
	}
	return list, !f.short[t.Customer], f.rowsErr[t.Customer]
}

func (f *fake) AllRecharges(_ context.Context, t topup.Target, _ time.Time) (done []topup.Topup, err error) {
	for _, r := range f.Facts.Rows {
		if r.Target == t {
			done = append(done, r.Topup)
		}
	}
	return done, f.billsErr
}

func (f *fake) Planned(_ context.Context, _ topup.ProviderID, since time.Time) (list []topup.Purchase, err error) {
	for _, p := range f.Facts.Purchases {
		if !p.PlannedAt.Before(since) {
			list = append(list, p)
		}
	}
	return list, f.booksErr
}

func (f *fake) Answers(context.Context, topup.ProviderID, time.Time) ([]Answer, error) {
	return f.Facts.Answers, nil
}

func (f *fake) Imports(context.Context, topup.ProviderID, time.Time) ([]topup.Topup, error) {
	return f.Facts.Imports, nil
}

func (f *fake) Claimed(_ context.Context, _ topup.ProviderID, references []string, _ string) (map[string]bool, error) {
	claimed := map[string]bool{}
	for _, r := range references {
		claimed[r] = f.Facts.Claimed[r]
	}
	return claimed, nil
}

func (f *fake) verifier() *Verifier {
	return &Verifier{
		Provider: account, Account: f, History: f, Products: f.Facts.Products, Quiet: quiet,
		Now: func() time.Time { return noon },
	}
}

func newFake() *fake {
	f := &fake{books: newBooks(), unlisted: map[string]bool{}, rowsErr: map[topup.CustomerID]error{}, short: map[topup.CustomerID]bool{}}
	for n, customer := range []topup.CustomerID{"cus_1", "cus_2", "cus_3", "cus_4", "cus_5"} {
		f.buy(n, customer, noon.Add(-time.Duration(n+2)*time.Hour))
	}
	return f
}

func TestWhatCannotBeReadIsNeverAgreement(t *testing.T) {
	t.Parallel()
	down := errors.New("connection refused")
	for _, tt := range []struct {
		name   string
		spoil  func(f *fake)
		want   []string // findings
		unread []string // each is part of a line
	}{
		{"everything read and equal", func(*fake) {}, nil, nil},
		{"bills that could not be read", func(f *fake) { f.unread = []string{"the bills before noon"} }, nil, []string{"the bills before noon"}},
		{"the credits of one customer", func(f *fake) { f.rowsErr["cus_2"] = down }, nil, []string{"the credits of cus_2: connection refused"}},
		{"a ledger that is gone with its customer tells nothing", func(f *fake) {
			f.rowsErr["cus_2"] = fmt.Errorf("404: %w", topup.ErrNotFound)
			f.Facts.Rows = slices.DeleteFunc(f.Facts.Rows, func(r Row) bool { return r.Target.Customer == "cus_2" })
		}, nil, nil},
		{"rows that moved", func(f *fake) { f.short["cus_2"] = true }, nil, []string{"the credits of cus_2: rows moved"}},
		{"a provider that goes down is given up", func(f *fake) {
			for _, c := range []topup.CustomerID{"cus_2", "cus_3", "cus_4", "cus_5"} {
				f.rowsErr[c] = down
			}
		}, nil, []string{"cus_2", "cus_3", "cus_4", "the credits of 1 more customers: given up"}},
		{"the rest is compared all the same", func(f *fake) {
			f.rowsErr["cus_2"] = down
			f.Facts.Invoices[0].Amount = eur(1)
		}, []string{"amount_differs|purchase-0000||inv_0|"}, []string{"cus_2"}},
		{"a bill that the list does not show is looked up", func(f *fake) { f.unlisted["inv_1"] = true }, nil, nil},
		{"one that does not exist is missing", func(f *fake) {
			f.Facts.Invoices = f.Facts.Invoices[1:]
			f.Facts.Rows = f.Facts.Rows[1:]
		}, []string{"missing_invoice|purchase-0000||inv_0|"}, nil},
		{"one that cannot be looked up is not", func(f *fake) {
			f.unlisted["inv_1"], f.billErr = true, down
		}, nil, []string{"invoice inv_1: connection refused"}},
		{"a bill that only a row names is looked up too", func(f *fake) {
			f.row("cdt_x", "inv_x", "cus_1", noon.Add(-time.Hour))
		}, []string{"row_without_invoice|||inv_x|cdt_x"}, nil},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			f := newFake()
			tt.spoil(f)
			r, err := f.verifier().Run(t.Context(), f.Since)
			if err != nil {
				t.Fatal(err)
			}
			var got []string
			for _, finding := range r.Findings {
				got = append(got, told(finding))
			}
			if diff := cmp.Diff(tt.want, got); diff != "" {
				t.Errorf("findings (-want +got):\n%s", diff)
			}
			if len(r.Incomplete) != len(tt.unread) || r.Whole() != (len(tt.unread) == 0) {
				t.Fatalf("unread %q, want %q", r.Incomplete, tt.unread)
			}
			for i, part := range tt.unread {
				if !strings.Contains(r.Incomplete[i], part) {
					t.Errorf("unread %q, want %q", r.Incomplete[i], part)
				}
			}
		})
	}
}

func TestNothingComparedIsAnError(t *testing.T) {
	t.Parallel()
	for name, spoil := range map[string]func(*fake){
		"no bills":  func(f *fake) { f.billsErr = errors.New("401") },
		"no ledger": func(f *fake) { f.booksErr = errors.New("no database") },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f := newFake()
			spoil(f)
			if _, err := f.verifier().Run(t.Context(), f.Since); err == nil {
				t.Error("Run() = nil, want an error")
			}
		})
	}
	t.Run("an end in the middle", func(t *testing.T) {
		t.Parallel()
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		if _, err := newFake().verifier().Run(ctx, noon.Add(-time.Hour)); !errors.Is(err, context.Canceled) {
			t.Errorf("Run() = %v, want context.Canceled", err)
		}
	})
}

func TestOnlyLedgersThatMatterAreRead(t *testing.T) {
	t.Parallel()
	f := newFake()
	f.bill("inv_x", "cus_9", noon.Add(-time.Hour))
	f.bill("inv_seats", "cus_8", noon.Add(-time.Hour)).Credit = false
	f.bill("inv_void", "cus_7", noon.Add(-time.Hour)).Payment = topup.PaymentVoid
	f.bill("inv_other", "cus_6", noon.Add(-time.Hour)).Products = []topup.ProductID{"itm_other"}
	v := f.verifier()
	if _, err := v.Run(t.Context(), f.Since); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]topup.CustomerID{"cus_1", "cus_2", "cus_3", "cus_4", "cus_5", "cus_9"}, f.ledgers); diff != "" {
		t.Errorf("ledgers read (-want +got):\n%s", diff)
	}
	if bills, ledgers, of := v.Progress(); bills != 9 || ledgers != 6 || of != 6 {
		t.Errorf("Progress() = %d, %d, %d; want 9, 6, 6", bills, ledgers, of)
	}
	if len(f.lookups) != 0 {
		t.Errorf("looked up %v although the list shows every bill", f.lookups)
	}
}

func TestAProviderWithoutBooksSaysWhatCannotBeCompared(t *testing.T) {
	t.Parallel()
	f := newFake()
	v := f.verifier()
	v.Account, v.Recharges, v.Target = nil, f, target("cus_1")
	r, err := v.Run(t.Context(), f.Since)
	if err != nil || len(r.Findings) != 0 || r.Blind == "" || !r.Whole() {
		t.Errorf("Run() = %+v, %v; want no finding, and what it cannot see", r, err)
	}
	f.billsErr = errors.New("down")
	if _, err := v.Run(t.Context(), f.Since); err == nil {
		t.Error("recharges that cannot be read: nil, want an error")
	}
}

// A row is dated by the provider's clock, a purchase by ours.
func TestARowDatedJustBeforeTheWindowIsRead(t *testing.T) {
	t.Parallel()
	f := newFake()
	p := f.buy(7, "cus_7", f.Facts.Since.Add(time.Second))
	f.Facts.Invoices[len(f.Facts.Invoices)-1].At = p.PlannedAt.Add(-30 * time.Second)
	f.Facts.Rows[len(f.Facts.Rows)-1].At = p.PlannedAt.Add(-30 * time.Second)
	r, err := f.verifier().Run(t.Context(), f.Facts.Since)
	if err != nil || len(r.Findings) != 0 || len(r.Incomplete) != 0 {
		t.Errorf("findings %+v, unread %q, %v; want none", r.Findings, r.Incomplete, err)
	}
}

// The bills are read first and our purchases last; a payment may end in between.
func TestAPaymentThatEndsWhileTheBooksAreRead(t *testing.T) {
	t.Parallel()
	f := newFake()
	f.paidSince = map[string]topup.Invoice{"inv_1": f.Facts.Invoices[1]}
	f.Facts.Invoices[1].Status, f.Facts.Invoices[1].Payment = "to_pay", topup.PaymentPending
	r, err := f.verifier().Run(t.Context(), f.Facts.Since)
	if err != nil || len(r.Findings) != 0 || len(r.Incomplete) != 0 {
		t.Errorf("findings %+v, unread %q, %v; want none", r.Findings, r.Incomplete, err)
	}
	f.paidSince = nil
	if r, _ = f.verifier().Run(t.Context(), f.Facts.Since); len(r.Findings) != 1 || r.Findings[0].Kind != PaymentDiffers {
		t.Errorf("findings %+v, want that the payment differs", r.Findings)
	}
}
