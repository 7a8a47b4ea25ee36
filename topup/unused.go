package topup

import "time"

// A request that the provider turned away before it ran (429) costs no place in
// a cap. It costs one here instead: the provider's word is all that is known of
// it, and each of them was a whole request to charge.
const (
	unusedFirst = 30 * time.Second
	unusedMost  = 15 * time.Minute
	// MostUnused bounds them per target and UTC day, inclusive.
	MostUnused = 60
)

// UnusedWait is the rest of a target after the nth such request in a row, n ≥ 1.
func UnusedWait(n int) time.Duration {
	wait := unusedFirst
	for i := 1; i < n && wait < unusedMost; i++ {
		wait *= 2
	}
	return min(wait, unusedMost)
}
