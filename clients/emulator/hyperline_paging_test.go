package emulator

import (
	"fmt"
	"net/http"
	"net/url"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// bulk reads one page of the bulk list and returns its customers.
func (b *bench) bulk(query string) (ids []string, total int) {
	b.t.Helper()
	var list struct {
		Meta struct{ Total, Taken int }
		Data []struct {
			Customer string `json:"customer_id"`
		}
	}
	b.get("/v1/customers/credits?"+query).want(b.t, http.StatusOK).into(b.t, &list)
	for _, row := range list.Data {
		ids = append(ids, row.Customer)
	}
	if list.Meta.Taken != len(ids) {
		b.t.Errorf("taken %d, rows %d", list.Meta.Taken, len(ids))
	}
	return ids, list.Meta.Total
}

func (b *bench) everybody() []string {
	var ids []string
	for _, c := range b.Customers() {
		if c.Provider == HyperlineName {
			ids = append(ids, c.ID)
		}
	}
	return ids
}

func TestTheBulkListIsPagedByOffset(t *testing.T) {
	t.Parallel()
	b := newBench(t, Options{Hyperline: HyperlineOptions{Customers: 230}})
	all := b.everybody()
	for _, tt := range []struct {
		name, query string
		want        []string
		total       int
	}{
		{"50 without take", "", all[:50], 230},
		{"at most 100", "take=100", all[:100], 230},
		{"from skip on", "take=100&skip=100", all[100:200], 230},
		{"a short last page", "take=100&skip=200", all[200:], 230},
		{"nothing behind the end", "take=100&skip=230", nil, 230},
		{"nothing for take 0", "take=0", nil, 230},
		{"one customer", "customer_id=" + all[42], all[42:43], 1},
		{"nobody unknown", "customer_id=cus_x", nil, 0},
		{"everybody but one", "take=2&customer_id__not=" + all[0], all[1:3], 229},
		{"by prefix", "take=1&customer_id__startsWith=cus_", all[:1], 230},
		{"changed before now", "take=1&updated_at__lte=" + url.QueryEscape("2026-11-20T12:00:00Z"), all[:1], 230},
		{"changed after now", "take=1&updated_at__gt=" + url.QueryEscape("2026-11-20T12:00:00Z"), nil, 0},
	} {
		t.Run(tt.name, func(t *testing.T) {
			ids, total := b.bulk(tt.query)
			if diff := cmp.Diff(tt.want, ids); diff != "" || total != tt.total {
				t.Errorf("total %d, want %d; rows (-want +got):\n%s", total, tt.total, diff)
			}
		})
	}
}

func TestThePageMayMoveUnderTheReader(t *testing.T) {
	t.Parallel()
	b := newBench(t, Options{Hyperline: HyperlineOptions{Customers: 30, Profile: HyperlineProfile{SkipLimit: 25}}})
	all := b.everybody()
	for _, tt := range []struct {
		name, fault, query string
		want               []string
	}{
		{"a row is missed at the start", "missing_rows", "take=10", all[1:11]},
		{"a row is missed between pages", "missing_rows", "take=10&skip=10", all[11:21]},
		{"a row is repeated between pages", "repeat_rows", "take=10&skip=10", all[9:19]},
		{"a row is repeated at the start", "repeat_rows", "take=3", []string{all[0], all[0], all[1]}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			must(t, b.Force(tt.fault))
			if got, _ := b.bulk(tt.query); !cmp.Equal(got, tt.want) {
				t.Errorf("rows %v, want %v", got, tt.want)
			}
		})
	}
	b.get("/v1/customers/credits?take=10&skip=15").want(t, http.StatusOK)
	b.get("/v1/customers/credits?take=10&skip=16").want(t, http.StatusBadRequest)
}

// walk follows cursors to the end and returns the ids.
func (b *bench) walk(path string) []string {
	b.t.Helper()
	var ids []string
	cursor := ""
	for range 100 {
		var list struct {
			Data []struct{ ID string }
			Next *string `json:"next_cursor"`
			More bool    `json:"has_more"`
		}
		b.get(path+"&cursor="+cursor).want(b.t, http.StatusOK).into(b.t, &list)
		for _, row := range list.Data {
			ids = append(ids, row.ID)
		}
		if (list.Next != nil) != list.More {
			b.t.Fatalf("next_cursor %v, has_more %t", list.Next, list.More)
		}
		if !list.More {
			return ids
		}
		cursor = *list.Next
	}
	b.t.Fatal("the list never ends")
	return nil
}

func TestCustomersAreFilteredAndPagedByCursor(t *testing.T) {
	t.Parallel()
	b := newBench(t, Options{Hyperline: HyperlineOptions{Customers: 25}})
	all := b.everybody()
	must(t, b.SetCard(all[3], CardMissing))
	must(t, b.SetCard(all[4], CardDirectDebit))
	must(t, b.Archive(all[5]))
	without := append(append([]string{}, all[:5]...), all[6:]...)

	for _, tt := range []struct {
		name, query string
		want        []string
	}{
		{"oldest first, archived left out", "order=asc&limit=7", without},
		{"all of them", "order=asc&limit=7&status=all", all},
		{"archived only", "status=archived", all[5:6]},
		{"two statuses", "order=asc&status__in=active,archived", all},
		{"without a payment method", "payment_method_type=missing", all[3:4]},
		{"two kinds of payment method", "order=asc&payment_method_type__in=missing,direct_debit", all[3:5]},
		{"by external id", "external_id=crm-00003", all[2:3]},
		{"by currency, none", "currency=USD", nil},
		{"by property", "order=asc&limit=100&custom_properties[plan]=free", []string{all[0], all[3], all[6], all[9], all[12], all[15], all[18], all[21], all[24]}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if got := b.walk("/v2/customers?" + tt.query); !cmp.Equal(got, tt.want) {
				t.Errorf("%v, want %v", got, tt.want)
			}
		})
	}
	b.get("/v2/customers?payment_method_type=cheque").want(t, http.StatusBadRequest)
	b.get("/v2/customers?cursor=nonsense").want(t, http.StatusBadRequest)
	if newest := b.walk("/v2/customers?limit=1")[0]; newest != all[24] {
		t.Errorf("first by default %s, want the newest", newest)
	}
}

func TestInvoicesAreFilteredAndPagedByCursor(t *testing.T) {
	t.Parallel()
	b := newBench(t, Options{Hyperline: HyperlineOptions{Customers: 2, Writes: -1, Profile: HyperlineProfile{Decline: DeclineCreatedUnpaid}}})
	other := b.everybody()[1]
	for n := range 6 {
		b.buy(fmt.Sprintf("%s-%d", keyOne, n)).want(t, http.StatusCreated)
		must(t, b.PortalPurchase(other))
		b.pass(time.Minute)
	}
	must(t, b.SetCard(FirstCustomer, CardDeclined))
	b.buy(keyTwo).want(t, http.StatusCreated)
	mine := len(b.walk("/v2/invoices?limit=2&customer_id=" + FirstCustomer))
	for _, tt := range []struct {
		query string
		want  int
	}{
		{"status=all", 13},
		{"status=paid", 12},
		{"status=to_pay", 1},
		{"status=outstanding", 1},
		{"status=all&customer_id=" + other, 6},
		{"status=all&customer_id=cus_x", 0},
		{"status=all&issued_at__gte=2026-11-20T12:05:00Z", 3},
		{"type=refund", 0},
	} {
		if got := len(b.walk("/v2/invoices?limit=4&" + tt.query)); got != tt.want {
			t.Errorf("%s: %d invoices, want %d", tt.query, got, tt.want)
		}
	}
	if mine != 7 {
		t.Errorf("%d invoices of the first customer, want 7", mine)
	}
}

func TestTheLedgerIsFiltered(t *testing.T) {
	t.Parallel()
	b := newBench(t, Options{})
	must(t, b.SetBalance(FirstCustomer, dec("100")))
	b.buy(keyOne).want(t, http.StatusCreated)
	b.pass(time.Second)
	b.ask("POST", creditPath+"/usage", `{"usage_retained":2.5,"event_id":"evt_1"}`, nil).want(t, http.StatusCreated)
	invoice := b.invoices()[0].ID
	for query, want := range map[string]int{
		"": 2, "type=topup": 1, "type=usage": 1, "type=expiration": 0, "invoice_id=" + invoice: 1, "invoice_id=inv_x": 0,
		"id=cdt_x": 0, "created_at=2026-11-20T12:00:00.000Z": 1, "take=1": 1, "take=5&skip=1": 1, "typ=topup": 2,
	} {
		var list struct{ Data []struct{} }
		b.get(creditPath+"/transactions?"+query).want(t, http.StatusOK).into(t, &list)
		if len(list.Data) != want {
			t.Errorf("%q: %d rows, want %d", query, len(list.Data), want)
		}
	}
	if got, _ := b.balance(); got != "217.5" {
		t.Errorf("balance %s, want 217.5", got)
	}
}

func TestPutLeavesOmittedKeysAloneUnlessTheProfileClearsThem(t *testing.T) {
	t.Parallel()
	for _, clears := range []bool{false, true} {
		b := newBench(t, Options{Hyperline: HyperlineOptions{Threshold: dec("250"), Profile: HyperlineProfile{PutClears: clears}}})
		got := b.ask("PUT", creditPath, `{"name":"renamed"}`, nil).want(t, http.StatusOK)
		var c struct {
			Name      string
			Threshold *int `json:"low_count_threshold"`
		}
		got.into(t, &c)
		if c.Name != "renamed" || (c.Threshold == nil) != clears {
			t.Errorf("PutClears %t: %s", clears, got.body)
		}
	}
}

func TestACreditProductCanBeAttachedOnce(t *testing.T) {
	t.Parallel()
	b := newBench(t, Options{Hyperline: HyperlineOptions{Customers: 2, Unattached: 1}})
	bare := b.walk("/v2/customers?limit=1")[0]
	path := "/v1/customers/" + bare + "/credits"
	if err := b.SetBalance(bare, dec("1")); err == nil {
		t.Error("a customer without credits got a balance")
	}
	for _, tt := range []struct {
		name, body string
		status     int
	}{
		{"an unknown product", `{"product_id":"itm_x"}`, 404},
		{"no product", `{}`, 400},
		{"a threshold as text", `{"product_id":"` + Product + `","low_count_threshold":"5"}`, 400},
		{"native top-up of nothing", `{"product_id":"` + Product + `","auto_topup":{"credit_count":0}}`, 400},
		{"native top-up at an unknown price", `{"product_id":"` + Product + `","auto_topup":{"credit_count":120,"price_id":"pri_x"}}`, 404},
		{"everything", `{"product_id":"` + Product + `","name":"mine","low_count_threshold":null,"auto_topup":{"credit_count":120,"price_id":"` + SmallPack + `"}}`, 201},
		{"a second time", `{"product_id":"` + Product + `"}`, 409},
	} {
		t.Run(tt.name, func(t *testing.T) { b.ask("POST", path, tt.body, nil).want(t, tt.status) })
	}
	wantShape(t, exampleCredits, b.get(path).want(t, http.StatusOK).body)
	if got := b.Customers()[1]; got.ID != bare || got.Balance != "0" || !got.AutoTopup || got.Threshold != "" {
		t.Errorf("attached %+v", got)
	}
	b.ask("POST", "/v1/customers/cus_x/credits", `{}`, nil).want(t, http.StatusNotFound)
	b.get("/v1/customers/cus_x/credits").want(t, http.StatusNotFound)
}

func TestNativeSettingsOfACustomAmountBuyAtIt(t *testing.T) {
	t.Parallel()
	b := newBench(t, Options{Hyperline: HyperlineOptions{Threshold: dec("100")}})
	must(t, b.SetBalance(FirstCustomer, dec("50")))
	b.ask("PUT", creditPath, `{"auto_topup":{"credit_count":32}}`, nil).want(t, http.StatusOK)
	b.pass(time.Second)
	b.wantCaptured(0) // a count alone has no price
	b.ask("PUT", creditPath, `{"auto_topup":{"credit_count":64,"amount_excluding_tax":9900}}`, nil).want(t, http.StatusOK)
	b.pass(time.Second)
	if c := b.Books().Captured(); len(c) != 1 || c[0].Amount != "99.00" || c[0].Credits != "64" {
		t.Errorf("charges %+v", c)
	}
}

func TestListsAreSortedAsAsked(t *testing.T) {
	t.Parallel()
	b := newBench(t, Options{Hyperline: HyperlineOptions{Customers: 4}})
	all := b.everybody()
	b.pass(time.Minute)
	must(t, b.SetCard(all[1], CardMissing)) // edited last
	if got := b.walk("/v2/customers?sort=updated_at"); got[0] != all[1] {
		t.Errorf("by edition %v, want %s first", got, all[1])
	}
	if got := b.walk("/v2/customers?sort=updated_at&order=asc"); got[3] != all[1] {
		t.Errorf("by edition, ascending %v, want %s last", got, all[1])
	}
	for query, want := range map[string]int{
		"updated_at__gt=2026-11-20T12:00:00Z": 1, "updated_at__lt=2026-11-20T12:01:00.000Z": 3,
		"updated_at__gte=2026-11-20T12:01:00Z": 1, "updated_at=2026-11-20T12:01:00Z": 1, "updated_at__not=2026-11-20T12:01:00Z": 3,
		"name__contains=oreal": 1, "name__startsWith=Bore": 1, "name__endWith=Analytics": 4, "name__not=" + url.QueryEscape("Boreal Analytics"): 3,
		"external_id__isNull=true": 0, "external_id__isNotNull=true": 4, "search=CRM-00002": 1, "country__equals=FR": 1,
	} {
		if got := b.walk("/v2/customers?" + query); len(got) != want {
			t.Errorf("%s: %d customers, want %d", query, len(got), want)
		}
	}
	b.get("/v2/customers?updated_at__isNull=true").want(t, http.StatusBadRequest)
}
