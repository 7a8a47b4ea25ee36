// Package talkover speaks to Talkover's billing API: it reads the prepaid
// balance of one environment and buys credits for it.
//
// Three gaps of that API decide how the package behaves:
//
//   - It documents no idempotency key. A purchase is one request, and never a
//     second one: no key header is sent either, because net/http takes such a
//     header for leave to send a request again.
//   - It keeps no list of purchases. What an unclear answer left behind can only
//     be seen in the balance ([Client.Sample]); there are no books to search
//     ([Client.Books]).
//   - Balance and purchase take a user's token, and the user has a current
//     environment that a person can switch. [Client.Confirm] asks for it right
//     before every purchase.
//
// Credits are money one to one: a charge of 100.00 raises the balance by 100
// (Talkover docs, get-auto-topup-history, read 2026-11-20).
//
// It must never call POST /api/v1/auto-topup/test, which charges the card
// (Talkover docs, test-auto-topup, read 2026-11-20), never change the native
// settings, and never take a balance that it could not read for zero.
//
// Pages are cited by their name under
// https://docs.talkover.ai/en/api-reference/endpoints/. docs/providers/talkover.md
// has the whole list of facts and of what is not documented.
package talkover
