package rules

import (
	"time"

	"topupd/topup"
)

// proven: an account that fell from enough to exactly zero, faster than it ever
// used credits up, is seen so twice: by readings and stamps a minute apart, since
// two answers of one cache are one. A stamp that does not move may be that of the
// last use: when every reading of ten minutes shows zero, that is bought for, and
// told (P5, P14). One account that shows nonsense under stamps that move is the
// one lie that nothing here can tell.
func proven(f *Facts, d *Decision) bool {
	fall, r := f.Standing.Fall, f.newest()
	if fall == nil || !fall.Twice || fall.Believed || fall.Before < *d.Threshold || r.Balance != 0 {
		return false
	}
	if seenTwice(fall, r) {
		return false
	}
	if f.ZeroSince != nil && r.ReadAt.Sub(*f.ZeroSince) >= topup.ZeroUnbroken {
		d.Unproven = true
		return false
	}
	return d.say(topup.Rechecking, "fell from %s to zero at once (read %s, as of %s): waiting for a reading with a stamp %s later, or for %s of zero without a break; topupd resume --provider says that it is true",
		fall.Before, clock(fall.ReadAt), stamp(fall.AsOf), topup.ZeroApart, topup.ZeroUnbroken)
}

// seenTwice tells whether the reading is a second witness of the zero that the
// fall was first.
func seenTwice(fall *topup.Fall, r *topup.Reading) bool {
	return !fall.Bad && !fall.AsOf.IsZero() && !r.RefreshedAt.IsZero() &&
		r.ReadAt.Sub(fall.ReadAt) >= topup.ZeroApart && r.RefreshedAt.Sub(fall.AsOf) >= topup.ZeroApart
}

// stamp is a time of the provider, which may have given none.
func stamp(at time.Time) string {
	if at.IsZero() {
		return "unknown"
	}
	return clock(at)
}
