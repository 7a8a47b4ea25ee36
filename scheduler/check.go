package scheduler

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"time"

	"topupd/rules"
	"topupd/topup"
)

// check takes one low target from its confirm read to a purchase: read, decide,
// plan, drive. Every outcome is one evaluation with one reason. It tells whether
// it came to one.
func (w *Watch) check(ctx context.Context, turn waiting) bool {
	target := turn.target
	lease, held := w.holding.current()
	if !held {
		return false
	}
	w.mu.Lock()
	t, known := w.tracked[target]
	_, suspected := w.suspects[target]
	if !known || w.term != lease.Term || suspected {
		w.mu.Unlock()
		return false
	}
	snapshot, behind := *t, w.books.behind(w.Reader)
	w.mu.Unlock()

	c := confirm{w: w, target: target, lease: lease, t: snapshot, class: turn.class, book: w.Rulebook(), behind: behind, began: w.Now()}
	d, err := c.run(ctx)
	if err != nil && ctx.Err() != nil {
		return false // shutting down; nothing was learnt
	}
	w.conclude(ctx, &c, d, err)
	return true
}

// confirm is one target's way from low to bought.
type confirm struct {
	w        *Watch
	target   topup.Target
	lease    topup.Lease
	t        tracked // as it was when the check began
	class    class
	began    time.Time
	book     *Rulebook
	behind   string // why purchases may be unknown to the ledger
	facts    rules.Facts
	fresh    *topup.Reading // read because the poll's was too old; the first of two
	purchase *topup.Purchase
}

func (c *confirm) run(ctx context.Context) (rules.Decision, error) {
	w := c.w
	standing, err := w.Standings.Standing(ctx, c.target)
	if err != nil {
		return rules.Decision{}, fmt.Errorf("reading the ledger: %w", err)
	}
	rule, excluded := c.book.Rules.Match(w.candidate(c.target, &c.t))
	c.facts = rules.Facts{
		Now: w.Now(), Rule: rule, Excluded: excluded, Reading: &c.t.reading, Standing: standing,
		FirstLow: c.firstLow(), ZeroSince: c.t.zeroSince, AllowNative: w.AllowNative, FirstHold: w.FirstHold, Behind: c.behind,
	}
	d := rules.Decide(c.facts)
	switch {
	case d.Reason == topup.Suspended:
		return d, c.tryLift(ctx)
	case d.Reason == topup.Implausible:
		return d, c.tryExplain(ctx)
	case d.Reason == topup.StaleReading && rule != nil && c.facts.Now.Sub(c.t.reading.ReadAt) > rule.MaxReadingAge:
		return c.readFirst(ctx, d)
	case d.Reason != topup.Rechecking:
		return d, nil
	}
	d.Order.Patient = c.class != first
	if d, err = c.read(ctx, d); err != nil || d.Reason != topup.Buy {
		return d, err
	}
	return c.buy(ctx, d)
}

// firstLow is the first low reading of this spell; nil when there is none.
func (c *confirm) firstLow() *time.Time {
	if c.t.spell.low.IsZero() {
		return nil
	}
	return &c.t.spell.low
}

// readFirst reads a target whose last reading has become too old to be the first
// of two: a pass over a large account takes longer than readings may be old. What
// it reads is the first reading, and nothing is bought on it.
func (c *confirm) readFirst(ctx context.Context, stale rules.Decision) (rules.Decision, error) {
	then := c.facts
	then.Now = c.t.reading.ReadAt
	d := rules.Decide(then)
	if d.Reason != topup.Rechecking {
		return stale, nil
	}
	d.Order.Patient = c.class != first
	read, err := c.w.Reader.Confirm(ctx, d.Order)
	switch {
	case ctx.Err() != nil:
		return d, fmt.Errorf("the confirm read: %w", ctx.Err())
	case err != nil:
		d.Reason, d.Text = topup.ProviderUnavailable, "the confirm read failed: "+err.Error()
		return d, nil //nolint:nilerr // that the provider cannot be read is a decision
	}
	c.fresh = &read.Reading
	d.Text = "the last poll's reading was too old; read anew"
	return d, nil
}

// read does the confirm read and decides on it. What is bought must be what
// was read about: when the balance has moved to another bundle in between, that
// one's price is read before it is bought (P10).
func (c *confirm) read(ctx context.Context, d rules.Decision) (rules.Decision, error) {
	for range 2 {
		asked := d.Order
		var err error
		if d, err = c.readFor(ctx, d); err != nil || d.Reason != topup.Buy || sameBundle(asked, d.Order) {
			return d, err
		}
	}
	d.Reason, d.Text = topup.Rechecking, "the balance moved from bundle to bundle while it was read; deciding again"
	return d, nil
}

func sameBundle(a, b topup.Order) bool {
	return a.PriceID == b.PriceID && a.Credits == b.Credits && a.Price == b.Price
}

func (c *confirm) readFor(ctx context.Context, d rules.Decision) (rules.Decision, error) {
	w := c.w
	read, err := w.Reader.Confirm(ctx, d.Order)
	if ctx.Err() != nil {
		return d, fmt.Errorf("the confirm read: %w", ctx.Err())
	}
	if err != nil {
		d.Reason, d.Text = topup.ProviderUnavailable, "the confirm read failed: "+err.Error()
		return d, nil //nolint:nilerr // that the provider cannot be read is a decision
	}
	imported, err := w.Planner.Import(ctx, c.target, read.Topups)
	if err != nil {
		return d, fmt.Errorf("importing credit additions: %w", err)
	}
	if imported > 0 { // the facts are overtaken by what was just learnt
		w.Log.LogAttrs(ctx, slog.LevelWarn, "external", slog.String("provider", w.Name), slog.String("customer", string(c.target.Customer)),
			slog.String("product", string(c.target.Product)), slog.Int("imported", imported))
		if s, err := w.Standings.Standing(ctx, c.target); err == nil && s.Implausible != "" {
			w.Log.LogAttrs(ctx, slog.LevelError, "held", slog.String("provider", w.Name), slog.String("customer", string(c.target.Customer)),
				slog.String("product", string(c.target.Product)), slog.String("reason", s.Implausible))
		}
		d.Reason, d.Text = topup.Rechecking, fmt.Sprintf("%d credit additions by others were imported; deciding again", imported)
		return d, nil
	}
	c.facts.Now, c.facts.Confirmation = w.Now(), &read
	c.facts.OverCap, err = w.Standings.OverCap(ctx, c.target, c.facts.Rule.Name, d.Order.Price, c.caps())
	if err != nil {
		return d, fmt.Errorf("reading the caps: %w", err)
	}
	d = rules.Decide(c.facts)
	if read.PriceProblem != "" {
		c.doubtPrice(ctx, d.Order)
	}
	if d.Refund != "" {
		if err := w.Holds.HoldRefunded(ctx, c.target, d.Refund, d.Text); err != nil {
			return d, fmt.Errorf("holding a customer after a refund: %w", err)
		}
		w.Log.LogAttrs(ctx, slog.LevelError, "refunded", slog.String("provider", w.Name), slog.String("customer", string(c.target.Customer)),
			slog.String("product", string(c.target.Product)), slog.String("reason", d.Text)) // a person must act
	}
	return d, nil
}

// doubtPrice notes that the provider shows another price: when it has gone back,
// the next bill has to show what is charged (P10). Nothing is bought meanwhile, and
// the next confirm read tries again what the ledger did not take.
func (c *confirm) doubtPrice(ctx context.Context, o topup.Order) {
	rule := c.facts.Rule.Name
	shown := func(known topup.Canary) bool {
		return known.Rule == rule && known.PriceID == o.PriceID && known.PassedAt != nil
	}
	if !slices.ContainsFunc(c.facts.Standing.Canaries, shown) {
		return
	}
	if err := c.w.Planner.DoubtPrice(ctx, c.target.Provider, rule, o.PriceID); err != nil {
		c.w.Log.LogAttrs(ctx, slog.LevelWarn, "price", slog.String("provider", c.w.Name), slog.String("rule", rule), slog.Any("err", err))
	}
}

func (c *confirm) caps() []topup.Cap {
	return append(slices.Clone(c.book.Caps), c.facts.Rule.Caps...)
}

// buy plans the purchase and drives it as far as it goes now.
func (c *confirm) buy(ctx context.Context, d rules.Decision) (rules.Decision, error) {
	w := c.w
	p, err := c.purchaseFor(d)
	if err != nil {
		return d, err
	}
	planned, err := w.Planner.Plan(ctx, topup.PlanRequest{
		Purchase: p, Lease: c.lease,
		Facts:     topup.Facts{Version: c.facts.Standing.Version, At: c.facts.Standing.Now, MaxAge: c.facts.Rule.MaxReadingAge},
		Caps:      c.caps(),
		FirstHold: w.FirstHold, TokenFingerprint: w.TokenFingerprint(),
		Evidence: []topup.Evidence{c.why(d)},
	})
	if err != nil {
		return refusal(d, err)
	}
	c.purchase = &planned
	if d.Unproven { // a person must look
		w.Log.LogAttrs(ctx, slog.LevelError, "unproven", slog.String("provider", w.Name), slog.String("customer", string(c.target.Customer)),
			slog.String("purchase", planned.ID), slog.String("reason", "its balance has been zero for "+topup.ZeroUnbroken.String()+" under a stamp that does not move"))
	}
	w.Planned(planned, d)
	// What becomes of it is told by the purchaser; the decision stays "buy".
	if bought, _ := w.Purchaser.Buy(ctx, planned, c.lease); bought.Reason == topup.FailedRefused {
		w.weighRefusals(ctx)
	}
	return d, nil
}

// refusal says which reason a refused plan comes down to.
func refusal(d rules.Decision, err error) (rules.Decision, error) {
	d.Text = err.Error()
	switch {
	case errors.Is(err, topup.ErrOverCap):
		d.Reason = topup.OverCap
	case errors.Is(err, topup.ErrPaused):
		d.Reason = topup.Paused
	case errors.Is(err, topup.ErrRuleStopped):
		d.Reason = topup.RuleStopped
	case errors.Is(err, topup.ErrChangeHeld):
		d.Reason = topup.ChangeHeld
	case errors.Is(err, topup.ErrHeld):
		d.Reason = topup.Implausible
	case errors.Is(err, topup.ErrRefunded):
		d.Reason = topup.Refunded
	case errors.Is(err, topup.ErrProvingPrice):
		d.Reason = topup.ProvingPrice
	case errors.Is(err, topup.ErrPurchaseOpen):
		d.Reason = topup.StillOpen
	case errors.Is(err, topup.ErrFirstHold):
		d.Reason = topup.FirstHold
	case errors.Is(err, topup.ErrProviderStopped):
		d.Reason = topup.ProviderUnavailable
	case errors.Is(err, topup.ErrLedgerUnfit):
		d.Reason = topup.Quarantined
	case errors.Is(err, topup.ErrFactsOvertaken), errors.Is(err, topup.ErrLeaseLost):
		d.Reason = topup.Rechecking
	case errors.Is(err, topup.ErrFactsTooOld):
		d.Reason = topup.StaleReading
	default:
		return d, fmt.Errorf("planning: %w", err)
	}
	return d, nil
}

// purchaseFor freezes everything that the life of the purchase will need.
func (c *confirm) purchaseFor(d rules.Decision) (topup.Purchase, error) {
	w, read, rule := c.w, c.facts.Confirmation, c.facts.Rule
	request, err := w.Reader.Prepare(d.Order)
	if err != nil {
		return topup.Purchase{}, fmt.Errorf("preparing the request: %w", err)
	}
	terms, err := rule.Terms(c.target.Customer)
	if err != nil {
		return topup.Purchase{}, err
	}
	id, err := topup.NewID()
	if err != nil {
		return topup.Purchase{}, err
	}
	key, err := topup.NewKey()
	if err != nil {
		return topup.Purchase{}, err
	}
	return topup.Purchase{
		ID: id, Target: c.target, ProviderName: w.Name,
		CustomerName: c.t.reading.CustomerName, ProductName: c.t.reading.ProductName,
		Rule: rule.Name, RuleVersion: rule.Version, Terms: terms,
		Credits: d.Order.Credits, Price: d.Order.Price, PriceID: d.Order.PriceID,
		PaymentMethodID: d.Order.PaymentMethodID, ExpiresAt: d.Order.ExpiresAt,
		Key: key, Request: request, Fingerprint: request.Fingerprint(),
		Policy: w.Found().Policy(w.Policy), QuietPeriod: w.Found().Quiet(w.QuietPeriod), PurchaseTimeout: w.PurchaseTimeout,
		Declines: topup.DeclineTerms{
			Backoff: rule.Declines.Backoff, MaxBackoff: rule.Declines.MaxBackoff, SuspendAfter: rule.Declines.SuspendAfter,
		},
		MaxReadingAge: rule.MaxReadingAge,
		BalanceBefore: read.Reading.Balance, Threshold: *d.Threshold,
		ReadAt: read.Reading.ReadAt, RefreshedAt: read.Reading.RefreshedAt, Baseline: read.Seen(),
		State: topup.Planned, Payment: topup.PaymentNone,
	}, nil
}

// why is the first line of a purchase's evidence: the readings, the rule and
// the caps.
func (c *confirm) why(d rules.Decision) topup.Evidence {
	facts := factsDetail(c.facts)
	for _, limit := range c.caps() {
		facts.Caps = append(facts.Caps, limit.String())
	}
	detail, _ := json.Marshal(facts) // plain values always marshal
	return topup.Evidence{
		Kind: topup.EvidencePlanned, To: topup.Planned, Detail: detail,
		Text: fmt.Sprintf("balance %s, read again %s, below %s; rule %s: %s",
			c.t.reading.Balance, c.facts.Confirmation.Reading.Balance, *d.Threshold, c.facts.Rule.Name, d.Text),
	}
}

// tryLift ends a suspension when the customer's payment methods have changed.
func (c *confirm) tryLift(ctx context.Context) error {
	fingerprint, err := c.w.Reader.PaymentMethods(ctx, c.target)
	if err != nil {
		return fmt.Errorf("reading payment methods: %w", err)
	}
	lifted, err := c.w.Holds.NotePaymentMethods(ctx, c.target, fingerprint)
	if err != nil {
		return fmt.Errorf("storing payment methods: %w", err)
	}
	if lifted {
		c.w.Log.LogAttrs(ctx, slog.LevelInfo, "suspension lifted",
			slog.String("provider", c.w.Name), slog.String("customer", string(c.target.Customer)), slog.String("reason", "payment method changed"))
	}
	return nil
}

// recordWithin bounds the record of a check after shutdown was asked for.
const recordWithin = 5 * time.Second
