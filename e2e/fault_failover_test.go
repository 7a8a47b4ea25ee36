package e2e

import (
	"testing"
	"time"

	"topupd/clients/emulator"
	"topupd/ledger/ledgertest"
)

// TestAFailoverThatLosesNothing: P1, P2, P18, P19. Two daemons buy under load on
// a primary with a synchronous standby. The primary dies, the standby is promoted:
// nothing is charged twice, nothing is lost, it is proven that nothing was lost,
// and purchases resume by themselves.
func TestAFailoverThatLosesNothing(t *testing.T) {
	t.Parallel()
	pair := ledgertest.NewPair(t, ledgertest.Synchronous)
	k := newTrial(t, pair.DSN, steady(60), brisk())
	first, second := k.started(), k.started()
	k.buys(20, "purchases on the primary")
	pair.KillPrimary()
	sent := k.asked()
	stands(t, 3*time.Second, "nothing is sent while there is no primary", func() bool {
		return k.asked() <= sent+1 && !first.ended() && !second.ended() // one may have had its permit
	})
	pair.Promote()
	resumed := k.buys(1, "a purchase on the promoted standby")
	k.buys(10, "more purchases")
	t.Logf("purchases resumed %s after the promotion", resumed.Round(100*time.Millisecond))
	proof := map[string]any{"provider": "hyperline"}
	if !first.has("database moved, nothing lost", proof) && !second.has("database moved, nothing lost", proof) {
		t.Error("nobody says that nothing was lost")
	}
	if n := k.counted(`SELECT count(*) FROM provider WHERE quarantined <> ''`); n != 0 {
		t.Error("the provider is in quarantine although nothing was lost")
	}
	k.over(first, second)
}

// TestAFailoverThatLosesCommits: P18, P19. An asynchronous standby stops
// following while purchases go on, the primary dies and the standby is promoted:
// the ledger has forgotten purchases. Nothing is bought until the provider's books
// were read, the alert's figures show who waits, and then purchases resume with
// every forgotten one known.
func TestAFailoverThatLosesCommits(t *testing.T) {
	t.Parallel()
	pair := ledgertest.NewPair(t, ledgertest.Asynchronous)
	k := newTrial(t, pair.DSN, steady(60), forgetful())
	first, second := k.started(), k.started()
	k.buys(10, "purchases that the standby has")
	pair.AwaitCaughtUp()
	pair.StopReceiving()
	k.buys(10, "purchases that the standby never hears of")
	pair.KillPrimary()
	pair.Promote()
	promoted := time.Now()
	k.quarantined(first, second)
	k.forgetsNothing(promoted, first, second)
}

// quarantined waits until one of the daemons says that commits may be lost, and
// until the figures of the alert show who waits for it.
func (k *killing) quarantined(daemons ...*process) {
	k.t.Helper()
	until(k.t, time.Minute, "a daemon to notice", func() bool {
		for _, d := range daemons {
			if d.has("quarantine", map[string]any{"level": "ERROR", "provider": "hyperline"}) {
				return true
			}
		}
		return false
	})
	until(k.t, time.Minute, "low customers to be shown as quarantined, with the time of their alert", func() bool {
		for _, d := range daemons {
			if d.value("topupd_targets_below_threshold", "reason", "quarantined") > 0 &&
				d.value("topupd_targets_trouble_oldest_timestamp_seconds", "reason", "quarantined") > 0 {
				return true
			}
		}
		return false
	})
}

// forgetsNothing waits until a quarantine is over, lets everything end, and holds
// the books against a ledger that had forgotten something: nothing was charged
// without need, and every charge is either a purchase or an import.
func (k *killing) forgetsNothing(since time.Time, daemons ...*process) {
	k.t.Helper()
	resumed := k.buys(1, "purchases after the quarantine")
	k.t.Logf("purchases resumed %s after the ledger lost some, %s after the quarantine was seen",
		time.Since(since).Round(100*time.Millisecond), resumed.Round(100*time.Millisecond))
	k.buys(5, "more purchases")
	k.emu.StopUsage()
	k.ends()
	for _, d := range daemons {
		if code := d.stop(); code != 0 {
			k.t.Errorf("exit code %d", code)
		}
	}
	k.needless()
	if n := k.known(); n == 0 {
		k.t.Error("nothing was lost: the test shows nothing")
	}
}

// known checks that every captured payment is a purchase's or was imported, and
// returns how many were imported.
func (k *killing) known() (imported int) {
	k.t.Helper()
	claimed, external := map[string]bool{}, map[string]bool{}
	for _, row := range k.rows(`SELECT reference FROM purchase WHERE reference IS NOT NULL`) {
		claimed[row[0]] = true
	}
	for _, row := range k.rows(`SELECT invoice FROM external_topup WHERE invoice <> ''`) {
		external[row[0]] = true
	}
	for _, c := range k.emu.Books().Captured() {
		switch {
		case c.Source != emulator.SourceAPI || claimed[c.Invoice]:
		case external[c.Invoice]:
			imported++
		default:
			k.t.Errorf("payment %s of %s at %s is neither a purchase nor imported", c.Invoice, c.Customer, c.At)
		}
	}
	k.t.Logf("%d payments captured: %d known as purchases, %d imported; %v", k.captured(), k.captured()-imported, imported, k.states())
	return imported
}
