package e2e

import (
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"topupd/clients/emulator"
)

// TestRulesThatAreNotWhole: an editor writes a file in pieces, a deployment
// takes it away for a moment, a disk leaves zeros. The old rules go on buying,
// and the new ones are taken when they are whole.
func TestRulesThatAreNotWhole(t *testing.T) {
	t.Parallel()
	for name, spoil := range map[string]func(p *place, file, text string){
		"the file is empty": func(p *place, _, _ string) { p.write("rules.yml", "") },
		"half of it is written": func(p *place, _, text string) {
			p.write("rules.yml", text[:strings.Index(text, "price_id")+5])
		},
		"only its first line is written": func(p *place, _, _ string) { p.write("rules.yml", "rules:\n") },
		"it has no rules":                func(p *place, _, _ string) { p.write("rules.yml", "rules: []\n") },
		"it is full of zeros":            func(p *place, _, text string) { p.write("rules.yml", strings.Repeat("\x00", len(text))) },
		"it was renamed": func(p *place, file, _ string) {
			if err := os.Rename(file, file+".old"); err != nil {
				p.t.Error(err)
			}
		},
		"a folder has its name": func(p *place, file, _ string) {
			if err := os.Remove(file); err != nil {
				p.t.Error(err)
			}
			if err := os.Mkdir(file, 0o700); err != nil {
				p.t.Error(err)
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p := newPlace(t, sqliteURL(t), quiet(1, 1000), settings{})
			d := p.started()
			d.polls(1)
			file := filepath.Join(p.dir, "rules.yml")
			spoil(p, file, p.rules())
			status, body := d.reload()
			if status != http.StatusInternalServerError || d.reloadedWell() || !strings.Contains(body, "rules.yml") {
				t.Errorf("POST /-/reload: %d, well: %v:\n%s", status, d.reloadedWell(), body)
			}
			if status, body := d.get("/-/ready"); status != http.StatusOK || !strings.Contains(body, "the old rules are in use") {
				t.Errorf("/-/ready: %d %s", status, body)
			}
			p.setBalance(emulator.FirstCustomer, 100)
			until(t, 30*time.Second, "the old rules to buy", func() bool { return p.captured() == 1 })
			if err := os.RemoveAll(file); err != nil {
				t.Fatal(err)
			}
			p.write("rules.yml", p.rules())
			if status, body := d.reload(); status != http.StatusOK || !d.reloadedWell() {
				t.Errorf("the whole file: %d %s", status, body)
			}
			p.settles(1)
		})
	}
}

// TestACustomerIsTakenOutOfTheRulesDuringAPurchase: what was sent is followed to
// its end on the terms it was bought on, and nothing more is bought.
func TestACustomerIsTakenOutOfTheRulesDuringAPurchase(t *testing.T) {
	t.Parallel()
	p := newPlace(t, sqliteURL(t), quiet(1, 100), settings{Quiet: "4s", PurchaseTimeout: "1s", Bundles: smallPack})
	p.emu.SetFaults(emulator.Faults{Provider: "hyperline", Next: []string{"charge_then_drop"}})
	d := p.started()
	until(t, 30*time.Second, "an unclear answer", func() bool { return d.has("purchase", map[string]any{"verdict": "unknown"}) })
	p.edit("rules.yml", "match: {all: true}", "match: {all: true, exclude_ids: ["+emulator.FirstCustomer+"]}")
	if status, body := d.reload(); status != http.StatusOK {
		t.Fatalf("reload: %d %s", status, body)
	}
	p.settles(1)
	until(t, 30*time.Second, "the exclusion to be shown", func() bool { return p.stance(emulator.FirstCustomer).Reason == "excluded" })
	d.polls(3)
	if n := p.asked(); n != 1 {
		t.Errorf("%d purchases were asked for, want 1", n)
	}
}
