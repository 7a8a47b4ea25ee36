package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"time"

	"topupd/ledger"
	"topupd/topup"
)

// purchasesResolveCmd stores a person's decision about a purchase.
type purchasesResolveCmd struct {
	ID          string   `arg:"" help:"The id, or at least four characters of its beginning or end."`
	Outcome     string   `arg:"" enum:"charged,not-charged" help:"What really happened: ${enum}."`
	Note        string   `required:"" help:"How you know: it stands in the history for ever." placeholder:"TEXT"`
	Reference   string   `help:"The invoice or transaction id, if there is one." placeholder:"ID"`
	External    []string `help:"With not-charged: an invoice that could be this purchase and is somebody else's (repeatable)." placeholder:"INVOICE"`
	DespiteRise bool     `help:"With not-charged: the balance rose since, and the note says from what else."`
	By          string   `help:"Who says so (default: $SUDO_USER, else $USER)." placeholder:"WHO"`
}

func (*purchasesResolveCmd) Help() string {
	return `A parked purchase blocks its customer until evidence turns up or a person says what happened.

charged makes it confirmed: it settles when a reading shows the credits, and nothing more is bought until then. A confirmed purchase whose credits are never seen is settled by saying charged once more.

not-charged ends it as declined, and the next sweep may buy again. It is refused while the request may still run, and, where the provider has books, while they show a purchase that could be this one or cannot be read completely: if it was charged after all, the customer would pay twice. An unpaid invoice of another amount from that time could be this purchase at another price: it must be paid or void, or you name it with --external as somebody else's. It is imported then and counts as unpaid.

Examples:

    topupd purchases resolve 7f3c charged --reference txn_9f21 --note "on the card statement of 20 November"
    topupd purchases resolve 7f3c not-charged --note "support ticket 4711: no such transaction"
    topupd purchases resolve 7f3c not-charged --external inv_18 --note "inv_18 is the customer's own order, says Ana"`
}

func (c *purchasesResolveCmd) Run(a *app) (err error) {
	l, err := a.load()
	if err != nil {
		return err
	}
	by := cmp.Or(c.By, a.person())
	switch {
	case strings.TrimSpace(c.Note) == "":
		return usage("--note is empty: say how you know")
	case by == "":
		return usage("nobody knows who you are: add --by NAME")
	case len(c.External) > 0 && c.Outcome == "charged":
		return usage("--external belongs to not-charged: name the invoice that was charged with --reference")
	case c.Reference != "" && c.Outcome != "charged":
		return usage("--reference belongs to charged: what was not charged has none")
	}
	store, err := a.history(l, true)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, store.Close()) }()
	p, evidence, err := a.file(store, l, c.ID)
	if err != nil {
		return err
	}
	a.page(store, p, evidence)
	r := resolving{a: a, l: l, store: store, despite: c.DespiteRise, external: c.External, decision: topup.Resolution{
		Charged: c.Outcome == "charged", Reference: c.Reference, Note: c.Note, By: by,
	}}
	p, err = r.resolve(p)
	if err != nil {
		return fmt.Errorf("purchase %s stays %s: %w", p.Short(), p.State, err)
	}
	a.printf("\n%s is %s now. %s\n", p.Short(), a.paint(stateColor(p.State), string(p.State)), standsOf(p, a.clock))
	return nil
}

// person is who runs the program, for the record; "" when the environment does
// not say.
func (a *app) person() string {
	return cmp.Or(a.getenv("SUDO_USER"), a.getenv("USER"), a.getenv("LOGNAME"))
}

// resolving is one decision on its way into the ledger.
type resolving struct {
	a        *app
	l        *loaded
	store    *ledger.Store
	decision topup.Resolution
	despite  bool     // the balance rose, and the person knows why
	external []string // invoices that the person calls somebody else's
}

// resolve stores the decision and returns the purchase as it is then; with an
// error as it was.
func (r *resolving) resolve(p topup.Purchase) (topup.Purchase, error) {
	now, err := r.store.Now(r.a.ctx)
	if err != nil {
		return p, err
	}
	if p.LastSentAt != nil {
		r.a.printf("\nlast sent %s ago\n", long(now.Sub(*p.LastSentAt)))
	}
	found, err := r.store.Capabilities(r.a.ctx, p.Target.Provider)
	if err != nil {
		return p, err
	}
	careful := topup.FoundIn(found).Careful(p)
	if _, err := topup.Resolved(careful, r.decision, now); err != nil {
		return p, err // before anybody is asked
	}
	if err := r.lookFirst(p); err != nil {
		return p, err
	}
	change, err := topup.Resolved(careful, r.decision, now)
	if err != nil {
		return p, err
	}
	stored, err := r.store.Advance(r.a.ctx, change)
	switch {
	case errors.Is(err, topup.ErrOvertaken):
		return p, fmt.Errorf("it changed while you decided; look again with topupd purchases show %s: %w", p.Short(), err)
	case errors.Is(err, ledger.ErrReferenceClaimed):
		return p, fmt.Errorf("%s explains another purchase; topupd purchases list shows which: %w", r.decision.Reference, err)
	case err != nil:
		return p, err
	}
	return stored, nil
}

// lookFirst refuses not-charged while the provider's books say otherwise, or
// cannot say.
func (r *resolving) lookFirst(p topup.Purchase) error {
	if r.decision.Charged {
		return nil
	}
	client, err := r.client(p)
	if err != nil {
		return err
	}
	if !client.books && len(r.external) > 0 {
		return usage("--external: %s has no invoices; leave it out", title(client.Type))
	}
	if !client.books {
		r.a.printf("%s has no books to look into: your word is all there is\n", title(client.Type))
		if (p.Found != "" || r.a.rose(r.store, p)) && !r.despite {
			return errors.New("a rise of the balance was seen since it was sent, so it may well have been charged, and the customer would pay twice; if you know where the rise came from, add --despite-rise")
		}
		return nil
	}
	seen, err := look(r.a.ctx, client.client, r.store, p)
	if err != nil {
		return err
	}
	if r.decision.External, err = seen.external(r.external, r.a.clock); err != nil {
		return err
	}
	r.a.printf("looked at %s again: %s\n", title(client.Type), seen.without(r.decision.External))
	return nil
}

// candidates is what the provider's books show that could be a purchase.
type candidates struct {
	matches   []topup.Match
	undecided []topup.Invoice
}

// external are the invoices among the candidates that a person names as somebody
// else's. Whatever else could be the purchase is an error, and so is a name that
// is none of them.
func (c candidates) external(named []string, clock func(time.Time) string) ([]topup.Invoice, error) {
	var found []string
	for _, m := range c.matches {
		found = append(found, fmt.Sprintf("%s (%s)", m.ID, clock(m.At)))
	}
	if len(found) > 0 {
		return nil, fmt.Errorf("the provider's books show what could be it: %s; topupd claims it by itself, or resolve it as charged", strings.Join(found, ", "))
	}
	var external []topup.Invoice
	for _, i := range c.undecided {
		if slices.Contains(named, i.ID) {
			external = append(external, i)
			continue
		}
		found = append(found, fmt.Sprintf("%s of %s, %s (%s)", i.ID, i.Amount, i.Status, clock(i.At)))
	}
	if len(found) > 0 {
		return nil, fmt.Errorf("it may be this purchase at another price: %s; have it paid or void it at the provider, or if you know that it is somebody else's, add --external with its id", strings.Join(found, ", "))
	}
	for _, id := range named {
		if !slices.ContainsFunc(external, func(i topup.Invoice) bool { return i.ID == id }) {
			return nil, usage("--external %s: nothing in the provider's books that could be this purchase has this id; leave it out", id)
		}
	}
	return external, nil
}

// without says what is left of the candidates.
func (c candidates) without(external []topup.Invoice) string {
	if len(external) == 0 {
		return "nothing found"
	}
	return fmt.Sprintf("nothing found beside what you call somebody else's (%d)", len(external))
}

// client connects to the provider of the purchase.
func (r *resolving) client(p topup.Purchase) (*connection, error) {
	for _, provider := range r.l.cfg.Providers {
		if provider.Identity() == p.Target.Provider {
			return connectTo(provider, slog.New(slog.DiscardHandler), nil)
		}
	}
	return nil, fmt.Errorf("its provider %s is not in %s, so nobody can look; put it back first", p.Target.Provider, r.l.cfg.File)
}

// claims tells which references belong to other purchases.
type claims interface {
	Claimed(ctx context.Context, provider topup.ProviderID, references []string, except string) (map[string]bool, error)
}

// look reads the provider's books once. An incomplete answer is an error: an
// absent row would prove nothing.
func look(ctx context.Context, provider topup.Provider, store claims, p topup.Purchase) (candidates, error) {
	if p.SentAt == nil {
		return candidates{}, nil
	}
	books, err := provider.Books(ctx, p.Target, p.SentAt.Add(-topup.MatchBefore))
	if err != nil {
		return candidates{}, fmt.Errorf("the provider's books cannot be read, so nobody can tell: %w", err)
	}
	if !books.Complete {
		return candidates{}, errors.New("the provider's books could not be read completely, so nobody can tell; try again")
	}
	var references []string
	for _, t := range books.Topups {
		references = append(references, t.ID, t.Invoice)
	}
	for _, i := range books.Invoices {
		references = append(references, i.ID)
	}
	claimed, err := store.Claimed(ctx, p.Target.Provider, references, p.ID)
	if err != nil {
		return candidates{}, err
	}
	return candidates{topup.Matches(p, books, claimed), topup.UndecidedBills(p, books, claimed)}, nil
}
