package sim

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"
)

// shrink takes events away from a history as long as it still breaks one of
// the same promises: what befell other customers first, then halves, then smaller
// and smaller parts. What is left is what matters. tries bounds the histories that
// are run, shrinkFor the time.
func shrink(t *testing.T, h history, broken breach, customer, tries int) history {
	promise := broken.Promise
	start := time.Now()
	breaks := func(candidate history) bool {
		if tries--; tries < 0 || time.Since(start) > shrinkFor {
			return false
		}
		return slices.ContainsFunc(run(t, candidate, false).breaches, func(b breach) bool { return b.Promise == promise })
	}
	if own := h.only(customer); len(own.Events) < len(h.Events) && breaks(own) {
		h = own
	}
	for parts := 2; len(h.Events) > 0; {
		removed := false
		size := max(1, (len(h.Events)+parts-1)/parts)
		for at := 0; at < len(h.Events); {
			smaller := h
			smaller.Events = slices.Delete(slices.Clone(h.Events), at, min(at+size, len(h.Events)))
			if breaks(smaller) {
				h, removed = smaller, true
			} else {
				at += size
			}
		}
		if size == 1 && !removed || tries < 0 || time.Since(start) > shrinkFor {
			break
		}
		if !removed {
			parts *= 2
		}
	}
	for _, simpler := range []func(*history){
		func(h *history) { h.Replicas = 1 },
		func(h *history) { h.Replicas = 2 },
		func(h *history) { h.Latency = 0 },
		func(h *history) { h.Length = max(5*time.Minute, h.Length/4) },
		func(h *history) { h.Length = max(5*time.Minute, h.Length/2) },
	} {
		candidate := h
		simpler(&candidate)
		if candidate.Replicas <= h.Replicas && breaks(candidate) {
			h = candidate
		}
	}
	return h
}

// only is the history without what befalls the requests and the account of
// customers other than one.
func (h history) only(at int) history {
	h.Events = slices.DeleteFunc(slices.Clone(h.Events), func(e event) bool {
		return slices.Contains([]kind{answerFault, portal, native, card, archive, doubt, refunded}, e.Kind) && e.Customer != at
	})
	return h
}

// shrinkFor bounds the real time that shrinking takes.
const shrinkFor = 3 * time.Minute

// tellStory is a broken history for a person: how it began, the events that
// matter, and what happened to the customer whose promise was broken.
func tellStory(t *testing.T, h history, promise string) (string, int) {
	j := run(t, h, true)
	var b strings.Builder
	at := slices.IndexFunc(j.breaches, func(b breach) bool { return b.Promise == promise })
	if at < 0 {
		return "the history does not break " + promise + " when it is told", 0
	}
	broken := j.breaches[at]
	fmt.Fprintf(&b, "seed %d, %s: %s\n", h.Seed, h.Weather, broken)
	fmt.Fprintf(&b, "%d replicas, %d customers, decline %s, late: connection %s, execution %s, listing %s\n",
		h.Replicas, h.Targets+h.Voices, h.Profile.Decline, h.ConnectionLife, h.ExecuteLate, h.ListLate)
	n := 0
	for _, e := range h.Events {
		fmt.Fprintf(&b, "  event  %s\n", e)
		n++
	}
	lines := relevant(j.trace, broken)
	for _, l := range lines {
		fmt.Fprintf(&b, "  %8s  %s\n", l.at.Truncate(time.Second), l.text)
	}
	for _, c := range j.books.For(string(broken.Customer)) {
		fmt.Fprintf(&b, "  the provider's books: %s ordered by %s for %s credits at a balance of %s; %s, captured %t %s; shown from %s\n",
			c.At.Sub(began).Truncate(time.Second), c.Source, c.Credits, c.Before, c.Invoice, c.Captured, c.CapturedBy, c.VisibleAt.Sub(began).Truncate(time.Second))
	}
	return b.String(), n
}

// relevant are the last lines about the customer before the promise broke, and
// what befell the processes in that time.
func relevant(trace []line2, broken breach) []line2 {
	const most = 40
	end := len(trace)
	for i, l := range trace {
		if l.who == broken.Customer && strings.HasSuffix(l.text, broken.Text) {
			end = i + 1
			break
		}
	}
	var lines []line2
	for _, l := range trace[:end] {
		if l.who == broken.Customer || l.who == "" {
			lines = append(lines, l)
		}
	}
	return lines[max(0, len(lines)-most):]
}
