package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"testing"
)

// TestCtrlC: whoever ended a command knows it, and what went wrong before is told.
func TestCtrlC(t *testing.T) {
	t.Parallel()
	ended, end := context.WithCancel(t.Context())
	end()
	for _, tt := range []struct {
		name string
		ctx  context.Context
		err  error
		code int
		said bool
	}{
		{"in the middle", ended, fmt.Errorf("listing: %w", context.Canceled), exitInterrupted, false},
		{"after a mistake", ended, errors.New("no luck"), exitFailed, true},
		{"when it was done", ended, nil, exitDone, false},
		{"somebody else's context", t.Context(), context.Canceled, exitFailed, true},
	} {
		var stderr bytes.Buffer
		a := &app{ctx: tt.ctx, stdout: &kept{to: io.Discard}, stderr: &stderr}
		if code := a.conclude(tt.err); code != tt.code || (stderr.Len() > 0) != tt.said {
			t.Errorf("%s: %d, %q", tt.name, code, stderr.String())
		}
	}
}

func TestReport(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name string
		err  error
		code int
		want string
	}{
		{"nothing went wrong", nil, exitDone, ""},
		{"a plain error", errors.New("no luck"), exitFailed, "topupd: no luck\n"},
		{"a mistake of the person", usage("--limit %d: write 0 or more", -1), exitUsage, "topupd: --limit -1: write 0 or more\n"},
		{"a wrapped one keeps its code", fmt.Errorf("planning: %w", usage("no")), exitUsage, "topupd: planning: no\n"},
		{"everything has been said", &exitError{code: exitUsage}, exitUsage, ""},
		{"something needs a person", &exitError{code: exitPerson, err: errors.New("one is parked")}, exitPerson, "topupd: one is parked\n"},
		{"the outer code wins", &exitError{code: exitFailed, err: usage("no")}, exitFailed, "topupd: no\n"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			var stderr bytes.Buffer
			if code := report(&stderr, tt.err); code != tt.code || stderr.String() != tt.want {
				t.Errorf("report = %d, %q; want %d, %q", code, stderr.String(), tt.code, tt.want)
			}
		})
	}
}
