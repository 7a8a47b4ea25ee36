package clients

import (
	"context"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net"
	"net/http"
	"net/url"
	"strings"
	"time"
)

// API is one connection to a provider: its address, its rate budget and its
// clock. All methods may be called from any goroutine.
type API struct {
	o       Options
	reads   *bucket
	writes  *bucket // the same as reads when the limit is shared
	client  *http.Client
	refused refusals

	sleep func(context.Context, time.Duration) error // tests let time pass by themselves
	pause time.Duration                              // before the second try of a read
}

// New makes the API that o describes. No I/O.
func New(o Options) *API {
	if o.ReadTimeout == 0 {
		o.ReadTimeout = defaultReadTimeout
	}
	if o.PurchaseTimeout == 0 {
		o.PurchaseTimeout = defaultPurchaseTimeout
	}
	if o.Limits.SharePercent == 0 {
		o.Limits.SharePercent = defaultSharePercent
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	if o.Observe == nil {
		o.Observe = func(string, string, time.Duration) {}
	}
	if o.Now == nil {
		o.Now = time.Now //nolint:forbidigo // the default that tests replace
	}
	if o.Rand == nil {
		o.Rand = rand.Float64
	}
	if o.Dial == nil {
		o.Dial = (&net.Dialer{Timeout: dialTimeout}).DialContext
	}
	if o.BaseURL == nil {
		o.BaseURL = &url.URL{} // every request then fails before it is sent
	}
	a := &API{o: o, sleep: sleep, pause: firstPause, reads: newBucket(o.Limits.Reads, o.Limits.SharePercent)}
	a.writes = a.reads
	if !o.Limits.Shared {
		a.writes = newBucket(o.Limits.Writes, o.Limits.SharePercent)
	}
	a.client = &http.Client{
		Transport:     a.readTransport(),
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
	return a
}

// Now is the connection's clock.
func (a *API) Now() time.Time { return a.o.Now() }

// BudgetUsed is how much of our share of the rate limit is in use right now,
// from 0 (none) to 1 (all of it, or the provider asked for a pause).
func (a *API) BudgetUsed() (reads, writes float64) {
	now := a.o.Now()
	return a.reads.used(now), a.writes.used(now)
}

// CloseIdle lets the connections of finished reads go.
func (a *API) CloseIdle() { a.client.CloseIdleConnections() }

// address puts the escaped path, with or without a query, behind the base URL.
func (a *API) address(path string) (*url.URL, error) {
	if !strings.HasPrefix(path, "/") || strings.HasPrefix(path, "//") {
		return nil, fmt.Errorf("the request path %q does not begin with one slash", cut(path, 60))
	}
	u, err := url.Parse(strings.TrimRight(a.o.BaseURL.EscapedPath(), "/") + path)
	if err != nil {
		return nil, fmt.Errorf("the request path %q is not valid", cut(path, 60))
	}
	if u.Host != "" || u.Scheme != "" {
		return nil, fmt.Errorf("the request path %q names a host", cut(path, 60))
	}
	u.Scheme, u.Host = a.o.BaseURL.Scheme, a.o.BaseURL.Host
	if u.Host == "" || (u.Scheme != "https" && u.Scheme != "http") {
		return nil, fmt.Errorf("the base URL has no http or https host: set base_url")
	}
	return u, nil
}

// code is the value of the metric label of the same name.
func code(status int) string {
	if status == 0 {
		return "error"
	}
	return fmt.Sprintf("%d", status)
}
