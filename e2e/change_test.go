package e2e

import (
	"path/filepath"
	"testing"
	"time"

	"topupd/clients/emulator"
)

// TestAChangeThatMakesManyLowAsksFirst: a reload to a threshold of 900 charged 39
// of 40 customers. Five are bought for, the others wait, also after a restart; who
// falls below the old threshold does not, and a person lets the rest go.
func TestAChangeThatMakesManyLowAsksFirst(t *testing.T) {
	t.Parallel()
	p := newPlace(t, sqliteURL(t), quiet(40, 500), settings{})
	p.edit("rules.yml", "threshold: provider", "threshold: 100")
	p.setBalance(emulator.FirstCustomer, 1000)
	d := p.started()
	d.polls(2)
	if n := p.asked(); n != 0 {
		t.Fatalf("%d purchases were asked for at 500, which is not below 100", n)
	}
	p.edit("rules.yml", "threshold: 100", "threshold: 900")
	contains(t, "plan --rules", p.succeeds("plan", "--rules", filepath.Join(p.dir, "rules.yml")),
		"Rule api-credits: 34 targets low only by new terms", "5 would buy", "change_held")
	status, body := d.reload()
	contains(t, "the answer of the reload", body, "reloaded", "rule api-credits: 39 targets low only by the new terms", "at most 5 bought for")
	if status != 200 {
		t.Errorf("POST /-/reload = %d:\n%s", status, d.tail(5))
	}
	until(t, time.Minute, "the log to say it", func() bool {
		return d.has("reload makes low", map[string]any{"targets": 39.0, "at_once": 5.0})
	})
	p.settles(5)
	d.below("change_held", 34)
	d.polls(3)
	d = p.restarted(d)
	d.below("change_held", 34)
	d.polls(3)
	if n := p.asked(); n != 5 {
		t.Fatalf("%d purchases were asked for, want the first 5", n)
	}

	var held []stance
	for _, s := range p.targets() {
		if s.Reason == "change_held" {
			held = append(held, s)
		}
	}
	p.setBalance(held[0].Customer, 99)
	until(t, 60*time.Second, "whoever falls below the old threshold to be bought for", func() bool { return p.asked() == 6 })
	p.settles(6)
	d.below("change_held", 33)
	contains(t, "resume", p.succeeds("resume", "--rule", "api-credits", "--reason", "it is meant so"), "lifted the hold after a change of the terms on 33 targets")
	p.settles(40) // 39, and a second one for whom 699 is not enough
}
