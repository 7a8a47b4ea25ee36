//go:build race

package ledgertest

// Slowdown divides what large tests store: SQLite is ten times slower under the
// race detector.
const Slowdown = 10
