package ledgertest

import (
	"testing"
	"time"

	"topupd/topup"
)

var rewinding = map[string]func(*testing.T, Opener){
	"what a clock that was ahead has left is as if set now": rewound,
	"what is not ahead stays":                               notRewound,
	"a lease from the future ends":                          leaseRewound,
}

const day = 24 * time.Hour

// rewound: a cooldown of a day that was one of five minutes.
func rewound(t *testing.T, open Opener) {
	d := newDesk(t, open)
	unclear := d.send(customer(1)) // sent by the right clock
	d.clock.forward(day)
	d.takeLease()
	d.advance(d.advance(d.send(customer(2)), confirmed("inv_2")), credited)
	for range 2 {
		d.advance(d.send(customer(3)), refused)
	}
	d.answer(d.send(customer(4)), turnedAway)
	ahead := d.send(customer(5))
	looked := d.advance(unclear, func(c *topup.Change) {
		at, next := d.clock.Now(), d.clock.Now().Add(5*time.Minute)
		c.Next.EmptyLooks, c.Next.EmptyLookAt, c.Next.LookedAt, c.Next.NextLookAt, c.Next.LookStep = 1, &at, &at, &next, 5
	})
	d.clock.forward(-day)
	for range 2 { // once is enough
		d.must(d.store.Rewind(t.Context(), hyperline))
	}
	now := d.clock.Now()
	s := d.standing(customer(2))
	if s.EndedAt == nil || !s.EndedAt.Equal(now) || s.CreditedAt == nil || !s.CreditedAt.Equal(now) {
		t.Errorf("ended at %v, credited at %v; want both now: the cooldown begins", s.EndedAt, s.CreditedAt)
	}
	if s = d.standing(customer(3)); s.Declines != 2 || s.BackoffUntil == nil || s.BackoffUntil.Sub(now) > day || !s.BackoffUntil.After(now) {
		t.Errorf("%d declines, back-off until %v; want 2 and within a day", s.Declines, s.BackoffUntil)
	}
	if s = d.standing(customer(4)); s.Unused != 1 || s.UnusedUntil == nil || !s.UnusedUntil.Equal(now.Add(30*time.Second)) || s.UnusedToday != 1 {
		t.Errorf("turned away %d times, %d today, none before %v; want once and 30 s", s.Unused, s.UnusedToday, s.UnusedUntil)
	}
	got, err := d.store.Purchase(t.Context(), looked.ID)
	d.must(err)
	if !got.EmptyLookAt.Equal(now) || !got.LookedAt.Equal(now) || !got.NextLookAt.Equal(now.Add(5*time.Minute)) || got.EmptyLooks != 1 {
		t.Errorf("empty look at %v, looked at %v, next at %v", got.EmptyLookAt, got.LookedAt, got.NextLookAt)
	}
	if got, err = d.store.Purchase(t.Context(), ahead.ID); err != nil || !got.SentAt.Equal(*ahead.SentAt) || !got.LastSentAt.Equal(*ahead.LastSentAt) {
		t.Errorf("sent at %v, %v: when it was sent is never another, %v", got.SentAt, got.LastSentAt, err)
	}
	if !got.NextLookAt.Before(now.Add(10 * time.Minute)) {
		t.Errorf("next look at %v, in %s", got.NextLookAt, got.NextLookAt.Sub(now))
	}
	d.clock.forward(time.Hour)
	d.must(d.store.Rewind(t.Context(), hyperline))
	if s = d.standing(customer(2)); !s.EndedAt.Equal(now) {
		t.Errorf("ended at %v an hour later, want it to stay", s.EndedAt)
	}
}

func notRewound(t *testing.T, open Opener) {
	d := newDesk(t, open)
	d.advance(d.send(customer(1)), refused)
	d.answer(d.send(customer(2)), turnedAway)
	p := d.advance(d.send(customer(3)), confirmed("inv_3"))
	first, second := d.standing(customer(1)), d.standing(customer(2))
	d.must(d.store.Rewind(t.Context(), hyperline))
	if s := d.standing(customer(1)); !s.BackoffUntil.Equal(*first.BackoffUntil) || !s.EndedAt.Equal(*first.EndedAt) {
		t.Errorf("back-off until %v, was %v", s.BackoffUntil, first.BackoffUntil)
	}
	if s := d.standing(customer(2)); !s.UnusedUntil.Equal(*second.UnusedUntil) {
		t.Errorf("no request before %v, was %v", s.UnusedUntil, second.UnusedUntil)
	}
	if got, err := d.store.Purchase(t.Context(), p.ID); err != nil || got.Revision != p.Revision {
		t.Errorf("changed to revision %d, was %d; %v", got.Revision, p.Revision, err)
	}
}

func leaseRewound(t *testing.T, open Opener) {
	d := newDesk(t, open)
	d.clock.forward(day)
	d.takeLease()
	d.clock.forward(-day)
	take := func() bool {
		t.Helper()
		_, ok, err := d.store.Acquire(t.Context(), hyperline, "another", time.Minute)
		d.must(err)
		return ok
	}
	if take() {
		t.Error("a lease was taken from its holder at once")
	}
	d.clock.forward(time.Minute - time.Microsecond)
	if take() {
		t.Error("a lease was taken from its holder within its time")
	}
	d.clock.forward(time.Microsecond)
	if !take() {
		t.Error("a lease that a clock wrote a day ahead keeps everybody out")
	}
}
