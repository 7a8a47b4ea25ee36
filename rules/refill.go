package rules

import (
	"math/big"

	"topupd/topup"
)

// Refill is the balance that a purchase should reach. Exactly one is set.
type Refill struct {
	// TimesThreshold is a factor in millionths: 3x is 3_000_000.
	TimesThreshold topup.Credits `json:"times_threshold_micro,omitempty"`
	Credits        topup.Credits `json:"credits_micro,omitempty"`
}

// Choose returns the bundle to buy: the first one, or with refill_to the
// cheapest that lifts the balance at least to the target, else the one with
// the most credits. Between equal bundles the earlier one wins.
func (r *Rule) Choose(balance, threshold topup.Credits) Bundle {
	if len(r.Buy.Bundles) == 0 {
		return Bundle{}
	}
	best := r.Buy.Bundles[0]
	if r.Buy.RefillTo == nil {
		return best
	}
	target := r.Buy.RefillTo.target(threshold)
	for _, b := range r.Buy.Bundles[1:] {
		if better(b, best, target-balance) {
			best = b
		}
	}
	return best
}

// better tells whether b is to be bought rather than best when gap credits are
// missing.
func better(b, best Bundle, gap topup.Credits) bool {
	reaches, bestReaches := b.Credits >= gap, best.Credits >= gap
	switch {
	case reaches != bestReaches:
		return reaches
	case reaches:
		return b.Price.Minor < best.Price.Minor
	case b.Credits != best.Credits:
		return b.Credits > best.Credits
	default:
		return b.Price.Minor < best.Price.Minor
	}
}

// target is the balance to reach: never below the threshold, which a negative
// threshold times a factor would be, and rounded up to a millionth.
func (r Refill) target(threshold topup.Credits) topup.Credits {
	if r.TimesThreshold == 0 {
		return max(r.Credits, threshold)
	}
	product := new(big.Int).Mul(big.NewInt(int64(threshold)), big.NewInt(int64(r.TimesThreshold)))
	product.Add(product, big.NewInt(int64(topup.Credit)-1))
	product.Div(product, big.NewInt(int64(topup.Credit)))
	if product.Cmp(big.NewInt(int64(topup.MaxCredits))) > 0 {
		return topup.MaxCredits
	}
	if !product.IsInt64() {
		return threshold
	}
	return max(topup.Credits(product.Int64()), threshold)
}
