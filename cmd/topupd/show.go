package main

import (
	"encoding/json"
	"errors"
	"fmt"

	"topupd/internal/screen"
	"topupd/ledger"
	"topupd/topup"
)

// purchasesShowCmd prints one purchase with all its evidence.
type purchasesShowCmd struct {
	ID       string `arg:"" help:"The id, or at least four characters of its beginning or end."`
	Evidence bool   `help:"The whole proof of one charge, on one page: both readings, the frozen rule and caps, the request, every permit, answer and look, the balances, the invoice and who decided."`
	outputFlags
}

func (*purchasesShowCmd) Help() string {
	return `What was bought, for whom and why; the key; every request, answer and look with its time; the invoice and its payment; and what to do if a person is needed. In json and jsonl the purchase has everything that list prints and more; csv is the line that list prints.

Examples:

    topupd purchases show 7f3c
    topupd purchases show 7f3c --evidence > 7f3c.txt
    topupd purchases show 019a3c51-77aa-7c3e-9d5e-1f2a3b4c7f3c -o json`
}

func (c *purchasesShowCmd) Run(a *app) (err error) {
	l, err := a.load()
	if err != nil {
		return err
	}
	store, err := a.history(l, false)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, store.Close()) }()
	f, err := a.file(store, l, c.ID)
	if err != nil {
		return err
	}
	if c.Output == "csv" {
		return screen.List(a.Screen, c.Output, []screen.PurchaseRecord{screen.RecordOf(f.purchase)}, nil)
	}
	var record any = screen.FileOf(f.purchase, f.evidence)
	print := func() { a.Purchase(f.purchase, f.evidence, f.seen) }
	if c.Evidence {
		permits, err := store.Permits(a.ctx, f.purchase.ID)
		if err != nil {
			return err
		}
		proof, err := screen.ProofOf(f.purchase, f.evidence, permits, f.seen)
		if err != nil {
			return err
		}
		record, print = proof, func() { a.Proof(f.purchase, f.evidence, proof) }
	}
	if c.Output == "table" {
		print()
		return nil
	}
	encoder := json.NewEncoder(a.Out)
	encoder.SetEscapeHTML(false)
	if c.Output == "json" {
		encoder.SetIndent("", "  ")
	}
	return encoder.Encode(record)
}

// file is a purchase with its history and the readings of its target.
type file struct {
	purchase topup.Purchase
	evidence []topup.Evidence
	seen     []topup.Evaluation
}

func (a *app) file(store *ledger.Store, l *loaded, id string) (f file, err error) {
	p, err := store.Purchase(a.ctx, id)
	if errors.Is(err, topup.ErrNotFound) {
		return f, fmt.Errorf("there is no purchase %q; topupd purchases list --limit 0 shows all ids", screen.Clipped(id))
	}
	if err != nil {
		return f, err
	}
	p.ProviderName = l.label(p.Target.Provider, p.ProviderName)
	f.purchase = p
	if f.evidence, err = store.Evidence(a.ctx, p.ID); err != nil {
		return f, err
	}
	f.seen, err = store.Evaluations(a.ctx, ledger.Filter{Provider: p.Target.Provider, Customer: p.Target.Customer, Product: p.Target.Product})
	return f, err
}
