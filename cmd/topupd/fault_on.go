//go:build faultpoints

package main

import (
	"os"
	"strconv"
	"sync/atomic"
	"syscall"
)

var faultSeen atomic.Int64

// faultPoint kills the process, as kill -9 does, the nth time the step named by
// $TOPUPD_FAULT_STEP is reached ($TOPUPD_FAULT_AT, 1 when unset). For tests.
func faultPoint(step string) {
	if step != os.Getenv("TOPUPD_FAULT_STEP") {
		return
	}
	at, err := strconv.ParseInt(os.Getenv("TOPUPD_FAULT_AT"), 10, 64)
	if err != nil {
		at = 1
	}
	if faultSeen.Add(1) == at {
		_ = syscall.Kill(os.Getpid(), syscall.SIGKILL)
		select {} // the signal is on its way
	}
}
