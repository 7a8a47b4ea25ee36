package emulator

import (
	"compress/gzip"
	"encoding/json"
	"net/http"
	"strings"
	"testing"
	"time"
)

func TestAGatewayCompressesUnasked(t *testing.T) {
	t.Parallel()
	b := newBench(t, Options{Faults: Faults{Gzip: 1}})
	plain := header{"Accept-Encoding": "identity"}
	for _, r := range []response{
		b.ask("GET", "/v1/customers/credits", "", plain),
		b.ask("POST", purchasePath, smallOrder, plain),
		b.ask("GET", "/talkover/api/v1/credits/balance", "", plain),
		b.ask("POST", topUpPath, topUpOrder, plain),
	} {
		z, err := gzip.NewReader(strings.NewReader(r.body))
		if err != nil {
			t.Fatalf("%d %.40q is not compressed: %v", r.status, r.body, err)
		}
		if err := json.NewDecoder(z).Decode(&map[string]any{}); err != nil || r.status/100 != 2 || r.header.Get("Content-Encoding") != "gzip" {
			t.Errorf("%d with %v: %v", r.status, r.header, err)
		}
	}
	b.wantCaptured(2)
}

func TestACacheOnTheWayReplaysReads(t *testing.T) {
	t.Parallel()
	b := newBench(t, Options{Faults: Faults{CacheFor: 10 * time.Minute}})
	fresh := b.get(creditPath).want(t, http.StatusOK)
	must(t, b.SetBalance(FirstCustomer, dec("1")))
	b.pass(9 * time.Minute)
	if old := b.get(creditPath).want(t, http.StatusOK); old.body != fresh.body || old.header.Get("Age") != "540" ||
		old.header.Get("Date") != fresh.header.Get("Date") || fresh.header.Get("Age") != "" {
		t.Errorf("nine minutes later: %s with %v, want what was answered first", old.body, old.header)
	}
	b.buy(keyOne).want(t, http.StatusCreated)
	b.buy(keyTwo).want(t, http.StatusCreated)
	b.wantCaptured(2)
	b.pass(time.Minute)
	if again := b.get(creditPath).want(t, http.StatusOK); again.body == fresh.body || again.header.Get("Age") != "" {
		t.Errorf("ten minutes later: %s with %v, want a fresh answer", again.body, again.header)
	}
}
