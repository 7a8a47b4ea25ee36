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
// greater than all before it, also after a crash. ttl is at most an hour.
func (s *Store) Acquire(ctx context.Context, provider topup.ProviderID, holder string, ttl time.Duration) (lease topup.Lease, ok bool, err error) {
	if holder == "" || ttl <= 0 || ttl > maxLease {
		return lease, false, fmt.Errorf("acquiring the lease of %s: holder %q for %s; a holder needs a name and at most %s", provider, holder, ttl, maxLease)
	}
	err = s.write(ctx, "acquire_lease", func(ctx context.Context, t tx) error {
		row, err := t.lockProvider(ctx, provider, s.sql.update)
		if err != nil {
			return err
		}
		now, err := t.now(ctx)
		if err != nil {
			return err
		}
		held := instant(row.LeaseUntil).After(now)
		if held && row.Holder != holder {
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
	return lease, ok, nil
}

// Renew lengthens a lease that has not run out. ok is false when it has, or
// when it is somebody else's: its holder must stop.
func (s *Store) Renew(ctx context.Context, lease topup.Lease, ttl time.Duration) (ok bool, err error) {
	if ttl <= 0 || ttl > maxLease {
		return false, fmt.Errorf("renewing the lease of %s for %s: at most %s", lease.Provider, ttl, maxLease)
	}
	err = s.write(ctx, "renew_lease", func(ctx context.Context, t tx) error {
		row, err := t.lockProvider(ctx, lease.Provider, s.sql.update)
		if err != nil {
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
	return ok && err == nil, err
}

// Release ends one holding. A later one, whoever has it, is left alone.
func (s *Store) Release(ctx context.Context, lease topup.Lease) error {
	return s.write(ctx, "release_lease", func(ctx context.Context, t tx) error {
		_, err := t.exec(ctx, `UPDATE provider SET holder = '', lease_until = 0 WHERE id = ? AND holder = ? AND term = ?`,
			string(lease.Provider), lease.Holder, lease.Term)
		return err
	})
}
