package emulator

import (
	"slices"
	"time"
)

const (
	usageRowEvery = time.Minute      // usage is listed in one ledger row per this time
	usageRowsKept = 100              // per credit; older usage rows are dropped
	olderFor      = 30 * time.Second // how long an earlier reading stays the stale one
)

// reset makes balance the whole truth: no open postings, no expiring batches.
func (cr *credit) reset(balance quantity, now time.Time) {
	cr.balance = balance
	cr.batches = []*batch{{left: max(balance, 0)}}
	cr.unposted = nil
	cr.shown, cr.shownAt = balance, now
	cr.older, cr.olderAt = balance, now
	cr.meter.at = now
}

// use drains what was consumed by now. A balance stops at zero: calls are
// refused then, and the time it stood there is counted.
func (h *hyperline) use(cr *credit, now time.Time) {
	before := cr.meter.at
	if h.stopped {
		cr.meter.at = now
		return
	}
	used := cr.meter.drain(now)
	if available := max(cr.balance, 0); used > available {
		used = available
	}
	if cr.balance <= 0 && now.After(before) {
		cr.dry += now.Sub(before)
		cr.meter.at = now
	}
	cr.consume(used)
	cr.unlisted += used
	if cr.unlisted > 0 && now.Sub(cr.lastUsageRow) >= usageRowEvery {
		h.listUsage(cr, now)
	}
}

// consume takes from the batch that expires first.
func (cr *credit) consume(used quantity) {
	cr.balance -= used
	for len(cr.batches) > 0 && used > 0 {
		first := cr.batches[0]
		taken := min(first.left, used)
		first.left -= taken
		used -= taken
		if first.left > 0 {
			return
		}
		cr.batches = cr.batches[1:]
	}
}

// listUsage writes the row for what was used since the last one.
func (h *hyperline) listUsage(cr *credit, now time.Time) {
	cr.rows = append(cr.rows, &creditRow{
		id: h.id("cdt_"), kind: "usage", source: "system",
		credits: cr.unlisted, after: cr.balance, created: now, updated: now, visible: now,
	})
	cr.unlisted, cr.lastUsageRow = 0, now
	kept := 0
	for i, row := range slices.Backward(cr.rows) {
		if row.kind != "usage" {
			continue
		}
		if kept++; kept > usageRowsKept {
			cr.rows = slices.Delete(cr.rows, i, i+1)
			return
		}
	}
}

// refresh recomputes what reads show. While a charge is not posted the old
// figure stands with its old time, so that a reading newer than a ledger row
// always contains it; RefreshWhileUnposted gives that up.
func (cr *credit) refresh(now time.Time, p HyperlineProfile) {
	if p.RefreshEvery > 0 && now.Sub(cr.shownAt) < p.RefreshEvery {
		return
	}
	cr.unposted = slices.DeleteFunc(cr.unposted, func(p posting) bool { return !now.Before(p.until) })
	if len(cr.unposted) > 0 && !p.RefreshWhileUnposted {
		return
	}
	shown := cr.balance
	for _, p := range cr.unposted {
		shown -= p.credits
	}
	if now.Sub(cr.olderAt) > olderFor {
		cr.older, cr.olderAt = cr.shown, cr.shownAt
	}
	cr.shown, cr.shownAt = shown, now
}

// add grants credits that reads show from visible on, and returns the batch.
func (h *hyperline) add(cr *credit, credits quantity, expires *time.Time, now, visible time.Time) *batch {
	h.use(cr, now)
	// Times are told in milliseconds: a reading of this very millisecond must not
	// look as if it contained the row.
	if last := now.Add(-time.Millisecond); cr.shownAt.After(last) {
		cr.shownAt = last
	}
	cr.older, cr.olderAt = cr.shown, cr.shownAt
	if visible.After(now) {
		cr.unposted = append(cr.unposted, posting{until: visible, credits: credits})
	}
	cr.balance += credits
	b := &batch{left: credits}
	if expires != nil {
		b.expires = *expires
		h.at(*expires, func(at time.Time) { h.expire(cr, b, at) })
	}
	at, _ := slices.BinarySearchFunc(cr.batches, b, byExpiry)
	cr.batches = slices.Insert(cr.batches, at, b)
	return b
}

// byExpiry orders batches, those that never expire last.
func byExpiry(a, b *batch) int {
	switch {
	case a.expires.IsZero() && b.expires.IsZero():
		return 0
	case a.expires.IsZero():
		return 1
	case b.expires.IsZero():
		return -1
	default:
		return a.expires.Compare(b.expires)
	}
}

// expire takes what is left of a batch, unless its date was moved meanwhile.
func (h *hyperline) expire(cr *credit, b *batch, at time.Time) {
	h.use(cr, at)
	if b.left == 0 || b.expires.After(at) || b.expires.IsZero() {
		return
	}
	lost := b.left
	b.left = 0
	cr.balance -= lost
	cr.batches = slices.DeleteFunc(cr.batches, func(other *batch) bool { return other == b })
	cr.rows = append(cr.rows, &creditRow{
		id: h.id("cdt_"), kind: "expiration", source: "system",
		credits: lost, after: cr.balance, created: at, updated: at, visible: at,
	})
}
