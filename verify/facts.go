package verify

import (
	"slices"
	"strings"
	"time"

	"topupd/topup"
)

// Facts are what one comparison rests on, all of one provider connection.
type Facts struct {
	Provider topup.ProviderID
	Books    bool          // the provider keeps bills; without them only what is in Rows and Answers is compared
	Since    time.Time     // what was planned or dated before is not judged; inclusive
	Now      time.Time     // when reading began
	Quiet    time.Duration // what is younger at the provider is not judged

	Purchases []topup.Purchase // planned since Since, read after the provider's books
	Claimed   map[string]bool  // references of older purchases, of those that were asked about
	Imports   []topup.Topup    // additions known not to be ours
	Answers   []Answer         // that named a charge
	Products  map[topup.ProductID]bool

	Invoices []topup.Invoice       // issued since Since, credit and other
	Gone     map[string]bool       // ids that the provider says it does not have
	Rows     []Row                 // additions in the ledgers that were read
	Read     map[topup.Target]bool // whose ledger was read completely since Since
	Detached int                   // ledgers that the provider does not have any more
}

// Answer is a charge that the answer to a purchase request named.
type Answer struct {
	Purchase  string // id
	Reference string
}

// Row is one addition of credits in the ledger of a target.
type Row struct {
	Target topup.Target
	topup.Topup
}

// Finding is one difference. What does not apply is empty.
type Finding struct {
	Kind     Kind
	Customer topup.CustomerID
	Product  topup.ProductID
	Purchase string // id
	Other    string // id of the second purchase
	Invoice  string // id at the provider, or transaction id
	Row      string // id of the ledger row
	Ours     string // in words
	Theirs   string // in words
	At       time.Time
}

// Key names the finding: the same difference has the same key in every run.
func (f Finding) Key() string {
	return string(f.Kind) + " " + f.Purchase + " " + f.Invoice + " " + f.Row
}

// Wronged are the purchases that findings with these keys say were charged
// wrongly. They are compared again, however long ago they were planned, until the
// charge is undone: such a finding does not go away by itself.
func Wronged(keys []string) []string {
	var ids []string
	for _, key := range keys {
		kind, rest, _ := strings.Cut(key, " ")
		id, _, _ := strings.Cut(rest, " ")
		if id != "" && (Kind(kind) == DoubleCharge || Kind(kind) == ChargedAfterNo) && !slices.Contains(ids, id) {
			ids = append(ids, id)
		}
	}
	return ids
}

// Report is what a comparison found.
type Report struct {
	Since, At time.Time
	Findings  []Finding // the kinds in their order, then oldest first

	Purchases  int // judged
	Open       int // not ended: not judged
	Young      int // ended, quiet period not over: not judged
	Unnamed    int // settled without a reference: nothing to compare with
	Invoices   int // for credits, judged
	Rows       int // judged
	Imported   int // of somebody else, and known as such
	Waiting    int // theirs, too young or perhaps of an open purchase: not judged
	Unwatched  int // bills for products that no rule buys: not judged
	Reversals  int // bills of somebody else that were refunded: not judged
	Detached   int // ledgers that are gone with their credits or customers: their rows are not compared
	Incomplete []string
	Blind      string // what cannot be compared at this provider at all
}

// Counts tells how many findings there are of each kind, zeros included.
func (r Report) Counts() map[Kind]int {
	counts := map[Kind]int{}
	for _, k := range Kinds() {
		counts[k] = 0
	}
	for _, f := range r.Findings {
		counts[f.Kind]++
	}
	return counts
}

// Whole tells whether everything was read: only then no finding means no
// difference.
func (r Report) Whole() bool { return len(r.Incomplete) == 0 }
