package e2e

import (
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"strconv"
	"testing"
	"time"
)

// startWith runs the daemon with its log going where the caller reads it, or
// does not.
func (k *killing) startWith(log *os.File) *process {
	k.t.Helper()
	d := &process{t: k.t, done: make(chan struct{})}
	d.cmd = exec.Command(binary, "run", "--config", k.config())
	d.cmd.Stderr, d.cmd.Stdout = log, log
	if err := d.cmd.Start(); err != nil {
		k.t.Fatal(err)
	}
	go func() {
		d.err = d.cmd.Wait()
		close(d.done)
	}()
	k.t.Cleanup(d.kill)
	return d
}

// TestALogThatNobodyReads: P19. The pipe behind stderr is full, or its reader is
// gone: purchases go on, lines are dropped and counted, and when somebody reads
// again he is told.
func TestALogThatNobodyReads(t *testing.T) {
	t.Parallel()
	for name, gone := range map[string]bool{"its reader is stuck": false, "its reader is gone": true} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := brisk()
			s.Listen = freePort(t)
			k := newTrial(t, sqliteURL(t), steady(300), s) // so many that they say a lot
			k.edit("topupd.yml", "level: info", "level: debug")
			read, write, err := os.Pipe()
			if err != nil {
				t.Fatal(err)
			}
			d := k.startWith(write)
			_ = write.Close()
			if gone {
				_ = read.Close()
			}
			d.log = []map[string]any{{"msg": "started", "listen": s.Listen}} // nobody hears it say so
			k.buys(5, "purchases while nobody reads the log")
			dropped := func() float64 { return d.value("topupd_log_lines_dropped_total") }
			until(t, 90*time.Second, "lines to be dropped", func() bool { return dropped() > 0 })
			took := k.buys(10, "purchases while lines are dropped")
			t.Logf("10 purchases took %s, %g lines were dropped", took.Round(100*time.Millisecond), dropped())
			if !gone {
				go d.collect(read)
				until(t, 30*time.Second, "the log to say what it lacks", func() bool { return d.has("log", map[string]any{"level": "WARN"}) })
			}
			k.over(d)
		})
	}
}

// freePort is an address that nobody listens on.
func freePort(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.78:0") // an address of its own: nobody takes the port meanwhile
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = l.Close() }()
	return l.Addr().String()
}

// TestScrapersThatNeverRead hold up no purchase: as many as are let in ask for
// the metrics and take no byte of the answer.
func TestScrapersThatNeverRead(t *testing.T) {
	t.Parallel()
	k := newTrial(t, sqliteURL(t), steady(300), brisk())
	d := k.started()
	for range 60 {
		c, err := net.Dial("tcp", d.field("started", "listen"))
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = c.Close() })
		if err := c.(*net.TCPConn).SetReadBuffer(1 << 10); err != nil {
			t.Fatal(err)
		}
		if _, err := fmt.Fprint(c, "GET /metrics HTTP/1.1\r\nHost: topupd\r\nAccept-Encoding: identity\r\n\r\n"); err != nil {
			t.Fatal(err)
		}
	}
	t.Logf("20 purchases beside 60 stuck scrapers took %s", k.buys(20, "purchases beside stuck scrapers").Round(100*time.Millisecond))
	if status, _ := d.get("/-/healthy"); status != http.StatusOK {
		t.Errorf("/-/healthy is %d", status)
	}
	k.over(d)
}

// TestNoFileDescriptorIsLeft: P2, P19. The process may open nothing more:
// purchases whose connection cannot be had are not sent, and nothing is permitted
// for them; with descriptors again they are.
func TestNoFileDescriptorIsLeft(t *testing.T) {
	t.Parallel()
	for name, open := range databases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			k := newTrial(t, open(t), steady(30), brisk())
			d := k.started()
			k.buys(5, "purchases before")
			had := d.limitFiles(4)
			cancelled := func() float64 { return d.value("topupd_purchase_failures_total", "reason", "connection") }
			spent := func() [2]int { return [2]int{k.asked(), k.counted(`SELECT count(*) FROM permit`)} }
			before, since := spent(), time.Now()
			until(t, time.Minute, "what was connected before to be over", func() bool {
				if now := spent(); now != before {
					before, since = now, time.Now()
				}
				return time.Since(since) > 2*time.Second && d.has("purchase", map[string]any{"to": "cancelled"}) // it takes no scrape now
			})
			stands(t, 4*time.Second, "nothing is sent and nothing is permitted", func() bool { return spent() == before && !d.ended() })
			d.limitFiles(had)
			t.Logf("purchases resumed after %s; %g could not connect", k.buys(5, "purchases after").Round(100*time.Millisecond), cancelled())
			if cancelled() == 0 {
				t.Error("no purchase was stopped for want of a connection")
			}
			k.over(d)
		})
	}
}

// limitFiles sets how many descriptors the process may have, and returns how
// many it could have before. Those it has stay open.
func (d *process) limitFiles(n int) (before int) {
	d.t.Helper()
	pid := strconv.Itoa(d.cmd.Process.Pid)
	prlimit := func(args ...string) string {
		out, err := exec.Command("prlimit", append([]string{"--pid", pid}, args...)...).Output()
		if err != nil {
			d.t.Fatalf("prlimit %v: %v (it is part of util-linux)", args, err)
		}
		return string(out)
	}
	if _, err := fmt.Sscan(prlimit("--nofile", "--noheadings", "--raw", "--output", "SOFT"), &before); err != nil {
		d.t.Fatal(err)
	}
	prlimit(fmt.Sprintf("--nofile=%d:", n))
	return before
}
