package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"time"

	"topupd/internal/daemon"
	"topupd/internal/screen"
	"topupd/ledger"
	"topupd/topup"
)

// decisionFlags are what a person's decision about a purchase consists of.
type decisionFlags struct {
	Note        string   `required:"" help:"How you know: it stands in the history for ever." placeholder:"TEXT"`
	Reference   string   `help:"With charged: the invoice or transaction id." placeholder:"ID"`
	External    []string `help:"With not-charged: an invoice that could be this purchase and is somebody else's (repeatable)." placeholder:"INVOICE"`
	DespiteRise bool     `help:"With not-charged: the balance rose since, and the note says from what else."`
	By          string   `help:"Who says so (default: $SUDO_USER, else $USER)." placeholder:"WHO"`
	DryRun      bool     `help:"Look, say what would change, and change nothing."`
}

// purchasesResolveCmd stores a person's decision about a purchase.
type purchasesResolveCmd struct {
	ID      string `arg:"" help:"The id, or at least four characters of its beginning or end."`
	Outcome string `arg:"" enum:"charged,not-charged" help:"What really happened: ${enum}."`
	decisionFlags
}

func (*purchasesResolveCmd) Help() string {
	return `A purchase that needs review blocks its customer until evidence turns up or a person says what happened.

charged makes it confirmed: it is credited when a reading shows the credits, and nothing more is bought until then. A confirmed purchase whose credits are never seen is credited by saying charged once more. Where the provider has books, --reference is looked up there: it must be this customer's, fit the purchase and explain no other. Without one, and at Talkover, which has no books, your word is all there is, and topupd verify says so each time.

not-charged ends it as declined, and the next poll may buy again. It is refused while the request may still run, and, where the provider has books, while they show a purchase that could be this one or cannot be read completely: if it was charged after all, the customer would pay twice. An unpaid invoice of another amount from that time could be this purchase at another price: it must be paid or void, or you name it with --external as somebody else's. It is imported then and counts as unpaid.

What has ended is corrected with topupd purchases correct.

Examples:

    topupd purchases resolve 7f3c charged --reference txn_9f21 --note "on the card statement of 20 November"
    topupd purchases resolve 7f3c not-charged --note "support ticket 4711: no such transaction"
    topupd purchases resolve 7f3c not-charged --external inv_18 --note "inv_18 is the customer's own order, says Ana"`
}

func (c *purchasesResolveCmd) Run(a *app) error {
	return a.decide(c.ID, c.Outcome, c.decisionFlags, func(r *resolving) { r.step = topup.Resolved })
}

// decide stores a person's decision about a purchase, after the page that it
// rests on.
func (a *app) decide(id, outcome string, f decisionFlags, as func(*resolving)) (err error) {
	l, err := a.load()
	if err != nil {
		return err
	}
	r := resolving{a: a, l: l, flags: f, decision: topup.Resolution{
		Charged: outcome == "charged", Reference: f.Reference, Note: f.Note, By: cmp.Or(f.By, a.person()),
	}}
	as(&r)
	switch {
	case r.decision.By == "":
		return usage("nobody knows who you are: add --by NAME")
	case len(f.External) > 0 && r.decision.Charged:
		return usage("--external belongs to not-charged: name the invoice that was charged with --reference")
	case f.Reference != "" && !r.decision.Charged:
		return usage("--reference belongs to charged: what was not charged has none")
	}
	if r.store, err = a.history(l, true); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, r.store.Close()) }()
	file, err := a.file(r.store, l, id)
	if err != nil {
		return err
	}
	r.seen = file.seen
	a.Purchase(file.purchase, file.evidence, file.seen)
	p, err := r.resolve(file.purchase)
	if err != nil {
		return fmt.Errorf("purchase %s stays %s: %w", p.Short(), p.State, err)
	}
	if f.DryRun {
		a.Printf("Nothing was changed (--dry-run).\n")
		return nil
	}
	a.Printf("\n%s is %s now. %s\n", p.Short(), a.Paint(screen.StateColor(p.State), string(p.State)), screen.StandsOf(p, a.Clock))
	return r.aftermath(p)
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
	flags    decisionFlags
	decision topup.Resolution
	seen     []topup.Evaluation // the readings of the target
	step     func(topup.Purchase, topup.Resolution, time.Time) (topup.Change, error)
}

// resolve stores the decision and returns the purchase as it is then; with an
// error as it was.
func (r *resolving) resolve(p topup.Purchase) (topup.Purchase, error) {
	now, err := r.store.Now(r.a.ctx)
	if err != nil {
		return p, err
	}
	if p.LastSentAt != nil {
		r.a.Printf("\nlast sent %s ago\n", screen.Long(now.Sub(*p.LastSentAt)))
	}
	found, err := r.store.Capabilities(r.a.ctx, p.Target.Provider)
	if err != nil {
		return p, err
	}
	careful := topup.FoundIn(found).Careful(p)
	if _, err := r.step(careful, r.decision, now); err != nil {
		return p, err // before anybody is asked
	}
	if err := r.lookFirst(p); err != nil {
		return p, err
	}
	change, err := r.step(careful, r.decision, now)
	if err != nil {
		return p, err
	}
	r.a.Printf("%s\n", r.a.Fold("what changes: "+changesOf(p, change.Next), 0))
	if r.flags.DryRun {
		return p, nil
	}
	stored, err := r.store.Advance(r.a.ctx, change)
	switch {
	case errors.Is(err, topup.ErrOvertaken):
		return p, fmt.Errorf("it changed while you decided; look again with topupd purchases show %s: %w", p.Short(), err)
	case errors.Is(err, ledger.ErrReferenceClaimed):
		return p, fmt.Errorf("%s explains another purchase; topupd purchases list shows which: %w", screen.Clipped(r.decision.Reference), err)
	case err != nil:
		return p, err
	}
	return stored, nil
}

// changesOf says what a decision changes of a purchase.
func changesOf(was, is topup.Purchase) string {
	var parts []string
	changed := func(what, from, to string) {
		if from != to {
			parts = append(parts, fmt.Sprintf("%s %s → %s", what, screen.Printable(screen.Dash(from)), screen.Printable(screen.Dash(to))))
		}
	}
	invoiced := func(p topup.Purchase) string {
		if p.Charged == nil {
			return ""
		}
		return p.Charged.String()
	}
	changed("state", string(was.State), string(is.State))
	changed("reference", was.Reference, is.Reference)
	changed("payment", string(was.Payment), string(is.Payment))
	changed("invoiced", invoiced(was), invoiced(is))
	changed("by", was.ResolvedBy, is.ResolvedBy)
	return strings.Join(parts, ", ")
}

// lookFirst asks the provider's books, where there are any, whether they bear
// the decision out.
func (r *resolving) lookFirst(p topup.Purchase) error {
	if p.State == topup.Confirmed && r.decision.Charged {
		return nil // it was bought already; whether the credits came is what the person knows
	}
	client, err := r.client(p)
	switch {
	case err != nil && r.decision.Charged && r.decision.Reference == "":
		return r.onWord(err.Error())
	case err != nil:
		return err
	case !client.Traits.HasRecords && len(r.flags.External) > 0:
		return usage("--external: %s has no invoices; leave it out", client.Type.Title())
	case !client.Traits.HasRecords && r.decision.Charged:
		return r.onWord(client.Type.Title() + " has no books to look into")
	case !client.Traits.HasRecords:
		r.a.Printf("%s has no books to look into: your word is all there is\n", client.Type.Title())
		if (p.Found != "" || screen.Rose(p, r.seen)) && !r.flags.DespiteRise {
			return errors.New("a rise of the balance was seen since it was sent, so it may well have been charged, and the customer would pay twice; if you know where the rise came from, add --despite-rise")
		}
		return nil
	}
	seen, err := look(r.a.ctx, client.Client, r.store, p)
	switch {
	case err != nil && r.decision.Charged && r.decision.Reference == "":
		return r.onWord(err.Error())
	case err != nil:
		return err
	case !r.decision.Charged:
		if r.decision.External, err = seen.External(r.flags.External); err != nil {
			return err
		}
		what := "nothing found"
		if n := len(r.decision.External); n > 0 {
			what = fmt.Sprintf("nothing found beside what you call somebody else's (%d)", n)
		}
		r.a.Printf("looked at %s again: %s\n", client.Type.Title(), what)
		return nil
	case r.decision.Reference == "":
		if err := seen.Unnamed(); err != nil {
			return err
		}
		return r.onWord(client.Type.Title() + "'s books show nothing that could be it")
	}
	if r.decision.Seen, err = seen.Named(r.decision.Reference); err != nil {
		return err
	}
	r.decision.Reference = r.decision.Seen.ID // a person may have named its ledger row
	r.a.Printf("looked at %s: %s\n", client.Type.Title(), r.decision.Seen.String())
	return nil
}

// onWord says that nothing but the person's word stands behind a charge.
func (r *resolving) onWord(why string) error {
	r.a.Printf("%s\n", r.a.Fold(why+": your word is all there is, and topupd verify will say so", 0))
	return nil
}

// aftermath says what a correction leaves for a person to do.
func (r *resolving) aftermath(p topup.Purchase) error {
	if p.CorrectedAt == nil {
		return nil
	}
	if p.State == topup.Credited {
		later, err := r.store.Purchases(r.a.ctx, ledger.Filter{Provider: p.Target.Provider, Customer: p.Target.Customer, Since: p.PlannedAt})
		if err != nil {
			return err
		}
		for _, q := range later {
			if q.ID != p.ID && q.Target == p.Target && q.PlannedAt.After(p.PlannedAt) && (q.State == topup.Credited || q.State == topup.Confirmed) {
				r.a.Printf("%s\n", r.a.Fold(fmt.Sprintf("bought again since: %s of %s, %s; if that was because of this one, refund one of them at the provider",
					q.Short(), r.a.Clock(q.PlannedAt), q.Price), 0))
			}
		}
	}
	s, err := r.store.Standing(r.a.ctx, p.Target)
	if err != nil {
		return err
	}
	if s.Implausible != "" {
		r.a.Printf("%s\n", r.a.Fold("the customer is held: "+screen.Printable(s.Implausible), 0))
	}
	return nil
}

// client connects to the provider of the purchase.
func (r *resolving) client(p topup.Purchase) (*daemon.Connection, error) {
	for _, provider := range r.l.Config.Providers {
		if provider.Identity() == p.Target.Provider {
			return daemon.Connect(provider, slog.New(slog.DiscardHandler), nil)
		}
	}
	return nil, fmt.Errorf("its provider %s is not in %s, so nobody can look; put it back first", p.Target.Provider, r.l.Config.File)
}

// claims tells which references belong to other purchases.
type claims interface {
	Claimed(ctx context.Context, provider topup.ProviderID, references []string, except string) (map[string]bool, error)
}

// look reads the provider's books once. An incomplete answer is an error: an
// absent row would prove nothing.
func look(ctx context.Context, provider topup.Provider, store claims, p topup.Purchase) (topup.Candidates, error) {
	if p.SentAt == nil {
		return topup.Candidates{}, nil
	}
	books, err := provider.Books(ctx, p.Target, p.SentAt.Add(-topup.MatchBefore))
	if err != nil {
		return topup.Candidates{}, fmt.Errorf("the provider's books cannot be read, so nobody can tell: %w", err)
	}
	if !books.Complete {
		return topup.Candidates{}, errors.New("the provider's books could not be read completely, so nobody can tell; try again")
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
		return topup.Candidates{}, err
	}
	return topup.CandidatesIn(books, p, claimed), nil
}
