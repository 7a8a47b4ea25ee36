package e2e

import (
	"bytes"
	"context"
	"database/sql"
	"fmt"
	"math/rand/v2"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"topupd/clients/emulator"
)

// restorePlaces is how many installations share the rounds of one database: most
// of a round is a quarantine's quiet period.
const restorePlaces = 4

// TestRestoresAfterKills: P1, P2, P18, P19. A daemon buys under load, a copy of
// its ledger is made beside it, it goes on buying and is killed with kill -9. The
// copy is put back as docs/operations.md says, and a daemon starts on it: it buys
// nothing until a person has resumed and the provider's books were read, and
// then knows every purchase that the copy had forgotten. Nothing is bought twice,
// and no ledger is ever malformed.
//
// TOPUPD_RESTORES is how many rounds on each database.
func TestRestoresAfterKills(t *testing.T) {
	t.Parallel()
	rounds := fromEnv(t, "TOPUPD_RESTORES", 2)
	for name, open := range databases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			for n := range min(rounds, restorePlaces) {
				t.Run(fmt.Sprint(n+1), func(t *testing.T) {
					t.Parallel()
					k := newRestoring(t, open(t), uint64(n+1))
					d := k.started()
					for range (rounds + restorePlaces - 1 - n) / restorePlaces {
						d = k.restoreRound(d)
					}
					k.till.forgive()
					k.emu.StopUsage()
					k.ends()
					if code := d.stop(); code != 0 {
						t.Errorf("exit code %d", code)
					}
					k.needless()
					if k.known() == 0 {
						t.Error("no copy had forgotten a purchase: the test shows nothing")
					}
				})
			}
		})
	}
}

// newRestoring is an installation at Hyperline alone: at a provider without
// books, what a copy has forgotten only a person can tell.
func newRestoring(t *testing.T, db string, seed uint64) *killing {
	t.Helper()
	k := &killing{t: t, rng: rand.New(rand.NewPCG(seed, 0x726573))}
	world := killWorld(seed)
	world.Talkover = emulator.TalkoverOptions{}
	world.Hyperline.Customers = 80
	k.place = newPlaceIn(t, t.TempDir(), db, world, settings{
		PurchaseTimeout: "2s", Quiet: "8s", Confirm: "200ms", Cooldown: "500ms",
	}, func(e *emulator.Emulator) http.Handler {
		k.till = newTill(e, seed, 0.2, func(pair, pair) {})
		return k.till
	})
	k.edit("topupd.yml", "level: debug", "level: info")
	k.edit("rules.yml", "backoff: 10s, max_backoff: 1m", "backoff: 2s, max_backoff: 10s")
	return k
}

// restoreRound is one life of the daemon, its death, and what a person does then.
func (k *killing) restoreRound(d *process) *process {
	k.t.Helper()
	k.buys(2, "purchases that are in the copy")
	from := filepath.Join(k.dir, fmt.Sprintf("copy-%d", k.lives))
	k.lives++
	k.backsUp(from)
	k.buys(2, "purchases that are not")
	time.Sleep(k.between(0, 2*time.Second)) // at any moment of another one
	d.kill()
	k.restores(from)
	k.free(true) // as if the lease had run out
	d = k.started()
	until(k.t, time.Minute, "the ledger to be examined", func() bool {
		return d.has("ledger examined", nil) || d.has("ledger", nil) || d.ended() || k.onPostgres()
	})
	if d.has("ledger", map[string]any{"level": "ERROR"}) {
		k.t.Fatalf("the restored ledger is malformed:\n%s", d.tail(10))
	}
	sent := k.asked()
	d.polls(2)
	if n := k.asked() - sent; n != 0 {
		k.t.Errorf("%d purchases were asked for before anybody resumed", n)
	}
	k.place.succeeds("resume", "--reason", "compared")
	k.buys(1, "a purchase after the books were read")
	return d
}

func (k *killing) onPostgres() bool { return !strings.HasPrefix(k.db, "sqlite:") }

// backsUp copies the ledger beside the daemon: by the command, or by what the
// command says to run.
func (k *killing) backsUp(to string) {
	k.t.Helper()
	out, errs, code := k.place.run("backup", to)
	switch {
	case k.onPostgres() && code == 2:
		k.shell(advised(k.t, errs))
	case code != 0:
		k.t.Fatalf("backup: exit %d: %s%s", code, out, errs)
	}
}

func (k *killing) restores(from string) {
	k.t.Helper()
	out, errs, code := k.place.run("restore", from, "--by", "the test")
	switch {
	case k.onPostgres() && code == 2:
		k.dropReplaced()
		k.shell(advised(k.t, errs))
	case code != 0:
		k.t.Fatalf("restore: exit %d: %s%s", code, out, errs)
	default:
		contains(k.t, "restore", out, "everything is paused", "hyperline is quarantined", "is kept as "+strings.TrimPrefix(k.db, "sqlite:")+".replaced-")
	}
}

// advised are the lines of a command's words that are to be run.
func advised(t *testing.T, words string) string {
	t.Helper()
	var lines []string
	for line := range strings.Lines(words) {
		if command, ok := strings.CutPrefix(line, "    "); ok {
			lines = append(lines, strings.TrimSpace(command))
		}
	}
	if len(lines) == 0 {
		t.Fatalf("nothing to run in %q", words)
	}
	return strings.Join(lines, "\n")
}

// shell runs what a person would type, with topupd and PostgreSQL's programs in
// the path.
func (k *killing) shell(script string) {
	k.t.Helper()
	cmd := exec.Command("sh", "-e", "-c", script)
	cmd.Env = append(os.Environ(), "USER=tester", "TOPUPD_CONFIG="+k.config(),
		"PATH="+filepath.Dir(binary)+":"+os.Getenv("TOPUPD_TEST_POSTGRES_BIN")+":"+os.Getenv("PATH"))
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	if err := cmd.Run(); err != nil {
		k.t.Fatalf("%s\n%v: %s", script, err, out.String())
	}
}

// dropReplaced makes room for the ledger that is replaced next, now and when the
// test is over.
func (k *killing) dropReplaced() {
	k.t.Helper()
	u, err := url.Parse(k.db)
	if err != nil {
		k.t.Fatal(err)
	}
	name := strings.Trim(u.Path, "/") + "_replaced"
	u.Path = "/postgres"
	drop := func() {
		admin, err := sql.Open("postgres", u.String())
		if err == nil {
			_, err = admin.ExecContext(context.Background(), `DROP DATABASE IF EXISTS "`+name+`" WITH (FORCE)`)
			_ = admin.Close()
		}
		if err != nil {
			k.t.Error(err)
		}
	}
	drop()
	if k.lives == 1 {
		k.t.Cleanup(drop)
	}
}
