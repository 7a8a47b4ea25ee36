// Package rules says what to buy for whom: it reads the rule files, finds the
// rule of a target and chooses the pack.
//
// Everything here is pure: no clock, no network, no database. What a rule would
// do can therefore be asked again at any time with the same answer. A rule that
// can never work, or that could spend without a cap, must never leave Load
// without a problem; a missing value must never be guessed when it decides
// about money.
package rules
