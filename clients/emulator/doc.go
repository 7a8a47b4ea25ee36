// Package emulator plays both billing providers over HTTP, from their published
// documentation: for rehearsals (`topupd emulator`), for the demo, and as the
// judge of every test that must know what was truly charged.
//
// One [Emulator] serves three things on one address:
//
//	/v1/... /v2/...                  Hyperline
//	/talkover/api/v1/... /api/user   Talkover
//	/_emulator/...                   the control plane: books, faults, customers
//
// The control plane reads and changes what tests do with the methods of
// [Emulator]: GET books, customers, faults, healthy and a page for humans; PUT
// faults; POST faults/next, usage, prices/{id} and customers/{id}/ followed by
// balance, usage, threshold, card, auto-topup, archive, portal-purchase or
// switch-environment. Bodies are JSON, unknown fields are refused.
//
// The one invariant: money moves in exactly two functions, capture at Hyperline
// and credit at Talkover, each of them writes the charge into [Books], and
// nothing else does. Whatever a fault does to the answer, Books tells
// the truth: a request that was executed has its charge there, once; a request
// that was not has none. The providers' own mistakes are emulated in what is
// answered, never in what is booked.
//
// It must never be lenient where a provider is strict, never remember more of an
// idempotency key than the provider promises, and never import the rest of this
// program: a judge that shares code with the accused proves nothing. Where the
// documentation is silent the choice is a field of [HyperlineProfile] or
// [TalkoverProfile], so that a test can hold a client to every reading of it.
package emulator
