// Package verify compares what the ledger says was bought with what the
// provider's own books say was charged, and lists every difference.
//
// [Compare] is pure: facts in, findings of a closed list of kinds out.
// [Verifier] reads the facts, at the lowest priority, and says what it could not
// read. The package must never change anything, at the provider or in the
// ledger, and never take what was not read for agreement.
//
// What is judged: purchases that have ended and whose quiet period is over, and
// what the provider dated before the same moment. What is younger, or still
// open, is counted and left to the next run.
package verify
