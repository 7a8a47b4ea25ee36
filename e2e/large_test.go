package e2e

import (
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"
)

// TestALargeAccount: within the default limits a pass over a large account takes
// longer than a reading may be old. Whoever is low is bought for within two passes
// all the same, nobody is stale_reading, the watchdog is never silent, and the lease
// is kept.
//
// It takes several minutes and runs on demand: TOPUPD_E2E_LARGE=100000.
func TestALargeAccount(t *testing.T) {
	customers, err := strconv.Atoi(os.Getenv("TOPUPD_E2E_LARGE"))
	if err != nil {
		t.Skip("set TOPUPD_E2E_LARGE to a number of customers")
	}
	for name, database := range databases {
		t.Run(name, func(t *testing.T) { largeAccount(t, database(t), customers) })
	}
}

func largeAccount(t *testing.T, url string, customers int) {
	t.Helper()
	const low = 50
	world := quiet(customers, 500)
	world.Hyperline.Threshold, world.Hyperline.Reads, world.Hyperline.Writes = whole(100), 0, 0
	p := newPlace(t, url, world, settings{
		Reads: "100/10s", Writes: "25/10s", Poll: "auto", Confirm: "5s", Cooldown: "5m", Quiet: "15m", PurchaseTimeout: "75s", DailyPurchases: 10,
	})
	all := p.emu.Customers()
	for i := range low {
		must(t, p.emu.SetBalance(all[i*len(all)/low].ID, whole(50)))
	}
	socket := filepath.Join(t.TempDir(), "notify")
	listener, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: socket, Net: "unixgram"})
	must(t, err)
	defer func() { _ = listener.Close() }()
	var longest, last atomic.Int64
	last.Store(time.Now().UnixNano())
	go func() {
		buffer := make([]byte, 1000)
		for {
			n, err := listener.Read(buffer)
			if err != nil {
				return
			}
			if strings.Contains(string(buffer[:n]), "WATCHDOG=1") {
				now := time.Now().UnixNano()
				longest.Store(max(longest.Load(), now-last.Swap(now)))
			}
		}
	}()
	d := p.started("NOTIFY_SOCKET="+socket, "WATCHDOG_USEC=30000000")
	began := time.Now()
	bought := func() (n int) {
		for _, c := range p.emu.Books().Charges {
			if c.RequestSeq > 0 {
				n++
			}
		}
		return n
	}
	polls := func() float64 { return d.value("topupd_polls_total", "result", "ok") }
	until(t, 30*time.Minute, "all to be bought for", func() bool {
		time.Sleep(5 * time.Second)
		if d.ended() {
			t.Fatal("the daemon ended")
		}
		return bought() >= low
	})
	took, passes := time.Since(began), polls()
	t.Logf("%d customers: 50 low ones bought for within %s, when %v passes had ended; the longest silence of the watchdog: %s",
		customers, took.Round(time.Second), passes, time.Duration(longest.Load()).Round(time.Second))
	if passes > 2 {
		t.Errorf("%v passes had ended", passes)
	}
	until(t, 30*time.Minute, "another pass", func() bool { time.Sleep(5 * time.Second); return polls() > passes })
	if n := d.value("topupd_decisions_total", "reason", "stale_reading"); n > 0 {
		t.Errorf("%v decisions were stale_reading", n)
	}
	if n := d.value("topupd_targets"); n != float64(customers) {
		t.Errorf("%v of %d customers are seen", n, customers)
	}
	if silent := time.Duration(longest.Load()); silent > slowMachine*10*time.Second {
		t.Errorf("the watchdog was silent for %s", silent)
	}
	if d.count("lease", map[string]any{"held": false}) > 0 {
		t.Error("the lease was lost")
	}
	if d.count("watchdog", nil) > 0 {
		t.Error("the watchdog said that polls have stopped")
	}
	t.Logf("a pass takes %v s", d.value("topupd_poll_seconds"))
}
