package verify

import (
	"crypto/sha256"
	"encoding/hex"
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
	ID       string // what it is acknowledged by; see identify
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

	figures string // what it stands or falls with; with others it is another difference
}

// idMark begins the id of every difference, so that one can be found in any text.
const idMark = "d-"

// identify gives the finding its id: the same difference has the same one in every
// run. What comes and goes with what was read (the row of a bill, the second
// purchase) is no part of it; another bill, another amount, or a charge that has
// been collected since, make another. 48 bits: among a thousand differences and a
// thousand acknowledgements, two are alike once in 280 million times.
func (f *Finding) identify(provider topup.ProviderID) {
	sum := sha256.Sum256([]byte(strings.Join([]string{string(provider), string(f.Kind), f.Purchase, f.Invoice, f.figures}, "\x00")))
	f.ID = idMark + hex.EncodeToString(sum[:6])
}

// Key is the finding in the ledger: what it is about, and its id.
func (f Finding) Key() string {
	return strings.Join([]string{string(f.Kind), f.Purchase, f.Invoice, f.Row, f.ID}, " ")
}

// Keyed is the kind and the id of the finding that a key names; "" for the id of
// one that was stored before findings had ids.
func Keyed(key string) (kind Kind, id string) {
	word, _, _ := strings.Cut(key, " ")
	if last := key[strings.LastIndex(key, " ")+1:]; strings.HasPrefix(last, idMark) {
		id = last
	}
	return Kind(word), id
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
	Unnamed    int // credited without a reference: nothing to compare with
	Invoices   int // for credits, judged
	Rows       int // judged
	Imported   int // of somebody else, and known as such
	Native     int // the customer's own or the provider's top-ups, by its word: nobody is needed
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
