package e2e

import (
	"testing"
)

// TestTwoDaemonsThatDisagree: P1. Two processes on one ledger have other rules,
// by mistake or in the middle of a roll-out: whoever holds the lease buys by its
// own, nobody is bought for twice, and every purchase names the version of the
// rule that it was made by.
func TestTwoDaemonsThatDisagree(t *testing.T) {
	t.Parallel()
	k := newTrial(t, postgresURL(t), steady(60), brisk())
	other := *k.place
	other.dir = t.TempDir()
	other.conf.Bundles = "{price_id: pri_9large, credits: 600, price_excluding_tax: 900.00 EUR}"
	other.write("topupd.yml", other.yaml())
	other.write("rules.yml", other.rules())

	small := k.started()
	k.buys(5, "purchases by the first rules")
	large := other.started()
	k.buys(5, "purchases by the first rules while the other stands by")
	small.kill()
	k.buys(5, "purchases by the other rules")
	again := k.started()
	k.buys(5, "purchases by the other rules while the first are back")
	large.kill()
	k.buys(5, "purchases by the first rules again")
	by := k.rows(`SELECT credits_micro / 1000000, count(*), count(DISTINCT rule_version) FROM purchase GROUP BY 1 ORDER BY 1`)
	if len(by) != 2 || by[0][2] != "1" || by[1][2] != "1" {
		t.Errorf("purchases by credits, with their number and the versions of their rules: %v; want two packs, each by one version", by)
	}
	t.Logf("purchases by credits, with their number and the versions of their rules: %v", by)
	k.over(again)
}
