// Package doctor finds out how a provider's live API behaves where its
// documentation is silent, and whether a configuration fits it.
//
// [Examine] only reads. [Experiments] buy, on a sandbox and with a person's
// word: they are the one place beside topup.Purchaser from which a charge
// leaves the program, and the folder "internal" keeps every other part of the
// program from calling them.
//
// An experiment must never be repeated by anything below it: each request is
// sent once, on a connection of its own, by the same client code that the daemon
// buys with. It must never cost more than was allowed: every request that might
// be charged is counted in full before its first byte leaves, whatever comes of
// it.
package doctor
