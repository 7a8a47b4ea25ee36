package clients

import (
	"context"
	"crypto/x509"
	"log/slog"
	"net"
	"net/url"
	"time"
)

// Rate is a number of requests that a provider allows in any window.
type Rate struct {
	Count  int // inclusive; 0 = no limit
	Window time.Duration
}

// Limits are the documented limits of a provider and how much of them is ours.
type Limits struct {
	Reads, Writes Rate
	SharePercent  int  // of the limits, 1 to 100; 0 = 50. The rest is left to the company's own application
	Shared        bool // reads and writes are counted together, against Reads
}

// Options describe one connection to a provider.
type Options struct {
	BaseURL         *url.URL // scheme, host and an optional path that goes before every other
	Limits          Limits
	ReadTimeout     time.Duration  // of one try with its body; 0 = 30 s
	PurchaseTimeout time.Duration  // of one charge, from the first byte to the end of the body; 0 = 75 s
	RootCAs         *x509.CertPool // nil = those of the system
	Logger          *slog.Logger   // nil discards

	// Observe is told of every request on the wire: op is a short constant such
	// as "purchase", code the status ("200") or "error". nil = nobody asks.
	Observe func(op, code string, d time.Duration)

	// Dial replaces TCP in simulations. nil = TCP.
	Dial func(ctx context.Context, network, address string) (net.Conn, error)

	Now  func() time.Time // nil = the real clock
	Rand func() float64   // for jitter, in [0, 1); nil = real
}

// Defaults and bounds. Relations: dialing and waiting for it together stay below
// topup.PlannedLifetime, after which a planned purchase is cancelled.
const (
	defaultReadTimeout     = 30 * time.Second
	defaultPurchaseTimeout = 75 * time.Second
	defaultSharePercent    = 50

	dialTimeout    = 10 * time.Second // TCP and TLS
	dialPatience   = 15 * time.Second // for the write budget
	maxReadBody    = 8 << 20          // 100 rows are about 100 KiB; a page of 8 MiB is a mistake
	maxAnswerBody  = 1 << 20
	maxHeaderBytes = 256 << 10
)

// Token is a secret that speaks for us at a provider.
//
// One that also has a method Remedy() string says by it how it is replaced.
type Token interface {
	// Reveal is the secret itself.
	Reveal() string
	// Reload reads the secret's source again and tells whether it changed.
	Reload() (changed bool, err error)
	// Fingerprint tells two secrets apart without revealing either.
	Fingerprint() string
}

// remedyOf says how a token that was refused is replaced; "" when it does not say.
func remedyOf(t Token) string {
	if says, ok := t.(interface{ Remedy() string }); ok {
		return says.Remedy()
	}
	return ""
}
