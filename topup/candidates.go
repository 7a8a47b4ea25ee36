package topup

import (
	"fmt"
	"slices"
	"strings"
	"time"
)

// Candidates are what the provider's books show that could be a purchase whose
// outcome a person says.
type Candidates struct {
	Purchase  Purchase
	Books     Books
	Claimed   map[string]bool // references of other purchases
	Matches   []Match         // what the reconciler would claim
	Undecided []Invoice       // bills that could be it at another price
}

// CandidatesIn finds them in a complete look.
func CandidatesIn(b Books, p Purchase, claimed map[string]bool) Candidates {
	return Candidates{p, b, claimed, Matches(p, b, claimed), UndecidedBills(p, b, claimed)}
}

// all are the matches, and the undecided bills as matches: a person may say that
// the purchase was charged at another price.
func (c Candidates) all() []Match {
	all := slices.Clone(c.Matches)
	for i := range c.Undecided {
		all = append(all, Match{ID: c.Undecided[i].ID, Invoice: &c.Undecided[i], At: c.Undecided[i].At})
	}
	return all
}

// Named is the charge that the reference names. One that is not in the books, is
// another purchase's, or does not fit is an error that says why.
func (c Candidates) Named(reference string) (*Match, error) {
	var others []string
	for _, m := range c.all() {
		if m.ID != reference && (m.Row == nil || m.Row.ID != reference) {
			others = append(others, m.String())
			continue
		}
		if m.Void() {
			return nil, fmt.Errorf("%s is void: nothing was and nothing will be collected for it", reference)
		}
		return &m, nil
	}
	why := c.whyNot(reference)
	if len(others) > 0 {
		return nil, fmt.Errorf("%s; what could be it: %s", why, strings.Join(others, ", "))
	}
	return nil, fmt.Errorf("%s; nothing in them could be it", why)
}

// whyNot says what the books know of a reference that is no candidate.
func (c Candidates) whyNot(reference string) string {
	name := reference
	if short := []rune(name); len(short) > 80 {
		name = string(short[:79]) + "…"
	}
	if c.Claimed[reference] {
		return name + " explains another purchase"
	}
	if slices.Contains(c.Purchase.Baseline, reference) {
		return name + " was there before this purchase was sent"
	}
	for i := range c.Books.Invoices {
		if b := &c.Books.Invoices[i]; b.ID == reference {
			return fmt.Sprintf("%s does not fit: it is of %s, %s (%s), and this purchase was %s, sent %s", name, b.Amount, b.Status, utc(b.At), c.Purchase.Price, utc(*c.Purchase.SentAt))
		}
	}
	for i := range c.Books.Topups {
		if t := &c.Books.Topups[i]; t.ID == reference || t.Invoice == reference {
			return fmt.Sprintf("%s does not fit: it is %s credits (%s), and this purchase was %s credits, sent %s", name, t.Credits, utc(t.At), c.Purchase.Credits, utc(*c.Purchase.SentAt))
		}
	}
	return fmt.Sprintf("the provider's books have no %s of this customer since %s", name, utc(c.Purchase.SentAt.Add(-MatchBefore)))
}

// Unnamed is an error while the books show what could be the purchase: it is
// named then, so that nothing else claims it.
func (c Candidates) Unnamed() error {
	var found []string
	for _, m := range c.all() {
		found = append(found, m.String())
	}
	if len(found) == 0 {
		return nil
	}
	return fmt.Errorf("the provider's books show what could be it: %s; name it with --reference", strings.Join(found, ", "))
}

// String says what the charge is, for a person.
func (m Match) String() string {
	if m.Invoice == nil {
		return fmt.Sprintf("%s (%s)", m.ID, utc(m.At))
	}
	return fmt.Sprintf("%s of %s, %s (%s)", m.ID, m.Invoice.Amount, m.Invoice.Status, utc(m.At))
}

func utc(t time.Time) string { return t.UTC().Format(time.RFC3339) }

// External are the invoices among the candidates that a person names as somebody
// else's. Whatever else could be the purchase is an error, and so is a name that
// is none of them.
func (c Candidates) External(named []string) ([]Invoice, error) {
	var found []string
	for _, m := range c.Matches {
		if !m.Void() {
			found = append(found, fmt.Sprintf("%s (%s)", m.ID, utc(m.At)))
		}
	}
	if len(found) > 0 {
		return nil, fmt.Errorf("the provider's books show what could be it: %s; while it needs review topupd claims it by itself, or say charged with --reference", strings.Join(found, ", "))
	}
	var external []Invoice
	for _, i := range c.Undecided {
		if slices.Contains(named, i.ID) {
			external = append(external, i)
			continue
		}
		found = append(found, Match{ID: i.ID, Invoice: &i, At: i.At}.String())
	}
	if len(found) > 0 {
		return nil, fmt.Errorf("it may be this purchase at another price: %s; have it paid or void it at the provider, or if you know that it is somebody else's, add --external with its id", strings.Join(found, ", "))
	}
	for _, id := range named {
		if !slices.ContainsFunc(external, func(i Invoice) bool { return i.ID == id }) {
			return nil, fmt.Errorf("--external %s: nothing in the provider's books that could be this purchase has this id; leave it out", cut(id))
		}
	}
	return external, nil
}
