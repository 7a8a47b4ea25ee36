// Package scheduler decides when: it polls the balances of every provider
// connection, reads low ones again, asks the rules, has purchases planned and
// driven, and visits open purchases until they end.
//
// One process works on a connection at a time, by a lease; the others stand by
// and take over when it ends. The lease is efficiency: that nothing is bought
// twice is the ledger's promise (one open purchase per target, and a target
// version that refuses overtaken facts), whoever believes to hold it.
//
// Before a process buys for the first time at a provider that keeps books, and to
// end a quarantine, it reads what was bought in the whole account (books.go).
//
// The scheduler knows no SQL and no provider's words, and it never sends
// anything itself: money moves in topup.Purchaser.
package scheduler
