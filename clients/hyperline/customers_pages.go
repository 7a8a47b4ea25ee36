package hyperline

import (
	"cmp"
	"context"
	"maps"
	"net/url"
	"slices"
	"sync"

	"golang.org/x/sync/errgroup"

	"topupd/topup"
)

// listPart adds the customers with one payment method; filter "" lists them all.
// A cursor leads from page to page, so the list is read from both of its ends at
// once, until the two meet.
func (r *reader) listPart(ctx context.Context, found *customers, filter string, method topup.PaymentMethod) error {
	p := &part{found: found, method: method, by: map[topup.CustomerID]int{}, clean: true, progress: r.progress}
	query := url.Values{"status": {"all"}} // what is listed without it is not documented
	if filter != "" {
		query.Set("payment_method_type__in", filter)
	}
	first, err := r.listed(ctx, "customers", customersPath, query, "")
	if err != nil {
		return err
	}
	p.take(first, newestEnd)
	if p.unwanted != nil {
		return p.unwanted
	}
	if first.next == "" || p.conflict {
		found.complete = found.complete && p.clean && first.next == ""
		return nil
	}
	group, ctx := errgroup.WithContext(ctx)
	readers := [2]*reader{}
	for end, order := range []string{newestEnd: "desc", oldestEnd: "asc"} {
		one := &reader{Client: r.Client, class: r.class}
		readers[end] = one
		from := with(query, "order", order)
		if end == newestEnd {
			from = with(query, "cursor", first.next)
		}
		group.Go(func() error {
			ended, err := one.cursors(ctx, "customers", customersPath, from, maxCustomerPages, func(page cursorPage) bool { return p.take(page, end) })
			p.end(ended)
			return err
		})
	}
	err = cmp.Or(group.Wait(), p.unwanted)
	for _, one := range readers {
		r.join(one)
	}
	if err != nil {
		return err
	}
	found.complete = found.complete && p.clean && (p.ended || p.met)
	return nil
}

// with is the query with one more parameter.
func with(query url.Values, name, value string) url.Values {
	more := maps.Clone(query)
	more.Set(name, value)
	return more
}

// The ends of a list of customers.
const (
	newestEnd = iota
	oldestEnd
)

// part is one part of the customers, read from both ends.
type part struct {
	mu       sync.Mutex
	found    *customers
	method   topup.PaymentMethod
	by       map[topup.CustomerID]int // the end that showed the customer first
	pages    [2]int
	clean    bool // every row could be read
	ended    bool // one end was read to the other
	met      bool
	conflict bool // the filter is ignored
	progress func() error
	unwanted error // what progress said to end it
}

// take adds a page, and tells whether its end has more to show. A page without
// anything new is where the two ends meet; when it is the first of its end, the
// order was ignored, and the other end reads the whole list.
func (p *part) take(page cursorPage, end int) (more bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.progress != nil && p.unwanted == nil {
		p.unwanted = p.progress()
	}
	if p.unwanted != nil {
		return false
	}
	news := false
	theirs := 0
	for _, row := range page.rows {
		c, err := readCustomer(row, page.SentAt)
		if err != nil {
			p.clean = false // a target of it is read by itself
			continue
		}
		by, seen := p.by[c.id]
		if seen {
			if by != end {
				theirs++
			}
			continue
		}
		news = true
		p.by[c.id] = end
		known, ok := p.found.customers[c.id]
		c.method = combine(known.method, p.method, ok)
		p.found.customers[c.id] = c
		if p.conflict = p.conflict || c.method == conflicting; p.conflict {
			return false
		}
	}
	p.pages[end]++
	p.met = p.met || !news && theirs > 0 && p.pages[end] > 1
	return news && !p.met && !p.conflict
}

func (p *part) end(ended bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.ended = p.ended || ended
}

// combine is the payment method of a customer that is in two parts. One that is
// listed as errored is bound to fail, whatever else it has.
func combine(before, now topup.PaymentMethod, known bool) topup.PaymentMethod {
	switch {
	case !known || now == topup.PaymentErrored:
		return now
	case now == topup.PaymentUnknown:
		return before
	case before == topup.PaymentMissing && now == topup.PaymentCard:
		return conflicting
	case slices.Contains([]topup.PaymentMethod{topup.PaymentErrored, topup.PaymentCard, conflicting}, before):
		return before
	default:
		return now
	}
}
