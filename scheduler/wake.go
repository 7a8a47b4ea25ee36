package scheduler

import (
	"context"
	"fmt"
	"log/slog"
	"time"

	"topupd/topup"
)

const (
	// askEvery is how often the account as a whole is asked what may have changed
	// for those whom people or days keep from being bought for.
	askEvery = time.Minute
	// askShare bounds what asking costs: it rests this many times as long as it
	// took, at least half of askEvery.
	askShare = 1
	// debtsKept is for how long the list of unpaid bills says who is worth a check.
	debtsKept = 15 * time.Minute
	// mostOffers bounds the orders whose price is asked for at a time.
	mostOffers = 20
)

// Debtors is a Reader that lists who owes in the whole account: far cheaper than a
// confirm read for each.
type Debtors interface {
	// Unpaid counts the bills for credits that are not paid. An error when the
	// list could not be read to its end. With hurry first checks wait for it.
	Unpaid(ctx context.Context, hurry bool) (map[topup.CustomerID]topup.Debt, error)
}

// Seller is a Reader that tells what the provider sells, whoever the customer is.
type Seller interface {
	// Offer says how what is sold differs from the order; "" when it does not.
	Offer(ctx context.Context, order topup.Order) (problem string, err error)
}

// debts is the newest list of unpaid bills.
type debts struct {
	of map[topup.CustomerID]topup.Debt
	at time.Time // zero = there is none
}

// wakes asks, now and then, and when many wait at once, what may have changed.
func (w *Watch) wakes(ctx context.Context) {
	ticker := time.NewTicker(askEvery)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-w.rush:
		case <-ticker.C:
		}
		began := w.Now()
		w.ask(ctx)
		rest := time.NewTimer(max(askEvery/2, askShare*w.Now().Sub(began)))
		select {
		case <-ctx.Done():
		case <-rest.C:
		}
		rest.Stop()
	}
}

// crowded asks for the list of unpaid bills when more wait for their first check
// than workers will get to at once: who owes is not worth one.
func (w *Watch) crowded() {
	if w.queue.of(first) <= 2*w.Workers {
		return
	}
	select {
	case w.rush <- struct{}{}:
	default:
	}
}

// ask reads the unpaid bills and the prices that somebody waits for, and wakes
// whom they concern.
func (w *Watch) ask(ctx context.Context) {
	if _, held := w.holding.current(); !held {
		return
	}
	many := w.queue.of(first) > 2*w.Workers
	if reader, ok := w.Reader.(Debtors); ok && (many || w.stopped(byBill) > 0) {
		of, err := reader.Unpaid(ctx, many)
		if err != nil {
			w.Log.LogAttrs(ctx, slog.LevelWarn, "unpaid bills", slog.String("provider", w.Name), slog.Any("err", err))
		} else {
			w.owing(of)
		}
	}
	if seller, ok := w.Reader.(Seller); ok {
		w.reprice(ctx, seller)
	}
}

func byBill(found topup.Reason) bool {
	return found == topup.InvoiceUnpaid || found == topup.ExternalTopup
}

func byPrice(found topup.Reason) bool { return found == topup.PriceMismatch }

// stopped counts the low targets against which a check found such a reason.
func (w *Watch) stopped(by func(topup.Reason) bool) (n int) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, t := range w.tracked {
		if t.decided == topup.Rechecking && by(t.spell.found) {
			n++
		}
	}
	return n
}

// owing takes in a list of unpaid bills. Whose debt has changed is woken, and who
// owes too much need not be asked about first.
func (w *Watch) owing(of map[topup.CustomerID]topup.Debt) {
	w.mu.Lock()
	defer w.mu.Unlock()
	before, now := w.debts, w.Now()
	w.debts = debts{of: of, at: now}
	for target, t := range w.tracked {
		if t.decided != topup.Rechecking {
			continue
		}
		if !before.at.IsZero() && byBill(t.spell.found) && before.of[target.Customer] != of[target.Customer] {
			t.spell.woken = now
		}
		t.spell = t.spell.told(w.debt(target, t, now))
		w.enqueue(target, t, now)
	}
	w.queue.notify()
}

// debt is what the list of unpaid bills says against buying; "" when it says
// nothing against it. known is false when there is no list that is young enough.
// The caller holds mu.
func (w *Watch) debt(target topup.Target, t *tracked, now time.Time) (text string, known bool) {
	method := t.reading.Account.PaymentMethod
	if w.debts.at.IsZero() || now.Sub(w.debts.at) > debtsKept || t.unpaid == nil || method == topup.PaymentUnknown {
		return "", false
	}
	owed := w.debts.of[target.Customer]
	if t.unpaid.Tolerates(owed, method) {
		return "", true
	}
	return fmt.Sprintf("the account's list of unpaid bills of %s has %d pending and %d failed ones for credits; %d may be pending",
		w.debts.at.UTC().Format(time.RFC3339), owed.Pending, owed.Failed, t.unpaid.Allowed(method)), true
}

// told is the spell of a target after the list of unpaid bills was read: what it
// says stands until a check has found more, or the list says otherwise.
func (s spell) told(debt string, known bool) spell {
	switch {
	case !known: // without a list, what it said waits for its check
	case debt != "" && (s.found == "" || s.found.Class() == topup.ClassWaiting):
		s.found, s.said = topup.InvoiceUnpaid, debt
	case debt == "" && s.found == topup.InvoiceUnpaid && s.checks == 0:
		s.found, s.said = "", ""
	}
	return s
}

// reprice asks for what is sold now, and wakes those whose order it fits.
func (w *Watch) reprice(ctx context.Context, seller Seller) {
	wanted := map[topup.Order][]topup.Target{}
	w.mu.Lock()
	for target, t := range w.tracked {
		if t.decided == topup.Rechecking && byPrice(t.spell.found) {
			o := t.order
			pack := topup.Order{Target: topup.Target{Provider: target.Provider, Product: target.Product}, Credits: o.Credits, Price: o.Price, PriceID: o.PriceID}
			if _, known := wanted[pack]; known || len(wanted) < mostOffers {
				wanted[pack] = append(wanted[pack], target)
			}
		}
	}
	w.mu.Unlock()
	for pack, targets := range wanted {
		if problem, err := seller.Offer(ctx, pack); err != nil || problem != "" {
			continue // the checks go on, later and later
		}
		w.wakeUp(targets)
	}
}

func (w *Watch) wakeUp(targets []topup.Target) {
	w.mu.Lock()
	defer w.mu.Unlock()
	now := w.Now()
	for _, target := range targets {
		if t, known := w.tracked[target]; known && byPrice(t.spell.found) {
			t.spell.woken = now
			w.enqueue(target, t, now)
		}
	}
	w.queue.notify()
}
