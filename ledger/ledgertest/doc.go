// Package ledgertest holds the contract of the ledger as tests that every store
// passes, and what tests need to run one: a fresh schema on a real PostgreSQL
// and a proxy that loses answers.
package ledgertest
