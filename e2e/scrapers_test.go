package e2e

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/govalues/decimal"

	"topupd/clients/emulator"
)

// TestManyScrapersAreAllAnswered: many scrape a daemon that buys without a pause,
// each once a second, as several Prometheus and everybody's scripts do. Each gets a
// whole page, and the buying goes on. make bench makes it a
// minute and a thousand customers for the figures of docs/benchmarks.md.
func TestManyScrapersAreAllAnswered(t *testing.T) {
	const scrapers = 200
	customers := fromEnv(t, "TOPUPD_SCRAPERS_CUSTOMERS", 50)
	length := time.Duration(fromEnv(t, "TOPUPD_SCRAPERS_SECONDS", 5)) * time.Second
	o := busy(customers)
	o.Hyperline.Usage = emulator.Range{Min: decimal.MustNew(20, 0), Max: decimal.MustNew(40, 0)} // more than can be bought
	p := newPlace(t, postgresURL(t), o, settings{Quiet: "60s", PurchaseTimeout: "15s", DailyPurchases: 1_000_000, Reads: "50000/10s", Writes: "50000/10s"})
	d := p.started()
	until(t, time.Minute, "the buying to be under way", func() bool { return p.captured() >= customers/2 })
	ctx, end := context.WithCancel(t.Context())
	var all sync.WaitGroup
	var on atomic.Bool
	var answered, failed atomic.Int64
	url := fmt.Sprintf("http://%s/metrics", d.field("started", "listen"))
	client := &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: scrapers}, Timeout: 10 * time.Second}
	for n := range scrapers {
		all.Go(func() {
			time.Sleep(time.Duration(n) * time.Second / scrapers)
			for ; ctx.Err() == nil; time.Sleep(time.Second) {
				if !on.Load() {
					continue
				}
				if err := scrapeOnce(ctx, client, url); err == nil {
					answered.Add(1)
				} else if ctx.Err() == nil && failed.Add(1) == 1 {
					t.Errorf("a scrape was not answered: %v", err)
				}
			}
		})
	}
	bought := map[bool]int{}
	// Back and forth in short turns: the pace of a long run drifts by itself.
	for _, scraped := range []bool{false, true, true, false, false, true, true, false, false, true, true, false} {
		on.Store(scraped)
		before := p.captured()
		time.Sleep(length / 6) // a measurement takes its time; nothing is waited for
		bought[scraped] += p.captured() - before
	}
	end()
	all.Wait()
	t.Logf("%.1f purchases a second, %.1f beside %d scrapers: %.2f; %d scrapes answered, %d not", float64(bought[false])/length.Seconds(),
		float64(bought[true])/length.Seconds(), scrapers, float64(bought[true])/float64(max(1, bought[false])), answered.Load(), failed.Load())
	if answered.Load() < scrapers {
		t.Errorf("%d scrapes by %d scrapers", answered.Load(), scrapers)
	}
	before := p.captured()
	until(t, time.Minute, "the buying to go on", func() bool { return p.captured() > before })
	p.emu.StopUsage()
	until(t, 3*time.Minute, "nothing open", func() bool { return p.open() == 0 })
	p.judge()
}

// scrapeOnce reads a whole page.
func scrapeOnce(ctx context.Context, client *http.Client, url string) error {
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return err
	}
	r.Header.Set("Accept-Encoding", "gzip") // as Prometheus asks
	resp, err := client.Do(r)
	if err != nil {
		return err
	}
	defer func() { _ = resp.Body.Close() }()
	n, err := io.Copy(io.Discard, resp.Body)
	if err == nil && (resp.StatusCode != http.StatusOK || n < 1000) {
		err = fmt.Errorf("%s, %d bytes", resp.Status, n)
	}
	return err
}
