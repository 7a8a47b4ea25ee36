package e2e

import (
	"os"
	"path/filepath"
	"testing"
	"time"

	"topupd/clients/emulator"
	"topupd/ledger/ledgertest"
)

// fakeTime is the library that lets a program see another time.
func fakeTime(t *testing.T) string {
	t.Helper()
	found, err := filepath.Glob("/usr/lib*/*/faketime/libfaketime.so.1")
	if err != nil || len(found) == 0 {
		t.Fatalf("libfaketime is missing (%v): run make test-tools, or install the package faketime", err)
	}
	return found[0]
}

// TestTheClockOfTheDatabaseJumps: P1, P4, P13, P19. The database's clock goes an
// hour ahead, back to the truth, and an hour behind. While it is ahead nothing is
// bought, because purchases are recognised by time; while it is behind, because
// the last one seems to have been credited a moment ago. Everybody can see why, and when
// it is right purchases resume: it costs time and nothing else.
func TestTheClockOfTheDatabaseJumps(t *testing.T) {
	t.Parallel()
	library := fakeTime(t)
	clock := ""
	server := ledgertest.NewSolo(t, ledgertest.SoloOptions{Env: func(dir string) []string {
		clock = filepath.Join(dir, "clock")
		return []string{"LD_PRELOAD=" + library, "FAKETIME_TIMESTAMP_FILE=" + clock, "FAKETIME_NO_CACHE=1", "FAKETIME_DONT_FAKE_MONOTONIC=1"}
	}})
	set := func(offset string) {
		if err := os.WriteFile(clock, []byte(offset+"\n"), 0o644); err != nil { //nolint:gosec // the server's user reads it
			t.Fatal(err)
		}
	}
	k := newTrial(t, server.DSN, quiet(1, 1000), brisk())
	admin := k.admin(server.DSN)
	ahead := func() int {
		return admin.number(`SELECT CAST(extract(epoch FROM clock_timestamp()) AS BIGINT)`) - int(time.Now().Unix())
	}
	d := k.started()
	d.polls(2)
	bought := 0
	for _, jump := range []struct{ by, reason, says string }{
		{"+1h", "provider_unavailable", "differ by more than 1m0s"},
		{"-1h", "cooling_down", "the last purchase was credited at"},
	} {
		set(jump.by)
		until(t, time.Minute, "the database to see the other time", func() bool { return max(ahead(), -ahead()) > 3500 })
		k.setBalance(emulator.FirstCustomer, 450) // one pack lifts it above the threshold
		d.below(jump.reason, 1)
		contains(t, "topupd explain", k.succeeds("explain", emulator.FirstCustomer), jump.says)
		stands(t, 5*time.Second, "nothing is bought while the clock is wrong", func() bool { return k.asked() == bought && !d.ended() })
		set("+0")
		until(t, time.Minute, "the database to see the true time", func() bool { return max(ahead(), -ahead()) < 60 })
		bought++
		began := time.Now()
		k.settles(bought)
		t.Logf("%s: bought and credited %s after the clock was right", jump.by, time.Since(began).Round(100*time.Millisecond))
		k.setBalance(emulator.FirstCustomer, 1000)
		d.polls(2)
	}
	k.over(d)
	if n := k.asked(); n != 2 {
		t.Errorf("%d requests reached the provider, want 2", n)
	}
}
