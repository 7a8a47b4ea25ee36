// Package sim runs topupd through made-up histories: the real scheduler, rules,
// purchaser, reconciler, clients and ledger, two to four replicas of them, in
// virtual time against the emulated providers, while everything that can go
// wrong does.
//
// One seed is one history. It settles who the customers are, how bad the
// weather is, and a list of events: an answer that is lost, a replica that is
// killed after its permit, a portal purchase between two steps, an outage, a
// clock that jumps. Every call to the database and every request to a provider
// passes a turnstile that lets one happen at a time, in an order that the seed
// decides too, so that a history can be run again, and cut down to the few
// events that matter when it breaks a promise.
//
// The judge is the emulated provider's own books in a final read phase. An
// operation whose outcome is unknown may be either; what is not allowed is a
// payment that the ledger does not explain, two for one need, and a customer
// who stays low in silence.
//
// Everything here is test code: go test ./internal/sim, make sim.
package sim
