package main

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"strings"

	"topupd/config/yamlfile"
	"topupd/internal/screen"
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
	provider, id, err := a.customer(store, p.Provider, p.Subject)
	_, unknown := errors.AsType[*strangerError](err)
	switch {
	case unknown && anyway:
		a.Printf("note: nobody with the id %s has been seen yet\n", screen.Clipped(p.Subject))
		return p, nil
	case unknown:
		return p, usage("%w. topupd pause takes an id that was never seen with --anyway", err)
	case err != nil:
		return p, err
	case string(id) != p.Subject:
		a.Printf("%s is %s\n", screen.Clipped(p.Subject), screen.Clipped(string(id)))
		p.Provider, p.Subject = provider, string(id)
	}
	return p, nil
}

// customer finds who is meant by an id, or by a name that only one customer has.
// An id is meant wherever the provider says, "" being everywhere; a name at the
// provider where it was found: somebody else's id may be the same elsewhere. Whom
// nobody knows is a strangerError that names who may have been meant.
func (a *app) customer(store *ledger.Store, provider topup.ProviderID, text string) (topup.ProviderID, topup.CustomerID, error) {
	if text == "" { // nobody in particular
		return provider, "", nil
	}
	if known, err := store.Known(a.ctx, provider, topup.CustomerID(text)); err != nil || known {
		return provider, topup.CustomerID(text), err
	}
	customers, err := store.Customers(a.ctx, provider)
	if err != nil {
		return "", "", err
	}
	named := called(customers, func(name string) bool { return name == text })
	if len(named) == 0 {
		named = called(customers, func(name string) bool { return strings.EqualFold(name, text) })
	}
	switch len(named) {
	case 0:
		return "", "", &exitError{code: exitUsage, err: &strangerError{stranger(text, customers)}}
	case 1:
		return named[0].Provider, named[0].ID, nil
	}
	var ids []string
	for _, c := range named {
		if !slices.Contains(ids, string(c.ID)) {
			ids = append(ids, string(c.ID))
		}
	}
	if len(ids) == 1 {
		return "", "", usage("%d customers at several providers are called %s: add --provider", len(named), screen.Clipped(text))
	}
	return "", "", usage("%d customers are called %s: write the id, one of %s", len(named), screen.Clipped(text), screen.Clipped(strings.Join(ids, ", ")))
}

// called are the customers whose names fit, each once.
func called(customers []ledger.Customer, fits func(string) bool) (named []ledger.Customer) {
	for _, c := range customers {
		again := slices.ContainsFunc(named, func(n ledger.Customer) bool { return n.Provider == c.Provider && n.ID == c.ID })
		if fits(c.Name) && !again {
			named = append(named, c)
		}
	}
	return named
}

// strangerError is about a customer whom nobody knows.
type strangerError struct{ text string }

func (e *strangerError) Error() string { return e.text }

// stranger says that nobody has the id or name, and who may have been meant.
func stranger(text string, customers []ledger.Customer) string {
	said := fmt.Sprintf("no customer with the id or name %s has been seen", screen.Clipped(text))
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
		who := screen.Clipped(cmp.Or(full[word], word))
		if !slices.Contains(near, who) && len(near) < nearMatches {
			near = append(near, who)
		}
	}
	if len(near) > 0 {
		said += "; near it: " + strings.Join(near, ", ")
	}
	return said
}
