package hyperline

import (
	"context"
	"fmt"
	"log/slog"
	"net/url"
	"strings"
	"sync"
	"time"

	"topupd/clients"
	"topupd/topup"
)

// Options describe one connection to Hyperline.
type Options struct {
	ID    topup.ProviderID // identity of the connection, part of every target
	Name  string           // the label in the YAML, for errors and logs
	API   clients.Options  // limits left at zero are the documented ones
	Token clients.Token
}

// The documented limits (Hyperline docs, /developers/rate-limiting, read 2026-11-20).
var (
	documentedReads  = clients.Rate{Count: 200, Window: 10 * time.Second}
	documentedWrites = clients.Rate{Count: 50, Window: 10 * time.Second}
)

// Client is one connection to Hyperline. All methods may be called from any
// goroutine.
type Client struct {
	id    topup.ProviderID
	name  string
	api   *clients.API
	token clients.Token
	log   *slog.Logger

	products  memory[topup.ProductID, product]
	invoices  memory[string, invoicePages]
	customers customerBook

	mu         sync.Mutex
	noBulk     time.Time    // until then the bulk list is not asked: it was refused
	cut        time.Time    // until then the bulk list is read in parts: it was cut short
	noPrefixes time.Time    // until then the prefix filter is not used: it was ignored
	shortBy    int          // how many balances the bulk list lacked the last time
	twice      map[key]bool // balances that stand in two rows
	mostSkip   int          // largest skip + take that a list takes, as it was found out; 0 = not known
}

var (
	_ topup.Provider = (*Client)(nil)
	_ topup.Biller   = (*Client)(nil)
)

// New makes the client. No I/O.
func New(o Options) (*Client, error) {
	switch {
	case o.ID == "":
		return nil, fmt.Errorf("hyperline connection %q: the identity is missing", o.Name)
	case o.Token == nil:
		return nil, fmt.Errorf("hyperline connection %q: the token is missing: set token_file", o.Name)
	case o.API.BaseURL == nil || o.API.BaseURL.Host == "":
		return nil, fmt.Errorf("hyperline connection %q: the base URL is missing: set base_url", o.Name)
	}
	if o.API.Limits.Reads == (clients.Rate{}) {
		o.API.Limits.Reads = documentedReads
	}
	if o.API.Limits.Writes == (clients.Rate{}) {
		o.API.Limits.Writes = documentedWrites
	}
	log := o.API.Logger
	if log == nil {
		log = slog.New(slog.DiscardHandler)
	}
	return &Client{id: o.ID, name: o.Name, api: clients.New(o.API), token: o.Token, log: log, customers: customerBook{turn: newTurn()}}, nil
}

// TokenFingerprint tells the present token from others without revealing it.
func (c *Client) TokenFingerprint() string { return c.token.Fingerprint() }

// TokenRefused is since when reads are refused with the present token; zero when none is.
func (c *Client) TokenRefused() time.Time { return c.api.TokenRefused() }

// ReloadToken reads the token's source again and tells whether it changed.
func (c *Client) ReloadToken() (changed bool, err error) { return c.token.Reload() }

// BudgetUsed is how much of our share of the rate limit is in use, 0 to 1.
func (c *Client) BudgetUsed() (reads, writes float64) { return c.api.BudgetUsed() }

// LimitSkip tells the client that no list takes a skip + take beyond limit, so
// that a longer one is read in parts at once. Less than a page is taken for one;
// 0 forgets it.
func (c *Client) LimitSkip(limit int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.mostSkip = limit; limit > 0 {
		c.mostSkip = max(limit, pageSize)
	}
}

// mayNotSkip tells whether the page at skip is known to be refused.
func (c *Client) mayNotSkip(skip int) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.mostSkip > 0 && skip+pageSize > c.mostSkip
}

// reader counts the requests of one task and says what they are for.
type reader struct {
	*Client
	class clients.Class
	reads int

	// progress is told of each page of a long list; an error ends it. nil = nobody asks.
	progress func() error

	oldest time.Time     // of what was read: nothing that the task knows is younger
	kept   time.Duration // the longest time that a cache on the way had kept an answer
}

func (c *Client) polling() *reader { return &reader{Client: c} }
func (c *Client) urgent() *reader  { return &reader{Client: c, class: clients.Evidence} }
func (c *Client) patient() *reader { return &reader{Client: c, class: clients.Comparing} }

func (c *Client) retrying() *reader { return &reader{Client: c, class: clients.Retrying} }

// confirming reads for an order; nobody waits for one that failed the last time.
func (c *Client) confirming(o topup.Order) *reader {
	if o.Patient {
		return c.retrying()
	}
	return &reader{Client: c, class: clients.Confirming}
}

func (r *reader) get(ctx context.Context, op, path string, query url.Values) (clients.Response, error) {
	r.reads++
	resp, err := r.api.Read(ctx, clients.Read{
		Op: op, Path: path, Query: query, Token: r.token, Class: r.class, MayLack: path == bulkPath,
	})
	if r.oldest.IsZero() || resp.SentAt.Before(r.oldest) {
		r.oldest = resp.SentAt
	}
	r.kept = max(r.kept, resp.Age)
	return resp, err
}

// join adds what another reader of the same task did.
func (r *reader) join(other *reader) {
	r.reads += other.reads
	r.kept = max(r.kept, other.kept)
	if r.oldest.IsZero() || !other.oldest.IsZero() && other.oldest.Before(r.oldest) {
		r.oldest = other.oldest
	}
}

// current is an error when a part of what was read is older than the read. What
// is absent from such a list may be there by now.
func (r *reader) current(op string) error {
	if r.kept == 0 {
		return nil
	}
	return malformed(op, "a cache on the way to Hyperline answered with what was up to %s old, which proves nothing: make it pass the API through", r.kept)
}

// path puts ids between the fixed parts of a path, escaped.
func path(parts ...string) string {
	var p strings.Builder
	for i, part := range parts {
		if i%2 == 1 {
			part = url.PathEscape(part)
		}
		p.WriteString(part)
	}
	return p.String()
}

// turn is a lock that is held while the provider answers: whoever waits for it
// can leave.
type turn chan struct{}

func newTurn() turn { return make(turn, 1) }

func (t turn) take(ctx context.Context) error {
	select {
	case t <- struct{}{}:
		return nil
	case <-ctx.Done():
		return fmt.Errorf("waiting for another read: %w", context.Cause(ctx))
	}
}

func (t turn) give() { <-t }

// memory keeps answers for a short while. One caller asks, the others wait for it.
type memory[K comparable, V any] struct {
	mu      sync.Mutex
	entries map[K]*entry[V]
}

type entry[V any] struct {
	turn  turn
	value V
	at    time.Time // when the request left; zero = never
}

// within returns what is not older than maxAge, asking if need be. After an error
// the old value stays, for callers that accept it.
func (m *memory[K, V]) within(ctx context.Context, key K, maxAge time.Duration, now func() time.Time, ask func() (V, error)) (V, error) {
	e := m.entry(key)
	if err := e.turn.take(ctx); err != nil {
		var none V
		return none, err
	}
	defer e.turn.give()
	began := now()
	if !e.at.IsZero() && began.Sub(e.at) <= maxAge {
		return e.value, nil
	}
	v, err := ask()
	if err == nil {
		e.value, e.at = v, began
	}
	return v, err
}

func (m *memory[K, V]) entry(key K) *entry[V] {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.entries == nil {
		m.entries = map[K]*entry[V]{}
	}
	e, ok := m.entries[key]
	if !ok {
		e = &entry[V]{turn: newTurn()}
		m.entries[key] = e
	}
	return e
}
