package doctor

import (
	"context"
	"net/url"
	"time"

	"topupd/clients"
	"topupd/topup"
)

// list reads the rows of one path.
func (x *lab) list(ctx context.Context, op, path string, query url.Values) ([]clients.Object, error) {
	resp, err := x.api.Read(ctx, clients.Read{Op: op, Path: path, Query: query, Token: x.Provider.Token})
	if err != nil {
		return nil, err
	}
	o, err := clients.ParseObject(resp.Body)
	return objects(o), err
}

// expiry compares the expiry that was asked for with the one in the row.
func (x *lab) expiry(ctx context.Context, first bought) {
	const name = "seconds of expires_at"
	rows, err := x.list(ctx, "transactions", ledgerPath(first.order.Target), url.Values{"take": {"100"}, "type": {"topup"}})
	if err != nil {
		x.say(name, Unknown, "", "%v", err)
		return
	}
	want := *first.order.ExpiresAt
	for _, r := range rows {
		if r.ID("invoice_id") != first.answer.Reference {
			continue
		}
		switch got := r.Text("expires_at"); {
		case r.Time("expires_at").Equal(want):
			x.found(topup.ExpirySeconds, "kept")
			x.say(name, OK, "", "kept: %s came back as it was sent", got)
		case got != "":
			x.found(topup.ExpirySeconds, "cut")
			x.say(name, OK, "", "cut: %s was sent, %s came back, so it cannot tell purchases apart", want.Format(time.RFC3339), got)
		default:
			x.say(name, Warn, "look at the customer: credits may not expire as configured", "%s was sent, the row has none", want.Format(time.RFC3339))
		}
		return
	}
	x.say(name, Unknown, "", "the row of %s is not listed", first.answer.Reference)
}

// orders looks at the two lists again, now that they have rows.
func (x *lab) orders(ctx context.Context) {
	rows, err := x.list(ctx, "transactions", ledgerPath(x.order.Target), url.Values{"take": {"100"}, "type": {"topup"}})
	x.sorted("ledger order", "nothing: topupd finds the order out by itself", err, sorting(stamped(rows, "created_at")), newest, oldest)
	query := url.Values{"limit": {"100"}, "status": {"all"}, "sort": {"created_at"}, "order": {"desc"}, "customer_id": {string(x.Customer)}}
	bills, err := x.list(ctx, "invoices", invoicesPath, query)
	x.sorted("invoice order", "watch the read budget: every page of a customer's invoices is read", err, sorting(stamped(bills, "issued_at", "updated_at")), newest)
}

func (x *lab) sorted(name, next string, err error, order string, good ...string) {
	for _, g := range good {
		if err == nil && order == g {
			x.say(name, OK, "", "%s", order)
			return
		}
	}
	switch {
	case err != nil:
		x.say(name, Unknown, "", "%v", err)
	case order == "":
		x.say(name, Unknown, "", "too few rows to tell")
	default:
		x.say(name, Warn, next, "%s", order)
	}
}

// refresh watches when the balance of the customer is worked out anew.
func (x *lab) refresh(ctx context.Context) error {
	const name = "balance refresh"
	poll := min(max(x.Watch/30, 100*time.Millisecond), time.Second)
	var stamps []time.Time
	reads := 0
	for end := x.Now().Add(x.Watch); x.Now().Before(end); reads++ {
		resp, err := x.api.Read(ctx, clients.Read{Op: "credit", Path: creditPath(x.order.Target), Token: x.Provider.Token})
		if err == nil {
			var o clients.Object
			if o, err = clients.ParseObject(resp.Body); err == nil {
				if at := o.Time("last_refreshed_at"); !at.IsZero() && (len(stamps) == 0 || !at.Equal(stamps[len(stamps)-1])) {
					stamps = append(stamps, at)
				}
			}
		}
		if err != nil {
			x.say(name, Unknown, "", "%v", err)
			return nil
		}
		if err := pause(ctx, poll); err != nil {
			return err
		}
	}
	x.judgeRefresh(name, stamps, reads)
	return nil
}

func (x *lab) judgeRefresh(name string, stamps []time.Time, reads int) {
	var longest time.Duration
	for i := 1; i < len(stamps); i++ {
		longest = max(longest, stamps[i].Sub(stamps[i-1]))
	}
	switch {
	case len(stamps) < 2:
		x.say(name, Unknown, "", "last_refreshed_at did not move in %s; a purchase shows no sooner than it does", x.Watch)
	case len(stamps) == reads:
		x.say(name, OK, "", "at every read")
	default:
		x.found(topup.RefreshEvery, longest.Round(time.Millisecond).String())
		x.say(name, OK, "", "every %s at most: a reading may be that old, and a purchase shows no sooner", longest.Round(time.Millisecond))
	}
}
