package emulator

import (
	"net/http"
	"strings"
	"testing"
	"time"
)

func TestAKeyIsRemembered(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name    string
		profile HyperlineProfile
		again   func(*bench) response
		status  int
		charges int
	}{
		{"the same request is answered again, not run again", HyperlineProfile{}, func(b *bench) response { return b.buy(keyOne) }, 201, 1},
		{"another body is refused", HyperlineProfile{}, func(b *bench) response { return b.buyAs(keyOne, `{"credit_count":120}`) }, 417, 1},
		{"the same fields in other bytes are refused", HyperlineProfile{}, func(b *bench) response { return b.buyAs(keyOne, smallOrder+" ") }, 417, 1},
		{"unless meaning is compared", HyperlineProfile{CompareMeaning: true}, func(b *bench) response { return b.buyAs(keyOne, " "+smallOrder) }, 201, 1},
		{
			"where bodies are not compared, another one brings the first answer",
			HyperlineProfile{OtherBytes: OtherBytesReplayed},
			func(b *bench) response { return b.buyAs(keyOne, `{"credit_count":1}`) }, 201, 1,
		},
		{
			"where a key stands for one body, another one runs",
			HyperlineProfile{OtherBytes: OtherBytesRun},
			func(b *bench) response { return b.buyAs(keyOne, smallOrder+" ") }, 201, 2,
		},
		{"and the same one does not", HyperlineProfile{OtherBytes: OtherBytesRun}, func(b *bench) response { return b.buy(keyOne) }, 201, 1},
		{
			"where keys are ignored, the same request runs again",
			HyperlineProfile{KeysIgnored: true},
			func(b *bench) response { return b.buy(keyOne) }, 201, 2,
		},
		{"another URL is refused", HyperlineProfile{}, func(b *bench) response {
			return b.ask("POST", purchasePath+"?x=1", smallOrder, header{"Idempotency-Key": keyOne})
		}, 417, 1},
		{"another method and URL are refused", HyperlineProfile{}, func(b *bench) response {
			return b.ask("PUT", creditPath, smallOrder, header{"Idempotency-Key": keyOne})
		}, 417, 1},
		{"another key is another purchase", HyperlineProfile{}, func(b *bench) response { return b.buy(keyTwo) }, 201, 2},
		{"no key is another purchase", HyperlineProfile{}, func(b *bench) response { return b.buy("") }, 201, 2},
		{"X-Idempotency-Key is no key", HyperlineProfile{}, func(b *bench) response {
			return b.ask("POST", purchasePath, smallOrder, header{"X-Idempotency-Key": keyOne})
		}, 201, 2},
		{"a key of 15 characters is refused", HyperlineProfile{}, func(b *bench) response { return b.buy(strings.Repeat("k", 15)) }, 400, 1},
		{"one of 16 is not", HyperlineProfile{}, func(b *bench) response { return b.buy(strings.Repeat("k", 16)) }, 201, 2},
		{"a moment before 24 hours it is still known", HyperlineProfile{}, func(b *bench) response {
			b.pass(24*time.Hour - time.Nanosecond)
			return b.buy(keyOne)
		}, 201, 1},
		{"after 24 hours it protects nothing", HyperlineProfile{}, func(b *bench) response {
			b.pass(24 * time.Hour)
			return b.buy(keyOne)
		}, 201, 2},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			b := newBench(t, Options{Hyperline: HyperlineOptions{Profile: tt.profile}})
			first := b.buy(keyOne).want(t, http.StatusCreated)
			again := tt.again(b).want(t, tt.status)
			b.wantCaptured(tt.charges)
			if replayed := tt.status == 201 && tt.charges == 1; replayed && again.body != first.body {
				t.Errorf("replayed %s, first %s", again.body, first.body)
			}
		})
	}
}

func TestAKeyThatDidNotSucceedIsForgotten(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name    string
		fault   string
		profile HyperlineProfile
		charges int
	}{
		{"after a decline", "decline", HyperlineProfile{}, 1},
		{"after a 500 without a charge", "fail_without_charging_500", HyperlineProfile{}, 1},
		{"after a 429", "throttle", HyperlineProfile{}, 1},
		{"after a 500 with a charge: the repeat charges again", "charge_then_500", HyperlineProfile{}, 2},
		{"but not where a 500 is remembered", "charge_then_500", HyperlineProfile{RememberAfter5xx: true}, 1},
		{"a cut connection is no failure: the repeat is a replay", "charge_then_drop", HyperlineProfile{}, 1},
		{"nor is a cut body", "charge_then_truncate", HyperlineProfile{}, 1},
		{"nor a proxy's page", "charge_then_html", HyperlineProfile{}, 1},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			b := newBench(t, Options{Hyperline: HyperlineOptions{Profile: tt.profile}, Faults: Faults{Next: []string{tt.fault}}})
			if first := b.buy(keyOne); first.err == nil && first.status == http.StatusCreated && first.body != "" {
				t.Fatalf("the fault did not happen: %+v", first)
			}
			b.buy(keyOne).want(t, http.StatusCreated)
			b.wantCaptured(tt.charges)
		})
	}
}

func TestAKeyInProgressIsAConflict(t *testing.T) {
	t.Parallel()
	b := newBench(t, Options{Faults: Faults{Next: []string{"hang_without_charging"}, HangFor: 5 * time.Minute}})
	first := make(chan response, 1)
	hanging := *b
	hanging.http = &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	go func() { first <- hanging.buy(keyOne) }()
	until(t, "the first request arrived", func() bool { return len(b.Books().Requests) == 1 })

	b.buy(keyOne).want(t, http.StatusConflict)
	b.wantCaptured(0)
	b.world.release.Do(func() { close(b.world.released) }) // as Run does when it ends
	if got := <-first; got.err == nil {
		t.Errorf("a hung request was answered: %+v", got)
	}
	until(t, "the key is free again", func() bool { return b.buy(keyOne).status == http.StatusCreated })
	b.wantCaptured(1)
}

func TestEveryMutatingEndpointTakesKeys(t *testing.T) {
	t.Parallel()
	b := newBench(t, Options{})
	must(t, b.SetBalance(FirstCustomer, dec("0")))
	for range 2 {
		b.ask("POST", creditPath+"/topup", `{"credit_count":5}`, header{"Idempotency-Key": keyOne}).want(t, http.StatusCreated)
	}
	if got, _ := b.balance(); got != "5" {
		t.Errorf("balance %s after one top-up sent twice, want 5", got)
	}
}
