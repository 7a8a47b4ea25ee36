//go:build faultpoints

package daemon

import (
	"fmt"
	"os"
	"strconv"
	"sync/atomic"
	"syscall"
	"time"
)

var (
	faultSeen  atomic.Int64
	faultBegan = time.Now()
)

// faultPoint sends the process a signal the nth time the step named by
// $TOPUPD_FAULT_STEP is reached ($TOPUPD_FAULT_AT, 1 when unset), counted from
// $TOPUPD_FAULT_AFTER after the start (a duration, 0s when unset): SIGKILL, or
// SIGSTOP when $TOPUPD_FAULT_SIGNAL is STOP, or SIGTERM when it is TERM. For
// tests.
func faultPoint(step string) {
	if step != os.Getenv("TOPUPD_FAULT_STEP") {
		return
	}
	after, err := time.ParseDuration(os.Getenv("TOPUPD_FAULT_AFTER"))
	if err == nil && time.Since(faultBegan) < after {
		return
	}
	at, err := strconv.ParseInt(os.Getenv("TOPUPD_FAULT_AT"), 10, 64)
	if err != nil {
		at = 1
	}
	if faultSeen.Add(1) != at {
		return
	}
	fmt.Fprintf(os.Stderr, "{\"msg\":\"fault point\",\"step\":%q}\n", step)
	switch os.Getenv("TOPUPD_FAULT_SIGNAL") {
	case "STOP":
		_ = syscall.Kill(os.Getpid(), syscall.SIGSTOP)
		// It stops within this; a process that was continued goes on from here.
		time.Sleep(100 * time.Millisecond)
	case "TERM":
		_ = syscall.Kill(os.Getpid(), syscall.SIGTERM)
	default:
		_ = syscall.Kill(os.Getpid(), syscall.SIGKILL)
		select {} // the signal is on its way
	}
}
