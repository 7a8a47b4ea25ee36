package scheduler

import (
	"context"
	"log/slog"
	"sync"
	"time"

	"topupd/topup"
)

// The lease's times. A holder that dies is replaced within LeaseTTL and one
// LeaseRenew; three renewals may fail before it is lost.
const (
	LeaseTTL   = 12 * time.Second
	LeaseRenew = 3 * time.Second
	// leaseMargin is how much earlier than the database the holder itself gives
	// up, so that a slow clock or a slow answer cannot make it late.
	leaseMargin = 2 * time.Second
)

// holding is the lease of one connection, as this process sees it.
type holding struct {
	leases   Leases
	provider topup.ProviderID
	name     string
	holder   string
	now      func() time.Time
	log      *slog.Logger
	changed  func(held bool)

	// gained receives one signal when the lease was not held and now is.
	gained chan struct{}

	mu      sync.Mutex
	lease   topup.Lease
	since   time.Time // when the lease was last gained
	trusted time.Time // until when we may believe to hold it, our clock
	refused bool      // the last answer was that another process holds it
}

// gainedAt is when the lease was last gained; zero when it never was.
func (h *holding) gainedAt() time.Time {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.since
}

func (h *holding) standsBy() bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.refused
}

// current returns the lease while it can be trusted.
func (h *holding) current() (topup.Lease, bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.lease, h.lease.Term != 0 && h.now().Before(h.trusted)
}

// tick acquires or renews. The trusted time counts from before the request,
// and a request that hangs is given up in time for the next.
func (h *holding) tick(ctx context.Context) {
	asked := h.now()
	before, held := h.current()
	lease, ok, err := h.ask(ctx, before, held)
	if err != nil && ctx.Err() != nil {
		return // stopping; release tells the rest
	}
	if err != nil {
		h.log.LogAttrs(ctx, slog.LevelWarn, "lease", slog.String("provider", h.name), slog.Any("err", err))
		_, held = h.current()
		h.note(held)
		return
	}
	h.mu.Lock()
	h.refused = !ok
	if ok {
		h.lease, h.trusted = lease, asked.Add(LeaseTTL-leaseMargin)
	} else {
		h.lease = topup.Lease{}
	}
	if ok && !held {
		h.since = asked
	}
	h.mu.Unlock()
	if ok != held {
		h.log.LogAttrs(ctx, slog.LevelInfo, "lease", slog.String("provider", h.name), slog.Bool("held", ok), slog.Int64("term", lease.Term))
	}
	h.note(ok)
	if ok && !held {
		select {
		case h.gained <- struct{}{}:
		default:
		}
	}
}

func (h *holding) ask(ctx context.Context, before topup.Lease, held bool) (topup.Lease, bool, error) {
	ctx, cancel := context.WithTimeout(ctx, LeaseRenew)
	defer cancel()
	if held {
		ok, err := h.leases.Renew(ctx, before, LeaseTTL)
		return before, ok, err
	}
	return h.leases.Acquire(ctx, h.provider, h.holder, LeaseTTL)
}

func (h *holding) note(held bool) {
	if h.changed != nil {
		h.changed(held)
	}
}

// run keeps the lease until ctx ends, then gives it up so that another process
// need not wait for it to expire.
func (h *holding) run(ctx context.Context) {
	ticker := time.NewTicker(LeaseRenew)
	defer ticker.Stop()
	for {
		h.tick(ctx)
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		}
	}
}

func (h *holding) release() {
	h.mu.Lock()
	lease := h.lease
	h.lease = topup.Lease{}
	h.mu.Unlock()
	if lease.Term == 0 {
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), LeaseRenew)
	defer cancel()
	if err := h.leases.Release(ctx, lease); err != nil {
		h.log.LogAttrs(ctx, slog.LevelWarn, "lease", slog.String("provider", h.name), slog.Any("err", err))
	}
	h.note(false)
}
