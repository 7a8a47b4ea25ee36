//go:build !linux

package ledger

import "syscall"

// boundUnacknowledged has no portable form; the read deadline bounds the wait.
func boundUnacknowledged(string, string, syscall.RawConn) error { return nil }
