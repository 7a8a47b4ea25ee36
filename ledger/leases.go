package ledger

import (
	"context"
	"fmt"
	"time"

	"topupd/topup"
)

// maxLease bounds how long a process that died can keep others from a provider.
const maxLease = time.Hour

// Acquire takes the lease of a provider for the holder, or lengthens the one it
// has. ok is false while somebody else holds it. Every new holding has a term
// greater than all before it, also after a crash. ttl is at most an hour. A
// lease that ends later than any can, because a clock was ahead, is as if taken
// now. A database that moved is inspected first (P18).
func (s *Store) Acquire(ctx context.Context, provider topup.ProviderID, holder string, ttl time.Duration) (lease topup.Lease, ok bool, err error) {
	if holder == "" || ttl <= 0 || ttl > maxLease {
		return lease, false, fmt.Errorf("acquiring the lease of %s: holder %q for %s; a holder needs a name and at most %s", provider, holder, ttl, maxLease)
	}
	asked := time.Now() //nolint:forbidigo // how long a lease has run is compared on this machine
	err = s.unmovedWrite(ctx, "acquire_lease", func(ctx context.Context, t tx) error {
		row, err := t.lockProvider(ctx, provider, s.sql.alone)
		if err != nil {
			return err
		}
		if err := t.unmoved(ctx); err != nil {
			return err
		}
		now, err := t.now(ctx)
		if err != nil {
			return err
		}
		held := instant(row.LeaseUntil).After(now)
		if held && row.Holder != holder {
			if instant(row.LeaseUntil).After(now.Add(maxLease)) { // no lease is that long: a clock that was ahead wrote it
				return t.one(ctx, "shortening a lease from the future", `UPDATE provider SET lease_until = ? WHERE id = ?`, micros(now.Add(ttl)), string(provider))
			}
			return nil
		}
		term := row.Term
		if !held {
			term++
		}
		lease, ok = topup.Lease{Provider: provider, Holder: holder, Term: term}, true
		return t.one(ctx, "taking the lease", `UPDATE provider SET holder = ?, term = ?, lease_until = ? WHERE id = ?`,
			holder, term, micros(now.Add(ttl)), string(provider))
	})
	if err != nil {
		return topup.Lease{}, false, err
	}
	s.testifies(topup.Lease{Provider: provider, Holder: holder, Term: lease.Term}, asked, ttl, ok)
	return lease, ok, nil
}

// unmovedWrite is write for an operation that refuses when the database moved:
// the database is inspected then, and the operation runs once more.
func (s *Store) unmovedWrite(ctx context.Context, query string, fn func(context.Context, tx) error) error {
	err := s.write(ctx, query, fn)
	if s.inspected(ctx, err) {
		err = s.write(ctx, query, fn)
	}
	return err
}

// testifies keeps in mind that this process holds the lease, or does not.
func (s *Store) testifies(lease topup.Lease, asked time.Time, ttl time.Duration, held bool) {
	if held {
		s.witness.holds(lease, asked, ttl)
	} else {
		s.witness.gaveUp(lease.Provider)
	}
}

// Renew lengthens a lease that has not run out. ok is false when it has, or
// when it is somebody else's: its holder must stop.
func (s *Store) Renew(ctx context.Context, lease topup.Lease, ttl time.Duration) (ok bool, err error) {
	if ttl <= 0 || ttl > maxLease {
		return false, fmt.Errorf("renewing the lease of %s for %s: at most %s", lease.Provider, ttl, maxLease)
	}
	asked := time.Now() //nolint:forbidigo // as in Acquire
	err = s.unmovedWrite(ctx, "renew_lease", func(ctx context.Context, t tx) error {
		row, err := t.lockProvider(ctx, lease.Provider, s.sql.update)
		if err != nil {
			return err
		}
		if err := t.unmoved(ctx); err != nil {
			return err
		}
		now, err := t.now(ctx)
		if err != nil {
			return err
		}
		ok = row.Holder == lease.Holder && row.Term == lease.Term && instant(row.LeaseUntil).After(now)
		if !ok {
			return nil
		}
		return t.one(ctx, "renewing the lease", `UPDATE provider SET lease_until = ? WHERE id = ?`, micros(now.Add(ttl)), row.ID)
	})
	if err == nil {
		s.testifies(lease, asked, ttl, ok)
	}
	return ok && err == nil, err
}

// Release ends one holding. A later one, whoever has it, is left alone.
func (s *Store) Release(ctx context.Context, lease topup.Lease) error {
	s.witness.gaveUp(lease.Provider)
	return s.write(ctx, "release_lease", func(ctx context.Context, t tx) error {
		_, err := t.exec(ctx, `UPDATE provider SET holder = '', lease_until = 0 WHERE id = ? AND holder = ? AND term = ?`,
			string(lease.Provider), lease.Holder, lease.Term)
		return err
	})
}
