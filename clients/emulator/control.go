package emulator

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/http"
	"time"

	"github.com/govalues/decimal"
)

// controlRoutes is the control plane. It needs no token: the emulator holds no
// money, and belongs on a loopback address.
func (e *Emulator) controlRoutes(mux *http.ServeMux) {
	show := func(what func() any) http.HandlerFunc {
		return func(rw http.ResponseWriter, _ *http.Request) { e.reply(rw, http.StatusOK, what()) }
	}
	mux.HandleFunc("GET /_emulator/healthy", func(rw http.ResponseWriter, _ *http.Request) {
		e.reply(rw, http.StatusOK, map[string]string{"status": "ok"})
	})
	mux.HandleFunc("GET /_emulator/books", show(func() any { return e.Books() }))
	mux.HandleFunc("GET /_emulator/faults", show(func() any { return e.Faults() }))
	mux.HandleFunc("GET /_emulator/customers", show(func() any { return e.Customers() }))
	mux.HandleFunc("GET /_emulator/{$}", e.page)
	mux.HandleFunc("/_emulator/", func(rw http.ResponseWriter, r *http.Request) {
		e.reply(rw, http.StatusNotFound, map[string]string{"error": "emulator: nothing answers " + r.Method + " " + r.URL.Path})
	})
	mux.HandleFunc("PUT /_emulator/faults", e.change(e.putFaults))
	mux.HandleFunc("POST /_emulator/faults/next", e.change(e.postNext))
	mux.HandleFunc("POST /_emulator/usage", e.change(e.postUsage))
	mux.HandleFunc("POST /_emulator/customers", e.change(e.postCustomers))
	for action, set := range map[string]func(id string, b controlBody) error{
		"usage":           func(id string, b controlBody) error { return e.SetUsage(id, b.PerSecond) },
		"balance":         func(id string, b controlBody) error { return e.SetBalance(id, b.Balance) },
		"threshold":       func(id string, b controlBody) error { return e.SetThreshold(id, b.Threshold) },
		"card":            func(id string, b controlBody) error { return e.SetCard(id, b.Card) },
		"auto-topup":      func(id string, b controlBody) error { return e.SetAutoTopup(id, b.On) },
		"archive":         func(id string, _ controlBody) error { return e.Archive(id) },
		"grant":           func(id string, b controlBody) error { return e.Grant(id, b.Credits) },
		"portal-purchase": func(id string, b controlBody) error { return e.portalPurchase(id, b.Pack) },
		"list-twice":      func(id string, _ controlBody) error { return e.ListTwice(id) },
		"old-bill": func(id string, b controlBody) error {
			return e.OldBill(OldBill{Customer: id, Currency: b.Currency, Status: b.Status, Credit: b.Credit, At: b.At})
		},
		"switch-environment": func(id string, b controlBody) error { return e.SwitchEnvironment(id, b.To) },
	} {
		mux.HandleFunc("POST /_emulator/customers/{id}/"+action, e.change(func(r *http.Request, body []byte) error {
			var b controlBody
			if err := strictly(body, &b); err != nil {
				return err
			}
			return set(r.PathValue("id"), b)
		}))
	}
	mux.HandleFunc("POST /_emulator/invoices/{id}/spoil", e.change(func(r *http.Request, body []byte) error {
		var b struct {
			Mistake Mistake `json:"mistake"`
		}
		if err := strictly(body, &b); err != nil {
			return err
		}
		return e.Spoil(r.PathValue("id"), b.Mistake)
	}))
	mux.HandleFunc("POST /_emulator/prices/{id}", e.change(func(r *http.Request, body []byte) error {
		var b struct {
			Amount int64 `json:"amount"`
		}
		if err := strictly(body, &b); err != nil {
			return err
		}
		return e.SetPrice(r.PathValue("id"), b.Amount)
	}))
}

// controlBody is what the customer actions take, each its own field. Numbers
// are written as numbers or as texts.
type controlBody struct {
	PerSecond decimal.Decimal  `json:"per_second"`
	Balance   decimal.Decimal  `json:"balance"`
	Credits   decimal.Decimal  `json:"credits"`
	Threshold *decimal.Decimal `json:"threshold"`
	Card      Card             `json:"card"`
	On        bool             `json:"on"`
	Pack      string           `json:"pack"`
	To        string           `json:"to"`
	Currency  string           `json:"currency"`
	Status    string           `json:"status"`
	Credit    bool             `json:"credit"`
	At        time.Time        `json:"at"`
}

func (e *Emulator) portalPurchase(id, pack string) error {
	if pack == "" {
		return e.PortalPurchase(id)
	}
	return e.PortalPurchase(id, pack)
}

func (e *Emulator) putFaults(_ *http.Request, body []byte) error {
	var f Faults
	if err := strictly(body, &f); err != nil {
		return err
	}
	e.SetFaults(f)
	return nil
}

// postNext appends to the queue of forced faults.
func (e *Emulator) postNext(_ *http.Request, body []byte) error {
	var b struct {
		Next []string `json:"next"`
	}
	if err := strictly(body, &b); err != nil {
		return err
	}
	return e.Force(b.Next...)
}

// postUsage stops or starts everybody's usage.
func (e *Emulator) postUsage(_ *http.Request, body []byte) error {
	var b struct {
		Stop bool `json:"stop"`
	}
	if err := strictly(body, &b); err != nil {
		return err
	}
	e.usage(b.Stop)
	return nil
}

// postCustomers makes more customers.
func (e *Emulator) postCustomers(_ *http.Request, body []byte) error {
	var b struct {
		Count int `json:"count"`
	}
	if err := strictly(body, &b); err != nil {
		return err
	}
	return e.AddCustomers(b.Count)
}

// strictly reads JSON without unknown fields; an empty body is an empty object.
func strictly(body []byte, v any) error {
	if len(bytes.TrimSpace(body)) == 0 {
		body = []byte("{}")
	}
	dec := json.NewDecoder(bytes.NewReader(body))
	dec.DisallowUnknownFields()
	if err := dec.Decode(v); err != nil {
		return fmt.Errorf("emulator: the body is not what this address takes: %w", err)
	}
	return nil
}

// change runs one change and answers 204, or 400 with what to do.
func (e *Emulator) change(do func(*http.Request, []byte) error) http.HandlerFunc {
	return func(rw http.ResponseWriter, r *http.Request) {
		body, err := readBody(r)
		if err != nil {
			return
		}
		if err := do(r, body); err != nil {
			e.reply(rw, http.StatusBadRequest, map[string]string{"error": err.Error()})
			return
		}
		rw.WriteHeader(http.StatusNoContent)
	}
}

func (e *Emulator) reply(rw http.ResponseWriter, status int, body any) {
	a := jsonAnswer(status, body)
	rw.Header().Set("Content-Type", jsonType)
	rw.WriteHeader(a.status)
	_, _ = rw.Write(append(a.body, '\n'))
}
