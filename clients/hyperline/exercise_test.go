package hyperline_test

import (
	"fmt"
	"net/http"
	"testing"
	"time"

	"topupd/clients/clientstest"
	"topupd/clients/hyperline"
	"topupd/topup"
)

func TestExercise(t *testing.T) {
	clientstest.Exercise(t, clientstest.Subject{
		New: func(t *testing.T, url string) topup.Provider {
			return newClient(t, url, func(o *hyperline.Options) { o.API.PurchaseTimeout = 500 * time.Millisecond })
		},
		Order:  pack("cus_1"),
		Status: http.StatusCreated,
		Yes:    golden(t, "purchased.json"),
		// As the documentation shows it (/developers/rate-limiting, read 2026-11-20).
		Throttled: "Too many requests",
		Header: func(h http.Header) error {
			if h.Get("Idempotency-Key") != clientstest.Key {
				return fmt.Errorf("the key is %q", h.Get("Idempotency-Key"))
			}
			return nil
		},
	})
}
