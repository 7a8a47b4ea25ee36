package main

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"topupd/config/yamlfile"
	"topupd/ledger"
	"topupd/topup"
)

// nearMatches bounds the customers that a mistyped id is answered with.
const nearMatches = 5

// acquainted makes sure that a switch for a customer is about somebody: one that
// names nobody holds nobody, and looks as if it did. A name that only one customer
// has stands for its id. With anyway, what nobody knows is taken as an id.
func (a *app) acquainted(store *ledger.Store, p topup.Pause, anyway bool) (topup.Pause, error) {
	if p.Scope != topup.PauseCustomer {
		return p, nil
	}
	if known, err := store.Known(a.ctx, p.Provider, topup.CustomerID(p.Subject)); err != nil || known {
		return p, err
	}
	customers, err := store.Customers(a.ctx, p.Provider)
	if err != nil {
		return p, err
	}
	var named []string
	for _, c := range customers {
		if strings.EqualFold(c.Name, p.Subject) && !slices.Contains(named, string(c.ID)) {
			named = append(named, string(c.ID))
		}
	}
	switch {
	case len(named) == 1:
		a.printf("%s is %s\n", printable(p.Subject), printable(named[0]))
		p.Subject = named[0]
		return p, nil
	case len(named) > 1:
		return p, usage("%d customers are called %s: write the id, one of %s", len(named), printable(p.Subject), printable(strings.Join(named, ", ")))
	case anyway:
		a.printf("note: nobody with the id %s has been seen yet\n", printable(p.Subject))
		return p, nil
	default:
		return p, usage("%s", stranger(p.Subject, customers))
	}
}

// stranger says that nobody has the id or name, and who may have been meant.
func stranger(text string, customers []ledger.Customer) string {
	said := fmt.Sprintf("no customer with the id or name %s has been seen", printable(text))
	var words []string
	full := map[string]string{} // of an id or a name: both, for a person
	for _, c := range customers {
		if c.Name != "" {
			words = append(words, c.Name)
			full[c.Name] = fmt.Sprintf("%s (%s)", c.ID, c.Name)
			full[string(c.ID)] = full[c.Name]
		}
		words = append(words, string(c.ID))
	}
	var near []string
	for _, word := range yamlfile.Nearest(text, words, 3*nearMatches) {
		who := printable(cmp.Or(full[word], word))
		if !slices.Contains(near, who) && len(near) < nearMatches {
			near = append(near, who)
		}
	}
	if len(near) > 0 {
		said += "; near it: " + strings.Join(near, ", ")
	}
	return said + ". topupd pause takes an id that was never seen with --anyway"
}
