package topup

import "time"

// Fall is a balance that became zero or unreadable although nothing explains it:
// the customer never used credits up so fast, and none were to expire. One alone
// may be true; many at once are a provider that shows nonsense (P14).
type Fall struct {
	Target   Target
	At       time.Time // database clock, when it was stored first
	Before   Credits   // the balance that was believed last
	ReadAt   time.Time // the first reading that showed it, our clock
	AsOf     time.Time // the provider's stamp on that reading; zero when it gave none
	Bad      bool      // the balance could not be read, which is no zero
	Beside   bool      // no sign of a crowd by itself, and held with one
	Twice    bool      // of an account: only a second witness makes it true
	Believed bool      // a person, or an expiry in the provider's list, says that it is true
}

// FallWindow is how close together falls are a crowd, inclusive.
const FallWindow = 2 * time.Minute

// Falls is what one poll saw fall.
type Falls struct {
	Provider ProviderID
	List     []Fall
	Watched  int  // targets of the poll that had anything, or have
	Account  bool // the connection is one account: its crowd are the accounts of its host
}

// Crowd is how many fell together, and what was held for it.
type Crowd struct {
	Fell int    // within FallWindow, or held since an earlier crowd
	Of   int    // targets, or accounts of the host
	Held int    // of Fell: those that this crowd has held
	Why  string // what the held ones are held for; "" when they are no crowd
}

// More than three targets and more than a tenth of a provider's: a handful may
// well run out in the same minutes. Of accounts more than half, and two.
const (
	crowdAtLeast = 3
	crowdShare   = 10
)

// Batch is credits that end together.
type Batch struct {
	Credits   Credits
	ExpiresAt time.Time
}

// Expiry is credits that ended, or were to end, by the provider's own list.
type Expiry struct {
	Credits  Credits
	At       time.Time
	DateOnly bool // At is the beginning of a date, and they end at one of its ends
}

// Crowded tells whether so many falls of so many targets are too many at once to
// be believed; account, whether they are whole accounts of one host.
func Crowded(fell, of int, account bool) bool {
	if account {
		return fell >= 2 && 2*fell > of
	}
	return fell > max(crowdAtLeast, of/crowdShare)
}

// ZeroApart is how far apart two readings and their stamps must be, inclusive,
// to be two witnesses of one account's zero and not one answer of one cache.
const ZeroApart = time.Minute

// ZeroUnbroken is for how long, inclusive, an account must have shown zero in
// every reading when the stamp does not move: usage may have stopped at zero.
const ZeroUnbroken = 10 * time.Minute
