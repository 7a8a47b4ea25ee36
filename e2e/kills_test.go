package e2e

import (
	"bytes"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"topupd/clients/emulator"
)

const (
	// killPlaces is how many installations share the kills of one database. A
	// process lives for about three seconds, and most of them it waits.
	killPlaces = 4
	// pairKills of 100 kills aim at a step and a fault, readKills at a read of
	// the provider's books; the others come at any moment.
	pairKills, readKills = 60, 8
	// leaseWaits: of so many restarts one waits until the dead process's lease
	// runs out. Before the others it is taken off, as if those 12 s had passed.
	leaseWaits = 20
	// pairHits is how often each step must be hit with each fault in a thorough run.
	pairHits = 5
	// personEvery is after how many kills somebody looks at what Talkover, which
	// keeps no books, left unclear.
	personEvery = 6
)

// TestKills: P1, P2, P3, P4, P19. The real program is killed with kill -9 again
// and again, at every step of a purchase and at any moment, while purchases are
// in flight and everything goes wrong at the providers; each time it starts
// again at once. Nothing is charged twice, nothing that was charged is lost,
// and every purchase at Hyperline ends without a person, unless all its repeats
// were used up.
//
// TOPUPD_KILLS is how many kills on each database, TOPUPD_KILLS_SEED makes the
// same plan of kills and faults again.
func TestKills(t *testing.T) {
	kills, seed := fromEnv(t, "TOPUPD_KILLS", 40), fromEnv(t, "TOPUPD_KILLS_SEED", 20)
	t.Logf("%d kills on each database; TOPUPD_KILLS_SEED=%d", kills, seed)
	for name, open := range databases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			sum := newTally(kills, func(text string) { t.Log(name + ": " + text) })
			t.Run("places", func(t *testing.T) {
				for n := range killPlaces {
					t.Run(fmt.Sprint(n+1), func(t *testing.T) {
						t.Parallel()
						share := (kills + killPlaces - 1 - n) / killPlaces
						k := newKilling(t, open, sum, uint64(seed*killPlaces+n))
						k.run(share)
						k.finish()
					})
				}
			})
			t.Logf("%s:\n%s", name, sum)
			if missing := sum.below(pairHits); sum.thorough() && len(missing) > 0 {
				t.Errorf("hit fewer than %d times: %v", pairHits, missing)
			}
		})
	}
}

// killing is one installation whose daemon is killed all the time.
type killing struct {
	*place
	t     *testing.T
	sum   *tally
	till  *till
	rng   *rand.Rand
	lives int
}

func newKilling(t *testing.T, open func(*testing.T) string, sum *tally, seed uint64) *killing {
	t.Helper()
	dir := folder(t)
	db := open(t)
	if strings.HasPrefix(db, "sqlite:") {
		db = "sqlite:" + filepath.Join(dir, "topupd.db") // stays with the logs
	}
	k := &killing{t: t, sum: sum, rng: rand.New(rand.NewPCG(seed, 1))}
	k.place = newPlaceIn(t, dir, db, killWorld(seed), settings{
		Voices: 2, PurchaseTimeout: "2s", Quiet: "8s", Confirm: "200ms", Cooldown: "500ms", VoiceCharge: "60.00 USD",
	}, func(e *emulator.Emulator) http.Handler {
		k.till = newTill(e, seed, 0.3, sum.paid)
		return k.till
	})
	k.edit("topupd.yml", "level: debug", "level: info")
	k.edit("rules.yml", "backoff: 10s, max_backoff: 1m", "backoff: 2s, max_backoff: 10s")
	return k
}

// folder is a temporary folder that stays when the test fails: the logs of
// every process are in it.
func folder(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "topupd-kills-") //nolint:usetesting // it outlives a test that failed
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if t.Failed() {
			t.Logf("what every process said is in %s", dir)
			return
		}
		_ = os.RemoveAll(dir)
	})
	return dir
}

// killWorld has so many customers that somebody is bought for at any moment, and
// does everything badly now and then. Nobody uses so much that the 500 credits
// below the threshold are gone before a purchase whose sender died is given up
// (30 s): many empty balances at once would wait for a person (P14). What runs late is over long before the
// quiet period: 2 s of the sender's patience, 2 s until a cut purchase runs, 2 s
// until it is listed.
func killWorld(seed uint64) emulator.Options {
	return emulator.Options{
		Seed: seed + 1,
		Hyperline: emulator.HyperlineOptions{
			Customers: 160, Threshold: whole(500), Reads: -1, Writes: -1, ExecuteLate: 2 * time.Second,
			Usage:         emulator.Range{Min: whole(4), Max: whole(12)},
			StartBalance:  emulator.Range{Min: whole(450), Max: whole(1100)},
			RetrySchedule: []time.Duration{3 * time.Second},
		},
		Talkover: emulator.TalkoverOptions{
			Environments: 2, Requests: -1, ExecuteLate: 2 * time.Second,
			Usage:        emulator.Range{Min: whole(1), Max: whole(3)},
			StartBalance: emulator.Range{Min: whole(45), Max: whole(60)},
		},
		Faults: emulator.Faults{
			Read500: 0.008, ReadHTML: 0.004, ReadTruncate: 0.004, ReadThrottle: 0.002, ReadHang: 0.001,
			Stale: 0.02, Outage: 0.003, LatePosting: 2 * time.Second,
		},
	}
}

// death is how one process is to end.
type death struct {
	pair                // of a planned one; step alone for a death at a read
	nth   int           // hit of the step
	after time.Duration // before that the step does not count
	limit time.Duration // killed then, if it still lives
}

// run kills so many times, and on a busy machine, on which many a process dies
// before it reaches its step, up to half as often again for the pairs that lack.
func (k *killing) run(kills int) {
	for n := 0; n < kills || n < kills+kills/2 && k.sum.thorough() && len(k.sum.below(pairHits)) > 0; n++ {
		d := k.plan(n >= kills)
		k.sum.killed(k.live(d))
		k.free((n+1)%leaseWaits != 0)
		if (n+1)%personEvery == 0 {
			k.person()
		}
	}
}

// plan draws the next death; an aimed one is at a step with a fault.
func (k *killing) plan(aimed bool) death {
	d := death{nth: 1 + k.rng.IntN(3), limit: 10 * time.Second}
	if k.rng.IntN(2) == 0 { // late enough for looks and repeats
		d.after = k.between(time.Second, 5*time.Second)
	}
	switch kind := k.rng.IntN(100); {
	case aimed || kind < pairKills:
		d.pair = k.sum.rarest(k.rng)
	case kind < pairKills+readKills:
		d.step, d.nth = stepsOfRead[k.rng.IntN(len(stepsOfRead))], 1+k.rng.IntN(40)
	case kind%3 == 0:
		d.limit = k.between(4*time.Second, 12*time.Second)
	default:
		d.limit = k.between(100*time.Millisecond, 4*time.Second)
	}
	return d
}

func (k *killing) between(low, high time.Duration) time.Duration {
	return low + time.Duration(k.rng.Int64N(int64(high-low)))
}

// live is one life of the daemon, from its start to kill -9. It returns what
// the process really died of.
func (k *killing) live(d death) death {
	k.t.Helper()
	k.lives++
	began := time.Now()
	path := filepath.Join(k.dir, fmt.Sprintf("life-%04d.log", k.lives))
	log, err := os.Create(path)
	if err != nil {
		k.t.Fatal(err)
	}
	defer func() { _ = log.Close() }()
	cmd := exec.Command(binary, "run", "--config", k.config())
	cmd.Stdout, cmd.Stderr = log, log
	cmd.Env = append(os.Environ(), "TOPUPD_FAULT_STEP="+d.step, fmt.Sprint("TOPUPD_FAULT_AT=", d.nth), fmt.Sprint("TOPUPD_FAULT_AFTER=", d.after))
	if err := cmd.Start(); err != nil {
		k.t.Fatal(err)
	}
	kill := func() { _ = cmd.Process.Kill() } // it may be dead already
	late := time.AfterFunc(d.limit, kill)
	every := d.fault
	if before(d.step) {
		every = ""
	}
	k.till.arm(every, trap{step: d.step, nth: d.nth, from: began.Add(d.after), kill: kill})
	err = cmd.Wait()
	late.Stop()
	sprung := k.till.disarm()
	var exit *exec.ExitError
	if !errors.As(err, &exit) || exit.Sys().(syscall.WaitStatus).Signal() != syscall.SIGKILL {
		text, _ := os.ReadFile(path)
		k.t.Fatalf("life %d ended by itself: %v\n%s", k.lives, err, text[max(0, len(text)-4000):])
	}
	if !sprung && !reached(path) {
		d.pair = pair{}
	}
	if d.fault != "" && before(d.step) {
		k.owe(d, cmd.Process.Pid, began)
	}
	return d
}

func before(step string) bool { return step == "planned" || step == "connected" || step == "permitted" }

// reached tells whether the process came to its fault point.
func reached(path string) bool {
	text, err := os.ReadFile(path)
	return err == nil && bytes.Contains(text, []byte(`{"msg":"fault point"`))
}
