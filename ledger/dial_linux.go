package ledger

import "syscall"

// tcpUserTimeout is TCP_USER_TIMEOUT, which package syscall does not name (tcp(7)).
const tcpUserTimeout = 0x12

// boundUnacknowledged drops a connection whose bytes the other side has not
// acknowledged for 15 s: keep-alive does not run while bytes are on their way.
func boundUnacknowledged(network, _ string, raw syscall.RawConn) error {
	if network != "tcp" && network != "tcp4" && network != "tcp6" {
		return nil
	}
	var set error
	err := raw.Control(func(fd uintptr) {
		set = syscall.SetsockoptInt(int(fd), syscall.IPPROTO_TCP, tcpUserTimeout, 15_000)
	})
	if err != nil {
		return err
	}
	return set
}
