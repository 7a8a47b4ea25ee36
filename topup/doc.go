// Package topup is what the daemon is about: customers and their credits,
// readings of balances, and the life of a purchase. It knows neither databases
// nor HTTP; money moves only through its Purchaser.
//
// # The life of a purchase
//
//	planned      → sent, cancelled               written down; may the request leave?
//	sent         → confirmed, declined,          it may have left
//	               cancelled, needs_review
//	confirmed    → credited, declined            charged; waiting for its effect
//	needs_review → confirmed, declined           a person is asked
//	held         → planned, cancelled            waiting for approval (reserved)
//	credited, declined, cancelled                the end
//
// Planned, held, sent, confirmed and needs_review are open: they block the target.
// Credited, declined and cancelled are final. What became of the money is a
// second axis, Payment, followed after credited too until it ends.
//
// There is no state for "unknown". A timeout, a crash and half an answer all
// leave a purchase in sent, and one way leads out of there.
//
// # Sending
//
// A fresh connection is opened first (a failure proves that nothing was sent).
// Then the permit is committed: the right to send one request, with the frozen
// bytes and the idempotency key already stored (P2). Then the window is
// checked, so that a process that was stopped in between does not send late.
// Then one request leaves on that connection, repeated by nothing below us, and
// its answer is stored: once for the permit, on the row as it stands then, whatever
// became of it meanwhile.
//
// # What survives a crash
//
//	the process dies                   what is stored      what happens then
//	before the plan commits            nothing             the next poll decides again
//	after it, before the permit        planned             cancelled after 30 s; a late permit fails
//	after the permit, before a byte    sent                looks find nothing; repeated under its key, or needs_review
//	while the request runs             sent                looks find the charge, or nothing: as above
//	after the answer, before a store   sent                the same: evidence stands for the answer
//	after it is stored                 confirmed           credited when books and a reading show it
//
// # Evidence
//
// A charge found in the provider's books is shown at once and claimed at the end
// of the quiet period, which begins with the last send: earlier it could be the
// customer's own while ours is still on its way. An absent charge is believed only after
// two complete empty looks, a fifth of the quiet period apart, the second after
// its end. Repeating under the same key is allowed only then, only where the
// provider documents it, at most MaxRepeats times and KeyLifetime after the
// first send, and only if it would still be bought (P3, P4).
//
// A provider without books is asked for the balance instead, about every ten
// seconds: one rise by what was bought, between two neighbouring samples, that
// lasts and that nothing known explains, is evidence of the same kind (Trail,
// Sampled, Weighed). Nothing else there is: without it a person is asked.
//
// All of it rests on one assumption that an operator must know: the life of an
// idle connection, plus the longest late execution, plus the time until an
// invoice is listed, is shorter than the quiet period.
//
// The changes themselves are pure functions (Replied, Looked, Followed, Voided,
// Waited, Sampled, Weighed, Resolved); Purchaser and Reconciler fetch, apply and store.
package topup
