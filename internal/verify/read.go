package verify

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"sync/atomic"
	"time"

	"topupd/topup"
)

// Account is a provider that keeps books: bills of the whole account, and a
// ledger of each target. All reads are of the lowest priority.
type Account interface {
	// Bills reads every bill issued since then. What could not be read is in
	// unread, in words; seen hears how many were read so far.
	Bills(ctx context.Context, since time.Time, seen func(int)) (list []topup.Invoice, unread []string, err error)
	// Bill reads one bill by its id; ok is false when the provider has none.
	Bill(ctx context.Context, id string) (i topup.Invoice, ok bool, err error)
	// Additions reads the ledger rows of a target since then. topup.ErrNotFound:
	// there is no such ledger any more.
	Additions(ctx context.Context, t topup.Target, c topup.Currency, since time.Time) (list []topup.Topup, whole bool, err error)
}

// Recharges is a provider without books that lists at least what it recharged
// by itself.
type Recharges interface {
	// AllRecharges lists those that added credits since then.
	AllRecharges(ctx context.Context, t topup.Target, since time.Time) ([]topup.Topup, error)
}

// History is what the ledger knows. Each method reads a provider's rows.
type History interface {
	// Planned lists the purchases planned since then, all of them.
	Planned(ctx context.Context, provider topup.ProviderID, since time.Time) ([]topup.Purchase, error)
	// Answers lists the charges that answers named, of purchases planned since then.
	Answers(ctx context.Context, provider topup.ProviderID, since time.Time) ([]Answer, error)
	// Imports lists additions of somebody else that were imported since then, or
	// are dated since then.
	Imports(ctx context.Context, provider topup.ProviderID, since time.Time) ([]topup.Topup, error)
	// Claimed tells which of the references explain a purchase other than except.
	Claimed(ctx context.Context, provider topup.ProviderID, references []string, except string) (map[string]bool, error)
}

// Verifier compares one provider connection. Exactly one of Account and
// Recharges is set.
type Verifier struct {
	Provider  topup.ProviderID
	Account   Account
	Recharges Recharges
	Target    topup.Target // whose recharges; only with Recharges
	History   History
	Products  map[topup.ProductID]bool // that rules buy there; empty: all are judged
	Quiet     time.Duration            // the longest quiet period of the connection
	Now       func() time.Time

	invoices, ledgers, ledgersOf atomic.Int64 // progress
}

// Progress tells how much was read so far: bills, ledgers, and of how many.
func (v *Verifier) Progress() (bills, ledgers, of int) {
	return int(v.invoices.Load()), int(v.ledgers.Load()), int(v.ledgersOf.Load())
}

const (
	// rowsEarlier is how far before since ledger rows are read: the provider dates
	// them by its clock, cut to whole seconds, and ours decides what is since.
	rowsEarlier = time.Hour
	// maxLookups bounds the bills of one run that are read by their ids.
	maxLookups = 1000
	// backwards is how far before since our purchases are read: one that was
	// planned then may have been repeated, and charged again, within the window.
	backwards = topup.KeyLifetime + time.Hour
	// maxFailures is after how many failed reads in a row the rest is given up:
	// the provider is down, and each of them was tried three times already.
	maxFailures = 3
)

// blind is what nobody can compare at a provider without books.
const blind = "the provider lists only its own recharges: whether each purchase was charged, once and at its price, cannot be compared there; hold topupd purchases list against its invoices"

// Run reads both sides since then and compares them. An error means that
// nothing could be compared; what could not be read of the rest is in the
// report's Incomplete.
func (v *Verifier) Run(ctx context.Context, since time.Time) (Report, error) {
	f := Facts{
		Provider: v.Provider, Books: v.Account != nil, Since: since, Now: v.Now().UTC(), Quiet: v.Quiet,
		Products: v.Products, Claimed: map[string]bool{}, Gone: map[string]bool{}, Read: map[topup.Target]bool{},
	}
	var unread []string
	var err error
	if v.Account != nil {
		unread, err = v.books(ctx, &f)
	} else {
		err = v.recharges(ctx, &f)
	}
	if err != nil {
		return Report{}, err
	}
	report := Compare(f)
	report.Incomplete, report.Detached = unread, f.Detached
	if v.Account == nil {
		report.Blind = blind
	}
	return report, ctx.Err()
}

// recharges reads what a provider without books shows.
func (v *Verifier) recharges(ctx context.Context, f *Facts) error {
	done, err := v.Recharges.AllRecharges(ctx, v.Target, f.Since)
	if err != nil {
		return fmt.Errorf("reading the provider's own recharges: %w", err)
	}
	for _, t := range done {
		f.Rows = append(f.Rows, Row{v.Target, t})
	}
	f.Read[v.Target] = true
	return v.history(ctx, f)
}

// history reads our side. It is read after theirs: every charge that they show
// was planned before, so the purchase that made it is in here (P2).
func (v *Verifier) history(ctx context.Context, f *Facts) (err error) {
	since := f.Since.Add(-backwards)
	if f.Purchases, err = v.History.Planned(ctx, v.Provider, since); err != nil {
		return fmt.Errorf("reading our purchases: %w", err)
	}
	if f.Answers, err = v.History.Answers(ctx, v.Provider, since); err != nil {
		return fmt.Errorf("reading the answers: %w", err)
	}
	if f.Imports, err = v.History.Imports(ctx, v.Provider, f.Since); err != nil {
		return fmt.Errorf("reading the imports: %w", err)
	}
	var ids []string
	for i := range f.Invoices {
		ids = append(ids, f.Invoices[i].ID)
	}
	for i := range f.Rows {
		ids = append(ids, f.Rows[i].ID, f.Rows[i].Invoice)
	}
	for _, a := range f.Answers {
		ids = append(ids, a.Reference)
	}
	ours := map[string]bool{"": true}
	for i := range f.Purchases {
		ours[f.Purchases[i].Reference] = true
	}
	slices.Sort(ids)
	ids = slices.DeleteFunc(slices.Compact(ids), func(id string) bool { return ours[id] })
	if f.Claimed, err = v.History.Claimed(ctx, v.Provider, ids, ""); err != nil {
		return fmt.Errorf("reading who claims what: %w", err)
	}
	return nil
}

// books reads the bills, then the ledgers of whoever bought or was billed, then
// our side, then single bills that are still missing.
func (v *Verifier) books(ctx context.Context, f *Facts) (unread []string, err error) {
	f.Invoices, unread, err = v.Account.Bills(ctx, f.Since, func(n int) { v.invoices.Store(int64(n)) })
	if err != nil {
		return nil, fmt.Errorf("reading the provider's bills: %w", err)
	}
	before, err := v.History.Planned(ctx, v.Provider, f.Since)
	if err != nil {
		return nil, fmt.Errorf("reading our purchases: %w", err)
	}
	more, err := v.ledgersRead(ctx, f, targetsOf(*f, before))
	if err != nil {
		return nil, err
	}
	unread = append(unread, more...)
	if err := v.history(ctx, f); err != nil {
		return nil, err
	}
	more, err = v.lookUp(ctx, f)
	return append(unread, more...), err
}

// ledger is one target's ledger to be read; its rows are meant in the currency.
type ledger struct {
	target   topup.Target
	currency topup.Currency
}

// targetsOf are the ledgers that matter, in a fixed order: of our purchases, and
// of bills for credits that we buy.
func targetsOf(f Facts, purchases []topup.Purchase) []ledger {
	seen := map[topup.Target]topup.Currency{}
	for i := range purchases {
		seen[purchases[i].Target] = purchases[i].Price.Currency
	}
	c := comparison{Facts: f}
	for i := range f.Invoices {
		bill := &f.Invoices[i]
		if !bill.Credit || bill.Payment == topup.PaymentVoid || bill.At.Before(f.Since) || !c.watched(bill.Products) {
			continue
		}
		for _, product := range bill.Products {
			if len(f.Products) == 0 || f.Products[product] {
				seen[topup.Target{Provider: f.Provider, Customer: bill.Customer, Product: product}] = bill.Amount.Currency
			}
		}
	}
	list := make([]ledger, 0, len(seen))
	for target, currency := range seen {
		list = append(list, ledger{target, currency})
	}
	slices.SortFunc(list, func(a, b ledger) int {
		return cmp.Or(cmp.Compare(a.target.Customer, b.target.Customer), cmp.Compare(a.target.Product, b.target.Product))
	})
	return list
}

// ledgersRead reads the rows of every target. One that cannot be read leaves
// the others.
func (v *Verifier) ledgersRead(ctx context.Context, f *Facts, targets []ledger) (unread []string, err error) {
	v.ledgersOf.Store(int64(len(targets)))
	failures := 0
	for n, l := range targets {
		rows, whole, err := v.Account.Additions(ctx, l.target, l.currency, f.Since.Add(-rowsEarlier))
		switch {
		case ctx.Err() != nil:
			return nil, ctx.Err()
		case errors.Is(err, topup.ErrNotFound):
			failures = 0
			f.Detached++
		case err != nil:
			failures++
			unread = append(unread, fmt.Sprintf("the credits of %s: %v", l.target.Customer, err))
		case !whole:
			failures = 0
			unread = append(unread, fmt.Sprintf("the credits of %s: rows moved while they were read", l.target.Customer))
		default:
			failures = 0
			f.Read[l.target] = true
		}
		if failures >= maxFailures {
			return append(unread, fmt.Sprintf("the credits of %d more customers: given up", len(targets)-n-1)), nil
		}
		for _, r := range rows {
			f.Rows = append(f.Rows, Row{l.target, r})
		}
		v.ledgers.Add(1)
	}
	return unread, nil
}

// lookUp reads single bills: those that ours name and the list did not show, of
// which only the provider's own "not found" makes one missing, and those whose
// payment differs, since the list may be hours older than our row.
func (v *Verifier) lookUp(ctx context.Context, f *Facts) (unread []string, err error) {
	ids := v.wanted(*f)
	if len(ids) > maxLookups {
		unread = append(unread, fmt.Sprintf("%d invoices that the list does not show", len(ids)-maxLookups))
		ids = ids[:maxLookups]
	}
	failures := 0
	for n, id := range ids {
		i, ok, err := v.Account.Bill(ctx, id)
		switch {
		case ctx.Err() != nil:
			return nil, ctx.Err()
		case err != nil:
			failures++
			unread = append(unread, fmt.Sprintf("invoice %s: %v", id, err))
		case ok:
			failures = 0
			f.Invoices = slices.DeleteFunc(f.Invoices, func(old topup.Invoice) bool { return old.ID == id })
			f.Invoices = append(f.Invoices, i)
		default:
			failures = 0
			f.Gone[id] = true
		}
		if failures >= maxFailures {
			return append(unread, fmt.Sprintf("%d more invoices: given up", len(ids)-n-1)), nil
		}
	}
	return unread, nil
}

// wanted are the bills that purchases and rows name and the list did not show,
// or showed with another payment than ours.
func (v *Verifier) wanted(f Facts) []string {
	have := map[string]bool{"": true}
	for i := range f.Invoices {
		have[f.Invoices[i].ID] = true
	}
	for id := range moved(f) {
		delete(have, id)
	}
	c := comparison{Facts: f}
	var ids []string
	want := func(id string) {
		if !have[id] {
			have[id] = true
			ids = append(ids, id)
		}
	}
	for i := range f.Purchases {
		if p := &f.Purchases[i]; !p.PlannedAt.Before(f.Since) && !p.State.Open() && !c.young(p) {
			want(p.Reference)
		}
	}
	for i := range f.Rows {
		if r := &f.Rows[i]; !r.At.Before(f.Since) && !f.Claimed[r.Invoice] {
			want(r.Invoice)
		}
	}
	return ids
}

// moved are the listed bills of purchases whose payment has ended in another way.
func moved(f Facts) map[string]bool {
	ended := map[string]topup.Payment{}
	for i := range f.Purchases {
		if p := &f.Purchases[i]; p.Reference != "" && p.Payment.Ended() {
			ended[p.Reference] = p.Payment
		}
	}
	ids := map[string]bool{}
	for i := range f.Invoices {
		if payment, ok := ended[f.Invoices[i].ID]; ok && payment != f.Invoices[i].Payment {
			ids[f.Invoices[i].ID] = true
		}
	}
	return ids
}

// ErrIncomplete tells that something could not be read, so that no finding
// does not mean no difference.
var ErrIncomplete = errors.New("not everything could be read")
