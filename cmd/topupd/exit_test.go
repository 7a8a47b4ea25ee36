package main

import (
	"bytes"
	"errors"
	"fmt"
	"testing"
)

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
