//go:build !race

package ledgertest

// Slowdown divides what large tests store; nothing slows them down here.
const Slowdown = 1
