package hyperline_test

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"topupd/clients/emulator"
	"topupd/topup"
)

// grant adds credits in the provider's dashboard.
func (w *world) grant(t *testing.T, id topup.CustomerID, body string) {
	t.Helper()
	r := httptest.NewRequest(http.MethodPost, "/v1/customers/"+string(id)+"/credits/"+string(product)+"/topup", strings.NewReader(body))
	r.Header.Set("Authorization", "Bearer "+emulator.DefaultToken)
	r.Header.Set("Content-Type", "application/json")
	rw := httptest.NewRecorder()
	w.Handler().ServeHTTP(rw, r)
	if rw.Code >= 300 {
		t.Fatalf("%d %s", rw.Code, rw.Body)
	}
}

// TestWhatEndedIsListed: a row says that credits ended, and before there is one
// an addition says when it is to end.
func TestWhatEndedIsListed(t *testing.T) {
	w := newWorld(t, emulator.Options{Hyperline: emulator.HyperlineOptions{Customers: 3}})
	c := w.client(t)
	target := pack(aCard).Target
	end := noon.Add(2 * time.Hour)
	w.grant(t, aCard, `{"credit_count": 40, "expires_at": "`+end.Format(time.RFC3339)+`"}`)
	w.grant(t, aCard, `{"credit_count": 7}`)
	w.grant(t, aCard, `{"credit_count": 9, "expires_at": "`+end.AddDate(0, 2, 0).Format(time.RFC3339)+`"}`)
	w.pass(time.Hour)
	day := noon.Truncate(24 * time.Hour)
	for _, tt := range []struct {
		name  string
		since time.Time
		want  []topup.Expiry
	}{
		{"to end today, and in two months", noon.Add(-time.Hour), []topup.Expiry{
			{Credits: 40 * topup.Credit, At: day, DateOnly: true}, {Credits: 9 * topup.Credit, At: day.AddDate(0, 2, 0), DateOnly: true},
		}},
		{"since tomorrow", noon.AddDate(0, 0, 2), []topup.Expiry{{Credits: 9 * topup.Credit, At: day.AddDate(0, 2, 0), DateOnly: true}}},
	} {
		got, err := c.Expired(t.Context(), target, tt.since)
		must(t, err)
		byTime := cmp.Transformer("set", func(list []topup.Expiry) map[topup.Expiry]bool {
			set := map[topup.Expiry]bool{}
			for _, e := range list {
				set[e] = true
			}
			return set
		})
		if diff := cmp.Diff(tt.want, got, byTime); diff != "" {
			t.Errorf("%s (-want +got):\n%s", tt.name, diff)
		}
	}
	w.pass(time.Hour + time.Minute)
	got, err := c.Expired(t.Context(), target, noon)
	must(t, err)
	if diff := cmp.Diff([]topup.Expiry{{Credits: 40 * topup.Credit, At: end}}, got); diff != "" {
		t.Errorf("after its end (-want +got):\n%s", diff)
	}
	if got, err := c.Expired(t.Context(), target, end.Add(time.Second)); err != nil || len(got) != 2 || !got[0].DateOnly {
		t.Errorf("since later: %+v, %v, want the dates of the day and of what is to end yet", got, err)
	}
}

// TestRowsAboutWhatEndedMayBeHostile: what cannot be read is an error, and never
// an explanation.
func TestRowsAboutWhatEndedMayBeHostile(t *testing.T) {
	row := func(change string) string {
		return fmt.Sprintf(`{"id":"cdt_1","customer_id":%q,"product_id":%q,"type":"expiration","created_at":"2026-11-20T11:00:00.000Z"%s}`, aCard, product, change)
	}
	for _, tt := range []struct {
		name, rows string
		want       topup.Credits // 0 = none
		wrong      bool
	}{
		{"an amount", row(`,"credit_count":40`), 40, false},
		{"a negative amount", row(`,"credit_count":-40`), 40, false},
		{"no amount", row(``), 0, true},
		{"null", row(`,"credit_count":null`), 0, true},
		{"text", row(`,"credit_count":"many"`), 0, true},
		{"of another type", strings.Replace(row(`,"credit_count":40`), "expiration", "usage", 1), 0, false},
		{"of another customer", strings.Replace(row(`,"credit_count":40`), string(aCard), "cus_other", 1), 0, true},
		{"twice", row(`,"credit_count":40`) + "," + row(`,"credit_count":40`), 0, true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			n := strings.Count(tt.rows, "cdt_1")
			server := httptest.NewServer(http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
				rw.Header().Set("Content-Type", "application/json")
				if r.URL.Query().Get("type") == "topup" {
					_, _ = fmt.Fprint(rw, `{"meta":{"total":0,"taken":0,"skipped":0},"data":[]}`)
					return
				}
				_, _ = fmt.Fprintf(rw, `{"meta":{"total":%d,"taken":%d,"skipped":0},"data":[%s]}`, n, n, tt.rows)
			}))
			defer server.Close()
			got, err := newClient(t, server.URL, nil).Expired(t.Context(), pack(aCard).Target, noon.AddDate(0, 0, -1))
			if (err != nil) != tt.wrong || err == nil && (len(got) > 0) != (tt.want > 0) || len(got) > 0 && got[0].Credits != tt.want*topup.Credit {
				t.Errorf("%+v, %v", got, err)
			}
		})
	}
}
