package screen

import (
	"bytes"
	"testing"
	"testing/synctest"
	"time"
)

func TestProgressIsSilentForASecondAndLeavesNothing(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name    string
		watched bool
		took    time.Duration
		want    string
	}{
		{"a quick command shows nothing", true, patience - time.Nanosecond, ""},
		{"a slow one shows what it waits for, and removes it", true, patience + time.Nanosecond, "\r\x1b[Kreading\r\x1b[K"},
		{"the line is kept current", true, patience + redrawEvery + time.Nanosecond, "\r\x1b[Kreading\r\x1b[Kreading\r\x1b[K"},
		{"a file is not for watching", false, time.Hour, ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				var stderr bytes.Buffer
				stop := (&Screen{Err: &stderr, Watched: tt.watched}).Progress(func() string { return "reading" })
				time.Sleep(tt.took) // virtual
				stop()
				if got := stderr.String(); got != tt.want {
					t.Errorf("after %s stderr has %q, want %q", tt.took, got, tt.want)
				}
			})
		})
	}
}
