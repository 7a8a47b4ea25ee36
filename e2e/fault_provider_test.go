package e2e

import (
	"crypto/tls"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"topupd/clients/clientstest"
	"topupd/clients/emulator"
)

// toProvider puts a line between the daemon and the place's providers.
func (p *place) toProvider() *line {
	p.t.Helper()
	n := lineTo(p.t, strings.TrimPrefix(p.url, "http://"))
	p.url = "http://" + n.address
	p.write("topupd.yml", p.yaml())
	return n
}

// purchasesOnly picks the connection of a purchase out: it carries nothing else.
var purchasesOnly = []byte("POST ")

// TestTheLineToTheProviderFailsDuringAPurchase: P3, P4, P19. Whatever happens to
// the bytes of a purchase on their way, the customer is charged once, and a
// second request goes out only when the first never arrived.
func TestTheLineToTheProviderFailsDuringAPurchase(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name     string
		fault    lineFault
		attempts int
		verdict  string // of the first answer
	}{
		{"everything is slow", lineFault{latency: 150 * time.Millisecond}, 1, "accepted"},
		{"the request is lost and the connection reset", lineFault{onlyIf: purchasesOnly, deaf: true, cut: true, reset: true}, 2, "unknown"},
		{"the request is lost in a black hole", lineFault{onlyIf: purchasesOnly, deaf: true}, 2, "unknown"},
		{"the answer is lost and the connection reset", lineFault{onlyIf: purchasesOnly, mute: true, cut: true, reset: true}, 1, "unknown"},
		{"the answer is lost in a black hole", lineFault{onlyIf: purchasesOnly, mute: true}, 1, "unknown"},
		{"one byte of the answer arrives", lineFault{onlyIf: purchasesOnly, limit: 1}, 1, "unknown"},
		{"the status line arrives and no more", lineFault{onlyIf: purchasesOnly, limit: 20, reset: true}, 1, "unknown"},
		{"half the headers arrive", lineFault{onlyIf: purchasesOnly, limit: 60}, 1, "unknown"},
		{"the end comes late", lineFault{onlyIf: purchasesOnly, slowEnd: 3 * time.Second}, 1, "accepted"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			p := newPlace(t, sqliteURL(t), quiet(1, 1000), settings{Quiet: "4s", PurchaseTimeout: "1s"})
			n := p.toProvider()
			d := p.started()
			d.polls(1)
			n.set(tt.fault)
			p.setBalance(emulator.FirstCustomer, 100)
			until(t, 30*time.Second, "an answer", func() bool { return d.has("purchase", map[string]any{"verdict": tt.verdict}) })
			if n.struck.Load() == 0 {
				t.Error("no connection suffered the fault")
			}
			n.set(lineFault{})
			p.settles(1)
			all := p.purchases()
			if len(all) != 1 || all[0].Attempts != tt.attempts {
				t.Errorf("purchases: %+v, want one with %d requests", all, tt.attempts)
			}
			if n := p.asked(); n != 1 {
				t.Errorf("%d requests reached the provider, want 1", n)
			}
		})
	}
}

// counter is a server of the emulator whose doors can be changed.
type counter struct {
	*line
	config atomic.Pointer[tls.Config] // of new connections
}

// toCounter serves the place's providers over TLS, for a daemon that trusts the
// authority.
func (p *place) toCounter(config *tls.Config) *counter {
	p.t.Helper()
	c := &counter{}
	c.config.Store(config)
	plain, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		p.t.Fatal(err)
	}
	server := &http.Server{Handler: p.emu.Handler(), ReadHeaderTimeout: time.Minute, ErrorLog: slog.NewLogLogger(slog.DiscardHandler, slog.LevelError)}
	over := make(chan struct{})
	go func() {
		defer close(over)
		_ = server.Serve(tls.NewListener(plain, &tls.Config{MinVersion: tls.VersionTLS12, GetConfigForClient: func(*tls.ClientHelloInfo) (*tls.Config, error) {
			return c.config.Load(), nil
		}}))
	}()
	p.t.Cleanup(func() {
		_ = server.Close()
		<-over
	})
	c.line = lineTo(p.t, plain.Addr().String())
	p.url = "https://" + c.address
	p.write("topupd.yml", p.yaml())
	return c
}

// TestAPurchaseThatCannotConnectIsNotSent: a connection that is refused, never
// answers, or ends at somebody who cannot show who he is. The purchase is
// cancelled without a permit; when the way is free again, the customer is bought
// for once.
func TestAPurchaseThatCannotConnectIsNotSent(t *testing.T) {
	t.Parallel()
	ours, stranger := clientstest.NewAuthority(t), clientstest.NewAuthority(t)
	roots := filepath.Join(t.TempDir(), "roots.pem")
	if err := os.WriteFile(roots, ours.PEM(), 0o600); err != nil {
		t.Fatal(err)
	}
	hour := time.Now().Add(time.Hour)
	good := ours.Serve(t, "127.0.0.1", hour, "http/1.1")
	for name, spoil := range map[string]func(*counter){
		"new connections are reset":                   func(c *counter) { c.refuse.Store(true) },
		"the handshake hangs":                         func(c *counter) { c.hang.Store(true) },
		"a certificate of an unknown authority":       func(c *counter) { c.config.Store(stranger.Serve(t, "127.0.0.1", hour, "http/1.1")) },
		"a certificate that has expired":              func(c *counter) { c.config.Store(ours.Serve(t, "127.0.0.1", time.Now().Add(-time.Minute), "http/1.1")) },
		"a certificate of another host":               func(c *counter) { c.config.Store(ours.Serve(t, "127.0.0.2", hour, "http/1.1")) },
		"a server that speaks a version long retired": func(c *counter) { c.config.Store(retired(good)) },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p := newPlace(t, sqliteURL(t), quiet(2, 1000), settings{})
			c := p.toCounter(good)
			d := p.started("SSL_CERT_FILE="+roots, "SSL_CERT_DIR=/nonexistent")
			d.polls(1)
			p.setBalance(emulator.FirstCustomer, 100) // its reads leave open connections behind
			p.settles(1)
			spoil(c)
			other := p.other(emulator.FirstCustomer)
			p.setBalance(other, 100)
			until(t, 60*time.Second, "a purchase that could not connect", func() bool { return p.cancelled(other) })
			if n := p.asked(); n != 1 {
				t.Errorf("%d requests reached the provider, want that of the other customer", n)
			}
			for _, b := range p.purchases() {
				if b.Customer == other && b.Attempts != 0 {
					t.Errorf("purchase %+v counts requests on the wire", b)
				}
			}
			c.refuse.Store(false)
			c.hang.Store(false)
			c.config.Store(good)
			p.settles(2)
		})
	}
}

func retired(c *tls.Config) *tls.Config {
	old := c.Clone()
	old.MinVersion, old.MaxVersion = tls.VersionTLS10, tls.VersionTLS11
	return old
}

// other is the customer that the given one is not.
func (p *place) other(customer string) string {
	p.t.Helper()
	for _, s := range p.targets() {
		if s.Customer != customer {
			return s.Customer
		}
	}
	p.t.Fatalf("there is nobody but %s", customer)
	return ""
}

// cancelled tells whether a purchase for the customer ended without being sent.
func (p *place) cancelled(customer string) bool {
	for _, b := range p.purchases() {
		if b.Customer == customer && b.State == "cancelled" && (deref(b.Reason) == "connection" || deref(b.Reason) == "timeout") {
			return true
		}
	}
	return false
}

// TestAProviderWhoseNameIsUnknown: nothing is known of any customer, the daemon
// says why, and stays.
func TestAProviderWhoseNameIsUnknown(t *testing.T) {
	t.Parallel()
	p := newPlace(t, sqliteURL(t), quiet(1, 100), settings{})
	p.url = "https://topupd.invalid"
	p.write("topupd.yml", strings.NewReplacer("test_emulator", "emulator-key", "purchase_timeout: 2s", "purchase_timeout: 10s",
		"quiet_period: 8s", "quiet_period: 40s", "first_purchase_after: 0s", "first_purchase_after: 20s").Replace(p.yaml()))
	d := p.started()
	until(t, 30*time.Second, "a failed poll", func() bool { return d.value("topupd_polls_total", "result", "error") >= 1 })
	contains(t, "the log", d.tail(50), "topupd.invalid", "check base_url and the network")
	if status, _ := d.get("/-/ready"); status != http.StatusServiceUnavailable {
		t.Errorf("/-/ready is %d although no poll has ever finished", status)
	}
	if n := p.asked(); n != 0 || d.ended() {
		t.Errorf("%d purchases were asked for; ended: %v", n, d.ended())
	}
}

// TestAProviderThatIsAwayComesBack: while it is away nothing is bought and the
// metrics show since when; when it is back, everything goes on by itself.
func TestAProviderThatIsAwayComesBack(t *testing.T) {
	t.Parallel()
	p := newPlace(t, sqliteURL(t), quiet(1, 1000), settings{})
	n := p.toProvider()
	d := p.started()
	d.polls(2)
	seen := d.value("topupd_poll_last_success_timestamp_seconds", "provider", "hyperline")
	n.refuse.Store(true)
	n.cutAll(true)
	p.setBalance(emulator.FirstCustomer, 100)
	until(t, 60*time.Second, "three failed polls", func() bool { return d.value("topupd_polls_total", "result", "error") >= 3 })
	stood := d.value("topupd_poll_last_success_timestamp_seconds", "provider", "hyperline")
	d.polls(1)
	if now := d.value("topupd_poll_last_success_timestamp_seconds", "provider", "hyperline"); now != stood || stood < seen {
		t.Errorf("the last success is said to be %v, then %v, while there was none", stood, now)
	}
	if status, _ := d.get("/-/ready"); status != http.StatusOK {
		t.Errorf("/-/ready is %d: a restart would not bring the provider back", status)
	}
	if n := p.asked(); n != 0 {
		t.Fatalf("%d purchases were asked for", n)
	}
	n.refuse.Store(false)
	p.settles(1)
	if now := d.value("topupd_poll_last_success_timestamp_seconds", "provider", "hyperline"); now <= stood {
		t.Errorf("the last success stays at %v", now)
	}
}
