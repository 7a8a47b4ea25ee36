package ledger_test

import (
	"errors"
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"topupd/ledger"
	"topupd/topup"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestObserveIsToldOfEveryOperation(t *testing.T) {
	t.Parallel()
	for _, engine := range engines {
		var mu sync.Mutex
		var seen []string
		s := open(t, engine.fresh(t), ledger.Options{Observe: func(query string, d time.Duration, reason string) {
			mu.Lock()
			defer mu.Unlock()
			if d < 0 {
				t.Errorf("%s took %s", query, d)
			}
			seen = append(seen, fmt.Sprintf("%s %s", query, reason))
		}})
		p := sentPurchase(t, s)
		if _, err := s.Plan(t.Context(), planRequest(t, s, "cus_1")); !errors.Is(err, topup.ErrPurchaseOpen) {
			t.Fatal(err)
		}
		again := planRequest(t, s, "cus_2")
		again.Purchase.ID = p.ID
		_, err := s.Plan(t.Context(), again)
		if _, ok := errors.AsType[*ledger.RefusedError](err); !ok {
			t.Fatal(err)
		}
		for _, want := range []string{"register ", "acquire_lease ", "standing ", "plan ", "permit ", "plan constraint"} {
			if !slices.Contains(seen, want) {
				t.Errorf("%s: %q was not observed in %q", engine.name, want, seen)
			}
		}
	}
}

func TestEveryFailureHasAReasonOfTheList(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name string
		err  error
		want string
	}{
		{"success", nil, ""},
		{"a refusal that callers act on", fmt.Errorf("planning: %w", &topup.CapError{}), ""},
		{"doubt", fmt.Errorf("x: %w", topup.ErrInDoubt), ledger.FailedInDoubt},
		{"anything else", errors.New("x"), ledger.FailedOther},
	} {
		if got := ledger.FailureReason(tt.err); got != tt.want || (got != "" && !slices.Contains(ledger.FailureReasons(), got)) {
			t.Errorf("%s: %q, want %q", tt.name, got, tt.want)
		}
	}
}
