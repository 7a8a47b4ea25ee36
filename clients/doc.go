// Package clients is what the clients of all billing providers share: the
// requests themselves, the rate budget, and the one way in which a charge
// leaves this program.
//
// There are two kinds of requests and they share no connection:
//
//   - [API.Read] looks. It may be repeated, so it is: after 429, 5xx and network
//     errors, with growing pauses, at most [maxTries] times.
//   - [API.Dial] and [Sender.Send] charge. A Sender is one fresh connection that
//     carries at most one request (P4). Nothing here, and nothing in net/http
//     underneath, repeats it, follows a redirect with it, or moves it to another
//     connection. [API.Write] is the same for changes that cost nothing.
//
// net/http would: a plain http.Client resends a POST that has an Idempotency-Key
// header when a reused connection dies, up to seven times over HTTP/2, and with
// its body after a 307 or 308 (Go 1.26 net/http, shouldRetryRequest and
// http2canRetryError, read 2026-11-20; the tests in clientstest keep watch).
//
// Proxies from the environment are not used, on neither path: a proxy may resend
// a request too, and no one would see it here.
//
// This package must never decide what an answer means for money: that is on each
// provider's own list. And it must never let a token, a query or a whole body
// into an error or a log.
package clients
