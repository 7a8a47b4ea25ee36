// Package hyperline speaks to the Hyperline billing API: it reads credit
// balances, finds out whether a purchase may be made and whether it was, and
// makes it.
//
// What the API promises, and what it leaves open, is in
// docs/providers/hyperline.md. Three of its habits shape everything here:
//
//   - Unknown query parameters are ignored and the unfiltered list is answered
//     with 200, so every filter is checked again on every row.
//   - Balances and lists can be read while they move, so a list is complete only
//     if its pages add up to the total that each of them names.
//   - A purchase cannot be tagged. Its only names are the idempotency key, which
//     is remembered for 24 hours, and the invoice in the answer.
//
// This package must never add credits that nobody pays for: of the endpoints that
// add credits only the one that makes an invoice exists here, and a credit
// product is attached without a balance (P11). It must never take a missing, null
// or doubled number for a balance (P13), and never send a purchase by any other
// way than clients.Sender (P4).
package hyperline
