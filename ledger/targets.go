package ledger

import (
	"cmp"
	"context"
	"fmt"
	"time"

	"topupd/topup"
)

// isOpen is topup.State.Open in SQL, and the condition of purchase_one_open.
const isOpen = `state NOT IN ('credited', 'declined', 'cancelled')`

// openAt are the open purchases of a provider. The index that has open ones alone
// is read whole; one that begins with the provider must not seem better.
const openAt = isOpen + ` AND provider || '' = ?`

type targetRow struct {
	Customer           string `db:"customer"`
	Product            string `db:"product"`
	Version            int64  `db:"version"`
	Declines           int    `db:"declines"`
	BackoffUntil       *int64 `db:"backoff_until"`
	SuspendedAt        *int64 `db:"suspended_at"`
	PaymentFingerprint string `db:"payment_fingerprint"`
	NewestRowAt        *int64 `db:"newest_row_at"`
	ExternalAt         *int64 `db:"external_at"`
	CreditedAt         *int64 `db:"credited_at"`
	EndedAt            *int64 `db:"ended_at"`
	EndedState         string `db:"ended_state"`
	Implausible        string `db:"implausible"`
	DoubtedAt          *int64 `db:"doubted_at"`
	Refusals           int    `db:"refusals"`
	Refusal            string `db:"refusal"`
	RefusalRule        string `db:"refusal_rule"`
	RefusalVersion     string `db:"refusal_version"`
	Unused             int    `db:"unused"`
	UnusedUntil        *int64 `db:"unused_until"`
	UnusedDay          *int64 `db:"unused_day"`
	UnusedToday        int    `db:"unused_today"`
}

const targetColumns = `customer, product, version, declines, backoff_until, suspended_at, payment_fingerprint,
	newest_row_at, external_at, credited_at, ended_at, ended_state, implausible, doubted_at, refusals, refusal, refusal_rule, refusal_version,
	unused, unused_until, unused_day, unused_today`

// updateTarget stores everything of a target that the caller has locked.
const updateTarget = `UPDATE target SET version = ?, declines = ?, backoff_until = ?, suspended_at = ?, payment_fingerprint = ?,
	newest_row_at = ?, external_at = ?, credited_at = ?, ended_at = ?, ended_state = ?, implausible = ?, doubted_at = ?,
	refusals = ?, refusal = ?, refusal_rule = ?, refusal_version = ?, unused = ?, unused_until = ?, unused_day = ?, unused_today = ?
	WHERE provider = ? AND customer = ? AND product = ?`

// lockTarget locks the target's row, which it creates at version 0 when the
// ledger has never heard of the target.
func (t tx) lockTarget(ctx context.Context, target topup.Target) (targetRow, error) {
	key := []any{string(target.Provider), string(target.Customer), string(target.Product)}
	if _, err := t.exec(ctx, `INSERT INTO target (provider, customer, product) VALUES (?, ?, ?) ON CONFLICT DO NOTHING`, key...); err != nil {
		return targetRow{}, fmt.Errorf("target %s of %s: %w", target.Product, target.Customer, err)
	}
	var r targetRow
	err := t.get(ctx, &r, `SELECT `+targetColumns+` FROM target WHERE provider = ? AND customer = ? AND product = ?`+t.store.sql.update, key...)
	return r, err
}

func (t tx) storeTarget(ctx context.Context, target topup.Target, r targetRow) error {
	return t.one(ctx, "storing the target", updateTarget,
		r.Version, r.Declines, r.BackoffUntil, r.SuspendedAt, r.PaymentFingerprint,
		r.NewestRowAt, r.ExternalAt, r.CreditedAt, r.EndedAt, r.EndedState, r.Implausible, r.DoubtedAt,
		r.Refusals, r.Refusal, r.RefusalRule, r.RefusalVersion,
		r.Unused, r.UnusedUntil, r.UnusedDay, r.UnusedToday,
		string(target.Provider), string(target.Customer), string(target.Product))
}

// into copies what the row knows to a standing.
func (r targetRow) into(s *topup.Standing) {
	s.Version = r.Version
	s.CreditedAt, s.EndedAt, s.EndedState = pointer(r.CreditedAt), pointer(r.EndedAt), topup.State(r.EndedState)
	s.NewestRowAt, s.ExternalAt = pointer(r.NewestRowAt), pointer(r.ExternalAt)
	s.Declines, s.BackoffUntil, s.SuspendedAt = r.Declines, pointer(r.BackoffUntil), pointer(r.SuspendedAt)
	s.Implausible, s.DoubtedAt = r.Implausible, pointer(r.DoubtedAt)
	s.Refusals, s.Refusal, s.RefusalRule, s.RefusalVersion = r.Refusals, r.Refusal, r.RefusalRule, r.RefusalVersion
	s.Unused, s.UnusedUntil = r.Unused, pointer(r.UnusedUntil)
	if r.UnusedDay != nil && *r.UnusedDay == micros(topup.CapDay.Start(s.Now)) {
		s.UnusedToday = r.UnusedToday
	}
}

// Standing is what the ledger knows about one target. The version is read
// first: whatever happens while the rest is read makes the facts overtaken.
func (s *Store) Standing(ctx context.Context, target topup.Target) (topup.Standing, error) {
	var standing topup.Standing
	err := s.read(ctx, "standing", func(ctx context.Context, v view) error {
		now, err := v.now(ctx)
		if err != nil {
			return err
		}
		var row targetRow
		known, err := v.find(ctx, &row, `SELECT `+targetColumns+` FROM target WHERE provider = ? AND customer = ? AND product = ?`,
			string(target.Provider), string(target.Customer), string(target.Product))
		if err != nil {
			return err
		}
		base, pauses, err := v.baseStanding(ctx, target.Provider, now)
		if err != nil {
			return err
		}
		standing = base
		if known {
			row.into(&standing)
		}
		standing.Pauses = about(pauses, target)
		if standing.Raised, err = v.change(ctx, target, now); err != nil {
			return err
		}
		open, err := v.purchases(ctx, `provider = ? AND customer = ? AND product = ? AND `+isOpen,
			string(target.Provider), string(target.Customer), string(target.Product))
		if err != nil {
			return err
		}
		if len(open) > 0 {
			standing.Open = &open[0]
		}
		if err := v.refunds(ctx, target, &standing); err != nil {
			return err
		}
		if standing.ExternalBills, err = v.externalBills(ctx, target, now); err != nil {
			return err
		}
		falls, err := v.falls(ctx, `provider = ? AND customer = ? AND product = ?`, string(target.Provider), string(target.Customer), string(target.Product))
		if len(falls) > 0 {
			standing.Fall = &falls[0]
		}
		return err
	})
	return standing, err
}

// maxExternalBills bounds the bills of one target that are looked at, newest first.
const maxExternalBills = 100

// externalBills lists what was imported by its bill alone, from the books of the
// account, or as a match without a row that was not ours, and that no purchase
// explains: a correction may have found out later whose it is.
func (v view) externalBills(ctx context.Context, target topup.Target, now time.Time) (ids []string, err error) {
	err = v.list(ctx, &ids, `SELECT id FROM external_topup
		WHERE provider = ? AND customer = ? AND product = ? AND id = invoice AND at >= ?
		AND NOT EXISTS (SELECT 1 FROM purchase p WHERE p.provider = external_topup.provider AND p.reference = external_topup.id) ORDER BY at DESC, id LIMIT ?`,
		string(target.Provider), string(target.Customer), string(target.Product), micros(now.Add(-topup.BillsFor)), maxExternalBills)
	return ids, err
}

// Standings is what the ledger knows about every target of a provider: known
// holds those that it has stored something for or that a pause names, base is
// the standing of all others. ExternalBills, LastStood and Released are left out: they count after a
// confirm read, whose decision is made on Standing.
func (s *Store) Standings(ctx context.Context, provider topup.ProviderID) (known map[topup.Target]topup.Standing, base topup.Standing, err error) {
	known = map[topup.Target]topup.Standing{}
	err = s.read(ctx, "standings", func(ctx context.Context, v view) error {
		now, err := v.now(ctx)
		if err != nil {
			return err
		}
		rows, err := v.targetRows(ctx, provider)
		if err != nil {
			return err
		}
		var pauses []topup.Pause
		if base, pauses, err = v.baseStanding(ctx, provider, now); err != nil {
			return err
		}
		for _, r := range rows {
			standing := base
			r.into(&standing)
			known[topup.Target{Provider: provider, Customer: topup.CustomerID(r.Customer), Product: topup.ProductID(r.Product)}] = standing
		}
		if err := v.addPausedCustomers(ctx, known, provider, base, pauses); err != nil {
			return err
		}
		if err := v.addFalls(ctx, known, provider, base); err != nil {
			return err
		}
		if err := v.addChanges(ctx, known, provider, base); err != nil {
			return err
		}
		if err := v.addRefunds(ctx, known, provider); err != nil {
			return err
		}
		return v.addOpenAndPauses(ctx, known, provider, pauses)
	})
	return known, base, err
}

// targetRows reads the targets of a provider page by page: no statement takes
// longer for more customers. Each row holds its own version.
func (v view) targetRows(ctx context.Context, provider topup.ProviderID) (rows []targetRow, err error) {
	var last targetRow
	for {
		var page []targetRow
		if err := v.list(ctx, &page, `SELECT `+targetColumns+` FROM target WHERE provider = ? AND (customer, product) > (?, ?)
			ORDER BY customer, product LIMIT ?`, string(provider), last.Customer, last.Product, pageRows); err != nil {
			return nil, err
		}
		rows = append(rows, page...)
		if len(page) < pageRows {
			return rows, nil
		}
		last = page[len(page)-1]
	}
}

// baseStanding is what holds for every target of a provider.
func (v view) baseStanding(ctx context.Context, provider topup.ProviderID, now time.Time) (topup.Standing, []topup.Pause, error) {
	base := topup.Standing{Now: now}
	var row providerRow
	known, err := v.find(ctx, &row, `SELECT `+providerColumns+` FROM provider WHERE id = ?`, string(provider))
	if err != nil {
		return base, nil, err
	}
	if known {
		seen := row.firstSeen()
		base.FirstSeenAt, base.Stopped, base.Quarantined = &seen, row.Stopped, row.Quarantined
		base.KnownAt, base.QuarantinedAt, base.QuarantineHeld = row.knownAt(), pointer(row.QuarantinedAt), row.QuarantineHeld != 0
	}
	if base.Canaries, err = v.canaries(ctx, provider); err != nil {
		return base, nil, err
	}
	if base.RefusedRules, err = v.refusedRules(ctx); err != nil {
		return base, nil, err
	}
	pauses, err := v.activePauses(ctx, now)
	if err != nil {
		return base, nil, err
	}
	base.Pauses = about(pauses, topup.Target{Provider: provider})
	return base, pauses, nil
}

// about are the pauses that may cover the target, in their order: a rule's does
// when that rule is the target's.
func about(pauses []topup.Pause, target topup.Target) []topup.Pause {
	var list []topup.Pause
	for _, p := range pauses {
		switch {
		case p.Scope == topup.PauseProvider && p.Provider != target.Provider:
		case p.Scope == topup.PauseCustomer && topup.CustomerID(p.Subject) != target.Customer:
		case p.Scope == topup.PauseCustomer && p.Provider != "" && p.Provider != target.Provider:
		default:
			list = append(list, p)
		}
	}
	return list
}

// addPausedCustomers adds the targets of paused customers that nothing else is
// stored for; the snapshots of earlier polls tell their products.
func (v view) addPausedCustomers(ctx context.Context, known map[topup.Target]topup.Standing, provider topup.ProviderID, base topup.Standing, pauses []topup.Pause) error {
	for _, p := range pauses {
		if p.Scope != topup.PauseCustomer {
			continue
		}
		var products []string
		if err := v.list(ctx, &products, `SELECT product FROM snapshot WHERE provider = ? AND customer = ?`, string(provider), p.Subject); err != nil {
			return err
		}
		for _, product := range products {
			target := topup.Target{Provider: provider, Customer: topup.CustomerID(p.Subject), Product: topup.ProductID(product)}
			if _, ok := known[target]; !ok {
				known[target] = base
			}
		}
	}
	return nil
}

func (v view) addFalls(ctx context.Context, known map[topup.Target]topup.Standing, provider topup.ProviderID, base topup.Standing) error {
	falls, err := v.falls(ctx, `provider = ?`, string(provider))
	for i, f := range falls {
		standing, ok := known[f.Target]
		if !ok {
			standing = base
		}
		standing.Fall = &falls[i]
		known[f.Target] = standing
	}
	return err
}

func (v view) addOpenAndPauses(ctx context.Context, known map[topup.Target]topup.Standing, provider topup.ProviderID, pauses []topup.Pause) error {
	open, err := v.purchases(ctx, openAt, string(provider))
	if err != nil {
		return err
	}
	for i := range open {
		standing := known[open[i].Target] // a purchase has a target row
		standing.Open = &open[i]
		known[open[i].Target] = standing
	}
	paused := map[topup.CustomerID]bool{}
	for _, p := range pauses {
		if p.Scope == topup.PauseCustomer {
			paused[topup.CustomerID(p.Subject)] = true
		}
	}
	for target, standing := range known {
		if paused[target.Customer] { // all others have those of base
			standing.Pauses = about(pauses, target)
			known[target] = standing
		}
	}
	return nil
}

// NotePaymentMethods compares the payment methods of a suspended target with
// those first seen since its suspension, and lifts the suspension when they
// changed: a new card deserves a new try (P7).
func (s *Store) NotePaymentMethods(ctx context.Context, target topup.Target, fingerprint string) (lifted bool, err error) {
	err = s.write(ctx, "note_payment_methods", func(ctx context.Context, t tx) error {
		row, err := t.lockTarget(ctx, target)
		if err != nil || row.SuspendedAt == nil || row.PaymentFingerprint == fingerprint {
			return err
		}
		if lifted = row.PaymentFingerprint != ""; lifted {
			row.lift()
		} else {
			row.PaymentFingerprint = fingerprint
		}
		return t.storeTarget(ctx, target, row)
	})
	return lifted && err == nil, err
}

// decline counts one declined payment by the terms of the purchase (P7).
func (r *targetRow) decline(terms topup.DeclineTerms, now time.Time) {
	r.Declines++
	r.Refusal, r.RefusalRule, r.RefusalVersion = "", "", ""
	r.backOff(terms, now)
}

// refuse counts one refused request. It backs off as a decline does, since what a
// provider means by a status is not always known, but says that it is none. What
// another version of the rules was refused for is over.
func (r *targetRow) refuse(words string, p purchaseRow, now time.Time) {
	if r.RefusalRule != p.Rule || r.RefusalVersion != p.RuleVersion {
		r.forgive()
	}
	r.Refusals++
	r.Refusal, r.RefusalRule, r.RefusalVersion = bounded(words), p.Rule, p.RuleVersion
	r.backOff(p.declines(), now)
}

func (r *targetRow) backOff(terms topup.DeclineTerms, now time.Time) {
	failures := r.Declines + r.Refusals
	until := micros(now.Add(terms.Wait(failures)))
	r.BackoffUntil = &until
	if failures >= max(1, terms.SuspendAfter) && r.SuspendedAt == nil {
		at := micros(now)
		r.SuspendedAt, r.PaymentFingerprint = &at, ""
	}
}

// turnedAway counts one whole request that certainly did not run.
func (r *targetRow) turnedAway(now time.Time) {
	r.Unused++
	until, day := micros(now.Add(topup.UnusedWait(r.Unused))), micros(topup.CapDay.Start(now))
	if r.UnusedDay == nil || *r.UnusedDay != day {
		r.UnusedDay, r.UnusedToday = &day, 0
	}
	r.UnusedUntil = &until
	r.UnusedToday++
}

// lift ends back-off and suspension.
func (r *targetRow) lift() {
	r.Declines, r.BackoffUntil, r.SuspendedAt, r.PaymentFingerprint = 0, nil, nil, ""
	r.Refusals, r.Refusal, r.RefusalRule, r.RefusalVersion = 0, "", "", ""
}

// forgive ends what came from refusals. Back-off and suspension are the last
// failure's: those of a decline stay.
func (r *targetRow) forgive() {
	if r.Refusal != "" {
		r.BackoffUntil, r.SuspendedAt, r.PaymentFingerprint = nil, nil, ""
	}
	r.Refusals, r.Refusal, r.RefusalRule, r.RefusalVersion = 0, "", "", ""
}

func compareTargets(a, b topup.Target) int {
	return cmp.Or(cmp.Compare(a.Provider, b.Provider), cmp.Compare(a.Customer, b.Customer), cmp.Compare(a.Product, b.Product))
}
