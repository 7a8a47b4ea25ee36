package doctor

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"topupd/clients"
	"topupd/config"
	"topupd/ledger"
	"topupd/topup"
)

// Buyer is the client that sends one request on one connection and never
// repeats it (P4).
type Buyer interface {
	Prepare(topup.Order) (topup.Request, error)
	Connect(context.Context) (topup.Sender, error)
	Books(ctx context.Context, target topup.Target, since time.Time) (topup.Books, error)
}

// Record keeps what was about to be sent, before it is, and what came of it.
type Record interface {
	BeginExperiment(context.Context, ledger.Experiment) error
	EndExperiment(ctx context.Context, id, answer string) error
}

// Terms are what a person allows.
type Terms struct {
	Customer    topup.CustomerID // whom to buy for; nobody else may buy for it meanwhile
	Declined    topup.CustomerID // one whose card is declined; "" leaves that experiment out
	SpendAtMost topup.Money      // over all requests, excluding tax, inclusive
	Wait        time.Duration    // longest wait for a purchase to show
	Watch       time.Duration    // how long the refreshing of a balance is watched; 0 = not
	By          string
}

// Purchase is one request that was put on the wire, or was about to be.
type Purchase struct {
	Experiment string    `json:"experiment"`
	Customer   string    `json:"customer"`
	Product    string    `json:"product"`
	Credits    string    `json:"credits"`
	Price      string    `json:"price_excluding_tax"`
	Key        string    `json:"idempotency_key"`
	At         time.Time `json:"at"`
	Answer     string    `json:"answer"`
	Invoice    string    `json:"invoice"` // "" when the answer names none
}

// Refusal is why no experiment may be made. Nothing was sent.
type Refusal struct{ Why string }

func (r *Refusal) Error() string { return r.Why }

func refuse(format string, args ...any) error { return &Refusal{fmt.Sprintf(format, args...)} }

// Allowed tells why experiments may not be made at a provider: they need one
// with keys and books, a test_ key, and the sandbox or this machine.
func Allowed(p config.Provider) error {
	host := strings.ToLower(p.BaseURL.Hostname())
	switch {
	case p.Type.Traits().Sandbox == "":
		return refuse("provider %s: there is nothing to try: %s has no idempotency keys and no sandbox", p.Name, p.Type.Title())
	case !strings.HasPrefix(p.Token.Reveal(), testKey):
		return refuse("provider %s: experiments buy, so they need a test_ key; this is %s", p.Name, kindOfKey(p.Token.Reveal()))
	case !p.Loopback() && (host != sandboxHost || p.BaseURL.Scheme != "https"):
		return refuse("provider %s: experiments are for https://%s and this machine, not %s", p.Name, sandboxHost, p.BaseURL.Host)
	default:
		return nil
	}
}

// lab makes the experiments at one provider.
type lab struct {
	Patient
	Terms
	notes
	api      *clients.API
	buyer    Buyer
	record   Record
	announce func(string)

	order    topup.Order
	spent    topup.Money
	began    time.Time // by the provider's clock, where it sends one
	baseline []string
	visible  time.Duration // longest delay that was seen
	unseen   bool          // the first purchase had not shown when it was given up
	honoured bool          // a repeat brought the first answer, and no second charge was seen
	ignored  bool          // a repeat was charged again, or may have been
	invoices map[string]bool
}

// Experiments buys what it takes to see how the provider behaves, within the
// terms. announce is told of every purchase with its price before it is sent.
// An error that is a *Refusal means that nothing was sent; with any other one
// the visit holds what was found until then.
func Experiments(ctx context.Context, p Patient, buyer Buyer, record Record, t Terms, announce func(string)) (Visit, error) {
	x := &lab{
		Patient: p, Terms: t, buyer: buyer, record: record, announce: announce, api: clients.New(p.API),
		notes: notes{provider: p.Provider.Name, id: p.Provider.Identity(), kind: Experiment},
	}
	if err := x.prepare(ctx); err != nil {
		return x.Visit, err
	}
	first, err := x.once(ctx)
	if first != nil {
		if err == nil {
			err = x.more(ctx, *first)
		}
		x.conclude()
	}
	if err == nil && x.Watch > 0 {
		err = x.refresh(ctx)
	}
	return x.Visit, err
}

// more are the experiments that need a purchase that worked.
func (x *lab) more(ctx context.Context, first bought) error {
	for _, try := range []func(context.Context, bought) error{x.sameKey, x.otherBytes, x.otherExpiry, x.concurrent, x.declined} {
		if err := try(ctx, first); err != nil {
			return err
		}
	}
	x.expiry(ctx, first)
	x.orders(ctx)
	return x.late(ctx, first)
}

// conclude notes what the daemon is to obey.
func (x *lab) conclude() {
	x.found(topup.VisibleAfter, x.visible.Round(time.Millisecond).String())
	switch {
	case x.ignored:
		x.found(topup.KeysHonoured, "no")
	case x.honoured:
		x.found(topup.KeysHonoured, "yes")
	}
}

// prepare chooses the cheapest thing that a rule buys for the customer, and
// refuses where anything would keep the daemon from buying it.
func (x *lab) prepare(ctx context.Context) error {
	if err := Allowed(x.Provider); err != nil {
		return err
	}
	if err := x.cheapest(); err != nil {
		return err
	}
	if x.SpendAtMost.Currency != x.order.Price.Currency {
		return refuse("--spend-at-most is in %s, and the rules buy in %s", x.SpendAtMost.Currency, x.order.Price.Currency)
	}
	if x.SpendAtMost.Minor < x.order.Price.Minor {
		return refuse("--spend-at-most %s is less than the cheapest purchase of the rules, %s", x.SpendAtMost, x.order.Price)
	}
	conf, err := x.Client.Confirm(ctx, x.order)
	if err != nil {
		return refuse("customer %s cannot be read: %v", x.Customer, err)
	}
	if problem := obstacle(conf); problem != "" {
		return refuse("nothing can be tried with customer %s: %s", x.Customer, problem)
	}
	x.invoices = map[string]bool{}
	x.spent = topup.Money{Currency: x.order.Price.Currency}
	x.baseline, x.began = conf.Seen(), conf.ServerTime
	if x.began.IsZero() {
		x.began = x.Now()
	}
	return nil
}

// obstacle is why the daemon would not buy for a customer, or not at the
// configured price: nothing is tried with such a one.
func obstacle(c topup.Confirmation) string {
	return cmp.Or(c.Reading.Account.Inactive, c.PriceProblem, c.CurrencyProblem, c.Reading.Native, c.Reading.Bad)
}

// expiresIn is when credits of experiments expire: soon enough to vanish, and
// with seconds that a rounding would show.
const expiresIn = 30 * 24 * time.Hour

func (x *lab) cheapest() error {
	for _, r := range (&examination{Patient: x.Patient}).mine() {
		for _, b := range r.Buy.Bundles {
			if x.order.Price.Minor != 0 && (b.Price.Currency != x.SpendAtMost.Currency || b.Price.Minor >= x.order.Price.Minor) {
				continue
			}
			at := x.Now().UTC().Add(expiresIn).Truncate(time.Minute).Add(37 * time.Second)
			x.order = topup.Order{
				Target:  topup.Target{Provider: x.id, Customer: x.Customer, Product: r.Product},
				Credits: b.Credits, Price: b.Price, PriceID: b.PriceID, ExpiresAt: &at,
			}
		}
	}
	if x.order.Price.Minor == 0 {
		return refuse("no rule buys at provider %s, so there is no price to try", x.Provider.Name)
	}
	return nil
}

// errBound is a request that would cost more than was allowed.
var errBound = errors.New("the bound would be passed")

// reserve counts a request in full, for good: what is answered later proves
// little about what is charged later still.
func (x *lab) reserve(requests int64) error {
	price := x.order.Price.Minor
	if left := x.SpendAtMost.Minor - x.spent.Minor; requests > left/price {
		return fmt.Errorf("%w: %s of %s is spoken for, and this could cost %s", errBound, x.spent, x.SpendAtMost,
			topup.Money{Minor: price * requests, Currency: x.order.Price.Currency})
	}
	x.spent.Minor += price * requests
	return nil
}

// bought is a request with its answer.
type bought struct {
	order   topup.Order
	request topup.Request
	key     string
	sentAt  time.Time
	answer  topup.Answer
}

// sending is one request that may be sent: its connection stands and it is
// written down.
type sending struct {
	name   string
	sender topup.Sender
	id     string
	bought
}

// open connects, announces and records one request whose price was reserved.
func (x *lab) open(ctx context.Context, name string, order topup.Order, request topup.Request, key string) (*sending, error) {
	x.announce(fmt.Sprintf("%s: sending a purchase of %s credits for %s to %s; %s of at most %s spoken for",
		name, order.Credits, order.Price, order.Target.Customer, x.spent, x.SpendAtMost))
	id, err := topup.NewID()
	if err != nil {
		return nil, err
	}
	sender, err := x.buyer.Connect(ctx)
	if err != nil {
		return nil, fmt.Errorf("%s: connecting, nothing was sent: %w", name, err)
	}
	err = x.record.BeginExperiment(ctx, ledger.Experiment{
		ID: id, Target: order.Target, Name: name, Price: order.Price, Key: key, Request: request.Fingerprint(), By: x.By,
	})
	if err != nil {
		_ = sender.Close() // nothing was sent on it
		return nil, fmt.Errorf("%s: recording the purchase, nothing was sent: %w", name, err)
	}
	return &sending{name: name, sender: sender, id: id, bought: bought{order: order, request: request, key: key}}, nil
}

// send puts the request on the wire, once.
func (x *lab) send(ctx context.Context, s *sending) {
	s.sentAt = x.Now()
	s.answer = s.sender.Send(context.WithoutCancel(ctx), s.request, s.key)
	_ = s.sender.Close() // it has carried its one request
}

// end records the answers.
func (x *lab) end(ctx context.Context, sent ...*sending) error {
	var errs error
	for _, s := range sent {
		text := answerText(s.answer)
		x.Purchases = append(x.Purchases, Purchase{
			Experiment: s.name, Customer: string(s.order.Target.Customer), Product: string(s.order.Target.Product), Credits: s.order.Credits.String(), Price: s.order.Price.String(),
			Key: s.key, At: s.sentAt.UTC(), Answer: text, Invoice: s.answer.Reference,
		})
		if err := x.record.EndExperiment(context.WithoutCancel(ctx), s.id, text); err != nil {
			errs = errors.Join(errs, fmt.Errorf("%s: recording the answer %q: %w", s.name, text, err))
		}
	}
	return errs
}

func answerText(a topup.Answer) string {
	text := string(a.Verdict)
	if a.Status != 0 {
		text += fmt.Sprintf(" (%d)", a.Status)
	}
	if a.Reference != "" {
		text += " " + a.Reference
	}
	if a.Detail != "" {
		text += ": " + a.Detail
	}
	return text
}

// try sends one request. nil without an error: the bound forbids it.
func (x *lab) try(ctx context.Context, name string, order topup.Order, request topup.Request, key string) (*bought, error) {
	if err := x.reserve(1); err != nil {
		x.say(name, Unknown, "", "not tried: %v", err)
		return nil, nil
	}
	s, err := x.open(ctx, name, order, request, key)
	if err != nil {
		return nil, err
	}
	x.send(ctx, s)
	return &s.bought, x.end(ctx, s)
}

// ids are the new invoices that the provider's books name, by lists and by rows.
// Without whole there may be more.
func (x *lab) ids(ctx context.Context, t topup.Target) (invoices, rows []string, whole bool, err error) {
	b, err := x.buyer.Books(ctx, t, x.began.Add(-topup.MatchBefore))
	if err != nil {
		return nil, nil, false, fmt.Errorf("reading the books of %s: %w", t.Customer, err)
	}
	since := x.began.Add(-time.Second) // what was bought before, and shows only now, is not ours
	for _, i := range b.Invoices {
		if i.Concerns(t.Product) && !slices.Contains(x.baseline, i.ID) && !i.At.Before(since) {
			invoices = append(invoices, i.ID)
		}
	}
	for _, r := range b.Topups {
		if !slices.Contains(x.baseline, r.ID) && r.Invoice != "" && !r.At.Before(since) {
			rows = append(rows, r.Invoice)
		}
	}
	return invoices, rows, b.Complete, nil
}

// pause waits between two looks.
func pause(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return fmt.Errorf("interrupted: %w", context.Cause(ctx))
	}
}
