// Package metrics is what topupd shows of itself to the outside: the Prometheus
// metrics, and the small HTTP server that serves them beside health, readiness
// and reload.
//
// It is a window, not a book. Amounts of credits and money are exact everywhere
// else; here, and only here, they become float64, because that is all that
// Prometheus knows. Dashboards and alerts may rest on these numbers, invoices
// and decisions never do: those read the ledger.
//
// Every label value comes from a closed list (reasons, states, results, HTTP
// codes) or from the configuration (providers, rules), and its series starts at
// zero, so that the first failure is a rise and not an appearance. Ids of
// customers stand in the per-target gauges alone, and their number is bounded.
//
// It must never hold up a purchase: nothing here does I/O while it holds a
// lock, and no label value, however broken, makes it panic or spoils a scrape.
package metrics
