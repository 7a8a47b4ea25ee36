package clientstest_test

import (
	"fmt"
	"net/http"
	"net/url"
	"testing"
	"time"

	"topupd/clients"
	"topupd/clients/clientstest"
	"topupd/clients/talkover"
	"topupd/topup"
)

// Talkover's answer to a purchase (Talkover docs, purchase-credits, read 2026-11-20).
const talkoverYes = `{"success":true,"data":{"amount_charged":100.00,"currency":"USD","new_balance":250.00,"transaction_id":"txn_uuid_1"}}`

func TestExerciseTalkover(t *testing.T) {
	clientstest.Exercise(t, clientstest.Subject{
		New: func(t *testing.T, base string) topup.Provider {
			t.Helper()
			u, err := url.Parse(base)
			must(t, err)
			c, err := talkover.New(talkover.Options{
				ID: "talkover://127.0.0.1/env-1", Name: "voice", Environment: "env-1",
				UserToken: key("user_token"), EnvironmentToken: key("talq_token"),
				API: clients.Options{
					BaseURL: u, PurchaseTimeout: 500 * time.Millisecond,
					Limits: clients.Limits{Reads: clients.Rate{Count: 1_000_000, Window: time.Second}, SharePercent: 100},
				},
			})
			must(t, err)
			return c
		},
		Order: topup.Order{
			Target:  topup.Target{Provider: "talkover://127.0.0.1/env-1", Customer: "env-1", Product: talkover.Product},
			Credits: 100 * topup.Credit, Price: topup.Money{Minor: 100_00, Currency: "USD"},
		},
		Status:    http.StatusOK,
		Yes:       talkoverYes,
		Throttled: `{"success":false,"message":"Rate limit exceeded"}`,
		Header: func(h http.Header) error {
			if k := h.Get("Idempotency-Key") + h.Get("X-Idempotency-Key"); k != "" {
				return fmt.Errorf("the request carries the key %q, which the provider does not know and net/http repeats for", k)
			}
			return nil
		},
	})
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
