package doctor

import (
	"context"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"

	"topupd/topup"
)

// once buys one pack and waits until every list shows it. nil without an error:
// it did not work, and nothing more can be tried.
func (x *lab) once(ctx context.Context) (*bought, error) {
	const name = "one purchase"
	request, key, err := x.fresh(x.order)
	if err != nil {
		return nil, err
	}
	b, err := x.try(ctx, name, x.order, request, key)
	if err != nil || b == nil {
		return nil, err
	}
	if b.answer.Verdict != topup.Accepted {
		x.say(name, Fail, "find out why, or take another customer", "answered %s; nothing more was tried", answerText(b.answer))
		return nil, nil
	}
	x.note(b.answer)
	x.say(name, OK, "", "bought %s credits for %s: %s in %s", b.order.Credits, b.order.Price, answerText(b.answer), ms(b.answer.Duration))
	return b, x.appears(ctx, *b)
}

func (x *lab) fresh(o topup.Order) (topup.Request, string, error) {
	request, err := x.buyer.Prepare(o)
	if err != nil {
		return request, "", refuse("preparing the request: %v", err)
	}
	key, err := topup.NewKey()
	return request, key, err
}

const (
	firstPoll = 100 * time.Millisecond
	lastPoll  = 3 * time.Second // a look costs two reads
)

// appears waits until the invoice and the row of a purchase are listed, and
// notes how long that took from the send on.
func (x *lab) appears(ctx context.Context, b bought) error {
	const name = "visibility"
	var invoiceAt, rowAt time.Duration
	for poll := firstPoll; ; poll = min(2*poll, lastPoll) {
		invoices, rows, _, err := x.ids(ctx, b.order.Target)
		passed := x.Now().Sub(b.sentAt)
		if err != nil {
			x.visible = max(x.visible, passed) // it was not seen for so long
			return err
		}
		if invoiceAt == 0 && slices.Contains(invoices, b.answer.Reference) {
			invoiceAt = passed
		}
		if rowAt == 0 && slices.Contains(rows, b.answer.Reference) {
			rowAt = passed
		}
		if invoiceAt > 0 && rowAt > 0 {
			break
		}
		if passed > x.Wait {
			x.visible, x.unseen = max(x.visible, passed), true
			x.say(name, Fail, "run it again with a longer --wait, and do not go live before it is known: the quiet period must be longer than this",
				"%s was not in every list %s after it was sent (invoice %s, row %s)", b.answer.Reference, passed.Round(time.Second), shown(invoiceAt), shown(rowAt))
			return nil
		}
		if err := pause(ctx, poll); err != nil {
			x.visible = max(x.visible, passed)
			return err
		}
	}
	x.visible = max(x.visible, invoiceAt, rowAt)
	quiet := x.Provider.UnknownOutcome.QuietPeriod
	if need := (topup.Found{Visible: x.visible}).Quiet(quiet); need > quiet {
		x.say(name, Warn, "raise unknown_outcome.quiet_period; until then topupd raises it by itself to "+need.Round(time.Second).String(),
			"invoice listed after %s, row after %s: too slow for a quiet period of %s", ms(invoiceAt), ms(rowAt), quiet)
		return nil
	}
	x.say(name, OK, "", "invoice listed after %s, row after %s", ms(invoiceAt), ms(rowAt))
	return nil
}

func shown(d time.Duration) string {
	if d == 0 {
		return "not shown"
	}
	return "after " + ms(d)
}

// linger waits until a second charge would have shown too, as far as the first
// one tells.
func (x *lab) linger(ctx context.Context) error {
	return pause(ctx, min(max(time.Second, 2*x.visible), x.Wait))
}

// charges lists the invoices that the books or the answers know now, and did not
// before. The answers count even when the books cannot be read.
func (x *lab) charges(ctx context.Context, t topup.Target, answers ...topup.Answer) ([]string, error) {
	before := maps.Clone(x.invoices)
	x.note(answers...)
	if err := x.linger(ctx); err != nil {
		return nil, err
	}
	invoices, rows, err := x.whole(ctx, t)
	if err != nil {
		return nil, err
	}
	for _, id := range slices.Concat(invoices, rows) {
		x.invoices[id] = true
	}
	more := slices.Sorted(maps.Keys(x.invoices))
	return slices.DeleteFunc(more, func(id string) bool { return before[id] }), nil
}

// wholeTries is how often books that could be read in part only are read again.
const wholeTries = 5

// whole reads the books until they are complete: a part of them proves no absence.
func (x *lab) whole(ctx context.Context, t topup.Target) (invoices, rows []string, err error) {
	for range wholeTries {
		invoices, rows, whole, err := x.ids(ctx, t)
		if err != nil || whole {
			return invoices, rows, err
		}
		if err := pause(ctx, lastPoll); err != nil {
			return nil, nil, err
		}
	}
	return nil, nil, fmt.Errorf("the books of %s can be read in part only, so nobody knows what was charged", t.Customer)
}

// note keeps the invoices that answers name.
func (x *lab) note(answers ...topup.Answer) {
	for _, a := range answers {
		if a.Reference != "" {
			x.invoices[a.Reference] = true
		}
	}
}

// noMoreRepeats is what the daemon does about keys that are ignored.
const noMoreRepeats = "topupd repeats no purchase here from now on: unclear ones wait for a person (policy review)"

// late looks once more when everything was tried: a repeat may have been charged
// after it was answered.
func (x *lab) late(ctx context.Context, first bought) error {
	more, err := x.charges(ctx, first.order.Target)
	if err != nil || len(more) == 0 {
		return err
	}
	x.stray("a last look", more)
	return nil
}

// stray is about charges that no answer names: whichever request they came from,
// one under a key that was used before was charged again.
func (x *lab) stray(name string, ids []string) {
	x.ignored = true
	x.say(name, Fail, noMoreRepeats, "%s turned up that no answer names: a second charge under a key, executed late", strings.Join(ids, ", "))
}

// sameKey repeats the first purchase byte for byte, as the daemon would.
func (x *lab) sameKey(ctx context.Context, first bought) error {
	const name = "same key again"
	b, err := x.try(ctx, name, first.order, first.request, first.key)
	if err != nil || b == nil {
		return err
	}
	x.ignored = b.answer.Reference != "" && b.answer.Reference != first.answer.Reference // whatever the books say
	more, err := x.charges(ctx, first.order.Target, first.answer, b.answer)
	if err != nil {
		return err
	}
	switch {
	case len(more) > 0:
		x.ignored = true
		x.say(name, Fail, noMoreRepeats, "charged again: %d invoices for one key; answered %s", 1+len(more), answerText(b.answer))
	case x.unseen:
		x.say(name, Unknown, "", "one invoice so far, and purchases show later than --wait: a second one may still come; answered %s", answerText(b.answer))
	case b.answer.Verdict == topup.Accepted && b.answer.Reference == first.answer.Reference:
		x.honoured = true
		x.say(name, OK, "", "one invoice, the same answer again")
	default:
		x.say(name, Unknown, "", "one invoice, but another answer: %s", answerText(b.answer))
	}
	return nil
}

// otherBytes sends the same meaning in other bytes under the first key.
func (x *lab) otherBytes(ctx context.Context, first bought) error {
	request := first.request
	request.Body = append(slices.Clone(request.Body), ' ')
	return x.other(ctx, "same key, other bytes", first, first.order, request, true)
}

// otherExpiry sends another purchase of the same price under the first key.
func (x *lab) otherExpiry(ctx context.Context, first bought) error {
	order := first.order
	later := order.ExpiresAt.Add(24 * time.Hour)
	order.ExpiresAt = &later
	request, err := x.buyer.Prepare(order)
	if err != nil {
		return fmt.Errorf("preparing the request: %w", err)
	}
	return x.other(ctx, "same key, other purchase", first, order, request, false)
}

func (x *lab) other(ctx context.Context, name string, first bought, order topup.Order, request topup.Request, sameMeaning bool) error {
	if x.ignored {
		x.say(name, Unknown, "", "not tried: keys are ignored")
		return nil
	}
	b, err := x.try(ctx, name, order, request, first.key)
	if err != nil || b == nil {
		return err
	}
	more, err := x.charges(ctx, first.order.Target, b.answer)
	if err != nil {
		return err
	}
	unnamed := slices.DeleteFunc(slices.Clone(more), func(id string) bool { return id == b.answer.Reference })
	const harmless = "nothing: topupd never sends other bytes under a key. The documentation says 417; tell the provider"
	same := b.answer.Verdict == topup.Accepted && b.answer.Reference == first.answer.Reference
	switch {
	case len(unnamed) > 0:
		x.stray(name, unnamed)
	case len(more) > 0:
		x.say(name, Warn, harmless, "executed: a key stands for one request body; answered %s", answerText(b.answer))
	case b.answer.NeverRepeat:
		x.say(name, OK, "", "refused with %d, as documented", b.answer.Status)
	case same && sameMeaning:
		x.say(name, OK, "", "the first answer came again: bodies are compared by meaning, or not at all")
	case same:
		x.say(name, Warn, harmless, "the first answer came again: bodies are not compared")
	default:
		x.say(name, Unknown, "", "answered %s", answerText(b.answer))
	}
	return nil
}

// concurrent sends one purchase twice at the same time.
func (x *lab) concurrent(ctx context.Context, first bought) error {
	const name = "two at the same time"
	if x.ignored {
		x.say(name, Unknown, "", "not tried: keys are ignored")
		return nil
	}
	if err := x.reserve(2); err != nil {
		x.say(name, Unknown, "", "not tried: %v", err)
		return nil
	}
	request, key, err := x.fresh(first.order)
	if err != nil {
		return err
	}
	var pair [2]*sending
	for i := range pair {
		if pair[i], err = x.open(ctx, name, first.order, request, key); err != nil {
			if i > 0 {
				_ = pair[0].sender.Close() // nothing was sent on it
			}
			return err
		}
	}
	var both sync.WaitGroup
	for _, s := range pair {
		both.Go(func() { x.send(ctx, s) })
	}
	both.Wait()
	if err := x.end(ctx, pair[0], pair[1]); err != nil {
		return err
	}
	return x.judgePair(ctx, name, pair[0].answer, pair[1].answer)
}

func (x *lab) judgePair(ctx context.Context, name string, a, b topup.Answer) error {
	x.ignored = x.ignored || a.Reference != "" && b.Reference != "" && a.Reference != b.Reference // whatever the books say
	more, err := x.charges(ctx, x.order.Target, a, b)
	if err != nil {
		return err
	}
	text := answerText(a) + " and " + answerText(b)
	switch {
	case len(more) > 1:
		x.ignored = true
		x.say(name, Fail, noMoreRepeats, "both were charged under one key: %s", text)
	case a.WaitAndRepeat || b.WaitAndRepeat:
		x.say(name, OK, "", "one invoice; the other was refused with 409, as documented")
	case a.Verdict == topup.Accepted && b.Verdict == topup.Accepted && a.Reference == b.Reference:
		x.say(name, OK, "", "one invoice and the same answer twice: they did not meet, or one waited")
	default:
		x.say(name, Unknown, "", "%s; %d new invoices", text, len(more))
	}
	return nil
}

// declined buys for the customer whose card is declined and looks at what that
// leaves behind.
func (x *lab) declined(ctx context.Context, first bought) error {
	const name = "declined card"
	if x.Declined == "" {
		x.say(name, Unknown, "", "not tried: no --declined-customer")
		return nil
	}
	order := first.order
	order.Target.Customer = x.Declined
	conf, err := x.Client.Confirm(ctx, order)
	if err != nil {
		x.say(name, Unknown, "", "customer %s cannot be read: %v", x.Declined, err)
		return nil
	}
	if problem := obstacle(conf); problem != "" {
		x.say(name, Unknown, "take another --declined-customer", "not tried with customer %s: %s", x.Declined, problem)
		return nil
	}
	x.baseline = append(x.baseline, conf.Seen()...)
	request, key, err := x.fresh(order)
	if err != nil {
		return err
	}
	b, err := x.try(ctx, name, order, request, key)
	if err != nil || b == nil {
		return err
	}
	if err := x.linger(ctx); err != nil {
		return err
	}
	books, err := x.buyer.Books(ctx, order.Target, x.began.Add(-topup.MatchBefore))
	if err != nil {
		return fmt.Errorf("reading the books of %s: %w", x.Declined, err)
	}
	x.judgeDeclined(name, b.answer, books)
	return nil
}

func (x *lab) judgeDeclined(name string, a topup.Answer, books topup.Books) {
	left := "no invoice"
	paid := false
	for _, i := range books.Invoices {
		if slices.Contains(x.baseline, i.ID) {
			continue
		}
		left = fmt.Sprintf("invoice %s, status %s", i.ID, i.Status)
		paid = i.Payment == topup.PaymentPaid
	}
	rows := count(books.Topups, func(t topup.Topup) bool { return !slices.Contains(x.baseline, t.ID) })
	text := fmt.Sprintf("answered %s; left %s and %s of credits", answerText(a), left, many(rows, "row"))
	switch {
	case paid:
		x.say(name, Unknown, "take a customer whose card is declined", "it was paid: %s", text)
	case a.Verdict == topup.Rejected && a.Status != http.StatusPaymentRequired:
		x.say(name, Unknown, "take a customer whose card is declined", "refused for another reason than the card: %s", text)
	case rows > 0:
		x.say(name, Warn, "know that credits are granted before they are paid", "%s", text)
	default:
		x.say(name, OK, "", "%s", text)
	}
}
