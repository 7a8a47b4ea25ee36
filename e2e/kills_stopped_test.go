package e2e

import (
	"fmt"
	"strings"
	"syscall"
	"testing"
	"time"

	"topupd/clients/emulator"
)

// stopLonger is longer than a lease (12 s) and the window in which a permit may
// be used (5 s) together.
const stopLonger = 18 * time.Second

// TestAProcessThatWasStopped: P1, P3, P4. The holder of the lease is stopped
// (SIGSTOP) at a step of a purchase for longer than its lease and its permit
// last, another process takes over meanwhile, and the first goes on where it
// was. The customer is charged once.
func TestAProcessThatWasStopped(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		step  string
		quiet string // 60s: nobody else may touch the purchase before the first goes on; 4s: the other has finished it
		first string // what becomes of the purchase that was stopped
		by    string // who gave it its reference
		says  string // in its evidence
		sent  int    // requests that reach the provider
	}{
		"before its permit": {
			step: "connected", quiet: "60s", first: "cancelled", says: "lease", sent: 1,
		},
		"with a permit, before the first byte": {
			step: "permitted", quiet: "60s", first: "cancelled", says: "passed between the connection and the permit", sent: 1,
		},
		"with a permit, while another repeats": {
			step: "permitted", quiet: "4s", first: "credited", by: "answer", says: "passed between the connection and the permit", sent: 1,
		},
		"with the answer waiting": {
			step: "answered", quiet: "60s", first: "credited", by: "answer", sent: 1,
		},
		"with the answer waiting, while another finds it": {
			step: "answered", quiet: "4s", first: "credited", by: "answer", says: "the provider's books show it", sent: 1, // the late answer names the same invoice
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p := newPlace(t, postgresURL(t), oneLow(), settings{Quiet: tt.quiet, PurchaseTimeout: "1s"})
			first := p.started("TOPUPD_FAULT_SIGNAL=STOP", "TOPUPD_FAULT_STEP="+tt.step)
			until(t, 60*time.Second, "the first to stop at "+tt.step, func() bool { return first.has("fault point", nil) })
			stopped := time.Now()
			second := p.started()
			until(t, 60*time.Second, "the second to hold the lease", func() bool { return second.value("topupd_lease_held") == 1 })
			until(t, time.Minute, "the stop to be long enough, and what the second does meanwhile", func() bool {
				return time.Since(stopped) > stopLonger && (tt.quiet != "4s" || p.inState("credited") == 1)
			})
			if err := first.cmd.Process.Signal(syscall.SIGCONT); err != nil {
				t.Fatal(err)
			}
			p.settles(1)
			if n := p.asked(); n != tt.sent {
				t.Errorf("%d requests reached the provider, want %d", n, tt.sent)
			}
			p.tells(tt.first, tt.by, tt.says)
			for _, d := range []*process{first, second} {
				if code := d.stop(); code != 0 {
					t.Errorf("exit code %d", code)
				}
			}
		})
	}
}

func (p *place) inState(state string) int {
	p.t.Helper()
	return p.counted(`SELECT count(*) FROM purchase WHERE state = '` + state + `'`)
}

// tells checks what became of the place's first purchase, and waits until its
// evidence says a text.
func (p *place) tells(state, by, text string) {
	p.t.Helper()
	first := p.rows(`SELECT id, state, reference_by FROM purchase ORDER BY planned_at LIMIT 1`)[0]
	if first[1] != state || first[2] != by {
		p.t.Errorf("the first purchase is %s, its reference by %q; want %s by %q", first[1], first[2], state, by)
	}
	until(p.t, 30*time.Second, "evidence that says "+text, func() bool {
		for _, e := range p.rows(`SELECT text FROM evidence WHERE purchase_id = '` + first[0] + `'`) {
			if strings.Contains(e[0], text) {
				return true
			}
		}
		return false
	})
}

// TestTerminatedAtEveryStep: SIGTERM at each step of a purchase, the provider
// taking three seconds. The process ends with 0 and leaves nothing whose
// outcome it could have known; the customer is charged once in the end.
func TestTerminatedAtEveryStep(t *testing.T) {
	t.Parallel()
	for name, open := range databases {
		for _, step := range []string{"planned", "connected", "permitted", "answered", "stored"} {
			t.Run(name+"/"+step, func(t *testing.T) {
				t.Parallel()
				p := newPlace(t, open(t), oneLow(), settings{PurchaseTimeout: "10s", Quiet: "40s"})
				p.emu.SetFaults(emulator.Faults{PurchaseDelay: 3 * time.Second})
				d := p.start("TOPUPD_FAULT_SIGNAL=TERM", "TOPUPD_FAULT_STEP="+step)
				until(t, 60*time.Second, "the daemon to end", d.ended)
				if code := d.cmd.ProcessState.ExitCode(); code != 0 || !d.has("stopped", nil) {
					t.Errorf("exit code %d\n%s", code, d.tail(20))
				}
				left := p.purchases()
				if len(left) != 1 {
					t.Fatalf("%d purchases, want 1", len(left))
				}
				switch state, captured := left[0].State, p.captured(); {
				case state == "cancelled" && captured == 0 && step != "answered" && step != "stored":
				case (state == "confirmed" || state == "credited") && captured == 1:
				default:
					t.Errorf("SIGTERM at %s left a %s purchase, and %d payments captured", step, state, captured)
				}
				p.emu.SetFaults(emulator.Faults{})
				p.started()
				p.settles(1)
			})
		}
	}
}

// TestKilledWhileItStops: an impatient supervisor. SIGTERM while the request is
// at the provider, then kill -9 before the answer: the next process finds it.
func TestKilledWhileItStops(t *testing.T) {
	t.Parallel()
	for name, open := range databases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p := newPlace(t, open(t), oneLow(), settings{PurchaseTimeout: "5s", Quiet: "6s"})
			p.emu.SetFaults(emulator.Faults{PurchaseDelay: 3 * time.Second})
			d := p.started()
			until(t, 30*time.Second, "a request to be at the provider", func() bool { return p.asked() == 1 })
			if err := d.cmd.Process.Signal(syscall.SIGTERM); err != nil {
				t.Fatal(err)
			}
			until(t, 10*time.Second, "it to begin to stop", func() bool { return d.has("stopping", nil) })
			d.kill()
			if n := p.captured(); n != 0 {
				t.Fatalf("%d payments captured before the kill: the answer was not outstanding", n)
			}
			p.started()
			p.settles(1)
			if n := p.asked(); n != 1 {
				t.Errorf("%d requests reached the provider, want 1: the charge was to be found", n)
			}
		})
	}
}

// TestThreeDaemons: P1, P19. Three processes on one Postgres, under load and
// faults; whoever holds the lease is killed or stopped for longer than it
// lasts, sometimes with another at the same time. TOPUPD_KILLS makes it longer.
func TestThreeDaemons(t *testing.T) {
	t.Parallel()
	rounds := max(3, fromEnv(t, "TOPUPD_KILLS", 0)/25)
	k := newKilling(t, postgresURL, newTally(0, func(string) {}), uint64(fromEnv(t, "TOPUPD_KILLS_SEED", 20)))
	c := &crowd{killing: k, stopped: map[int]time.Time{}}
	for range 3 {
		c.running = append(c.running, k.started())
	}
	holders := map[int]bool{}
	for round := range rounds {
		holder := c.holder()
		holders[c.running[holder].cmd.Process.Pid] = true
		bought := k.captured()
		until(t, 2*time.Minute, "purchases under this holder", func() bool { return k.captured() >= bought+3 })
		k.moment()
		switch round % 3 {
		case 0:
			c.halt(holder)
		case 1:
			c.replace(holder)
		default: // the holder dies while a third is stopped
			c.halt((holder + 1) % 3)
			c.replace(holder)
		}
		c.holder()
		c.resume()
	}
	if len(holders) < 2 {
		t.Errorf("the lease never moved")
	}
	k.calm()
	restarted := time.Now()
	k.ends()
	for _, d := range c.running {
		if code := d.stop(); code != 0 {
			t.Errorf("exit code %d", code)
		}
	}
	k.audit(restarted)
}

// moment lets a random time pass.
func (k *killing) moment() {
	<-time.After(k.between(0, 2*time.Second))
}

// crowd is several daemons on one ledger.
type crowd struct {
	*killing
	running []*process
	stopped map[int]time.Time // by index: since when
}

// holder waits until a process that runs holds Hyperline's lease, and returns
// its index.
func (c *crowd) holder() (index int) {
	c.t.Helper()
	until(c.t, time.Minute, "a process to hold the lease", func() bool {
		for _, row := range c.rows(fmt.Sprintf(`SELECT holder FROM provider WHERE name = 'hyperline' AND lease_until > %d`, time.Now().UnixMicro())) {
			for i, d := range c.running {
				_, stopped := c.stopped[i]
				if !stopped && strings.Contains(row[0], fmt.Sprintf("/%d/", d.cmd.Process.Pid)) {
					index = i
					return true
				}
			}
		}
		return false
	})
	return index
}

// halt stops a process where it is.
func (c *crowd) halt(i int) {
	c.t.Helper()
	if err := c.running[i].cmd.Process.Signal(syscall.SIGSTOP); err != nil {
		c.t.Fatal(err)
	}
	c.stopped[i] = time.Now()
}

// replace kills a process and starts another.
func (c *crowd) replace(i int) {
	c.t.Helper()
	c.running[i].kill()
	c.lives++
	c.running[i] = c.started()
}

// resume lets the stopped ones go on when they were stopped for long enough.
func (c *crowd) resume() {
	c.t.Helper()
	for i, since := range c.stopped {
		until(c.t, time.Minute, "the stop to be long enough", func() bool { return time.Since(since) > stopLonger })
		if err := c.running[i].cmd.Process.Signal(syscall.SIGCONT); err != nil {
			c.t.Fatal(err)
		}
		delete(c.stopped, i)
	}
}
