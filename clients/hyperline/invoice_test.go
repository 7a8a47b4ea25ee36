package hyperline_test

import (
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"
)

func TestASortThatIsIgnoredMakesNoCompleteLook(t *testing.T) {
	inv := func(id string, at time.Time) string {
		return fmt.Sprintf(`{"id":%q,"type":"invoice","status":"to_pay","issued_at":%q,"customer":{"id":"cus_1"},"currency":"EUR","amount_excluding_tax":20000,"amount_paid":0,"line_items":[{"product_id":"itm_3kXODDF42QXtnL","product_type":"credit"}]}`, id, at.Format(time.RFC3339))
	}
	c := serve(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		switch {
		case strings.HasSuffix(r.URL.Path, "/transactions"):
			fmt.Fprint(w, `{"meta":{"total":0,"taken":0,"skipped":0},"data":[]}`)
		case r.URL.Path == "/v2/invoices" && r.URL.Query().Get("cursor") == "": // oldest first
			fmt.Fprintf(w, `{"data":[%s],"has_more":true,"next_cursor":"x"}`, inv("inv_old", noon.Add(-100*24*time.Hour)))
		case r.URL.Path == "/v2/invoices":
			fmt.Fprintf(w, `{"data":[%s],"has_more":false,"next_cursor":null}`, inv("inv_ours", noon))
		default:
			fmt.Fprint(w, `{"id":"cus_1","name":"A","status":"active","currency":"EUR","country":"FR"}`)
		}
	}))
	target := pack("cus_1").Target
	b, err := c.Books(t.Context(), target, noon.Add(-2*time.Minute))
	if err != nil {
		t.Fatal(err)
	}
	found := false
	for _, i := range b.Invoices {
		found = found || i.ID == "inv_ours"
	}
	if b.Complete && !found {
		t.Error("a look that stopped on an oldest-first page calls itself complete: our invoice is on the next page")
	}
}
