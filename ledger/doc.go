// Package ledger is the daemon's memory, and the only package that knows SQL:
// one contract over PostgreSQL (several processes, several machines) and
// SQLite (one machine, nothing to install).
//
// What survives a crash, because it was committed before anything else
// happened: every purchase with its frozen request and key before its first
// byte leaves; the permit of every request; every answer that was read; caps,
// pauses, leases and declines.
//
// Rules that every method keeps:
//
//   - Every write runs in an explicit transaction (see write). lib/pq runs an
//     autocommit statement again, silently, when the connection drops.
//   - A commit that answers with an error or a warning is topup.ErrInDoubt,
//     never a success and never a failure.
//   - Whatever two processes compare is read from the database clock, after
//     the rows it is compared with were locked.
//   - A right to spend is given only while the database is the one that the
//     ledger and this process know (lineage.go); after a promotion or a restore
//     the holder of a lease proves that nothing was lost, or the provider is
//     quarantined (witness.go).
//   - Locks are taken in one order: lineage, provider, target, purchase, cap windows
//     (sorted). No transaction waits for anything outside the database.
//   - The schema refuses what must never be: a second open purchase of a
//     target, a send without a permit, a step that is not on the chart, a
//     confirmation without a reference or a name, a changed order, a deleted
//     history (migrations 0001 and 0002).
//
// It must never hold a transaction open while somebody asks a provider, decide
// what to buy, or put a password into an error.
package ledger
