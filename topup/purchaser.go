package topup

import (
	"context"
	"errors"
	"fmt"
	"time"
)

// Event is one thing that happened to a purchase, for logs, metrics and people.
type Event struct {
	Purchase Purchase      // as stored afterwards
	From     State         // "" when it was just planned
	Answer   *Answer       // of the request that led to it; nil when none did
	Text     string        // one sentence
	Err      error         // what could not be done
	Failure  FailureReason // of what only became known later, such as another amount on the invoice; "" = none
	Duration time.Duration
}

// Purchaser sends purchases: the only place from which money moves. A process
// that dies on any of its lines leaves a row that the reconciler finishes (P19).
type Purchaser struct {
	Ledger   Ledger
	Provider Provider
	Books    bool // the provider keeps records that can contradict a refusal
	Replica  string

	// TokenFingerprint names the provider token in use.
	TokenFingerprint func() string
	// Clock is the wall clock with its monotonic reading.
	Clock func() time.Time
	// Observe is told everything that happens. It must not block.
	Observe func(Event)
	// Step is called at every named step of a send; nil in production.
	Step func(step string)
}

// StoreFor bounds how long an answer that the database does not take is kept
// trying after shutdown was asked for. Until then it is tried for ever.
const StoreFor = 20 * time.Second

// Buy sends a planned purchase: connect, permit, window, one request, verdict.
// The purchase is returned as stored. An error means that its state could not
// be stored or that it may not be sent now; nothing is ever sent twice.
func (s *Purchaser) Buy(ctx context.Context, p Purchase, lease Lease) (Purchase, error) {
	return s.send(ctx, PermitRequest{Purchase: p, Lease: lease})
}

// Repeat sends a purchase once more under its key and bytes. The caller has
// seen two complete empty looks and decided again on a fresh confirm read; the
// permit checks age, state and facts once more.
func (s *Purchaser) Repeat(ctx context.Context, p Purchase, lease Lease, facts Facts, serverTime time.Time) (Purchase, error) {
	return s.send(ctx, PermitRequest{Purchase: p, Lease: lease, Repeat: true, Facts: facts, ServerTime: serverTime})
}

func (s *Purchaser) send(ctx context.Context, req PermitRequest) (Purchase, error) {
	started := s.Clock()
	p := req.Purchase
	s.step("planned")
	// Before the connection reads the token: a stop under an older name ends by
	// itself, one under a newer name would stop a token that was never refused.
	req.TokenFingerprint = s.TokenFingerprint()
	sender, err := s.Provider.Connect(ctx)
	if err != nil {
		return s.notSent(ctx, req, connectReason(err), fmt.Errorf("connecting: %w", err))
	}
	defer func() { _ = sender.Close() }() // after Send there is nothing left to lose
	s.step("connected")
	window := newWindow(ctx, s.Clock, s.Ledger.Now)

	req.Token, err = NewToken()
	if err != nil {
		return s.notSent(ctx, req, FailedOther, err)
	}
	req.Replica = s.Replica
	permitted, err := s.Ledger.Permit(ctx, req)
	switch {
	case errors.Is(err, ErrInDoubt):
		return s.disown(ctx, req, err)
	case err != nil:
		return s.notSent(ctx, req, FailedOther, fmt.Errorf("asking for the permit: %w", err))
	}
	s.step("permitted")
	if err := window.check(ctx); err != nil {
		return s.store(ctx, permitted, Answer{Verdict: NotRun, Reason: FailedTimeout, Detail: err.Error()}, started)
	}
	// From here on the purchase is cut by nothing: shutdown waits for it.
	answer := sender.Send(context.WithoutCancel(ctx), p.Request, p.Key)
	s.step("answered")
	return s.store(ctx, permitted, answer, started)
}

// notSent ends a send before its permit: a planned purchase is cancelled, a
// repeat stays as it is.
func (s *Purchaser) notSent(ctx context.Context, req PermitRequest, reason FailureReason, cause error) (Purchase, error) {
	p := req.Purchase
	if req.Repeat {
		return p, cause
	}
	next, err := s.Ledger.Advance(context.WithoutCancel(ctx), NotPermitted(p, reason, cause.Error()))
	if err != nil {
		// Planned without a permit: the reconciler cancels it after PlannedLifetime.
		return p, errors.Join(cause, fmt.Errorf("cancelling %s: %w", p.ID, err))
	}
	s.tell(Event{Purchase: next, From: p.State, Text: "not sent", Err: cause})
	return next, cause
}

// disown takes back a permit of which the database did not say whether it was
// stored. Only its holder could have sent under it, and it did not.
func (s *Purchaser) disown(ctx context.Context, req PermitRequest, doubt error) (Purchase, error) {
	unsent := Answer{Verdict: NotRun, Reason: FailedOther, Detail: "the permit's commit was in doubt, nothing was sent"}
	stored, _, err := s.keep(ctx, req.Purchase, req.Token, unsent)
	return stored, errors.Join(doubt, err)
}

// store keeps the answer and tells of it.
func (s *Purchaser) store(ctx context.Context, p Purchase, a Answer, started time.Time) (Purchase, error) {
	stored, failure, err := s.keep(ctx, p, p.PermitToken, a)
	s.step("stored")
	event := Event{Purchase: stored, From: p.State, Answer: &a, Text: a.Detail, Failure: failure, Duration: s.Clock().Sub(started), Err: err}
	if err != nil {
		event.Err = fmt.Errorf("the answer to purchase %s could not be stored (%s %s): %w", p.ID, a.Verdict, a.Reference, err)
	}
	s.tell(event)
	return stored, event.Err
}

// keep stores an answer, whatever it takes. What the ledger refuses is stored as
// the impossible answer that it is, and when it refuses that too, as evidence
// alone.
func (s *Purchaser) keep(ctx context.Context, p Purchase, permit string, a Answer) (stored Purchase, failure FailureReason, err error) {
	stored = p
	answer := func(ctx context.Context, a Answer) error {
		row, err := s.Ledger.Answer(ctx, AnswerRequest{Purchase: p, Permit: permit, Answer: a, Change: func(row Purchase, now time.Time) Change {
			var c Change
			c, failure = Replied(row, Reply{Answer: a, Permit: permit, Books: s.Books}, now)
			return c
		}})
		if err == nil {
			stored = row
		}
		return err
	}
	err = s.persist(ctx, func(ctx context.Context) error {
		refusal := answer(ctx, a)
		if !errors.Is(refusal, ErrRefused) {
			return refusal
		}
		err := answer(ctx, a.impossible(refusal))
		failure = FailedMismatch
		if errors.Is(err, ErrRefused) {
			err = errors.Join(err, s.Ledger.Append(ctx, p.ID, answerEvidence(p, p.State, a)))
		}
		return err
	})
	return stored, failure, err
}

// persist tries until the database takes it. Once shutdown was asked for it
// gives up after StoreFor: the row is Sent then, and evidence finds the rest.
func (s *Purchaser) persist(ctx context.Context, try func(context.Context) error) error {
	work := context.WithoutCancel(ctx)
	var deadline time.Time
	for wait := 50 * time.Millisecond; ; wait = min(2*wait, 5*time.Second) {
		attempt, cancel := context.WithTimeout(work, 15*time.Second)
		err := try(attempt)
		cancel()
		if err == nil || errors.Is(err, ErrNotFound) || errors.Is(err, ErrRefused) {
			return err
		}
		if ctx.Err() != nil {
			if deadline.IsZero() {
				deadline = s.Clock().Add(StoreFor)
			} else if s.Clock().After(deadline) {
				return err
			}
			wait = min(wait, time.Second)
		}
		timer := time.NewTimer(wait)
		if ctx.Err() == nil {
			select {
			case <-ctx.Done():
			case <-timer.C:
			}
			timer.Stop()
		} else {
			<-timer.C
		}
	}
}

func (s *Purchaser) tell(e Event) {
	if s.Observe != nil {
		s.Observe(e)
	}
}

func (s *Purchaser) step(name string) {
	if s.Step != nil {
		s.Step(name)
	}
}

// connectReason tells why no connection was had. Whoever dials says more with
// a FailureReason method.
func connectReason(err error) FailureReason {
	var known interface{ FailureReason() FailureReason }
	if errors.As(err, &known) {
		return known.FailureReason()
	}
	if errors.Is(err, context.DeadlineExceeded) {
		return FailedTimeout
	}
	return FailedConnection
}

// window is the time since the connection was opened, by three clocks: Go's
// monotonic one stands still while a machine is suspended, the wall clock can
// be set, the database's is neither of ours.
type window struct {
	clock    func() time.Time
	database func(context.Context) (time.Time, error)
	opened   time.Time
	openedDB time.Time
	err      error
}

func newWindow(ctx context.Context, clock func() time.Time, database func(context.Context) (time.Time, error)) window {
	w := window{clock: clock, database: database, opened: clock()}
	w.openedDB, w.err = database(ctx)
	return w
}

// check fails when more than SendWindow has passed by any of the clocks, or
// when the database cannot say.
func (w window) check(ctx context.Context) error {
	if w.err != nil {
		return fmt.Errorf("reading the database clock: %w", w.err)
	}
	db, err := w.database(ctx)
	if err != nil {
		return fmt.Errorf("reading the database clock: %w", err)
	}
	now := w.clock()
	for _, passed := range []time.Duration{now.Sub(w.opened), now.Round(0).Sub(w.opened.Round(0)), db.Sub(w.openedDB)} {
		if passed > SendWindow {
			return fmt.Errorf("%s passed between the connection and the permit, more than %s", passed.Round(time.Millisecond), SendWindow)
		}
	}
	return nil
}
