package e2e

import (
	"net/http"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"topupd/clients/emulator"
)

// reloads are the two ways to say that the rules have changed. Each waits until
// the daemon has read them.
var reloads = map[string]func(*process){
	"SIGHUP": func(d *process) {
		before := d.count("reload", nil)
		_ = d.cmd.Process.Signal(syscall.SIGHUP)
		until(d.t, 20*time.Second, "the reload", func() bool { return d.count("reload", nil) > before })
	},
	"POST": func(d *process) { d.reload() },
}

func (d *process) reloadedWell() bool { return d.value("topupd_config_last_reload_successful") == 1 }

// TestAReloadTakesNewRules without a restart.
func TestAReloadTakesNewRules(t *testing.T) {
	t.Parallel()
	for name, reload := range reloads {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p := newPlace(t, sqliteURL(t), quiet(1, 400), settings{})
			p.edit("rules.yml", "threshold: provider", "threshold: 300")
			d := p.started()
			d.polls(3)
			if n := p.asked(); n != 0 {
				t.Fatalf("%d purchases were asked for at 400, which is not below 300", n)
			}
			p.edit("rules.yml", "threshold: 300", "threshold: 450")
			reload(d)
			if !d.reloadedWell() {
				t.Errorf("topupd_config_last_reload_successful is not 1:\n%s", d.tail(5))
			}
			p.settles(1)
		})
	}
}

// TestABrokenReloadKeepsTheOldRules and says so in the log, the metric and the
// body of /-/ready, until it is mended.
func TestABrokenReloadKeepsTheOldRules(t *testing.T) {
	t.Parallel()
	for name, reload := range reloads {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p := newPlace(t, sqliteURL(t), quiet(1, 1000), settings{})
			d := p.started()
			d.polls(1)
			p.edit("rules.yml", "threshold: provider", "treshold: provider")
			reload(d)
			if d.reloadedWell() {
				t.Error("topupd_config_last_reload_successful is 1 after a broken reload")
			}
			status, body := d.get("/-/ready")
			if status != http.StatusOK {
				t.Errorf("/-/ready is %d: the old rules still work", status)
			}
			contains(t, "/-/ready", body, "warning: the last reload failed, the old rules are in use", "rules.yml:6:", "treshold")
			if !d.has("reload", map[string]any{"level": "ERROR"}) {
				t.Errorf("the log does not tell of it:\n%s", d.tail(5))
			}
			p.setBalance(emulator.FirstCustomer, 100)
			until(t, 30*time.Second, "the old rules to buy", func() bool { return p.captured() == 1 })
			p.edit("rules.yml", "treshold: provider", "threshold: provider")
			reload(d)
			if _, body := d.get("/-/ready"); !d.reloadedWell() || strings.Contains(body, "warning") {
				t.Errorf("the mended rules are not in use: %s", body)
			}
			p.settles(1)
		})
	}
}

// TestAnAnswerToABrokenReload tells the person who asked what to mend.
func TestAnAnswerToABrokenReload(t *testing.T) {
	t.Parallel()
	p := newPlace(t, sqliteURL(t), quiet(1, 1000), settings{})
	d := p.started()
	p.edit("rules.yml", "price_id: pri_9large, credits: 600", "price_id: pri_9large, credits: none")
	status, body := d.reload()
	if status != http.StatusInternalServerError {
		t.Errorf("POST /-/reload answered %d", status)
	}
	contains(t, "the answer", body, "rules.yml:7:", "none", "credits")
	p.write("rules.yml", p.rules())
	p.edit("topupd.yml", "mode: active", "mode: dry_run")
	if status, body = d.reload(); status != http.StatusInternalServerError {
		t.Errorf("POST /-/reload answered %d to another mode", status)
	}
	contains(t, "the answer", body, "mode changed from active to dry_run: restart topupd for that")
}

// unclear has one purchase whose answer was lost, so that it stays open for a
// quiet period, and kills the daemon.
func (p *place) unclear() {
	p.t.Helper()
	p.emu.SetFaults(emulator.Faults{Provider: "hyperline", Next: []string{"charge_then_drop"}})
	d := p.started()
	until(p.t, 30*time.Second, "an unclear answer", func() bool { return d.has("purchase", map[string]any{"verdict": "unknown"}) })
	d.kill()
}

// TestAProviderWithOpenPurchasesCannotBeRemoved: the daemon does not start, and
// names it; once it is back, the purchase is resolved.
func TestAProviderWithOpenPurchasesCannotBeRemoved(t *testing.T) {
	t.Parallel()
	world := quiet(1, 100)
	world.Talkover = emulator.TalkoverOptions{Environments: 1, NoUsage: true, Requests: -1, StartBalance: emulator.Range{Min: whole(80), Max: whole(80)}}
	p := newPlace(t, sqliteURL(t), world, settings{Voices: 1})
	p.unclear()
	without := func(text, from, to string) string {
		start, end := strings.Index(text, from), strings.Index(text, to)
		return text[:start] + text[end:]
	}
	p.write("topupd.yml", without(p.yaml(), "  - name: hyperline", "  - name: voice-1"))
	p.write("rules.yml", without(p.rules(), "  - name: api-credits", "  - name: voice"))
	errs, code := p.refused()
	if code != 2 {
		t.Errorf("exit code %d, want 2", code)
	}
	contains(t, "the error", errs, "a provider with open purchases is missing: hyperline (hyperline://"+strings.TrimPrefix(p.url, "http://")+"/) has 1 open purchase",
		"put it back until they have ended, or settle them with topupd purchases resolve")
	p.write("topupd.yml", p.yaml())
	p.write("rules.yml", p.rules())
	d := p.started()
	p.write("topupd.yml", without(p.yaml(), "  - name: hyperline", "  - name: voice-1"))
	p.write("rules.yml", without(p.rules(), "  - name: api-credits", "  - name: voice"))
	status, body := d.reload()
	if status != http.StatusInternalServerError {
		t.Errorf("POST /-/reload answered %d to a removed provider", status)
	}
	contains(t, "the answer", body, "the providers changed", "hyperline", "restart topupd for that")
	p.settles(1)
}

// TestRenamingAProviderChangesNothing: P1, P6. Its open purchase is resolved
// under the new name, and its cap still counts.
func TestRenamingAProviderChangesNothing(t *testing.T) {
	t.Parallel()
	p := newPlace(t, sqliteURL(t), quiet(1, 100), settings{Bundles: smallPack, DailyPurchases: 1})
	p.unclear()
	p.edit("topupd.yml", "name: hyperline", "name: billing")
	p.edit("rules.yml", "provider: hyperline", "provider: billing")
	d := p.started()
	p.settles(1)
	d.below("over_cap", 1) // 220 is still below 500
	d.polls(3)
	if n := p.asked(); n != 1 {
		t.Errorf("%d purchases were asked for, want 1", n)
	}
	for _, b := range p.purchases() {
		if b.Provider != "billing" {
			t.Errorf("purchase %s is listed at %s", b.ID, b.Provider)
		}
	}
	if n := d.value("topupd_purchases_total", "provider", "billing", "result", "credited"); n != 1 {
		t.Errorf("topupd_purchases_total{provider=\"billing\"} is %v, want 1", n)
	}
}

// TestAReloadThatIsRefusedFails runs what the unit's ExecReload runs: the first
// command that fails ends it, so that systemctl reload tells of refused rules.
func TestAReloadThatIsRefusedFails(t *testing.T) {
	t.Parallel()
	p := newPlace(t, sqliteURL(t), quiet(1, 1000), settings{})
	if _, errs, code := p.run("reload"); code != 2 {
		t.Errorf("with any free port: exit %d, %s", code, errs)
	}
	d := p.started()
	asks := filepath.Join(p.dir, "asks.yml") // where the daemon listens, which took a free port
	reload := func(want int, words ...string) {
		t.Helper()
		p.write("asks.yml", strings.Replace(p.yaml(), "127.0.0.1:0", d.field("started", "listen"), 1))
		cmd := exec.Command(binary, "reload", "--config", asks)
		out, _ := cmd.CombinedOutput()
		if code := cmd.ProcessState.ExitCode(); code != want {
			t.Errorf("topupd reload: exit %d, want %d: %s", code, want, out)
		}
		contains(t, "topupd reload", string(out), words...)
	}
	reload(0, "reloaded")
	p.edit("rules.yml", "threshold: provider", "treshold: provider")
	if out, _, code := p.run("check"); code != 2 || !strings.Contains(out, "treshold") {
		t.Errorf("check: exit %d, %s", code, out)
	}
	reload(1, "refused, the daemon goes on with the old rules", "rules.yml:6:", "treshold")
	p.write("rules.yml", p.rules())
	p.edit("topupd.yml", "mode: active", "mode: dry_run") // check finds nothing wrong with it
	if _, errs, code := p.run("check"); code != 0 {
		t.Errorf("check of another mode: exit %d, %s", code, errs)
	}
	reload(1, "mode changed from active to dry_run: restart topupd for that")
	d.stop()
	reload(1, "the daemon cannot be asked")
}
