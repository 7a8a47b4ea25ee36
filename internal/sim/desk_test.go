package sim

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"topupd/ledger"
	"topupd/topup"
)

// desk is one replica's way to the ledger. Every call passes the turnstile
// before it is made, and the three that move a purchase once more before their
// answer is read, so that a process can die on either side of a commit.
type desk struct {
	*ledger.Store
	r *replica
}

var errAway = errors.New("the database is away")

// enter waits for the turn; an error means that the database is away.
func (d *desk) enter(what, about string) error {
	d.r.w.gate.pass(d.r, what, about)
	if d.r.w.away.Load() {
		return fmt.Errorf("%s: %w", what, errAway)
	}
	return nil
}

// commit makes a call whose commit may answer in doubt, stored or not.
func (d *desk) commit(what string, target topup.Target, call func() (topup.Purchase, error)) (topup.Purchase, error) {
	if err := d.enter(what, string(target.Customer)); err != nil {
		return topup.Purchase{}, err
	}
	w := d.r.w
	e := w.doubtful(what, target.Customer)
	if e != nil && e.For == 0 {
		w.tell(target.Customer, "%s: %s: the commit answers in doubt, and is not stored", d.r, what)
		return topup.Purchase{}, topup.ErrInDoubt
	}
	p, err := call()
	if err == nil {
		w.judge.stored(d.r, what, p)
	}
	d.r.w.gate.pass(d.r, what+" done", string(target.Customer))
	if e != nil && err == nil {
		w.tell(target.Customer, "%s: %s: the commit answers in doubt, and is stored", d.r, what)
		return topup.Purchase{}, topup.ErrInDoubt
	}
	return p, err
}

func (d *desk) Plan(ctx context.Context, r topup.PlanRequest) (topup.Purchase, error) {
	return d.commit("plan", r.Purchase.Target, func() (topup.Purchase, error) { return d.Store.Plan(ctx, r) })
}

func (d *desk) Permit(ctx context.Context, r topup.PermitRequest) (topup.Purchase, error) {
	return d.commit("permit", r.Purchase.Target, func() (topup.Purchase, error) { return d.Store.Permit(ctx, r) })
}

func (d *desk) Advance(ctx context.Context, c topup.Change) (topup.Purchase, error) {
	return d.commit("advance", c.Next.Target, func() (topup.Purchase, error) { return d.Store.Advance(ctx, c) })
}

func (d *desk) Answer(ctx context.Context, r topup.AnswerRequest) (topup.Purchase, error) {
	return d.commit("answer", r.Purchase.Target, func() (topup.Purchase, error) { return d.Store.Answer(ctx, r) })
}

func (d *desk) Append(ctx context.Context, id string, evidence ...topup.Evidence) error {
	if err := d.enter("append", id); err != nil {
		return err
	}
	return d.Store.Append(ctx, id, evidence...)
}

func (d *desk) Now(ctx context.Context) (time.Time, error) {
	if err := d.enter("now", ""); err != nil {
		return time.Time{}, err
	}
	return d.Store.Now(ctx)
}

func (d *desk) Purchase(ctx context.Context, id string) (topup.Purchase, error) {
	if err := d.enter("purchase", id); err != nil {
		return topup.Purchase{}, err
	}
	return d.Store.Purchase(ctx, id)
}

func (d *desk) Due(ctx context.Context, provider topup.ProviderID, limit int) (time.Time, []topup.Purchase, error) {
	if now := d.r.w.dbNow(); d.calm() && !d.r.w.judge.due(provider, now) { // asked every second, for years
		return now, nil, nil
	}
	if err := d.enter("due", string(provider)); err != nil {
		return time.Time{}, nil, err
	}
	return d.Store.Due(ctx, provider, limit)
}

func (d *desk) Rewind(ctx context.Context, provider topup.ProviderID) error {
	if err := d.enter("rewind", string(provider)); err != nil {
		return err
	}
	return d.Store.Rewind(ctx, provider)
}

func (d *desk) Others(ctx context.Context, p topup.Purchase, since time.Time) (topup.Others, error) {
	if err := d.enter("others", p.ID); err != nil {
		return topup.Others{}, err
	}
	return d.Store.Others(ctx, p, since)
}

func (d *desk) Elsewhere(ctx context.Context, p topup.Purchase, since time.Time) ([]topup.Shown, error) {
	if err := d.enter("elsewhere", p.ID); err != nil {
		return nil, err
	}
	return d.Store.Elsewhere(ctx, p, since)
}

func (d *desk) Claimed(ctx context.Context, provider topup.ProviderID, references []string, except string) (map[string]bool, error) {
	if err := d.enter("claimed", except); err != nil {
		return nil, err
	}
	return d.Store.Claimed(ctx, provider, references, except)
}

func (d *desk) NoteKnown(ctx context.Context, lease topup.Lease, at time.Time) error {
	if err := d.enter("note known", string(lease.Provider)); err != nil {
		return err
	}
	return d.Store.NoteKnown(ctx, lease, at)
}

func (d *desk) EndQuarantine(ctx context.Context, end topup.QuarantineEnd) (string, error) {
	if err := d.enter("end quarantine", string(end.Lease.Provider)); err != nil {
		return "", err
	}
	return d.Store.EndQuarantine(ctx, end)
}

func (d *desk) Stop(ctx context.Context, p topup.Pause) (bool, error) {
	if err := d.enter("stop", p.Subject); err != nil {
		return false, err
	}
	began, err := d.Store.Stop(ctx, p)
	if began {
		d.r.w.judge.paused(d.r.w.thrown(p))
		d.r.w.after(10*time.Minute, func() { d.r.w.unpause(d.r.w.thrown(p)) }) // a person has looked
	}
	return began, err
}

func (d *desk) Acquire(ctx context.Context, provider topup.ProviderID, holder string, ttl time.Duration) (topup.Lease, bool, error) {
	w := d.r.w
	if held := w.lease(provider); d.calm() && held.Holder != holder && w.dbNow().Before(held.until) {
		return topup.Lease{}, false, nil // as the ledger would say
	}
	if err := d.enter("lease", string(provider)); err != nil {
		return topup.Lease{}, false, err
	}
	lease, ok, err := d.Store.Acquire(ctx, provider, holder, ttl)
	if ok && err == nil {
		w.locked(func() { w.leases[provider] = heldLease{lease, w.dbNow().Add(ttl)} })
	}
	return lease, ok, err
}

func (d *desk) Renew(ctx context.Context, lease topup.Lease, ttl time.Duration) (bool, error) {
	w := d.r.w
	if held := w.lease(lease.Provider); d.calm() && held.Lease == lease && held.until.Sub(w.dbNow()) > ttl*2/3 {
		return true, nil // half of the renewals do not reach the ledger: its lease only ends earlier
	}
	if err := d.enter("lease", string(lease.Provider)); err != nil {
		return false, err
	}
	ok, err := d.Store.Renew(ctx, lease, ttl)
	if ok && err == nil {
		w.locked(func() { w.leases[lease.Provider] = heldLease{lease, w.dbNow().Add(ttl)} })
	}
	return ok, err
}

func (d *desk) Release(ctx context.Context, lease topup.Lease) error {
	if err := d.enter("lease", string(lease.Provider)); err != nil {
		return err
	}
	d.r.w.locked(func() { delete(d.r.w.leases, lease.Provider) })
	return d.Store.Release(ctx, lease)
}

// heldLease is a lease as the ledger has it, to answer for it what is asked all
// the time.
type heldLease struct {
	topup.Lease
	until time.Time
}

// lease is the lease of a provider as the ledger has it.
func (w *world) lease(provider topup.ProviderID) heldLease {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.leases[provider]
}

// calm tells whether the process and the database are well, so that an answer
// that changes nothing need not be asked for.
func (d *desk) calm() bool {
	return !d.r.w.away.Load() && !d.r.dead.Load() && !d.r.frozen()
}

func (d *desk) Standing(ctx context.Context, target topup.Target) (topup.Standing, error) {
	if err := d.enter("standing", string(target.Customer)); err != nil {
		return topup.Standing{}, err
	}
	return d.Store.Standing(ctx, target)
}

func (d *desk) Standings(ctx context.Context, provider topup.ProviderID) (map[topup.Target]topup.Standing, topup.Standing, error) {
	if err := d.enter("standings", string(provider)); err != nil {
		return nil, topup.Standing{}, err
	}
	return d.Store.Standings(ctx, provider)
}

func (d *desk) OverCap(ctx context.Context, target topup.Target, rule string, p topup.Money, caps []topup.Cap) (*topup.CapError, error) {
	if err := d.enter("caps", string(target.Customer)); err != nil {
		return nil, err
	}
	return d.Store.OverCap(ctx, target, rule, p, caps)
}

func (d *desk) Import(ctx context.Context, target topup.Target, rows []topup.Topup) (int, error) {
	if err := d.enter("import", string(target.Customer)); err != nil {
		return 0, err
	}
	n, err := d.Store.Import(ctx, target, rows)
	if n > 0 {
		d.r.w.tell(target.Customer, "%s: %d additions by others imported", d.r, n)
	}
	return n, err
}

func (d *desk) NoteFalls(ctx context.Context, f topup.Falls) (topup.Crowd, error) {
	if err := d.enter("hold", ""); err != nil {
		return topup.Crowd{}, err
	}
	w := d.r.w
	crowd, err := d.Store.NoteFalls(ctx, f)
	if w.judge.held += crowd.Held; crowd.Held > 0 {
		w.tell("", "%s: %d held: %s", d.r, crowd.Held, crowd.Why)
		w.lookAndResume(topup.Pause{Scope: topup.PauseProvider, Provider: f.Provider, Reason: "looked", By: "sim"})
	}
	return crowd, err
}

func (d *desk) LiftDoubts(ctx context.Context, targets []topup.Target, why string) (int, error) {
	if err := d.enter("lift", ""); err != nil {
		return 0, err
	}
	n, err := d.Store.LiftDoubts(ctx, targets, why)
	d.r.w.tell("", "%s: %d holds are over: %s", d.r, n, why)
	return n, err
}

func (d *desk) EndFalls(ctx context.Context, targets []topup.Target) error {
	if err := d.enter("end falls", ""); err != nil {
		return err
	}
	return d.Store.EndFalls(ctx, targets)
}

func (d *desk) Expiring(ctx context.Context, provider topup.ProviderID, from, to time.Time) (map[topup.Target][]topup.Batch, error) {
	if err := d.enter("expiring", ""); err != nil {
		return nil, err
	}
	return d.Store.Expiring(ctx, provider, from, to)
}

func (d *desk) NotePaymentMethods(ctx context.Context, target topup.Target, fingerprint string) (bool, error) {
	if err := d.enter("methods", string(target.Customer)); err != nil {
		return false, err
	}
	return d.Store.NotePaymentMethods(ctx, target, fingerprint)
}

func (d *desk) RecordEvaluations(ctx context.Context, evaluations []topup.Evaluation) error {
	if err := d.enter("record", ""); err != nil {
		return err
	}
	for _, e := range evaluations {
		if !slices.Contains(topup.Reasons(), e.Reason) {
			d.r.w.judge.breach("P15", e.Target.Customer, "the reason %q is not on the closed list", e.Reason)
		}
	}
	return d.Store.RecordEvaluations(ctx, evaluations)
}

// Snapshot may fail like everything else.
func (d *desk) Snapshot(ctx context.Context, provider topup.ProviderID) ([]topup.Evaluation, error) {
	if err := d.enter("snapshot", string(provider)); err != nil {
		return nil, err
	}
	return d.Store.Snapshot(ctx, provider)
}
